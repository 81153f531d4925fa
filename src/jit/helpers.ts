/** Compiles helpers, each when it is first needed: IR helpers to a module of their own, JavaScript ones to a wrapper. */
import { Builder, type Helper, type HelperEnv } from '../ir/builder.ts';
import { ModuleBuilder } from '../wasm/module-builder.ts';
import { type Imports, Lowering } from './lower.ts';
import { importMemories } from './module-parts.ts';

export class HelperCompiler {
  readonly #functions = new Map<Helper, unknown>();
  readonly #memories: { m: WebAssembly.Memory; s: WebAssembly.Memory };
  readonly #env: HelperEnv;
  readonly #guestPages: number;

  constructor(memories: { m: WebAssembly.Memory; s: WebAssembly.Memory }, env: HelperEnv, guestPages: number) {
    this.#memories = memories;
    this.#guestPages = guestPages;
    this.#env = env;
  }

  /** The function to import for a helper. */
  get(helper: Helper): unknown {
    let f = this.#functions.get(helper);
    if (f === undefined) {
      f = this.#compile(helper);
      this.#functions.set(helper, f);
    }
    return f;
  }

  #compile(helper: Helper): unknown {
    const { js } = helper;
    if (js !== undefined) {
      const env = this.#env;
      return (...args: (number | bigint)[]) => js(env, ...args);
    }
    if (helper.build === undefined) throw new Error(`helper ${helper.name} has no body`);
    const ir = new Builder([]);
    const params = helper.params.map((t) => ir.temp(t));
    const entry = ir.newBlock();
    ir.begin(entry);
    helper.build(ir, ...params.map((p) => ir.get(p)));
    if (ir.open) throw new Error(`helper ${helper.name} does not end in ret`);
    const m = new ModuleBuilder();
    importMemories(m, this.#guestPages);
    const callees: Record<string, unknown> = {};
    const imports: Imports = {
      regionType: -1,
      helper: (h) => {
        callees[h.name] = this.get(h);
        return m.importFunction('h', h.name, m.type(h.params, h.results));
      },
      runtime: () => {
        throw new Error(`helper ${helper.name} uses the region runtime`);
      },
    };
    const lowered = Lowering.helper(ir, entry, imports, params);
    m.func(m.type(helper.params, helper.results), lowered.locals, lowered.body, { name: helper.name, exported: 'f' });
    const instance = new WebAssembly.Instance(new WebAssembly.Module(m.finish().bytes), { g: this.#memories, h: callees as WebAssembly.ModuleImports });
    return instance.exports['f'];
  }
}
