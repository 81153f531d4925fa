/**
 * The composition root: puts machine, process, translator, hooks and log together and runs one program. Each guest thread
 * has an `Emulator` of its own; the first one's starts the program, those of others wait in their Workers for a thread to
 * run. The only file that sees all folders.
 */
import { cloneFlags } from './abi/constants/process.ts';
import type { RunOptions } from './cli/options.ts';
import { releaseFreeMemory, setV8Flag } from './host/ffi.ts';
import { type Inherited, readInherited } from './host/inherited.ts';
import { PackDirectory } from './host/pack-files.ts';
import { attachMachine, createMachine, MAX_PAGES, type Machine, type MachineShare } from './host/machine.ts';
import { type Observers, type ObserverShare, startObservers, symbols } from './emulator/observers.ts';
import { Profile } from './emulator/profile.ts';
import { wantsFloatFlags } from './emulator/float-flags.ts';
import { Processes } from './emulator/processes.ts';
import { Programs } from './emulator/program.ts';
import { SingleStep } from './emulator/single-step.ts';
import { applyScheduling, Mailbox, type NewThread, requestOf, Threads } from './emulator/threads.ts';
import { type EngineFiles, WorkerSource } from './emulator/worker.ts';
import type { FunctionHooks } from './hooks/functions/interceptor.ts';
import { maddIsFused } from './ir/relaxed.ts';
import { cpuModel, parseCpuModel, setCpuModel } from './isa/x86_64/cpuid.ts';
import { callRegisters, X86Cpu } from './isa/x86_64/cpu.ts';
import { STATE } from './isa/x86_64/cpu-state.ts';
import { CC_CARRY, CC_FLAGS } from './isa/x86_64/flags.ts';
import { X86Frontend } from './isa/x86_64/frontend.ts';
import { DIVIDE_128 } from './isa/x86_64/instructions/multiply.ts';
import { loaderFacts, type TrapSignal, trapSignal } from './isa/x86_64/linux.ts';
import { x86SignalFrames } from './isa/x86_64/signal-frame.ts';
import { TRAP } from './isa/x86_64/traps.ts';
import { wildAccess } from './isa/x86_64/wild-address.ts';
import { CodePages } from './jit/code-pages.ts';
import { prepareHelpers } from './jit/helpers.ts';
import { Jit } from './jit/jit.ts';
import * as layout from './jit/layout.ts';
import { LOCKED_HELPERS } from './jit/locked.ts';
import { mulHiS, mulHiU } from './jit/wide-multiply.ts';
import { GuestFault, Unwind } from './kernel/ports.ts';
import { Process, type ProcessShare } from './kernel/process.ts';
import type { QuickCalls } from './kernel/quick-call.ts';
import { WORD } from './kernel/process-block.ts';
import { Signals } from './kernel/signals.ts';
import { Task } from './kernel/task.ts';
import { has } from './syscalls/clone.ts';
import { dispatchQuickly, usePlans } from './syscalls/dispatch.ts';
import { deleteTimers } from './syscalls/exec.ts';
import { credentialsAfterExec } from './syscalls/exec-credentials.ts';
import { prctlAfterExec } from './syscalls/prctl.ts';
import { leaveThread } from './syscalls/process.ts';
import { reviveSpecial } from './syscalls/proc-view.ts';
import { leaveLocks } from './syscalls/robust-list.ts';
import { spaceLimits } from './syscalls/scheduling.ts';
import { syscallByNumber } from './syscalls/table.ts';
import { setV8FlagsBy, shareV8Flags } from './wasm/v8-flags.ts';

export { rulesCommand } from './emulator/rules-command.ts';

const { CLONE_PARENT_SETTID, CLONE_CHILD_SETTID, CLONE_CHILD_CLEARTID } = cloneFlags.values;
/** Bytes for the translated code of a thread, however many threads share what there is. */
const LEAST_CODE_MEMORY = 64 << 20;
const SIGKILL = 9;
/** Bytes for what forked children need (jit/fork-needs.ts). */
const FORK_NEEDS = 65536;
const SIGSEGV = 11;
const PROT_WRITE = 2;
const SEGV_MAPERR = 1;
const SEGV_ACCERR = 2;
const SI_KERNEL = 0x80;

export { cpuHelp } from './isa/x86_64/cpuid.ts';

/** What every run needs and none changes, done before the start-up snapshot is taken. */
export function prepareSnapshot(): void {
  prepareHelpers([CC_FLAGS, CC_CARRY, DIVIDE_128, mulHiS, mulHiU, ...LOCKED_HELPERS], MAX_PAGES);
}

/**
 * Runs the program. Returns only by an exception before it has started (ExecError, RuleFileError, …). `beforeEnd` is called
 * when the program has ended, before the process does.
 */
export async function run(options: RunOptions, beforeEnd?: () => void): Promise<never> {
  setV8FlagsBy(setV8Flag);
  if (options.cpu !== undefined) setCpuModel(parseCpuModel(options.cpu));
  const emulator = new Emulator(options, createMachine({ registers: callRegisters }));
  if (beforeEnd !== undefined) emulator.beforeEnd(beforeEnd);
  return emulator.start();
}

/** What a Worker is given to serve guest threads: plain data and shared memory. */
export interface ThreadShare {
  readonly options: RunOptions;
  readonly machine: MachineShare;
  readonly process: ProcessShare;
  readonly signalActions: SharedArrayBuffer;
  readonly mailbox: SharedArrayBuffer;
  readonly stdio: readonly [number, number, number];
  readonly engine: EngineFiles;
  readonly observers: ObserverShare | undefined;
}

export interface WorkerData {
  readonly share: ThreadShare;
  /** Number of the thread, and its mail word at the start. */
  readonly slot: number;
  readonly seen: number;
}

/** In a Worker: be the guest threads that `slot` is given, one after the other. */
export function runThreads({ share, slot, seen }: WorkerData): never {
  setV8FlagsBy(setV8Flag);
  if (share.options.cpu !== undefined) setCpuModel(parseCpuModel(share.options.cpu));
  const options = { ...share.options, quiet: true };
  return new Emulator(options, attachMachine(share.machine, slot), { share, seen }).serve();
}

class Emulator {
  readonly #options: RunOptions;
  readonly #machine: Machine;
  readonly #inherited: Inherited | undefined;
  readonly #process: Process;
  readonly #task: Task;
  readonly #cpu: X86Cpu;
  readonly #jit: Jit;
  readonly #singleStep: SingleStep;
  readonly #programs: Programs;
  readonly #threads: Threads;
  readonly #mailbox: Mailbox;
  readonly #workers: WorkerSource;
  readonly #pending: Int32Array;
  /** Private duplicates of descriptors 0–2: what the guest does to its own does not redirect ours. */
  readonly #stdio: readonly [number, number, number];
  readonly #quick: QuickCalls;
  #observers: Observers | undefined;
  readonly #observerShare: ObserverShare | undefined;
  /** Differ when something in the rules directories has changed. Of the same kind with and without rules: so is the cost. */
  #changes: Int32Array = new Int32Array(new SharedArrayBuffer(4));
  #seenChanges: Int32Array = new Int32Array(1);
  #functions: readonly FunctionHooks[] = [];
  #precise = false;
  readonly #frontend = new X86Frontend(cpuModel);
  /** MXCSR was given what plain floating point does not do: exact from the next point on where all frames can go. */
  #exactWanted = false;
  /** Faults are handled from now on: what is on the stack was not translated for it and must be left. */
  #preciseWanted = false;
  /** TF or AC was set from outside of translated code, which must be left. */
  #stepWanted = false;
  #faults = 0;
  /** Regions a Worker translates before it saves them. */
  #saveAfter = 32;

  /** `thread`: what a Worker was given; without, the first thread of the process. */
  constructor(options: RunOptions, machine: Machine, thread?: { readonly share: ThreadShare; readonly seen: number }) {
    this.#options = options;
    this.#machine = machine;
    const { host, guestMemory, space, log } = machine;
    shareV8Flags(host.block.words, WORD.v8Flags);
    const F_DUPFD_CLOEXEC = 1030;
    const own = (fd: number): number => host.syscall(host.nr['fcntl'] as number, fd, F_DUPFD_CLOEXEC, 3);
    this.#stdio = thread?.share.stdio ?? [own(0), own(1), own(2)];
    if (machine.shortage !== undefined && !options.quiet) this.#complain(machine.shortage);
    this.#inherited = thread === undefined ? readInherited(host, process.env) : undefined;
    this.#process = new Process(host, guestMemory, space, {
      ...(options.sysroot === undefined ? {} : { sysroot: options.sysroot }),
      ...(this.#inherited === undefined ? {} : { descriptors: this.#inherited.descriptors, rlimits: this.#inherited.rlimits }),
      ...(thread === undefined ? {} : { share: thread.share.process }),
      log,
    });
    this.#process.reviveSpecial = reviveSpecial;
    const isa = { ...loaderFacts, hwcap: BigInt(X86Cpu.hwcap), hwcap2: BigInt(X86Cpu.hwcap2), minSignalStack: X86Cpu.minSignalStack };
    this.#programs = new Programs(machine, this.#process, isa, options);
    this.#mailbox = new Mailbox(thread?.share.mailbox);
    this.#workers = new WorkerSource(thread?.share.engine);
    this.#threads = new Threads(
      machine,
      this.#process,
      {
        registers: () => new Uint8Array(machine.stateMemory.buffer, 0, STATE.end),
        exactFloat: () => this.#frontend.exactFloat,
        spawn: (slot, from) => this.#workers.spawn({ share: this.#share(), slot, seen: from } satisfies WorkerData),
        mailbox: this.#mailbox,
      },
      thread?.seen ?? 0,
    );
    this.#process.launcher = this.#programs;
    this.#process.seccomp.killThread = (task, signal) => {
      leaveLocks(task);
      task.process.endThread(task, -signal);
      leaveThread(task);
      throw new Unwind('thread-exit');
    };
    this.#process.maker = new Processes(machine, this.#process, this.#threads, {
      beforeThread: () => void this.#observers?.hooks?.share(),
      before: () => this.#observers?.hooks?.beforeFork(),
      inParent: () => this.#observers?.hooks?.notForked(),
      beforeProcess: () => {
        // What compiling took for a while would be copied with each child.
        if (this.#jit.beforeFork()) releaseFreeMemory();
      },
      afterProcess: () => this.#jit.afterFork(false),
      inChild: () => {
        this.#jit.afterFork(true);
        this.#observers?.hooks?.afterFork();
        for (const functions of this.#functions) functions.afterFork();
      },
    });
    this.#observerShare = thread?.share.observers;
    this.#cpu = new X86Cpu(machine.stateMemory.buffer);
    this.#cpu.onFloatControl = () => {
      this.#exactWanted = !this.#frontend.exactFloat;
    };
    guestMemory.onRefused = () => {
      this.#faults = machine.signals.lastFault().count;
    };
    this.#cpu.onStepping = () => {
      this.#stepWanted = true;
    };
    this.#task = new Task(this.#process, this.#cpu, 0);
    this.#quick = host.quickCalls(machine.stateAddress, this.#process.fds.buffer);
    usePlans(this.#quick, this.#process.interceptors);
    const restarts = (nr: number): boolean => syscallByNumber(nr)?.interrupted === 'restart';
    const signals = new Signals(this.#process, machine.signals, x86SignalFrames, restarts, thread?.share.signalActions);
    this.#process.signals = signals;
    space.setLimits(spaceLimits(this.#process));
    machine.signals.setFlagAddress(machine.stateAddress + layout.PENDING);
    this.#pending = new Int32Array(machine.stateMemory.buffer, layout.PENDING, 1);

    const isVolatile = (addr: number): boolean => {
      const m = space.find(addr);
      return m !== undefined && (m.shared || (m.prot & PROT_WRITE) !== 0);
    };
    const code = new CodePages(guestMemory, (addr) => space.protAt(addr), isVolatile);
    const self = this;
    this.#jit = new Jit(this.#frontend, machine.memory, machine.pages, machine.stateMemory, {
      code,
      syscall: () => this.#syscall(),
      trap: (number) => this.#trap(number),
      get behind() {
        return log.behind;
      },
      sync: () => log.sync(),
      get codeMemory() {
        const least = Math.min(options.codeMemory, LEAST_CODE_MEMORY);
        return Math.max(options.codeMemory / self.#process.threadCount, least);
      },
      fetchFault: (pc) => this.#fetchFault(pc),
      poll: () => this.#poll(),
      compareExchange: (address, size, at) => host.compareExchange(address, size, machine.stateAddress + at),
      processor: () => host.processor(),
      get precise() {
        return self.#precise;
      },
      codeFile: (pc) => {
        const m = space.find(pc);
        if (m?.backing?.kind !== 'file' || m.shared || (m.prot & PROT_WRITE) !== 0) return undefined;
        return { id: `${m.backing.dev}:${m.backing.inode}@${(m.start - m.offset).toString(16)}` };
      },
      codePage: (page) => guestMemory.readPartial(page * 4096, 4096),
      packs: PackDirectory.find(process.env),
      sharedMemory: () => host.shareWithChildren(FORK_NEEDS),
      // A process ends by one thread; what others have translated by then is lost unless they save it before.
      ...(thread === undefined ? {} : { unsaved: (count: number) => {
        if (count < this.#saveAfter) return;
        this.#saveAfter *= 2;
        this.#saveAmongThreads();
      } }),
      // what is translated also depends on how the engine multiplies and adds
      get model() {
        return `${cpuModel.key}${cpuModel.has('fma') && maddIsFused() ? ' fused' : ''}${self.#frontend.exactFloat ? ' exact-float' : ''}`;
      },
    });
    this.#singleStep = new SingleStep(machine, this.#frontend, this.#cpu, code, {
      syscall: () => this.#syscall(),
      trap: (number) => this.#trap(number),
      signal: (t) => this.#signal(t),
      fetchFault: (pc) => this.#fetchFault(pc),
      memoryFault: (pc, wild) => (wild ? this.#wildFault(pc, true) : this.#memoryFault(true)),
    });
    // However the process ends, these come first.
    this.#process.beforeEnd.add(() => this.#jit.save());
    this.#process.beforeThreadEnd = () => this.#saveAmongThreads();
    const { exitGroup, dieBySignal } = host;
    host.exitGroup = (status) => {
      for (const act of this.#process.beforeEnd) act('exit');
      return exitGroup.call(host, status);
    };
    host.dieBySignal = (signal) => {
      for (const act of this.#process.beforeEnd) act('exit');
      return dieBySignal.call(host, signal);
    };
    space.setCodeListener({
      codeChanged: (start, end) => {
        code.drop(start, end);
        this.#jit.invalidate(start, end);
      },
    });
    const mode = {
      name: 'mode',
      snapshot: () => this.#precise,
      restore: (precise: unknown) => this.#setPrecise(precise === true),
      apply: (precise: unknown) => this.#setPrecise(precise === true),
    };
    log.add(mode);
    signals.onFaultHandlers = (wanted) => {
      log.append(mode, wanted);
      this.#setPrecise(wanted);
    };
  }

  /** Under the lock: a region is kept with the checksum of its pages, which must not become other pages meanwhile. */
  #saveAmongThreads(): void {
    if (this.#threads.mustLeave) return;
    this.#machine.log.change(() => this.#jit.save());
  }

  #setPrecise(precise: boolean): void {
    if (this.#precise === precise) return;
    this.#precise = precise;
    this.#preciseWanted = precise;
    this.#jit.invalidateAll();
  }

  #share(): ThreadShare {
    return {
      options: this.#options,
      machine: this.#machine.share,
      process: this.#process.share(),
      signalActions: this.#process.signals.shared,
      mailbox: this.#mailbox.buffer,
      stdio: this.#stdio,
      engine: this.#workers.files,
      observers: this.#observers?.share(),
    };
  }

  beforeEnd(act: () => void): void {
    this.#process.beforeEnd.add(act);
  }

  start(): never {
    const { ignoredSignals, blockedSignals } = this.#inherited as Inherited;
    this.#process.adopt(this.#task, this.#process.pid);
    this.#programs.prepareFirst(this.#task);
    this.#programs.enter(this.#task, this.#cpu);
    this.#beginFloat();
    this.#observe();
    this.#startProfile();
    this.#process.signals.start(this.#task, ignoredSignals, blockedSignals);
    this.#runGuest();
    return this.serve();
  }

  #startProfile(): void {
    const { profile, dumpRegions } = this.#options;
    if (!profile && dumpRegions.length === 0) return;
    const { pid } = this.#process;
    const running = profile ? new Profile(this.#machine, STATE.rip, this.#jit, symbols(this.#machine)) : undefined;
    let told = false;
    this.#process.beforeEnd.add((how) => {
      if (told || how !== 'exit' || this.#process.pid !== pid) return;
      told = true;
      const text = `${dumpRegions.map((pc) => this.#jit.describe(pc)).join('\n')}${running?.report() ?? ''}`;
      this.#machine.host.writeAll(this.#stdio[2], Buffer.from(text));
    });
  }

  /** Until the guest thread has ended. */
  #runGuest(): void {
    for (;;) {
      try {
        if (this.#cpu.stepFlags === 0) this.#jit.run();
        if (this.#pending[0] !== 0) this.#poll();
        this.#singleStep.run();
      } catch (error) {
        if (error instanceof Unwind && error.reason === 'thread-exit') return;
        if (!this.#caught(error)) return;
      }
    }
  }

  /** Be one guest thread after the other; in the process's main thread: become the program that another thread asks for. */
  serve(): never {
    if (this.#task.tid === 0) this.#observe();
    for (;;) {
      const message = this.#threads.await();
      if (message.kind === 'end') this.#threads.endHostThread();
      if (message.kind === 'thread') this.#begin(message);
      else {
        this.#process.signals.setMask(this.#task, BigInt(message.mask));
        this.#process.seccomp.give(message.seccomp);
        this.#mailbox.taken(this.#machine, 1);
        try {
          // What the other thread prepared can be prepared again, or the program is lost, as in the kernel.
          if (this.#process.launcher.exec(this.#task, requestOf(message)) < 0) this.#machine.host.dieBySignal(SIGKILL);
        } catch (error) {
          if (!this.#caught(error)) continue;
        }
      }
      this.#runGuest();
    }
  }

  /** A new guest thread takes this Worker. */
  #begin(message: NewThread): void {
    const { host, stateMemory, guestMemory, log } = this.#machine;
    const { flags, stack, parentTid, childTid } = message.request;
    const task = this.#task;
    const cpu = this.#cpu;
    new Uint8Array(stateMemory.buffer).set(this.#mailbox.registers(STATE.end));
    if (message.scheduling !== undefined && !applyScheduling(task, message.scheduling)) this.#threads.endHostThread();
    const tid = host.syscall(host.nr['gettid'] as number);
    this.#process.adopt(task, tid);
    task.robustList = 0;
    task.comm = Buffer.from(message.name, 'latin1');
    this.#frontend.exactFloat = message.exactFloat;
    cpu.tls = BigInt(message.tls);
    if (stack !== 0) cpu.sp = stack;
    cpu.setSyscallResult(0);
    try {
      if (has(flags, CLONE_PARENT_SETTID)) guestMemory.setU32(parentTid, tid);
      if (has(flags, CLONE_CHILD_SETTID)) guestMemory.setU32(childTid, tid);
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error; // as the kernel: nobody is told
    }
    task.clearChildTid = has(flags, CLONE_CHILD_CLEARTID) ? childTid : 0;
    this.#process.signals.begin(task);
    host.block.setSeccomp(host.slotNumber, ...message.seccomp);
    this.#mailbox.taken(this.#machine, tid);
    log.sync();
    this.#process.seccomp.refresh();
    this.#process.signals.setMask(task, BigInt(message.mask));
  }

  /** The point of no return of execve: nothing of the old program is on the stack any more. False if this thread ends here. */
  #exec(): boolean {
    const task = this.#task;
    const { host } = this.#machine;
    const { process } = task;
    if (process.block.several) {
      if (!this.#threads.becomeAlone()) {
        this.#programs.forget();
        this.#leave();
        return false;
      }
      if (task.tid !== process.pid) {
        this.#threads.handOver(task, this.#programs.takeRequest());
        return false;
      }
      this.#threads.settleAlone();
    }
    for (const act of process.beforeEnd) act('exec');
    process.signals.exec(task);
    for (const fd of process.fds.removeCloexec()) host.syscall(host.nr['close'] as number, fd);
    deleteTimers(task);
    task.afterExec();
    prctlAfterExec(process);
    credentialsAfterExec(task);
    this.#jit.reset();
    this.#programs.enter(task, this.#cpu);
    this.#beginFloat();
    this.#observers?.hooks?.afterExec();
    for (const functions of this.#functions) functions.afterExec();
    return true;
  }

  /** Another thread's execve ends this one. */
  #leave(): void {
    leaveLocks(this.#task);
    this.#process.endThread(this.#task, 0);
    leaveThread(this.#task);
  }

  /** What other threads have done that concerns this one. To be called before guest code goes on. @throws Unwind. */
  #meet(): void {
    const { log } = this.#machine;
    if (log.behind) log.sync();
    if (!this.#threads.mustLeave) return;
    this.#leave();
    throw new Unwind('thread-exit');
  }

  #observe(): void {
    this.#observers = startObservers(
      {
        machine: this.#machine, process: this.#process, options: this.#options, stdio: this.#stdio,
        leaving: () => this.#threads.mustLeave,
      },
      this.#observerShare,
    );
    const { hooks, functions } = this.#observers;
    this.#functions = functions;
    if (hooks === undefined) return;
    this.#changes = hooks.changeCell;
    this.#seenChanges = hooks.seenCell;
  }

  #syscall = (): void => {
    if (this.#changes[0] !== this.#seenChanges[0]) this.#observers?.hooks?.poll();
    dispatchQuickly(this.#task, this.#quick);
    if (this.#process.block.several) this.#meet();
    if (this.#process.signals.wanted) this.#deliver();
    if (this.#exactWanted || this.#preciseWanted || this.#stepWanted) {
      this.#preciseWanted = false;
      this.#stepWanted = false;
      if (this.#exactWanted) this.#becomeExact();
      throw new Unwind('translation');
    }
  };

  #poll(): void {
    this.#pending[0] = 0;
    if (this.#process.block.several) {
      // If the world is stopped: the stub does not come back before it runs again.
      this.#machine.host.syscall(this.#machine.host.nr['getpid'] as number);
      this.#meet();
    }
    if (this.#process.signals.wanted) this.#deliver();
  }
  #deliver(): void {
    this.#pending[0] = 0;
    this.#process.signals.deliverPending(this.#task);
  }

  #trap(code: number): void {
    if (code === TRAP.exactFloat) {
      this.#becomeExact();
      throw new Unwind('translation');
    }
    if (code === TRAP.stepping) {
      this.#singleStep.run();
      throw new Unwind('translation');
    }
    const t = trapSignal(code, this.#cpu.floatStatus);
    const pc = this.#cpu.pc;
    if (code === TRAP.undefined) this.#reportUndefined(pc);
    this.#signal(t);
  }
  #signal(t: TrapSignal): void {
    this.#fault(t.signal, t.code, t.address ? this.#cpu.pc : 0);
  }

  /** From now on floating point follows MXCSR. What runs above on the stack is of the old translation: unwind after this. */
  #becomeExact(): void {
    this.#exactWanted = false;
    this.#jit.save();
    this.#frontend.exactFloat = true;
    this.#jit.invalidateAll();
  }
  /** A program has been entered: how its floating point begins. */
  #beginFloat(): void {
    this.#exactWanted = false;
    const { main } = this.#programs;
    const { guestMemory } = this.#machine;
    const frontend = this.#frontend;
    const read = (address: number, length: number): Uint8Array => guestMemory.readPartial(address, length);
    frontend.exactFloat = main !== undefined && wantsFloatFlags(main, read, (code) => frontend.readsFloatFlags(code));
  }

  /** A synchronous signal of the guest's own making; registers and pc are those at the instruction. */
  #fault(signal: number, code: number, address: number | bigint): void {
    const info = new Uint8Array(128);
    const view = new DataView(info.buffer);
    view.setInt32(0, signal, true);
    view.setInt32(8, code, true);
    view.setBigUint64(16, BigInt(address), true);
    this.#process.signals.raiseFault(this.#task, signal, info);
  }

  /** What came out of translated code instead of a result. False if the thread has ended. */
  #caught(error: unknown): boolean {
    // The registers are set: go on there.
    if (error instanceof Unwind) {
      if (error.reason === 'exec' && !this.#exec()) return false;
      if (this.#exactWanted) this.#becomeExact();
      if (this.#process.signals.wanted) this.#deliver();
      return true;
    }
    if (error instanceof WebAssembly.RuntimeError) {
      const pc = this.#jit.faultPc(error.stack ?? '');
      if (pc === undefined) throw error;
      this.#cpu.pc = pc;
      // What the host did not see lies beyond the guest's address space.
      if (this.#machine.signals.lastFault().count === this.#faults) this.#wildFault(pc, this.#precise);
      else this.#memoryFault(this.#precise);
      return true;
    }
    throw error;
  }

  /** `pc` is not executable. */
  #fetchFault(pc: number): void {
    this.#fault(SIGSEGV, this.#machine.space.protAt(pc) === 0 ? SEGV_MAPERR : SEGV_ACCERR, pc);
  }

  /** The instruction at the guest's pc met memory that the host refuses. `precise`: all registers are as they were before it. */
  #memoryFault(precise: boolean): void {
    const { space, signals, host } = this.#machine;
    const fault = signals.lastFault();
    this.#faults = fault.count;
    const address = fault.hostAddress - host.memoryBase;
    const unmapped = fault.signal === SIGSEGV && space.find(address) === undefined;
    // Precise: the access can be made again.
    if (precise && unmapped && space.growDown(address)) return;
    // What the guest has not mapped is PROT_NONE on the host.
    this.#fault(fault.signal, unmapped ? SEGV_MAPERR : fault.code, address);
  }

  /** An access beyond the guest's address space, which the host's kernel never saw. */
  #wildFault(pc: number, precise: boolean): void {
    const { guestMemory } = this.#machine;
    const insn = precise ? this.#frontend.decode(guestMemory.readPartial(pc, 15), 0, pc) : undefined;
    const wild = insn === undefined ? undefined : wildAccess(insn, (name) => this.#cpu.getRegister(name) ?? 0n, guestMemory.size);
    if (wild === undefined) this.#fault(SIGSEGV, SI_KERNEL, 0);
    else this.#fault(wild.signal.signal, wild.signal.code, wild.address);
  }

  #reportUndefined(pc: number): void {
    const window = this.#machine.guestMemory.readPartial(pc, 15);
    // UD0, UD1 and UD2 are there to be undefined: the guest means it.
    const insn = this.#frontend.decode(window, 0, pc);
    if (insn !== undefined && /^ud[012]/.test(this.#frontend.format(insn))) return;
    const bytes = [...window].map((b) => b.toString(16).padStart(2, '0')).join(' ');
    this.#complain(`invalid or unsupported instruction at 0x${pc.toString(16)}${this.#programs.describe(pc)}: ${bytes}`);
  }

  #complain(message: string): void {
    this.#machine.host.writeAll(this.#stdio[2], Buffer.from(`lunagate: ${message}\n`));
  }
}
