/** Runs one built region as WebAssembly, for comparison with the interpreter. */
import type { Block, Builder, Helper, HelperEnv } from '../../src/ir/builder.ts';
import type { Frontend } from '../../src/ir/frontend.ts';
import { HelperCompiler } from '../../src/jit/helpers.ts';
import * as layout from '../../src/jit/layout.ts';
import { type Imports, Lowering } from '../../src/jit/lower.ts';
import { FRAME_TYPE, importMemories } from '../../src/jit/module-parts.ts';
import { makeRuntime, type Runtime } from '../../src/jit/runtime.ts';
import { ModuleBuilder } from '../../src/wasm/module-builder.ts';

class Done {}

export interface WasmExit {
  readonly kind: 'left' | 'trap' | 'syscall' | 'fault';
  readonly pc: bigint;
  readonly code?: number;
  readonly error?: Error;
}

/** Compare and exchange for one thread. */
export function unsharedExchange(memory: WebAssembly.Memory, state: Uint8Array): HelperEnv['compareExchange'] {
  return (address, size, at) => {
    const place = new Uint8Array(memory.buffer, address, size);
    const found = place.slice();
    if (found.every((byte, k) => byte === state[at + k])) place.set(state.subarray(at + 16, at + 16 + size));
    state.set(found, at);
    return true;
  };
}

/**
 * A place to run regions of `frontend` over `memory` (shared memory64 of 262144 pages, or what the test needs: pass
 * `pages`). State memory is reachable as `state`.
 */
export class RegionRunner {
  readonly #frontend: Pick<Frontend, 'vars' | 'pcOffset' | 'hotParams' | 'hotResults' | 'flagVars' | 'constants'>;
  readonly memory: WebAssembly.Memory;
  readonly stateMemory = new WebAssembly.Memory({ initial: layout.STATE_PAGES, maximum: layout.STATE_PAGES });
  readonly state = new Uint8Array(this.stateMemory.buffer);
  readonly #view = new DataView(this.stateMemory.buffer);
  readonly #table = new WebAssembly.Table({ element: 'anyfunc', initial: 16 });
  readonly #helpers: HelperCompiler;
  readonly #runtime: Runtime;
  readonly #pages: number;
  #entered = false;

  constructor(
    frontend: Pick<Frontend, 'vars' | 'pcOffset' | 'hotParams' | 'hotResults' | 'flagVars' | 'constants'>,
    memory: WebAssembly.Memory,
    pages: number,
    compareExchange?: HelperEnv['compareExchange'],
  ) {
    this.#frontend = frontend;
    this.memory = memory;
    this.#pages = pages;
    if (frontend.constants !== undefined) this.state.set(frontend.constants.bytes, frontend.constants.offset);
    const env = { state: this.#view, compareExchange: compareExchange ?? unsharedExchange(memory, this.state) };
    this.#helpers = new HelperCompiler({ m: memory, s: this.stateMemory }, env, pages);
    const resolve = (): number => {
      if (this.#entered) throw new Done();
      this.#entered = true;
      return layout.FIRST_SLOT;
    };
    this.#runtime = makeRuntime(
      frontend as Frontend,
      layout.PENDING,
      {
        memory,
        state: this.stateMemory,
        table: this.#table,
        resolve,
        resolveIndirect: resolve,
        spent: resolve,
        poll: () => {},
      },
      pages,
    );
    for (let k = 0; k < 16; k++) this.#table.set(k, this.#runtime.miss);
    layout.clearJumpCache(new Int32Array(this.stateMemory.buffer));
  }

  run(ir: Builder, entry: Block, precise = false, sync = false): WasmExit {
    const m = new ModuleBuilder();
    importMemories(m, this.#pages);
    m.importTable('g', 't', 1);
    const frame = m.type(FRAME_TYPE.params, FRAME_TYPE.results);
    const helpers: Record<string, unknown> = {};
    const imports: Imports = {
      regionType: frame,
      helper: (h: Helper) => {
        helpers[h.name] ??= this.#helpers.get(h);
        return m.importFunction('h', h.name, m.type(h.params, h.results));
      },
      runtime: (name) => m.importFunction('r', name, name === 'syscall' ? m.type([], ['i32']) : m.type(['i32'], [])),
    };
    const f = this.#frontend;
    const lowered = new Lowering().region(ir, entry, imports, {
      pcOffset: f.pcOffset,
      hotParams: f.hotParams,
      hotResults: f.hotResults,
      isaVars: f.vars.length,
      flagVars: f.flagVars,
      slotOf: () => layout.SLOT_MISS,
      budget: 1 << 30,
      counter: -1,
      precise,
      sync,
      sites: false,
      relocatable: false,
    });
    m.func(frame, lowered.locals, lowered.body, { name: 'r0', slot: layout.FIRST_SLOT });
    let trap: number | undefined;
    let called = false;
    new WebAssembly.Instance(new WebAssembly.Module(m.finish().bytes), {
      g: { m: this.memory, s: this.stateMemory, t: this.#table },
      r: {
        syscall: () => {
          called = true;
          throw new Done();
        },
        trap: (code: number) => {
          trap = code;
          throw new Done();
        },
      },
      h: helpers,
    });
    this.#entered = false;
    try {
      this.#runtime.run();
    } catch (error) {
      const pc = this.#view.getBigInt64(f.pcOffset, true);
      if (error instanceof WebAssembly.RuntimeError) return { kind: 'fault', pc, error };
      if (!(error instanceof Done)) throw error;
      if (trap !== undefined) return { kind: 'trap', pc, code: trap };
      return { kind: called ? 'syscall' : 'left', pc };
    }
  }
}
