/**
 * The table through which regions meet. A slot belongs to its guest pc as long as any code refers to it; it holds `miss` until
 * there is a region and again after its code changed, so that callers and the cache of indirect jumps never have to be
 * patched.
 */
import * as layout from './layout.ts';

const FIRST_SIZE = 4096;

export class Slots {
  readonly table = new WebAssembly.Table({ element: 'anyfunc', initial: FIRST_SIZE });
  /** State memory. */
  readonly #words: Int32Array;
  readonly #byPc = new Map<number, number>();
  readonly #free: number[] = [];
  #miss: unknown;
  #next = layout.FIRST_SLOT;

  constructor(words: Int32Array) {
    this.#words = words;
    layout.clearJumpCache(words);
  }

  /** What the special slots hold, and every slot without a region. */
  begin(special: { readonly miss: unknown; readonly budget: unknown; readonly missIndirect: unknown }): void {
    this.#miss = special.miss;
    for (let k = 0; k < this.table.length; k++) this.empty(k);
    this.table.set(layout.SLOT_BUDGET, special.budget);
    this.table.set(layout.SLOT_MISS_INDIRECT, special.missIndirect);
  }

  /** The slot of `pc`, if it has one. */
  find(pc: number): number | undefined {
    return this.#byPc.get(pc);
  }
  assign(pc: number, slot: number): void {
    this.#byPc.set(pc, slot);
  }
  /** `count` slots in a row that are nobody's. */
  reserve(count: number): number {
    if (count === 1) {
      const free = this.#free.pop();
      if (free !== undefined) return free;
    }
    const first = this.#next;
    this.#next += count;
    const { length } = this.table;
    if (this.#next > length) this.table.grow(Math.max(length, this.#next - length), this.#miss);
    return first;
  }
  empty(slot: number): void {
    this.table.set(slot, this.#miss);
  }
  copy(from: number, to: number): void {
    if (from !== to) this.table.set(to, this.table.get(from));
  }

  /** Indirect jumps to `pc` find `slot` from now on. */
  remember(pc: number, slot: number): void {
    const lo = pc | 0;
    const entry =
      (((lo ^ (lo >>> layout.JUMP_CACHE_BITS)) & ((1 << layout.JUMP_CACHE_BITS) - 1)) << 4) + layout.JUMP_CACHE;
    this.#words[entry >> 2] = lo;
    this.#words[(entry >> 2) + 1] = Math.floor(pc / 4294967296);
    this.#words[(entry >> 2) + 2] = slot;
  }

  /** Slots that were given to a pc and that `isWanted` does not know may be given to others. No guest code is running. */
  freeOthers(isWanted: (slot: number) => boolean): void {
    for (const [pc, slot] of this.#byPc) {
      if (isWanted(slot)) continue;
      this.#byPc.delete(pc);
      this.empty(slot);
      this.#free.push(slot);
    }
    layout.clearJumpCache(this.#words);
  }

  /** As new: no code refers to any of them. */
  clear(): void {
    for (let slot = layout.FIRST_SLOT; slot < this.#next; slot++) this.empty(slot);
    this.#next = layout.FIRST_SLOT;
    this.#byPc.clear();
    this.#free.length = 0;
    layout.clearJumpCache(this.#words);
  }
}
