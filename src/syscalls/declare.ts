/**
 * What a system-call declaration is: name, number per ABI, classes, argument types with their direction and their
 * relation to other arguments, result type, support level, handler. The handler's decoded arguments, the strace
 * line, the hooks' argument views, audit records and the support page all derive from it.
 *
 * Invariant: a declaration without `run` is a call that answers ENOSYS; nothing pretends.
 */

import { WORD } from '../kernel/process-block.ts';
import { BAD_HOST_FD } from '../kernel/fd-table.ts';
import type { Arg, GuestAddr, SyscallFrame } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import { type QuickExceptions, type QuickPlan, quickPlan } from './quick.ts';

export type GuestIsa = 'x86_64' | 'aarch64' | 'arm' | 'riscv64' | 'mips';

/** strace's classes (strace -e trace=%CLASS), plus `blocks`: may wait for an event and so be interrupted. */
export type SyscallClass =
  | 'file' | 'desc' | 'process' | 'net' | 'signal' | 'ipc' | 'memory' | 'creds' | 'clock' | 'pure'
  | 'stat' | 'lstat' | 'fstat' | 'statfs' | 'fstatfs' | 'statfs-like' | 'stat-like' | 'blocks';

/** How a value is shown and what it stands for. */
export type ValueKind =
  // plain values
  | 'int' | 'uint' | 'long' | 'ulong' | 'hex' | 'size' | 'offset' | 'fd' | 'dirfd' | 'pid' | 'uid' | 'gid' | 'mode' | 'dev'
  | 'signal' | 'flags' | 'enum' | 'address' | 'time' | 'errno-status' | 'bytes' | 'unused'
  // pointers
  | 'path' | 'string' | 'string-list' | 'buffer' | 'struct' | 'array' | 'iovec' | 'sockaddr' | 'sigset' | 'pointer';

export type Direction = 'in' | 'out' | 'inout';

/** The type of one argument or result. */
export interface ValueType<T = unknown> {
  readonly kind: ValueKind;
  /** For pointers: who writes what it points to. Plain values are 'in'. */
  readonly direction: Direction;
  readonly pointer: boolean;
  /** Flag set, enumeration or structure name: `open`, `mmap-prot`, `timespec`, `stat`, … */
  readonly set: string | undefined;
  /** Bytes of the structure or of one element; 0 where it varies. */
  readonly size: number;
  /** Name of the argument that holds the length (buffer: bytes, array: elements). */
  readonly count: string | undefined;
  /** For arrays of a fixed number of elements: that number; else 0. */
  readonly elements: number;
  /** True if `count` names a pointer to the length (socklen_t *), read on entry and written on return. */
  readonly countIsPointer: boolean;
  /** Argument k of the frame as the handler gets it. */
  decode(frame: SyscallFrame, k: number): T;
}

interface Details {
  readonly direction?: Direction;
  readonly set?: string;
  readonly size?: number;
  readonly count?: string;
  readonly elements?: number;
  readonly countIsPointer?: boolean;
}

type Decode<T> = (frame: SyscallFrame, k: number) => T;

function valueType<T>(kind: ValueKind, pointer: boolean, decode: Decode<T>, d: Details = {}): ValueType<T> {
  return {
    kind,
    pointer,
    decode,
    direction: d.direction ?? 'in',
    set: d.set,
    size: d.size ?? 0,
    count: d.count,
    elements: d.elements ?? 0,
    countIsPointer: d.countIsPointer ?? false,
  };
}

// Decoders. A C int or unsigned int is the low word of its register, whatever the upper half holds.
const asI32: Decode<number> = (frame, k) => frame.i32[2 * k] as number;
const asU32: Decode<number> = (frame, k) => frame.u32[2 * k] as number;
const asUnsigned: Decode<number> = (frame, k) => frame.unsigned(k);
/** Exact: a number where that can hold it, else a bigint. */
const asExact: Decode<Arg> = (frame, k) => {
  const n = frame.signed(k);
  return Number.isSafeInteger(n) ? n : (frame.i64[k] as bigint);
};
const asI64: Decode<bigint> = (frame, k) => frame.i64[k] as bigint;
const asU64: Decode<bigint> = (frame, k) => frame.u64[k] as bigint;

// --- plain values -------------------------------------------------------------------------------------------

/** A guest descriptor (the guest's number; `task.hostFd(fd)` translates). */
export const fd = valueType('fd', false, asI32);
/** A guest descriptor or AT_FDCWD (−100). */
export const dirfd = valueType('dirfd', false, asI32);
export const int = valueType('int', false, asI32);
export const uint = valueType('uint', false, asU32);
/** 32 bits best read in hexadecimal. */
export const hex = valueType('hex', false, asU32);
/** C long. */
export const long = valueType('long', false, asExact);
/** C unsigned long as a number: exact below 2^53, rounded above. */
export const ulong = valueType('ulong', false, asUnsigned);
export const i64 = valueType('long', false, asI64);
export const u64 = valueType('ulong', false, asU64);
/** size_t: exact below 2^53; above, rounded, and no valid size. */
export const size = valueType('size', false, asUnsigned);
/** off_t / loff_t, exact. */
export const offset = valueType('offset', false, asExact);
export const pid = valueType('pid', false, asI32);
export const uid = valueType('uid', false, asU32);
export const gid = valueType('gid', false, asU32);
/** umode_t. */
export const mode = valueType('mode', false, asU32);
export const dev = valueType('dev', false, asU32);
export const signal = valueType('signal', false, asI32);
/** A guest address that is a value, not something the call reads or writes through (mmap, brk, …). */
export const address = valueType<GuestAddr>('address', false, asUnsigned);
/** Any 64-bit value of no declared meaning. */
export const word = valueType('ulong', false, asExact);

/** A set of flags, named for the printers: `flags('open')`. 32 bits. */
export function flags(set: string): ValueType<number> {
  return valueType('flags', false, asI32, { set });
}
/** One of several named values: `choice('whence')`. 32 bits. */
export function choice(set: string): ValueType<number> {
  return valueType('enum', false, asI32, { set });
}
/** As `choice`, unsigned (ioctl requests). */
export function choiceUnsigned(set: string): ValueType<number> {
  return valueType('enum', false, asU32, { set });
}
/** A flag set of 64 bits (mmap's unsigned long prot and flags count as such). */
export function flags64(set: string): ValueType<number> {
  return valueType('flags', false, asUnsigned, { set });
}

// --- pointers: decoded as guest addresses -------------------------------------------------------------------

/** NUL-terminated path. */
export const path = valueType<GuestAddr>('path', true, asUnsigned);
/** Other NUL-terminated string (xattr name, file-system type, …). */
export const string = valueType<GuestAddr>('string', true, asUnsigned);
/** NULL-terminated array of strings (argv, envp). */
export const stringList = valueType<GuestAddr>('string-list', true, asUnsigned);
/** Bytes the kernel reads; `count` names the argument with their number. */
export function bytesIn(count: string): ValueType<GuestAddr> {
  return valueType<GuestAddr>('buffer', true, asUnsigned, { direction: 'in', count });
}
/** Bytes the kernel writes; `count` names the argument with the room; the result says how many. */
export function bytesOut(count: string): ValueType<GuestAddr> {
  return valueType<GuestAddr>('buffer', true, asUnsigned, { direction: 'out', count });
}
/** A structure of `size` bytes named as in the kernel's headers; may be NULL where the call allows it. */
export function struct(name: string, bytes: number, direction: Direction = 'in'): ValueType<GuestAddr> {
  return valueType<GuestAddr>('struct', true, asUnsigned, { direction, set: name, size: bytes });
}
export function structOut(name: string, bytes: number): ValueType<GuestAddr> {
  return struct(name, bytes, 'out');
}
export function structInOut(name: string, bytes: number): ValueType<GuestAddr> {
  return struct(name, bytes, 'inout');
}
/** An array of structures or scalars; `count`: their number, or the name of the argument that holds it. */
export function array(
  name: string, bytes: number, count: string | number, direction: Direction = 'in',
): ValueType<GuestAddr> {
  const many = typeof count === 'number' ? { elements: count } : { count };
  return valueType<GuestAddr>('array', true, asUnsigned, { direction, set: name, size: bytes, ...many });
}
/** struct iovec[count] of buffers the kernel reads from ('in') or writes to ('out'). */
export function iovec(count: string, direction: 'in' | 'out'): ValueType<GuestAddr> {
  return valueType<GuestAddr>('iovec', true, asUnsigned, { direction, set: 'iovec', size: 16, count });
}
/** struct sockaddr; `length` names the argument with its length (a value). */
export function sockaddrIn(length: string): ValueType<GuestAddr> {
  return valueType<GuestAddr>('sockaddr', true, asUnsigned, { direction: 'in', count: length });
}
/** struct sockaddr written by the kernel; `length` names the socklen_t pointer. */
export function sockaddrOut(length: string): ValueType<GuestAddr> {
  return valueType<GuestAddr>('sockaddr', true, asUnsigned, { direction: 'out', count: length, countIsPointer: true });
}
/** Buffer with a socklen_t pointer for its length (getsockopt). */
export function bytesOutSized(length: string): ValueType<GuestAddr> {
  return valueType<GuestAddr>('buffer', true, asUnsigned, { direction: 'out', count: length, countIsPointer: true });
}
/** sigset_t; `count` names the argument with its size in bytes. */
export function sigset(count: string, direction: Direction = 'in'): ValueType<GuestAddr> {
  return valueType<GuestAddr>('sigset', true, asUnsigned, { direction, count });
}
/** A pointer whose target has no fixed shape (ioctl argument, thread stack, …). */
export const pointer = valueType<GuestAddr>('pointer', true, asUnsigned, { direction: 'inout' });
/** An argument the kernel does not look at. */
export const unused = valueType('unused', false, asExact);

// --- results ------------------------------------------------------------------------------------------------

/** 0 or −errno. */
export const status = valueType('errno-status', false, asI32);
/** A count of bytes. */
export const byteCount = valueType('bytes', false, asUnsigned);
/** A number of seconds since 1970. */
export const seconds = valueType('time', false, asExact);

// --- support ------------------------------------------------------------------------------------------------

export interface Support {
  readonly level: 'full' | 'partial' | 'none';
  /** What is missing, or why there is nothing. Empty for full. */
  readonly reason: string;
}
export const full: Support = { level: 'full', reason: '' };
export function partial(reason: string): Support {
  return { level: 'partial', reason };
}
export function none(reason: string): Support {
  return { level: 'none', reason };
}

// --- the declaration ----------------------------------------------------------------------------------------

export interface SyscallArg {
  readonly name: string;
  readonly type: ValueType;
}

export type Handler = (task: Task, frame: SyscallFrame) => number | bigint;

export interface Syscall {
  readonly name: string;
  readonly nr: Readonly<Partial<Record<GuestIsa, number>>>;
  readonly classes: readonly SyscallClass[];
  /** It is of the class `blocks`. */
  readonly blocks: boolean;
  readonly args: readonly SyscallArg[];
  readonly ret: ValueType;
  readonly support: Support;
  /**
   * What an interruption by a signal whose handler has SA_RESTART does: 'restart' runs the call again, 'eintr'
   * returns −EINTR all the same (poll, select, nanosleep without restart block, …).
   */
  readonly interrupted: 'restart' | 'eintr';
  /** Decodes the arguments of the frame and runs the call; undefined: ENOSYS. */
  readonly run: Handler | undefined;
  /**
   * For a call that sets all registers itself, its result's included: `run` without leaving by an exception, where nobody stands in
   * between.
   */
  readonly resume: ((task: Task) => void) | undefined;
  /** How machine code makes the call by itself (kernel/quick-call.ts); undefined: it cannot. */
  readonly quick: QuickPlan | undefined;
  /** To be called when a quick call ended in −EINTR, with its arguments in the frame. */
  readonly quickInterrupted: ((task: Task, frame: SyscallFrame) => void) | undefined;
}

type ArgTypes = Readonly<Record<string, ValueType<never> | ValueType>>;
/** The argument object a handler gets: each declared argument, decoded. */
export type Decoded<A> = { readonly [K in keyof A]: A[K] extends ValueType<infer T> ? T : never };

/**
 * As `run`: hand the call to the host kernel as it is. Descriptors are translated, pointers range-checked and made
 * host addresses, everything else goes on unchanged. Not for paths, nor for structures with pointers inside.
 */
export const forward = Symbol('forward');

export interface SyscallSpec<A extends ArgTypes> {
  readonly name: string;
  readonly nr: Readonly<Partial<Record<GuestIsa, number>>>;
  readonly class?: readonly SyscallClass[];
  readonly args: A;
  readonly ret?: ValueType;
  readonly support: Support;
  readonly interrupted?: 'restart' | 'eintr';
  /** Changes what the host thread keeps: a later guest thread on the same one must not find it so (emulator/threads.ts). */
  readonly lasting?: 'credentials' | 'scheduling';
  /**
   * For a `run` that does no more than `forward` does where descriptors are ordinary ones and addresses in the guest's space.
   * Names the arguments of which that is true only in part.
   */
  readonly quick?: true | QuickExceptions;
  readonly resume?: (task: Task) => void;
  /** What `run` does after −EINTR, for quick calls. */
  readonly afterInterruption?: (task: Task, args: Decoded<A>) => void;
  /** May throw SyscallError or GuestFault. Result ≥ 0 or −errno; bigint where 2^53 is not enough. */
  readonly run?: ((task: Task, args: Decoded<A>, frame: SyscallFrame) => number | bigint) | typeof forward;
}

export function syscall<const A extends ArgTypes>(spec: SyscallSpec<A>): Syscall {
  const args: SyscallArg[] = Object.entries(spec.args).map(([name, type]) => ({ name, type: type as ValueType }));
  if (args.length > 6) throw new Error(`syscall ${spec.name}: more than six arguments`);
  for (const { name, type } of args) {
    if (type.count !== undefined && !args.some((a) => a.name === type.count)) {
      throw new Error(`syscall ${spec.name}: argument ${name} refers to ${type.count}, which is not declared`);
    }
  }
  const { run } = spec;
  if ((run === undefined) !== (spec.support.level === 'none')) {
    throw new Error(`syscall ${spec.name}: a handler and support level ${spec.support.level} contradict each other`);
  }
  const quick = (run === forward || spec.quick !== undefined) && spec.lasting === undefined;
  const { afterInterruption } = spec;
  const handler = run === undefined ? undefined : run === forward ? forwarder(spec.name, args) : decoder(args, run as AnyRun);
  return {
    name: spec.name,
    nr: spec.nr,
    classes: spec.class ?? [],
    blocks: spec.class?.includes('blocks') ?? false,
    args,
    ret: spec.ret ?? status,
    support: spec.support,
    interrupted: spec.interrupted ?? 'restart',
    run: handler === undefined || spec.lasting === undefined ? handler : noting(handler, WORD[spec.lasting]),
    resume: spec.resume,
    quick: quick ? quickPlan(args, spec.quick === true ? undefined : spec.quick) : undefined,
    quickInterrupted: afterInterruption === undefined ? undefined : (task, frame) => afterInterruption(task, decodeAll(args, frame) as Decoded<A>),
  };
}

/** `run`, counted in a word of the process block if it succeeds. */
function noting(run: Handler, word: number): Handler {
  return (task, frame) => {
    const result = run(task, frame);
    if (result >= 0) Atomics.add(task.process.block.words, word, 1);
    return result;
  };
}

function decodeAll(args: readonly SyscallArg[], frame: SyscallFrame): unknown {
  return Object.fromEntries(args.map(({ name, type }, k) => [name, type.decode(frame, k)]));
}

type AnyRun = (task: Task, args: unknown, frame: SyscallFrame) => number | bigint;

/**
 * A handler that decodes into an object literal with the declared names. Built as source text on the first call,
 * so that every handler gets objects of one fixed shape and the decoders are inlined.
 */
function decoder(args: readonly SyscallArg[], run: AnyRun): Handler {
  let compiled: Handler | undefined;
  return (task, frame) => {
    if (compiled === undefined) {
      const fields = args.map((a, k) => `${JSON.stringify(a.name)}: decode${k}(frame, ${k})`).join(', ');
      const names = args.map((_, k) => `decode${k}`);
      const make = new Function('run', ...names, `return (task, frame) => run(task, { ${fields} }, frame);`);
      compiled = make(run, ...args.map((a) => a.type.decode)) as Handler;
    }
    return compiled(task, frame);
  };
}

function forwarder(name: string, args: readonly SyscallArg[]): Handler {
  for (const { name: arg, type } of args) {
    if (type.kind === 'path' || type.kind === 'string-list' || type.kind === 'iovec') {
      throw new Error(`syscall ${name}: ${arg} (${type.kind}) cannot be forwarded as it is`);
    }
  }
  if (!args.some(({ type }) => type.pointer)) return plainForwarder(name, args);
  const counts = args.map(({ type }) => args.findIndex((a) => a.name === type.count));
  return (task, frame) => {
    const host: Arg[] = [];
    for (let k = 0; k < args.length; k++) host.push(forwarded(task, frame, (args[k] as SyscallArg).type, k));
    for (let k = 0; k < args.length; k++) {
      const { type } = args[k] as SyscallArg;
      if (!type.pointer) continue;
      const address = frame.unsigned(k);
      const count = counts[k] as number;
      if (type.kind === 'buffer' && count >= 0 && !type.countIsPointer) {
        // A length that leaves the guest's space is cut there: the kernel stops at the first bad page.
        const asked = Number((args[count] as SyscallArg).type.decode(frame, count));
        const room = task.room(address, asked);
        host[count] = room;
        host[k] = task.pointer(address, Math.max(0, room));
      } else host[k] = task.pointer(address, extent(task, frame, type, count));
    }
    return task.call(name, ...host);
  };
}

/** A handler for calls without pointers. Its source is made at the first call, as a decoder's is. */
function plainForwarder(name: string, args: readonly SyscallArg[]): Handler {
  let compiled: Handler | undefined;
  return (task, frame) => {
    if (compiled === undefined) {
      const nr = task.host.nr[name] ?? -1;
      const values = args.map(({ type }, k) => (type.kind === 'fd' || type.kind === 'dirfd' ? `task.hostFd(frame.i32[${2 * k}])` : `exact(frame, ${k})`));
      const make = new Function('exact', `return (task, frame) => task.host.syscall(${[nr, ...values].join(', ')});`);
      compiled = make(asExact) as Handler;
    }
    return compiled(task, frame);
  };
}

/** A plain value as the host gets it; pointers are set afterwards. */
function forwarded(task: Task, frame: SyscallFrame, type: ValueType, k: number): Arg {
  return type.kind === 'fd' || type.kind === 'dirfd' ? task.hostFd(frame.i32[2 * k] as number) : asExact(frame, k);
}

/** How many bytes a forwarded pointer to anything but a buffer reaches over. */
function extent(task: Task, frame: SyscallFrame, type: ValueType, count: number): number {
  if (count < 0) return Math.max(1, type.size * Math.max(1, type.elements));
  if (type.countIsPointer) {
    const at = frame.unsigned(count);
    return at === 0 ? 0 : task.memory.u32(at);
  }
  const n = frame.unsigned(count);
  return type.kind === 'array' ? n * type.size : n;
}

/** For handlers that translate by hand: the guest's descriptor as the host's, negative ones (AT_FDCWD) unchanged. */
export function hostFdOf(task: Task, guest: number): number {
  return guest < 0 ? guest : task.fds.host(guest);
}

export { BAD_HOST_FD };
