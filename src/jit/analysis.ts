/**
 * Facts about a built region that lowering needs: block order, dominators, loops, which variables differ from state
 * memory (*stale* there) and which are live, and which operations are worth emitting at all.
 *
 * Blocks are numbered in reverse postorder; unreachable ones have none. Only the ISA's variables take part in the
 * staleness and liveness analyses; temporaries live and die in wasm locals.
 *
 * One Analysis is used for region after region: its arrays keep their size, and only the front part means anything.
 */
import type { Block, Builder, Terminator, Var } from '../ir/builder.ts';
import { forEachOperand, successors, terminatorOperands } from '../ir/operands.ts';
import { OP, OPS } from '../ir/ops.ts';

/** After these the variables are reloaded from state memory: the successor is entered with fresh ones. */
const reloads = (t: Terminator): boolean => t.kind === 'call' || t.kind === 'callIndirect' || t.kind === 'syscall';

const flagsDead = (t: Terminator): boolean => (t.kind === 'jump' || t.kind === 'call') && t.flagsDead === true;

/** Ways out that store a variable for each block that sets it, from which on it is stored there (#seldomSet). */
const WAYS_A_SETTER = 2;

const KIND = { other: 0, effect: 1, load: 2 } as const;
/** What `mark` has to know of an operation id. */
const kindOf = new Uint8Array(0x400);
for (const [id, info] of OPS.entries()) {
  if (info === undefined) continue;
  if (info.kind === 'store') kindOf[id] = KIND.effect;
  else if (info.kind === 'load') kindOf[id] = KIND.load;
}
for (const id of [OP.stateStore, OP.fence, OP.atomicRmw, OP.atomicCmpxchg, OP.probeWrite, OP.insn])
  kindOf[id] = KIND.effect;

function mayFault(ir: Builder, v: number): boolean {
  const op = ir.op[v] as number;
  if (op === OP.call) return ir.helpers[ir.a[v] as number]?.effect === 'state';
  return (
    op === OP.atomicRmw ||
    op === OP.atomicCmpxchg ||
    (op !== OP.stateStore && op !== OP.fence && op !== OP.insn && kindOf[op] !== KIND.other)
  );
}

export class Analysis {
  /** Reachable blocks in reverse postorder; `number[block.id]` is the position, -1 if unreachable. */
  readonly order: Block[] = [];
  number = new Int32Array(64);
  /** Immediate dominator by position (0 for the entry). */
  idom = new Int32Array(64);
  /** By position: several forward edges come in. */
  merge = new Uint8Array(64);
  /** By position: a back edge comes in. */
  loopHead = new Uint8Array(64);
  /** By position: the region may be left here because its budget is spent. */
  spends = new Uint8Array(64);
  reducible = true;
  /** Words of a variable set. */
  words = 0;
  /** Per position, `words` each: variables possibly stale in state memory at the end and the beginning of the block. */
  staleOut = new Int32Array(64);
  staleIn = new Int32Array(64);
  /**
   * Per position, variables that are stored at the end of the block, because memory may be asked for them later; they are
   * never stale from one block to the next. With `sync` that is all but the hot ones, else those that few blocks set and many
   * ways out would have to store, if any: see #seldomSet.
   */
  storeAtEnd = new Int32Array(64);
  storesAtEnd = false;
  /** Variables live on entry. */
  liveIn = new Int32Array(64);
  /** By value: how often emitted operations use it. */
  uses = new Int32Array(1024);
  /** By value: it is worth emitting. */
  needed = new Uint8Array(1024);
  /** By value: used by another block than its own. */
  crosses = new Uint8Array(1024);

  #liveOut = new Int32Array(64);
  /** Variables set, and those read before they are set. */
  #sets = new Int32Array(64);
  #exposed = new Int32Array(64);
  /** Variables whose place in memory may be read after the block, before it is set again. */
  #memoryOut = new Int32Array(64);
  #owner = new Int32Array(1024);
  #paramBits = new Int32Array(4);
  #resultBits = new Int32Array(4);
  #flagBits = new Int32Array(4);
  #live = new Int32Array(4);
  #stack: Block[] = [];
  #stackAt: number[] = [];
  /** Successors by block id while numbering, by position afterwards. */
  readonly #byId: (readonly Block[])[] = [];
  readonly #successors: (readonly Block[])[] = [];
  /** By position. */
  readonly #predecessors: number[][] = [];
  /** Variables that are stored at the end of blocks. */
  #eager = new Int32Array(4);

  /**
   * `precise`: an access that may fault needs all registers in state memory, so nothing set before it is dead, except
   * flags, which nobody misses that the code itself overwrites unread. `sync`: see storeAtEnd.
   */
  run(
    ir: Builder,
    entry: Block,
    hotParams: readonly Var[],
    hotResults: readonly Var[],
    isaVars: number,
    precise: boolean,
    sync: boolean,
    flagVars: readonly Var[],
  ): void {
    this.words = (isaVars + 31) >> 5;
    this.#reserve(ir.blocks.length, ir.count);
    this.#number(entry);
    this.#structure();
    for (let i = 0; i < this.order.length; i++) {
      const b = this.order[i] as Block;
      this.spends[i] = b.pc >= 0 && (this.loopHead[i] === 1 || b.leadsBack) ? 1 : 0;
    }
    this.#bits(this.#paramBits, hotParams);
    this.#bits(this.#resultBits, hotResults);
    this.#bits(this.#flagBits, flagVars);
    this.storesAtEnd = false;
    if (isaVars > 0) {
      this.#localSets(ir, isaVars);
      this.#eager.fill(0);
      if (sync) for (let w = 0; w < this.words; w++) this.#eager[w] = ~((this.#paramBits[w] as number) | (this.#resultBits[w] as number));
      this.#stale();
      this.storesAtEnd = sync || (!precise && this.#seldomSet(isaVars));
      if (this.storesAtEnd) this.#memory(ir, precise);
      if (this.storesAtEnd && !sync) this.#stale();
      if (precise) this.#exposeStale(ir);
      this.#liveness();
    }
    this.#mark(ir, isaVars, precise);
  }

  #reserve(blocks: number, values: number): void {
    if (this.number.length < blocks) {
      const n = blocks * 2;
      this.number = new Int32Array(n);
      this.idom = new Int32Array(n);
      this.merge = new Uint8Array(n);
      this.loopHead = new Uint8Array(n);
      this.spends = new Uint8Array(n);
    }
    if (this.staleOut.length < blocks * this.words) {
      const n = blocks * this.words * 2;
      this.staleOut = new Int32Array(n);
      this.staleIn = new Int32Array(n);
      this.liveIn = new Int32Array(n);
      this.#liveOut = new Int32Array(n);
      this.#sets = new Int32Array(n);
      this.#exposed = new Int32Array(n);
      this.#memoryOut = new Int32Array(n);
      this.storeAtEnd = new Int32Array(n);
    }
    if (this.uses.length < values) {
      const n = values * 2;
      this.uses = new Int32Array(n);
      this.needed = new Uint8Array(n);
      this.crosses = new Uint8Array(n);
      this.#owner = new Int32Array(n);
    }
    this.number.fill(-1, 0, blocks);
    this.uses.fill(0, 0, values);
    this.needed.fill(0, 0, values);
    this.crosses.fill(0, 0, values);
    this.#owner.fill(-1, 0, values);
  }

  /** Reverse postorder; iterative, since regions may be long chains. */
  #number(entry: Block): void {
    const { number, order } = this;
    const stack = this.#stack;
    const at = this.#stackAt;
    const next = this.#byId;
    order.length = 0;
    const enter = (b: Block): void => {
      number[b.id] = 0;
      if (b.term === undefined) throw new Error(`block ${b.id} was never finished`);
      stack.push(b);
      at.push(0);
      next[b.id] = successors(b.term);
    };
    enter(entry);
    while (stack.length > 0) {
      const top = stack.length - 1;
      const block = stack[top] as Block;
      const s = (next[block.id] as readonly Block[])[at[top] as number];
      if (s === undefined) {
        order.push(block);
        stack.pop();
        at.pop();
      } else {
        at[top] = (at[top] as number) + 1;
        if (number[s.id] === -1) enter(s);
      }
    }
    order.reverse();
    for (let i = 0; i < order.length; i++) {
      const { id } = order[i] as Block;
      number[id] = i;
      this.#successors[i] = next[id] as readonly Block[];
    }
  }

  /** Dominators (Cooper, Harvey, Kennedy: "A Simple, Fast Dominance Algorithm"), merges, loops. */
  #structure(): void {
    const { order, number, idom, merge, loopHead } = this;
    const n = order.length;
    merge.fill(0, 0, n);
    loopHead.fill(0, 0, n);
    this.reducible = true;
    idom[0] = 0;
    this.#predecessors.length = 0;
    if (n === 1) {
      this.#predecessors.push([0]);
      if ((this.#successors[0] as readonly Block[]).length > 0) loopHead[0] = 1;
      return;
    }
    const preds = this.#predecessors;
    for (let i = 0; i < n; i++) preds.push([]);
    for (let i = 0; i < n; i++) {
      const t = (order[i] as Block).term as Terminator;
      for (const s of this.#successors[i] as readonly Block[]) {
        const j = number[s.id] as number;
        (preds[j] as number[]).push(i);
        if (t.kind === 'switch') merge[j] = 1;
      }
    }
    idom.fill(-1, 1, n);
    for (let again = true; again; ) {
      again = false;
      for (let i = 1; i < n; i++) {
        let d = -1;
        for (const p of preds[i] as number[]) {
          if (idom[p] === -1) continue;
          if (d === -1) d = p;
          else {
            let a = p;
            let b = d;
            while (a !== b) {
              while (a > b) a = idom[a] as number;
              while (b > a) b = idom[b] as number;
            }
            d = a;
          }
        }
        if (idom[i] !== d) {
          idom[i] = d;
          again = true;
        }
      }
    }
    for (let i = 0; i < n; i++) {
      let forward = 0;
      for (const p of preds[i] as number[]) {
        if (p < i) forward++;
        else {
          loopHead[i] = 1;
          let d = p;
          while (d > i) d = idom[d] as number;
          if (d !== i) this.reducible = false;
        }
      }
      if (forward > 1) merge[i] = 1;
    }
  }

  #bits(out: Int32Array, vars: readonly Var[]): void {
    out.fill(0);
    for (const v of vars) out[v.index >> 5] = (out[v.index >> 5] as number) | (1 << (v.index & 31));
  }

  #localSets(ir: Builder, isaVars: number): void {
    const { words, order } = this;
    const sets = this.#sets;
    const exposed = this.#exposed;
    const n = order.length;
    sets.fill(0, 0, n * words);
    exposed.fill(0, 0, n * words);
    const { op, a } = ir;
    for (let i = 0; i < n; i++) {
      const b = order[i] as Block;
      for (let v = b.start; v < b.end; v++) {
        const o = op[v];
        if (o !== OP.get && o !== OP.set) continue;
        const x = a[v] as number;
        if (x >= isaVars) continue;
        const w = i * words + (x >> 5);
        const bit = 1 << (x & 31);
        if (o === OP.set) sets[w] = (sets[w] as number) | bit;
        else if (((sets[w] as number) & bit) === 0) exposed[w] = (exposed[w] as number) | bit;
      }
    }
  }

  /** Backward: which variables must be in state memory when a block ends, since a way out may be next. */
  #memory(ir: Builder, precise: boolean): void {
    const { words, order, number, spends, storeAtEnd } = this;
    const sets = this.#sets;
    const out = this.#memoryOut;
    const n = order.length;
    /** By position: something in the block may fault, which needs memory as it is on entry. */
    const all = new Uint8Array(n);
    for (let i = 0; i < n; i++) {
      const b = order[i] as Block;
      if (precise) for (let v = b.start; v < b.end && all[i] === 0; v++) if (mayFault(ir, v)) all[i] = 1;
    }
    out.fill(0, 0, n * words);
    for (let again = true; again; ) {
      again = false;
      for (let i = n - 1; i >= 0; i--) {
        const t = (order[i] as Block).term as Terminator;
        const inside = t.kind === 'goto' || t.kind === 'branch' || t.kind === 'switch';
        for (let w = 0; w < words; w++) {
          const flags = this.#flagBits[w] as number;
          let bits = 0;
          if (inside)
            for (const s of this.#successors[i] as readonly Block[]) {
              const j = number[s.id] as number;
              if (spends[j] === 1) bits = -1;
              else if (all[j] === 1) bits |= ~flags;
              bits |= (out[j * words + w] as number) & ~(sets[j * words + w] as number);
            }
          else bits = flagsDead(t) ? ~flags : -1;
          if (bits !== out[i * words + w]) {
            out[i * words + w] = bits;
            again = true;
          }
        }
      }
    }
    for (let i = 0; i < n; i++)
      for (let w = 0; w < words; w++)
        storeAtEnd[i * words + w] = (sets[i * words + w] as number) & (out[i * words + w] as number) & (this.#eager[w] as number);
  }

  /**
   * Optimised code has dozens of ways out, most of them never gone, and each stores what is stale there. What few blocks set is
   * better stored by those, unless they belong to a loop that calls nothing: such loops run without stores. Sets #eager.
   */
  #seldomSet(isaVars: number): boolean {
    const { words, order, spends, staleIn, staleOut } = this;
    const sets = this.#sets;
    const n = order.length;
    const ways = new Int32Array(isaVars);
    const setters = new Int32Array(isaVars);
    const count = (counts: Int32Array, bits: Int32Array, i: number): void => {
      for (let w = 0; w < words; w++)
        for (let rest = bits[i * words + w] as number; rest !== 0; rest &= rest - 1) {
          const x = w * 32 + 31 - Math.clz32(rest & -rest);
          counts[x] = (counts[x] as number) + 1;
        }
    };
    for (let i = 0; i < n; i++) {
      const { kind } = (order[i] as Block).term as Terminator;
      if (kind !== 'goto' && kind !== 'branch' && kind !== 'switch') count(ways, staleOut, i);
      if (spends[i] === 1) count(ways, staleIn, i);
      count(setters, sets, i);
    }
    const tight = this.#loopsWithoutCalls();
    const kept = new Int32Array(words);
    for (let i = 0; i < n; i++)
      if (tight[i] === 1) for (let w = 0; w < words; w++) kept[w] = (kept[w] as number) | (sets[i * words + w] as number);
    let any = false;
    for (let x = 0; x < isaVars; x++) {
      const w = x >> 5;
      const never = (kept[w] as number) | (this.#paramBits[w] as number) | (this.#resultBits[w] as number) | (this.#flagBits[w] as number);
      if ((setters[x] as number) === 0 || (setters[x] as number) * WAYS_A_SETTER > (ways[x] as number) || ((never >> (x & 31)) & 1) === 1) continue;
      this.#eager[w] = (this.#eager[w] as number) | (1 << (x & 31));
      any = true;
    }
    return any;
  }
  /** By position: whether the block belongs to such a loop. */
  #loopsWithoutCalls(): Uint8Array {
    const { order, loopHead } = this;
    const n = order.length;
    const found = new Uint8Array(n);
    for (let head = 0; head < n; head++) {
      if (loopHead[head] === 0) continue;
      const body = new Set([head]);
      const work = (this.#predecessors[head] ?? []).filter((p) => p >= head);
      let calls = false;
      while (work.length > 0) {
        const b = work.pop() as number;
        if (body.has(b)) continue;
        body.add(b);
        work.push(...(this.#predecessors[b] as number[]));
      }
      for (const b of body) if (reloads((order[b] as Block).term as Terminator)) calls = true;
      if (!calls) for (const b of body) found[b] = 1;
    }
    return found;
  }

  /** Forward: which variables may differ from state memory. */
  #stale(): void {
    const { words, order, number, staleIn, staleOut } = this;
    const sets = this.#sets;
    const n = order.length;
    staleIn.fill(0, 0, n * words);
    for (let w = 0; w < words; w++) staleIn[w] = this.#paramBits[w] as number;
    for (let again = true; again; ) {
      again = false;
      for (let i = 0; i < n; i++) {
        const t = (order[i] as Block).term as Terminator;
        for (let w = 0; w < words; w++) {
          const k = i * words + w;
          staleOut[k] = (staleIn[k] as number) | ((sets[k] as number) & ~(this.#eager[w] as number));
        }
        for (const s of this.#successors[i] as readonly Block[]) {
          const j = number[s.id] as number;
          for (let w = 0; w < words; w++) {
            let out = staleOut[i * words + w] as number;
            if (t.kind === 'syscall') out = 0;
            else if (reloads(t)) out = this.#resultBits[w] as number;
            const old = staleIn[j * words + w] as number;
            const now = old | out;
            if (now !== old) {
              staleIn[j * words + w] = now;
              if (j <= i) again = true;
            }
          }
        }
      }
    }
  }

  /** Precise: what is stale when a block with an access begins is stored there, so it must be in its local. */
  #exposeStale(ir: Builder): void {
    const { words, order, staleIn } = this;
    for (let i = 0; i < order.length; i++) {
      const b = order[i] as Block;
      for (let v = b.start; v < b.end; v++) {
        if (!mayFault(ir, v)) continue;
        for (let w = i * words; w < (i + 1) * words; w++)
          this.#exposed[w] = (this.#exposed[w] as number) | (staleIn[w] as number);
        break;
      }
    }
  }

  /** Backward: which variables must be in their locals. */
  #liveness(): void {
    const { words, order, number, staleIn, liveIn, loopHead, spends } = this;
    const liveOut = this.#liveOut;
    const n = order.length;
    liveIn.fill(0, 0, n * words);
    for (let again = true; again; ) {
      again = false;
      for (let i = n - 1; i >= 0; i--) {
        const t = (order[i] as Block).term as Terminator;
        for (let w = 0; w < words; w++) {
          const k = i * words + w;
          let out = this.#exitUses(t, k, w);
          if (!reloads(t))
            for (const s of this.#successors[i] as readonly Block[])
              out |= liveIn[(number[s.id] as number) * words + w] as number;
          liveOut[k] = out;
          let live = (this.#exposed[k] as number) | (out & ~(this.#sets[k] as number));
          // The region may be left here: it needs what is stale.
          if (spends[i] === 1) live |= (staleIn[k] as number) | (this.#paramBits[w] as number);
          if (live !== liveIn[k]) {
            liveIn[k] = live;
            if (i < n - 1 || loopHead[i] === 1) again = true;
          }
        }
      }
    }
  }
  /** What a terminator itself takes from locals. */
  #exitUses(t: Terminator, k: number, w: number): number {
    let stale = this.staleOut[k] as number;
    if (flagsDead(t)) stale &= ~(this.#flagBits[w] as number);
    switch (t.kind) {
      case 'jump':
      case 'jumpIndirect':
      case 'call':
      case 'callIndirect':
        return stale | (this.#paramBits[w] as number);
      case 'ret':
        return stale | (this.#resultBits[w] as number);
      case 'trap':
      case 'syscall':
        return stale;
      default:
        return 0;
    }
  }

  /** Dead sets, then what is needed and how often. */
  #mark(ir: Builder, isaVars: number, precise: boolean): void {
    const { words, order, needed, uses, crosses } = this;
    const { op, a } = ir;
    const owner = this.#owner;
    const live = this.#live;
    const n = order.length;
    for (let i = 0; i < n; i++) {
      const b = order[i] as Block;
      owner.fill(i, b.start, b.end);
      for (let w = 0; w < words; w++) live[w] = (this.#liveOut[i * words + w] as number) | (this.storesAtEnd ? (this.storeAtEnd[i * words + w] as number) : 0);
      for (let v = b.end - 1; v >= b.start; v--) {
        const o = op[v] as number;
        if (precise && mayFault(ir, v))
          for (let w = 0; w < words; w++) live[w] = (live[w] as number) | ~(this.#flagBits[w] as number);
        if (o === OP.set) {
          const x = a[v] as number;
          if (x >= isaVars) needed[v] = 1;
          else {
            const w = x >> 5;
            const bit = 1 << (x & 31);
            if (((live[w] as number) & bit) !== 0) {
              needed[v] = 1;
              live[w] = (live[w] as number) & ~bit;
            }
          }
        } else if (o === OP.get) {
          const x = a[v] as number;
          if (x < isaVars) live[x >> 5] = (live[x >> 5] as number) | (1 << (x & 31));
        } else if (o === OP.call) {
          if (ir.helpers[a[v] as number]?.effect === 'state') needed[v] = 1;
        } else if (kindOf[o] !== KIND.other) needed[v] = 1;
      }
    }
    // A definition precedes its uses in the arrays, so one backward sweep suffices.
    let by = 0;
    const use = (v: number): void => {
      if (v < 0) return;
      uses[v] = (uses[v] as number) + 1;
      needed[v] = 1;
      if (owner[v] !== by) crosses[v] = 1;
    };
    for (by = 0; by < n; by++)
      for (const { value } of terminatorOperands((order[by] as Block).term as Terminator)) use(value);
    for (let v = ir.count - 1; v >= 0; v--) {
      if (needed[v] === 0) continue;
      by = owner[v] as number;
      if (by >= 0) forEachOperand(ir, v, use);
    }
  }
}
