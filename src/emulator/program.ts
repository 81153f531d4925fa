/**
 * The program of a process: found and checked (prepare), then, once no guest code of the old one is on the stack,
 * loaded into the emptied address space (enter). Owns the files of the program that runs, kept open for symbols and
 * for /proc/self/exe.
 *
 * Invariant: a prepared program is entered or closed; until it is entered the old one is whole.
 */

import type { RunOptions } from '../cli/options.ts';
import { showCommandLine } from '../host/command-line.ts';
import type { Machine } from '../host/machine.ts';
import type { GuestCpu } from '../kernel/ports.ts';
import { Unwind } from '../kernel/ports.ts';
import type { Process, ProgramLauncher, ProgramRequest } from '../kernel/process.ts';
import type { Task } from '../kernel/task.ts';
import { ExecError } from '../loader/exec-error.ts';
import { pathOfFd } from '../loader/executable-file.ts';
import { chooseLayout, isRandomized } from '../loader/layout.ts';
import { type LoadedImage, loadImage, type Module } from '../loader/load.ts';
import { type PreparedExec, prepareExec } from '../loader/prepare.ts';
import type { LoaderIsa } from '../loader/types.ts';
import { openProgram } from '../syscalls/exec.ts';

const RLIMIT_STACK = 3;
const INFINITY = 0xffff_ffff_ffff_ffffn;
const GRND_NONBLOCK = 1;
const SIGSEGV = 11;
const F_DUPFD_CLOEXEC = 1030;

/** Registers that a program starts with are the ISA's: everything zero but these. */
export interface ProgramCpu extends GuestCpu {
  reset(): void;
}

interface Waiting {
  readonly prepared: PreparedExec;
  readonly comm: Uint8Array | undefined;
}

export class Programs implements ProgramLauncher {
  readonly #machine: Machine;
  readonly #process: Process;
  readonly #isa: LoaderIsa;
  readonly #options: RunOptions;
  #waiting: Waiting | undefined;
  #entered = false;
  #running: PreparedExec | undefined;
  #image: LoadedImage | undefined;

  constructor(machine: Machine, process: Process, isa: LoaderIsa, options: RunOptions) {
    this.#machine = machine;
    this.#process = process;
    this.#isa = isa;
    this.#options = options;
  }

  /** The program of the command line. @throws ExecError. */
  prepareFirst(task: Task): void {
    const { program, argv, envp } = this.#options;
    const { host } = this.#machine;
    const prepared = prepareExec(host, this.#isa, host.memorySize, {
      path: program,
      argv,
      envp,
      stackLimit: this.#stackSize(),
      open: this.#opener(task),
    });
    this.#waiting = { prepared, comm: undefined };
  }

  exec(task: Task, request: ProgramRequest): number {
    const { host } = this.#machine;
    let prepared: PreparedExec;
    try {
      prepared = prepareExec(host, this.#isa, host.memorySize, {
        path: request.path,
        argv: request.argv,
        envp: request.envp,
        stackLimit: this.#stackSize(),
        fd: request.hostFd,
        pathInaccessible: request.inaccessible,
        open: this.#opener(task),
      });
    } catch (error) {
      if (error instanceof ExecError) return -error.errno;
      throw error;
    }
    this.#waiting?.prepared.close();
    this.#waiting = { prepared, comm: request.comm };
    throw new Unwind('exec');
  }

  /** Give up what was prepared, as a request that another thread can make: with a descriptor of its own on the program. */
  takeRequest(): ProgramRequest {
    const { prepared, comm } = this.#waiting as Waiting;
    const { host } = this.#machine;
    const hostFd = host.syscall(host.nr['fcntl'] as number, prepared.main.file.fd, F_DUPFD_CLOEXEC, 3);
    const { execfn, argv, envp } = prepared;
    this.forget();
    return { path: execfn, hostFd, inaccessible: false, argv, envp, comm };
  }
  /** Another thread was first. */
  forget(): void {
    this.#waiting?.prepared.close();
    this.#waiting = undefined;
  }

  /** Is there a program to enter? */
  get prepared(): boolean {
    return this.#waiting !== undefined;
  }

  /** Load what was prepared. After the first program a failure kills the process, as in the kernel: there is no way back. */
  enter(task: Task, cpu: ProgramCpu): void {
    const { prepared, comm } = this.#waiting as Waiting;
    this.#waiting = undefined;
    try {
      this.#load(task, cpu, prepared, comm ?? prepared.comm);
    } catch (error) {
      if (!this.#entered || !(error instanceof ExecError)) throw error;
      this.#machine.host.dieBySignal(SIGSEGV);
    }
  }

  /** The running program's own file in memory. */
  get main(): Module | undefined {
    return this.#image?.main;
  }

  /** ` (name+0x12 in file)` of the nearest symbol below `pc`, as far as the files loaded by exec tell. */
  describe(pc: number): string {
    for (const m of [this.#image?.main, this.#image?.interpreter]) {
      if (m === undefined || pc < m.start || pc >= m.end) continue;
      const s = m.elf.symbolize(pc - m.bias);
      const file = Buffer.from(m.path).toString();
      return s === undefined ? ` (in ${file})` : ` (${s.name}+0x${s.offset.toString(16)} in ${file})`;
    }
    const mapping = this.#machine.space.find(pc);
    return mapping === undefined ? '' : ` (in ${JSON.stringify(mapping.name ?? 'anonymous memory')})`;
  }

  #load(task: Task, cpu: ProgramCpu, prepared: PreparedExec, comm: Uint8Array): void {
    const { host, guestMemory, space } = this.#machine;
    const process = this.#process;
    space.reset();
    const id = (name: string): number => host.syscall(host.nr[name] as number);
    let argumentBytes = 0;
    for (const s of [...prepared.argv, ...prepared.envp]) argumentBytes += s.length + 9;
    const { seed, aslr } = this.#options;
    space.setFileHomes(!aslr);
    const random = seed === undefined ? (n: number) => this.#random(n) : seeded(seed);
    const image = loadImage({ space, memory: guestMemory }, prepared, {
      isa: this.#isa,
      layout: chooseLayout({
        memorySize: host.memorySize,
        stackSize: this.#stackSize(),
        argumentBytes,
        random: aslr && isRandomized(host) ? random : undefined,
      }),
      credentials: { uid: id('getuid'), euid: id('geteuid'), gid: id('getgid'), egid: id('getegid') },
      random: random(16),
    });
    this.#running?.close();
    this.#entered = true;
    this.#running = prepared;
    this.#image = image;
    process.setImage({ ...image, path: this.#pathOf(prepared), hostFd: prepared.main.file.fd });
    const at = (addr: number): number => host.memoryBase + addr;
    const { argStart, argEnd, envStart, envEnd } = image;
    showCommandLine(host, process.procFd, { argStart: at(argStart), argEnd: at(argEnd), envStart: at(envStart), envEnd: at(envEnd) });
    task.comm = comm;
    cpu.reset();
    cpu.pc = image.entry;
    cpu.sp = image.sp;
  }

  #opener(task: Task): (path: Uint8Array) => number {
    return (path) => {
      const { scratch } = task.host;
      const mark = scratch.mark();
      try {
        return openProgram(task, -100, Buffer.from(path.buffer, path.byteOffset, path.byteLength).toString('latin1'));
      } finally {
        scratch.release(mark);
      }
    };
  }

  #stackSize(): number {
    if (this.#options.stackSize !== undefined) return this.#options.stackSize;
    const soft = this.#process.rlimits.get(RLIMIT_STACK)?.[0] ?? INFINITY;
    return soft === INFINITY ? Number.POSITIVE_INFINITY : Number(soft);
  }

  /** Name of the program file from the guest's root, links resolved, as /proc/self/exe has it. */
  #pathOf(prepared: PreparedExec): string {
    const { file } = prepared.main;
    const bytes = pathOfFd(this.#machine.host, file.fd) ?? file.path;
    const path = Buffer.from(bytes).toString('utf8');
    const { sysroot } = this.#process;
    return sysroot !== '' && path.startsWith(`${sysroot}/`) ? path.slice(sysroot.length) : path;
  }

  #random(count: number): Uint8Array {
    const { host } = this.#machine;
    const mark = host.scratch.mark();
    const at = host.scratch.alloc(count);
    host.syscall(host.nr['getrandom'] as number, host.scratch.address + at, count, GRND_NONBLOCK);
    const bytes = host.scratch.bytes.slice(at, at + count);
    host.scratch.release(mark);
    return bytes;
  }
}

/** Repeatable bytes for -seed (xorshift32). */
function seeded(seed: number): (count: number) => Uint8Array {
  let s = (seed ^ 0x9e3779b9) | 1;
  return (count) =>
    Uint8Array.from({ length: count }, () => {
      s ^= s << 13;
      s ^= s >>> 17;
      s ^= s << 5;
      return s & 0xff;
    });
}
