/**
 * Brings scripts up to date: compiles and runs a new version, keeps the old one where that fails, forgets modules that
 * changed. Owns no state but what it changes in the scripts'.
 */

import { block } from './glue.ts';
import type { LuaState } from './lua-exports.ts';
import type { LuaRuntime } from './lua-runtime.ts';
import type { LuaFailure } from './lua-vm.ts';
import type { Script, ScriptState, Unreadable } from './script.ts';

/** How long a script that does not load may still be being written before it is called broken. */
const SETTLE_MS = 1000;

export interface LoaderOptions {
  readonly runtime: LuaRuntime;
  /** Number of this thread, from 1 on. */
  readonly thread: number;
  /** The Lua thread to load on. Lua has been started. */
  lane(): LuaState;
  report(script: Script, failure: LuaFailure): void;
  /** The exception is the guest's business, not the script's. */
  escaping(error: unknown): boolean;
  /** Something is not as it was published. */
  changed(): void;
}

export class ScriptLoader {
  readonly #options: LoaderOptions;

  constructor(options: LoaderOptions) {
    this.#options = options;
  }

  /**
   * Bring a script up to date.
   * @returns whether some version of it is loaded.
   */
  prepare(script: Script): boolean {
    const { state } = script;
    state.stale = false;
    if (state.failed === state.text && !state.modulesChanged) {
      this.#withheld(script);
      return state.environment !== 0;
    }
    if ('missing' in state.text) {
      // Gone since the scan: the event that says so is on its way.
      if (!state.text.missing) this.#failed(script, state.text, { message: state.text.message, traceback: '' }, true);
    } else if (state.environment !== 0 && !state.modulesChanged && state.source?.equals(state.text) === true) {
      state.failed = undefined;
      this.#options.changed();
    } else {
      const failure = this.#load(script, state.text);
      if (failure !== undefined) this.#failed(script, state.text, failure, false);
    }
    return script.state.environment !== 0;
  }

  /** Scripts are gone: free what they held. */
  release(scripts: readonly Script[]): void {
    for (const { state } of scripts) if (state.environment !== 0) this.#options.runtime.host?.release(state.environment);
  }

  /** Files changed that `scripts` may have loaded with `require`. `ofCall`: whether a name is that of a system call. */
  adoptModules(scripts: Iterable<Script>, names: ReadonlySet<string>, ofCall: (name: string) => boolean): void {
    for (const { state } of scripts) {
      const used = [...state.modules].filter((m) => names.has(m.slice(m.lastIndexOf('.') + 1)) || names.has('init'));
      for (const module of used) this.#options.runtime.host?.forgetModule(module);
      // A script that failed may have missed just this module.
      const missing = state.failed !== undefined && [...names].some((n) => !ofCall(n));
      if (used.length > 0 || missing) {
        state.modulesChanged = true;
        state.stale = true;
      }
    }
  }

  #load(script: Script, source: Buffer): LuaFailure | undefined {
    const { runtime, thread, lane, changed } = this.#options;
    const { state } = script;
    const modules = state.modules;
    state.modulesChanged = false;
    state.modules = new Set();
    state.loading = thread;
    changed();
    let loaded: number | LuaFailure;
    try {
      const host = runtime.ready();
      host.vm.words[block.ticks >> 2] = 0;
      loaded = host.load(lane(), source, `@${script.path}`, script.main);
    } catch (error) {
      // Not to be tried again as it is, unless it was the call it made that went another way.
      if (!this.#options.escaping(error)) markFailed(script.state, source);
      throw error;
    } finally {
      script.state.loading = 0;
      changed();
    }
    // A call that the script made while it was being loaded may have brought news of it from another thread.
    const now = script.state;
    if (typeof loaded !== 'number') {
      for (const name of modules) now.modules.add(name);
      return loaded;
    }
    if (now.environment !== 0) runtime.host?.release(now.environment);
    now.environment = loaded;
    now.source = source;
    now.failed = undefined;
    now.withheld = undefined;
    return undefined;
  }

  /** A failure may have been kept back until now. */
  #withheld(script: Script): void {
    const { state } = script;
    const { withheld } = state;
    if (withheld === undefined) return;
    if (state.settled || Date.now() - withheld.since > SETTLE_MS) {
      state.withheld = undefined;
      this.#options.changed();
      this.#options.report(script, withheld.failure);
    } else {
      state.stale = true;
    }
  }

  #failed(script: Script, text: Buffer | Unreadable, failure: LuaFailure, unreadable: boolean): void {
    const { state } = script;
    markFailed(state, text);
    state.withheld = undefined;
    if (state.settled || unreadable) {
      this.#options.report(script, failure);
    } else {
      state.withheld = { failure, since: Date.now() };
      state.stale = true;
    }
    this.#options.changed();
  }
}

/** `text` cannot be loaded. If it is still the script's text, the very same object says so. */
function markFailed(state: ScriptState, text: Buffer | Unreadable): void {
  const same = state.text instanceof Buffer && text instanceof Buffer && state.text.equals(text);
  state.failed = same ? state.text : text;
}
