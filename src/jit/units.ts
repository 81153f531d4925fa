/**
 * The modules translated code is in, and which of them go when there is too much of it. V8 frees the code of a module as a whole,
 * once nothing refers to it: so it is modules that are dropped, not regions.
 *
 * Clearing out happens only while no guest code is on the stack: then what refers to a slot is the code of the units that stay,
 * and nothing else. See docs/decisions/eviction.md.
 */
import type { Region, Regions } from './regions.ts';
import type { Slots } from './slots.ts';
import type { Tiers } from './tiers.ts';

export interface Unit {
  readonly regions: readonly Region[];
  /** Slots its code goes to, its own among them. */
  readonly slots: readonly number[];
  readonly optimised: boolean;
  /** What it is taken to cost, in bytes of memory. */
  readonly cost: number;
}

interface Held extends Unit {
  /** Of baseline code: what its counters said when it was last looked at. */
  seen: readonly number[];
  /** Of optimised code, by region: its function, taken out of the slot to see whether anybody asks for it. */
  aside: readonly unknown[] | undefined;
}

/** Measured with small modules of baseline code (docs/decisions/eviction.md): of a module, of a byte of WebAssembly. */
const MODULE = 9000;
const BASELINE_BYTE = 8;
const OPTIMISED_BYTE = 4;

export const costOf = (bytes: number, optimised: boolean): number =>
  MODULE + bytes * (optimised ? OPTIMISED_BYTE : BASELINE_BYTE);

export class Units {
  readonly #regions: Regions;
  readonly #slots: Slots;
  readonly #tiers: Tiers;
  /** In the order they were made or last found in use. */
  #held: Held[] = [];
  /** Whose functions are aside. */
  readonly #aside = new Map<Region, Held>();
  /** Cost of all that was made since and not found to be gone. */
  cost = 0;

  constructor(regions: Regions, slots: Slots, tiers: Tiers) {
    this.#regions = regions;
    this.#slots = slots;
    this.#tiers = tiers;
  }

  add(unit: Unit): void {
    this.#held.push({ ...unit, seen: [], aside: undefined });
    this.cost += unit.cost;
  }

  /** No code of any is left. */
  clear(): void {
    this.#held = [];
    this.#aside.clear();
    this.cost = 0;
  }

  /** Its slot is wanted: if its code is aside, it is put back. */
  use(region: Region): void {
    if (this.#aside.size === 0) return;
    const unit = this.#aside.get(region);
    if (unit?.aside === undefined) return;
    unit.regions.forEach((r, k) => {
      this.#aside.delete(r);
      if (this.#regions.at(r.pc) === r) this.#slots.table.set(r.slot, unit.aside?.[k]);
    });
    unit.aside = undefined;
  }

  /**
   * Drop what is no longer used, and then as much as brings the cost down to `goal`: what was not entered since last time first,
   * baseline code before optimised code, old before new. `emptied` is told of each region whose slots are to miss from
   * now on. Slots that nobody goes to are free afterwards, except those that `isReserved`.
   */
  clearOut(goal: number, emptied: (region: Region) => void, isReserved: (slot: number) => boolean): void {
    const gone = (unit: Held): void => this.#drop(unit, emptied);
    const current: Held[] = [];
    for (const unit of this.#held) {
      if (unit.regions.some((r) => this.#regions.at(r.pc) === r)) current.push(unit);
      else gone(unit);
    }
    // Cold units stay at the front, where the next rounds begin.
    const cold: Held[] = [];
    const used: Held[] = [];
    for (const unit of current) {
      if (this.#isUsed(unit)) used.push(unit);
      else if (this.cost > goal) gone(unit);
      else cold.push(unit);
    }
    let held = cold.concat(used);
    for (const anyTier of [false, true]) {
      held = held.filter((unit) => {
        const stays = this.cost <= goal || (unit.optimised && !anyTier);
        if (!stays) gone(unit);
        return stays;
      });
    }
    for (const unit of held) {
      if (unit.optimised) this.#putAside(unit, emptied);
      else unit.seen = unit.regions.map((r) => this.#tiers.count(r.counter));
    }
    this.#held = held;

    const slots = new Set<number>();
    for (const unit of held) for (const slot of unit.slots) slots.add(slot);
    this.#slots.freeOthers((slot) => slots.has(slot) || isReserved(slot));
    this.#tiers.forgetOthers(
      (pc) => this.#regions.has(pc),
      (page) => this.#regions.hasPage(page),
    );
  }

  /** Since the last time it was looked at, which every unit is given. */
  #isUsed(unit: Held): boolean {
    if (unit.optimised) return unit.aside === undefined;
    return unit.seen.length === 0 || unit.regions.some((r, k) => this.#tiers.count(r.counter) !== unit.seen[k]);
  }

  #putAside(unit: Held, emptied: (region: Region) => void): void {
    if (unit.aside !== undefined) return;
    unit.aside = unit.regions.map((r) => this.#slots.table.get(r.slot));
    for (const r of unit.regions) {
      if (this.#regions.at(r.pc) !== r) continue;
      this.#aside.set(r, unit);
      emptied(r);
    }
  }

  #drop(unit: Held, emptied: (region: Region) => void): void {
    this.cost -= unit.cost;
    for (const r of unit.regions) {
      this.#aside.delete(r);
      if (this.#regions.at(r.pc) === r) emptied(r);
      this.#regions.remove(r);
      this.#tiers.freeCounter(r.counter);
    }
  }
}
