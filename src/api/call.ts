/**
 * The hooks' view of a system call, over a port that carries questions to the guest. The same code runs in the
 * program that called `run` (answers are promises) and inside the engine (answers are there at once); it knows only
 * that a port turns an answer into a value with a function it is given.
 */

import { ask, type Frame, MAX_BYTES } from './protocol.ts';
import { syscalls } from './syscalls.ts';
import type {
  Answer, ArgumentClass, Arguments, ArgumentValues, Call, CallStackEntry, GuestAddress, Memory, Mode, Program, Registers,
  SyscallName, TextArgument,
} from './types.ts';

/** Asks the guest something. The answer has the integers and bytes that protocol.ts says. */
export interface Port<M extends Mode> {
  ask<T>(kind: number, ints: readonly bigint[], bytes: Uint8Array | undefined, decode: (answer: Frame) => T): Answer<M, T>;
}

/** What the guest refused: a bad address, a descriptor that is not open. `errno` is the kernel's number, above 0. */
export class GuestError extends Error {
  override readonly name = 'GuestError';
  readonly errno: number;
  constructor(errno: number, message: string) {
    super(message);
    this.errno = errno;
  }
}

type Row = readonly [number, Readonly<Record<string, ArgumentClass>>];
interface Declared {
  readonly name: SyscallName;
  readonly nr: number;
  readonly args: readonly (readonly [string, ArgumentClass])[];
}

const byName = new Map<string, Declared>();
const byNumber = new Map<number, Declared>();
for (const [name, [nr, args]] of Object.entries(syscalls as Readonly<Record<string, Row>>)) {
  const declared = { name: name as SyscallName, nr, args: Object.entries(args) };
  byName.set(name, declared);
  byNumber.set(nr, declared);
}

export function syscallNumber(name: string): number | undefined {
  return byName.get(name)?.nr;
}
export function syscallNames(): IterableIterator<string> {
  return byName.keys();
}

const text = new TextEncoder();
const decoder = new TextDecoder();
const DEFAULT_STRING = 4096;
const DEFAULT_DEPTH = 32;
const TWO_64 = 2 ** 64;

/** An integer in 64 bits of two's complement. */
function word(value: number | bigint, what: string): bigint {
  if (typeof value === 'bigint') return BigInt.asIntN(64, value);
  if (typeof value !== 'number' || !Number.isInteger(value)) throw new TypeError(`${what} is to be an integer, not ${String(value)}`);
  // What a `size` of all ones becomes as a number: back to all ones.
  return value >= TWO_64 ? -1n : BigInt.asIntN(64, BigInt(value));
}

/** The result of a hook as the engine takes it. @throws TypeError. */
export function resultWord(value: unknown): bigint {
  if (typeof value !== 'number' && typeof value !== 'bigint')
    throw new TypeError(`a hook returned ${value === null ? 'null' : `a ${typeof value}`}; it must return an integer, or nothing`);
  if (typeof value === 'bigint' && value !== BigInt.asIntN(64, value) && value !== BigInt.asUintN(64, value))
    throw new RangeError(`a hook returned ${value}, which does not fit in 64 bits`);
  return word(value, 'what a hook returns');
}

function decode(kind: ArgumentClass, raw: bigint): number | bigint {
  switch (kind) {
    case 'i32': return Number(BigInt.asIntN(32, raw));
    case 'u32': return Number(BigInt.asUintN(32, raw));
    case 'i64': return BigInt.asIntN(64, raw);
    case 'u64': return raw;
    default: return Number(raw);
  }
}

/** Memory for the view's numbers, by their width in bytes. */
function little(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function first({ ints }: Frame): bigint {
  return ints[0] as bigint;
}
function json<T>({ bytes }: Frame): T {
  return JSON.parse(decoder.decode(bytes)) as T;
}

class GuestMemoryView<M extends Mode> implements Memory<M> {
  readonly #port: Port<M>;
  constructor(port: Port<M>) {
    this.#port = port;
  }
  read(address: GuestAddress, length: number): Answer<M, Uint8Array> {
    if (!(length >= 0 && length <= MAX_BYTES)) throw new RangeError(`a length of ${length} is not in 0 … ${MAX_BYTES}`);
    return this.#port.ask(ask.read, [word(address, 'an address'), word(length, 'a length')], undefined, ({ bytes }) => bytes);
  }
  readString(address: GuestAddress, max = DEFAULT_STRING): Answer<M, string> {
    if (!(max >= 0 && max <= MAX_BYTES)) throw new RangeError(`a length of ${max} is not in 0 … ${MAX_BYTES}`);
    return this.#port.ask(ask.readString, [word(address, 'an address'), word(max, 'a length')], undefined, ({ bytes }) =>
      decoder.decode(bytes),
    );
  }
  write(address: GuestAddress, data: Uint8Array | string): Answer<M, number> {
    const bytes = typeof data === 'string' ? text.encode(data) : data;
    if (bytes.length > MAX_BYTES) throw new RangeError(`${bytes.length} bytes are more than ${MAX_BYTES}`);
    return this.#port.ask(ask.write, [word(address, 'an address')], bytes, (a) => Number(first(a)));
  }
  readU8(address: GuestAddress): Answer<M, number> {
    return this.#number(address, 1, (v) => v.getUint8(0));
  }
  readU16(address: GuestAddress): Answer<M, number> {
    return this.#number(address, 2, (v) => v.getUint16(0, true));
  }
  readU32(address: GuestAddress): Answer<M, number> {
    return this.#number(address, 4, (v) => v.getUint32(0, true));
  }
  readU64(address: GuestAddress): Answer<M, bigint> {
    return this.#number(address, 8, (v) => v.getBigUint64(0, true));
  }
  readI8(address: GuestAddress): Answer<M, number> {
    return this.#number(address, 1, (v) => v.getInt8(0));
  }
  readI16(address: GuestAddress): Answer<M, number> {
    return this.#number(address, 2, (v) => v.getInt16(0, true));
  }
  readI32(address: GuestAddress): Answer<M, number> {
    return this.#number(address, 4, (v) => v.getInt32(0, true));
  }
  readI64(address: GuestAddress): Answer<M, bigint> {
    return this.#number(address, 8, (v) => v.getBigInt64(0, true));
  }
  writeU8(address: GuestAddress, value: number): Answer<M, number> {
    return this.#store(address, 1, value);
  }
  writeU16(address: GuestAddress, value: number): Answer<M, number> {
    return this.#store(address, 2, value);
  }
  writeU32(address: GuestAddress, value: number): Answer<M, number> {
    return this.#store(address, 4, value);
  }
  writeU64(address: GuestAddress, value: number | bigint): Answer<M, number> {
    return this.#store(address, 8, value);
  }
  #number<T>(address: GuestAddress, size: number, get: (view: DataView) => T): Answer<M, T> {
    return this.#port.ask(ask.read, [word(address, 'an address'), BigInt(size)], undefined, ({ bytes }) => get(little(bytes)));
  }
  /** The low bytes of the value. */
  #store(address: GuestAddress, size: number, value: number | bigint): Answer<M, number> {
    const bytes = new Uint8Array(8);
    little(bytes).setBigInt64(0, word(value, 'a value'), true);
    return this.write(address, bytes.subarray(0, size));
  }
}

class RegisterView<M extends Mode> implements Registers<M> {
  readonly #port: Port<M>;
  constructor(port: Port<M>) {
    this.#port = port;
  }
  list(): Answer<M, string[]> {
    return this.#port.ask(ask.listRegisters, [], undefined, (a) => json<string[]>(a));
  }
  get(name: string): Answer<M, bigint> {
    return this.#port.ask(ask.getRegister, [], text.encode(name), (a) => BigInt.asUintN(64, first(a)));
  }
  set(name: string, value: number | bigint): Answer<M, void> {
    return this.#port.ask(ask.setRegister, [word(value, 'a register')], text.encode(name), () => undefined);
  }
}

/** Where a call stands, as the engine tells it. */
export interface CallFacts {
  readonly nr: number;
  readonly raw: readonly bigint[];
  readonly pid: number;
  readonly tid: number;
  readonly pc: number;
}

export class CallView<N extends SyscallName, M extends Mode> implements Call<N, M> {
  readonly name: N;
  readonly number: number;
  readonly raw: readonly bigint[];
  readonly pid: number;
  readonly tid: number;
  readonly pc: number;
  readonly memory: Memory<M>;
  readonly registers: Registers<M>;
  readonly #port: Port<M>;
  readonly #declared: Declared | undefined;
  #args: Arguments<N> | undefined;
  /** The last original result that a number could not hold exactly. */
  #exact: bigint | undefined;

  constructor(port: Port<M>, { nr, raw, pid, tid, pc }: CallFacts) {
    this.#port = port;
    this.#declared = byNumber.get(nr);
    this.name = (this.#declared?.name ?? `syscall_${nr}`) as N;
    this.number = nr;
    this.raw = raw;
    this.pid = pid;
    this.tid = tid;
    this.pc = pc;
    this.memory = new GuestMemoryView(port);
    this.registers = new RegisterView(port);
  }

  get args(): Arguments<N> {
    if (this.#args === undefined) {
      const args: Record<string, number | bigint> = {};
      this.#declared?.args.forEach(([name, kind], k) => {
        args[name] = decode(kind, this.raw[k] as bigint);
      });
      this.#args = args as Arguments<N>;
    }
    return this.#args;
  }

  original(changes?: ArgumentValues<N>): Answer<M, number> {
    return this.#make(this.number, this.#declared, this.raw, changes, (a) => this.#asNumber(first(a)));
  }

  original64(changes?: ArgumentValues<N>): Answer<M, bigint> {
    return this.#make(this.number, this.#declared, this.raw, changes, first);
  }

  syscall<S extends SyscallName>(name: S, args?: ArgumentValues<S>): Answer<M, number> {
    const declared = byName.get(name);
    if (declared === undefined) throw new TypeError(`there is no system call ${name}`);
    return this.#make(declared.nr, declared, [0n, 0n, 0n, 0n, 0n, 0n], args, (a) => this.#asNumber(first(a)));
  }

  text(argument: TextArgument<N>): Answer<M, string> {
    const at = this.#declared?.args.findIndex(([name]) => name === argument) ?? -1;
    if (at < 0) throw new TypeError(`${this.name} has no argument ${argument}`);
    return this.#port.ask(ask.readString, [this.raw[at] as bigint, BigInt(DEFAULT_STRING)], undefined, ({ bytes }) => decoder.decode(bytes));
  }

  scratch(data: string | Uint8Array | number): Answer<M, GuestAddress> {
    if (typeof data === 'number' && !(data >= 0 && data <= MAX_BYTES)) throw new RangeError(`a length of ${data} is not in 0 … ${MAX_BYTES}`);
    const bytes = typeof data === 'number' ? undefined : typeof data === 'string' ? text.encode(data) : data;
    return this.#port.ask(ask.scratch, typeof data === 'number' ? [word(data, 'a length')] : [], bytes, (a) => Number(first(a)));
  }

  fdPath(fd: number): Answer<M, string> {
    return this.#port.ask(ask.fdPath, [word(fd, 'a descriptor')], undefined, ({ bytes }) => decoder.decode(bytes));
  }

  path(dirfd: number, path: GuestAddress | string, follow = true): Answer<M, string> {
    const given = typeof path === 'string';
    const ints = [word(dirfd, 'a descriptor'), given ? -1n : word(path, 'an address'), follow ? 1n : 0n];
    return this.#port.ask(ask.path, ints, given ? text.encode(path) : undefined, ({ bytes }) => decoder.decode(bytes));
  }

  backtrace(max = DEFAULT_DEPTH): Answer<M, CallStackEntry[]> {
    return this.#port.ask(ask.backtrace, [word(max, 'a depth')], undefined, (a) => json<CallStackEntry[]>(a));
  }

  program(): Answer<M, Program> {
    return this.#port.ask(ask.program, [], undefined, (a) => json<Program>(a));
  }

  describe(): Answer<M, string> {
    return this.#port.ask(ask.describe, [], undefined, ({ bytes }) => decoder.decode(bytes));
  }

  /** What the hook returned, exact even where the number it had from `original` is not. */
  result(value: unknown): bigint {
    return this.#exact !== undefined && value === Number(this.#exact) ? this.#exact : resultWord(value);
  }

  #asNumber(result: bigint): number {
    const value = Number(result);
    if (!Number.isSafeInteger(value)) this.#exact = result;
    return value;
  }

  #make<T>(
    nr: number, declared: Declared | undefined, raw: readonly bigint[], changes: Readonly<Record<string, unknown>> | undefined,
    decode: (answer: Frame) => T,
  ): Answer<M, T> {
    const words = raw.map((value) => BigInt.asIntN(64, value));
    const data: Uint8Array[] = [];
    let mask = 0;
    for (const [name, value] of Object.entries(changes ?? {})) {
      if (value === undefined) continue;
      const at = declared?.args.findIndex(([n]) => n === name) ?? -1;
      if (at < 0) throw new TypeError(`${declared?.name ?? this.name} has no argument ${name}`);
      const kind = declared?.args[at]?.[1];
      if ((kind === 'pointer' || kind === 'text') && (typeof value === 'string' || value instanceof Uint8Array)) {
        mask |= 1 << at;
        data[at] = typeof value === 'string' ? text.encode(value) : value;
      } else words[at] = word(value as number | bigint, `argument ${name}`);
    }
    return this.#port.ask(ask.syscall, [BigInt(nr), BigInt(mask), ...words], mask === 0 ? undefined : packed(data), decode);
  }
}

/** What pointers are to point to: for each a length, then its bytes. */
function packed(data: readonly Uint8Array[]): Uint8Array {
  const parts = data.filter((d) => d !== undefined);
  const bytes = new Uint8Array(parts.reduce((sum, d) => sum + 4 + d.length, 0));
  if (bytes.length > MAX_BYTES) throw new RangeError(`${bytes.length} bytes of arguments are more than ${MAX_BYTES}`);
  let at = 0;
  for (const part of parts) {
    little(bytes).setUint32(at, part.length, true);
    bytes.set(part, at + 4);
    at += 4 + part.length;
  }
  return bytes;
}
