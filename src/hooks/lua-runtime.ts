/**
 * Owns one thread's use of the process's Lua state: beginning it or joining the one there is, the Lua threads that
 * hooks run on, what happens after an exception came through Lua, and giving the state up.
 *
 * Invariants: everything here happens under the lock once there are several threads; Lua is started by the first
 * call of `ready`; a state given up is never run again, by whatever thread.
 */

import { type SharedWords, word } from './hook-lock.ts';
import type { LuaState } from './lua-exports.ts';
import type { VmOptions } from './lua-instance.ts';
import { type LuaShare, LuaVm } from './lua-vm.ts';
import { ScriptHost } from './script-host.ts';

/** Instructions between two looks at the budget. */
export const TICK = 100_000;
/** Level of the Lua thread for the engine's own work: hooks never nest that deep. */
const OWN_LEVEL = 60_000;

export class LuaRuntime {
  /** A step is being taken in which another thread may not come in between: calls are made with the lock kept. */
  indivisible = false;
  readonly #options: VmOptions;
  readonly #strict: () => boolean;
  readonly #words: SharedWords;
  /** Number of this thread. */
  readonly #thread: number;
  #vm: LuaVm | undefined;
  #host: ScriptHost | undefined;
  /** The state that `#host` is for: the value of `word.epoch`. */
  #epoch = -1;
  /** By level: what each has to itself, for calls made for a hook may run guest code with hooks of its own. */
  readonly #lanes: LuaState[] = [];

  /** `share`: of another thread's runtime. */
  constructor(options: VmOptions, strict: () => boolean, words: SharedWords, thread: number, share?: LuaShare) {
    this.#options = options;
    this.#strict = strict;
    this.#words = words;
    this.#thread = thread;
    if (share !== undefined) this.#vm = new LuaVm(options, share);
  }

  /** What another thread needs to use the same state, begun or not. */
  get share(): LuaShare {
    this.#vm ??= new LuaVm(this.#options);
    return this.#vm.share;
  }

  /** The state as this thread last used it. */
  get vm(): LuaVm {
    return this.#vm as LuaVm;
  }

  /** Whether what this thread last used is the state there is now. */
  get current(): boolean {
    return this.#epoch === this.#words[word.epoch] && this.#host !== undefined;
  }

  /** Which state that is. */
  get epoch(): number {
    return this.#epoch;
  }

  /** The scripts' side of the state, if this thread uses one. */
  get host(): ScriptHost | undefined {
    return this.current ? this.#host : undefined;
  }

  /** Use the state there is, or begin one. @throws Error when Lua cannot be started, RangeError without memory. */
  ready(): ScriptHost {
    const epoch = this.#words[word.epoch] as number;
    if (epoch === this.#epoch) return this.#host as ScriptHost;
    const vm = (this.#vm ??= new LuaVm(this.#options));
    const host = new ScriptHost(vm, TICK, this.#thread);
    this.#lanes.length = 0;
    this.#host = undefined;
    const before = this.indivisible;
    this.indivisible = true;
    try {
      if (epoch % 2 === 1) {
        vm.join(this.#thread);
        this.#host = host;
        this.#epoch = epoch;
        // What a thread of this number that ended had.
        host.dropThreads(true);
        // Another thread may be in the middle of something on the state's main thread.
        vm.L = host.newThread(OWN_LEVEL);
      } else {
        vm.begin();
        this.#host = host;
        this.#epoch = epoch + 1;
        host.furnish(this.#strict());
        this.#words[word.epoch] = epoch + 1;
      }
    } catch (error) {
      this.#epoch = -1;
      throw error;
    } finally {
      this.indivisible = before;
    }
    return host;
  }

  /** The lock was taken: see what other threads have done to the memory. */
  refresh(): void {
    this.#vm?.refresh();
  }

  /** The Lua thread of a level. `ready` comes before. */
  lane(level: number): LuaState {
    const known = this.#lanes[level];
    if (known !== undefined) return known;
    for (let l = this.#lanes.length; l <= level; l++) this.#lanes[l] = (this.#host as ScriptHost).newThread(l);
    return this.#lanes[level] as LuaState;
  }

  /**
   * An exception came through Lua at this level: the Lua thread it passed through is half-way in something, never to be
   * run again.
   * @returns whether the state is as sound as before.
   */
  forsake(level: number, trap: boolean): boolean {
    this.#lanes.length = Math.min(this.#lanes.length, level);
    try {
      return !trap && (this.#host as ScriptHost).forsake(level);
    } catch {
      // Not even that works.
      return false;
    }
  }

  /** Nobody uses this state any more; the next `ready` begins another. */
  discard(): void {
    const epoch = this.#words[word.epoch] as number;
    if (epoch % 2 === 1) this.#words[word.epoch] = epoch + 1;
    this.#host = undefined;
    this.#lanes.length = 0;
  }

  /** Give back what this thread has of the state, for good. */
  leave(): void {
    if (!this.current) return;
    this.indivisible = true;
    (this.#host as ScriptHost).dropThreads(true);
    this.#vm?.leave(this.#thread);
    this.#host = undefined;
    this.#epoch = -1;
    this.indivisible = false;
  }

  /** In a forked child: the other threads are gone. */
  alone(): void {
    if (!this.current) return;
    this.indivisible = true;
    (this.#host as ScriptHost).dropThreads(false);
    this.indivisible = false;
  }

  /** Whether optimised code is to be had, and not had yet. */
  get optimisable(): boolean {
    return this.#vm?.canOptimise === true && !this.#vm.optimised;
  }

  /** Whether a thread has gone over to optimised code: for the others it is cheap then. */
  get otherOptimised(): boolean {
    return this.#words[word.optimised] !== 0;
  }

  /** The code is worth optimising. Only while this thread runs no Lua. */
  optimise(): void {
    this.#vm?.optimise();
    this.#words[word.optimised] = 1;
  }
}
