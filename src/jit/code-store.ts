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
import { decodePack, encodePack, type Pack, packObjects, search } from './pack.ts';

/** Where packs are kept. */
export interface PackFiles {
  /** Identifies the engine that translates: another one's packs are not used. */
  readonly engine: string;
  load(name: string): Uint8Array<ArrayBuffer> | undefined;
  save(name: string, bytes: Uint8Array): void;
}
/** The file mapping that holds a pc: unmodified private code of a file. */
export interface CodeFile {
  /** The same for the same file at the same guest address. */
  readonly id: string;
}

export interface LoadedPack {
  readonly pack: Pack;
  readonly slotBase: number;
  readonly counterBase: number;
  /** By region: not to be used (any more). */
  readonly dead: Uint8Array;
}

/** Fewer new regions than this, and than a fiftieth of what is there, are not worth a rewrite. */
const WORTHWHILE = 8;
/** Bytes of a module past which a pack stops growing. */
const LARGEST = 48 << 20;

export interface StoreOwner {
  readonly guestPages: number;
  /** Reserve table slots and counters for a pack and make its instance; undefined if there is no room. */
  place(pack: Pack): { slotBase: number; counterBase: number } | undefined;
  /** Empty the slot of a region that may not be used. */
  clear(slot: number): void;
  helper(name: string): Helper;
  page(page: number): Uint8Array | undefined;
}

export class CodeStore {
  readonly #files: PackFiles;
  readonly #owner: StoreOwner;
  readonly #model: string;
  readonly packs: LoadedPack[] = [];
  readonly #loaded = new Map<string, LoadedPack | undefined>();
  readonly #fresh = new Map<string, Map<number, RegionObject>>();

  /** `model`: what else translations depend on (CPU features, mode). */
  constructor(files: PackFiles, model: string, owner: StoreOwner) {
    this.#files = files;
    this.#model = model;
    this.#owner = owner;
  }

  #key(file: CodeFile): string {
    return `${this.#files.engine} ${this.#model} ${file.id}`;
  }
  #name(key: string): string {
    const bytes = Buffer.from(key);
    return `${crc32(bytes).toString(16).padStart(8, '0')}${crc32(bytes, 0x5bd1e995).toString(16).padStart(8, '0')}.pack`;
  }

  /** Load the pack of this file unless that was tried before. True if one came. */
  open(file: CodeFile): boolean {
    if (this.#loaded.has(file.id)) return false;
    this.#loaded.set(file.id, undefined);
    const key = this.#key(file);
    const bytes = this.#files.load(this.#name(key));
    const pack = bytes === undefined ? undefined : decodePack(bytes, key);
    if (pack === undefined) return false;
    const stale = new Uint8Array(pack.pages.length);
    pack.pages.forEach((page, k) => {
      const now = this.#owner.page(page);
      if (now === undefined || now.length < 4096 || crc32(now) !== pack.pageSums[k]) stale[k] = 1;
    });
    const place = this.#owner.place(pack);
    if (place === undefined) return false;
    const loaded: LoadedPack = { pack, ...place, dead: new Uint8Array(pack.pcs.length) };
    this.packs.push(loaded);
    this.#loaded.set(file.id, loaded);
    if (stale.includes(1)) this.#kill(loaded, (page) => stale[page] === 1);
    return true;
  }

  /** The region at `pc` in a pack, if it may be used. */
  find(pc: number): { loaded: LoadedPack; index: number } | undefined {
    for (const loaded of this.packs) {
      const index = search(loaded.pack.pcs, pc);
      if (index >= 0 && loaded.dead[index] === 0) return { loaded, index };
    }
    return undefined;
  }
  /** Offset of the counter of the region at `pc`. */
  counter(pc: number): number | undefined {
    const found = this.find(pc);
    return found && found.loaded.counterBase + 4 * found.index;
  }
  /** Slots that packs use for `pc`, own regions and targets alike, are handed to `use`. */
  slots(pc: number, use: (slot: number) => void): void {
    for (const { pack, slotBase } of this.packs) {
      const own = search(pack.pcs, pc);
      if (own >= 0) use(slotBase + own);
      else {
        const target = search(pack.targets, pc);
        if (target >= 0) use(slotBase + pack.pcs.length + target);
      }
    }
  }

  /** Regions on the pages [first, last] are not to be used any more. */
  invalidate(first: number, last: number): void {
    for (const loaded of this.packs) {
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
      fresh = new Map();
      this.#fresh.set(file.id, fresh);
    }
    fresh.set(object.pc, object);
  }

  /** In the child of a fork: what is new so far is the parent's to write. */
  afterFork(): void {
    this.#fresh.clear();
  }

  /** Write what is new. `alive`: the region at a pc has not been invalidated since. */
  save(alive: (pc: number) => boolean): void {
    for (const [id, fresh] of this.#fresh) {
      const known = this.#loaded.get(id);
      if (fresh.size < WORTHWHILE || fresh.size * 50 < (known?.pack.pcs.length ?? 0)) continue;
      const key = this.#key({ id });
      const name = this.#name(key);
      const objects = new Map<number, RegionObject>();
      // Another run may have written meanwhile: what is on disk counts, not what was loaded.
      const bytes = this.#files.load(name);
      const old = bytes === undefined ? undefined : decodePack(bytes, key);
      // Children of one parent meet the same code: the first to end has written it.
      if (old !== undefined && known?.pack.pcs.length !== old.pcs.length) {
        let missing = 0;
        for (const pc of fresh.keys()) if (search(old.pcs, pc) < 0) missing++;
        if (missing < WORTHWHILE) continue;
      }
      if (old !== undefined && old.module.length < LARGEST) for (const o of packObjects(old)) objects.set(o.pc, o);
      if (known !== undefined) known.pack.pcs.forEach((pc, k) => known.dead[k] === 1 && objects.delete(pc));
      for (const [pc, o] of fresh) if (alive(pc)) objects.set(pc, o);
      const pack = makePack({
        key,
        objects: [...objects.values()].filter((o) => o.names.every((n) => n.startsWith('$') || this.#knows(n))),
        guestPages: this.#owner.guestPages,
        helper: (n) => this.#owner.helper(n),
        page: (p) => this.#owner.page(p),
      });
      if (pack !== undefined) this.#files.save(name, encodePack(pack));
    }
    this.#fresh.clear();
  }
  /** A pack another run wrote may call helpers this run has not met. */
  #knows(name: string): boolean {
    try {
      this.#owner.helper(name);
      return true;
    } catch {
      return false;
    }
  }
}
