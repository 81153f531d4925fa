/**
 * The composition root: puts machine, process, translator, hooks and log together and runs one program. The only
 * file that sees all folders.
 */
import type { RunOptions } from './cli/options.ts';
import { type Inherited, readInherited } from './host/inherited.ts';
import { PackDirectory } from './host/pack-files.ts';
import { createMachine, type Machine } from './host/machine.ts';
import { startObservers } from './emulator/observers.ts';
import { wantsFloatFlags } from './emulator/float-flags.ts';
import { Processes } from './emulator/processes.ts';
import { Programs } from './emulator/program.ts';
import type { HookEngine } from './hooks/engine.ts';
import { maddIsFused } from './ir/relaxed.ts';
import { cpuModel, parseCpuModel, setCpuModel } from './isa/x86_64/cpuid.ts';
import { X86Cpu } from './isa/x86_64/cpu.ts';
import { X86Frontend } from './isa/x86_64/frontend.ts';
import { loaderFacts, trapSignal } from './isa/x86_64/linux.ts';
import { x86SignalFrames } from './isa/x86_64/signal-frame.ts';
import { TRAP } from './isa/x86_64/traps.ts';
import { wildAccess } from './isa/x86_64/wild-address.ts';
import { CodePages } from './jit/code-pages.ts';
import { Jit } from './jit/jit.ts';
import * as layout from './jit/layout.ts';
import { Unwind } from './kernel/ports.ts';
import { Process } from './kernel/process.ts';
import { Signals } from './kernel/signals.ts';
import type { Task } from './kernel/task.ts';
import { dispatch } from './syscalls/dispatch.ts';
import { deleteTimers } from './syscalls/exec.ts';
import { prctlAfterExec } from './syscalls/prctl.ts';
import { spaceLimits } from './syscalls/scheduling.ts';
import { syscallByNumber } from './syscalls/table.ts';

export { rulesCommand } from './emulator/rules-command.ts';

const SIGSEGV = 11;
const PROT_WRITE = 2;
const SEGV_MAPERR = 1;
const SI_KERNEL = 0x80;

export { cpuHelp } from './isa/x86_64/cpuid.ts';

/** Runs the program. Returns only by an exception before it has started (ExecError, RuleFileError, …). */
export async function run(options: RunOptions): Promise<never> {
  if (options.cpu !== undefined) setCpuModel(parseCpuModel(options.cpu));
  const emulator = new Emulator(options);
  return emulator.start();
}

class Emulator {
  readonly #options: RunOptions;
  readonly #machine: Machine;
  readonly #inherited: Inherited;
  readonly #process: Process;
  readonly #task: Task;
  readonly #cpu: X86Cpu;
  readonly #jit: Jit;
  readonly #programs: Programs;
  readonly #pending: Int32Array;
  /** Private duplicates of descriptors 0–2: what the guest does to its own does not redirect ours. */
  readonly #stdio: readonly [number, number, number];
  #hooks: HookEngine | undefined;
  #precise = false;
  readonly #frontend = new X86Frontend(cpuModel);
  /** MXCSR was given what plain floating point does not do: exact from the next point on where all frames can go. */
  #exactWanted = false;
  #faults = 0;

  constructor(options: RunOptions) {
    this.#options = options;
    const machine = createMachine();
    this.#machine = machine;
    const { host, guestMemory, space } = machine;
    const F_DUPFD_CLOEXEC = 1030;
    const own = (fd: number): number => host.syscall(host.nr['fcntl'] as number, fd, F_DUPFD_CLOEXEC, 3);
    this.#stdio = [own(0), own(1), own(2)];
    if (machine.shortage !== undefined && !options.quiet) this.#complain(machine.shortage);
    this.#inherited = readInherited(host, process.env);
    this.#process = new Process(host, guestMemory, space, {
      ...(options.sysroot === undefined ? {} : { sysroot: options.sysroot }),
      descriptors: this.#inherited.descriptors,
      rlimits: this.#inherited.rlimits,
    });
    const isa = { ...loaderFacts, hwcap: BigInt(X86Cpu.hwcap), hwcap2: BigInt(X86Cpu.hwcap2), minSignalStack: X86Cpu.minSignalStack };
    this.#programs = new Programs(machine, this.#process, isa, options);
    this.#process.launcher = this.#programs;
    this.#process.maker = new Processes(machine, this.#process, () => {
      this.#jit.afterFork();
      this.#hooks?.afterFork();
    });
    this.#cpu = new X86Cpu(machine.stateMemory.buffer);
    this.#cpu.onFloatControl = () => {
      this.#exactWanted = !this.#frontend.exactFloat;
    };
    this.#task = this.#process.createTask(this.#cpu);
    const signals = new Signals(this.#process, machine.signals, x86SignalFrames, (nr) => syscallByNumber(nr)?.interrupted === 'restart');
    this.#process.signals = signals;
    space.setLimits(spaceLimits(this.#process));
    machine.signals.setFlagAddress(machine.stateAddress + layout.PENDING);
    this.#pending = new Int32Array(machine.stateMemory.buffer, layout.PENDING, 1);

    const code = new CodePages(guestMemory, (addr) => space.protAt(addr));
    const self = this;
    this.#jit = new Jit(this.#frontend, machine.memory, machine.pages, machine.stateMemory, {
      code,
      syscall: () => this.#syscall(),
      trap: (number) => this.#trap(number),
      fetchFault: (pc) => this.#fault(SIGSEGV, space.protAt(pc) === 0 ? SEGV_MAPERR : 2, pc),
      poll: () => this.#poll(),
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
      // what is translated also depends on how the engine multiplies and adds
      get model() {
        return `${cpuModel.key}${cpuModel.has('fma') && maddIsFused() ? ' fused' : ''}${self.#frontend.exactFloat ? ' exact-float' : ''}`;
      },
    });
    // However the process ends, these come first.
    this.#process.beforeEnd.add(() => this.#jit.save());
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
    signals.onFaultHandlers = (wanted) => {
      this.#precise = wanted;
      this.#jit.invalidateAll();
    };
  }

  start(): never {
    this.#programs.prepareFirst(this.#task);
    this.#programs.enter(this.#task, this.#cpu);
    this.#beginFloat();
    this.#observe();
    this.#process.signals.start(this.#task, this.#inherited.ignoredSignals, this.#inherited.blockedSignals);
    for (;;) {
      try {
        this.#jit.run();
      } catch (error) {
        this.#caught(error);
      }
    }
  }

  /** The point of no return of execve: nothing of the old program is on the stack any more. */
  #exec(): void {
    const task = this.#task;
    const { host } = this.#machine;
    const { process } = task;
    for (const act of process.beforeEnd) act('exec');
    process.signals.exec(task);
    for (const fd of process.fds.removeCloexec()) host.syscall(host.nr['close'] as number, fd);
    deleteTimers(task);
    task.afterExec();
    prctlAfterExec(process);
    this.#jit.reset();
    this.#programs.enter(task, this.#cpu);
    this.#beginFloat();
    this.#hooks?.afterExec();
  }

  #observe(): void {
    const { hooks } = startObservers(this.#machine, this.#process, this.#options, this.#stdio);
    if (hooks === undefined) return;
    this.#hooks = hooks;
    const { changeCell, seenCell } = hooks;
    const plain = this.#syscall;
    this.#syscall = () => {
      if (changeCell[0] !== seenCell[0]) hooks.poll();
      plain.call(this);
    };
  }

  #syscall = (): void => {
    dispatch(this.#task);
    if (this.#process.signals.wanted) this.#deliver();
    if (this.#exactWanted) {
      this.#becomeExact();
      throw new Unwind('translation');
    }
  };

  #poll(): void {
    this.#pending[0] = 0;
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
    const t = trapSignal(code, this.#cpu.floatStatus);
    const pc = this.#cpu.pc;
    if (code === TRAP.undefined) this.#reportUndefined(pc);
    this.#fault(t.signal, t.code, t.address ? pc : 0);
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

  /** What came out of translated code instead of a result. */
  #caught(error: unknown): void {
    // The registers are set: go on there.
    if (error instanceof Unwind && error.reason !== 'thread-exit') {
      if (error.reason === 'exec') this.#exec();
      if (this.#exactWanted) this.#becomeExact();
      if (this.#process.signals.wanted) this.#deliver();
      return;
    }
    if (error instanceof WebAssembly.RuntimeError) {
      const pc = this.#jit.faultPc(error.stack ?? '');
      if (pc === undefined) throw error;
      this.#cpu.pc = pc;
      const { space } = this.#machine;
      const fault = this.#machine.signals.lastFault();
      if (fault.count !== this.#faults) {
        this.#faults = fault.count;
        const address = fault.hostAddress - this.#machine.host.memoryBase;
        // Only precise code has kept the registers, so that the access can be made again.
        if (this.#precise && fault.signal === SIGSEGV && space.find(address) === undefined && space.growDown(address)) return;
        // What the guest has not mapped is PROT_NONE on the host.
        const code = fault.signal === SIGSEGV && space.find(address) === undefined ? SEGV_MAPERR : fault.code;
        this.#fault(fault.signal, code, address);
      } else this.#wildFault(pc);
      return;
    }
    throw error;
  }

  /** An access beyond the guest's address space, which the host's kernel never saw. */
  #wildFault(pc: number): void {
    const { guestMemory } = this.#machine;
    const insn = this.#precise ? this.#frontend.decode(guestMemory.readPartial(pc, 15), 0, pc) : undefined;
    const wild = insn === undefined ? undefined : wildAccess(insn, (name) => this.#cpu.getRegister(name) ?? 0n, guestMemory.size);
    if (wild === undefined) this.#fault(SIGSEGV, SI_KERNEL, 0);
    else this.#fault(wild.signal.signal, wild.signal.code, wild.address);
  }

  #reportUndefined(pc: number): void {
    const window = this.#machine.guestMemory.readPartial(pc, 15);
    const bytes = [...window].map((b) => b.toString(16).padStart(2, '0')).join(' ');
    this.#complain(`invalid or unsupported instruction at 0x${pc.toString(16)}${this.#programs.describe(pc)}: ${bytes}`);
  }

  #complain(message: string): void {
    this.#machine.host.writeAll(this.#stdio[2], Buffer.from(`lunagate: ${message}\n`));
  }
}
