/**
 * What is worth translating again, and how far: execution counters, where indirect jumps went, and what follows from them
 * (docs/decisions/tiers.md).
 */
import * as layout from './layout.ts';
import type { Extent } from './reach.ts';

/** How far a region reaches: one run; or runs that were executed, as their counters tell. */
export const BASELINE: Extent = { limit: 40, run: 40 };
const OPTIMISED = { limit: 1000, run: 120, recursion: true } as const;

/** Entries after which a run is worth being part of an optimised region. */
const WORTH_JOINING = 200;

/** Targets of indirect jumps within a region: V8's time grows faster than their number. */
const MOST_TARGETS = 32;

/** Targets that are remembered of one jump. */
const MOST_LEARNED = 256;

/** Entries, or rounds of a loop, for each instruction of a region, that make up for optimising it: V8 takes 5 µs for one. */
const ENTRIES_PER_INSTRUCTION = 30;
/** Entries that make up for any size: such code is unrolled, and each entry runs through much of it. */
const ENOUGH = 10_000;

/** An indirect jump further than this many bytes leaves its function. */
const NEAR = 65536;

/** What there is at a pc now. */
export interface TierOwner {
  isOptimised(pc: number): boolean;
  /** Offset of the counter of the baseline code at `pc`; -1 if there is none. */
  counterOf(pc: number): number;
}

export class Tiers {
  /** State memory. */
  readonly #words: Int32Array;
  readonly #owner: TierOwner;
  /** By guest pc / NEAR, then by guest pc of an indirect jump: where it went, as far as that is near. */
  readonly #jumps = new Map<number, Map<number, number[]>>();
  /** By pc: entries its counter has been set to in all, if more than at first; rounds of a loop there. */
  readonly #granted = new Map<number, number>();
  readonly #rounds = new Map<number, number>();
  #nextCounter = layout.COUNTERS;
  /** Counters whose regions are gone. */
  readonly #freeCounters: number[] = [];

  constructor(words: Int32Array, owner: TierOwner) {
    this.#words = words;
    this.#owner = owner;
  }

  clear(): void {
    this.#nextCounter = layout.COUNTERS;
    this.#freeCounters.length = 0;
    this.#jumps.clear();
    this.#granted.clear();
    this.#rounds.clear();
  }

  /**
   * Room for `count` execution counters, set; -1 if there never is as much. When all are taken they are given out anew:
   * of two that share a counter the one that runs more often is more likely to be found hot.
   */
  newCounters(count: number): number {
    const free = count === 1 ? this.#freeCounters.pop() : undefined;
    if (free !== undefined) {
      this.#words[free >> 2] = layout.BASELINE_ENTRIES;
      return free;
    }
    if (layout.COUNTERS + 4 * count > layout.COUNTERS_END) return -1;
    if (this.#nextCounter + 4 * count > layout.COUNTERS_END) this.#nextCounter = layout.COUNTERS;
    const at = this.#nextCounter;
    this.#nextCounter += 4 * count;
    this.#words.fill(layout.BASELINE_ENTRIES, at >> 2, (at >> 2) + count);
    return at;
  }

  /** Where the counters given out so far end. */
  get countersEnd(): number {
    return this.#nextCounter;
  }
  freeCounter(counter: number): void {
    if (counter >= 0) this.#freeCounters.push(counter);
  }
  /** What the counter says: it changes when its region is entered. */
  count(counter: number): number {
    return this.#words[counter >> 2] as number;
  }

  /** Forget what is known of code that there is not any more, by pc and by page. */
  forgetOthers(isTranslated: (pc: number) => boolean, hasCode: (page: number) => boolean): void {
    for (const map of [this.#granted, this.#rounds]) for (const pc of map.keys()) if (!isTranslated(pc)) map.delete(pc);
    for (const [part, sites] of this.#jumps) {
      for (const site of sites.keys()) if (!hasCode(Math.floor(site / 4096))) sites.delete(site);
      if (sites.size === 0) this.#jumps.delete(part);
    }
  }

  /** How often the baseline code at `pc` was entered. */
  executed(pc: number): number {
    if (this.#owner.isOptimised(pc)) return Number.MAX_SAFE_INTEGER;
    const counter = this.#owner.counterOf(pc);
    if (counter < 0) return 0;
    return (this.#granted.get(pc) ?? layout.BASELINE_ENTRIES) - (this.#words[counter >> 2] as number);
  }

  /** Did the counter at `pc` run out? It will do so again at the next entry, unless it is set. */
  ranOut(pc: number): boolean {
    const counter = this.#owner.counterOf(pc);
    if (counter < 0 || this.#words[counter >> 2] !== 0) return false;
    this.#words[counter >> 2] = 1;
    return true;
  }

  /**
   * Baseline code at `pc` was entered so often (its counter `ranOut`), or a loop there went round so often, that it asks for more.
   * True if optimising `size` instructions is likely to save what it costs; otherwise it will ask again.
   */
  isWorthOptimising(pc: number, size: number, ranOut: boolean): boolean {
    const rounds = (this.#rounds.get(pc) ?? 0) + (ranOut ? 0 : layout.BASELINE_BUDGET);
    const executed = this.executed(pc);
    const missing = Math.min(size * ENTRIES_PER_INSTRUCTION, ENOUGH) - executed - rounds;
    if (missing <= 0) return true;
    if (!ranOut) this.#rounds.set(pc, rounds);
    else {
      const more = Math.max(missing, layout.BASELINE_ENTRIES);
      this.#words[this.#owner.counterOf(pc) >> 2] = more;
      this.#granted.set(pc, executed + more);
    }
    return false;
  }

  /** The indirect jump at `site` went to `pc`. */
  learnJump(site: number, pc: number): void {
    if (Math.abs(pc - site) > NEAR) return;
    const part = Math.floor(site / NEAR);
    let sites = this.#jumps.get(part);
    if (sites === undefined) {
      sites = new Map();
      this.#jumps.set(part, sites);
    }
    const known = sites.get(site);
    if (known === undefined) sites.set(site, [pc]);
    else if (known.length < MOST_LEARNED && !known.includes(pc)) known.push(pc);
  }

  /** How the optimised region at `pc` is to be built, and the same with what it decided, so that it can be built again. */
  optimisedExtent(pc: number): { extent: Extent; repeated: Extent } {
    const least = Math.max(WORTH_JOINING, this.executed(pc) / 8);
    const chosen = new Map<number, number>();
    const targets = new Map<number, readonly number[]>();
    const went = new Map<number, readonly number[]>();
    const extent = {
      ...OPTIMISED,
      worth: (pc: number): number => {
        const count = this.executed(pc);
        const value = count >= WORTH_JOINING ? count : 0;
        chosen.set(pc, value);
        return value;
      },
      jumps: (site: number): readonly number[] => {
        const wanted = this.#targetsNear(site)
          .filter((t) => this.executed(t) >= least)
          .sort((a, b) => this.executed(b) - this.executed(a))
          .slice(0, MOST_TARGETS);
        targets.set(site, wanted);
        return wanted;
      },
      called: (site: number): readonly number[] => {
        const found = this.#recordedTargets(site)
          .filter((t) => this.executed(t) >= WORTH_JOINING)
          .sort((a, b) => this.executed(b) - this.executed(a));
        went.set(site, found);
        return found;
      },
    };
    const repeated = {
      ...OPTIMISED,
      worth: (pc: number) => chosen.get(pc) ?? 0,
      jumps: (site: number) => targets.get(site) ?? [],
      called: (site: number) => went.get(site) ?? [],
    };
    return { extent, repeated };
  }
  /** Where baseline code says that the indirect call or jump at `site` went. */
  #recordedTargets(site: number): number[] {
    const found: number[] = [];
    for (let at = layout.targetsOf(site) >> 2, k = 0; k < 4; k++, at += 2) {
      const high = (this.#words[at + 1] as number) >>> 0;
      if (high >>> 2 === layout.siteTag(site)) found.push(((this.#words[at] as number) >>> 0) + (high & 3) * 4294967296);
    }
    return found;
  }
  /**
   * Where the indirect jump at `site` may go: of jumps close together one misses the jump cache for all, so what is known of
   * its neighbours counts too.
   */
  #targetsNear(site: number): number[] {
    const targets = new Set<number>();
    const part = Math.floor(site / NEAR);
    for (let p = part - 1; p <= part + 1; p++)
      for (const [other, known] of this.#jumps.get(p) ?? [])
        if (Math.abs(other - site) <= NEAR) for (const t of known) targets.add(t);
    return [...targets];
  }
}
