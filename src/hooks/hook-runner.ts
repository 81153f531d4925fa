/**
 * Runs scripts for the system calls of one guest thread: enters Lua with a call, makes the original calls it asks for,
 * and decides what the guest gets, whatever goes wrong on the way.
 *
 * Invariants: no system call is performed twice because of a script error; a call that a script makes never enters a
 * script; while a call is made for the guest the lock is not held, but for calls made in the middle of what other
 * threads must not see.
 */

import { errno } from '../abi/errno.ts';
import type { Next } from '../kernel/interceptor.ts';
import { SyscallFrame, Unwind } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import { type ApiContext, hookFunctions } from './api.ts';
import { block, WRONG_RESULT } from './glue.ts';
import { GuestScratch } from './guest-scratch.ts';
import type { CommonOptions, ThreadOptions } from './hook-options.ts';
import type { Sharing } from './hook-share.ts';
import { type LuaState, luaType } from './lua-exports.ts';
import { LuaRuntime, TICK } from './lua-runtime.ts';
import { luaSystem } from './lua-system.ts';
import { type LuaFailure, type LuaShare, LuaVm } from './lua-vm.ts';
import type { Rules } from './rules.ts';
import type { Script } from './script.ts';
import { describeResult } from './script-host.ts';
import { ScriptLoader } from './script-loader.ts';
import { defaults } from './settings.ts';

const SIGSYS = 31;
/** Hook calls that in baseline code cost more than optimising does, and for how many calls its functions are compiled as they are met. */
const OPTIMISE_AFTER = 40_000;
/** The same where another thread has done it. */
const OPTIMISE_SOON = 1000;
const OPTIMISE_CALLS = 50;
/** How long to try to tell others of what an ending thread left. */
const PUBLISH_MS = 100;
/** How often to look whether a thread that was loading a script has gone. */
const LOADING_MS = 1000;

/** Ends a hook that ran out of its budget. Not an Error, not a Lua error: passes through pcall. */
class Runaway {
  readonly failure: LuaFailure;
  constructor(failure: LuaFailure) {
    this.failure = failure;
  }
}

/** Ends a hook whose Lua state another thread has had to give up during a call. */
class StateLost extends Error {
  constructor() {
    super('the Lua state was lost during the call');
  }
}

type Leading = readonly (bigint | boolean | string | undefined)[];

export class HookRunner {
  readonly runtime: LuaRuntime;
  readonly loader: ScriptLoader;
  readonly scratch: GuestScratch;
  /** --explain: note what each script does. */
  counting = false;
  readonly #options: CommonOptions & ThreadOptions;
  readonly #rules: Rules;
  readonly #sharing: Sharing;
  /** Number of this thread, from 1 on. */
  readonly #thread: number;
  readonly #context: ApiContext;
  readonly #frames: SyscallFrame[] = [];
  #depth = 0;

  // The call being handled.
  #next: Next = () => 0n;
  #task: Task | undefined;
  #frame: SyscallFrame | undefined;
  #script: Script | undefined;
  #nr = -1;
  #ran = false;
  #ranResult = 0n;
  #scratchUsed = false;
  /** Scratch memory of a hook before this is to be given back. */
  #lent = false;
  #calls = 0;
  /** When the instruction counter first ran out in this hook call, and the time spent in c_do_syscall since. */
  #since = 0;
  #outside = 0;
  /** Finalizers in progress: the collector waits for them, so no other thread is let in. */
  #finalizers = 0;
  /** Calls left during which V8 is set to optimise. */
  #optimising = 0;
  /** It was gone over to, or cannot be. */
  #settled = false;
  /** An exception has passed through this thread's Lua threads that nothing has been done about yet. */
  #wrecked = false;
  /** An exception thrown by an original call, on its way through Lua. */
  #escaping: unknown = undefined;

  constructor(options: CommonOptions & ThreadOptions, rules: Rules, sharing: Sharing, thread: number, share?: LuaShare) {
    this.#options = options;
    this.#rules = rules;
    this.#sharing = sharing;
    this.#thread = thread;
    this.scratch = new GuestScratch(options.mapGuest, options.unmapGuest);
    this.#context = this.#makeContext();
    const { host } = options;
    const vmOptions = {
      system: (memory: WebAssembly.Memory) =>
        luaSystem(memory, {
          host,
          env: options.env ?? process.env,
          stdio: options.stdio ?? [0, 1, 2],
          exit: (status) => this.#exit(status),
        }),
      functions: { ...hookFunctions(() => this.#context), ...options.functions?.(() => this.#context) },
      argument: (L: LuaState, i: number) => this.#argument(L, i),
      original: () => this.#original(),
      tick: (L: LuaState) => this.#tick(L),
      get memoryLimit() {
        return rules.settings.memory;
      },
    };
    this.runtime = new LuaRuntime(vmOptions, () => rules.settings.strict, sharing.words, thread, share);
    sharing.onEnter = () => this.runtime.refresh();
    this.loader = new ScriptLoader({
      runtime: this.runtime,
      thread,
      lane: () => this.runtime.lane(this.#depth - 1),
      report: (script, failure) => this.#report(script, failure),
      escaping: (error) => error === this.#escaping || error instanceof StateLost,
      changed: () => {
        rules.changed = true;
      },
    });
  }

  /**
   * Handle a call that `script` owns, or entry.lua and finish.lua stand around.
   * @returns what the guest gets; undefined: the original is to be made.
   */
  run(
    task: Task, frame: SyscallFrame, next: Next, script: Script | undefined, entry: Script | undefined, finish: Script | undefined,
  ): bigint | undefined {
    const outerNext = this.#next;
    const outerTask = this.#task;
    const outerFrame = this.#frame;
    const outerScript = this.#script;
    const outerNr = this.#nr;
    const outerRan = this.#ran;
    const outerResult = this.#ranResult;
    const outerScratch = this.#scratchUsed;
    this.#next = next;
    this.#task = task;
    this.#frame = frame;
    this.#script = script;
    this.#nr = frame.nr;
    this.#ran = false;
    this.#depth++;
    if (this.#lent) this.#takeBack();
    const sharing = this.#sharing;
    const outerHeld = sharing.lock.held;
    const outerFinalizers = this.#finalizers;
    if (sharing.on && !outerHeld) sharing.enter();
    let escaped = true;
    try {
      if (this.#wrecked) this.#clear();
      const around = entry !== undefined || finish !== undefined;
      const result = around ? this.#around(entry, script, finish, task, frame, next) : this.#decide(script as Script, frame);
      escaped = false;
      return result;
    } finally {
      // Other threads may have come since the beginning.
      if (sharing.lock.held && !outerHeld) sharing.leave();
      else if (sharing.on && !outerHeld && this.#rules.changed) this.#publish();
      this.#finalizers = outerFinalizers;
      this.#depth--;
      // A thread on its way out changes no mappings: who waits for it may hold the process lock.
      if (this.#scratchUsed && this.#depth === 0) {
        if (escaped && sharing.on) this.#lent = true;
        else this.scratch.release();
      }
      this.#next = outerNext;
      this.#task = outerTask;
      this.#frame = outerFrame;
      this.#script = outerScript;
      this.#nr = outerNr;
      this.#ran = outerRan;
      this.#ranResult = outerResult;
      this.#scratchUsed = outerScratch;
    }
  }

  /** Run Lua code that is no rule (a test of rules) on behalf of `task`. */
  runChunk(task: Task, source: Uint8Array, chunk: string): LuaFailure | undefined {
    this.#task = task;
    const { vm } = this.runtime.ready();
    // As a level of its own: the hooks it calls are not the outermost.
    this.#depth++;
    try {
      const L = this.runtime.lane(this.#depth - 1);
      const failure = vm.load(L, source, chunk, true);
      if (failure !== undefined) return failure;
      vm.words[block.ticks >> 2] = 0;
      return vm.call(L, 0, 0, 'handler');
    } catch (error) {
      return this.#recover(error);
    } finally {
      this.#depth--;
    }
  }

  /** Forget the Lua state: every script is loaded anew when it is next called. */
  discard(): void {
    this.runtime.discard();
    this.#rules.changed = true;
    for (const { state } of this.#rules.set.all()) {
      state.environment = 0;
      state.source = undefined;
      state.modules.clear();
    }
  }

  /** What a script that owns the call makes of it; undefined: the original is to be made. */
  #decide(script: Script, frame: SyscallFrame): bigint | undefined {
    if (this.counting) return this.#counted(script, () => this.#attempt(script, frame));
    return this.#attempt(script, frame);
  }

  #attempt(script: Script, frame: SyscallFrame): bigint | undefined {
    this.#since = 0;
    const optimise = !this.#settled && this.#depth === 1 && this.#isHot();
    const result = optimise ? this.#optimise(script, frame) : this.#handle(script, frame);
    return result ?? this.#afterFailure(script);
  }

  /** What a failed script leads to. */
  #afterFailure(script: Script): bigint | undefined {
    script.statistics.errors++;
    switch (script.settings.onError) {
      case 'deny':
        return BigInt(-errno.EPERM);
      case 'kill':
        return this.#options.host.dieBySignal(SIGSYS);
      default:
        return this.#ran ? this.#ranResult : undefined;
    }
  }

  #counted<T>(script: Script, run: () => T): T {
    const { statistics } = script;
    statistics.calls++;
    const start = performance.now();
    const outside = this.#outside;
    this.#outside = 0;
    try {
      return run();
    } finally {
      statistics.milliseconds += performance.now() - start - this.#outside;
      this.#outside = outside;
    }
  }

  /** With entry.lua before and finish.lua after. */
  #around(
    entry: Script | undefined, script: Script | undefined, finish: Script | undefined, task: Task, frame: SyscallFrame, next: Next,
  ): bigint {
    const name = this.#options.syscalls.name(frame.nr);
    const nr = BigInt(frame.nr);
    const applies = (s: Script): boolean => s.settings.when?.(task.memory, frame) !== false;
    let handled = false;
    let result = 0n;
    if (entry !== undefined && applies(entry)) {
      const answer = this.#runAround(entry, [name, nr], frame);
      if (typeof answer === 'bigint') {
        handled = true;
        result = answer;
      } else if (this.#ran && answer === 'failed') {
        handled = true;
        result = this.#ranResult;
      }
    }
    if (!handled) {
      let decided: bigint | undefined;
      if (script !== undefined && applies(script)) {
        this.#script = script;
        this.#ran = false;
        decided = this.#decide(script, frame);
        handled = true;
      }
      result = decided ?? this.#unlocked(next, frame);
    }
    if (finish !== undefined && applies(finish)) {
      this.#ran = true;
      this.#ranResult = result;
      const answer = this.#runAround(finish, [name, nr, result, handled], frame);
      if (typeof answer === 'bigint') return answer;
    }
    return result;
  }

  /**
   * Run entry or finish. A result to use instead (entry's `true, ret`, or what on_error says), 'failed' where the
   * failure changes nothing, undefined to go on.
   */
  #runAround(script: Script, leading: Leading, frame: SyscallFrame): bigint | 'failed' | undefined {
    this.#script = script;
    this.#since = 0;
    const run = (): bigint | 'failed' | undefined => {
      const answer = this.#callAround(script, leading, frame);
      if (answer !== 'failed') return answer;
      const instead = this.#afterFailure(script);
      // What finish looks back on has been done: there is nothing left to deny.
      return script.settings.onError === 'passthrough' || script.main === 'finish' ? 'failed' : instead;
    };
    return this.counting ? this.#counted(script, run) : run();
  }

  #callAround(script: Script, leading: Leading, frame: SyscallFrame): bigint | 'failed' | undefined {
    try {
      if (!this.#loaded(script)) return 'failed';
      const lua = this.runtime.ready();
      const { vm } = lua;
      const L = this.runtime.lane(this.#depth - 1);
      const failure = lua.run(L, script.state.environment, script.main, leading, frame.i64);
      if (failure !== undefined) {
        this.#report(script, failure);
        return 'failed';
      }
      if (script.main !== 'entry' || vm.x.lua_toboolean(L, -2) === 0) {
        vm.x.lua_settop(L, 2);
        return undefined;
      }
      const isInteger = vm.blockAt + block.isInteger;
      const value = vm.x.lua_type(L, -1) === luaType.nil ? 0n : vm.x.lua_tointegerx(L, -1, isInteger);
      const wrong = vm.x.lua_type(L, -1) !== luaType.nil && (vm.x.lua_type(L, -1) !== luaType.number || vm.words[block.isInteger >> 2] === 0);
      const complaint = wrong ? describeResult(vm, L, 'entry') : '';
      vm.x.lua_settop(L, 2);
      if (!wrong) return value;
      this.#report(script, { message: `${script.path}: ${complaint}`, traceback: '' });
    } catch (error) {
      this.#report(script, this.#recover(error));
    }
    return 'failed';
  }

  /** Is it time for optimised code, or being gone over to? */
  #isHot(): boolean {
    if (this.#optimising > 0) return true;
    if (++this.#calls < OPTIMISE_SOON) return false;
    if (this.#calls < OPTIMISE_AFTER && !this.runtime.otherOptimised) return false;
    this.#settled = !this.runtime.optimisable;
    return !this.#settled;
  }

  /** Hooks are called often: go over to optimised code. */
  #optimise(script: Script, frame: SyscallFrame): bigint | undefined {
    LuaVm.optimising(true);
    try {
      if (this.#optimising === 0) {
        this.#optimising = OPTIMISE_CALLS;
        this.runtime.optimise();
      }
      return this.#handle(script, frame);
    } finally {
      LuaVm.optimising(false);
      this.#optimising--;
      this.#settled = this.#optimising === 0;
    }
  }

  /** The script's result; undefined when there is none (reported) and the original's is to be used. */
  #handle(script: Script, frame: SyscallFrame): bigint | undefined {
    try {
      if (!this.#loaded(script)) return undefined;
      const { vm } = this.runtime.ready();
      const L = this.runtime.lane(this.#depth - 1);
      const { words } = vm;
      const { i32, nr } = frame;
      words[block.nr >> 2] = nr;
      words[(block.nr >> 2) + 1] = nr < 0 ? -1 : 0;
      for (let k = 0; k < 16; k++) words[(block.args >> 2) + k] = i32[k] as number;
      const status = vm.hookCall(L, script.state.environment);
      if (status === 0) return vm.longs[block.result >> 3] as bigint;
      const failure =
        status === WRONG_RESULT
          ? { message: `${script.path}: ${describeResult(vm, L)}`, traceback: '' }
          : vm.takeFailure(L, status);
      vm.x.lua_settop(L, 2);
      // Library buffers ask for memory without a collection when there is none: have one now, for the next call.
      if (failure.message.endsWith('not enough memory')) this.runtime.host?.collect();
      this.#report(script, failure);
    } catch (error) {
      this.#report(script, this.#recover(error));
    }
    return undefined;
  }

  /** Whether some version of the script is loaded, the newest if that is possible. */
  #loaded(script: Script): boolean {
    const { state } = script;
    if (state.environment !== 0 && !state.stale) return true;
    if (this.#sharing.on && state.environment === 0) this.#awaitLoading(script);
    return (script.state.environment !== 0 && !script.state.stale) || this.loader.prepare(script);
  }

  /** Another thread is loading it for the first time: its top level runs once. */
  #awaitLoading(script: Script): void {
    const others = (): boolean => script.state.loading !== 0 && script.state.loading !== this.#thread;
    while (others() && this.#rules.set.has(script)) this.#sharing.awaitNews(LOADING_MS);
  }

  /** Let other threads in, if there are any; not into the middle of what they must not see. */
  #open(): void {
    if (this.#sharing.lock.held && !this.runtime.indivisible && this.#finalizers === 0) this.#sharing.leave();
  }

  /** Make the call without holding up other threads' hooks. */
  #unlocked(next: Next, frame: SyscallFrame): bigint {
    this.#open();
    const result = next(frame);
    if (this.#sharing.on && !this.#sharing.lock.held) this.#sharing.enter();
    return result;
  }

  /** c_do_syscall: perform what stands in the inner part of the block. */
  #original(): void {
    const { runtime } = this;
    const { epoch } = runtime;
    const { words, longs } = runtime.vm;
    const depth = this.#depth;
    if (depth === 0) {
      // A coroutine or finalizer cannot run outside a hook; the state is being closed.
      longs[block.innerResult >> 3] = -38n;
      return;
    }
    let frame = this.#frames[depth];
    if (frame === undefined) {
      frame = new SyscallFrame();
      this.#frames[depth] = frame;
    }
    const high = words[(block.innerNr >> 2) + 1] as number;
    const low = words[block.innerNr >> 2] as number;
    frame.nr = high === 0 ? low >>> 0 : high === -1 ? low : Number(longs[block.innerNr >> 3]);
    const { i32 } = frame;
    for (let k = 0; k < 16; k++) i32[k] = words[(block.innerArgs >> 2) + k] as number;
    let result: bigint;
    // The call may run guest code: what that compiles is not this engine's business.
    const optimising = this.#optimising > 0;
    if (optimising) LuaVm.optimising(false);
    const timed = this.#since !== 0 || this.counting;
    const start = timed ? performance.now() : 0;
    const { lock } = this.#sharing;
    if (lock.held) this.#open();
    try {
      result = this.#next(frame);
      if (this.#sharing.on && this.#options.leaving?.() === true) {
        // A script may go on calling for ever: it is left, and the guest code below it comes to its end.
        throw new Unwind('translation');
      }
      // Other threads may have come during the call.
      if (this.#sharing.on && !lock.held) this.#sharing.enter();
    } catch (error) {
      // On the way out the lock is not taken: who waits for this thread's end may hold what others inside Lua wait for.
      this.#escaping = error;
      throw error;
    } finally {
      if (timed) this.#outside += performance.now() - start;
      if (optimising) LuaVm.optimising(true);
    }
    if (frame.nr === this.#nr) {
      this.#ran = true;
      this.#ranResult = result;
    }
    if (this.counting && this.#script !== undefined) this.#script.statistics.originals++;
    if (!runtime.current || runtime.epoch !== epoch) throw new StateLost();
    longs[block.innerResult >> 3] = result;
  }

  /** An argument of c_do_syscall that is not an integer. */
  #argument(L: LuaState, i: number): bigint {
    const { vm } = this.runtime;
    const type = vm.x.lua_type(L, i);
    if (type === luaType.nil && i > 1) return 0n;
    if (type === luaType.string && i > 1) {
      const addr = this.#context.scratch.put(this.#context.memory, vm.toBytes(L, i));
      if (addr < 0) vm.raise(L, `no guest memory for argument ${i} of c_do_syscall (error ${-addr})`);
      return BigInt(addr);
    }
    if (type !== luaType.number) vm.x.luaL_typeerror(L, i, vm.name(i === 1 ? 'integer' : 'integer or string'));
    return vm.x.luaL_checkinteger(L, i);
  }

  /** The instruction counter of a Lua thread ran out. */
  #tick(L: LuaState): void {
    const { vm } = this.runtime;
    const at = block.ticks >> 2;
    const ticks = (vm.words[at] as number) + 1;
    vm.words[at] = ticks;
    const { instructions, time } = this.#script?.settings ?? defaults;
    const now = performance.now();
    if (this.#since === 0) {
      this.#since = now;
      this.#outside = 0;
    }
    const slow = now - this.#since - this.#outside > time;
    if (ticks * TICK < instructions && !slow) return;
    vm.words[at] = 0;
    const what = slow ? `${time / 1000} seconds` : `${instructions.toLocaleString('en')} instructions`;
    throw new Runaway(vm.trace(L, `more than ${what} in one hook call`));
  }

  /** Say what went wrong, and what becomes of the call. */
  #report(script: Script, failure: LuaFailure): void {
    const { main, settings, state } = script;
    const original =
      settings.onError === 'kill' ? 'the guest is killed (on_error = "kill")'
        : main === 'finish' ? 'the result stays as it was'
          : settings.onError === 'deny' ? 'the guest gets EPERM (on_error = "deny")'
            : this.#ran ? 'the original call had been made; its result is used'
              : main === 'entry' ? 'the call goes on without it'
                : 'the original call is made instead';
    const outcome = state.failed !== undefined && state.environment !== 0 ? 'the version loaded before stays in use' : original;
    const task = this.#task;
    const frame = this.#frame;
    const { describe } = this.#options;
    const isNew = this.#rules.reporter.failure(script.path, failure, outcome, () =>
      describe === undefined || task === undefined || frame === undefined ? undefined : describe(task.memory, frame));
    if (isNew) this.#rules.changed = true;
  }

  /** An exception came out of Lua. Makes Lua usable again; throws on what is not the script's. */
  #recover(error: unknown): LuaFailure {
    const { runtime } = this;
    const escaping = this.#escaping !== undefined && this.#escaping === error;
    this.#escaping = undefined;
    const level = this.#depth - 1;
    if (escaping && this.#sharing.on && !this.#sharing.lock.held) {
      this.#wrecked = true;
      throw error;
    }
    let sound = false;
    if (runtime.current) {
      sound = runtime.forsake(level, error instanceof WebAssembly.RuntimeError);
      if (!sound && level === 0) this.discard();
    } else if (!escaping && !(error instanceof StateLost)) {
      return { message: `Lua cannot be started: ${(error as Error).message}`, traceback: '' };
    }
    if (escaping) throw error;
    if (error instanceof Runaway) return error.failure;
    const reason = error instanceof Error ? error.message : String(error);
    const again = sound && !(error instanceof StateLost) ? '' : '; the Lua state was lost, and scripts are loaded anew';
    return { message: `${this.#script?.path}: ${reason}${again}`, traceback: '' };
  }

  /** Memory lent to a hook that an exception ended. */
  #takeBack(): void {
    this.#lent = false;
    if (this.#depth === 1) this.scratch.release();
  }

  /** An exception left Lua without the lock: see to what it left behind. */
  #clear(): void {
    this.#wrecked = false;
    if (this.runtime.current && !this.runtime.forsake(0, false)) this.discard();
  }

  /** A script ended this thread while it was being loaded. If that cannot be told now, it is with the next call here. */
  #publish(): void {
    if (this.#sharing.tryEnter(PUBLISH_MS)) this.#sharing.leave();
  }

  /** os.exit in a script: the guest ends, as by exit_group. */
  #exit(status: number): never {
    const frame = new SyscallFrame();
    frame.nr = this.#options.syscalls.number('exit_group') ?? 231;
    frame.i64[0] = BigInt(status & 0xff);
    try {
      this.#unlocked(this.#next, frame);
    } catch (error) {
      this.#escaping = error;
      throw error;
    }
    throw new Error('os.exit returned');
  }

  #makeContext(): ApiContext {
    const runner = this;
    const options = this.#options;
    const rules = this.#rules;
    return {
      get vm() {
        return runner.runtime.vm;
      },
      get task() {
        return runner.#task as Task;
      },
      get memory() {
        return (runner.#task as Task).memory;
      },
      backtrace: options.backtrace ?? (() => []),
      get scratch() {
        runner.#scratchUsed = true;
        return runner.scratch;
      },
      host: options.host,
      reporter: rules.reporter,
      syscalls: options.syscalls,
      directory: rules.directory,
      constants: options.constants ?? {},
      moduleUsed: (name) => runner.#script?.state.modules.add(name),
      finalizing: (on) => {
        runner.#finalizers += on ? 1 : -1;
      },
    };
  }
}
