/**
 * Calls that need no call: of the region's own entry, and of small functions, which become part of the region.
 *
 * The return address lies on the guest's stack as always; where the function returns it is compared with the one of this
 * call, and a return that goes elsewhere leaves the region as any does. So nothing that a program may do with its stack is
 * taken for granted.
 */
import type { Block, Builder, Terminator } from '../ir/builder.ts';
import { OP } from '../ir/ops.ts';
import type { Emission } from './emission.ts';
import { cutRuns, type Extent, reach } from './reach.ts';

/**
 * Calls of the function at `pc`, the region's own, become jumps to its block, and returns jumps to where those calls return, if
 * that is where they go. No frame of WebAssembly is made then, and registers stay in locals. A return that goes elsewhere
 * leaves the region as always.
 */
export function callWithin(ir: Builder, pc: number, to: Block): void {
  const returns = new Map<number, Block>();
  for (const b of ir.blocks) {
    const t = b.term;
    if (t?.kind !== 'call' || t.pc !== pc || (returns.size >= MOST_RETURNS && !returns.has(t.returnPc))) continue;
    returns.set(t.returnPc, t.next);
    b.term = { kind: 'goto', to };
  }
  if (returns.size === 0) return;
  for (const b of [...ir.blocks]) {
    const t = b.term;
    if (t?.kind !== 'ret') continue;
    const first = ir.newBlock();
    b.term = { kind: 'goto', to: first };
    ir.begin(first);
    for (const [at, next] of returns) {
      const other = ir.newBlock();
      ir.branch(ir.i64.eq(t.pc, ir.const64(at)), next, other);
      ir.begin(other);
    }
    ir.end({ kind: 'ret', pc: t.pc });
  }
}

/** Places that calls within a region return to, at most: each return looks for its own among them. */
const MOST_RETURNS = 8;

/** Instructions of a function that is taken in, and of all that a region takes in, at most. */
const SMALL = 24;
const MOST_TAKEN_IN = 240;
/** Functions within functions; the stub of a dynamically linked function counts as one. */
const DEEPEST = 3;
/** Functions an indirect call looks for. */
const MOST_LIKELY = 2;

/**
 * Small functions that the region calls, as far as they were executed, become part of it, each call having a copy of its own:
 * registers stay in locals, and flags nobody reads are not recorded. What leaves such a copy other than by returning is still
 * within the call, so it is made a call that comes back where the function would.
 *
 * An indirect call, or the jump in the stub of a dynamically linked function, compares where it goes with where it went.
 */
export function takeCalleesIn(e: Emission, pc: number, extent: Extent, called: (site: number) => readonly number[]): void {
  const { ir, frontend, code } = e;
  const worth = extent.worth ?? (() => 0);
  let room = MOST_TAKEN_IN;
  const work = ir.blocks.map((block) => ({ block, within: [pc] as readonly number[] }));

  /** The entry of a copy of the function at `at`, if it is to be had. */
  const copy = (at: number, returnPc: number, next: Block, within: readonly number[]): Block | undefined => {
    if (within.length > DEEPEST || within.includes(at) || worth(at) === 0) return undefined;
    const reached = reach(frontend, code, at, { limit: SMALL + 1, run: SMALL + 1, worth });
    const size = reached.decoded.size;
    if (size === 0 || size > Math.min(SMALL, room)) return undefined;
    room -= size;
    const first = ir.blocks.length;
    const runs = cutRuns(reached, (start) => start === at);
    const blocks = e.blocksFor(runs);
    e.emit(
      runs,
      blocks,
      reached,
      (to) => ({ kind: 'call', pc: to, returnPc, next }),
      () => {},
    );
    for (const block of ir.blocks.slice(first)) {
      const t = block.term;
      if (t?.kind === 'ret') {
        const ret = ir.newBlock();
        block.term = { kind: 'goto', to: ret };
        ir.begin(ret);
        const elsewhere = ir.newBlock();
        ir.branch(ir.i64.eq(t.pc, ir.const64(returnPc)), next, elsewhere);
        ir.begin(elsewhere);
        ir.end(t);
      } else if (t?.kind === 'jumpIndirect' && t.spent !== true) block.term = { kind: 'callIndirect', pc: t.pc, returnPc, next };
      work.push({ block, within: [...within, at] });
    }
    return blocks.get(at);
  };

  for (let k = 0; k < work.length; k++) {
    const { block, within } = work[k] as (typeof work)[0];
    const t = block.term;
    if (t?.kind === 'call') {
      const to = copy(t.pc, t.returnPc, t.next, within);
      if (to !== undefined) block.term = { kind: 'goto', to };
    } else if (t?.kind === 'callIndirect') callLikely(ir, block, t, called(siteOf(ir, block)), (at) => copy(at, t.returnPc, t.next, within));
    else if (t?.kind === 'jumpIndirect' && t.spent !== true) {
      const [likely] = called(siteOf(ir, block));
      if (likely !== undefined) block.term = { ...t, likely };
    }
  }
}

function callLikely(
  ir: Builder,
  block: Block,
  t: Terminator & { kind: 'callIndirect' },
  targets: readonly number[],
  copy: (at: number) => Block | undefined,
): void {
  const found: { at: number; to: Block }[] = [];
  let likely: number | undefined;
  for (const at of targets.slice(0, MOST_LIKELY)) {
    const to = copy(at);
    if (to !== undefined) found.push({ at, to });
    else likely ??= at;
  }
  let end: Terminator = likely === undefined ? t : { ...t, likely };
  for (const { at, to } of found.reverse()) {
    const otherwise = ir.newBlock();
    ir.begin(otherwise);
    ir.end(end);
    const test = ir.newBlock();
    ir.begin(test);
    ir.branch(ir.i64.eq(t.pc, ir.const64(at)), to, otherwise);
    end = { kind: 'goto', to: test };
  }
  block.term = end;
}

/** The guest instruction that ends `block`; -1 if it begins in another. */
function siteOf(ir: Builder, block: Block): number {
  for (let v = block.end - 1; v >= block.start; v--) if (ir.op[v] === OP.insn) return ir.marks[ir.a[v] as number] as number;
  return -1;
}
