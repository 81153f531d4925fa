/**
 * The code cache: guest pc → table slot → translated region, and the tiers.
 *
 * A slot belongs to its pc for ever; it holds `miss` until the region exists and again after invalidation, so callers
 * and the jump cache never have to be patched. Baseline regions (Liftoff, small) count; what proves hot is translated
 * anew, larger, by TurboFan, and takes over the slot.
 */
import { Builder, type Helper, type HelperEnv } from '../ir/builder.ts';
import type { Frontend } from '../ir/frontend.ts';
import { CodeWriter, W } from '../wasm/code-writer.ts';
import { ModuleBuilder } from '../wasm/module-builder.ts';
import { type CodeFile, CodeStore, type LoadedPack, type PackFiles } from './code-store.ts';
import { describeRegion } from './describe-region.ts';
import { HelperCompiler } from './helpers.ts';
import { instantiate } from './instantiate.ts';
import * as layout from './layout.ts';
import { type Imports, type Lowered, Lowering, type RegionOptions } from './lower.ts';
import { link } from './link.ts';
import { FRAME_TYPE, importMemories } from './module-parts.ts';
import { assemble, type RegionObject, RUNTIME_NAMES } from './object.ts';
import type { Pack } from './pack.ts';
import { LOCKED_HELPERS } from './locked.ts';
import { type BuiltRegion, buildRegion, type CodeSource, type Extent, regionSize } from './region.ts';
import { makeRuntime, type Runtime } from './runtime.ts';
import { mulHiS, mulHiU } from './wide-multiply.ts';

export interface JitHost {
  readonly code: CodeSource;
  /** Serve the system call whose number and arguments are in the registers; state.pc is the next instruction. */
  syscall(): void;
  /** A guest exception `code` at state.pc. */
  trap(code: number): void;
  /** state.pc is not executable. */
  fetchFault(pc: number): void;
  /** Signals or stop requests are pending. */
  poll(): void;
  /** Another thread has changed what this one does not know of yet; and: learn it. */
  readonly behind: boolean;
  sync(): void;
  /** As HelperEnv has it. */
  compareExchange(address: number, size: number, at: number): boolean;
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

const PHASE = Object.fromEntries(layout.PHASES.map((name, k) => [name, k])) as Record<(typeof layout.PHASES)[number], number>;

/** How far a region reaches: one run; or runs that were executed, as their counters tell. */
const BASELINE: Extent = { limit: 40, run: 40 };
const OPTIMISED = { limit: 1000, run: 120, recursion: true } as const;

/** Entries after which a run is worth being part of an optimised region. */
const WORTH_JOINING = 200;

/** Targets of indirect jumps within a region: V8's time grows faster than their number. */
const MOST_TARGETS = 32;

/** Entries, or rounds of a loop, for each instruction of a region, that make up for optimising it: V8 takes 5 µs for one. */
const ENTRIES_PER_INSTRUCTION = 30;
/** Entries that make up for any size: such code is unrolled, and each entry runs through much of it. */
const ENOUGH = 10_000;

/** What one baseline module takes in beside the region asked for. */
const BATCH = { regions: 4, instructions: 100 } as const;

/** An indirect jump further than this many bytes leaves its function. */
const NEAR = 65536;

interface Region {
  readonly pc: number;
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

export interface JitStatistics {
  /** Regions taken from packs. */
  kept: number;
  baseline: number;
  optimised: number;
  modules: number;
  instructions: number;
  /** Bytes of WebAssembly. */
  bytes: number;
}

export class Jit {
  readonly #frontend: Frontend;
  readonly #host: JitHost;
  readonly #memory: WebAssembly.Memory;
  readonly #guestPages: number;
  readonly #state: WebAssembly.Memory;
  readonly #table: WebAssembly.Table;
  readonly #words: Int32Array;
  /** What is being done, for a profile. */
  readonly #phase: Uint8Array;
  readonly #helpers: HelperCompiler;
  readonly #runtime: Runtime;
  readonly #slots = new Map<number, number>();
  readonly #regions = new Map<number, Region>();
  /** By region id, for naming the place of a fault. */
  readonly #byId: Region[] = [];
  readonly #byPage = new Map<number, Set<Region>>();
  /** By guest pc of an indirect jump: where it went, as far as that is near. */
  readonly #jumps = new Map<number, number[]>();
  /** By pc: entries its counter has been set to in all, if more than at first; rounds of a loop there. */
  readonly #granted = new Map<number, number>();
  readonly #rounds = new Map<number, number>();
  readonly #ir: Builder;
  readonly #lowering = new Lowering();
  readonly #pcIndex: number;
  #nextSlot = layout.FIRST_SLOT;
  #nextCounter = layout.COUNTERS;
  readonly statistics: JitStatistics = { kept: 0, baseline: 0, optimised: 0, modules: 0, instructions: 0, bytes: 0 };
  /** Kept translations; anew for each mode. */
  #store: CodeStore | undefined;
  #storePrecise = false;
  readonly #named: Map<string, Helper>;
  readonly #fns: { syscall: () => number; trap: (code: number) => void };

  /** `guestPages`: pages of 64 KiB `memory` was made with. */
  constructor(
    frontend: Frontend,
    memory: WebAssembly.Memory,
    guestPages: number,
    state: WebAssembly.Memory,
    host: JitHost,
  ) {
    this.#frontend = frontend;
    this.#named = new Map([mulHiU, mulHiS, ...LOCKED_HELPERS, ...frontend.helpers].map((h) => [h.name, h]));
    this.#host = host;
    this.#memory = memory;
    this.#guestPages = guestPages;
    this.#state = state;
    this.#words = new Int32Array(state.buffer);
    this.#phase = new Uint8Array(state.buffer, layout.PHASE, 1);
    if (frontend.constants !== undefined) new Uint8Array(state.buffer).set(frontend.constants.bytes, frontend.constants.offset);
    const env: HelperEnv = {
      state: new DataView(state.buffer),
      compareExchange: (address, size, at) => host.compareExchange(address, size, at),
    };
    this.#helpers = new HelperCompiler({ m: memory, s: state }, env, guestPages);
    this.#ir = new Builder(frontend.vars);
    this.#pcIndex = frontend.pcOffset >> 2;
    this.#table = new WebAssembly.Table({ element: 'anyfunc', initial: 4096 });
    this.#runtime = makeRuntime(
      frontend,
      layout.PENDING,
      {
        memory,
        state,
        table: this.#table,
        resolve: () => this.#resolve(),
        resolveIndirect: () => this.#resolveIndirect(),
        spent: () => this.#spent(),
        poll: () => host.poll(),
      },
      guestPages,
    );
    for (let k = 0; k < 4096; k++) this.#table.set(k, this.#runtime.miss);
    this.#table.set(layout.SLOT_BUDGET, this.#runtime.budget);
    this.#table.set(layout.SLOT_MISS_INDIRECT, this.#runtime.missIndirect);
    const words = this.#words;
    const at = this.#pcIndex;
    this.#fns = {
      syscall: () => {
        const lo = words[at];
        const hi = words[at + 1];
        this.#phase[0] = PHASE.syscall;
        host.syscall();
        this.#phase[0] = PHASE.guest;
        return words[at] !== lo || words[at + 1] !== hi ? 1 : 0;
      },
      trap: (code) => host.trap(code),
    };
    layout.clearJumpCache(words);
  }

  /** Run the guest from state.pc until something throws. */
  run(): never {
    this.#phase[0] = PHASE.guest;
    return this.#runtime.run();
  }

  get pc(): number {
    return this.#number(this.#pcIndex);
  }
  /** The i64 at word `index` of state memory. */
  #number(index: number): number {
    return ((this.#words[index] as number) >>> 0) + (this.#words[index + 1] as number) * 4294967296;
  }

  /** Everything translated from [start, end) is forgotten; running code ends at its next exit. */
  invalidate(start: number, end: number): void {
    const first = Math.floor(start / 4096);
    const last = Math.floor((end - 1) / 4096);
    this.#store?.invalidate(first, last);
    if (last - first < this.#byPage.size) {
      for (let p = first; p <= last; p++) this.#dropPage(p);
    } else for (const p of [...this.#byPage.keys()]) if (p >= first && p <= last) this.#dropPage(p);
  }
  /** Everything is forgotten (a change of mode). */
  invalidateAll(): void {
    this.#store?.invalidate(0, Number.MAX_SAFE_INTEGER);
    this.#store = undefined;
    for (const p of [...this.#byPage.keys()]) this.#dropPage(p);
  }
  /** As new, for the next program of execve: no code of the old one is on the stack, so that nothing refers to it. */
  reset(): void {
    this.#store = undefined;
    for (let slot = layout.FIRST_SLOT; slot < this.#nextSlot; slot++) this.#table.set(slot, this.#runtime.miss);
    this.#nextSlot = layout.FIRST_SLOT;
    this.#nextCounter = layout.COUNTERS;
    this.#slots.clear();
    this.#regions.clear();
    this.#byPage.clear();
    this.#byId.length = 0;
    this.#jumps.clear();
    this.#granted.clear();
    this.#rounds.clear();
    layout.clearJumpCache(this.#words);
  }

  #dropPage(page: number): void {
    const regions = this.#byPage.get(page);
    if (regions === undefined) return;
    this.#byPage.delete(page);
    for (const r of regions) {
      if (this.#regions.get(r.pc) !== r) continue;
      this.#regions.delete(r.pc);
      this.#empty(r.pc, r.slot);
    }
  }

  #empty(pc: number, slot: number): void {
    this.#table.set(slot, this.#runtime.miss);
    this.#store?.slots(pc, (other) => this.#table.set(other, this.#runtime.miss));
  }

  /** Before the process ends or its image goes: what was translated is kept for other runs. */
  save(): void {
    this.#store?.save((pc) => this.#regions.has(pc));
  }

  /** In the child of a fork: what the parent translated is the parent's to save. */
  afterFork(): void {
    this.#store?.afterFork();
  }

  /** The guest pc of a fault, from the stack of the RuntimeError it came as; undefined if not in translated code. */
  faultPc(stack: string): number | undefined {
    // "at r12 (wasm://wasm/0123abcd:wasm-function[3]:0x1f2)"; p and a pc in packs
    const hit = /\b([rp][0-9a-f]+) \(wasm:[^)]*:wasm-function\[\d+\]:0x([0-9a-f]+)\)/.exec(stack);
    if (hit === null) return undefined;
    const name = hit[1] as string;
    const region =
      name[0] === 'r' ? this.#byId[Number(name.slice(1))] : this.#placedRegion(Number.parseInt(name.slice(1), 16));
    if (region === undefined) return undefined;
    const offset = Number.parseInt(hit[2] as string, 16) - region.codeOffset;
    let pc: number | undefined;
    region.sites ??= this.#findSites(region);
    for (const s of region.sites) {
      if (s.offset > offset) break;
      pc = s.pc;
    }
    return pc ?? region.pc;
  }

  #slotOf(pc: number): number {
    let slot = this.#slots.get(pc);
    if (slot === undefined) {
      this.#store?.slots(pc, (kept) => {
        slot ??= kept;
      });
      slot ??= this.#newSlots(1);
      this.#slots.set(pc, slot);
    }
    return slot;
  }
  #newSlots(count: number): number {
    const first = this.#nextSlot;
    this.#nextSlot += count;
    if (this.#nextSlot > this.#table.length)
      this.#table.grow(Math.max(this.#table.length, this.#nextSlot - this.#table.length), this.#runtime.miss);
    return first;
  }

  /** Say that `phase` is being done. The guest is at it again after whatever comes out. */
  #during<T>(phase: number, act: () => T): T {
    const before = this.#phase[0] as number;
    this.#phase[0] = phase;
    const result = act();
    this.#phase[0] = before;
    return result;
  }

  /** `miss`: the slot for state.pc, translated; −1 if state changed instead. */
  #resolve(): number {
    const pc = this.pc;
    if (!this.#regions.has(pc) && !this.#fromStore(pc) && !this.#translateBaseline(pc)) {
      this.#host.fetchFault(pc);
      return -1;
    }
    if (this.#host.behind) {
      // It may be this very code that is no longer what it was.
      this.#host.sync();
      return -1;
    }
    const slot = this.#slotOf(pc);
    this.#spread(pc, slot);
    this.#remember(pc, slot);
    return slot;
  }

  /** `missIndirect`: also learn where the jump goes. */
  #resolveIndirect(): number {
    const site = this.#number(layout.SITE >> 2);
    const pc = this.pc;
    if (Math.abs(pc - site) <= NEAR) {
      const known = this.#jumps.get(site);
      if (known === undefined) this.#jumps.set(site, [pc]);
      else if (!known.includes(pc)) known.push(pc);
    }
    return this.#resolve();
  }

  /** Packs have slots of their own for the pcs they go to: put the region at `pc` there too. */
  #spread(pc: number, slot: number): void {
    const store = this.#store;
    if (store === undefined || store.placed.length === 0) return;
    const f = this.#table.get(slot);
    store.slots(pc, (other) => {
      if (other !== slot) this.#table.set(other, f);
    });
  }

  /** Take the region at `pc` from a pack, loading that of its file if it was not yet. */
  #fromStore(pc: number): boolean {
    return this.#during(PHASE.packs, () => this.#takeFromStore(pc));
  }
  #takeFromStore(pc: number): boolean {
    const { packs, model, precise } = this.#host;
    if (packs === undefined) return false;
    if (this.#store === undefined || this.#storePrecise !== precise) {
      this.#storePrecise = precise;
      this.#store = new CodeStore(packs, `${model} ${precise ? 'precise' : 'fast'}`, {
        guestPages: this.#guestPages,
        place: (pack) => this.#place(pack),
        placed: (pack) => this.#connect(pack),
        clear: (slot) => this.#table.set(slot, this.#runtime.miss),
        helper: (name) => this.#helperNamed(name),
        page: (page) => this.#host.codePage(page),
      });
    }
    const store = this.#store;
    const file = this.#host.codeFile(pc);
    const found = file === undefined ? undefined : store.find(file, pc);
    if (found === undefined) return false;
    const region = this.#packRegion(pc, found);
    // A slot given to this pc before its pack came holds nothing yet.
    const slot = this.#slotOf(pc);
    if (slot !== region.slot) this.#table.set(slot, this.#table.get(region.slot));
    this.#enter({ ...region, slot });
    this.statistics.kept++;
    return true;
  }

  #packRegion(pc: number, { loaded, index }: { loaded: LoadedPack; index: number }): Region {
    const { pack } = loaded;
    const pages = new Set(
      Array.from(
        pack.regionPages.subarray(pack.pageFirst[index], pack.pageFirst[index + 1]),
        (p) => pack.pages[p] as number,
      ),
    );
    return {
      pc,
      slot: loaded.slotBase + index,
      optimised: false,
      pages,
      counter: loaded.counterBase + 4 * index,
      precise: this.#storePrecise,
      codeOffset: (pack.codeAt[index] as number) + (pack.codeStart[index] as number),
      extent: undefined,
      sites: undefined,
    };
  }

  #placedRegion(pc: number): Region | undefined {
    const found = this.#store?.placedAt(pc);
    return found === undefined ? undefined : this.#packRegion(pc, found);
  }

  /** Code of a pack goes at once where regions are already. */
  #connect({ pack, slotBase }: LoadedPack): void {
    const connect = (pc: number, slot: number): void => {
      const region = this.#regions.get(pc);
      if (region !== undefined) this.#table.set(slot, this.#table.get(region.slot));
    };
    pack.pcs.forEach((pc, k) => connect(pc, slotBase + k));
    pack.targets.forEach((pc, k) => connect(pc, slotBase + pack.pcs.length + k));
  }

  #place(pack: Pack): { slotBase: number; counterBase: number } | undefined {
    const counterBase = this.#newCounters(pack.pcs.length);
    if (counterBase < 0) return undefined;
    const helpers: Record<string, unknown> = {};
    for (const [k, name] of pack.names.entries()) {
      if (name.startsWith('$')) continue;
      if (!this.#named.has(name)) {
        // Building a region that calls it tells which helper is meant.
        const witness = pack.witnesses[k] as number;
        if (buildRegion(this.#ir, this.#frontend, this.#host.code, witness, BASELINE) === undefined) return undefined;
        for (const h of this.#ir.helpers) this.#named.set(h.name, h);
      }
      const helper = this.#named.get(name);
      if (helper === undefined) return undefined;
      helpers[name] = this.#helpers.get(helper);
    }
    const slotBase = this.#newSlots(pack.pcs.length + pack.targets.length);
    instantiate(pack.module, this.#linkedImports(slotBase, counterBase, helpers), false);
    this.statistics.modules++;
    this.statistics.bytes += pack.module.length;
    return { slotBase, counterBase };
  }

  #helperNamed(name: string): Helper {
    const helper = this.#named.get(name);
    if (helper === undefined) throw new Error(`no helper is called ${name}`);
    return helper;
  }

  #linkedImports(slotBase: number, counterBase: number, helpers: Record<string, unknown>): WebAssembly.Imports {
    const h = { ...helpers, [RUNTIME_NAMES.syscall]: this.#fns.syscall, [RUNTIME_NAMES.trap]: this.#fns.trap };
    return { g: { m: this.#memory, s: this.#state, t: this.#table, slots: slotBase, counters: counterBase }, h };
  }

  /** `budget`: state.pc is hot; also a safe point. */
  #spent(): number {
    const pc = this.pc;
    if (this.#words[layout.STALE >> 2] !== 0) {
      this.#words[layout.STALE >> 2] = 0;
      this.invalidate(pc, pc + 1);
      return -1;
    }
    this.#host.poll();
    if (this.pc !== pc) return -1;
    if (this.#regions.get(pc)?.optimised !== true && !this.#promote(pc)) {
      this.#host.fetchFault(pc);
      return -1;
    }
    const slot = this.#slotOf(pc);
    this.#spread(pc, slot);
    return slot;
  }

  /**
   * Baseline code at `pc` was entered so often, or a loop there went round so often, that it asks for more: it is
   * translated anew if what that costs is likely to be saved. False if nothing is executable there.
   */
  #promote(pc: number): boolean {
    const { extent, repeated } = this.#optimisedExtent(pc);
    const size = regionSize(this.#frontend, this.#host.code, pc, extent);
    if (size === 0) return false;
    const counter = this.#counterOf(pc);
    const entered = counter >= 0 && this.#words[counter >> 2] === 0;
    const rounds = (this.#rounds.get(pc) ?? 0) + (entered ? 0 : layout.BASELINE_BUDGET);
    const executed = this.#executed(pc);
    const missing = Math.min(size * ENTRIES_PER_INSTRUCTION, ENOUGH) - executed - rounds;
    if (missing <= 0) return this.#during(PHASE.optimised, () => this.#translateOptimised(pc, extent, repeated));
    if (!entered) this.#rounds.set(pc, rounds);
    else {
      const more = Math.max(missing, layout.BASELINE_ENTRIES);
      this.#words[counter >> 2] = more;
      this.#granted.set(pc, executed + more);
    }
    return this.#regions.has(pc) || this.#fromStore(pc) || this.#translateBaseline(pc);
  }

  #options(optimised: boolean, counter: number, precise: boolean, sites: boolean): RegionOptions {
    const { pcOffset, hotParams, hotResults, vars, flagVars } = this.#frontend;
    return {
      pcOffset,
      hotParams,
      hotResults,
      isaVars: vars.length,
      flagVars,
      slotOf: (to) => this.#slotOf(to),
      budget: optimised ? layout.OPTIMISED_BUDGET : layout.BASELINE_BUDGET,
      counter,
      precise,
      sync: !optimised,
      sites,
      relocatable: !optimised,
    };
  }

  /** Lower the region once more, this time noting its accesses. Its code bytes must not have changed since. */
  #findSites(region: Region): Lowered['sites'] {
    const built = buildRegion(
      this.#ir,
      this.#frontend,
      this.#host.code,
      region.pc,
      region.extent ?? BASELINE,
    );
    if (built === undefined) return [];
    // All indices take one byte, whatever they are.
    const imports: Imports = { regionType: 0, helper: () => 0, runtime: () => 0 };
    return this.#lowering.region(
      this.#ir,
      built.entry,
      imports,
      this.#options(region.optimised, region.counter, region.precise, true),
    ).sites;
  }

  /** The region at `pc`, and some that it is likely to go on to, in one module of objects that may be kept. */
  #translateBaseline(pc: number): boolean {
    return this.#during(PHASE.baseline, () => this.#makeBaseline(pc));
  }
  #makeBaseline(pc: number): boolean {
    const { precise } = this.#host;
    const work = [pc];
    const built: BuiltRegion[] = [];
    const objects: RegionObject[] = [];
    let instructions = 0;
    for (let k = 0; k < work.length && objects.length < BATCH.regions && instructions < BATCH.instructions; k++) {
      const at = work[k] as number;
      const region = buildRegion(this.#ir, this.#frontend, this.#host.code, at, BASELINE);
      if (region === undefined) {
        if (k === 0) return false;
        continue;
      }
      const names: string[] = [];
      const named = (name: string): number => {
        const known = names.indexOf(name);
        return known >= 0 ? known : names.push(name) - 1;
      };
      const imports: Imports = {
        regionType: 0,
        helper: (h) => {
          this.#named.set(h.name, h);
          return named(h.name);
        },
        runtime: (name) => named(RUNTIME_NAMES[name]),
      };
      const { locals, body, relocs } = this.#lowering.region(
        this.#ir,
        region.entry,
        imports,
        this.#options(false, 0, precise, false),
      );
      built.push(region);
      objects.push({
        pc: at,
        pages: [...region.pages],
        instructions: region.instructions,
        relocs,
        names,
        ...assemble(locals, body, relocs),
      });
      instructions += region.instructions;
      for (const to of region.exits) if (!this.#regions.has(to) && !work.includes(to)) work.push(to);
    }
    const counters = objects.map(() => this.#newCounters(1));
    const firstId = this.#byId.length;
    const { bytes, codeOffsets, helpers } = link({
      objects,
      guestPages: this.#guestPages,
      slot: (to) => this.#slotOf(to),
      counter: (k) => counters[k] as number,
      helper: (name) => this.#helperNamed(name),
      name: (k) => `r${firstId + k}`,
      contiguous: false,
    });
    const functions: Record<string, unknown> = {};
    for (const name of helpers) functions[name] = this.#helpers.get(this.#helperNamed(name));
    this.#during(PHASE['baseline V8'], () => instantiate(bytes, this.#linkedImports(0, 0, functions), false));
    objects.forEach((o, k) => {
      const codeOffset = codeOffsets[k] as number;
      const { pages, volatile } = built[k] as BuiltRegion;
      this.#enterBuilt(volatile, {
        pc: o.pc,
        slot: this.#slotOf(o.pc),
        optimised: false,
        pages,
        counter: counters[k] as number,
        precise,
        codeOffset,
        extent: undefined,
        sites: undefined,
      });
      const file = this.#store === undefined ? undefined : this.#host.codeFile(o.pc);
      if (file !== undefined) this.#store?.add(file, o);
    });
    this.#count('baseline', objects.length, instructions, bytes.length);
    return true;
  }

  #translateOptimised(pc: number, extent: Extent, repeated: Extent): boolean {
    const { precise } = this.#host;
    const region = buildRegion(this.#ir, this.#frontend, this.#host.code, pc, extent);
    if (region === undefined) return false;
    const m = new ModuleBuilder();
    importMemories(m, this.#guestPages);
    m.importTable('g', 't', 1);
    const frame = m.type(FRAME_TYPE.params, FRAME_TYPE.results);
    const helpers: Record<string, unknown> = {};
    const imports: Imports = {
      regionType: frame,
      helper: (h: Helper) => {
        helpers[h.name] ??= this.#helpers.get(h, true);
        return m.importFunction('h', h.name, m.type(h.params, h.results));
      },
      runtime: (name) => m.importFunction('r', name, name === 'syscall' ? m.type([], ['i32']) : m.type(['i32'], [])),
    };
    const lowered = this.#lowering.region(this.#ir, region.entry, imports, this.#options(true, -1, precise, false));
    const slot = this.#slotOf(pc);
    const body = m.func(frame, lowered.locals, lowered.body, { name: `r${this.#byId.length}`, slot });
    for (const entry of region.entries) m.func(frame, [], enterAt(entry, body), { slot: this.#slotOf(entry) });
    const { bytes, codeOffsets } = m.finish();
    const g = { m: this.#memory, s: this.#state, t: this.#table };
    this.#during(PHASE['optimised V8'], () => instantiate(bytes, { g, r: this.#fns, h: helpers }, true));
    const made: Region = {
      pc,
      slot,
      optimised: true,
      pages: region.pages,
      counter: -1,
      precise,
      codeOffset: codeOffsets[0] as number,
      extent: repeated,
      sites: undefined,
    };
    this.#enterBuilt(region.volatile, made);
    for (const entry of region.entries) {
      const at = this.#slotOf(entry);
      this.#enter({ ...made, pc: entry, slot: at });
      this.#spread(entry, at);
    }
    this.#count('optimised', 1, region.instructions, bytes.length);
    return true;
  }

  /** How an optimised region is to be built, and the same with what it decided, so that it can be built again. */
  #optimisedExtent(pc: number): { extent: Extent; repeated: Extent } {
    const least = Math.max(WORTH_JOINING, this.#executed(pc) / 8);
    const chosen = new Map<number, number>();
    const targets = new Map<number, readonly number[]>();
    const extent = {
      ...OPTIMISED,
      worth: (pc: number): number => {
        const count = this.#executed(pc);
        const value = count >= WORTH_JOINING ? count : 0;
        chosen.set(pc, value);
        return value;
      },
      jumps: (site: number): readonly number[] => {
        const wanted = this.#targetsNear(site)
          .filter((t) => this.#executed(t) >= least)
          .sort((a, b) => this.#executed(b) - this.#executed(a))
          .slice(0, MOST_TARGETS);
        targets.set(site, wanted);
        return wanted;
      },
    };
    const repeated = { ...OPTIMISED, worth: (pc: number) => chosen.get(pc) ?? 0, jumps: (site: number) => targets.get(site) ?? [] };
    return { extent, repeated };
  }
  /**
   * Where the indirect jump at `site` may go: of jumps close together one misses the jump cache for all, so what is known of
   * its neighbours counts too.
   */
  #targetsNear(site: number): number[] {
    const targets = new Set<number>();
    for (const [other, known] of this.#jumps) if (Math.abs(other - site) <= NEAR) for (const t of known) targets.add(t);
    return [...targets];
  }

  /** How often the baseline code at `pc` was entered. */
  #executed(pc: number): number {
    if (this.#regions.get(pc)?.optimised === true) return Number.MAX_SAFE_INTEGER;
    const counter = this.#counterOf(pc);
    if (counter < 0) return 0;
    return (this.#granted.get(pc) ?? layout.BASELINE_ENTRIES) - (this.#words[counter >> 2] as number);
  }
  #counterOf(pc: number): number {
    return this.#regions.get(pc)?.counter ?? this.#store?.counter(pc) ?? -1;
  }

  /** The tier of the code at `pc` now. */
  tier(pc: number): 'baseline' | 'optimised' | undefined {
    const region = this.#regions.get(pc);
    if (region !== undefined) return region.optimised ? 'optimised' : 'baseline';
    return this.#store?.placedAt(pc) === undefined ? undefined : 'baseline';
  }

  /** How the code at `pc` is translated now, or would be: see describe-region.ts. */
  describe(pc: number): string {
    const region = this.#regions.get(pc) ?? this.#placedRegion(pc);
    const optimised = region?.optimised === true;
    const options = { ...this.#options(optimised, optimised ? -1 : 0, this.#host.precise, false), relocatable: false };
    const head = `region 0x${pc.toString(16)}: ${region === undefined ? 'not translated yet' : optimised ? 'optimised' : `baseline, entered ${this.#executed(pc)} times`}`;
    const extent = region?.extent ?? BASELINE;
    return `${head}\n${describeRegion(this.#ir, this.#frontend, this.#host.code, pc, extent, this.#lowering, options)}`;
  }

  #count(tier: 'baseline' | 'optimised', regions: number, instructions: number, bytes: number): void {
    const s = this.statistics;
    s[tier] += regions;
    s.modules++;
    s.instructions += instructions;
    s.bytes += bytes;
  }

  /** `volatile`: its code may have changed by the time a fault in it is to be placed. */
  #enterBuilt(volatile: boolean, region: Region): void {
    if (volatile) region.sites = this.#findSites(region);
    this.#enter(region);
  }

  #enter(region: Region): void {
    this.#byId.push(region);
    this.#regions.set(region.pc, region);
    for (const p of region.pages) {
      const set = this.#byPage.get(p);
      if (set === undefined) this.#byPage.set(p, new Set([region]));
      else set.add(region);
    }
  }

  /**
   * Room for `count` execution counters, set; -1 if there never is as much. When all are taken they are given out anew:
   * of two that share a counter the one that runs more often is more likely to be found hot.
   */
  #newCounters(count: number): number {
    if (layout.COUNTERS + 4 * count > layout.COUNTERS_END) return -1;
    if (this.#nextCounter + 4 * count > layout.COUNTERS_END) this.#nextCounter = layout.COUNTERS;
    const at = this.#nextCounter;
    this.#nextCounter += 4 * count;
    this.#words.fill(layout.BASELINE_ENTRIES, at >> 2, (at >> 2) + count);
    return at;
  }

  #remember(pc: number, slot: number): void {
    const lo = pc | 0;
    const entry =
      (((lo ^ (lo >>> layout.JUMP_CACHE_BITS)) & ((1 << layout.JUMP_CACHE_BITS) - 1)) << 4) + layout.JUMP_CACHE;
    this.#words[entry >> 2] = lo;
    this.#words[(entry >> 2) + 1] = Math.floor(pc / 4294967296);
    this.#words[(entry >> 2) + 2] = slot;
  }
}


/** A function of a region's type that enters the region `body` at `pc`. */
function enterAt(pc: number, body: number): Uint8Array {
  const w = new CodeWriter();
  w.i32Const(0);
  w.i64ConstOf(pc);
  w.stateAccess(W.i64Store, layout.ENTRY);
  for (let k = 0; k < FRAME_TYPE.params.length; k++) w.localGet(k);
  w.returnCall(body);
  return w.take();
}
