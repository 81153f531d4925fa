/**
 * The hook engine: stands between the guest and the system calls that a script in the rules directory owns. Each guest
 * thread has one; those of a process share one Lua state and know of the same scripts (hook-share.ts).
 *
 * Invariants: no error of a script's reaches the guest but as the original call's result (hook-runner.ts); Lua is
 * started by the first call that has a script, and nothing here costs a call that has none.
 */

import {
  type Interceptor,
  type InterceptorSet,
  interceptorOrder,
  type Next,
  type Registration,
} from '../kernel/interceptor.ts';
import { GuestFault, type GuestMemory, type SyscallFrame } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import type { CommonOptions, HookEngineOptions, ThreadOptions } from './hook-options.ts';
import { HookRunner } from './hook-runner.ts';
import { sharedWords } from './hook-lock.ts';
import { type HookShare, Sharing } from './hook-share.ts';
import type { LuaState } from './lua-exports.ts';
import type { LuaFailure } from './lua-vm.ts';
import { countsMemory } from './report.ts';
import { writesRule } from './rule-writes.ts';
import { Rules } from './rules.ts';
import { type Script, statisticsMemory, unloaded } from './script.ts';

/** How long the end of the process waits for other threads' hooks before it leaves `io` buffers as they are. */
const CLOSE_MS = 200;
/** Level of a Lua thread for calls back into Lua from outside any hook. */
const BACK_LEVEL = 60_001;

/**
 * Open the rules directories and print the banner.
 * @throws RuleFileError (a clear message) when a directory cannot be used.
 */
export function createHookEngine(options: HookEngineOptions): HookEngine {
  const { directories, cwd, quiet, ...rest } = options;
  return new HookEngine(rest, { directories, cwd: cwd ?? process.cwd(), quiet: quiet ?? false });
}

/** The engine of a further guest thread, in its own Worker. `detach` gives back what it takes. */
export function attachHookEngine(share: HookShare, options: ThreadOptions): HookEngine {
  return new HookEngine({ ...share.options, ...options }, share);
}

interface Beginning {
  readonly directories: readonly string[];
  readonly cwd: string;
  readonly quiet: boolean;
}

export class HookEngine implements Interceptor {
  readonly name = 'hooks';
  /** Called in a forked child. */
  readonly forked = new Set<() => void>();
  readonly #options: CommonOptions & ThreadOptions;
  readonly #rules: Rules;
  readonly #sharing: Sharing;
  readonly #runner: HookRunner;
  readonly #statistics: SharedArrayBuffer;
  readonly #counts: SharedArrayBuffer;
  /** By system call number: the script that owns it. */
  readonly #scripts: readonly (Script | undefined)[];
  /** By number: names of the calls with which the guest itself may write a script. */
  readonly #writers: (string | undefined)[] = [];
  #registration: Registration | undefined;
  /** The lock was taken for a fork. */
  #forking = false;

  /** `from`: how it all begins, or what another thread's engine shares. */
  constructor(options: CommonOptions & ThreadOptions, from: Beginning | HookShare) {
    this.#options = options;
    const share = 'words' in from ? from : undefined;
    const words = share?.words ?? sharedWords();
    this.#statistics = share?.statistics ?? statisticsMemory();
    this.#counts = share?.counts ?? countsMemory();
    const rules = new Rules(options, words, this.#statistics, this.#counts);
    this.#rules = rules;
    this.#scripts = rules.set.byNumber;
    this.#sharing = new Sharing(options.host, words, rules, share?.published);
    this.#runner = new HookRunner(options, rules, this.#sharing, options.host.slotNumber + 1, share?.lua);
    if ('words' in from) {
      this.#runner.counting = from.counting;
      // What is known of the rules is taken over before the first call: who makes this thread waits for it with the
      // process lock held, and whoever is inside Lua may want that one.
      rules.directory.lookAgain();
    } else {
      rules.open(from.directories, from.cwd, from.quiet);
    }
    this.#sharing.onNews = () => this.#register();
  }

  /**
   * What the engine of a further thread needs (`attachHookEngine`); can be sent to it. To be called before that thread
   * is there. From then on all threads take turns.
   */
  share(): HookShare {
    const { env, stdio, memoryLimit, instructionLimit, strict } = this.#options;
    const given = { env, stdio, memoryLimit, instructionLimit, strict };
    return {
      options: Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
      words: this.#sharing.words,
      published: this.#sharing.begin(),
      statistics: this.#statistics,
      counts: this.#counts,
      lua: this.#runner.runtime.share,
      counting: this.#runner.counting,
    };
  }

  /** This thread ends for good: give back what it has of the Lua state. The engine is of no use after this. */
  detach(): void {
    this.#exclusively(() => this.#runner.runtime.leave());
  }

  /** Register with the interceptors of a process. */
  attach(interceptors: InterceptorSet): void {
    this.#registration = interceptors.add(this, interceptorOrder.hooks);
    for (const name of Object.keys(writesRule)) {
      const nr = this.#options.syscalls.number(name);
      if (nr !== undefined) this.#writers[nr] = name;
    }
    this.#register();
  }

  /** Ask for the calls that matter: all of them with an entry or finish script. */
  #register(): void {
    const registration = this.#registration;
    if (registration === undefined) return;
    const { exact, set } = this.#rules;
    const all = exact || set.entry !== undefined || set.finish !== undefined;
    registration.wantAll(all);
    if (all) return;
    this.#writers.forEach((name, nr) => name !== undefined && registration.want(nr, true));
    this.#scripts.forEach((script, nr) => script !== undefined && registration.want(nr, true));
  }

  /**
   * Element 0 rises when something in the rules directories changed. The dispatcher compares it with element 0 of
   * `seenCell` before each call, hooked or not, and calls `poll` when they differ: so new scripts take effect.
   */
  get changeCell(): Int32Array {
    return this.#rules.directory.changeCell;
  }
  get seenCell(): Int32Array {
    return this.#rules.directory.seenCell;
  }

  /** Whether a script stands for this system call. */
  owns(nr: number): boolean {
    return this.#scripts[nr] !== undefined;
  }

  /** From now on note what each script does. */
  count(): void {
    this.#runner.counting = true;
  }

  /** Run Lua code that is no rule (a test of rules) on behalf of `task`. */
  runChunk(task: Task, source: Uint8Array, chunk: string): LuaFailure | undefined {
    return this.#runner.runChunk(task, source, chunk);
  }

  /** A thread of the Lua state, for calls back into Lua. */
  thread(): LuaState {
    return this.#runner.runtime.ready().newThread(BACK_LEVEL);
  }

  /** Every script starts afresh with its next call. */
  restart(): void {
    for (const script of this.#rules.set.all()) {
      this.#runner.loader.release([script]);
      const { file, text } = script.state;
      script.state = unloaded(file, text, true);
    }
  }

  scripts(): Iterable<Script> {
    return this.#rules.set.all();
  }

  /** Take notice of changed files. Without any it costs a memory read. */
  poll(): void {
    if (this.#rules.directory.changed()) this.#exclusively(() => this.#refresh());
  }

  /** Another process is about to be forked off: until `afterFork` or `notForked` no other thread is inside Lua. */
  beforeFork(): void {
    this.#forking = this.#sharing.on && !this.#sharing.lock.held;
    if (this.#forking) this.#sharing.enter();
  }

  /** In the process that forked, or could not. */
  notForked(): void {
    if (this.#forking) this.#sharing.leave();
    this.#forking = false;
  }

  /** In a forked child: a watch of its own. The Lua state is a copy already; other threads there are none. */
  afterFork(): void {
    const { directory, reporter, set } = this.#rules;
    const { runtime, loader } = this.#runner;
    this.#forking = false;
    this.#sharing.end();
    directory.watchAnew();
    for (const act of this.forked) act();
    reporter.forget();
    for (const { statistics, state } of set.all()) {
      statistics.forget();
      state.loading = 0;
    }
    runtime.alone();
    loader.release(this.#rules.rescan(undefined));
    this.#register();
  }

  /** After execve: the Lua state is fresh, and so is the guest's memory; other threads there are none. */
  afterExec(): void {
    this.#sharing.enter();
    // First: a thread that is on its way out must not find what it used.
    this.#runner.discard();
    this.#runner.scratch.forget();
    this.#sharing.end();
  }

  /** Before the process ends: what scripts wrote with `io` reaches its files. */
  close(): void {
    const mine = this.#sharing.lock.held;
    if (this.#sharing.on && !mine && !this.#sharing.tryEnter(CLOSE_MS)) return;
    this.#rules.reporter.summary();
    try {
      this.#runner.runtime.host?.vm.x.fflush(0);
    } catch {
      // The state is beyond use: nothing is left to save.
    }
    if (!mine && this.#sharing.lock.held) this.#sharing.leave();
  }

  intercept(task: Task, frame: SyscallFrame, next: Next): bigint {
    const { nr } = frame;
    const { set, directory } = this.#rules;
    let script = this.#scripts[nr];
    const wanted = script !== undefined || set.entry !== undefined || set.finish !== undefined;
    if (this.#rules.exact || (wanted && (directory.changed() || directory.due()))) {
      this.#look();
      script = this.#scripts[nr];
    }
    if (this.#writers[nr] !== undefined && !this.#rules.exact) this.#watchWriter(task.memory, frame);
    const { entry, finish } = set;
    const plain = entry === undefined && finish === undefined;
    if (plain && script === undefined) return next(frame);
    if (plain && script?.settings.when?.(task.memory, frame) === false) return next(frame);
    return this.#runner.run(task, frame, next, script, entry, finish) ?? next(frame);
  }

  /** Ask the kernel whether something changed, and take account of it. */
  #look(): void {
    const { directory } = this.#rules;
    if (!this.#sharing.on) {
      if (directory.changedExactly()) this.#refresh();
      return;
    }
    // Another thread may have taken the news and be about to publish it.
    this.#exclusively(() => {
      if (directory.changedExactly()) this.#refresh();
    });
  }

  #exclusively(act: () => void): void {
    const sharing = this.#sharing;
    if (!sharing.on || sharing.lock.held) {
      act();
      return;
    }
    sharing.enter();
    try {
      act();
    } finally {
      sharing.leave();
    }
  }

  #refresh(): void {
    const news = this.#rules.refresh();
    if (news === undefined) return;
    const { loader } = this.#runner;
    loader.release(news.gone);
    this.#register();
    const { names } = news.changes;
    if (names === undefined) return;
    loader.adoptModules(this.#rules.set.all(), names, (name) => this.#options.syscalls.number(name) !== undefined);
  }

  #watchWriter(memory: GuestMemory, frame: SyscallFrame): void {
    const isLua = (addr: number): boolean => {
      try {
        return Buffer.from(memory.readCString(addr, 4096).bytes).toString('latin1').endsWith('.lua');
      } catch (error) {
        if (error instanceof GuestFault) return false;
        throw error;
      }
    };
    if (!writesRule[this.#writers[frame.nr] as string]?.(frame, isLua)) return;
    this.#exclusively(() => {
      this.#rules.exact = true;
      this.#rules.changed = true;
      this.#register();
    });
  }
}
