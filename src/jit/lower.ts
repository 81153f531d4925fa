/**
 * IR → the body of one WebAssembly function.
 *
 * Control flow becomes structured by Ramsey's "Beyond Relooper" (ICFP 2022); an irreducible graph becomes a dispatch
 * loop. Guest variables are locals within the function and live in state memory outside it (see analysis.ts for when they
 * are stored and reloaded). Values and memory are lower-values.ts.
 *
 * Invariants:
 * - Locals 0, 1, 2 are depth and the two hot parameters (regions only).
 * - On every way out of a region each stale variable has been stored, except those that travel as parameters/results.
 *
 * One Lowering serves region after region; its buffers keep their size.
 */
import type { Block, Builder, Terminator, Var } from '../ir/builder.ts';
import { OP, OPS } from '../ir/ops.ts';
import { BLOCK, W } from '../wasm/code-writer.ts';
import * as layout from './layout.ts';
import { AtomicLowering } from './lower-atomics.ts';
import type { Imports, Lowered, RegionOptions } from './lower-values.ts';

export type { Imports, Lowered, RegionOptions } from './lower-values.ts';

/** What a label on the control stack stands for: the loop of a block, the place a block follows, or nothing. */
const LABEL = { loop: 0, follow: 1, other: 2 } as const;
/** In LABEL.loop: the dispatch loop of an irreducible region. */
const DISPATCH = -1;

export class Lowering extends AtomicLowering {
  readonly #labelKinds: number[] = [];
  readonly #labelBlocks: number[] = [];
  readonly #children: number[][] = [];
  #budgetLocal = -1;
  #dispatchLocal = -1;

  region(ir: Builder, entry: Block, imports: Imports, options: RegionOptions): Lowered {
    this.#reset();
    this.begin(ir, imports, options, 3);
    this.varLocal[options.hotParams[0].index] = 1;
    this.varLocal[options.hotParams[1].index] = 2;
    return this.#body(entry, options.hotParams, options.hotResults, options.isaVars);
  }

  /** A helper's body; its parameters are the temporaries `params`. */
  helper(ir: Builder, entry: Block, imports: Imports, params: readonly Var[]): Lowered {
    this.#reset();
    this.begin(ir, imports, undefined, params.length);
    for (const [k, p] of params.entries()) this.varLocal[p.index] = k;
    return this.#body(entry, [], [], 0);
  }

  #reset(): void {
    this.#labelKinds.length = 0;
    this.#labelBlocks.length = 0;
    this.#budgetLocal = -1;
  }

  #body(entry: Block, hotParams: readonly Var[], hotResults: readonly Var[], isaVars: number): Lowered {
    const ir = this.ir;
    const an = this.an;
    an.run(ir, entry, hotParams, hotResults, isaVars, this.options?.precise === true, this.options?.sync === true, this.options?.flagVars ?? []);
    this.left.set(an.uses.subarray(0, ir.count));
    const n = an.order.length;
    for (let i = 0; i < n; i++) {
      if (i < this.#children.length) (this.#children[i] as number[]).length = 0;
      else this.#children.push([]);
    }
    // In descending order, as #tree wants them.
    for (let i = n - 1; i > 0; i--) if (an.merge[i] === 1) (this.#children[an.idom[i] as number] as number[]).push(i);

    if (this.options !== undefined) this.#regionEntry(this.options);
    if (an.reducible) this.#tree(0);
    else this.#dispatchLoop();
    // Every path has left; this tells the validator so.
    this.w.u8(W.unreachable);
    return { locals: this.locals, body: this.w.take(), sites: this.sites, relocs: this.relocs };
  }

  #regionEntry(o: RegionOptions): void {
    const w = this.w;
    const an = this.an;
    if (o.counter >= 0) {
      // counter = counter - 1; spent: through SLOT_BUDGET, with the entry's pc
      this.counterBase();
      this.counterBase();
      this.counterAccess(W.i32Load, o.counter);
      w.i32Const(1);
      w.u8(W.i32Sub);
      const t = this.take('i32');
      w.localTee(t);
      this.counterAccess(W.i32Store, o.counter);
      w.localGet(t);
      this.give('i32', t);
      w.u8(W.i32Eqz);
      w.if(BLOCK.void);
      this.storePc((an.order[0] as Block).pc);
      this.#tailCall(() => {
        w.i32Const(layout.SLOT_BUDGET);
      });
      w.u8(W.end);
    }
    let loops = false;
    for (let i = 0; i < an.order.length; i++) if (an.spends[i] === 1) loops = true;
    if (loops) {
      this.#budgetLocal = this.fresh('i32');
      w.i32Const(o.budget);
      w.localSet(this.#budgetLocal);
    }
    this.reload(0, o.hotParams);
  }

  // ---- structured control flow ----

  #tree(i: number): void {
    const w = this.w;
    const isLoop = this.an.loopHead[i] === 1;
    if (isLoop) {
      w.loop(BLOCK.void);
      this.#pushLabel(LABEL.loop, i);
    }
    // Outermost the follower that stands last.
    const followers = this.#children[i] as number[];
    for (const y of followers) {
      w.block(BLOCK.void);
      this.#pushLabel(LABEL.follow, y);
    }
    this.#blockBody(i);
    for (let k = followers.length - 1; k >= 0; k--) {
      this.#popLabel();
      w.u8(W.end);
      this.#tree(followers[k] as number);
    }
    if (isLoop) {
      this.#popLabel();
      w.u8(W.end);
    }
  }
  #pushLabel(kind: number, block: number): void {
    this.#labelKinds.push(kind);
    this.#labelBlocks.push(block);
  }
  #popLabel(): void {
    this.#labelKinds.pop();
    this.#labelBlocks.pop();
  }

  /** Irreducible graphs: a loop around a switch over all blocks. */
  #dispatchLoop(): void {
    const w = this.w;
    const n = this.an.order.length;
    this.#dispatchLocal = this.fresh('i32');
    w.i32Const(0);
    w.localSet(this.#dispatchLocal);
    w.loop(BLOCK.void);
    this.#pushLabel(LABEL.loop, DISPATCH);
    for (let i = n - 1; i >= 0; i--) {
      w.block(BLOCK.void);
      this.#pushLabel(LABEL.follow, i);
    }
    w.localGet(this.#dispatchLocal);
    w.brTable(n - 1);
    for (let i = 0; i < n; i++) w.u32(i);
    for (let i = 0; i < n; i++) {
      this.#popLabel();
      w.u8(W.end);
      this.#blockBody(i);
    }
    this.#popLabel();
    w.u8(W.end);
  }

  #depthOf(kind: number, block: number): number {
    const kinds = this.#labelKinds;
    for (let k = kinds.length - 1; k >= 0; k--)
      if (kinds[k] === kind && this.#labelBlocks[k] === block) return kinds.length - 1 - k;
    throw new Error(`no label for block ${block}`);
  }

  /** The label depth a jump from block `from` to `to` branches to, or -1 if `to` follows inline. */
  #labelFor(from: number, to: number): number {
    if (this.an.loopHead[to] === 1 && to <= from) return this.#depthOf(LABEL.loop, to);
    if (this.an.merge[to] === 1) return this.#depthOf(LABEL.follow, to);
    return -1;
  }

  #goto(from: number, to: Block): void {
    const w = this.w;
    const j = this.an.number[to.id] as number;
    if (!this.an.reducible) {
      w.i32Const(j);
      w.localSet(this.#dispatchLocal);
      w.br(this.#depthOf(LABEL.loop, DISPATCH));
      return;
    }
    const depth = this.#labelFor(from, j);
    if (depth >= 0) {
      w.br(depth);
    } else this.#tree(j);
  }

  // ---- a block ----

  #blockBody(i: number): void {
    const ir = this.ir;
    const w = this.w;
    const an = this.an;
    const b = an.order[i] as Block;
    const t = b.term as Terminator;
    if (this.options?.precise === true)
      for (let k = 0; k < an.words; k++) this.staleNow[k] = an.staleIn[i * an.words + k] as number;
    else if (this.an.storesAtEnd) this.staleNow.fill(0);
    this.pendingLoads.length = 0;
    for (const x of this.gotten) this.pendingGet[x] = -1;
    this.gotten.length = 0;
    if (b.pc >= 0) this.pc = b.pc;
    if (an.spends[i] === 1 && this.#budgetLocal >= 0) this.#spendBudget(i, b.pc);

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
          if (an.crosses[v] === 1) this.materialise(v);
          else {
            this.pendingGet[ir.a[v] as number] = v;
            this.gotten.push(ir.a[v] as number);
          }
          break;
        case OP.set: {
          const x = ir.a[v] as number;
          const variable = ir.vars[x] as Var;
          this.value(ir.b[v] as number);
          this.saveGet(x);
          w.localSet(this.localOf(variable));
          if (variable.offset >= 0) this.staleNow[x >> 5] = (this.staleNow[x >> 5] as number) | (1 << (x & 31));
          break;
        }
        case OP.insn:
          this.pc = ir.marks[ir.a[v] as number] as number;
          if (this.options?.precise === true) this.flushLoads();
          break;
        case OP.fence:
          this.flushLoads();
          w.fence();
          this.epoch++;
          break;
        case OP.stateLoad:
          this.deferLoad(v);
          break;
        case OP.stateStore: {
          const c = ir.c[v] as number;
          const addr = ir.a[v] as number;
          if (addr < 0) {
            w.i32Const(0);
          } else this.value(addr);
          this.value(ir.b[v] as number);
          this.flushLoads();
          w.stateAccess(c >>> 20, c & 0xfffff);
          break;
        }
        case OP.call:
          this.call(v);
          break;
        case OP.atomicRmw:
        case OP.atomicCmpxchg:
          this.atomic(v);
          break;
        case OP.probeWrite:
          this.probeWrite(v);
          break;
        default: {
          const info = OPS[op];
          if (info === undefined) throw new Error(`cannot lower operation ${op}`);
          if (info.kind === 'load') this.deferLoad(v);
          else if (info.kind === 'store') this.store(v);
          else if (an.crosses[v] === 1) this.materialise(v);
          // otherwise emitted where it is first used
        }
      }
    }
    this.#terminator(i, b, t);
  }

  // ---- leaving ----

  #terminator(i: number, b: Block, t: Terminator): void {
    const w = this.w;
    const o = this.options;
    if (this.an.storesAtEnd) {
      for (let k = 0; k < this.an.words; k++)
        this.staleNow[k] = (this.staleNow[k] as number) & (this.an.storeAtEnd[i * this.an.words + k] as number);
      this.storeSet(this.staleNow, 0, []);
    }
    switch (t.kind) {
      case 'goto':
        this.#settle();
        this.#goto(i, t.to);
        return;
      case 'branch': {
        this.value(t.cond);
        this.keepOrder(t.cond, -1);
        this.#settle();
        this.#branch(i, t.then, t.else);
        return;
      }
      case 'switch': {
        this.value(t.index);
        this.#settle();
        if (!this.an.reducible) {
          // Each target has to set the dispatch variable first: compare one by one.
          const index = this.take('i32');
          w.localSet(index);
          t.targets.forEach((s, k) => {
            w.localGet(index);
            w.i32Const(k);
            w.u8(W.i32Eq);
            w.if(BLOCK.void);
            this.#pushLabel(LABEL.other, 0);
            this.#goto(i, s);
            this.#popLabel();
            w.u8(W.end);
          });
          this.give('i32', index);
          this.#goto(i, t.otherwise);
          return;
        }
        w.brTable(t.targets.length);
        for (const s of t.targets) w.u32(this.#labelFor(i, this.an.number[s.id] as number));
        w.u32(this.#labelFor(i, this.an.number[t.otherwise.id] as number));
        return;
      }
      case 'return':
        for (const v of t.values) this.value(v);
        w.u8(W.return);
        return;
      default:
    }
    if (o === undefined) throw new Error(`terminator ${t.kind} in a helper`);
    switch (t.kind) {
      case 'jump':
        this.#settle();
        this.storeStale(i, t.flagsDead === true ? [...o.hotParams, ...o.flagVars] : o.hotParams);
        this.storePc(t.pc);
        this.#tailCall(() => {
          this.slot(t.pc);
        });
        return;
      case 'jumpIndirect': {
        const pc = this.#pcLocal(t.pc);
        this.storeStale(i, o.hotParams);
        if (t.spent === true) {
          w.i32Const(0);
          w.localGet(pc);
          w.stateAccess(W.i64Store, o.pcOffset);
          this.#tailCall(() => w.i32Const(layout.SLOT_BUDGET));
        } else {
          w.i32Const(0);
          w.i64ConstOf(this.pc);
          w.stateAccess(W.i64Store, layout.SITE);
          if (o.relocatable) this.#recordTarget(pc);
          this.#tailCall(() => this.#lookup(pc, layout.SLOT_MISS_INDIRECT, t.likely));
        }
        this.give('i64', pc);
        return;
      }
      case 'ret': {
        w.i32Const(0);
        this.value(t.pc);
        this.#settle();
        w.stateAccess(W.i64Store, o.pcOffset);
        this.storeStale(i, o.hotResults);
        for (const v of o.hotResults) {
          w.localGet(this.localOf(v));
        }
        w.u8(W.return);
        return;
      }
      case 'call':
      case 'callIndirect': {
        let pc = -1;
        if (t.kind === 'callIndirect') pc = this.#pcLocal(t.pc);
        else this.#settle();
        this.storeStale(i, t.kind === 'call' && t.flagsDead === true ? [...o.hotParams, ...o.flagVars] : o.hotParams);
        if (t.kind === 'call') this.storePc(t.pc);
        else if (o.relocatable) this.#recordTarget(pc);
        // Too deep: leave; the dispatcher goes on at state.pc with an empty stack.
        w.localGet(0);
        w.u8(W.i32Eqz);
        w.if(BLOCK.void);
        if (t.kind === 'callIndirect') {
          w.i32Const(0);
          w.localGet(pc);
          w.stateAccess(W.i64Store, o.pcOffset);
        }
        this.#leaveWithParamsStored();
        w.u8(W.end);
        w.localGet(0);
        w.i32Const(1);
        w.u8(W.i32Sub);
        for (const v of o.hotParams) {
          w.localGet(this.localOf(v));
        }
        if (t.kind === 'call') {
          this.slot(t.pc);
        } else this.#lookup(pc, layout.SLOT_MISS, t.likely);
        if (pc >= 0) this.give('i64', pc);
        w.callIndirect(this.imports.regionType);
        for (const v of [...o.hotResults].reverse()) {
          w.localSet(this.localOf(v));
        }
        // Returned elsewhere (longjmp, signal, exec): so do we.
        w.i32Const(0);
        w.stateAccess(W.i64Load, o.pcOffset);
        w.i64ConstOf(t.returnPc);
        w.u8(W.i64Ne);
        w.if(BLOCK.void);
        for (const v of o.hotResults) {
          w.localGet(this.localOf(v));
        }
        w.u8(W.return);
        w.u8(W.end);
        this.reload(this.an.number[t.next.id] as number, o.hotResults);
        this.#goto(i, t.next);
        return;
      }
      case 'syscall':
        this.#settle();
        this.storeStale(i, []);
        this.storePc(t.nextPc);
        this.callImport(this.imports.runtime('syscall'));
        w.if(BLOCK.void);
        this.#leave();
        w.u8(W.end);
        this.reload(this.an.number[t.next.id] as number, []);
        this.#goto(i, t.next);
        return;
      case 'trap':
        this.#settle();
        this.storeStale(i, []);
        this.storePc(t.pc);
        w.i32Const(t.code);
        this.callImport(this.imports.runtime('trap'));
        this.#leave();
        return;
      default:
        throw new Error(`cannot lower terminator ${(t as Terminator).kind} of block ${b.id}`);
    }
  }

  /** At the end of a block: loads that other operations did not consume by now are consumed by nobody later. */
  #settle(): void {
    this.pendingLoads.length = 0;
  }

  /** The condition is on the stack. */
  #branch(i: number, then: Block, otherwise: Block): void {
    const w = this.w;
    if (then === otherwise) {
      w.u8(W.drop);
      this.#goto(i, then);
      return;
    }
    if (this.an.reducible) {
      const yes = this.#labelFor(i, this.an.number[then.id] as number);
      if (yes >= 0) {
        w.brIf(yes);
        this.#goto(i, otherwise);
        return;
      }
      const no = this.#labelFor(i, this.an.number[otherwise.id] as number);
      if (no >= 0) {
        w.u8(W.i32Eqz);
        w.brIf(no);
        this.#goto(i, then);
        return;
      }
    }
    w.if(BLOCK.void);
    this.#pushLabel(LABEL.other, 0);
    this.#goto(i, then);
    this.#popLabel();
    w.u8(W.end);
    this.#goto(i, otherwise);
  }

  #spendBudget(i: number, pc: number): void {
    const w = this.w;
    const o = this.options as RegionOptions;
    w.localGet(this.#budgetLocal);
    w.i32Const(1);
    w.u8(W.i32Sub);
    w.localTee(this.#budgetLocal);
    w.u8(W.i32Eqz);
    w.if(BLOCK.void);
    this.storeSet(this.an.staleIn, i, o.hotParams);
    this.storePc(pc);
    this.#tailCall(() => {
      w.i32Const(layout.SLOT_BUDGET);
    });
    w.u8(W.end);
  }

  /** return_call_indirect with depth and hot parameters; `slot` pushes the table slot. */
  #tailCall(slot: () => void): void {
    const w = this.w;
    const o = this.options as RegionOptions;
    w.localGet(0);
    for (const v of o.hotParams) {
      w.localGet(this.localOf(v));
    }
    slot();
    w.returnCallIndirect(this.imports.regionType);
  }

  /** Return with everything in state memory; results from there. */
  #leave(): void {
    const w = this.w;
    const o = this.options as RegionOptions;
    for (const v of o.hotResults) {
      w.i32Const(0);
      w.stateAccess(W.i64Load, v.offset);
    }
    w.u8(W.return);
  }
  /** As `leave` where only the hot parameters are still in locals. */
  #leaveWithParamsStored(): void {
    const o = this.options as RegionOptions;
    for (const v of o.hotParams) this.storeVar(v);
    this.#leave();
  }

  #pcLocal(v: number): number {
    this.value(v);
    this.#settle();
    const local = this.take('i64');
    this.w.localSet(local);
    return local;
  }

  /** Note for optimised code where the indirect jump or call at this.pc goes. */
  #recordTarget(local: number): void {
    const w = this.w;
    w.localGet(local);
    w.u8(W.i32WrapI64);
    w.i32Const(24);
    w.u8(W.i32And);
    w.localGet(local);
    w.i64Const(0, layout.siteTag(this.pc) << 2);
    w.u8(W.i64Or);
    w.stateAccess(W.i64Store, layout.targetsOf(this.pc));
  }

  /** Push the slot for the pc in `local`, that of `likely` or through the jump cache; on a miss `miss`, state.pc being set. */
  #lookup(local: number, miss: number, likely: number | undefined): void {
    const w = this.w;
    const o = this.options as RegionOptions;
    w.i32Const(0);
    w.localGet(local);
    w.stateAccess(W.i64Store, o.pcOffset);
    if (likely === undefined) {
      this.#lookupInCache(local, miss);
      return;
    }
    w.localGet(local);
    w.i64ConstOf(likely);
    w.u8(W.i64Eq);
    w.if(BLOCK.i32);
    this.slot(likely);
    w.u8(W.else);
    this.#lookupInCache(local, miss);
    w.u8(W.end);
  }
  #lookupInCache(local: number, miss: number): void {
    const w = this.w;
    const entry = this.take('i32');
    w.localGet(local);
    w.u8(W.i32WrapI64);
    w.localTee(entry);
    w.localGet(entry);
    w.i32Const(layout.JUMP_CACHE_BITS);
    w.u8(W.i32ShrU);
    w.u8(W.i32Xor);
    w.i32Const((1 << layout.JUMP_CACHE_BITS) - 1);
    w.u8(W.i32And);
    w.i32Const(4);
    w.u8(W.i32Shl);
    w.localSet(entry);
    w.localGet(entry);
    w.stateAccess(W.i32Load, layout.JUMP_CACHE + 8);
    w.i32Const(miss);
    w.localGet(entry);
    w.stateAccess(W.i64Load, layout.JUMP_CACHE);
    w.localGet(local);
    w.u8(W.i64Eq);
    w.u8(W.select);
    this.give('i32', entry);
  }
}
