/** A region's IR: its own code, functions it calls that are taken in, and a switch over the targets of its indirect jumps. */
import type { Block, Builder, Var } from '../ir/builder.ts';
import type { Frontend } from '../ir/frontend.ts';
import { callWithin, takeCalleesIn } from './callees.ts';
import { Emission } from './emission.ts';
import * as layout from './layout.ts';
import { type CodeSource, cutRuns, type Extent, reach } from './reach.ts';
import { makeReducible } from './reducible.ts';

export interface BuiltRegion {
  readonly entry: Block;
  /** Pages (pc >> 12) the instructions lie in. */
  readonly pages: ReadonlySet<number>;
  readonly instructions: number;
  /** Guest pcs besides its own at which the region may be entered, by way of layout.ENTRY. */
  readonly entries: readonly number[];
  /** Direct calls and jumps that leave the region. */
  readonly exits: readonly number[];
  /** Some of the code may change without a system call. */
  readonly volatile: boolean;
}

/** Build the region at `pc` in `ir` (reset first); undefined if nothing is executable there. */
export function buildRegion(
  ir: Builder,
  frontend: Frontend,
  code: CodeSource,
  pc: number,
  extent: Extent,
): BuiltRegion | undefined {
  const reached = reach(frontend, code, pc, extent);
  const { decoded, inner, firstSite } = reached;
  if (!decoded.has(pc)) return undefined;
  // A large interpreter takes V8 too long to compile in one piece, again for each handler that becomes hot.
  if (firstSite >= 0 && inner.size > MOST_TARGETS) {
    const { jumps: _, ...rest } = extent;
    return buildRegion(ir, frontend, code, pc, rest);
  }

  ir.reset();
  const emission = new Emission(ir, frontend, code);
  const runs = cutRuns(reached, (start) => start === pc || (firstSite >= 0 && inner.has(start)));
  const blocks = emission.blocksFor(runs);
  const dispatch =
    firstSite >= 0
      ? new Dispatch(
          ir,
          pc,
          firstSite,
          [...inner].filter((t) => t !== pc && runs.has(t)),
          blocks,
        )
      : undefined;
  const exits = emission.emit(
    runs,
    blocks,
    reached,
    (to) => ({ kind: 'jump', pc: to, flagsDead: emission.flagsDead(to) }),
    () => dispatch?.redirect(ir),
  );
  if (reached.recursive) callWithin(ir, pc, blocks.get(pc) as Block);
  if (extent.called !== undefined) takeCalleesIn(emission, pc, extent, extent.called);
  for (const b of ir.blocks)
    if (b.term?.kind === 'call' && emission.flagsDead(b.term.pc)) b.term = { ...b.term, flagsDead: true };
  dispatch?.emit(ir);
  return {
    entry: makeReducible(ir, dispatch?.entry ?? (blocks.get(pc) as Block)),
    entries: dispatch?.targets ?? [],
    pages: emission.pages,
    instructions: emission.instructions,
    exits: [...emission.calls, ...exits],
    volatile: emission.volatile,
  };
}

/**
 * Indirect jumps whose targets lie in the region stay in it: one block switches over the targets, registers remain in
 * locals. It is also how such a region is entered anywhere but at its first instruction, so that everything in it is
 * dominated by the switch and stays structured.
 */
class Dispatch {
  readonly entry: Block;
  readonly targets: readonly number[];
  readonly #pc: number;
  /** Any of the jumps: what `unknown` targets are learned for. */
  readonly #site: number;
  readonly #head: Block;
  readonly #goal: Var;
  readonly #fuel: Var;
  readonly #blocks: ReadonlyMap<number, Block>;

  constructor(ir: Builder, pc: number, site: number, targets: readonly number[], blocks: ReadonlyMap<number, Block>) {
    this.#pc = pc;
    this.#site = site;
    this.targets = targets;
    this.#blocks = blocks;
    this.entry = ir.newBlock();
    this.#head = ir.newBlock();
    this.#goal = ir.temp('i64');
    this.#fuel = ir.temp('i32');
  }

  /** Send the indirect jump that was emitted last, if one was, to the switch. */
  redirect(ir: Builder): void {
    for (let k = ir.blocks.length - 1; k >= 0; k--) {
      const b = ir.blocks[k] as Block;
      if (b.term?.kind !== 'jumpIndirect' || b.end !== ir.count || b.start < 0 || ir.open) continue;
      const { pc } = b.term;
      ir.reopen(b);
      ir.set(this.#goal, pc);
      ir.goto(this.#head);
      return;
    }
  }

  emit(ir: Builder): void {
    const { i32, i64 } = ir;
    ir.begin(this.entry);
    const asked = ir.stateLoad('i64.load', layout.ENTRY);
    ir.set(this.#goal, ir.select(i64.eqz(asked), ir.const64(this.#pc), asked));
    ir.stateStore('i64.store', layout.ENTRY, ir.const64(0));
    ir.goto(this.#head);

    ir.begin(this.#head);
    const spent = ir.newBlock();
    const pick = ir.newBlock();
    const unknown = ir.newBlock();
    // Counts from zero downward: locals begin as zero.
    const left = i32.sub(ir.get(this.#fuel), ir.const32(1));
    ir.set(this.#fuel, left);
    ir.branch(i32.and(left, ir.const32(FUEL_MASK)), pick, spent);
    ir.begin(spent);
    ir.end({ kind: 'jumpIndirect', pc: ir.get(this.#goal), spent: true });

    ir.begin(pick);
    const goals = [this.#pc, ...this.targets];
    const { bits, factor } = hashFor(goals);
    const slots = new Array<Block>(1 << bits).fill(unknown);
    const checks = goals.map((t) => {
      const check = ir.newBlock();
      slots[hash(t, factor, bits)] = check;
      return { t, check };
    });
    const key = i32.wrap_i64(ir.get(this.#goal));
    ir.switch(i32.shr_u(i32.mul(key, ir.const32(factor)), ir.const32(32 - bits)), slots, unknown);
    for (const { t, check } of checks) {
      ir.begin(check);
      ir.branch(i64.eq(ir.get(this.#goal), ir.const64(t)), this.#blocks.get(t) as Block, unknown);
    }
    ir.begin(unknown);
    ir.insn(this.#site);
    ir.end({ kind: 'jumpIndirect', pc: ir.get(this.#goal) });
  }
}

/** More targets than this: the jumps leave the region as in baseline code. */
const MOST_TARGETS = 100;
/** Every so many dispatches a region looks whether anything is pending. */
const FUEL_MASK = 0x3fff;

const hash = (pc: number, factor: number, bits: number): number => Math.imul(pc | 0, factor) >>> (32 - bits);

/** A multiplicative hash without collisions among `goals`. */
function hashFor(goals: readonly number[]): { bits: number; factor: number } {
  for (let bits = Math.max(1, Math.ceil(Math.log2(goals.length))); ; bits++) {
    let factor = 0x9e3779b1;
    for (let k = 0; k < 200; k++) {
      factor = (Math.imul(factor, 0x2c1b3c6d) ^ (factor >>> 13)) | 1;
      if (new Set(goals.map((t) => hash(t, factor, bits))).size === goals.length) return { bits, factor };
    }
  }
}
