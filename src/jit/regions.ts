/** What is translated: regions by guest pc, by the page their code came from, and by the number that stack traces name. */
import type { Lowered } from './lower.ts';
import type { Counted } from './fork-needs.ts';
import type { Extent } from './reach.ts';

export interface Region {
  readonly pc: number;
  /** How stack traces name its function; -1: by its pc, as functions of packs are. */
  readonly number: number;
  readonly slot: number;
  readonly optimised: boolean;
  readonly pages: ReadonlySet<number>;
  /** What it was translated with, so that it can be lowered again to find the place of a fault. */
  readonly counter: number;
  readonly precise: boolean;
  /** Where its code begins in its module. */
  readonly codeOffset: number;
  /** How it was built; undefined: as baseline code is. */
  readonly extent: Extent | undefined;
  /** Made at the first fault in it. */
  sites: Lowered['sites'] | undefined;
}

export class Regions {
  readonly #byPc = new Map<number, Region>();
  readonly #byPage = new Map<number, Set<Region>>();
  /** For naming the place of a fault. */
  readonly #numbered = new Map<number, Region>();
  #nextNumber = 0;
  #outdated = false;

  at(pc: number): Region | undefined {
    return this.#byPc.get(pc);
  }
  has(pc: number): boolean {
    return this.#byPc.has(pc);
  }
  /** Each with its counter. */
  *counted(): Iterable<Counted> {
    for (const { pc, counter } of this.#byPc.values()) yield [pc, counter];
  }
  hasPage(page: number): boolean {
    return this.#byPage.has(page);
  }
  numbered(number: number): Region | undefined {
    return this.#numbered.get(number);
  }
  newNumber(): number {
    return this.#nextNumber++;
  }

  enter(region: Region): void {
    if (region.number >= 0) this.#numbered.set(region.number, region);
    this.#byPc.set(region.pc, region);
    for (const p of region.pages) {
      const set = this.#byPage.get(p);
      if (set === undefined) this.#byPage.set(p, new Set([region]));
      else set.add(region);
    }
  }

  /** Forget the regions on the pages [first, last]; `gone` is told of each that was the one for its pc. */
  drop(first: number, last: number, gone: (region: Region) => void): void {
    if (last - first < this.#byPage.size) {
      for (let p = first; p <= last; p++) this.#dropPage(p, gone);
    } else for (const p of [...this.#byPage.keys()]) if (p >= first && p <= last) this.#dropPage(p, gone);
  }
  #dropPage(page: number, gone: (region: Region) => void): void {
    const regions = this.#byPage.get(page);
    if (regions === undefined) return;
    this.#byPage.delete(page);
    for (const r of regions) {
      if (r.optimised) this.#outdated = true;
      if (this.#byPc.get(r.pc) !== r) continue;
      this.#byPc.delete(r.pc);
      gone(r);
    }
  }

  /** Nothing runs its code any more. */
  remove(region: Region): void {
    if (this.#byPc.get(region.pc) === region) this.#byPc.delete(region.pc);
    this.#numbered.delete(region.number);
    for (const p of region.pages) {
      const set = this.#byPage.get(p);
      if (set?.delete(region) && set.size === 0) this.#byPage.delete(p);
    }
  }

  /**
   * Whether optimised regions were dropped since this was asked last. They may be running, further up the stack, and contain
   * functions of elsewhere: they must not be returned to.
   */
  takeOutdated(): boolean {
    const was = this.#outdated;
    this.#outdated = false;
    return was;
  }

  /** No code refers to any of them. */
  clear(): void {
    this.#byPc.clear();
    this.#byPage.clear();
    this.#numbered.clear();
  }
}
