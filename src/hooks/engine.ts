/**
 * The hook engine: stands between the guest and the system calls that a script in the rules directory owns.
 *
 * Invariants: no system call is performed twice because of a script error; no error of a script's reaches the
 * guest but as the original call's result; a call made by a script never enters a script; Lua is started by the
 * first call that has a script, and nothing here costs a call that has none.
 */

import {
  type Interceptor,
  type InterceptorSet,
  interceptorOrder,
  type Next,
  type Registration,
} from '../kernel/interceptor.ts';
import { GuestFault, type GuestMemory, type Host, SyscallFrame } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import { type ApiContext, type ConstantTables, hookFunctions, type SyscallNames } from './api.ts';
import { block, WRONG_RESULT } from './glue.ts';
import { GuestScratch, type MapGuest, type UnmapGuest } from './guest-scratch.ts';
import { luaSystem } from './lua-system.ts';
import { type LuaFailure, type LuaState, LuaVm, luaType } from './lua-vm.ts';
import { Reporter } from './report.ts';
import { writesRule } from './rule-writes.ts';
import { type Changes, type RuleFile, RuleFileError, RulesDirectory } from './rules-directory.ts';
import { Script } from './script.ts';
import { describeResult, ScriptHost } from './script-host.ts';
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
  /** Bytes the Lua state may hold. Default 256 MiB. */
  readonly memoryLimit?: number;
  /** Lua instructions one hook call may run, in steps of 100,000. Default 500 million (some seconds). */
  readonly instructionLimit?: number;
}

const DEFAULT_MEMORY = 256 << 20;
const DEFAULT_INSTRUCTIONS = 500_000_000;
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
  readonly #options: HookEngineOptions;
  readonly #host: Host;
  readonly #directory: RulesDirectory;
  readonly #reporter: Reporter;
  readonly #syscalls: SyscallNames;
  readonly #scratch: GuestScratch;
  readonly #context: ApiContext;
  /** By system call number: the script that owns it. */
  readonly #scripts: (Script | undefined)[] = [];
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
  #memory: GuestMemory | undefined;
  #script: Script | undefined;
  #nr = -1;
  #ran = false;
  #ranResult = 0n;
  #scratchUsed = false;
  #calls = 0;
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
    if (!options.quiet) {
      for (const directory of options.directories) this.#reporter.line(`Rules folder path: ${directory}`);
      this.#reporter.line('Lua environment initialized. Scripts will be loaded on demand.');
    }
    if (!this.#directory.watching) {
      this.#reporter.line(
        '[Lua Warning] inotify is not to be had (see fs.inotify.max_user_instances): edited scripts will not be noticed',
      );
    }
    const files = this.#directory.scan();
    this.#adopt(files, undefined);
    for (const line of strangers(files.values(), this.#directory, this.#syscalls)) {
      this.#reporter.line(`[Lua Warning] ${line}`);
    }
  }

  /** Register with the interceptors of a process. */
  attach(interceptors: InterceptorSet): void {
    this.#registration = interceptors.add(this, interceptorOrder.hooks);
    for (const name of Object.keys(writesRule)) {
      const nr = this.#syscalls.number(name);
      if (nr === undefined) continue;
      this.#writers[nr] = name;
      this.#registration.want(nr, true);
    }
    this.#scripts.forEach((script, nr) => script && this.#registration?.want(nr, true));
    if (this.#exact) this.#registration.wantAll(true);
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

  /** Take notice of changed files. Without any it costs a memory read. */
  poll(): void {
    if (this.#directory.changed()) this.#refresh();
  }

  /** In a forked child: a watch of its own. The Lua state is a copy already. */
  afterFork(): void {
    this.#directory.watchAnew();
    this.#adopt(this.#directory.scan(), undefined);
  }

  /** After execve: the Lua state is fresh, and so is the guest's memory. */
  afterExec(): void {
    this.#scratch.forget();
    this.#discardLua();
  }

  /** Before the process ends: what scripts wrote with `io` reaches its files. */
  close(): void {
    try {
      this.#lua?.vm.x.fflush(0);
    } catch {
      // The state is beyond use: nothing is left to save.
    }
  }

  intercept(task: Task, frame: SyscallFrame, next: Next): bigint {
    const { nr } = frame;
    let script = this.#scripts[nr];
    const look = this.#exact || (script !== undefined && (this.#directory.changed() || this.#directory.due()));
    if (look && this.#directory.changedExactly()) {
      this.#refresh();
      script = this.#scripts[nr];
    }
    if (this.#writers[nr] !== undefined && !this.#exact) this.#watchWriter(task.memory, frame);
    if (script === undefined) return next(frame);

    const outerNext = this.#next;
    const outerMemory = this.#memory;
    const outerScript = this.#script;
    const outerNr = this.#nr;
    const outerRan = this.#ran;
    const outerResult = this.#ranResult;
    const outerScratch = this.#scratchUsed;
    this.#next = next;
    this.#memory = task.memory;
    this.#script = script;
    this.#nr = nr;
    this.#ran = false;
    this.#depth++;
    try {
      const hot = this.#depth === 1 && (++this.#calls === OPTIMISE_AFTER || this.#optimising > 0) && LuaVm.canOptimise;
      const result = hot ? this.#optimise(script, frame) : this.#handle(script, frame);
      if (result !== undefined) return result;
      if (this.#ran) return this.#ranResult;
    } finally {
      this.#depth--;
      if (this.#scratchUsed && this.#depth === 0) this.#scratch.release();
      this.#next = outerNext;
      this.#memory = outerMemory;
      this.#script = outerScript;
      this.#nr = outerNr;
      this.#ran = outerRan;
      this.#ranResult = outerResult;
      this.#scratchUsed = outerScratch;
    }
    return next(frame);
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
    try {
      result = this.#next(frame);
    } catch (error) {
      this.#escaping = error;
      throw error;
    } finally {
      if (optimising) LuaVm.optimising(true);
    }
    longs[block.innerResult >> 3] = result;
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
    const limit = this.#options.instructionLimit ?? DEFAULT_INSTRUCTIONS;
    if (ticks * TICK < limit) return;
    vm.words[at] = 0;
    throw new Runaway(vm.trace(L, `more than ${limit.toLocaleString('en')} instructions in one hook call`));
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
      const loaded = lua.load(lane.L, source, `@${script.path}`);
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
    const outcome =
      script.failed !== undefined && script.environment !== 0
        ? 'the version loaded before stays in use'
        : this.#ran
          ? 'the original call had been made; its result is used'
          : 'the original call is made instead';
    this.#reporter.failure(script.path, failure, outcome);
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
      functions: hookFunctions(() => this.#context),
      argument: (L, i) => this.#argument(L, i),
      original: () => this.#original(),
      tick: (L) => this.#tick(L),
      memoryLimit: this.#options.memoryLimit ?? DEFAULT_MEMORY,
    });
    const lua = new ScriptHost(vm, TICK);
    this.#lua = lua;
    lua.furnish();
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
    for (const script of this.#scripts) {
      if (script === undefined) continue;
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
    if (changes !== undefined) this.#adopt(this.#directory.scan(), changes);
  }

  /** Make the set of scripts what the directories hold. `changes` undefined: all files are complete. */
  #adopt(files: ReadonlyMap<string, RuleFile>, changes: Changes | undefined): void {
    for (const file of files.values()) {
      const nr = this.#syscalls.number(file.name);
      if (nr === undefined) continue;
      let script = this.#scripts[nr];
      const settled = changes === undefined || changes.settled.has(file.name);
      if (script === undefined) {
        script = new Script(nr, file, this.#read(file));
        script.settled = settled;
        this.#scripts[nr] = script;
        this.#registration?.want(nr, true);
      } else if (changes?.names?.has(file.name) !== false || script.file.path !== file.path) {
        // Not told by time stamps: two edits may come within one tick of the kernel's clock.
        const text = this.#read(file);
        const same = text instanceof Buffer && script.text instanceof Buffer && text.equals(script.text);
        script.settled = settled || (same && script.settled);
        script.stale = true;
        if (!same) script.text = text;
      }
      script.file = file;
    }
    this.#scripts.forEach((script, nr) => {
      if (script === undefined || files.has(script.file.name)) return;
      if (script.environment !== 0) this.#lua?.release(script.environment);
      this.#scripts[nr] = undefined;
      if (!this.#exact && this.#writers[nr] === undefined) this.#registration?.want(nr, false);
    });
    if (changes?.names !== undefined) this.#adoptModules(changes.names);
  }

  #read(file: RuleFile): Buffer | RuleFileError {
    try {
      return this.#directory.read(file);
    } catch (error) {
      if (error instanceof RuleFileError) return error;
      throw error;
    }
  }

  /** Files changed that scripts may have loaded with `require`. */
  #adoptModules(names: ReadonlySet<string>): void {
    for (const script of this.#scripts) {
      if (script === undefined) continue;
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
    this.#registration?.wantAll(true);
  }

  #makeContext(): ApiContext {
    const engine = this;
    return {
      get vm() {
        return (engine.#lua as ScriptHost).vm;
      },
      get memory() {
        return engine.#memory as GuestMemory;
      },
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
