/**
 * Facts about a built region that lowering needs: block order, dominators, loops, which variables differ from state
 * memory (*stale* there) and which are live, and which operations are worth emitting at all.
 *
 * Blocks are numbered in reverse postorder; unreachable ones have none. Only the ISA's variables take part in the
 * staleness and liveness analyses; temporaries live and die in wasm locals.
 */
import type { Block, Builder, Terminator, Var } from '../ir/builder.ts';
import { OP, OPS } from '../ir/ops.ts';

export function successors(t: Terminator): readonly Block[] {
  switch (t.kind) {
    case 'goto':
      return [t.to];
    case 'branch':
      return t.then === t.else ? [t.then] : [t.then, t.else];
    case 'switch':
      return [...new Set([...t.targets, t.otherwise])];
    case 'call':
    case 'callIndirect':
    case 'syscall':
      return [t.next];
    default:
      return [];
  }
}

/** After these the variables are reloaded from state memory: the successor is entered with fresh ones. */
const reloads = (t: Terminator): boolean => t.kind === 'call' || t.kind === 'callIndirect' || t.kind === 'syscall';

export interface Analysis {
  /** Reachable blocks in reverse postorder; `number[block.id]` is the position, -1 if unreachable. */
  readonly order: readonly Block[];
  readonly number: Int32Array;
  /** Immediate dominator by position (0 for the entry). */
  readonly idom: Int32Array;
  /** By position: several forward edges come in. */
  readonly merge: Uint8Array;
  /** By position: a back edge comes in. */
  readonly loopHead: Uint8Array;
  readonly reducible: boolean;
  /** Words of a variable set. */
  readonly words: number;
  /** Per position, `words` each: variables possibly stale in state memory at the end of the block. */
  readonly staleOut: Int32Array;
  readonly staleIn: Int32Array;
  /** Variables live on entry. */
  readonly liveIn: Int32Array;
  /** By value: how often an emitted operation uses it; 0 for operations not worth emitting (effects have `needed`). */
  readonly uses: Int32Array;
  readonly needed: Uint8Array;
  /** By value: used by another block than its own. */
  readonly crosses: Uint8Array;
}

export function analyse(ir: Builder, entry: Block, hotParams: readonly Var[], hotResults: readonly Var[], isaVars: number): Analysis {
  const number = new Int32Array(ir.blocks.length).fill(-1);
  const order = postorder(entry, number);
  const n = order.length;
  const preds: number[][] = Array.from({ length: n }, () => []);
  for (let i = 0; i < n; i++) for (const s of successors((order[i] as Block).term as Terminator)) (preds[number[s.id] as number] as number[]).push(i);

  const idom = dominators(preds, n);
  const dominates = (a: number, b: number): boolean => {
    while (b > a) b = idom[b] as number;
    return a === b;
  };
  const merge = new Uint8Array(n);
  const loopHead = new Uint8Array(n);
  let reducible = true;
  for (let i = 0; i < n; i++) {
    let forward = 0;
    for (const p of preds[i] as number[]) {
      if (p < i) forward++;
      else {
        loopHead[i] = 1;
        if (!dominates(i, p)) reducible = false;
      }
    }
    if (forward > 1) merge[i] = 1;
  }
  for (const b of order) {
    const t = b.term as Terminator;
    if (t.kind === 'switch') for (const s of successors(t)) merge[number[s.id] as number] = 1;
  }

  // ---- stale variables, forward ----
  const words = (isaVars + 31) >> 5;
  const sets = new Int32Array(n * words);
  for (let i = 0; i < n; i++) {
    const b = order[i] as Block;
    for (let v = b.start; v < b.end; v++)
      if (ir.op[v] === OP.set) {
        const x = ir.a[v] as number;
        if (x < isaVars) sets[i * words + (x >> 5)] = (sets[i * words + (x >> 5)] as number) | (1 << (x & 31));
      }
  }
  const bits = (vars: readonly Var[]): Int32Array => {
    const out = new Int32Array(words);
    for (const v of vars) out[v.index >> 5] = (out[v.index >> 5] as number) | (1 << (v.index & 31));
    return out;
  };
  const paramBits = bits(hotParams);
  const resultBits = bits(hotResults);
  const staleIn = new Int32Array(n * words);
  const staleOut = new Int32Array(n * words);
  staleIn.set(paramBits, 0);
  for (let again = true; again; ) {
    again = false;
    for (let i = 0; i < n; i++) {
      const t = (order[i] as Block).term as Terminator;
      for (let w = 0; w < words; w++) staleOut[i * words + w] = (staleIn[i * words + w] as number) | (sets[i * words + w] as number);
      for (const s of successors(t)) {
        const j = number[s.id] as number;
        for (let w = 0; w < words; w++) {
          const out = t.kind === 'syscall' ? 0 : reloads(t) ? (resultBits[w] as number) : (staleOut[i * words + w] as number);
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

  // ---- live variables, backward ----
  const exposed = new Int32Array(n * words);
  const killed = new Int32Array(n * words);
  for (let i = 0; i < n; i++) {
    const b = order[i] as Block;
    for (let v = b.start; v < b.end; v++) {
      const op = ir.op[v];
      if (op !== OP.get && op !== OP.set) continue;
      const x = ir.a[v] as number;
      if (x >= isaVars) continue;
      const w = i * words + (x >> 5);
      const bit = 1 << (x & 31);
      if (op === OP.set) killed[w] = (killed[w] as number) | bit;
      else if (((killed[w] as number) & bit) === 0) exposed[w] = (exposed[w] as number) | bit;
    }
  }
  const liveIn = new Int32Array(n * words);
  const liveOut = new Int32Array(n * words);
  /** What the terminator itself needs in locals. */
  const exitUses = (i: number, w: number): number => {
    const t = (order[i] as Block).term as Terminator;
    const stale = staleOut[i * words + w] as number;
    switch (t.kind) {
      case 'jump':
      case 'jumpIndirect':
      case 'call':
      case 'callIndirect':
        return stale | (paramBits[w] as number);
      case 'ret':
        return stale | (resultBits[w] as number);
      case 'trap':
      case 'syscall':
        return stale;
      default:
        return 0;
    }
  };
  for (let again = true; again; ) {
    again = false;
    for (let i = n - 1; i >= 0; i--) {
      const t = (order[i] as Block).term as Terminator;
      for (let w = 0; w < words; w++) {
        let out = exitUses(i, w);
        if (!reloads(t)) for (const s of successors(t)) out |= liveIn[(number[s.id] as number) * words + w] as number;
        // A loop head may leave the region when its budget is spent: it needs what is stale there.
        const k = i * words + w;
        liveOut[k] = out;
        let live = (exposed[k] as number) | (out & ~(killed[k] as number));
        if (loopHead[i] === 1) live |= (staleIn[k] as number) | (paramBits[w] as number);
        if (live !== liveIn[k]) {
          liveIn[k] = live;
          again = true;
        }
      }
    }
  }

  // ---- dead sets, then what is needed ----
  const needed = new Uint8Array(ir.count);
  const uses = new Int32Array(ir.count);
  const crosses = new Uint8Array(ir.count);
  const owner = new Int32Array(ir.count).fill(-1);
  const live = new Int32Array(words);
  for (let i = 0; i < n; i++) {
    const b = order[i] as Block;
    owner.fill(i, b.start, b.end);
    for (let w = 0; w < words; w++) live[w] = liveOut[i * words + w] as number;
    for (let v = b.end - 1; v >= b.start; v--) {
      const op = ir.op[v] as number;
      if (op === OP.set) {
        const x = ir.a[v] as number;
        if (x >= isaVars) needed[v] = 1;
        else {
          const w = x >> 5;
          const bit = 1 << (x & 31);
          if (((live[w] as number) & bit) !== 0) {
            needed[v] = 1;
            live[w] = (live[w] as number) & ~bit;
          }
        }
      } else if (op === OP.get) {
        const x = ir.a[v] as number;
        if (x < isaVars) live[x >> 5] = (live[x >> 5] as number) | (1 << (x & 31));
      } else if (op === OP.stateStore || op === OP.fence || op === OP.atomicRmw || op === OP.atomicCmpxchg || op === OP.insn) needed[v] = 1;
      else if (op === OP.call) {
        const h = ir.helpers[ir.a[v] as number];
        if (h?.effect === 'state') needed[v] = 1;
      } else {
        const kind = OPS[op]?.kind;
        if (kind === 'store' || kind === 'load') needed[v] = 1;
      }
    }
  }
  // Uses: a definition precedes its uses in the arrays, so one backward sweep suffices.
  const use = (v: number, by: number): void => {
    if (v < 0) return;
    uses[v] = (uses[v] as number) + 1;
    needed[v] = 1;
    if (owner[v] !== by) crosses[v] = 1;
  };
  for (let i = 0; i < n; i++) for (const v of terminatorValues((order[i] as Block).term as Terminator)) use(v, i);
  for (let v = ir.count - 1; v >= 0; v--) {
    if (needed[v] === 0 || (owner[v] as number) < 0) continue;
    const by = owner[v] as number;
    forEachOperand(ir, v, (x) => use(x, by));
  }
  return { order, number, idom, merge, loopHead, reducible, words, staleIn, staleOut, liveIn, uses, needed, crosses };
}

export function terminatorValues(t: Terminator): readonly number[] {
  switch (t.kind) {
    case 'branch':
      return [t.cond];
    case 'switch':
      return [t.index];
    case 'jumpIndirect':
    case 'callIndirect':
    case 'ret':
      return [t.pc];
    case 'return':
      return t.values;
    default:
      return [];
  }
}

/** Calls `f` with every operand value of `v`, in order. */
export function forEachOperand(ir: Builder, v: number, f: (operand: number) => void): void {
  const op = ir.op[v] as number;
  const a = ir.a[v] as number;
  const b = ir.b[v] as number;
  const c = ir.c[v] as number;
  switch (op) {
    case OP.const32:
    case OP.const64:
    case OP.constf32:
    case OP.constf64:
    case OP.const128:
    case OP.get:
    case OP.insn:
    case OP.fence:
      return;
    case OP.set:
      f(b);
      return;
    case OP.select:
      f(a);
      f(b);
      f(c);
      return;
    case OP.shuffle:
    case OP.mulHiU:
    case OP.mulHiS:
    case OP.atomicRmw:
      f(a);
      f(b);
      return;
    case OP.stateLoad:
      f(a);
      return;
    case OP.stateStore:
      f(a);
      f(b);
      return;
    case OP.call:
      for (let k = 0; k < c; k++) f(ir.args[b + k] as number);
      return;
    case OP.result:
      f(a);
      return;
    case OP.atomicCmpxchg:
      f(a);
      f(ir.args[b] as number);
      f(ir.args[b + 1] as number);
      return;
    default: {
      const info = OPS[op];
      if (info === undefined) throw new Error(`unknown operation ${op}`);
      f(a);
      if (info.args.length > 1) f(b);
      if (info.args.length > 2) f(c);
    }
  }
}

/** Reverse postorder; iterative, since regions may be long chains. */
function postorder(entry: Block, number: Int32Array): Block[] {
  const out: Block[] = [];
  const stack: { block: Block; next: readonly Block[]; at: number }[] = [];
  const enter = (b: Block): void => {
    number[b.id] = 0;
    if (b.term === undefined) throw new Error(`block ${b.id} was never finished`);
    stack.push({ block: b, next: successors(b.term), at: 0 });
  };
  enter(entry);
  for (let top = stack[stack.length - 1]; top !== undefined; top = stack[stack.length - 1]) {
    const s = top.next[top.at++];
    if (s === undefined) {
      out.push(top.block);
      stack.pop();
    } else if (number[s.id] === -1) enter(s);
  }
  out.reverse();
  out.forEach((b, i) => {
    number[b.id] = i;
  });
  return out;
}

/** Cooper, Harvey, Kennedy: "A Simple, Fast Dominance Algorithm". */
function dominators(preds: readonly (readonly number[])[], n: number): Int32Array {
  const idom = new Int32Array(n).fill(-1);
  idom[0] = 0;
  for (let again = true; again; ) {
    again = false;
    for (let i = 1; i < n; i++) {
      let d = -1;
      for (const p of preds[i] as readonly number[]) {
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
  return idom;
}
