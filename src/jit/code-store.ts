/**
 * Translations that outlive the run: packs loaded for the guest's mapped files, and what this run adds to them.
 *
 * Invariants: no code of a pack runs unless every page it was made from equals guest memory at the moment of loading;
 * later changes of these pages come through `invalidate`. Nothing here ever makes a run fail: what cannot be read or
 * written is not there.
 */
import { crc32 } from 'node:zlib';
import type { Helper } from '../ir/builder.ts';
import { makePack } from './make-pack.ts';
import type { RegionObject } from './object.ts';
import { decodeHeader, decodeIndex, encodePack, HEADER, type Pack, type PackIndex, packObject, packObjects, type Segment, search } from './pack.ts';

/** Where packs are kept. */
export interface PackFiles {
  /** Identifies the engine that translates: another one's packs are not used. */
  readonly engine: string;
  open(name: string): PackFile | undefined;
  /** At the end of what is there. */
  append(name: string, bytes: Uint8Array): void;
  replace(name: string, bytes: Uint8Array): void;
}
export interface PackFile {
  readonly size: number;
  /** Bytes from `at` on, fewer at the end of the file; at offset 0 of their buffer. */
  read(at: number, length: number): Uint8Array<ArrayBuffer>;
  close(): void;
}
/** The file mapping that holds a pc: unmodified private code of a file. */
export interface CodeFile {
  /** The same for the same file at the same guest address. */
  readonly id: string;
}

export interface LoadedPack {
  readonly pack: PackIndex;
  /** Its module is there. */
  isPlaced: boolean;
  /** −1 until its module was there for the first time; then its own for good. */
  slotBase: number;
  counterBase: number;
  /** By region: not to be used (any more). */
  readonly dead: Uint8Array;
  /** Lowest and highest pc it has a slot for. */
  readonly first: number;
  readonly last: number;
  readonly file: string;
  /** Where in the file. */
  readonly at: number;
  readonly segment: Segment;
}

/** What a file has, as far as it was whole when it was read. */
interface Opened {
  readonly packs: LoadedPack[];
  /** End of the last whole segment; less than `size` if something damaged follows. */
  readonly end: number;
  readonly size: number;
}
/** What this run has translated of a file. */
interface Fresh {
  readonly objects: Map<number, RegionObject>;
  /** Pages its code lies on, from the lowest to the highest. */
  first: number;
  last: number;
}
const NOTHING: Opened = { packs: [], end: 0, size: 0 };

/** Fewer new regions than this are not worth a segment, nor fewer than one for so many that are there. */
const WORTHWHILE = 4;
const WORTHWHILE_PART = 250;
/** With so many segments all but the first few become one. */
const MOST_SEGMENTS = 16;
const KEPT_SEGMENTS = 6;
/** Bytes of new translations that a run holds before it writes them. */
const MOST_FRESH = 16 << 20;
/** Bytes past which a pack stops growing. */
const LARGEST = 192 << 20;

/** Where the slots and counters of a pack begin. */
export interface PackPlace {
  readonly slotBase: number;
  readonly counterBase: number;
}

export interface StoreOwner {
  readonly guestPages: number;
  /** Reserve table slots and counters for a pack, if it has none yet, and make its instance; undefined if there is no room. */
  place(pack: Pack, before: PackPlace): PackPlace | undefined;
  /** Slots of a pack may be for regions that are there already. */
  placed(pack: LoadedPack): void;
  /** Empty the slot of a region that may not be used. */
  clear(slot: number): void;
  helper(name: string): Helper;
  page(page: number): Uint8Array | undefined;
}

export class CodeStore {
  readonly #files: PackFiles;
  readonly #owner: StoreOwner;
  readonly #model: string;
  /** Those whose modules are there. */
  readonly placed: LoadedPack[] = [];
  readonly #opened = new Map<string, Opened>();
  readonly #fresh = new Map<string, Fresh>();
  #freshBytes = 0;

  /** `model`: what else translations depend on (CPU features, mode). */
  constructor(files: PackFiles, model: string, owner: StoreOwner) {
    this.#files = files;
    this.#model = model;
    this.#owner = owner;
  }

  #key(id: string): string {
    return `${this.#files.engine} ${this.#model} ${id}`;
  }
  #name(key: string): string {
    const bytes = Buffer.from(key);
    return `${crc32(bytes).toString(16).padStart(8, '0')}${crc32(bytes, 0x5bd1e995).toString(16).padStart(8, '0')}.pack`;
  }

  /** The region at `pc` of `file` in a pack, if it may be used; its module is there then. */
  find(file: CodeFile, pc: number): { loaded: LoadedPack; index: number } | undefined {
    let opened = this.#opened.get(file.id);
    if (opened === undefined) {
      opened = this.#open(file.id);
      this.#opened.set(file.id, opened);
    }
    for (const loaded of opened.packs) {
      const index = regionAt(loaded, pc);
      if (index < 0 || loaded.dead[index] === 1) continue;
      if (!loaded.isPlaced && !this.#place(loaded)) continue;
      if (loaded.dead[index] === 0) return { loaded, index };
    }
    return undefined;
  }
  /** The objects of those regions that a pack has and that may be used, or that were translated. */
  objects(wanted: Iterable<readonly [CodeFile, number]>): RegionObject[] {
    const modules = new Map<LoadedPack, Uint8Array<ArrayBuffer> | undefined>();
    const objects: RegionObject[] = [];
    for (const [file, pc] of wanted) {
      const fresh = this.#fresh.get(file.id)?.objects.get(pc);
      if (fresh !== undefined) {
        objects.push(fresh);
        continue;
      }
      const found = this.find(file, pc);
      if (found === undefined) continue;
      const { loaded, index } = found;
      if (!modules.has(loaded)) modules.set(loaded, this.#module(loaded));
      const module = modules.get(loaded);
      if (module !== undefined) objects.push(packObject({ ...loaded.pack, module }, index));
    }
    return objects;
  }
  /** The region at `pc` in a pack whose module is there, whatever its state. */
  placedAt(pc: number): { loaded: LoadedPack; index: number } | undefined {
    for (const loaded of this.placed) {
      const index = regionAt(loaded, pc);
      if (index >= 0 && loaded.dead[index] === 0) return { loaded, index };
    }
    return undefined;
  }
  /** Offset of the counter of the region at `pc`. */
  counter(pc: number): number | undefined {
    const found = this.placedAt(pc);
    return found && found.loaded.counterBase + 4 * found.index;
  }
  /** Slots that packs use for `pc`, own regions and targets alike, are handed to `use`. */
  slots(pc: number, use: (slot: number) => void): void {
    for (const { pack, slotBase, first, last } of this.placed) {
      if (pc < first || pc > last) continue;
      const own = search(pack.pcs, pc);
      if (own >= 0) use(slotBase + own);
      else {
        const target = search(pack.targets, pc);
        if (target >= 0) use(slotBase + pack.pcs.length + target);
      }
    }
  }

  #open(id: string): Opened {
    const key = this.#key(id);
    const file = this.#files.open(this.#name(key));
    if (file === undefined) return NOTHING;
    try {
      const packs: LoadedPack[] = [];
      let at = 0;
      for (;;) {
        const segment = decodeHeader(file.read(at, HEADER));
        if (segment === undefined || at + segment.end > file.size) break;
        const pack = decodeIndex(file.read(at + HEADER, segment.indexLength), segment, key);
        if (pack === undefined) break;
        packs.push({
          pack,
          isPlaced: false,
          slotBase: -1,
          counterBase: -1,
          dead: new Uint8Array(pack.pcs.length),
          first: Math.min(pack.pcs[0] as number, pack.targets[0] ?? Number.POSITIVE_INFINITY),
          last: Math.max(pack.pcs.at(-1) as number, pack.targets.at(-1) ?? 0),
          file: id,
          at,
          segment,
        });
        at += segment.end;
      }
      return { packs, end: at, size: file.size };
    } finally {
      file.close();
    }
  }

  #module(loaded: LoadedPack): Uint8Array<ArrayBuffer> | undefined {
    const file = this.#files.open(this.#name(loaded.pack.key));
    if (file === undefined) return undefined;
    const { moduleAt, moduleLength, moduleSum } = loaded.segment;
    const module = file.read(loaded.at + moduleAt, moduleLength);
    file.close();
    return module.length === moduleLength && crc32(module) === moduleSum ? module : undefined;
  }

  /** Have its module made; its regions whose code is not what it was are dead then. False: all are. */
  #place(loaded: LoadedPack): boolean {
    const { pack, dead } = loaded;
    const stale = new Uint8Array(pack.pages.length);
    pack.pages.forEach((page, k) => {
      const now = this.#owner.page(page);
      if (now === undefined || now.length < 4096 || crc32(now) !== pack.pageSums[k]) stale[k] = 1;
    });
    const module = stale.includes(0) ? this.#module(loaded) : undefined;
    const place = module === undefined ? undefined : this.#owner.place({ ...pack, module }, loaded);
    if (place === undefined) {
      dead.fill(1);
      return false;
    }
    Object.assign(loaded, place, { isPlaced: true });
    // Of a region that two runs added one is used, so that a function's name tells which it is.
    pack.pcs.forEach((pc, k) => {
      if (dead[k] === 0 && this.placedAt(pc) === undefined) return;
      dead[k] = 1;
      this.#owner.clear(loaded.slotBase + k);
    });
    this.placed.push(loaded);
    if (stale.includes(1)) this.#kill(loaded, (page) => stale[page] === 1);
    this.#owner.placed(loaded);
    return true;
  }

  /** Let all modules go; they come back when they are asked for. */
  displace(): readonly LoadedPack[] {
    for (const loaded of this.placed) loaded.isPlaced = false;
    return this.placed.splice(0);
  }
  /** Is the slot one of a pack's, whether its module is there or not? */
  isReserved(slot: number): boolean {
    for (const { packs } of this.#opened.values())
      for (const { pack, slotBase } of packs)
        if (slotBase >= 0 && slot >= slotBase && slot < slotBase + pack.pcs.length + pack.targets.length) return true;
    return false;
  }

  /** Regions on the pages [first, last] are not to be used any more. */
  invalidate(first: number, last: number): void {
    for (const fresh of this.#fresh.values()) {
      if (fresh.first > last || fresh.last < first) continue;
      const { objects } = fresh;
      for (const [pc, { pages }] of objects) if (pages.some((p) => p >= first && p <= last)) objects.delete(pc);
    }
    for (const loaded of this.placed) {
      const { pages } = loaded.pack;
      if (pages.length === 0 || (pages[0] as number) > last || (pages[pages.length - 1] as number) < first) continue;
      this.#kill(loaded, (k) => (pages[k] as number) >= first && (pages[k] as number) <= last);
    }
  }
  #kill(loaded: LoadedPack, onPage: (index: number) => boolean): void {
    const { pack, slotBase, dead } = loaded;
    for (let k = 0; k < dead.length; k++) {
      if (dead[k] === 1) continue;
      for (let p = pack.pageFirst[k] as number; p < (pack.pageFirst[k + 1] as number); p++) {
        if (!onPage(pack.regionPages[p] as number)) continue;
        dead[k] = 1;
        this.#owner.clear(slotBase + k);
        break;
      }
    }
  }

  /** A region was translated that belongs to `file`. */
  add(file: CodeFile, object: RegionObject): void {
    let fresh = this.#fresh.get(file.id);
    if (fresh === undefined) {
      fresh = { objects: new Map(), first: Number.POSITIVE_INFINITY, last: 0 };
      this.#fresh.set(file.id, fresh);
    }
    fresh.objects.set(object.pc, object);
    for (const page of object.pages) {
      fresh.first = Math.min(fresh.first, page);
      fresh.last = Math.max(fresh.last, page);
    }
    this.#freshBytes += object.code.length;
    if (this.#freshBytes > MOST_FRESH) this.#saveAndReopen();
  }

  /** In the child of a fork: what is new so far is the parent's to write. */
  afterFork(): void {
    this.#forget();
  }
  #forget(): void {
    this.#fresh.clear();
    this.#freshBytes = 0;
  }

  /** In the middle of a run: what was written can be taken from there when its code has been dropped. */
  #saveAndReopen(): void {
    const changed = [...this.#fresh.keys()];
    this.save();
    for (const id of changed) {
      const now = this.#open(id);
      const inUse = this.#opened.get(id)?.packs.filter((p) => p.slotBase >= 0) ?? [];
      this.#opened.set(id, { ...now, packs: [...inUse, ...now.packs.filter((p) => !inUse.some((q) => q.at === p.at))] });
    }
  }

  /** Write what is new. */
  save(): void {
    for (const [id, { objects: fresh }] of this.#fresh) {
      const before = this.#opened.get(id) ?? NOTHING;
      const had = before.packs.reduce((n, p) => n + p.pack.pcs.length, 0);
      if (fresh.size < WORTHWHILE || fresh.size * WORTHWHILE_PART < had) continue;
      const key = this.#key(id);
      // Another run may have written meanwhile: what is on disk counts, not what was loaded.
      const now = this.#open(id);
      if (now.end > LARGEST) continue;
      const isStale = (pc: number): boolean => before.packs.some((p) => p.dead[regionAt(p, pc)] === 1);
      const isThere = (pc: number): boolean => now.packs.some((p) => regionAt(p, pc) >= 0);
      // Children of one parent meet the same code: the first to end has written it.
      const added = [...fresh.values()].filter((o) => isStale(o.pc) || !isThere(o.pc));
      if (added.length < WORTHWHILE) continue;
      const name = this.#name(key);
      if (now.end === now.size && now.packs.length < MOST_SEGMENTS) {
        const segment = this.#segment(key, added);
        if (segment !== undefined) this.#files.append(name, segment);
      } else this.#rewrite(key, now, added, isStale);
    }
    this.#forget();
  }

  #segment(key: string, objects: readonly RegionObject[]): Uint8Array | undefined {
    const pack = makePack({
      key,
      objects,
      guestPages: this.#owner.guestPages,
      helper: (n) => this.#owner.helper(n),
      page: (p) => this.#owner.page(p),
    });
    return pack === undefined ? undefined : encodePack(pack);
  }

  /** The file anew: the first segments as they are, the others and what was added as one. */
  #rewrite(key: string, now: Opened, added: readonly RegionObject[], isStale: (pc: number) => boolean): void {
    const name = this.#name(key);
    const objects = new Map<number, RegionObject>();
    const parts: Uint8Array[] = [];
    const file = this.#files.open(name);
    for (const [k, loaded] of now.packs.entries()) {
      if (k < KEPT_SEGMENTS) {
        if (file !== undefined) parts.push(file.read(loaded.at, loaded.segment.end));
        continue;
      }
      const module = this.#module(loaded);
      if (module === undefined) continue;
      for (const o of packObjects({ ...loaded.pack, module })) if (!isStale(o.pc) && this.#knows(o)) objects.set(o.pc, o);
    }
    file?.close();
    for (const o of added) objects.set(o.pc, o);
    const merged = this.#segment(key, [...objects.values()]);
    if (merged !== undefined) parts.push(merged);
    this.#files.replace(name, Buffer.concat(parts));
  }
  /** A pack another run wrote may call helpers this run has not met. */
  #knows(object: RegionObject): boolean {
    try {
      for (const name of object.names) if (!name.startsWith('$')) this.#owner.helper(name);
      return true;
    } catch {
      return false;
    }
  }
}

/** Index of the region at `pc` in a pack, or −1. */
function regionAt({ pack, first, last }: LoadedPack, pc: number): number {
  return pc < first || pc > last ? -1 : search(pack.pcs, pc);
}
