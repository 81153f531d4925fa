/**
 * One guest thread: its registers, identity and per-thread kernel state, and the short ways from a handler to the
 * host. The guest's threads share one Process.
 */

import type { FdTable } from './fd-table.ts';
import { type Arg, type GuestAddr, type GuestCpu, type GuestMemory, type Host, type HostAddr, SyscallFrame } from './ports.ts';
import type { Process } from './process.ts';

/** End of what a 64-bit process can address (four-level page tables). */
const USER_END = 2 ** 47;

const PR_SET_NAME = 15;
const PR_GET_NAME = 16;

export class Task {
  readonly process: Process;
  readonly cpu: GuestCpu;
  readonly host: Host;
  readonly memory: GuestMemory;
  readonly fds: FdTable;
  /** Thread id as the host kernel knows it. */
  tid: number;
  /** The system call in progress as the guest asked for it. */
  readonly frame = new SyscallFrame();
  /** set_tid_address: cleared and woken when the thread ends. 0: none. */
  clearChildTid: GuestAddr = 0;
  /** set_robust_list's head; where other threads can ask for it. */
  get robustList(): GuestAddr {
    return this.host.block.robustList(this.host.slotNumber);
  }
  set robustList(head: GuestAddr) {
    this.host.block.setRobustList(this.host.slotNumber, head);
  }
  /**
   * Set while a system call's result is −EINTR because a signal arrived: its number, so that signal delivery can
   * restart it (see Syscall.interrupted). −1 otherwise.
   */
  interruptedNr = -1;
  /** … and the host kernel was not even entered: the call is made again in any case. */
  notEntered = false;
  /** The dispatcher's way to the original call, for interceptors: made once. */
  original: ((frame: SyscallFrame) => bigint) | undefined = undefined;

  readonly #base: number;
  readonly #size: number;

  constructor(process: Process, cpu: GuestCpu, tid: number, host: Host = process.host, memory: GuestMemory = process.memory) {
    this.process = process;
    this.cpu = cpu;
    this.host = host;
    this.memory = memory;
    this.fds = process.fds;
    this.tid = tid;
    this.#base = host.memoryBase;
    this.#size = host.memorySize;
  }

  /**
   * Host address for a pointer argument that reaches over `length` bytes. NULL stays NULL. Memory outside the
   * guest's space becomes an address that is never accessible (the guest's page zero), so that the host kernel
   * finds EFAULT itself, in its own order of checks.
   */
  pointer(addr: GuestAddr, length: number): HostAddr {
    if (addr === 0) return 0;
    if (addr + length <= this.#size && addr < this.#size) return this.#base + addr;
    return this.bad(addr);
  }

  /**
   * A host address that is never accessible, with the alignment of `addr`: in the guest's page zero, or in the
   * kernel's half where the guest's is (the kernel refuses those even if it would not touch the memory).
   */
  bad(addr: GuestAddr): HostAddr {
    return (addr >= USER_END ? -4096 : this.#base + 64) + (addr & 63);
  }

  /**
   * Length of a buffer at `addr`, cut to the guest's space (the kernel would stop at the first bad page). Sizes no
   * address space has stay what they are, for the kernel's EINVAL (negative as ssize_t) or EFAULT.
   */
  room(addr: GuestAddr, length: number): number {
    if (length >= 2 ** 63) return -1;
    if (length >= USER_END) return 2 ** 50;
    return addr < this.#size ? Math.min(length, this.#size - addr) : length;
  }

  /** Name of the thread (PR_SET_NAME), at most 15 bytes: the host thread's, so that others see it too (ps, killall). */
  get comm(): Uint8Array {
    const mark = this.host.scratch.mark();
    const { at, address } = this.scratch(16);
    this.call('prctl', PR_GET_NAME, address);
    const { bytes } = this.host.scratch;
    const name = bytes.slice(at, bytes.indexOf(0, at));
    this.host.scratch.release(mark);
    return name;
  }
  set comm(name: Uint8Array) {
    const mark = this.host.scratch.mark();
    this.call('prctl', PR_SET_NAME, this.cstring(name.subarray(0, 15)));
    this.host.scratch.release(mark);
  }

  /** What execve takes from the thread that goes on. */
  afterExec(): void {
    this.clearChildTid = 0;
    this.robustList = 0;
    this.interruptedNr = -1;
  }

  /** Host descriptor; negative numbers (AT_FDCWD) unchanged; one that is surely closed if the guest has none. */
  hostFd(fd: number): number {
    return fd < 0 ? fd : this.fds.host(fd);
  }

  /** One host system call by the kernel's name; −ENOSYS if the host lacks it. */
  call(name: string, a0: Arg = 0, a1: Arg = 0, a2: Arg = 0, a3: Arg = 0, a4: Arg = 0, a5: Arg = 0): number {
    const nr = this.host.nr[name];
    if (nr === undefined || nr < 0) return -38;
    return this.host.syscall(nr, a0, a1, a2, a3, a4, a5);
  }

  /** A zeroed structure in private memory: its place in `host.scratch` and its host address. Freed with the call. */
  scratch(bytes: number): { at: number; address: HostAddr } {
    const at = this.host.scratch.alloc(bytes);
    return { at, address: this.host.scratch.address + at };
  }

  /** Private NUL-terminated copy of `bytes` for the duration of the call; returns its host address. */
  cstring(bytes: Uint8Array): HostAddr {
    const at = this.host.scratch.alloc(bytes.length + 1);
    this.host.scratch.bytes.set(bytes, at);
    return this.host.scratch.address + at;
  }
}
