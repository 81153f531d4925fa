/**
 * The state of the whole guest process: address space, descriptors, identity, image, limits. One per guest
 * process; its threads (Task) share it. execve replaces `image` and keeps the rest.
 */

import type { AddressSpace } from '../memory/address-space.ts';
import { FdTable } from './fd-table.ts';
import { InterceptorSet } from './interceptor.ts';
import type { GuestAddr, GuestMemory, Host } from './ports.ts';
import type { Signals } from './signals.ts';
import { Task } from './task.ts';
import type { GuestCpu } from './ports.ts';

/** What execve made: everything /proc/PID shows of the program, as addresses in the guest where the kernel keeps them. */
export interface Image {
  /** Absolute path of the program as the guest sees it (without the sysroot prefix): the target of /proc/self/exe. */
  path: string;
  /** Host descriptor open on the program file (O_PATH suffices), owned by the engine; −1 if none. */
  hostFd: number;
  argv: readonly Uint8Array[];
  envp: readonly Uint8Array[];
  /** The auxiliary vector as laid out for the guest, AT_NULL included. */
  auxv: Uint8Array;
  /** Stack pointer at entry. */
  startStack: GuestAddr;
  /** Bounds of the argument and environment strings on the guest's stack; 0 when unknown. */
  argStart: GuestAddr;
  argEnd: GuestAddr;
  envStart: GuestAddr;
  envEnd: GuestAddr;
  startCode: GuestAddr;
  endCode: GuestAddr;
  startData: GuestAddr;
  endData: GuestAddr;
  /** First address of the heap (brk at start). */
  startBrk: GuestAddr;
}

/** A program as execve found it, before anything of it is read. Strings are bytes. */
export interface ProgramRequest {
  /** The name it goes by (AT_EXECFN, and what a `#!` interpreter is given). */
  readonly path: Uint8Array;
  /** Host descriptor open for reading; taken over. */
  readonly hostFd: number;
  /** `path` goes through a descriptor that closes on exec: a script's interpreter could not open it. */
  readonly inaccessible: boolean;
  readonly argv: readonly Uint8Array[];
  readonly envp: readonly Uint8Array[];
  /** Name of the process; undefined: the last part of `path`. */
  readonly comm: Uint8Array | undefined;
}

/** What clone(2) in any of its forms asks for, checked. Addresses are the guest's; 0: none. */
export interface CloneRequest {
  /** CLONE_ flags, all of them, without the exit signal. */
  readonly flags: number;
  readonly exitSignal: number;
  /** Stack pointer of the child; 0: the parent's. */
  readonly stack: GuestAddr;
  readonly tls: bigint;
  readonly parentTid: GuestAddr;
  readonly childTid: GuestAddr;
  /** Where the pidfd goes (CLONE_PIDFD). */
  readonly pidfd: GuestAddr;
  /** clone3's set_tid. */
  readonly setTid: readonly number[];
  /** Guest descriptor of the control group (CLONE_INTO_CGROUP). */
  readonly cgroup: number;
}

/** Makes processes and threads (emulator/processes.ts). */
export interface ProcessMaker {
  /** The new process's or thread's id; 0 in a new process, whose registers are set; −errno. */
  clone(task: Task, request: CloneRequest): number;
}

/** Replaces the program of a process (emulator/program.ts). */
export interface ProgramLauncher {
  /**
   * −errno while the old program can go on. Otherwise throws Unwind('exec'): once the calling thread's guest code has
   * been left, the run loop loads what was prepared.
   */
  exec(task: Task, request: ProgramRequest): number;
}

/** What the launcher found on entry and what the command line asks for. */
export interface ProcessOptions {
  /** -L: prefix tried first for absolute paths; empty: none. */
  sysroot?: string;
  /** Guest ABI of the declarations in use. */
  isa?: 'x86_64';
  /** Host descriptors the guest inherits, by guest number. Default 0, 1, 2 as they are. */
  descriptors?: ReadonlyMap<number, number>;
  /** Soft and hard limits by RLIMIT_ number, as inherited (before Node raised NOFILE). */
  rlimits?: ReadonlyMap<number, readonly [bigint, bigint]>;
}

export const RLIMIT_NOFILE = 7;
const RLIM_INFINITY = 0xffff_ffff_ffff_ffffn;

const emptyImage: Image = {
  path: '', hostFd: -1, argv: [], envp: [], auxv: new Uint8Array(0), startStack: 0, argStart: 0, argEnd: 0, envStart: 0,
  envEnd: 0, startCode: 0, endCode: 0, startData: 0, endData: 0, startBrk: 0,
};

export class Process {
  readonly host: Host;
  readonly memory: GuestMemory;
  readonly space: AddressSpace;
  readonly fds: FdTable;
  readonly interceptors = new InterceptorSet();
  readonly isa: 'x86_64';
  readonly sysroot: string;
  /** Host process id; the guest's is the same. */
  pid: number;
  image: Image = emptyImage;
  /** Set by whoever builds the process (kernel/signals.ts). */
  signals!: Signals;
  /** Set by whoever builds the process. */
  launcher!: ProgramLauncher;
  maker!: ProcessMaker;
  /** What must be done before the process's memory goes, by exit or execve. */
  readonly beforeEnd = new Set<(how: 'exit' | 'exec') => void>();
  /**
   * Host descriptor on /proc (O_PATH), the engine's own: chroot, mounts and unshare of the guest do not take it away.
   * −1 where there is no /proc.
   */
  readonly procFd: number;
  /** The current directory lies in /proc: relative paths need the guest's view of it. */
  cwdInProc = false;
  /** Running threads by tid. */
  readonly tasks = new Map<number, Task>();
  /** [soft, hard] by RLIMIT_ number: the guest's own; those that would bind the engine are not set on the host. */
  readonly rlimits = new Map<number, [bigint, bigint]>();
  /** Unfinished synthesised state of other domains, keyed by the owner (kept here so that exec and fork see it). */
  readonly extensions = new Map<symbol, unknown>();

  #comm = new Uint8Array(0);

  constructor(host: Host, memory: GuestMemory, space: AddressSpace, options: ProcessOptions = {}) {
    this.host = host;
    this.memory = memory;
    this.space = space;
    this.isa = options.isa ?? 'x86_64';
    this.sysroot = (options.sysroot ?? '').replace(/\/+$/, '');
    this.pid = host.syscall(host.nr['getpid'] as number);
    this.procFd = openProc(host);
    for (const [resource, [soft, hard]] of options.rlimits ?? []) this.rlimits.set(resource, [soft, hard]);
    this.fds = new FdTable(() => {
      const [soft] = this.rlimits.get(RLIMIT_NOFILE) ?? [1024n, 0n];
      return soft === RLIM_INFINITY ? Number.MAX_SAFE_INTEGER : Number(soft);
    });
    for (const [guest, hostFd] of options.descriptors ?? [[0, 0], [1, 1], [2, 2]] as const) {
      this.fds.replace(guest, hostFd, false);
    }
  }

  /** The process's name: the main thread's comm, at most 15 bytes. */
  get comm(): Uint8Array {
    return this.tasks.get(this.pid)?.comm ?? this.#comm;
  }
  set comm(name: Uint8Array) {
    this.#comm = name.slice(0, 15);
    const main = this.tasks.get(this.pid);
    if (main !== undefined) main.comm = this.#comm;
  }

  /** A thread of this process. The first one's tid is the pid. */
  createTask(cpu: GuestCpu, tid: number = this.pid): Task {
    const task = new Task(this, cpu, tid);
    this.tasks.set(tid, task);
    return task;
  }

  /** exit_group(2). */
  end(status: number): never {
    for (const act of this.beforeEnd) act('exit');
    return this.host.exitGroup(status & 0xff);
  }

  /** In the child of a fork: one thread, `task`, under a new id. */
  afterFork(task: Task): void {
    const { comm } = task;
    this.pid = this.host.syscall(this.host.nr['getpid'] as number);
    this.tasks.clear();
    task.tid = this.pid;
    this.tasks.set(task.tid, task);
    this.comm = comm;
  }

  /** Enter the result of loading a program: sets the image and the name (the last part of the path). */
  setImage(image: Image): void {
    this.image = image;
    const name = image.path.slice(image.path.lastIndexOf('/') + 1);
    this.comm = new TextEncoder().encode(name);
  }
}

function openProc(host: Host): number {
  const { scratch, nr } = host;
  const mark = scratch.mark();
  const at = scratch.alloc(6);
  scratch.bytes.set(new TextEncoder().encode('/proc'), at);
  const AT_FDCWD = -100;
  const O_PATH_DIRECTORY_CLOEXEC = 0o12200000;
  const fd = host.syscall(nr['openat'] as number, AT_FDCWD, scratch.address + at, O_PATH_DIRECTORY_CLOEXEC, 0);
  scratch.release(mark);
  return Math.max(fd, -1);
}
