/**
 * From guest code to modules of WebAssembly that are in place: several baseline regions a module, as objects that may be kept,
 * or one optimised region. Where its regions go, and which are wanted, is others' business (jit.ts, tiers.ts).
 */
import { Builder, type Helper, type HelperEnv } from '../ir/builder.ts';
import type { Frontend } from '../ir/frontend.ts';
import { CodeWriter, W } from '../wasm/code-writer.ts';
import { ModuleBuilder } from '../wasm/module-builder.ts';
import { describeRegion } from './describe-region.ts';
import { HelperCompiler } from './helpers.ts';
import { instantiate } from './instantiate.ts';
import * as layout from './layout.ts';
import { link } from './link.ts';
import { LOCKED_HELPERS } from './locked.ts';
import { type Imports, type Lowered, Lowering, type RegionOptions } from './lower.ts';
import { FRAME_TYPE, importMemories } from './module-parts.ts';
import { assemble, type RegionObject, RUNTIME_NAMES } from './object.ts';
import type { Pack } from './pack.ts';
import { type CodeSource, type Extent, regionSize } from './reach.ts';
import { type BuiltRegion, buildRegion } from './region.ts';
import type { Region } from './regions.ts';
import { BASELINE } from './tiers.ts';
import { mulHiS, mulHiU } from './wide-multiply.ts';

/** What one baseline module takes in beside the region asked for. */
const BATCH = { regions: 4, instructions: 100 } as const;

/** What translated code is linked to. */
export interface Surroundings {
  readonly frontend: Frontend;
  readonly memory: WebAssembly.Memory;
  /** Pages of 64 KiB `memory` was made with. */
  readonly guestPages: number;
  readonly state: WebAssembly.Memory;
  readonly table: WebAssembly.Table;
  readonly code: CodeSource;
  readonly calls: { readonly syscall: () => number; readonly trap: (code: number) => void };
  compareExchange: HelperEnv['compareExchange'];
  readonly processor?: NonNullable<HelperEnv['processor']> | undefined;
  slotOf(pc: number): number;
  newCounters(count: number): number;
  isTranslated(pc: number): boolean;
  /** A number for a region that nothing else has. */
  newNumber(): number;
  /** V8 compiles a module of this tier in `act`. */
  compiling<T>(tier: 'baseline V8' | 'optimised V8', act: () => T): T;
}

export interface Translated {
  readonly regions: readonly Region[];
  /** Slots the code goes to, its own among them. */
  readonly slots: readonly number[];
  readonly instructions: number;
  /** Bytes of WebAssembly. */
  readonly bytes: number;
}

export class Translator {
  readonly #in: Surroundings;
  readonly #ir: Builder;
  readonly #lowering = new Lowering();
  readonly #helpers: HelperCompiler;
  readonly #named: Map<string, Helper>;

  constructor(surroundings: Surroundings) {
    const { frontend, memory, state, guestPages } = surroundings;
    this.#in = surroundings;
    this.#ir = new Builder(frontend.vars);
    this.#named = new Map([mulHiU, mulHiS, ...LOCKED_HELPERS, ...frontend.helpers].map((h) => [h.name, h]));
    const env: HelperEnv = {
      state: new DataView(state.buffer),
      compareExchange: (address, size, at) => surroundings.compareExchange(address, size, at),
      ...(surroundings.processor === undefined ? {} : { processor: surroundings.processor }),
    };
    this.#helpers = new HelperCompiler({ m: memory, s: state }, env, guestPages);
  }

  #build(pc: number, extent: Extent): BuiltRegion | undefined {
    return buildRegion(this.#ir, this.#in.frontend, this.#in.code, pc, extent);
  }

  /** Instructions of the region at `pc`; 0 if nothing is executable there. */
  sizeOf(pc: number, extent: Extent): number {
    return regionSize(this.#in.frontend, this.#in.code, pc, extent);
  }

  /**
   * The region at `pc`, and some that it is likely to go on to, in one module; undefined if nothing is executable there.
   * Compiled when called, or at once if `tier` says so.
   */
  baseline(pc: number, precise: boolean, tier: 'baseline' | 'ready' = 'baseline'): (Translated & { readonly objects: readonly RegionObject[] }) | undefined {
    const work = [pc];
    const built: BuiltRegion[] = [];
    const objects: RegionObject[] = [];
    let instructions = 0;
    for (let k = 0; k < work.length && objects.length < BATCH.regions && instructions < BATCH.instructions; k++) {
      const at = work[k] as number;
      const region = this.#build(at, BASELINE);
      if (region === undefined) {
        if (k === 0) return undefined;
        continue;
      }
      built.push(region);
      objects.push(this.#object(at, region, precise));
      instructions += region.instructions;
      for (const to of region.exits) if (!this.#in.isTranslated(to) && !work.includes(to)) work.push(to);
    }
    return { ...this.#putInPlace(objects, precise, tier, (k) => (built[k] as BuiltRegion).volatile), objects };
  }

  /** Objects that were made before, compiled at once. None may be of code that can change. */
  ready(objects: readonly RegionObject[], precise: boolean): Translated {
    return this.#putInPlace(objects, precise, 'ready', () => false);
  }

  #putInPlace(
    objects: readonly RegionObject[],
    precise: boolean,
    tier: 'baseline' | 'ready',
    isVolatile: (k: number) => boolean,
  ): Translated {
    const counters = objects.map(() => this.#in.newCounters(1));
    const numbers = objects.map(() => this.#in.newNumber());
    const slots = new Set<number>();
    const slotOf = (to: number): number => {
      const slot = this.#in.slotOf(to);
      slots.add(slot);
      return slot;
    };
    const { bytes, codeOffsets, helpers } = link({
      objects,
      guestPages: this.#in.guestPages,
      slot: slotOf,
      counter: (k) => counters[k] as number,
      helper: (name) => this.helperNamed(name),
      name: (k) => `r${numbers[k]}`,
      contiguous: false,
    });
    const functions: Record<string, unknown> = {};
    for (const name of helpers) functions[name] = this.#helpers.get(this.helperNamed(name));
    this.#in.compiling('baseline V8', () => instantiate(bytes, this.#linkedImports(0, 0, functions), tier));
    const regions = objects.map((o, k): Region => {
      return this.#withSites(isVolatile(k), {
        pc: o.pc,
        number: numbers[k] as number,
        slot: slotOf(o.pc),
        optimised: false,
        pages: new Set(o.pages),
        counter: counters[k] as number,
        precise,
        codeOffset: codeOffsets[k] as number,
        extent: undefined,
        sites: undefined,
      });
    });
    const instructions = objects.reduce((sum, o) => sum + o.instructions, 0);
    return { regions, slots: [...slots], instructions, bytes: bytes.length };
  }

  #object(pc: number, region: BuiltRegion, precise: boolean): RegionObject {
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
    const options = this.#options(false, 0, precise, false);
    const { locals, body, relocs } = this.#lowering.region(this.#ir, region.entry, imports, options);
    return {
      pc,
      pages: [...region.pages],
      instructions: region.instructions,
      relocs,
      names,
      ...assemble(locals, body, relocs),
    };
  }

  /** The region at `pc` as far as `extent` has it, and its further entries; undefined if nothing is executable there. */
  optimised(pc: number, extent: Extent, repeated: Extent, precise: boolean): Translated | undefined {
    const region = this.#build(pc, extent);
    if (region === undefined) return undefined;
    const { memory, state, table, guestPages, calls } = this.#in;
    const m = new ModuleBuilder();
    importMemories(m, guestPages);
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
    const slots = new Set<number>();
    const slotOf = (to: number): number => {
      const at = this.#in.slotOf(to);
      slots.add(at);
      return at;
    };
    const options = { ...this.#options(true, -1, precise, false), slotOf };
    const lowered = this.#lowering.region(this.#ir, region.entry, imports, options);
    const slot = slotOf(pc);
    const number = this.#in.newNumber();
    const body = m.func(frame, lowered.locals, lowered.body, { name: `r${number}`, slot });
    for (const entry of region.entries) m.func(frame, [], enterAt(entry, body), { slot: slotOf(entry) });
    const { bytes, codeOffsets } = m.finish();
    const g = { m: memory, s: state, t: table };
    this.#in.compiling('optimised V8', () => instantiate(bytes, { g, r: calls, h: helpers }, 'optimised'));
    const made = this.#withSites(region.volatile, {
      pc,
      number,
      slot,
      optimised: true,
      pages: region.pages,
      counter: -1,
      precise,
      codeOffset: codeOffsets[0] as number,
      extent: repeated,
      sites: undefined,
    });
    const entries = region.entries.map((entry): Region => ({ ...made, number: -1, pc: entry, slot: slotOf(entry) }));
    return { regions: [made, ...entries], slots: [...slots], instructions: region.instructions, bytes: bytes.length };
  }

  /** Make the instance of a pack; false if it asks for what there is not. */
  pack(pack: Pack, slotBase: number, counterBase: number): boolean {
    const helpers: Record<string, unknown> = {};
    for (const [k, name] of pack.names.entries()) {
      if (name.startsWith('$')) continue;
      if (!this.#named.has(name)) {
        // Building a region that calls it tells which helper is meant.
        if (this.#build(pack.witnesses[k] as number, BASELINE) === undefined) return false;
        for (const h of this.#ir.helpers) this.#named.set(h.name, h);
      }
      const helper = this.#named.get(name);
      if (helper === undefined) return false;
      helpers[name] = this.#helpers.get(helper);
    }
    instantiate(pack.module, this.#linkedImports(slotBase, counterBase, helpers), 'baseline');
    return true;
  }

  helperNamed(name: string): Helper {
    const helper = this.#named.get(name);
    if (helper === undefined) throw new Error(`no helper is called ${name}`);
    return helper;
  }

  #linkedImports(slotBase: number, counterBase: number, helpers: Record<string, unknown>): WebAssembly.Imports {
    const { memory, state, table, calls } = this.#in;
    const h = { ...helpers, [RUNTIME_NAMES.syscall]: calls.syscall, [RUNTIME_NAMES.trap]: calls.trap };
    return { g: { m: memory, s: state, t: table, slots: slotBase, counters: counterBase }, h };
  }

  #options(optimised: boolean, counter: number, precise: boolean, sites: boolean): RegionOptions {
    const { pcOffset, hotParams, hotResults, vars, flagVars } = this.#in.frontend;
    return {
      pcOffset,
      hotParams,
      hotResults,
      isaVars: vars.length,
      flagVars,
      slotOf: (to) => this.#in.slotOf(to),
      budget: optimised ? layout.OPTIMISED_BUDGET : layout.BASELINE_BUDGET,
      counter,
      precise,
      sync: !optimised,
      sites,
      relocatable: !optimised,
    };
  }

  /** `volatile`: its code may have changed by the time a fault in it is to be placed. */
  #withSites(volatile: boolean, region: Region): Region {
    if (volatile) region.sites = this.sites(region);
    return region;
  }

  /** Lower the region once more, this time noting its accesses. Its code bytes must not have changed since. */
  sites(region: Region): Lowered['sites'] {
    const built = this.#build(region.pc, region.extent ?? BASELINE);
    if (built === undefined) return [];
    // All indices take one byte, whatever they are.
    const imports: Imports = { regionType: 0, helper: () => 0, runtime: () => 0 };
    const options = this.#options(region.optimised, region.counter, region.precise, true);
    return this.#lowering.region(this.#ir, built.entry, imports, options).sites;
  }

  /** How the code at `pc` is translated, as `region` or as it would be now: see describe-region.ts. */
  describe(pc: number, region: Region | undefined, precise: boolean): string {
    const optimised = region?.optimised === true;
    const options = { ...this.#options(optimised, optimised ? -1 : 0, precise, false), relocatable: false };
    const { frontend, code } = this.#in;
    return describeRegion(this.#ir, frontend, code, pc, region?.extent ?? BASELINE, this.#lowering, options);
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
