/**
 * The state of the whole guest process: address space, descriptors, identity, image, limits. Each of its threads has an
 * object of this class of its own, in its own Worker, all over the same state: descriptors and small things in shared memory,
 * mappings through the log of changes. execve replaces `image` and keeps the rest.
 */

import type { AddressSpace } from '../memory/address-space.ts';
import { ChangeLog } from './change-log.ts';
import { FdTable, type SpecialFile } from './fd-table.ts';
import { ImageRecord } from './image-record.ts';
import { InterceptorSet } from './interceptor.ts';
import type { GuestAddr, GuestMemory, Host } from './ports.ts';
import { type ProcessBlock, PHASE, WORD } from './process-block.ts';
import { Seccomp, type SeccompArch } from './seccomp.ts';
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

/** Makes processes (emulator/processes.ts) and threads (emulator/threads.ts). */
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
  /** By which this thread's copy of the process's state is kept equal to the others'. */
  log?: ChangeLog;
  /** The process as its first thread knows it, for a further one. */
  share?: ProcessShare;
}

/** What a further thread needs of the process beside the machine: plain data and shared memory. */
export interface ProcessShare {
  readonly fds: SharedArrayBuffer;
  readonly image: SharedArrayBuffer;
  readonly procFd: number;
}

/** Resource limits that bind the guest alone: [soft, hard] by RLIMIT_ number. Common to all threads. */
class Rlimits {
  readonly #block: ProcessBlock;
  constructor(block: ProcessBlock) {
    this.#block = block;
  }
  get(resource: number): readonly [bigint, bigint] | undefined {
    return resource >= 0 && resource < 16 ? this.#block.limit(resource) : undefined;
  }
  set(resource: number, limit: readonly [bigint, bigint]): void {
    this.#block.setLimit(resource, limit);
  }
  delete(resource: number): void {
    this.#block.setLimit(resource, undefined);
  }
}

export const RLIMIT_NOFILE = 7;
const RLIM_INFINITY = 0xffff_ffff_ffff_ffffn;

const seccompArch: Readonly<Record<'x86_64', SeccompArch>> = {
  x86_64: { audit: 0xc000_003e, strict: [0, 1, 60, 15] },
};

const emptyImage: Image = {
  path: '', hostFd: -1, argv: [], envp: [], auxv: new Uint8Array(0), startStack: 0, argStart: 0, argEnd: 0, envStart: 0,
  envEnd: 0, startCode: 0, endCode: 0, startData: 0, endData: 0, startBrk: 0,
};

export class Process {
  readonly host: Host;
  readonly memory: GuestMemory;
  readonly space: AddressSpace;
  readonly fds: FdTable;
  readonly #imageRecord: ImageRecord;
  readonly interceptors = new InterceptorSet();
  readonly seccomp: Seccomp;
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
  /** Makes what another thread said of a special descriptor into what this one can use. Set by whoever builds the process. */
  reviveSpecial: (task: Task, told: SpecialFile) => SpecialFile | undefined = (_task, told) => told;
  /** What must be done before the process's memory goes, by exit or execve. */
  readonly beforeEnd = new Set<(how: 'exit' | 'exec') => void>();
  /** What a thread does before it ends and others live on: whoever waits for it may end the process at once. */
  beforeThreadEnd: () => void = () => {};
  /**
   * Host descriptor on /proc (O_PATH), the engine's own: chroot, mounts and unshare of the guest do not take it away.
   * −1 where there is no /proc.
   */
  readonly procFd: number;
  readonly block: ProcessBlock;
  readonly log: ChangeLog;
  /** The calling thread, on whose Worker this is. */
  #task: Task | undefined;
  /** The guest's own limits; those that would bind the engine are not set on the host. */
  readonly rlimits: Rlimits;

  constructor(host: Host, memory: GuestMemory, space: AddressSpace, options: ProcessOptions = {}) {
    this.host = host;
    this.memory = memory;
    this.space = space;
    this.isa = options.isa ?? 'x86_64';
    this.sysroot = (options.sysroot ?? '').replace(/\/+$/, '');
    this.pid = host.syscall(host.nr['getpid'] as number);
    this.block = host.block;
    this.log = options.log ?? new ChangeLog(host, host.block, host.slotNumber);
    this.rlimits = new Rlimits(host.block);
    this.seccomp = new Seccomp(host, this.log, this.interceptors, seccompArch[this.isa]);
    const { share } = options;
    this.procFd = share?.procFd ?? openProc(host);
    for (const [resource, [soft, hard]] of options.rlimits ?? []) this.rlimits.set(resource, [soft, hard]);
    const fdLimit = (): number => {
      const [soft] = this.rlimits.get(RLIMIT_NOFILE) ?? [1024n, 0n];
      return soft === RLIM_INFINITY ? Number.MAX_SAFE_INTEGER : Number(soft);
    };
    this.#imageRecord = new ImageRecord(share?.image);
    this.#shareImage();
    this.fds = new FdTable(fdLimit, this.#shareSpecials(), share?.fds);
    this.block.publish('descriptors', host.sharedAddress(this.fds.buffer));
    this.block.publish('image', host.sharedAddress(this.#imageRecord.buffer));
    if (share === undefined) for (const [guest, hostFd] of options.descriptors ?? [[0, 0], [1, 1], [2, 2]] as const) {
      this.fds.replace(guest, hostFd, false);
    }
  }

  /** For a further thread. */
  share(): ProcessShare {
    return { fds: this.fds.buffer, image: this.#imageRecord.buffer, procFd: this.procFd };
  }

  /** The process's first thread. */
  createTask(cpu: GuestCpu): Task {
    const task = new Task(this, cpu, this.pid);
    this.adopt(task, this.pid);
    return task;
  }
  /** `task` is the guest thread `tid` from now on, on the calling host thread. */
  adopt(task: Task, tid: number): void {
    const { block, host } = this;
    this.#task = task;
    task.tid = tid;
    this.pid = host.syscall(host.nr['getpid'] as number);
    block.setTid(host.slotNumber, tid);
    block.setPhase(host.slotNumber, PHASE.live);
  }

  /** Guest threads that live. */
  get threadCount(): number {
    return this.block.threadCount;
  }
  hasThread(tid: number): boolean {
    return this.block.slotOf(tid) >= 0;
  }
  /** Ids of the living threads, ascending. */
  threadIds(): number[] {
    return this.block.tids();
  }
  /** The thread of this id if it is the calling one. */
  ownTask(tid: number): Task | undefined {
    return this.#task?.tid === tid ? this.#task : undefined;
  }

  /** The current directory lies in /proc: relative paths need the guest's view of it. */
  get cwdInProc(): boolean {
    return this.block.get(WORD.cwdInProc) !== 0;
  }
  set cwdInProc(inProc: boolean) {
    this.block.set(WORD.cwdInProc, inProc ? 1 : 0);
  }

  #shareImage(): void {
    const pack = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
    const unpack = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'));
    this.log.add({
      name: 'image',
      snapshot: () => {
        const { image } = this;
        return { ...image, argv: image.argv.map(pack), envp: image.envp.map(pack), auxv: pack(image.auxv) };
      },
      restore: (snapshot) => {
        const image = snapshot as Image & { argv: string[]; envp: string[]; auxv: string };
        this.image = { ...image, argv: image.argv.map(unpack), envp: image.envp.map(unpack), auxv: unpack(image.auxv) };
      },
      // Only execve changes it, and then there is one thread.
      apply: () => {},
    });
  }

  #shareSpecials(): { sync(): void; tell(fd: number, special: SpecialFile | undefined): void } {
    const { log } = this;
    const part = {
      name: 'special',
      snapshot: () => this.fds.specials(),
      restore: (all: unknown) => {
        for (const [fd, special] of all as [number, SpecialFile][]) this.fds.applySpecial(fd, special);
      },
      apply: (record: unknown) => this.fds.applySpecial(...(record as [number, SpecialFile])),
    };
    log.add(part);
    return { sync: () => log.sync(), tell: (fd, special) => log.change(() => log.append(part, [fd, special])) };
  }

  /**
   * exit(2): the calling thread ends. Returns if others live on; with the last one the process ends. `task`'s memory and
   * locks are the caller's business (syscalls/process.ts). `status`: 0 to 255, or −signal where one ends it.
   */
  endThread(task: Task, status: number): void {
    const { block, host } = this;
    const isMain = task.tid === this.pid;
    if (block.threadCount > 1) this.beforeThreadEnd();
    block.lock(host);
    const last = block.threadCount <= 1;
    // The process's status is that of the thread which has its id, though others may outlive it.
    if (isMain) block.set(WORD.exitStatus, status);
    const mainEnded = block.phase(block.get(WORD.mainSlot)) === PHASE.ended;
    if (!last) {
      Atomics.sub(block.words, WORD.threads, 1);
      block.setPhase(host.slotNumber, isMain ? PHASE.ended : PHASE.leaving);
    }
    block.unlock(host);
    if (!last) return;
    const final = mainEnded ? block.get(WORD.exitStatus) : status;
    if (final < 0) this.host.dieBySignal(-final);
    this.end(final);
  }

  /** exit_group(2). */
  end(status: number): never {
    for (const act of this.beforeEnd) act('exit');
    return this.host.exitGroup(status & 0xff);
  }

  /** In the child of a fork: one thread, `task`, under a new id. */
  afterFork(task: Task): void {
    this.pid = this.host.syscall(this.host.nr['getpid'] as number);
    task.tid = this.pid;
    this.block.keepOnly(this.host.slotNumber, this.pid);
  }

  /** Enter the result of loading a program. */
  setImage(image: Image): void {
    this.image = image;
    this.#imageRecord.write(image);
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
