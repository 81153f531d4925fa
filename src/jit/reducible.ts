/**
 * Makes the control flow of a region reducible: a loop with several entries gets one, a block that switches over them. Only
 * ways to one of its entries take that detour; all others in the loop stay what they are.
 *
 * A region of runs that begins in the middle of a function, or a compiler's jump threading, make such loops. Without this
 * the whole region would have to be a switch in a loop (lower.ts keeps that for what is not built by buildRegion).
 *
 * Values that cross blocks are WebAssembly locals of their own and variables are variables, so that the detour changes
 * nothing for them.
 */
import type { Block, Builder, Terminator, Var } from '../ir/builder.ts';
import { successors } from '../ir/operands.ts';

/** Returns the region's entry, which may be a new block. */
export function makeReducible(ir: Builder, entry: Block): Block {
  const all: Block[] = [entry];
  const seen = new Set<Block>(all);
  for (let k = 0; k < all.length; k++)
    for (const s of successors((all[k] as Block).term as Terminator))
      if (!seen.has(s)) {
        seen.add(s);
        all.push(s);
      }
  const pass = new Pass(ir, all, entry);
  pass.fix(all, undefined);
  return pass.entry;
}

class Pass {
  entry: Block;
  readonly #ir: Builder;
  /** Every block of the region so far. */
  readonly #all: Block[];

  constructor(ir: Builder, all: readonly Block[], entry: Block) {
    this.#ir = ir;
    this.#all = [...all];
    this.entry = entry;
  }

  /** `blocks` are a loop with the one entry `head`, or (undefined) the region. */
  fix(blocks: readonly Block[], head: Block | undefined): void {
    for (const loop of components(blocks, head)) {
      const inside = new Set(loop);
      const entries = new Set<Block>();
      if (inside.has(this.entry)) entries.add(this.entry);
      for (const b of this.#all)
        if (!inside.has(b))
          for (const s of successors(b.term as Terminator)) if (inside.has(s)) entries.add(s);
      const [only] = entries;
      if (entries.size <= 1) this.fix(loop, only ?? loop[0]);
      else {
        const { added, dispatch } = this.#unite(inside, [...entries]);
        this.fix([...loop, ...added, dispatch], dispatch);
      }
    }
  }

  #unite(inside: ReadonlySet<Block>, entries: readonly Block[]): { added: Block[]; dispatch: Block } {
    const ir = this.#ir;
    const choice = ir.temp('i32');
    const dispatch = ir.newBlock();
    const from = (back: boolean): Map<Block, Block> =>
      new Map(entries.map((e, k) => [e, detour(ir, choice, k, e.pc, back, dispatch)]));
    const back = from(true);
    const forward = from(false);
    ir.begin(dispatch);
    const [first, second] = entries as [Block, Block];
    if (entries.length === 2) ir.branch(ir.get(choice), second, first);
    else ir.switch(ir.get(choice), entries.slice(0, -1), entries[entries.length - 1] as Block);
    for (const b of this.#all) {
      const ways = inside.has(b) ? back : forward;
      if (successors(b.term as Terminator).some((s) => ways.has(s))) b.term = redirected(b.term as Terminator, ways);
    }
    this.entry = forward.get(this.entry) ?? this.entry;
    const added = [...back.values()];
    this.#all.push(dispatch, ...added, ...forward.values());
    return { added, dispatch };
  }
}

function detour(ir: Builder, choice: Var, k: number, pc: number, back: boolean, dispatch: Block): Block {
  const b = ir.newBlock(pc);
  b.leadsBack = back && pc >= 0;
  ir.begin(b);
  ir.set(choice, ir.const32(k));
  ir.goto(dispatch);
  return b;
}

function redirected(t: Terminator, ways: ReadonlyMap<Block, Block>): Terminator {
  const to = (b: Block): Block => ways.get(b) ?? b;
  switch (t.kind) {
    case 'goto':
      return { ...t, to: to(t.to) };
    case 'branch':
      return { ...t, then: to(t.then), else: to(t.else) };
    case 'switch':
      return { ...t, targets: t.targets.map(to), otherwise: to(t.otherwise) };
    case 'call':
    case 'callIndirect':
    case 'syscall':
      return { ...t, next: to(t.next) };
    default:
      return t;
  }
}

/** Strongly connected components with a cycle (Tarjan), ways to `head` left out. */
function components(blocks: readonly Block[], head: Block | undefined): Block[][] {
  const member = new Set(blocks);
  const index = new Map<Block, number>();
  const low = new Map<Block, number>();
  const stack: Block[] = [];
  const onStack = new Set<Block>();
  const found: Block[][] = [];
  const next = (b: Block): Block[] => successors(b.term as Terminator).filter((s) => s !== head && member.has(s));
  for (const root of blocks) {
    if (index.has(root)) continue;
    const path: { b: Block; ways: Block[]; at: number }[] = [];
    const enter = (b: Block): void => {
      index.set(b, index.size);
      low.set(b, index.size - 1);
      stack.push(b);
      onStack.add(b);
      path.push({ b, ways: next(b), at: 0 });
    };
    enter(root);
    while (path.length > 0) {
      const top = path[path.length - 1] as (typeof path)[0];
      const s = top.ways[top.at++];
      if (s !== undefined) {
        if (!index.has(s)) enter(s);
        else if (onStack.has(s)) low.set(top.b, Math.min(low.get(top.b) as number, index.get(s) as number));
        continue;
      }
      path.pop();
      const { b } = top;
      const parent = path[path.length - 1];
      if (parent !== undefined) low.set(parent.b, Math.min(low.get(parent.b) as number, low.get(b) as number));
      if (low.get(b) !== index.get(b)) continue;
      const component: Block[] = [];
      let popped: Block;
      do {
        popped = stack.pop() as Block;
        onStack.delete(popped);
        component.push(popped);
      } while (popped !== b);
      if (component.length > 1 || top.ways.includes(b)) found.push(component);
    }
  }
  return found;
}
