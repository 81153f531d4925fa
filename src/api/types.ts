/**
 * The types of the programming interface: the guest's system calls with their arguments, and what a hook is given.
 *
 * A hook runs either in the program that called `run` (then whatever asks something of the guest is a promise) or as
 * a module inside the engine (then it is answered at once). One set of types serves both; `Mode` tells which.
 */

import type { syscalls } from './syscalls.ts';

/**
 * What an argument is: `i32`, `u32` an int of C; `size` an unsigned 64-bit number (exact below 2^53); `i64`, `u64`
 * a 64-bit number as bigint; `pointer` an address; `text` the address of a NUL-terminated string.
 */
export type ArgumentClass = 'i32' | 'u32' | 'size' | 'i64' | 'u64' | 'pointer' | 'text';

type Table = typeof syscalls;

/** The kernel's name of a system call: `openat`, `newfstatat`, `pread64`, … */
export type SyscallName = keyof Table;

/** An address in the guest's memory. */
export type GuestAddress = number;

type Decoded<C> = C extends 'i64' | 'u64' ? bigint : number;
/** A pointer may be given as what it is to point to: a string (a NUL is added) or bytes. */
type Encoded<C> = C extends 'pointer' | 'text' ? GuestAddress | bigint | string | Uint8Array : number | bigint;

/** The arguments of a call by name, as the guest passed them. */
export type Arguments<N extends SyscallName> = { readonly [A in keyof Table[N][1]]: Decoded<Table[N][1][A]> };
/** Arguments to make a call with, by name; those left out are 0. */
export type ArgumentValues<N extends SyscallName> = { readonly [A in keyof Table[N][1]]?: Encoded<Table[N][1][A]> };
/** Names of those arguments that point to a string. */
export type TextArgument<N extends SyscallName> = {
  [A in keyof Table[N][1]]: Table[N][1][A] extends 'text' ? A : never;
}[keyof Table[N][1]] & string;

/** Where the hook runs: in the program that called `run`, or inside the engine. */
export type Mode = 'async' | 'sync';
/** An answer of the guest's: a promise in the calling program, the value itself inside the engine. */
export type Answer<M extends Mode, T> = M extends 'sync' ? T : Promise<T>;

/** What a hook may return: the result that the guest sees (≥ 0, or −errno). Nothing: the call goes on as it would. */
export type HookResult = number | bigint | undefined | void;
/** A function that owns a system call. */
export type Hook<N extends SyscallName = SyscallName, M extends Mode = 'async'> = (
  call: Call<N, M>,
) => M extends 'sync' ? HookResult : HookResult | Promise<HookResult>;
/** Hooks by the name of the call they own; `'*'` owns the calls that have no hook of their own. */
export type Hooks<M extends Mode = 'async'> = { readonly [N in SyscallName]?: Hook<N, M> } & {
  readonly '*'?: Hook<SyscallName, M>;
};

/** What becomes of a call whose hook failed: it is made after all, refused with EPERM, or the guest dies of SIGSYS. */
export type OnError = 'passthrough' | 'deny' | 'kill';

/**
 * The guest's memory. Every access is checked: a bad address is a `GuestError` of EFAULT and harms nobody. Numbers
 * are little-endian, as the guest's.
 */
export interface Memory<M extends Mode = 'async'> {
  /** `length` bytes from `address`. */
  read(address: GuestAddress, length: number): Answer<M, Uint8Array>;
  /** The text up to its NUL, at most `max` (4096) bytes, read as UTF-8. */
  readString(address: GuestAddress, max?: number): Answer<M, string>;
  /** Writes bytes, or a string's UTF-8 (without a NUL); their number. */
  write(address: GuestAddress, data: Uint8Array | string): Answer<M, number>;
  readU8(address: GuestAddress): Answer<M, number>;
  readU16(address: GuestAddress): Answer<M, number>;
  readU32(address: GuestAddress): Answer<M, number>;
  readU64(address: GuestAddress): Answer<M, bigint>;
  readI8(address: GuestAddress): Answer<M, number>;
  readI16(address: GuestAddress): Answer<M, number>;
  readI32(address: GuestAddress): Answer<M, number>;
  readI64(address: GuestAddress): Answer<M, bigint>;
  writeU8(address: GuestAddress, value: number): Answer<M, number>;
  writeU16(address: GuestAddress, value: number): Answer<M, number>;
  writeU32(address: GuestAddress, value: number): Answer<M, number>;
  writeU64(address: GuestAddress, value: number | bigint): Answer<M, number>;
}

/** The registers of the thread that makes the call. */
export interface Registers<M extends Mode = 'async'> {
  /** Their names: `rax` … `r15`, `rip`, `eflags`, … */
  list(): Answer<M, string[]>;
  /** A register as it is at the call. */
  get(name: string): Answer<M, bigint>;
  /** The guest goes on with it after the call. The result's register is set by what the hook returns. */
  set(name: string, value: number | bigint): Answer<M, void>;
}

/** One level of the guest's call stack. */
export interface CallStackEntry {
  readonly pc: GuestAddress;
  readonly symbol?: string;
  /** Distance from the symbol, or from the start of the file. */
  readonly offset: number;
  readonly file?: string;
}

/** What runs in the process that makes the call. */
export interface Program {
  /** Path of its file. */
  readonly exe: string;
  readonly argv: readonly string[];
  /** Name of the thread. */
  readonly name: string;
}

/** A system call that the guest is making, in the hands of its hook. */
export interface Call<N extends SyscallName = SyscallName, M extends Mode = 'async'> {
  readonly name: N;
  readonly number: number;
  /** By name, as the kernel would read them. */
  readonly args: Arguments<N>;
  /** All six, unsigned, exact. */
  readonly raw: readonly bigint[];
  readonly pid: number;
  readonly tid: number;
  /** Address after the system-call instruction. */
  readonly pc: GuestAddress;
  /**
   * Makes the call, with other arguments where `changes` names them. The result is ≥ 0 or −errno. May be asked for
   * any number of times. A call that does not come back (exit_group, a successful execve, rt_sigreturn) has no answer:
   * in a program what follows it in the hook never runs.
   */
  original(changes?: ArgumentValues<N>): Answer<M, number>;
  /** As `original`, for results that need all 64 bits. */
  original64(changes?: ArgumentValues<N>): Answer<M, bigint>;
  /** Makes any call in the guest's name. No hook or rule sees it. */
  syscall<S extends SyscallName>(name: S, args?: ArgumentValues<S>): Answer<M, number>;
  /** The string that an argument points to, up to 4096 bytes. */
  text(argument: TextArgument<N>): Answer<M, string>;
  readonly memory: Memory<M>;
  readonly registers: Registers<M>;
  /** Address of a copy of `data` (a NUL added to a string), or of that many bytes; lent until the hook returns. */
  scratch(data: string | Uint8Array | number): Answer<M, GuestAddress>;
  /** What a descriptor is open on, as /proc/self/fd has it. */
  fdPath(fd: number): Answer<M, string>;
  /**
   * The absolute path that these arguments of an `…at` call mean: links and `..` followed, the last link only if
   * `follow` (true). The file need not exist, its directory must.
   */
  path(dirfd: number, path: GuestAddress | string, follow?: boolean): Answer<M, string>;
  /** The call stack, innermost first, at most `max` (32) levels. */
  backtrace(max?: number): Answer<M, CallStackEntry[]>;
  program(): Answer<M, Program>;
  /** The call as strace would show it before it is made. */
  describe(): Answer<M, string>;
}
