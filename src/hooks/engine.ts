/**
 * The hook engine: stands between the guest and the system calls that a script in the rules directory owns.
 *
 * Invariants: no system call is performed twice because of a script error; no error of a script's reaches the
 * guest but as the original call's result; a call made by a script never enters a script; Lua is started by the
 * first call that has a script, and nothing here costs a call that has none.
 */

import { errno } from '../abi/errno.ts';
import {
  type Interceptor,
  type InterceptorSet,
  interceptorOrder,
  type Next,
  type Registration,
} from '../kernel/interceptor.ts';
import { GuestFault, type GuestMemory, type Host, SyscallFrame } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import { type ApiContext, type ConstantTables, hookFunctions, type StackFrame, type SyscallNames } from './api.ts';
import { block, WRONG_RESULT } from './glue.ts';
import { GuestScratch, type MapGuest, type UnmapGuest } from './guest-scratch.ts';
import { luaSystem } from './lua-system.ts';
import { type LuaFailure, type LuaFunction, type LuaState, LuaVm, luaType } from './lua-vm.ts';
import { Reporter } from './report.ts';
import { writesRule } from './rule-writes.ts';
import { readRulesToml } from './rules-toml.ts';
import { type Changes, type ConfigurationFile, RuleFileError, RulesDirectory } from './rules-directory.ts';
import type { Script } from './script.ts';
import { describeResult, ScriptHost } from './script-host.ts';
import { ScriptSet } from './script-set.ts';
import { defaults, Settings } from './settings.ts';
import { strangers } from './strangers.ts';

export interface HookEngineOptions {
  /** Rules directories as given, the one that takes precedence first. */
  readonly directories: readonly string[];
  readonly host: Host;
  readonly syscalls: SyscallNames;
  /** Fresh private guest memory, and giving it back. */
  readonly mapGuest: MapGuest;
  readonly unmapGuest: UnmapGuest;
  /** Tables of constants by global name (`linux`, `errno`); each is asked for when a script first names it. */
  readonly constants?: ConstantTables;
  /** No banner. */
  readonly quiet?: boolean;
  /** Directory that relative `directories` mean. Default: the process's. */
  readonly cwd?: string;
  /** What os.getenv sees. Default: the process's environment. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Host descriptors behind io.stdin, io.stdout and io.stderr; the last takes logs and reports. Default 0, 1, 2. */
  readonly stdio?: readonly [number, number, number];
  /** What counts where no rules.toml says anything: bytes of the Lua state, and Lua instructions of a hook call. */
  readonly memoryLimit?: number;
  readonly instructionLimit?: number;
  /** Scripts cannot reach the host, whatever rules.toml says. */
  readonly strict?: boolean;
  /** A call as error messages show it, decoded. */
  readonly describe?: (memory: GuestMemory, frame: SyscallFrame) => string;
  readonly backtrace?: (task: Task, max: number) => readonly StackFrame[];
  /** Further functions: those whose names begin with `t_` become globals. */
  readonly functions?: (context: () => ApiContext) => Record<string, LuaFunction>;
}

const SIGSYS = 31;
/** Instructions between two looks at the budget. */
const TICK = 100_000;
/** Hook calls after which optimised code pays, and for how many calls its functions are compiled as they are met. */
const OPTIMISE_AFTER = 100_000;
const OPTIMISE_CALLS = 50;
/** How long a script that does not load may still be being written before it is called broken. */
const SETTLE_MS = 1000;

/** Ends a hook that ran out of its budget. Not an Error, not a Lua error: passes through pcall. */
class Runaway {
  readonly failure: LuaFailure;
  constructor(failure: LuaFailure) {
    this.failure = failure;
  }
}

/** What one level of hook handling has to itself: calls made for a hook may run guest code with hooks of its own. */
interface Lane {
  readonly L: LuaState;
  /** Keeps the Lua thread alive. */
  readonly ref: number;
}

/**
 * Open the rules directories and print the banner.
 * @throws RuleFileError (a clear message) when a directory cannot be used.
 */
export function createHookEngine(options: HookEngineOptions): HookEngine {
  return new HookEngine(options);
}

export class HookEngine implements Interceptor {
  readonly name = 'hooks';
  /** Called in a forked child. */
  readonly forked = new Set<() => void>();
  readonly #options: HookEngineOptions;
  readonly #host: Host;
  readonly #directory: RulesDirectory;
  readonly #reporter: Reporter;
  readonly #syscalls: SyscallNames;
  readonly #scratch: GuestScratch;
  readonly #context: ApiContext;
  readonly #set: ScriptSet;
  /** By system call number: the script that owns it. */
  readonly #scripts: readonly (Script | undefined)[];
  #settings = new Settings([]);
  /** By number: names of the calls with which the guest itself may write a script. */
  readonly #writers: (string | undefined)[] = [];
  #registration: Registration | undefined;
  /** Every call asks the kernel for changes: the guest itself writes scripts. */
  #exact = false;
  #lua: ScriptHost | undefined;
  readonly #lanes: Lane[] = [];
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
  #calls = 0;
  /** When the instruction counter first ran out in this hook call, and the time spent in c_do_syscall since. */
  #since = 0;
  #outside = 0;
  /** --explain: note what each script does. */
  #counting = false;
  /** Calls left during which V8 is set to optimise. */
  #optimising = 0;
  /** An exception thrown by an original call, on its way through Lua. */
  #escaping: unknown = undefined;

  constructor(options: HookEngineOptions) {
    this.#options = options;
    this.#host = options.host;
    this.#syscalls = options.syscalls;
    this.#reporter = new Reporter(options.host, options.stdio?.[2] ?? 2);
    this.#directory = new RulesDirectory(options.host, options.directories, options.cwd ?? process.cwd());
    this.#scratch = new GuestScratch(options.mapGuest, options.unmapGuest);
    this.#context = this.#makeContext();
    this.#set = new ScriptSet(this.#directory, options.syscalls);
    this.#scripts = this.#set.byNumber;
    this.#configureFirst();
    if (!options.quiet) {
      for (const directory of options.directories) this.#reporter.line(`Rules folder path: ${directory}`);
      this.#reporter.line('Lua environment initialized. Scripts will be loaded on demand.');
    }
    if (!this.#directory.watching) {
      this.#reporter.warn(
        'inotify is not to be had (see fs.inotify.max_user_instances): edited scripts will not be noticed',
      );
    }
    const files = this.#directory.scan();
    this.#set.adopt(files, undefined, this.#settings);
    for (const line of strangers(files.values(), this.#directory, this.#syscalls)) this.#reporter.warn(line);
  }

  /** At the start everything in rules.toml counts, and what is wrong there ends it. @throws RuleFileError. */
  #configureFirst(): void {
    const files = this.#directory.configurations();
    const settings = this.#configure(files);
    const layers = files.flatMap((file) => {
      const { layers: list } = this.#parse(file);
      return list.map((layer) => ({ ...layer, index: file.index, from: file.path }));
    });
    this.#directory.addLayers(layers);
    let log = -1;
    for (const file of files) {
      const { logFile } = this.#parse(file);
      if (logFile === undefined || log >= 0) continue;
      log = this.#directory.openLog(file.index, logFile, file.path);
    }
    this.#reporter.configure(settings.logLevel, log);
    this.#logFd = log;
  }
  #logFd = -1;

  #configure(files: readonly ConfigurationFile[]): Settings {
    const { memoryLimit, instructionLimit, strict } = this.#options;
    const given = {
      ...(memoryLimit === undefined ? {} : { memory: memoryLimit }),
      ...(instructionLimit === undefined ? {} : { instructions: instructionLimit }),
    };
    const first = { ...(strict === true ? { strict } : {}), layers: [], scripts: new Map() };
    this.#settings = new Settings([first, ...files.map((f) => this.#parse(f)), { ...given, layers: [], scripts: new Map() }]);
    return this.#settings;
  }

  #parse({ text, path }: ConfigurationFile) {
    return readRulesToml(text, path, this.#syscalls, this.#options.constants?.['linux'] ?? (() => ({})));
  }

  /** A rules.toml was edited: the new one counts if nothing is wrong with it. */
  #configureAgain(): void {
    try {
      this.#configure(this.#directory.configurations());
      this.#reporter.configure(this.#settings.logLevel, this.#logFd);
    } catch (error) {
      if (!(error instanceof RuleFileError)) throw error;
      this.#reporter.failure('rules.toml', { message: error.message, traceback: '' }, 'what was read before stays in force');
    }
  }

  /** Register with the interceptors of a process. */
  attach(interceptors: InterceptorSet): void {
    this.#registration = interceptors.add(this, interceptorOrder.hooks);
    for (const name of Object.keys(writesRule)) {
      const nr = this.#syscalls.number(name);
      if (nr !== undefined) this.#writers[nr] = name;
    }
    this.#register();
  }

  /** Ask for the calls that matter: all of them with an entry or finish script. */
  #register(): void {
    const registration = this.#registration;
    if (registration === undefined) return;
    const all = this.#exact || this.#set.entry !== undefined || this.#set.finish !== undefined;
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
    return this.#directory.changeCell;
  }
  get seenCell(): Int32Array {
    return this.#directory.seenCell;
  }

  /** Whether a script stands for this system call. */
  owns(nr: number): boolean {
    return this.#scripts[nr] !== undefined;
  }

  /** From now on note what each script does. */
  count(): void {
    this.#counting = true;
  }

  /** Run Lua code that is no rule (a test of rules) on behalf of `task`. */
  runChunk(task: Task, source: Uint8Array, chunk: string): LuaFailure | undefined {
    this.#task = task;
    const lua = this.#startLua();
    // As a level of its own: the hooks it calls are not the outermost.
    this.#depth++;
    try {
      const { L } = this.#lanes[this.#depth] ?? this.#openLane(lua.vm);
      const failure = lua.vm.load(L, source, chunk, true);
      if (failure !== undefined) return failure;
      lua.vm.words[block.ticks >> 2] = 0;
      return lua.vm.call(L, 0, 0, 'handler');
    } catch (error) {
      return this.#recover(error);
    } finally {
      this.#depth--;
    }
  }

  /** A thread of the Lua state, for calls back into Lua. */
  thread(): { L: LuaState; ref: number } {
    const lua = this.#startLua();
    return lua.newThread(lua.vm);
  }

  /** Every script starts afresh with its next call. */
  restart(): void {
    for (const script of this.#set.all()) {
      if (script.environment !== 0) this.#lua?.release(script.environment);
      script.environment = 0;
      script.source = undefined;
      script.failed = undefined;
    }
  }

  scripts(): Iterable<Script> {
    return this.#set.all();
  }

  /** Take notice of changed files. Without any it costs a memory read. */
  poll(): void {
    if (this.#directory.changed()) this.#refresh();
  }

  /** In a forked child: a watch of its own. The Lua state is a copy already. */
  afterFork(): void {
    this.#directory.watchAnew();
    for (const act of this.forked) act();
    this.#reporter.forget();
    for (const script of this.#set.all()) Object.assign(script.statistics, { calls: 0, originals: 0, errors: 0, milliseconds: 0 });
    this.#adopt(undefined);
  }

  /** After execve: the Lua state is fresh, and so is the guest's memory. */
  afterExec(): void {
    this.#scratch.forget();
    this.#discardLua();
  }

  /** Before the process ends: what scripts wrote with `io` reaches its files. */
  close(): void {
    this.#reporter.summary();
    try {
      this.#lua?.vm.x.fflush(0);
    } catch {
      // The state is beyond use: nothing is left to save.
    }
  }

  intercept(task: Task, frame: SyscallFrame, next: Next): bigint {
    const { nr } = frame;
    let script = this.#scripts[nr];
    const wanted = script !== undefined || this.#set.entry !== undefined || this.#set.finish !== undefined;
    const look = this.#exact || (wanted && (this.#directory.changed() || this.#directory.due()));
    if (look && this.#directory.changedExactly()) {
      this.#refresh();
      script = this.#scripts[nr];
    }
    if (this.#writers[nr] !== undefined && !this.#exact) this.#watchWriter(task.memory, frame);
    const { entry, finish } = this.#set;
    const plain = entry === undefined && finish === undefined;
    if (plain && script === undefined) return next(frame);
    if (plain && script?.settings.when?.(task.memory, frame) === false) return next(frame);

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
    this.#nr = nr;
    this.#ran = false;
    this.#depth++;
    try {
      if (!plain) return this.#around(entry, script, finish, task, frame, next);
      const result = this.#decide(script as Script, frame);
      if (result !== undefined) return result;
    } finally {
      this.#depth--;
      if (this.#scratchUsed && this.#depth === 0) this.#scratch.release();
      this.#next = outerNext;
      this.#task = outerTask;
      this.#frame = outerFrame;
      this.#script = outerScript;
      this.#nr = outerNr;
      this.#ran = outerRan;
      this.#ranResult = outerResult;
      this.#scratchUsed = outerScratch;
    }
    return next(frame);
  }

  /** What the guest gets of a script that owns the call; undefined: the original is to be made. */
  #decide(script: Script, frame: SyscallFrame): bigint | undefined {
    if (this.#counting) return this.#counted(script, () => this.#attempt(script, frame));
    return this.#attempt(script, frame);
  }

  #attempt(script: Script, frame: SyscallFrame): bigint | undefined {
    this.#since = 0;
    const hot = this.#depth === 1 && (++this.#calls === OPTIMISE_AFTER || this.#optimising > 0) && LuaVm.canOptimise;
    const result = hot ? this.#optimise(script, frame) : this.#handle(script, frame);
    return result ?? this.#afterFailure(script);
  }

  /** What a failed script leads to. */
  #afterFailure(script: Script): bigint | undefined {
    script.statistics.errors++;
    switch (script.settings.onError) {
      case 'deny':
        return BigInt(-errno.EPERM);
      case 'kill':
        return this.#host.dieBySignal(SIGSYS);
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
    const name = this.#syscalls.name(frame.nr);
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
      result = decided ?? next(frame);
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
  #runAround(script: Script, leading: readonly (bigint | boolean | string | undefined)[], frame: SyscallFrame): bigint | 'failed' | undefined {
    this.#script = script;
    this.#since = 0;
    const run = (): bigint | 'failed' | undefined => {
      const answer = this.#callAround(script, leading, frame);
      if (answer !== 'failed') return answer;
      const instead = this.#afterFailure(script);
      // What finish looks back on has been done: there is nothing left to deny.
      return script.settings.onError === 'passthrough' || script.main === 'finish' ? 'failed' : instead;
    };
    return this.#counting ? this.#counted(script, run) : run();
  }

  #callAround(script: Script, leading: readonly (bigint | boolean | string | undefined)[], frame: SyscallFrame): bigint | 'failed' | undefined {
    try {
      if ((script.environment === 0 || script.stale) && !this.#prepare(script)) return 'failed';
      const lua = this.#lua as ScriptHost;
      const { vm } = lua;
      const { L } = this.#lanes[this.#depth] ?? this.#openLane(vm);
      const failure = lua.run(L, script.environment, script.main, leading, frame.i64);
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

  /** Hooks are called often: go over to optimised code. */
  #optimise(script: Script, frame: SyscallFrame): bigint | undefined {
    LuaVm.optimising(true);
    try {
      if (this.#optimising === 0) {
        this.#optimising = OPTIMISE_CALLS;
        this.#lua?.vm.optimise();
      }
      return this.#handle(script, frame);
    } finally {
      LuaVm.optimising(false);
      this.#optimising--;
    }
  }

  /** The script's result; undefined when there is none (reported) and the original's is to be used. */
  #handle(script: Script, frame: SyscallFrame): bigint | undefined {
    try {
      if ((script.environment === 0 || script.stale) && !this.#prepare(script)) return undefined;
      const { vm } = this.#lua as ScriptHost;
      const lane = this.#lanes[this.#depth] ?? this.#openLane(vm);
      const { words } = vm;
      const { i32, nr } = frame;
      words[block.nr >> 2] = nr;
      words[(block.nr >> 2) + 1] = nr < 0 ? -1 : 0;
      for (let k = 0; k < 16; k++) words[(block.args >> 2) + k] = i32[k] as number;
      const status = vm.hookCall(lane.L, script.environment);
      if (status === 0) return vm.longs[block.result >> 3] as bigint;
      const failure =
        status === WRONG_RESULT
          ? { message: `${script.path}: ${describeResult(vm, lane.L)}`, traceback: '' }
          : vm.takeFailure(lane.L, status);
      vm.x.lua_settop(lane.L, 2);
      // Library buffers ask for memory without a collection when there is none: have one now, for the next call.
      if (failure.message.endsWith('not enough memory')) this.#lua?.collect();
      this.#report(script, failure);
    } catch (error) {
      this.#report(script, this.#recover(error));
    }
    return undefined;
  }

  /** c_do_syscall: perform what stands in the inner part of the block. */
  #original(): void {
    const vm = (this.#lua as ScriptHost).vm;
    const { words, longs } = vm;
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
    const timed = this.#since !== 0 || this.#counting;
    const start = timed ? performance.now() : 0;
    try {
      result = this.#next(frame);
    } catch (error) {
      this.#escaping = error;
      throw error;
    } finally {
      if (timed) this.#outside += performance.now() - start;
      if (optimising) LuaVm.optimising(true);
    }
    longs[block.innerResult >> 3] = result;
    if (this.#script !== undefined) this.#script.statistics.originals++;
    if (frame.nr === this.#nr) {
      this.#ran = true;
      this.#ranResult = result;
    }
  }

  /** An argument of c_do_syscall that is not an integer. */
  #argument(L: LuaState, i: number): bigint {
    const { vm } = this.#lua as ScriptHost;
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
    const { vm } = this.#lua as ScriptHost;
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

  /**
   * Bring a script up to date.
   * @returns whether some version of it is loaded.
   */
  #prepare(script: Script): boolean {
    script.stale = false;
    if (script.failed === script.text && !script.modulesChanged) {
      const { withheld } = script;
      if (withheld !== undefined) {
        if (script.settled || Date.now() - withheld.since > SETTLE_MS) {
          script.withheld = undefined;
          this.#report(script, withheld.failure);
        } else {
          script.stale = true;
        }
      }
      return script.environment !== 0;
    }
    let failure: LuaFailure;
    let unreadable = false;
    try {
      const source = script.text;
      if (source instanceof RuleFileError) throw source;
      if (script.environment !== 0 && !script.modulesChanged && script.source?.equals(source)) {
        script.failed = undefined;
        return true;
      }
      script.modulesChanged = false;
      const lua = this.#startLua();
      const lane = this.#lanes[this.#depth] ?? this.#openLane(lua.vm);
      lua.vm.words[block.ticks >> 2] = 0;
      const modules = new Set(script.modules);
      script.modules.clear();
      const loaded = lua.load(lane.L, source, `@${script.path}`, script.main);
      if (typeof loaded === 'number') {
        if (script.environment !== 0) lua.release(script.environment);
        script.environment = loaded;
        script.source = source;
        script.failed = undefined;
        script.withheld = undefined;
        return true;
      }
      for (const name of modules) script.modules.add(name);
      failure = loaded;
    } catch (error) {
      if (!(error instanceof RuleFileError)) {
        // Not to be tried again as it is, unless it was the call it made that went another way.
        if (error !== this.#escaping) script.failed = script.text;
        throw error;
      }
      // Gone since the scan: the event that says so is on its way.
      if (error.missing) return script.environment !== 0;
      failure = { message: error.message, traceback: '' };
      unreadable = true;
    }
    script.failed = script.text;
    script.withheld = undefined;
    if (script.settled || unreadable) {
      this.#report(script, failure);
    } else {
      script.withheld = { failure, since: Date.now() };
      script.stale = true;
    }
    return script.environment !== 0;
  }

  /** Say what went wrong, and what becomes of the call. */
  #report(script: Script, failure: LuaFailure): void {
    const { main, settings } = script;
    const original =
      settings.onError === 'kill' ? 'the guest is killed (on_error = "kill")'
        : main === 'finish' ? 'the result stays as it was'
          : settings.onError === 'deny' ? 'the guest gets EPERM (on_error = "deny")'
            : this.#ran ? 'the original call had been made; its result is used'
              : main === 'entry' ? 'the call goes on without it'
                : 'the original call is made instead';
    const outcome =
      script.failed !== undefined && script.environment !== 0 ? 'the version loaded before stays in use' : original;
    const task = this.#task;
    const frame = this.#frame;
    const { describe } = this.#options;
    this.#reporter.failure(script.path, failure, outcome, () =>
      describe === undefined || task === undefined || frame === undefined ? undefined : describe(task.memory, frame));
  }

  /** An exception came out of Lua. Makes Lua usable again; throws on what is not the script's. */
  #recover(error: unknown): LuaFailure {
    const escaping = this.#escaping !== undefined && this.#escaping === error;
    this.#escaping = undefined;
    const lua = this.#lua;
    if (lua === undefined) {
      if (escaping) throw error;
      return { message: `Lua cannot be started: ${(error as Error).message}`, traceback: '' };
    }
    const trap = error instanceof WebAssembly.RuntimeError;
    // The Lua thread the exception passed through is half-way in something: never to be run again.
    const lane = this.#lanes[this.#depth];
    this.#lanes.length = this.#depth;
    let sound = false;
    try {
      sound = !trap && lua.forsake(lane?.ref ?? 0, this.#depth === 1);
    } catch {
      // Not even that works.
    }
    if (!sound && this.#depth === 1) this.#discardLua();
    if (escaping) throw error;
    if (error instanceof Runaway) return error.failure;
    const reason = error instanceof Error ? error.message : String(error);
    const again = sound ? '' : '; the Lua state was lost, and scripts are loaded anew';
    return { message: `${this.#script?.path}: ${reason}${again}`, traceback: '' };
  }

  #startLua(): ScriptHost {
    if (this.#lua !== undefined) return this.#lua;
    const vm = new LuaVm({
      system: (memory) =>
        luaSystem(memory, {
          host: this.#host,
          env: this.#options.env ?? process.env,
          stdio: this.#options.stdio ?? [0, 1, 2],
          exit: (status) => this.#exit(status),
        }),
      functions: { ...hookFunctions(() => this.#context), ...this.#options.functions?.(() => this.#context) },
      argument: (L, i) => this.#argument(L, i),
      original: () => this.#original(),
      tick: (L) => this.#tick(L),
      memoryLimit: this.#settings.memory,
    });
    const lua = new ScriptHost(vm, TICK);
    this.#lua = lua;
    lua.furnish(this.#settings.strict);
    return lua;
  }

  #openLane(vm: LuaVm): Lane {
    for (let depth = this.#lanes.length; depth <= this.#depth; depth++) {
      this.#lanes[depth] = (this.#lua as ScriptHost).newThread(vm);
    }
    return this.#lanes[this.#depth] as Lane;
  }

  /** Forget the Lua state: every script is loaded anew when it is next called. */
  #discardLua(): void {
    this.#lua = undefined;
    this.#lanes.length = 0;
    for (const script of this.#set.all()) {
      script.environment = 0;
      script.source = undefined;
      script.modules.clear();
    }
  }

  /** os.exit in a script: the guest ends, as by exit_group. */
  #exit(status: number): never {
    this.close();
    const frame = new SyscallFrame();
    frame.nr = this.#syscalls.number('exit_group') ?? 231;
    frame.i64[0] = BigInt(status & 0xff);
    try {
      this.#next(frame);
    } catch (error) {
      this.#escaping = error;
      throw error;
    }
    throw new Error('os.exit returned');
  }

  #refresh(): void {
    const changes = this.#directory.drain();
    if (changes === undefined) return;
    if (changes.configuration) this.#configureAgain();
    this.#adopt(changes);
  }

  /** Make the set of scripts what the directories hold. */
  #adopt(changes: Changes | undefined): void {
    for (const script of this.#set.adopt(this.#directory.scan(), changes, this.#settings)) {
      if (script.environment !== 0) this.#lua?.release(script.environment);
    }
    this.#register();
    if (changes?.names !== undefined) this.#adoptModules(changes.names);
  }

  /** Files changed that scripts may have loaded with `require`. */
  #adoptModules(names: ReadonlySet<string>): void {
    for (const script of this.#set.all()) {
      const used = [...script.modules].filter((m) => names.has(m.slice(m.lastIndexOf('.') + 1)) || names.has('init'));
      for (const module of used) this.#lua?.forgetModule(module);
      // A script that failed may have missed just this module.
      const missing = script.failed !== undefined && [...names].some((n) => this.#syscalls.number(n) === undefined);
      if (used.length > 0 || missing) {
        script.modulesChanged = true;
        script.stale = true;
      }
    }
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
    this.#exact = true;
    this.#register();
  }

  #makeContext(): ApiContext {
    const engine = this;
    return {
      get vm() {
        return (engine.#lua as ScriptHost).vm;
      },
      get task() {
        return engine.#task as Task;
      },
      get memory() {
        return (engine.#task as Task).memory;
      },
      backtrace: this.#options.backtrace ?? (() => []),
      get scratch() {
        engine.#scratchUsed = true;
        return engine.#scratch;
      },
      host: this.#host,
      reporter: this.#reporter,
      syscalls: this.#syscalls,
      directory: this.#directory,
      constants: this.#options.constants ?? {},
      moduleUsed: (name) => engine.#script?.modules.add(name),
    };
  }
}
