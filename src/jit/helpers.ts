/** Compiles helpers, each when it is first needed: IR helpers to a module of their own, JavaScript ones to a wrapper. */
import { Builder, type Helper, type HelperEnv } from '../ir/builder.ts';
import { ModuleBuilder } from '../wasm/module-builder.ts';
import { instantiate } from './instantiate.ts';
import { type Imports, Lowering } from './lower.ts';
import { importMemories } from './module-parts.ts';

export class HelperCompiler {
  readonly #baseline = new Map<Helper, unknown>();
  readonly #optimised = new Map<Helper, unknown>();
  readonly #memories: { m: WebAssembly.Memory; s: WebAssembly.Memory };
  readonly #env: HelperEnv;
  readonly #guestPages: number;

  constructor(memories: { m: WebAssembly.Memory; s: WebAssembly.Memory }, env: HelperEnv, guestPages: number) {
    this.#memories = memories;
    this.#guestPages = guestPages;
    this.#env = env;
  }

  /** The function to import for a helper, in the tier of who calls it. */
  get(helper: Helper, callerOptimised = false): unknown {
    const optimised = callerOptimised || helper.optimised === true;
    const functions = optimised ? this.#optimised : this.#baseline;
    let f = functions.get(helper);
    if (f === undefined) {
      f = this.#compile(helper, optimised);
      functions.set(helper, f);
    }
    return f;
  }

  #compile(helper: Helper, optimised: boolean): unknown {
    const { js } = helper;
    if (js !== undefined) {
      const env = this.#env;
      // Rest parameters would cost more than most helpers do.
      if (helper.params.length === 3)
        return (a: number | bigint, b: number | bigint, c: number | bigint) => js(env, a, b, c);
      return (...args: (number | bigint)[]) => js(env, ...args);
    }
    const { bytes, callees } = translated(helper, optimised, this.#guestPages);
    const h = Object.fromEntries(callees.map((c) => [c.name, this.get(c, optimised)]));
    return instantiate(bytes, { g: this.#memories, h }, optimised ? 'optimised' : 'baseline').exports['f'];
  }
}

interface Translated {
  readonly guestPages: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly callees: readonly Helper[];
}
const known = { baseline: new Map<Helper, Translated>(), optimised: new Map<Helper, Translated>() };

/** Translate helpers ahead of their use, for the start-up snapshot. */
export function prepareHelpers(helpers: readonly Helper[], guestPages: number): void {
  for (const helper of helpers) {
    if (helper.js !== undefined) continue;
    translated(helper, true, guestPages);
    prepareHelpers(translated(helper, false, guestPages).callees, guestPages);
  }
}

function translated(helper: Helper, optimised: boolean, guestPages: number): Translated {
  const translations = optimised ? known.optimised : known.baseline;
  let t = translations.get(helper);
  if (t?.guestPages !== guestPages) {
    t = translate(helper, optimised, guestPages);
    translations.set(helper, t);
  }
  return t;
}

function translate(helper: Helper, optimised: boolean, guestPages: number): Translated {
  if (helper.build === undefined) throw new Error(`helper ${helper.name} has no body`);
  const ir = new Builder([]);
  const params = helper.params.map((t) => ir.temp(t));
  const entry = ir.newBlock();
  ir.begin(entry);
  helper.build(ir, ...params.map((p) => ir.get(p)));
  if (ir.open) throw new Error(`helper ${helper.name} does not end in ret`);
  const m = new ModuleBuilder();
  importMemories(m, guestPages);
  const callees = new Set<Helper>();
  const imports: Imports = {
    regionType: -1,
    helper: (h) => {
      callees.add(h);
      return m.importFunction('h', h.name, m.type(h.params, h.results));
    },
    runtime: () => {
      throw new Error(`helper ${helper.name} uses the region runtime`);
    },
  };
  const lowered = new Lowering().helper(ir, entry, imports, params);
  // The names differ because V8 gives a module with the same bytes the code it has already, of whatever tier.
  const name = optimised ? `${helper.name}_optimised` : helper.name;
  m.func(m.type(helper.params, helper.results), lowered.locals, lowered.body, { name, exported: 'f' });
  return { guestPages, bytes: m.finish().bytes, callees: [...callees] };
}
