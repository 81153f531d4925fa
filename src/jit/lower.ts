/**
 * IR → the body of one WebAssembly function.
 *
 * Control flow becomes structured by Ramsey's "Beyond Relooper" (ICFP 2022); an irreducible graph becomes a dispatch
 * loop. Values become operand-stack expressions where they are used once, locals otherwise; guest variables are locals
 * within the function and live in state memory outside it (see analysis.ts for when they are stored and reloaded).
 *
 * Invariants:
 * - Locals 0, 1, 2 are depth and the two hot parameters (regions only).
 * - A load may be emitted later than it stands in the IR, never across an operation that writes memory.
 * - On every way out of a region each stale variable has been stored, except those that travel as parameters/results.
 */
import type { Block, Builder, Helper, Terminator, Var } from '../ir/builder.ts';
import { LOADS, OP, OPS, STORES, type Type } from '../ir/ops.ts';
import { ByteWriter } from '../wasm/byte-writer.ts';
import type { ValType } from '../wasm/module-builder.ts';
import { type Analysis, analyse } from './analysis.ts';
import * as layout from './layout.ts';
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
  /** Table slot of the region for a guest pc (allocated if there is none yet). */
  slotOf(pc: number): number;
  /** Loop iterations before the region hands itself back. */
  readonly budget: number;
  /** Offset in state memory of a counter of entries (counts down to 0), or -1. */
  readonly counter: number;
  /** Store everything before each access that may fault, so that a handler sees exact registers. */
  readonly precise: boolean;
}

export interface Lowered {
  readonly locals: ValType[];
  readonly body: Uint8Array<ArrayBuffer>;
  /** Offsets in `body` (ascending) of operations that can fault, and the guest pc each belongs to. */
  readonly sites: { offset: number; pc: number }[];
}

const FUNC_END = 0x0b;
const BLOCK_VOID = 0x40;
/** Memory index 1 in a memarg is announced by bit 6 of the alignment. */
const STATE_MEMORY = [0x40, 1] as const;

const LOAD_FOR: Record<Type, number> = { i32: LOADS['i32.load'][0], i64: LOADS['i64.load'][0], f32: LOADS['f32.load'][0], f64: LOADS['f64.load'][0], v128: LOADS['v128.load'][0] };
const STORE_FOR: Record<Type, number> = { i32: STORES['i32.store'][0], i64: STORES['i64.store'][0], f32: STORES['f32.store'][0], f64: STORES['f64.store'][0], v128: STORES['v128.store'][0] };
/** i32/i64 atomic read-modify-write opcodes (prefix 0xfe), by kind then size. */
const ATOMIC_BASE = { add: 0x1e, sub: 0x25, and: 0x2c, or: 0x33, xor: 0x3a, xchg: 0x41 } as const;
const ATOMIC_NAMES = ['add', 'sub', 'and', 'or', 'xor', 'xchg'] as const;
const ATOMIC_BY_SIZE: Record<number, number> = { 1: 2, 2: 3, 4: 0, 8: 1 };
const PLAIN_32: Record<string, number> = { add: 0x6a, sub: 0x6b, and: 0x71, or: 0x72, xor: 0x73 };
const PLAIN_64: Record<string, number> = { add: 0x7c, sub: 0x7d, and: 0x83, or: 0x84, xor: 0x85 };
const SIZED_LOAD: Record<number, number> = { 1: 0x2d, 2: 0x2f, 4: 0x28, 8: 0x29 };
const SIZED_STORE: Record<number, number> = { 1: 0x3a, 2: 0x3b, 4: 0x36, 8: 0x37 };

type Label = { readonly kind: 'loop' | 'follow'; readonly block: number } | { readonly kind: 'other' };

export class Lowering {
  readonly #ir: Builder;
  readonly #imports: Imports;
  readonly #region: RegionOptions | undefined;
  readonly #w = new ByteWriter();
  readonly #locals: ValType[] = [];
  readonly #params: number;
  readonly #free = new Map<ValType, number[]>();
  #an!: Analysis;
  /** By value: local it lives in, or -1. */
  #home!: Int32Array;
  #left!: Int32Array;
  /** By value: local is returned to the pool after the last use. */
  #own!: Uint8Array;
  /** By variable: local, or -1. */
  readonly #varLocal: number[] = [];
  /** By variable: `get` value not yet copied, or -1. */
  #pendingGet: Int32Array = new Int32Array(0);
  /** Loads not yet emitted, in order. */
  #pendingLoads: number[] = [];
  #pc = 0;
  readonly #pcOf: Map<number, number> = new Map();
  readonly #labels: Label[] = [];
  #children: number[][] = [];
  #budgetLocal = -1;
  #dispatchLocal = -1;
  readonly #sites: { offset: number; pc: number }[] = [];
  /** Block position being emitted, for staleness at an exit in its middle. */
  #at = 0;

  private constructor(ir: Builder, imports: Imports, region: RegionOptions | undefined, params: readonly Type[]) {
    this.#ir = ir;
    this.#imports = imports;
    this.#region = region;
    this.#params = params.length;
  }

  static region(ir: Builder, entry: Block, imports: Imports, options: RegionOptions): Lowered {
    const l = new Lowering(ir, imports, options, ['i32', 'i64', 'i64']);
    return l.#lowerRegion(entry, options);
  }

  /** A helper's body; its parameters are the temporaries `params`, set by the caller. */
  static helper(ir: Builder, entry: Block, imports: Imports, params: readonly Var[]): Lowered {
    const l = new Lowering(ir, imports, undefined, params.map((p) => p.type));
    params.forEach((p, k) => {
      l.#varLocal[p.index] = k;
    });
    return l.#lowerBody(entry, [], [], 0);
  }

  #lowerRegion(entry: Block, o: RegionOptions): Lowered {
    o.hotParams.forEach((v, k) => {
      this.#varLocal[v.index] = k + 1;
    });
    return this.#lowerBody(entry, o.hotParams, o.hotResults, o.isaVars);
  }

  #lowerBody(entry: Block, hotParams: readonly Var[], hotResults: readonly Var[], isaVars: number): Lowered {
    const ir = this.#ir;
    this.#an = analyse(ir, entry, hotParams, hotResults, isaVars);
    const an = this.#an;
    this.#home = new Int32Array(ir.count).fill(-1);
    this.#own = new Uint8Array(ir.count);
    this.#left = an.uses.slice();
    this.#pendingGet = new Int32Array(ir.vars.length).fill(-1);
    const n = an.order.length;
    this.#children = Array.from({ length: n }, () => []);
    for (let i = 1; i < n; i++) if (an.merge[i] === 1 || !an.reducible) (this.#children[an.idom[i] as number] as number[]).push(i);

    if (this.#region !== undefined) this.#regionEntry(this.#region);
    if (an.reducible) this.#tree(0);
    else this.#dispatchLoop();
    // Every path has left; this tells the validator so.
    this.#w.u8(0x00);
    return { locals: this.#locals, body: this.#w.take(), sites: this.#sites };
  }

  #regionEntry(o: RegionOptions): void {
    const w = this.#w;
    const an = this.#an;
    if (o.counter >= 0) {
      // counter = counter - 1; spent: through SLOT_BUDGET, with the entry's pc
      w.u8(0x41); w.s32(0);
      w.u8(0x41); w.s32(0);
      this.#memarg(0x28, o.counter, true);
      w.u8(0x41); w.s32(1);
      w.u8(0x6b);
      const t = this.#take('i32');
      w.u8(0x22); w.u32(t);
      this.#memarg(0x36, o.counter, true);
      w.u8(0x20); w.u32(t);
      this.#give('i32', t);
      w.u8(0x45);
      w.u8(0x04); w.u8(BLOCK_VOID);
      this.#storePc((an.order[0] as Block).pc);
      this.#tailCall(() => { w.u8(0x41); w.s32(layout.SLOT_BUDGET); });
      w.u8(FUNC_END);
    }
    let loops = false;
    for (let i = 0; i < an.order.length; i++) if (an.loopHead[i] === 1 && (an.order[i] as Block).pc >= 0) loops = true;
    if (loops) {
      this.#budgetLocal = this.#fresh('i32');
      w.u8(0x41); w.s32(o.budget);
      w.u8(0x21); w.u32(this.#budgetLocal);
    }
    this.#reload(0, o.hotParams);
  }

  // ---- structured control flow ----

  #tree(i: number): void {
    const isLoop = this.#an.loopHead[i] === 1;
    if (isLoop) {
      this.#w.u8(0x03); this.#w.u8(BLOCK_VOID);
      this.#labels.push({ kind: 'loop', block: i });
    }
    // Outermost the follower that stands last.
    const followers = (this.#children[i] as number[]).slice().sort((x, y) => y - x);
    for (const y of followers) {
      this.#w.u8(0x02); this.#w.u8(BLOCK_VOID);
      this.#labels.push({ kind: 'follow', block: y });
    }
    this.#blockBody(i);
    for (let k = followers.length - 1; k >= 0; k--) {
      this.#labels.pop();
      this.#w.u8(FUNC_END);
      this.#tree(followers[k] as number);
    }
    if (isLoop) {
      this.#labels.pop();
      this.#w.u8(FUNC_END);
    }
  }

  /** Irreducible graphs: a loop around a switch over all blocks. */
  #dispatchLoop(): void {
    const w = this.#w;
    const n = this.#an.order.length;
    this.#dispatchLocal = this.#fresh('i32');
    w.u8(0x41); w.s32(0);
    w.u8(0x21); w.u32(this.#dispatchLocal);
    w.u8(0x03); w.u8(BLOCK_VOID);
    this.#labels.push({ kind: 'loop', block: -1 });
    for (let i = n - 1; i >= 0; i--) {
      w.u8(0x02); w.u8(BLOCK_VOID);
      this.#labels.push({ kind: 'follow', block: i });
    }
    w.u8(0x20); w.u32(this.#dispatchLocal);
    w.u8(0x0e); w.u32(n - 1);
    for (let i = 0; i < n; i++) w.u32(i);
    for (let i = 0; i < n; i++) {
      this.#labels.pop();
      w.u8(FUNC_END);
      this.#blockBody(i);
    }
    this.#labels.pop();
    w.u8(FUNC_END);
  }

  #depthOf(kind: 'loop' | 'follow', block: number): number {
    for (let k = this.#labels.length - 1; k >= 0; k--) {
      const l = this.#labels[k] as Label;
      if (l.kind === kind && l.block === block) return this.#labels.length - 1 - k;
    }
    throw new Error(`no ${kind} label for block ${block}`);
  }

  /** The label depth a jump from block `from` to `to` branches to, or -1 if `to` follows inline. */
  #labelFor(from: number, to: number): number {
    if (this.#an.loopHead[to] === 1 && to <= from) return this.#depthOf('loop', to);
    if (this.#an.merge[to] === 1) return this.#depthOf('follow', to);
    return -1;
  }

  #goto(from: number, to: Block): void {
    const w = this.#w;
    const j = this.#an.number[to.id] as number;
    if (!this.#an.reducible) {
      w.u8(0x41); w.s32(j);
      w.u8(0x21); w.u32(this.#dispatchLocal);
      w.u8(0x0c); w.u32(this.#depthOf('loop', -1));
      return;
    }
    const depth = this.#labelFor(from, j);
    if (depth >= 0) {
      w.u8(0x0c); w.u32(depth);
    } else this.#tree(j);
  }

  // ---- a block ----

  #blockBody(i: number): void {
    const ir = this.#ir;
    const w = this.#w;
    const an = this.#an;
    const b = an.order[i] as Block;
    const t = b.term as Terminator;
    this.#at = i;
    this.#pendingLoads.length = 0;
    this.#pendingGet.fill(-1);
    if (b.pc >= 0) this.#pc = b.pc;
    if (an.loopHead[i] === 1 && b.pc >= 0 && this.#budgetLocal >= 0) this.#spendBudget(i, b.pc);

    for (let v = b.start; v < b.end; v++) {
      if (an.needed[v] === 0) continue;
      const op = ir.op[v] as number;
      switch (op) {
        case OP.const32:
        case OP.const64:
        case OP.constf32:
        case OP.constf64:
        case OP.const128:
        case OP.result:
          break;
        case OP.get:
          if (an.crosses[v] === 1) this.#materialise(v);
          else this.#pendingGet[ir.a[v] as number] = v;
          break;
        case OP.set: {
          const x = ir.a[v] as number;
          const variable = ir.vars[x] as Var;
          this.#value(ir.b[v] as number);
          this.#saveGet(x);
          w.u8(0x21); w.u32(this.#localOf(variable));
          break;
        }
        case OP.insn:
          this.#pc = ir.marks[ir.a[v] as number] as number;
          if (this.#region?.precise === true) this.#flushLoads();
          break;
        case OP.fence:
          this.#flushLoads();
          w.u8(0xfe); w.u8(0x03); w.u8(0);
          break;
        case OP.stateLoad:
          this.#deferLoad(v);
          break;
        case OP.stateStore: {
          const c = ir.c[v] as number;
          const addr = ir.a[v] as number;
          if (addr < 0) { w.u8(0x41); w.s32(0); } else this.#value(addr);
          this.#value(ir.b[v] as number);
          this.#flushLoads();
          this.#memarg(c >>> 20, c & 0xfffff, true);
          break;
        }
        case OP.call:
          this.#call(v);
          break;
        case OP.atomicRmw:
        case OP.atomicCmpxchg:
          this.#atomic(v);
          break;
        default: {
          const info = OPS[op];
          if (info === undefined) throw new Error(`cannot lower operation ${op}`);
          if (info.kind === 'load') this.#deferLoad(v);
          else if (info.kind === 'store') this.#store(v);
          else if (an.crosses[v] === 1) this.#materialise(v);
          // otherwise emitted where it is first used
        }
      }
    }
    this.#terminator(i, b, t);
  }

  #deferLoad(v: number): void {
    if (this.#region?.precise === true && this.#ir.op[v] !== OP.stateLoad) {
      this.#materialiseOrDrop(v);
      return;
    }
    this.#pcOf.set(v, this.#pc);
    if ((this.#left[v] as number) === 0 || this.#an.crosses[v] === 1) this.#materialiseOrDrop(v);
    else this.#pendingLoads.push(v);
  }
  #materialiseOrDrop(v: number): void {
    if ((this.#left[v] as number) > 0) this.#materialise(v);
    else {
      this.#emit(v);
      this.#w.u8(0x1a);
    }
  }

  /** Before memory changes: emit the loads that are still to come. What is on the operand stack stays below. */
  #flushLoads(): void {
    if (this.#pendingLoads.length === 0) return;
    const loads = this.#pendingLoads;
    this.#pendingLoads = [];
    for (const v of loads) if ((this.#home[v] as number) < 0 && (this.#left[v] as number) > 0) this.#materialise(v);
  }
  /** Before variable `x` changes: copy the value a pending `get` of it stands for. */
  #saveGet(x: number): void {
    const v = this.#pendingGet[x] as number;
    if (v >= 0) {
      if ((this.#home[v] as number) < 0 && (this.#left[v] as number) > 0) this.#materialise(v);
      this.#pendingGet[x] = -1;
    }
  }

  #materialise(v: number): void {
    const type = this.#ir.typeOf(v as never) as ValType;
    this.#emit(v);
    this.#w.u8(0x21);
    this.#w.u32(this.#homeFor(v, type));
  }
  /** Give value `v` a local: its own for good if another block uses it, one of the pool otherwise. */
  #homeFor(v: number, type: ValType): number {
    const crosses = this.#an.crosses[v] === 1;
    const local = crosses ? this.#fresh(type) : this.#take(type);
    this.#home[v] = local;
    this.#own[v] = crosses ? 0 : 1;
    return local;
  }

  /** Push value `v` for one use. */
  #value(v: number): void {
    const left = (this.#left[v] as number) - 1;
    this.#left[v] = left;
    const home = this.#home[v] as number;
    const w = this.#w;
    if (home >= 0) {
      w.u8(0x20);
      w.u32(home);
      if (left === 0 && this.#own[v] === 1) this.#give(this.#ir.typeOf(v as never) as ValType, home);
      return;
    }
    const op = this.#ir.op[v] as number;
    if (left === 0 || op === OP.get || (op >= OP.const32 && op <= OP.const128)) {
      this.#emit(v);
      return;
    }
    this.#emit(v);
    const type = this.#ir.typeOf(v as never) as ValType;
    const local = this.#take(type);
    this.#home[v] = local;
    this.#own[v] = 1;
    w.u8(0x22);
    w.u32(local);
  }

  /** The operation itself, operands first; result on the stack. */
  #emit(v: number): void {
    const ir = this.#ir;
    const w = this.#w;
    const op = ir.op[v] as number;
    const a = ir.a[v] as number;
    const b = ir.b[v] as number;
    const c = ir.c[v] as number;
    switch (op) {
      case OP.const32:
        w.u8(0x41); w.s32(a);
        return;
      case OP.const64:
        w.u8(0x42); w.s64(a, b);
        return;
      case OP.constf32:
        w.u8(0x43); w.word(a);
        return;
      case OP.constf64:
        w.u8(0x44); w.word(a); w.word(b);
        return;
      case OP.const128:
        w.u8(0xfd); w.u8(0x0c); w.raw(ir.vectors[a] as Uint8Array);
        return;
      case OP.get:
        w.u8(0x20); w.u32(this.#localOf(ir.vars[a] as Var));
        return;
      case OP.select:
        this.#value(b);
        this.#value(c);
        this.#value(a);
        if (ir.typeOf(v as never) === 'v128') { w.u8(0x1c); w.u8(1); w.u8(0x7b); } else w.u8(0x1b);
        return;
      case OP.shuffle:
        this.#value(a);
        this.#value(b);
        w.u8(0xfd); w.u8(0x0d); w.raw(ir.vectors[c] as Uint8Array);
        return;
      case OP.stateLoad:
        if (a < 0) { w.u8(0x41); w.s32(0); } else this.#value(a);
        this.#memarg(c, b, true);
        return;
      case OP.mulHiU:
      case OP.mulHiS:
        this.#value(a);
        this.#value(b);
        w.u8(0x10); w.u32(this.#imports.helper(op === OP.mulHiU ? mulHiU : mulHiS));
        return;
      case OP.call:
        this.#callOperands(v);
        w.u8(0x10); w.u32(this.#imports.helper(ir.helpers[a] as Helper));
        return;
      default: {
        const info = OPS[op];
        if (info === undefined) throw new Error(`cannot lower operation ${op}`);
        if (info.kind === 'load') {
          const offset = this.#address(a, c);
          this.#site(this.#pcOf.get(v) ?? this.#pc);
          this.#memarg(op, offset, false);
          return;
        }
        this.#value(a);
        if (info.args.length > 1) this.#value(b);
        if (info.args.length > 2) this.#value(c);
        this.#opcode(op);
        if (info.kind === 'lane') w.u8(c);
      }
    }
  }

  #opcode(op: number): void {
    const w = this.#w;
    if (op < 0x100) w.u8(op);
    else if (op < 0x200) { w.u8(0xfc); w.u32(op - 0x100); }
    else { w.u8(0xfd); w.u32(op - 0x200); }
  }

  /**
   * Push a guest address; returns the offset for the memarg. `x + c` with 0 ≤ c + offset < 64 KiB goes into the
   * memarg: it differs from modular addition only where the sum wraps into the first 64 KiB, which is never mapped.
   */
  #address(addr: number, offset: number): number {
    const ir = this.#ir;
    if (ir.op[addr] === 0x7c && (this.#home[addr] as number) < 0) {
      const x = ir.a[addr] as number;
      const k = ir.b[addr] as number;
      if (ir.op[k] === OP.const64 && ir.b[k] === 0) {
        const lo = ir.a[k] as number;
        if (lo >= 0 && lo + offset < 65536) {
          if (this.#left[addr] === 1) {
            this.#left[addr] = 0;
            this.#left[k] = (this.#left[k] as number) - 1;
            this.#value(x);
            return lo + offset;
          }
          if ((ir.op[x] === OP.get && (this.#home[x] as number) < 0) || (this.#home[x] as number) >= 0) {
            this.#left[addr] = (this.#left[addr] as number) - 1;
            if ((this.#home[x] as number) >= 0) { this.#w.u8(0x20); this.#w.u32(this.#home[x] as number); }
            else this.#emit(x);
            return lo + offset;
          }
        }
      }
    }
    this.#value(addr);
    return offset;
  }

  #store(v: number): void {
    const ir = this.#ir;
    const op = ir.op[v] as number;
    const offset = this.#address(ir.a[v] as number, ir.c[v] as number);
    this.#value(ir.b[v] as number);
    this.#flushLoads();
    if (this.#region?.precise === true) this.#storeStaleHere();
    this.#site(this.#pc);
    this.#memarg(op, offset, false);
  }

  #callOperands(v: number): void {
    const ir = this.#ir;
    const first = ir.b[v] as number;
    for (let k = 0; k < (ir.c[v] as number); k++) this.#value(ir.args[first + k] as number);
  }

  #call(v: number): void {
    const ir = this.#ir;
    const w = this.#w;
    const helper = ir.helpers[ir.a[v] as number] as Helper;
    if (helper.effect === 'pure' && helper.results.length === 1) {
      if (this.#an.crosses[v] === 1) this.#materialise(v);
      return;
    }
    this.#callOperands(v);
    if (helper.effect === 'state') {
      this.#flushLoads();
      this.#site(this.#pc);
    }
    w.u8(0x10); w.u32(this.#imports.helper(helper));
    for (let k = helper.results.length - 1; k >= 0; k--) {
      const r = k === 0 ? v : this.#resultOf(v, k);
      // Result 0 also counts one use for each other result.
      if (k === 0) for (let q = v + 1; q < v + helper.results.length; q++) if (this.#an.needed[q] === 1 && ir.op[q] === OP.result) this.#left[v] = (this.#left[v] as number) - 1;
      if (r < 0 || (this.#left[r] as number) === 0) {
        w.u8(0x1a);
        continue;
      }
      w.u8(0x21); w.u32(this.#homeFor(r, helper.results[k] as ValType));
    }
  }
  #resultOf(call: number, k: number): number {
    const r = call + k;
    return this.#ir.op[r] === OP.result && this.#an.needed[r] === 1 ? r : -1;
  }

  /** LOCK semantics: atomic where aligned; an unaligned one is split (see docs: split locks). */
  #atomic(v: number): void {
    const ir = this.#ir;
    const w = this.#w;
    const cmpxchg = ir.op[v] === OP.atomicCmpxchg;
    const c = ir.c[v] as number;
    const size = c & 0xff;
    const kind = cmpxchg ? undefined : (ATOMIC_NAMES[c >> 8] as (typeof ATOMIC_NAMES)[number]);
    const type: ValType = size === 8 ? 'i64' : 'i32';
    this.#value(ir.a[v] as number);
    const addr = this.#take('i64');
    w.u8(0x21); w.u32(addr);
    let expected = -1;
    this.#value(cmpxchg ? (ir.args[ir.b[v] as number] as number) : (ir.b[v] as number));
    const operand = this.#take(type);
    w.u8(0x21); w.u32(operand);
    if (cmpxchg) {
      this.#value(ir.args[(ir.b[v] as number) + 1] as number);
      expected = operand;
    }
    const replacement = cmpxchg ? this.#take(type) : operand;
    if (cmpxchg) { w.u8(0x21); w.u32(replacement); }
    this.#flushLoads();
    if (this.#region?.precise === true) this.#storeStaleHere();
    const atomicOp = (cmpxchg ? 0x48 : ATOMIC_BASE[kind as keyof typeof ATOMIC_BASE]) + (ATOMIC_BY_SIZE[size] as number);
    const align = Math.log2(size);
    const emitAtomic = (): void => {
      w.u8(0x20); w.u32(addr);
      w.u8(0x20); w.u32(operand);
      if (cmpxchg) { w.u8(0x20); w.u32(replacement); }
      this.#site(this.#pc);
      w.u8(0xfe); w.u32(atomicOp); w.u32(align); w.u32(0);
    };
    if (size === 1) emitAtomic();
    else {
      w.u8(0x20); w.u32(addr);
      w.u8(0xa7);
      w.u8(0x41); w.s32(size - 1);
      w.u8(0x71);
      w.u8(0x04); w.u8(type === 'i64' ? 0x7e : 0x7f);
      const old = this.#take(type);
      w.u8(0x20); w.u32(addr);
      this.#site(this.#pc);
      w.u8(SIZED_LOAD[size] as number); w.u32(0); w.u32(0);
      w.u8(0x21); w.u32(old);
      w.u8(0x20); w.u32(addr);
      if (cmpxchg) {
        w.u8(0x20); w.u32(replacement);
        w.u8(0x20); w.u32(old);
        w.u8(0x20); w.u32(old);
        w.u8(0x20); w.u32(expected);
        w.u8(size === 8 ? 0x51 : 0x46);
        w.u8(0x1b);
      } else if (kind === 'xchg') {
        w.u8(0x20); w.u32(operand);
      } else {
        w.u8(0x20); w.u32(old);
        w.u8(0x20); w.u32(operand);
        w.u8((size === 8 ? PLAIN_64 : PLAIN_32)[kind as string] as number);
      }
      // select above leaves [addr, value]; cmpxchg pushed (replacement, old, old==expected)
      this.#site(this.#pc);
      w.u8(SIZED_STORE[size] as number); w.u32(0); w.u32(0);
      w.u8(0x20); w.u32(old);
      w.u8(0x05);
      emitAtomic();
      w.u8(FUNC_END);
      this.#give(type, old);
    }
    this.#give('i64', addr);
    this.#give(type, operand);
    if (cmpxchg) this.#give(type, replacement);
    if ((this.#left[v] as number) === 0) w.u8(0x1a);
    else { w.u8(0x21); w.u32(this.#homeFor(v, type)); }
  }

  // ---- leaving ----

  #terminator(i: number, b: Block, t: Terminator): void {
    const w = this.#w;
    const o = this.#region;
    switch (t.kind) {
      case 'goto':
        this.#settle();
        this.#goto(i, t.to);
        return;
      case 'branch': {
        this.#value(t.cond);
        this.#settle();
        this.#branch(i, t.then, t.else);
        return;
      }
      case 'switch': {
        this.#value(t.index);
        this.#settle();
        if (!this.#an.reducible) {
          // Each target has to set the dispatch variable first: compare one by one.
          const index = this.#take('i32');
          w.u8(0x21); w.u32(index);
          t.targets.forEach((s, k) => {
            w.u8(0x20); w.u32(index);
            w.u8(0x41); w.s32(k);
            w.u8(0x46);
            w.u8(0x04); w.u8(BLOCK_VOID);
            this.#labels.push({ kind: 'other' });
            this.#goto(i, s);
            this.#labels.pop();
            w.u8(FUNC_END);
          });
          this.#give('i32', index);
          this.#goto(i, t.otherwise);
          return;
        }
        w.u8(0x0e); w.u32(t.targets.length);
        for (const s of t.targets) w.u32(this.#labelFor(i, this.#an.number[s.id] as number));
        w.u32(this.#labelFor(i, this.#an.number[t.otherwise.id] as number));
        return;
      }
      case 'return':
        for (const v of t.values) this.#value(v);
        w.u8(0x0f);
        return;
      default:
    }
    if (o === undefined) throw new Error(`terminator ${t.kind} in a helper`);
    switch (t.kind) {
      case 'jump':
        this.#settle();
        this.#storeStale(i, o.hotParams);
        this.#storePc(t.pc);
        this.#tailCall(() => { w.u8(0x41); w.s32(o.slotOf(t.pc)); });
        return;
      case 'jumpIndirect': {
        const pc = this.#pcLocal(t.pc);
        this.#storeStale(i, o.hotParams);
        this.#tailCall(() => this.#lookup(pc));
        this.#give('i64', pc);
        return;
      }
      case 'ret': {
        w.u8(0x41); w.s32(0);
        this.#value(t.pc);
        this.#settle();
        this.#memarg(0x37, o.pcOffset, true);
        this.#storeStale(i, o.hotResults);
        for (const v of o.hotResults) { w.u8(0x20); w.u32(this.#localOf(v)); }
        w.u8(0x0f);
        return;
      }
      case 'call':
      case 'callIndirect': {
        let pc = -1;
        if (t.kind === 'callIndirect') pc = this.#pcLocal(t.pc);
        else this.#settle();
        this.#storeStale(i, o.hotParams);
        if (t.kind === 'call') this.#storePc(t.pc);
        // Too deep: leave; the dispatcher goes on at state.pc with an empty stack.
        w.u8(0x20); w.u32(0);
        w.u8(0x45);
        w.u8(0x04); w.u8(BLOCK_VOID);
        if (t.kind === 'callIndirect') {
          w.u8(0x41); w.s32(0);
          w.u8(0x20); w.u32(pc);
          this.#memarg(0x37, o.pcOffset, true);
        }
        this.#leaveWithParamsStored();
        w.u8(FUNC_END);
        w.u8(0x20); w.u32(0);
        w.u8(0x41); w.s32(1);
        w.u8(0x6b);
        for (const v of o.hotParams) { w.u8(0x20); w.u32(this.#localOf(v)); }
        if (t.kind === 'call') { w.u8(0x41); w.s32(o.slotOf(t.pc)); } else this.#lookup(pc);
        if (pc >= 0) this.#give('i64', pc);
        w.u8(0x11); w.u32(this.#imports.regionType); w.u32(0);
        for (const v of [...o.hotResults].reverse()) { w.u8(0x21); w.u32(this.#localOf(v)); }
        // Returned elsewhere (longjmp, signal, exec): so do we.
        w.u8(0x41); w.s32(0);
        this.#memarg(0x29, o.pcOffset, true);
        w.u8(0x42); this.#const64(t.returnPc);
        w.u8(0x52);
        w.u8(0x04); w.u8(BLOCK_VOID);
        for (const v of o.hotResults) { w.u8(0x20); w.u32(this.#localOf(v)); }
        w.u8(0x0f);
        w.u8(FUNC_END);
        this.#reload(this.#an.number[t.next.id] as number, o.hotResults);
        this.#goto(i, t.next);
        return;
      }
      case 'syscall':
        this.#settle();
        this.#storeStale(i, []);
        this.#storePc(t.nextPc);
        w.u8(0x10); w.u32(this.#imports.runtime('syscall'));
        w.u8(0x04); w.u8(BLOCK_VOID);
        this.#leave();
        w.u8(FUNC_END);
        this.#reload(this.#an.number[t.next.id] as number, []);
        this.#goto(i, t.next);
        return;
      case 'trap':
        this.#settle();
        this.#storeStale(i, []);
        this.#storePc(t.pc);
        w.u8(0x41); w.s32(t.code);
        w.u8(0x10); w.u32(this.#imports.runtime('trap'));
        this.#leave();
        return;
      default:
        throw new Error(`cannot lower terminator ${(t as Terminator).kind} of block ${b.id}`);
    }
  }

  /** At the end of a block: loads that other operations did not consume by now are consumed by nobody later. */
  #settle(): void {
    this.#pendingLoads.length = 0;
  }

  /** The condition is on the stack. */
  #branch(i: number, then: Block, otherwise: Block): void {
    const w = this.#w;
    if (then === otherwise) {
      w.u8(0x1a);
      this.#goto(i, then);
      return;
    }
    if (this.#an.reducible) {
      const yes = this.#labelFor(i, this.#an.number[then.id] as number);
      if (yes >= 0) {
        w.u8(0x0d); w.u32(yes);
        this.#goto(i, otherwise);
        return;
      }
      const no = this.#labelFor(i, this.#an.number[otherwise.id] as number);
      if (no >= 0) {
        w.u8(0x45);
        w.u8(0x0d); w.u32(no);
        this.#goto(i, then);
        return;
      }
    }
    w.u8(0x04); w.u8(BLOCK_VOID);
    this.#labels.push({ kind: 'other' });
    this.#goto(i, then);
    this.#labels.pop();
    w.u8(FUNC_END);
    this.#goto(i, otherwise);
  }

  #spendBudget(i: number, pc: number): void {
    const w = this.#w;
    const o = this.#region as RegionOptions;
    w.u8(0x20); w.u32(this.#budgetLocal);
    w.u8(0x41); w.s32(1);
    w.u8(0x6b);
    w.u8(0x22); w.u32(this.#budgetLocal);
    w.u8(0x45);
    w.u8(0x04); w.u8(BLOCK_VOID);
    this.#storeSet(this.#an.staleIn, i, o.hotParams);
    this.#storePc(pc);
    this.#tailCall(() => { w.u8(0x41); w.s32(layout.SLOT_BUDGET); });
    w.u8(FUNC_END);
  }

  /** return_call_indirect with depth and hot parameters; `slot` pushes the table slot. */
  #tailCall(slot: () => void): void {
    const w = this.#w;
    const o = this.#region as RegionOptions;
    w.u8(0x20); w.u32(0);
    for (const v of o.hotParams) { w.u8(0x20); w.u32(this.#localOf(v)); }
    slot();
    w.u8(0x13); w.u32(this.#imports.regionType); w.u32(0);
  }

  /** Return with everything in state memory; results from there. */
  #leave(): void {
    const w = this.#w;
    const o = this.#region as RegionOptions;
    for (const v of o.hotResults) {
      w.u8(0x41); w.s32(0);
      this.#memarg(0x29, v.offset, true);
    }
    w.u8(0x0f);
  }
  /** As `leave` where only the hot parameters are still in locals. */
  #leaveWithParamsStored(): void {
    const o = this.#region as RegionOptions;
    for (const v of o.hotParams) this.#storeVar(v);
    this.#leave();
  }

  #pcLocal(v: number): number {
    this.#value(v);
    this.#settle();
    const local = this.#take('i64');
    this.#w.u8(0x21); this.#w.u32(local);
    return local;
  }

  /** Push the slot for the pc in `local` through the jump cache; on a miss SLOT_MISS, state.pc being set. */
  #lookup(local: number): void {
    const w = this.#w;
    const o = this.#region as RegionOptions;
    const entry = this.#take('i32');
    w.u8(0x41); w.s32(0);
    w.u8(0x20); w.u32(local);
    this.#memarg(0x37, o.pcOffset, true);
    w.u8(0x20); w.u32(local);
    w.u8(0xa7);
    w.u8(0x22); w.u32(entry);
    w.u8(0x20); w.u32(entry);
    w.u8(0x41); w.s32(layout.JUMP_CACHE_BITS);
    w.u8(0x76);
    w.u8(0x73);
    w.u8(0x41); w.s32((1 << layout.JUMP_CACHE_BITS) - 1);
    w.u8(0x71);
    w.u8(0x41); w.s32(4);
    w.u8(0x74);
    w.u8(0x21); w.u32(entry);
    w.u8(0x20); w.u32(entry);
    this.#memarg(0x28, layout.JUMP_CACHE + 8, true);
    w.u8(0x41); w.s32(layout.SLOT_MISS);
    w.u8(0x20); w.u32(entry);
    this.#memarg(0x29, layout.JUMP_CACHE, true);
    w.u8(0x20); w.u32(local);
    w.u8(0x51);
    w.u8(0x1b);
    this.#give('i32', entry);
  }

  // ---- variables and state memory ----

  #localOf(v: Var): number {
    const known = this.#varLocal[v.index];
    if (known !== undefined) return known;
    const local = this.#fresh(v.type);
    this.#varLocal[v.index] = local;
    return local;
  }
  #reload(block: number, except: readonly Var[]): void {
    const w = this.#w;
    const an = this.#an;
    for (let word = 0; word < an.words; word++) {
      let bits = an.liveIn[block * an.words + word] as number;
      while (bits !== 0) {
        const k = 31 - Math.clz32(bits & -bits);
        bits &= bits - 1;
        const v = this.#ir.vars[word * 32 + k] as Var;
        if (except.includes(v)) continue;
        w.u8(0x41); w.s32(0);
        this.#memarg(LOAD_FOR[v.type], v.offset, true);
        w.u8(0x21); w.u32(this.#localOf(v));
      }
    }
  }
  #storeStale(block: number, except: readonly Var[]): void {
    this.#storeSet(this.#an.staleOut, block, except);
  }
  #storeSet(set: Int32Array, block: number, except: readonly Var[]): void {
    const an = this.#an;
    for (let word = 0; word < an.words; word++) {
      let bits = set[block * an.words + word] as number;
      while (bits !== 0) {
        const k = 31 - Math.clz32(bits & -bits);
        bits &= bits - 1;
        const v = this.#ir.vars[word * 32 + k] as Var;
        if (!except.includes(v)) this.#storeVar(v);
      }
    }
  }
  #storeVar(v: Var): void {
    const w = this.#w;
    w.u8(0x41); w.s32(0);
    w.u8(0x20); w.u32(this.#localOf(v));
    this.#memarg(STORE_FOR[v.type], v.offset, true);
  }
  /** Precise mode: everything that may be stale by the end of this block, as it is now. */
  #storeStaleHere(): void {
    this.#storeStale(this.#at, []);
  }
  #storePc(pc: number): void {
    const w = this.#w;
    w.u8(0x41); w.s32(0);
    w.u8(0x42); this.#const64(pc);
    this.#memarg(0x37, (this.#region as RegionOptions).pcOffset, true);
  }
  #const64(n: number): void {
    this.#w.s64(n | 0, Math.floor(n / 4294967296));
  }

  /** Opcode and memarg of an access to state memory or guest memory. */
  #memarg(op: number, offset: number, state: boolean): void {
    this.#opcode(op);
    if (state) {
      this.#w.u8(STATE_MEMORY[0]);
      this.#w.u8(STATE_MEMORY[1]);
    } else this.#w.u8(0);
    this.#w.u32(offset);
  }
  #site(pc: number): void {
    this.#sites.push({ offset: this.#w.length, pc });
  }

  // ---- locals ----

  #take(type: ValType): number {
    const pool = this.#free.get(type);
    const known = pool?.pop();
    if (known !== undefined) return known;
    this.#locals.push(type);
    return this.#params + this.#locals.length - 1;
  }
  /** A local that is nobody else's: for what outlives a block, since emission order is not execution order. */
  #fresh(type: ValType): number {
    this.#locals.push(type);
    return this.#params + this.#locals.length - 1;
  }
  #give(type: ValType, local: number): void {
    const pool = this.#free.get(type);
    if (pool === undefined) this.#free.set(type, [local]);
    else pool.push(local);
  }
}

