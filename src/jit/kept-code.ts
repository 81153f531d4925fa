/** Kept translations in this run: regions are taken from packs, and packs get slots, counters and their instances here. */
import { type CodeFile, CodeStore, type LoadedPack, type PackFiles, type PackPlace } from './code-store.ts';
import type { Counted } from './fork-needs.ts';
import type { RegionObject } from './object.ts';
import type { Pack } from './pack.ts';
import type { Region, Regions } from './regions.ts';
import type { Slots } from './slots.ts';
import type { Tiers } from './tiers.ts';
import type { Translator } from './translator.ts';
import { costOf } from './units.ts';

export interface KeptCodeHost {
  /** What this thread's translated code may cost, in bytes of memory. */
  readonly codeMemory: number;
  /** The guest handles memory faults itself: exact registers at each access. */
  readonly precise: boolean;
  /** The file whose unmodified code is mapped at `pc`, if any: its translations may be kept. */
  codeFile(pc: number): CodeFile | undefined;
  /** The bytes of a page of guest code; undefined if it cannot be read. */
  codePage(page: number): Uint8Array | undefined;
  /** Where translations are kept; undefined: nowhere. */
  readonly packs: PackFiles | undefined;
  /** What translations depend on beside the code. */
  readonly model: string;
}

/** Of the memory for code: what modules of packs may take, without the code that V8 makes of them. */
const PACKS_PART = 0.25;

export class KeptCode {
  readonly #host: KeptCodeHost;
  readonly #guestPages: number;
  readonly #slots: Slots;
  readonly #tiers: Tiers;
  readonly #regions: Regions;
  readonly #translator: Translator;
  /** `bytes` of WebAssembly were taken. */
  readonly #placed: (bytes: number) => void;
  /** By mode: what the code depends on beside the file. */
  readonly #stores = new Map<string, CodeStore>();
  /** That of the present mode, once anything was asked of it. */
  #store: CodeStore | undefined;
  #precise = false;
  /** Bytes of WebAssembly in regions that were taken. */
  #taken = 0;

  constructor(
    host: KeptCodeHost,
    guestPages: number,
    parts: { slots: Slots; tiers: Tiers; regions: Regions; translator: Translator },
    placed: (bytes: number) => void,
  ) {
    this.#host = host;
    this.#guestPages = guestPages;
    this.#slots = parts.slots;
    this.#tiers = parts.tiers;
    this.#regions = parts.regions;
    this.#translator = parts.translator;
    this.#placed = placed;
  }

  /** The region at `pc` from a pack, loading that of its file if it was not yet; its code is in `region.slot`. */
  find(pc: number): Region | undefined {
    const store = this.#current();
    const file = store === undefined ? undefined : this.#host.codeFile(pc);
    const found = file === undefined ? undefined : store?.find(file, pc);
    if (found === undefined) return undefined;
    this.#taken += found.loaded.pack.codeLength[found.index] as number;
    return this.#region(pc, found);
  }

  /** The objects of what is kept, or will be, of the regions at `pcs`. */
  objects(pcs: readonly number[]): RegionObject[] {
    const wanted: [CodeFile, number][] = [];
    for (const pc of pcs) {
      const file = this.#host.codeFile(pc);
      if (file !== undefined) wanted.push([file, pc]);
    }
    return this.#current()?.objects(wanted) ?? [];
  }
  /** Each region of a pack whose module is there, with its counter. */
  *counted(): Iterable<Counted> {
    for (const { pack, counterBase } of this.#store?.placed ?? [])
      for (let k = 0; k < pack.pcs.length; k++) yield [pack.pcs[k] as number, counterBase + 4 * k];
  }

  /** Packs for the mode of the moment. */
  #current(): CodeStore | undefined {
    const { packs, model, precise } = this.#host;
    if (packs === undefined) return undefined;
    if (this.#store === undefined || this.#precise !== precise) {
      this.#precise = precise;
      this.#store = this.#storeFor(packs, `${model} ${precise ? 'precise' : 'fast'}`);
    }
    return this.#store;
  }
  #storeFor(packs: PackFiles, mode: string): CodeStore {
    let store = this.#stores.get(mode);
    if (store === undefined) {
      store = new CodeStore(packs, mode, {
        guestPages: this.#guestPages,
        place: (pack, before) => this.#place(pack, before),
        placed: (pack) => this.#connect(pack),
        clear: (slot) => this.#slots.empty(slot),
        helper: (name) => this.#translator.helperNamed(name),
        page: (page) => this.#host.codePage(page),
      });
      this.#stores.set(mode, store);
    }
    return store;
  }

  /** Bytes of the modules that are there. */
  get moduleBytes(): number {
    let bytes = 0;
    for (const { segment } of this.#store?.placed ?? []) bytes += segment.moduleLength;
    return bytes;
  }
  /** What they are taken to cost, in bytes of memory, together with the code that V8 has made of them. */
  get cost(): number {
    return this.moduleBytes + costOf(this.#taken, false);
  }
  isReserved(slot: number): boolean {
    for (const store of this.#stores.values()) if (store.isReserved(slot)) return true;
    return false;
  }

  /** Let the code of all packs go; `emptied` is told of each region that is no more. It comes back when it is asked for. */
  displace(emptied: (region: Region) => void): void {
    this.#taken = 0;
    for (const { pack, slotBase } of this.#store?.displace() ?? []) {
      for (const pc of pack.pcs) {
        const region = this.#regions.at(pc);
        if (region === undefined || region.number >= 0 || region.optimised) continue;
        this.#regions.remove(region);
        emptied(region);
      }
      // What other code took over keeps the slot, if it is its own.
      const empty = (pc: number, slot: number): void => {
        if (this.#regions.at(pc)?.slot !== slot) this.#slots.empty(slot);
      };
      pack.pcs.forEach((pc, k) => empty(pc, slotBase + k));
      pack.targets.forEach((pc, k) => empty(pc, slotBase + pack.pcs.length + k));
    }
  }

  /** The region at `pc` in a pack whose module is there. */
  placedAt(pc: number): Region | undefined {
    const found = this.#store?.placedAt(pc);
    return found === undefined ? undefined : this.#region(pc, found);
  }
  /** Offset of the counter of the region at `pc`, if its module is there. */
  counter(pc: number): number | undefined {
    return this.#store?.counter(pc);
  }
  /** The slots packs have of their own for `pc` are handed to `use`. */
  slots(pc: number, use: (slot: number) => void): void {
    const store = this.#store;
    if (store !== undefined && store.placed.length > 0) store.slots(pc, use);
  }

  /** A region was translated: it may be kept. */
  add(object: RegionObject): void {
    const file = this.#store === undefined ? undefined : this.#host.codeFile(object.pc);
    if (file !== undefined) this.#store?.add(file, object);
  }
  /** Regions on the pages [first, last] are not to be used any more. */
  invalidate(first: number, last: number): void {
    this.#store?.invalidate(first, last);
  }
  /** The mode changes: none of this code is to be used till it changes back. */
  leaveMode(emptied: (region: Region) => void): void {
    this.displace(emptied);
    this.#store = undefined;
  }
  /** As when nothing was loaded or translated yet. */
  clear(): void {
    this.#stores.clear();
    this.#store = undefined;
    this.#taken = 0;
  }
  save(): void {
    for (const store of this.#stores.values()) store.save();
  }
  afterFork(): void {
    for (const store of this.#stores.values()) store.afterFork();
  }

  #region(pc: number, { loaded, index }: { loaded: LoadedPack; index: number }): Region {
    const { pack } = loaded;
    const pages = new Set(
      Array.from(
        pack.regionPages.subarray(pack.pageFirst[index], pack.pageFirst[index + 1]),
        (p) => pack.pages[p] as number,
      ),
    );
    return {
      pc,
      number: -1,
      slot: loaded.slotBase + index,
      optimised: false,
      pages,
      counter: loaded.counterBase + 4 * index,
      precise: this.#precise,
      codeOffset: (pack.codeAt[index] as number) + (pack.codeStart[index] as number),
      extent: undefined,
      sites: undefined,
    };
  }

  /** Code of a pack goes at once where regions are already. */
  #connect({ pack, slotBase }: LoadedPack): void {
    const connect = (pc: number, slot: number): void => {
      const region = this.#regions.at(pc);
      if (region !== undefined) this.#slots.copy(region.slot, slot);
    };
    pack.pcs.forEach((pc, k) => connect(pc, slotBase + k));
    pack.targets.forEach((pc, k) => connect(pc, slotBase + pack.pcs.length + k));
  }

  #place(pack: Pack, before: PackPlace): PackPlace | undefined {
    if (this.moduleBytes + pack.module.length > this.#host.codeMemory * PACKS_PART) return undefined;
    const known = before.slotBase >= 0;
    const counterBase = known ? before.counterBase : this.#tiers.newCounters(pack.pcs.length);
    if (counterBase < 0) return undefined;
    const slotBase = known ? before.slotBase : this.#slots.reserve(pack.pcs.length + pack.targets.length);
    if (!this.#translator.pack(pack, slotBase, counterBase)) return undefined;
    this.#placed(pack.module.length);
    return { slotBase, counterBase };
  }
}
