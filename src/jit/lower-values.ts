/**
 * The values of a region or helper: operations, memory, locals. Values become operand-stack expressions where they are
 * used once, locals otherwise. Atomic operations are lower-atomics.ts, control flow is lower.ts.
 *
 * Invariants:
 * - A load may be emitted later than it stands in the IR, never across an operation that writes memory, nor one of guest
 *   memory across another: other threads see the order of accesses.
 * - Emission order is not execution order: a local may be reused only for what lives within one block.
 */
import type { Builder, Helper, Var } from '../ir/builder.ts';
import { LOADS, OP, OPS, STORES, type Type } from '../ir/ops.ts';
import { BLOCK, CodeWriter, W } from '../wasm/code-writer.ts';
import type { ValType } from '../wasm/module-builder.ts';
import { Analysis } from './analysis.ts';
import { GLOBAL } from './link.ts';
import { RELOC } from './object.ts';
import { mulHiS, mulHiU } from './wide-multiply.ts';

/** How the code refers to what is outside it: function and type indices in the module being made. */
export interface Imports {
  /** Index of an imported function: a helper, or one of the runtime's. */
  helper(h: Helper): number;
  runtime(name: 'syscall' | 'trap'): number;
  /** Type index of a region function. */
  readonly regionType: number;
}

export interface RegionOptions {
  readonly pcOffset: number;
  readonly hotParams: readonly [Var, Var];
  readonly hotResults: readonly [Var, Var];
  readonly isaVars: number;
  readonly flagVars: readonly Var[];
  /** Table slot of the region for a guest pc (allocated if there is none yet). */
  slotOf(pc: number): number;
  /** Loop iterations before the region hands itself back. */
  readonly budget: number;
  /** Offset in state memory of a counter of entries (counts down to 0), or -1. */
  readonly counter: number;
  /** Store everything before each access that may fault, so that a handler sees exact registers. */
  readonly precise: boolean;
  /**
   * Store what a block has set at its end rather than at each way out: less code, for regions that have many ways out
   * and few loops.
   */
  readonly sync: boolean;
  /** Note which guest instruction each access belongs to. */
  readonly sites: boolean;
  /**
   * Write slots, the counter and helper calls as places to be linked (object.ts), `helper` and `runtime` of Imports then
   * giving indices in the object's list of names. Otherwise final numbers.
   */
  readonly relocatable: boolean;
}

export interface Lowered {
  readonly locals: ValType[];
  readonly body: Uint8Array<ArrayBuffer>;
  /** Offsets in `body` (ascending) of operations that can fault, and the guest pc each belongs to; empty unless asked for. */
  readonly sites: { offset: number; pc: number }[];
  /** Triples as in RegionObject, offsets in `body`. */
  readonly relocs: number[];
}

const LOAD_FOR: Record<Type, number> = {
  i32: LOADS['i32.load'][0],
  i64: LOADS['i64.load'][0],
  f32: LOADS['f32.load'][0],
  f64: LOADS['f64.load'][0],
  v128: LOADS['v128.load'][0],
};
const STORE_FOR: Record<Type, number> = {
  i32: STORES['i32.store'][0],
  i64: STORES['i64.store'][0],
  f32: STORES['f32.store'][0],
  f64: STORES['f64.store'][0],
  v128: STORES['v128.store'][0],
};
const I64_ADD = 0x7c;
const I64_AND = 0x83;
const I64_EXTEND_I32_U = 0xad;
const I32_EQZ = 0x45;
const I64_GE_U = 0x5a;
const I32_AND = 0x71;
const I32_WRAP_I64 = 0xa7;
const I64_EXTEND_I32_S = 0xac;
const I32_EXTEND8_S = 0xc0;
const I64_EXTEND32_S = 0xc4;
const I32_ADD = 0x6a;
const I32_CONST = 0x41;
const CALL = 0x10;

/** One serves region after region; its buffers keep their size. */
export class ValueLowering {
  protected ir!: Builder;
  protected imports!: Imports;
  protected options: RegionOptions | undefined;
  protected readonly w = new CodeWriter();
  protected locals: ValType[] = [];
  protected params = 0;
  /** Locals free to be taken again, by type. */
  protected readonly free: Record<ValType, number[]> = { i32: [], i64: [], f32: [], f64: [], v128: [] };
  protected readonly an = new Analysis();
  /** By value: local it lives in, or -1; uses still to come; whether the local goes back to the pool after the last. */
  protected home = new Int32Array(1024);
  protected left = new Int32Array(1024);
  protected own = new Uint8Array(1024);
  /** By value, for a load not yet emitted: guest pc it belongs to. */
  protected sitePc = new Float64Array(1024);
  /** By variable: its local, or -1; the `get` of it that has not been copied yet, or -1. */
  protected varLocal = new Int32Array(256);
  protected pendingGet = new Int32Array(256);
  /** Variables with a pending `get` in this block. */
  protected readonly gotten: number[] = [];
  /** Loads not yet emitted, in order. */
  protected pendingLoads: number[] = [];
  /** By value, for a guest load that has been emitted: `epoch` at that time, which every effect raises. */
  protected loadEpoch = new Int32Array(1024);
  protected epoch = 0;
  /** The guest load emitted last. */
  protected lastLoad = -1;
  protected pc = 0;
  protected sites: { offset: number; pc: number }[] = [];
  protected relocs: number[] = [];
  /** Precise mode: variables set since they were last stored, at the point of emission. */
  protected staleNow = new Int32Array(4);

  protected begin(ir: Builder, imports: Imports, region: RegionOptions | undefined, params: number): void {
    this.ir = ir;
    this.imports = imports;
    this.options = region;
    this.params = params;
    this.w.reset();
    this.locals = [];
    for (const pool of Object.values(this.free)) pool.length = 0;
    if (this.home.length < ir.count) {
      const n = ir.count * 2;
      this.home = new Int32Array(n);
      this.left = new Int32Array(n);
      this.own = new Uint8Array(n);
      this.sitePc = new Float64Array(n);
      this.loadEpoch = new Int32Array(n);
    }
    this.home.fill(-1, 0, ir.count);
    this.loadEpoch.fill(-1, 0, ir.count);
    this.lastLoad = -1;
    if (this.varLocal.length < ir.vars.length) {
      this.varLocal = new Int32Array(ir.vars.length * 2);
      this.pendingGet = new Int32Array(ir.vars.length * 2).fill(-1);
    }
    this.varLocal.fill(-1, 0, ir.vars.length);
    this.pendingLoads.length = 0;
    this.sites = [];
    this.relocs = [];
  }

  // ---- values ----

  protected deferLoad(v: number): void {
    this.sitePc[v] = this.pc;
    if (this.options?.precise === true && this.ir.op[v] !== OP.stateLoad) {
      this.storeStaleHere();
      this.materialiseOrDrop(v);
      return;
    }
    if ((this.left[v] as number) === 0 || this.an.crosses[v] === 1) this.materialiseOrDrop(v);
    else this.pendingLoads.push(v);
  }
  protected materialiseOrDrop(v: number): void {
    if ((this.left[v] as number) > 0) this.materialise(v);
    else {
      this.emit(v);
      this.w.u8(W.drop);
    }
  }

  /** Before memory changes: emit the loads that are still to come. What is on the operand stack stays below. */
  protected flushLoads(): void {
    if (this.pendingLoads.length === 0) return;
    for (const v of this.pendingLoads)
      if ((this.home[v] as number) < 0 && (this.left[v] as number) > 0) this.materialise(v);
    this.pendingLoads.length = 0;
  }
  /** Before the guest load `v`: emit those that stand before it in the IR. */
  protected loadsBefore(v: number): void {
    const pending = this.pendingLoads;
    for (let k = 0; k < pending.length; k++) {
      const p = pending[k] as number;
      if (p >= v) return;
      if ((this.home[p] as number) < 0 && (this.left[p] as number) > 0 && this.ir.op[p] !== OP.stateLoad)
        this.materialise(p);
    }
  }

  /**
   * Before a comparison of `a` and `b`, or a condition `a`, in optimised code: V8 reads an operand that is a load of no other
   * use once more at the comparison, and compares that. It does so within a block only, so the head of an empty loop
   * forbids it where another guest load stands between.
   */
  protected keepOrder(a: number, b: number): void {
    if (this.options?.relocatable !== false || !(this.readsOlder(a) || (b >= 0 && this.readsOlder(b)))) return;
    this.w.loop(BLOCK.void);
    this.w.u8(W.end);
    this.epoch++;
  }
  /** Whether V8 may take `v` for a load, or the AND of one, that is older than the last guest load. */
  protected readsOlder(v: number): boolean {
    const ir = this.ir;
    const op = ir.op[v] as number;
    if (OPS[op]?.kind === 'load') return this.loadEpoch[v] === this.epoch && this.lastLoad !== v;
    if (op === I32_AND || op === I64_AND) return this.readsOlder(ir.a[v] as number) || this.readsOlder(ir.b[v] as number);
    const converts = op === I32_WRAP_I64 || op === I64_EXTEND_I32_S || op === I64_EXTEND_I32_U || (op >= I32_EXTEND8_S && op <= I64_EXTEND32_S);
    return converts && this.readsOlder(ir.a[v] as number);
  }

  /** Before variable `x` changes: copy the value a pending `get` of it stands for. */
  protected saveGet(x: number): void {
    const v = this.pendingGet[x] as number;
    if (v >= 0) {
      if ((this.home[v] as number) < 0 && (this.left[v] as number) > 0) this.materialise(v);
      this.pendingGet[x] = -1;
    }
  }

  protected materialise(v: number): void {
    const type = this.ir.typeOf(v as never) as ValType;
    this.emit(v);
    this.w.localSet(this.homeFor(v, type));
  }
  /** Give value `v` a local: its own for good if another block uses it, one of the pool otherwise. */
  protected homeFor(v: number, type: ValType): number {
    const crosses = this.an.crosses[v] === 1;
    const local = crosses ? this.fresh(type) : this.take(type);
    this.home[v] = local;
    this.own[v] = crosses ? 0 : 1;
    return local;
  }

  /** Push value `v` for one use. */
  protected value(v: number): void {
    const left = (this.left[v] as number) - 1;
    this.left[v] = left;
    const home = this.home[v] as number;
    const w = this.w;
    if (home >= 0) {
      w.localGet(home);
      if (left === 0 && this.own[v] === 1) this.give(this.ir.typeOf(v as never) as ValType, home);
      return;
    }
    const op = this.ir.op[v] as number;
    if (left === 0 || op === OP.get || (op >= OP.const32 && op <= OP.const128)) {
      this.emit(v);
      return;
    }
    this.emit(v);
    const type = this.ir.typeOf(v as never) as ValType;
    const local = this.take(type);
    this.home[v] = local;
    this.own[v] = 1;
    w.localTee(local);
  }

  /** The operation itself, operands first; result on the stack. */
  protected emit(v: number): void {
    const ir = this.ir;
    const w = this.w;
    const op = ir.op[v] as number;
    const a = ir.a[v] as number;
    const b = ir.b[v] as number;
    const c = ir.c[v] as number;
    switch (op) {
      case OP.const32:
        w.i32Const(a);
        return;
      case OP.const64:
        w.i64Const(a, b);
        return;
      case OP.constf32:
        w.f32Const(a);
        return;
      case OP.constf64:
        w.f64Const(a, b);
        return;
      case OP.const128:
        w.v128Const(ir.vectors[a] as Uint8Array);
        return;
      case OP.get:
        w.localGet(this.localOf(ir.vars[a] as Var));
        return;
      case OP.select:
        this.value(b);
        this.value(c);
        this.value(a);
        this.keepOrder(a, -1);
        if (ir.typeOf(v as never) === 'v128') w.selectV128();
        else w.u8(W.select);
        return;
      case OP.shuffle:
        this.value(a);
        this.value(b);
        w.shuffle(ir.vectors[c] as Uint8Array);
        return;
      case OP.stateLoad:
        if (a < 0) {
          w.i32Const(0);
        } else this.value(a);
        w.stateAccess(c, b);
        return;
      case OP.mulHiU:
      case OP.mulHiS:
        this.value(a);
        this.value(b);
        if (this.options?.relocatable === false) this.mulHigh(op === OP.mulHiS);
        else this.callImport(this.imports.helper(op === OP.mulHiU ? mulHiU : mulHiS));
        return;
      case OP.call:
        this.callOperands(v);
        this.callImport(this.imports.helper(ir.helpers[a] as Helper));
        return;
      default: {
        const info = OPS[op];
        if (info === undefined) throw new Error(`cannot lower operation ${op}`);
        if (info.kind === 'load') {
          this.loadsBefore(v);
          this.loadEpoch[v] = this.epoch;
          const offset = this.address(a, c);
          this.site(this.sitePc[v] as number);
          w.access(op, offset);
          this.lastLoad = v;
          return;
        }
        this.value(a);
        if (info.args.length > 1) this.value(b);
        if (info.args.length > 2) this.value(c);
        if (op >= I32_EQZ && op <= I64_GE_U) this.keepOrder(a, b);
        w.op(op);
        if (info.kind === 'lane') w.u8(c);
      }
    }
  }

  /** As the helpers of wide-multiply.ts have it, of the two values on the stack: a call would cost more, and spill what is in registers. */
  protected mulHigh(signed: boolean): void {
    const w = this.w;
    const take = (): number => this.take('i64');
    const [a, b, aHigh, bHigh, u] = [take(), take(), take(), take(), take()];
    const half = (x: number, high: number): void => {
      w.localGet(x);
      w.i64ConstOf(32);
      w.u8(W.i64ShrU);
      w.localSet(high);
    };
    const low = (x: number): void => {
      w.localGet(x);
      w.i64ConstOf(0xffffffff);
      w.u8(I64_AND);
    };
    const times = (x: number): void => {
      w.localGet(x);
      w.u8(W.i64Mul);
    };
    const carry = (): void => {
      w.i64ConstOf(32);
      w.u8(W.i64ShrU);
      w.u8(I64_ADD);
    };
    w.localSet(b);
    w.localSet(a);
    half(a, aHigh);
    half(b, bHigh);
    // u = aHigh × bLow + (aLow × bLow >> 32)
    low(b);
    times(aHigh);
    low(a);
    low(b);
    w.u8(W.i64Mul);
    carry();
    w.localSet(u);
    // aHigh × bHigh + (u >> 32) + (aLow × bHigh + uLow >> 32)
    w.localGet(aHigh);
    times(bHigh);
    w.localGet(u);
    carry();
    low(a);
    times(bHigh);
    low(u);
    w.u8(I64_ADD);
    carry();
    if (signed)
      for (const [x, y] of [[a, b], [b, a]] as const) {
        w.localGet(x);
        w.i64ConstOf(63);
        w.u8(W.i64ShrS);
        w.localGet(y);
        w.u8(I64_AND);
        w.u8(W.i64Sub);
      }
    for (const x of [a, b, aHigh, bHigh, u]) this.give('i64', x);
  }

  /**
   * Push a guest address; returns the offset for the memarg. `x + c` with 0 ≤ c + offset < 64 KiB goes into the
   * memarg: it differs from modular addition only where the sum wraps into the first 64 KiB, which is never mapped.
   */
  protected address(addr: number, offset: number): number {
    const ir = this.ir;
    if (ir.op[addr] === I64_ADD && (this.home[addr] as number) < 0) {
      const x = ir.a[addr] as number;
      const k = ir.b[addr] as number;
      if (ir.op[k] === OP.const64 && ir.b[k] === 0) {
        const lo = ir.a[k] as number;
        if (lo >= 0 && lo + offset < 65536) {
          if (this.left[addr] === 1) {
            this.left[addr] = 0;
            this.left[k] = (this.left[k] as number) - 1;
            this.value(x);
            return lo + offset;
          }
          if ((ir.op[x] === OP.get && (this.home[x] as number) < 0) || (this.home[x] as number) >= 0) {
            this.left[addr] = (this.left[addr] as number) - 1;
            if ((this.home[x] as number) >= 0) {
              this.w.localGet(this.home[x] as number);
            } else this.emit(x);
            return lo + offset;
          }
        }
      }
    }
    this.value(addr);
    return offset;
  }

  protected store(v: number): void {
    const ir = this.ir;
    const w = this.w;
    const op = ir.op[v] as number;
    const offset = this.address(ir.a[v] as number, ir.c[v] as number);
    this.value(ir.b[v] as number);
    this.flushLoads();
    if (this.options?.precise === true) this.storeStaleHere();
    this.site(this.pc);
    w.access(op, offset);
    this.epoch++;
  }

  protected callOperands(v: number): void {
    const ir = this.ir;
    const first = ir.b[v] as number;
    for (let k = 0; k < (ir.c[v] as number); k++) this.value(ir.args[first + k] as number);
  }

  protected call(v: number): void {
    const ir = this.ir;
    const w = this.w;
    const helper = ir.helpers[ir.a[v] as number] as Helper;
    if (helper.effect === 'pure' && helper.results.length === 1) {
      if (this.an.crosses[v] === 1) this.materialise(v);
      return;
    }
    this.callOperands(v);
    if (helper.effect === 'state') {
      this.flushLoads();
      if (this.options?.precise === true) this.storeStaleHere();
      this.site(this.pc);
    }
    this.callImport(this.imports.helper(helper));
    for (let k = helper.results.length - 1; k >= 0; k--) {
      const r = k === 0 ? v : this.resultOf(v, k);
      // Result 0 also counts one use for each other result.
      if (k === 0)
        for (let q = v + 1; q < v + helper.results.length; q++)
          if (this.an.needed[q] === 1 && ir.op[q] === OP.result) this.left[v] = (this.left[v] as number) - 1;
      if (r < 0 || (this.left[r] as number) === 0) {
        w.u8(W.drop);
        continue;
      }
      w.localSet(this.homeFor(r, helper.results[k] as ValType));
    }
  }
  protected resultOf(call: number, k: number): number {
    const r = call + k;
    return this.ir.op[r] === OP.result && this.an.needed[r] === 1 ? r : -1;
  }

  // ---- what depends on the module ----

  protected reloc(kind: number, value: number): void {
    this.relocs.push(this.w.length, kind, value);
    this.w.padded();
  }
  /** Push the table slot of the region at `pc`. */
  protected slot(pc: number): void {
    const o = this.options as RegionOptions;
    const w = this.w;
    if (!o.relocatable) {
      w.i32Const(o.slotOf(pc));
      return;
    }
    w.globalGet(GLOBAL.slotBase);
    w.u8(I32_CONST);
    this.reloc(RELOC.slot, pc);
    w.u8(I32_ADD);
  }
  protected counterBase(): void {
    if (this.options?.relocatable === true) this.w.globalGet(GLOBAL.counterBase);
    else this.w.i32Const(0);
  }
  protected counterAccess(op: number, offset: number): void {
    if (this.options?.relocatable !== true) {
      this.w.stateAccess(op, offset);
      return;
    }
    this.w.stateAccessHead(op);
    this.reloc(RELOC.counter, 0);
  }
  protected callImport(index: number): void {
    if (this.options?.relocatable !== true) {
      this.w.call(index);
      return;
    }
    this.w.u8(CALL);
    this.reloc(RELOC.helper, index);
  }

  // ---- variables and state memory ----

  protected localOf(v: Var): number {
    const known = this.varLocal[v.index] as number;
    if (known >= 0) return known;
    const local = this.fresh(v.type);
    this.varLocal[v.index] = local;
    return local;
  }
  protected reload(block: number, except: readonly Var[]): void {
    const w = this.w;
    const an = this.an;
    for (let word = 0; word < an.words; word++) {
      let bits = an.liveIn[block * an.words + word] as number;
      while (bits !== 0) {
        const k = 31 - Math.clz32(bits & -bits);
        bits &= bits - 1;
        const v = this.ir.vars[word * 32 + k] as Var;
        if (except.includes(v)) continue;
        w.i32Const(0);
        w.stateAccess(LOAD_FOR[v.type], v.offset);
        w.localSet(this.localOf(v));
      }
    }
  }
  protected storeStale(block: number, except: readonly Var[]): void {
    this.storeSet(this.an.staleOut, block, except);
  }
  protected storeSet(set: Int32Array, block: number, except: readonly Var[]): void {
    const an = this.an;
    for (let word = 0; word < an.words; word++) {
      let bits = set[block * an.words + word] as number;
      while (bits !== 0) {
        const k = 31 - Math.clz32(bits & -bits);
        bits &= bits - 1;
        const v = this.ir.vars[word * 32 + k] as Var;
        if (!except.includes(v)) this.storeVar(v);
      }
    }
  }
  protected storeVar(v: Var): void {
    const w = this.w;
    w.i32Const(0);
    w.localGet(this.localOf(v));
    w.stateAccess(STORE_FOR[v.type], v.offset);
  }
  /** Precise mode: whatever differs from state memory at this point; afterwards nothing does. */
  protected storeStaleHere(): void {
    this.storeSet(this.staleNow, 0, []);
    this.staleNow.fill(0);
  }
  protected storePc(pc: number): void {
    const w = this.w;
    w.i32Const(0);
    w.i64ConstOf(pc);
    w.stateAccess(W.i64Store, (this.options as RegionOptions).pcOffset);
  }
  protected site(pc: number): void {
    if (this.options?.sites === true) this.sites.push({ offset: this.w.length, pc });
  }

  // ---- locals ----

  protected take(type: ValType): number {
    return this.free[type].pop() ?? this.fresh(type);
  }
  /** A local that is nobody else's: for what outlives a block, since emission order is not execution order. */
  protected fresh(type: ValType): number {
    this.locals.push(type);
    return this.params + this.locals.length - 1;
  }
  protected give(type: ValType, local: number): void {
    this.free[type].push(local);
  }
}
