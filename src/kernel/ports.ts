/**
 * What the kernel layer needs from the machine below it. `host/` and `jit/` implement these;
 * `emulator.ts` wires them. Nothing here knows a guest instruction set.
 *
 * Numbers: guest and host addresses, sizes and descriptors are JS numbers (all below 2^53). Values
 * that may use all 64 bits travel as bigint or as two 32-bit words.
 */

import type { ProcessBlock } from './process-block.ts';

/** A guest virtual address: 0 … 2^34−1 when valid; anything the guest passed in otherwise. */
export type GuestAddr = number & { readonly __guest?: never };
/** An address in the engine's own process. */
export type HostAddr = number & { readonly __host?: never };

/** Raw host system calls. Results are the kernel's: ≥ 0, or −errno. No call goes through libc. */
export interface Host {
  /** Host address of guest address 0. */
  readonly memoryBase: HostAddr;
  /** Size of the guest address space in bytes. */
  readonly memorySize: number;
  /** What all threads of the process share, and which of them this host belongs to. */
  readonly block: ProcessBlock;
  readonly slotNumber: number;
  /**
   * One host system call, by the host's number (`host.nr.openat`). Arguments are integers in ±2^53 (two's
   * complement is formed) or bigint for full 64-bit values. Blocks the thread if the call blocks.
   * Result as a number (exact up to 2^53; addresses and counts fit).
   */
  syscall(nr: number, a0?: Arg, a1?: Arg, a2?: Arg, a3?: Arg, a4?: Arg, a5?: Arg): number;
  /** As `syscall`, result exact to 64 bits. */
  syscall64(nr: number, a0?: Arg, a1?: Arg, a2?: Arg, a3?: Arg, a4?: Arg, a5?: Arg): bigint;
  /** Host system-call numbers by the kernel's name, e.g. `nr.openat`. -1 where the host lacks one. */
  readonly nr: Readonly<Record<string, number>>;
  /** Private memory of this thread that the guest cannot reach, for structures passed to the kernel. */
  readonly scratch: Scratch;
  /** Run `call` with its host calls interruptible: they throw NotEntered where a signal waits already. */
  interruptibly<T>(call: () => T): T;
  /** Allocate private memory that stays put (page-rounded mmap outside the guest's space). */
  allocate(bytes: number): HostBuffer;
  /** Exit the whole process now (exit_group), after undoing what the engine did to the terminal etc. */
  exitGroup(status: number): never;
  /** Die by `signal` with its default action, so that the parent sees WIFSIGNALED. */
  dieBySignal(signal: number): never;
  /** Write bytes to a host descriptor with write(2), all of them, ignoring errors. For diagnostics. */
  writeAll(fd: number, bytes: Uint8Array): void;
  /**
   * Watch an inotify descriptor from a helper thread of the kernel's (no JavaScript): each time it becomes
   * readable, element 0 of `counter` rises. Costs nothing per system call. Throws where there is no thread to be had.
   */
  watch(fd: number, counter: Int32Array<SharedArrayBuffer>): void;
  /**
   * From a helper thread of the kernel's, every so many nanoseconds: note the i64 at `word`, with the byte at `byte` in place
   * of its highest. `count` rises with each; `samples` is a ring. Throws where there is no thread to be had.
   */
  sample(word: HostAddr, byte: HostAddr, nanoseconds: number): { readonly count: Int32Array; readonly samples: BigInt64Array };
  /** Host address of memory shared by the process's threads, for futex calls on its words. It does not move. */
  sharedAddress(buffer: SharedArrayBuffer): HostAddr;
}
export type Arg = number | bigint;

/** Memory owned by the engine with a fixed host address. */
export interface HostBuffer {
  readonly address: HostAddr;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/**
 * A stack of private memory for structures handed to the kernel. `mark()` before, `release(mark)` after;
 * the syscall dispatcher does both around every handler, so a handler only allocates.
 */
export interface Scratch extends HostBuffer {
  mark(): number;
  release(mark: number): void;
  /** Allocate `n` zeroed bytes, 16-byte aligned; returns the offset in `bytes`/`view`. Add `address` for the host address. Grows by falling back to `Host.allocate` is not done: at most 1 MiB may be live; larger throws RangeError. */
  alloc(n: number): number;
}

/** Thrown by every typed access to guest memory that the guest's mappings forbid. Becomes −EFAULT. */
export class GuestFault extends Error {
  readonly address: GuestAddr;
  constructor(address: GuestAddr) {
    super(`guest address 0x${address.toString(16)} is not accessible`);
    this.address = address;
  }
}

/**
 * The only way TypeScript touches guest memory. Every access is checked by the hardware page tables and the
 * 16 GiB bound; a forbidden one throws GuestFault and changes nothing beyond the bytes already written.
 */
export interface GuestMemory {
  readonly size: number;
  /** Copy `length` bytes out. */
  read(addr: GuestAddr, length: number): Uint8Array;
  readInto(addr: GuestAddr, target: Uint8Array): void;
  write(addr: GuestAddr, bytes: Uint8Array): void;
  /** How many of the `length` bytes at `addr` can be read before a fault (0 … length); copies them. */
  readPartial(addr: GuestAddr, length: number): Uint8Array;
  /** Bytes up to (not with) the first NUL; throws GuestFault if unmapped first; at most `max` bytes. `terminated` false when `max` ran out. */
  readCString(addr: GuestAddr, max: number): { bytes: Uint8Array; terminated: boolean };
  u8(addr: GuestAddr): number;
  u16(addr: GuestAddr): number;
  i32(addr: GuestAddr): number;
  u32(addr: GuestAddr): number;
  u64(addr: GuestAddr): bigint;
  /** u64 as a number: exact below 2^53, rounded above (such a value is never a valid address or size). */
  u64n(addr: GuestAddr): number;
  setU8(addr: GuestAddr, v: number): void;
  setU16(addr: GuestAddr, v: number): void;
  setU32(addr: GuestAddr, v: number): void;
  setU64(addr: GuestAddr, v: bigint | number): void;
  /**
   * Host address for handing [addr, addr+length) to the kernel. Only the bound is checked (the kernel answers
   * EFAULT for unmapped pages); throws GuestFault outside the guest's space. addr 0 is translated like any other:
   * callers that allow NULL pass 0 on themselves.
   */
  host(addr: GuestAddr, length: number): HostAddr;
}

/** The registers of one guest thread as the kernel layer and the hooks see them. Implemented per ISA. */
export interface GuestCpu {
  /** The ISA's register names in display order (`rax` … `r15`, `rip`, `eflags`, `fs_base`, …). */
  readonly registerNames: readonly string[];
  getRegister(name: string): bigint | undefined;
  /** False if there is no such register. */
  setRegister(name: string, value: bigint): boolean;
  pc: number;
  sp: number;
  /** Thread pointer (fs base on x86-64). */
  tls: bigint;
  /** Fill `frame` with the system-call number and six arguments from the registers. */
  loadSyscall(frame: SyscallFrame): void;
  /** Put a result in the return register. */
  setSyscallResult(value: number | bigint): void;
}

/**
 * Number and arguments of one system call, exact. The views share one buffer: `i64[k]` is argument k (0…7),
 * `i32[2k]`/`u32[2k]` its low word. Argument 6 and 7 exist for hooks (always 0 from a real call).
 */
export class SyscallFrame {
  nr = 0;
  readonly i64: BigInt64Array;
  readonly u64: BigUint64Array;
  readonly i32: Int32Array;
  readonly u32: Uint32Array;
  constructor() {
    const buffer = new ArrayBuffer(64);
    this.i64 = new BigInt64Array(buffer);
    this.u64 = new BigUint64Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.u32 = new Uint32Array(buffer);
  }
  /** Argument k as an unsigned number: exact below 2^53. */
  unsigned(k: number): number {
    return (this.u32[2 * k] as number) + (this.u32[2 * k + 1] as number) * 4294967296;
  }
  /** Argument k as a signed number: exact in ±2^53. */
  signed(k: number): number {
    return (this.u32[2 * k] as number) + (this.i32[2 * k + 1] as number) * 4294967296;
  }
}

/** Told by the address space when translated code may have become stale. */
export interface CodeListener {
  /** Bytes of [start, end) were unmapped, remapped or may have been rewritten while not executable. */
  codeChanged(start: GuestAddr, end: GuestAddr): void;
}

/**
 * Thrown by a host call made with `Host.interruptibly` when a signal waits for the thread: the kernel was not entered.
 * To the guest the signal came before its call, which is to be made again whatever SA_RESTART says.
 */
export class NotEntered {}
export const notEntered = new NotEntered();

/** Thrown (not an Error: no stack is captured) to unwind guest code to the run loop. */
export class Unwind {
  /** translation: what is on the stack was translated for a mode the process is no longer in. */
  readonly reason: 'exec' | 'thread-exit' | 'sigreturn' | 'translation';
  constructor(reason: 'exec' | 'thread-exit' | 'sigreturn' | 'translation') {
    this.reason = reason;
  }
}
