/**
 * The code cache: guest pc → table slot → translated region, and the tiers.
 *
 * A slot belongs to its pc for ever; it holds `miss` until the region exists and again after invalidation, so callers
 * and the jump cache never have to be patched. Baseline regions (Liftoff, small) count; what proves hot is translated
 * anew, larger, by TurboFan, and takes over the slot.
 */
import { Builder, type Helper, type HelperEnv } from '../ir/builder.ts';
import type { Frontend } from '../ir/frontend.ts';
import { ModuleBuilder } from '../wasm/module-builder.ts';
import { HelperCompiler } from './helpers.ts';
import { instantiate } from './instantiate.ts';
import * as layout from './layout.ts';
import { type Imports, type Lowered, Lowering, type RegionOptions } from './lower.ts';
import { FRAME_TYPE, importMemories } from './module-parts.ts';
import { type BuiltRegion, buildRegion, type CodeSource } from './region.ts';
import { makeRuntime, type Runtime } from './runtime.ts';

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
  /** The guest handles memory faults itself: exact registers at each access. */
  readonly precise: boolean;
}

/** Instructions per region, by tier. */
const LIMIT = { baseline: 120, optimised: 1200 } as const;

/** What one baseline module takes in beside the region asked for. */
const BATCH = { regions: 8, instructions: 300 } as const;

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
  /** Made at the first fault in it. */
  sites: Lowered['sites'] | undefined;
}

export interface JitStatistics {
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
  readonly #helpers: HelperCompiler;
  readonly #runtime: Runtime;
  readonly #slots = new Map<number, number>();
  readonly #regions = new Map<number, Region>();
  /** By region id, for naming the place of a fault. */
  readonly #byId: Region[] = [];
  readonly #byPage = new Map<number, Set<Region>>();
  readonly #ir: Builder;
  readonly #lowering = new Lowering();
  readonly #pcIndex: number;
  #nextSlot = layout.FIRST_SLOT;
  #nextCounter = layout.COUNTERS;
  readonly statistics: JitStatistics = { baseline: 0, optimised: 0, modules: 0, instructions: 0, bytes: 0 };
  readonly #fns: { syscall: () => number; trap: (code: number) => void };

  /** `guestPages`: pages of 64 KiB `memory` was made with. */
  constructor(frontend: Frontend, memory: WebAssembly.Memory, guestPages: number, state: WebAssembly.Memory, host: JitHost) {
    this.#frontend = frontend;
    this.#host = host;
    this.#memory = memory;
    this.#guestPages = guestPages;
    this.#state = state;
    this.#words = new Int32Array(state.buffer);
    const env: HelperEnv = { state: new DataView(state.buffer) };
    this.#helpers = new HelperCompiler({ m: memory, s: state }, env, guestPages);
    this.#ir = new Builder(frontend.vars);
    this.#pcIndex = frontend.pcOffset >> 2;
    this.#table = new WebAssembly.Table({ element: 'anyfunc', initial: 4096 });
    this.#runtime = makeRuntime(frontend, layout.PENDING, {
      memory,
      state,
      table: this.#table,
      resolve: () => this.#resolve(),
      spent: () => this.#spent(),
      poll: () => host.poll(),
    }, guestPages);
    for (let k = 0; k < 4096; k++) this.#table.set(k, this.#runtime.miss);
    this.#table.set(layout.SLOT_BUDGET, this.#runtime.budget);
    const words = this.#words;
    const at = this.#pcIndex;
    this.#fns = {
      syscall: () => {
        const lo = words[at];
        const hi = words[at + 1];
        host.syscall();
        return words[at] !== lo || words[at + 1] !== hi ? 1 : 0;
      },
      trap: (code) => host.trap(code),
    };
    layout.clearJumpCache(words);
  }

  /** Run the guest from state.pc until something throws. */
  run(): never {
    return this.#runtime.run();
  }

  get pc(): number {
    return ((this.#words[this.#pcIndex] as number) >>> 0) + (this.#words[this.#pcIndex + 1] as number) * 4294967296;
  }

  /** Everything translated from [start, end) is forgotten; running code ends at its next exit. */
  invalidate(start: number, end: number): void {
    const first = Math.floor(start / 4096);
    const last = Math.floor((end - 1) / 4096);
    if (last - first < this.#byPage.size) {
      for (let p = first; p <= last; p++) this.#dropPage(p);
    } else for (const p of [...this.#byPage.keys()]) if (p >= first && p <= last) this.#dropPage(p);
  }
  /** Everything is forgotten (exec, a change of mode). */
  invalidateAll(): void {
    for (const p of [...this.#byPage.keys()]) this.#dropPage(p);
  }
  #dropPage(page: number): void {
    const regions = this.#byPage.get(page);
    if (regions === undefined) return;
    this.#byPage.delete(page);
    for (const r of regions) {
      if (this.#regions.get(r.pc) !== r) continue;
      this.#regions.delete(r.pc);
      this.#table.set(r.slot, this.#runtime.miss);
    }
  }

  /** The guest pc of a fault, from the stack of the RuntimeError it came as; undefined if not in translated code. */
  faultPc(stack: string): number | undefined {
    // "at r12 (wasm://wasm/0123abcd:wasm-function[3]:0x1f2)"
    const hit = /\br(\d+) \(wasm:[^)]*:wasm-function\[\d+\]:0x([0-9a-f]+)\)/.exec(stack);
    if (hit === null) return undefined;
    const region = this.#byId[Number(hit[1])];
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
      slot = this.#nextSlot++;
      if (slot >= this.#table.length) this.#table.grow(this.#table.length, this.#runtime.miss);
      this.#slots.set(pc, slot);
    }
    return slot;
  }

  /** `miss`: the slot for state.pc, translated; −1 if state changed instead. */
  #resolve(): number {
    const pc = this.pc;
    const slot = this.#slotOf(pc);
    if (!this.#regions.has(pc) && !this.#translate(pc, false)) {
      this.#host.fetchFault(pc);
      return -1;
    }
    this.#remember(pc, slot);
    return slot;
  }

  /** `budget`: state.pc is hot; also a safe point. */
  #spent(): number {
    const pc = this.pc;
    this.#host.poll();
    if (this.pc !== pc) return -1;
    const slot = this.#slotOf(pc);
    if (this.#regions.get(pc)?.optimised !== true && !this.#translate(pc, true)) {
      this.#host.fetchFault(pc);
      return -1;
    }
    return slot;
  }

  #options(optimised: boolean, counter: number, precise: boolean, sites: boolean): RegionOptions {
    const { pcOffset, hotParams, hotResults, vars } = this.#frontend;
    return {
      pcOffset,
      hotParams,
      hotResults,
      isaVars: vars.length,
      slotOf: (to) => this.#slotOf(to),
      budget: optimised ? layout.OPTIMISED_BUDGET : layout.BASELINE_BUDGET,
      counter,
      precise,
      sites,
    };
  }

  /** Lower the region once more, this time noting its accesses. Its code bytes must not have changed since. */
  #findSites(region: Region): Lowered['sites'] {
    const built = buildRegion(this.#ir, this.#frontend, this.#host.code, region.pc, region.optimised ? LIMIT.optimised : LIMIT.baseline);
    if (built === undefined) return [];
    // All indices take one byte, whatever they are.
    const imports: Imports = { regionType: 0, helper: () => 0, runtime: () => 0 };
    return this.#lowering.region(this.#ir, built.entry, imports, this.#options(region.optimised, region.counter, region.precise, true)).sites;
  }

  /** Translate the region at `pc`; in the baseline tier also some that it is likely to go on to, in the same module. */
  #translate(pc: number, optimised: boolean): boolean {
    const ir = this.#ir;
    const frontend = this.#frontend;
    const m = new ModuleBuilder();
    importMemories(m, this.#guestPages);
    m.importTable('g', 't', 1);
    const frame = m.type(FRAME_TYPE.params, FRAME_TYPE.results);
    const helpers: Record<string, unknown> = {};
    const imports: Imports = {
      regionType: frame,
      helper: (h: Helper) => {
        helpers[h.name] ??= this.#helpers.get(h, optimised);
        return m.importFunction('h', h.name, m.type(h.params, h.results));
      },
      runtime: (name) => m.importFunction('r', name, name === 'syscall' ? m.type([], ['i32']) : m.type(['i32'], [])),
    };
    const { precise } = this.#host;
    const work = [pc];
    const made: { pc: number; built: BuiltRegion; lowered: Lowered; counter: number }[] = [];
    let instructions = 0;
    for (let k = 0; k < work.length; k++) {
      const at = work[k] as number;
      const built = buildRegion(ir, frontend, this.#host.code, at, optimised ? LIMIT.optimised : LIMIT.baseline);
      if (built === undefined) {
        if (k === 0) return false;
        continue;
      }
      const counter = optimised ? -1 : this.#newCounter();
      const lowered = this.#lowering.region(ir, built.entry, imports, this.#options(optimised, counter, precise, false));
      made.push({ pc: at, built, lowered, counter });
      instructions += built.instructions;
      if (optimised || made.length >= BATCH.regions || instructions >= BATCH.instructions) break;
      for (const to of built.exits) if (!this.#regions.has(to) && !work.includes(to)) work.push(to);
    }
    const firstId = this.#byId.length;
    made.forEach((r, k) => m.func(frame, r.lowered.locals, r.lowered.body, { name: `r${firstId + k}`, slot: this.#slotOf(r.pc) }));
    const { bytes, codeOffsets } = m.finish();
    instantiate(bytes, { g: { m: this.#memory, s: this.#state, t: this.#table }, r: this.#fns, h: helpers }, optimised);
    made.forEach((r, k) => this.#enter({ pc: r.pc, slot: this.#slotOf(r.pc), optimised, pages: r.built.pages, counter: r.counter, precise, codeOffset: codeOffsets[k] as number, sites: undefined }));
    const s = this.statistics;
    if (optimised) s.optimised += made.length;
    else s.baseline += made.length;
    s.modules++;
    s.instructions += instructions;
    s.bytes += bytes.length;
    return true;
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

  #newCounter(): number {
    if (this.#nextCounter >= layout.COUNTERS_END) return -1;
    const at = this.#nextCounter;
    this.#nextCounter += 4;
    this.#words[at >> 2] = layout.BASELINE_ENTRIES;
    return at;
  }

  #remember(pc: number, slot: number): void {
    const lo = pc | 0;
    const entry = (((lo ^ (lo >>> layout.JUMP_CACHE_BITS)) & ((1 << layout.JUMP_CACHE_BITS) - 1)) << 4) + layout.JUMP_CACHE;
    this.#words[entry >> 2] = lo;
    this.#words[(entry >> 2) + 1] = Math.floor(pc / 4294967296);
    this.#words[(entry >> 2) + 2] = slot;
  }
}
