/**
 * What children of forks run that their parent has not run. A child says at its end which regions it was the first to enter, and
 * the parent has those compiled before it forks again: later children find them in their copy of the engine, instead of
 * translating and compiling them once more each.
 *
 * What was said lies in memory that parent and children share: guest pcs, hints and nothing more. Not every child is asked but
 * those of the 1st, 2nd, 4th, 8th … fork, for looking through all counters takes a while in code that has not run before.
 */
import * as layout from './layout.ts';

/** Memory that a forked child shares with its parent. */
export interface SharedMemory {
  readonly buffer: ArrayBuffer;
  /** What it holds is forgotten, by this process alone. */
  renew(): void;
}

/** The guest pc of a region and the offset of its counter. */
export type Counted = readonly [pc: number, counter: number];

/** What one child may say: who runs more is at work of its own, which the next child need not share. */
const MOST = 1000;

export class ForkNeeds {
  /** State memory. */
  readonly #words: Int32Array;
  readonly #allocate: () => SharedMemory;
  #memory: SharedMemory | undefined;
  /** How many pcs were said, of how many is known already. */
  #count = new Int32Array(1);
  #pcs = new Float64Array(0);
  #known = 0;
  #forks = 0;
  /** Counters at the fork that this process came from, if it is to say; at the fork under way, if its child is. */
  #before: Int32Array | undefined;
  #forChild: Int32Array | undefined;

  constructor(words: Int32Array, allocate: () => SharedMemory) {
    this.#words = words;
    this.#allocate = allocate;
  }

  /** Before a fork: what children have said since the last one. `countersEnd`: where the counters in use end. */
  beforeFork(countersEnd: number): number[] {
    if (this.#memory === undefined) {
      this.#memory = this.#allocate();
      this.#count = new Int32Array(this.#memory.buffer, 0, 1);
      this.#pcs = new Float64Array(this.#memory.buffer, 8);
    }
    this.#forks++;
    const asked = (this.#forks & (this.#forks - 1)) === 0;
    this.#forChild = asked ? this.#words.slice(layout.COUNTERS >> 2, countersEnd >> 2) : undefined;
    const end = Math.min(Atomics.load(this.#count, 0), this.#pcs.length);
    const said = [...new Set(this.#pcs.subarray(this.#known, end))].filter((pc) => pc > 0);
    this.#known = end;
    return said;
  }
  /** In whatever process this is after a fork: `child` or not. */
  afterFork(child: boolean): void {
    if (child) {
      this.#before = this.#forChild;
      this.#forks = 0;
    }
    this.#forChild = undefined;
  }

  /** In a child, before its memory goes. */
  say(regions: Iterable<Counted>): void {
    const before = this.#before;
    if (before === undefined) return;
    this.#before = undefined;
    const words = this.#words;
    const found: number[] = [];
    for (const [pc, counter] of regions) {
      if (counter < 0 || words[counter >> 2] === layout.BASELINE_ENTRIES) continue;
      if ((before[(counter - layout.COUNTERS) >> 2] ?? layout.BASELINE_ENTRIES) !== layout.BASELINE_ENTRIES) continue;
      if (found.push(pc) === MOST) break;
    }
    const at = Atomics.add(this.#count, 0, found.length);
    if (at + found.length <= this.#pcs.length) this.#pcs.set(found, at);
  }

  /** Another program: nothing that was said is about it. */
  clear(): void {
    this.#memory?.renew();
    this.#before = undefined;
    this.#known = 0;
    this.#forks = 0;
  }
}
