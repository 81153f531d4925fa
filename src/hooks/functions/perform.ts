/**
 * What a hook function asks of the guest (`ask` in api/protocol.ts), done: the same for hooks in another process and
 * for those of a module in the engine.
 *
 * Invariants: every address is checked; what the guest's memory or descriptors refuse is an answer, never an
 * exception; only what an original call throws (Unwind, errors of the engine) comes out.
 */

import { errno } from '../../abi/errno.ts';
import { ask, type Frame, kind, MAX_BYTES } from '../../api/protocol.ts';
import { GuestFault, type GuestMemory, type SyscallFrame } from '../../kernel/ports.ts';
import type { Next } from '../../kernel/interceptor.ts';
import { SyscallError } from '../../kernel/syscall-error.ts';
import type { Task } from '../../kernel/task.ts';
import type { StackFrame } from '../api.ts';
import type { GuestScratch } from '../guest-scratch.ts';
import { absolutePath, descriptorPath } from '../guest-paths.ts';

/** The call in a hook's hands. */
export interface HookedCall {
  readonly task: Task;
  /** As the guest asked for it. */
  readonly frame: SyscallFrame;
  readonly next: Next;
  /** For the calls that the hook makes. */
  readonly inner: SyscallFrame;
  /** Set once the call of the hook's own number has been made. */
  ran: boolean;
  result: bigint;
  /** Scratch memory was lent. */
  lent: boolean;
}

export interface Services {
  readonly scratch: GuestScratch;
  backtrace(task: Task, max: number): readonly StackFrame[];
  describe(memory: GuestMemory, frame: SyscallFrame): string;
}

const MAX_DEPTH = 1000;
const text = new TextEncoder();
const NONE = new Uint8Array(0);

type Reply = readonly [ints: readonly bigint[], bytes?: Uint8Array];

/** Thrown and caught here: the answer is no. */
class Refusal {
  readonly errno: number;
  readonly message: string;
  constructor(error: number, message: string) {
    this.errno = error;
    this.message = message;
  }
}

/** A length or depth. */
function count(value: bigint | undefined, max: number): number {
  const n = Number(value ?? -1n);
  if (!(n >= 0 && n <= max)) throw new Refusal(errno.EINVAL, `${n} is not in 0 … ${max}`);
  return n;
}

/** Beyond the guest's space nothing is accessible, whatever the accessors would make of such a number. */
function address(memory: GuestMemory, value: bigint | undefined): number {
  const at = Number(BigInt.asUintN(64, value ?? -1n));
  if (at >= memory.size) throw new GuestFault(at);
  return at;
}

function json(value: unknown): Reply {
  return [[], text.encode(JSON.stringify(value))];
}

function utf8(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('utf8');
}

/** Paths are strings of bytes inside the engine; −errno is a refusal. */
function pathReply(task: Task, find: () => string | number): Reply {
  const { scratch } = task.host;
  const mark = scratch.mark();
  try {
    const found = find();
    if (typeof found === 'number') throw new Refusal(-found, 'the guest’s descriptors and files say no');
    return [[], Buffer.from(found, 'latin1')];
  } finally {
    scratch.release(mark);
  }
}

function lend(call: HookedCall, { scratch }: Services, data: Uint8Array | number): number {
  call.lent = true;
  const at = typeof data === 'number' ? scratch.reserve(data) : scratch.put(call.task.memory, data);
  if (at < 0) throw new Refusal(-at, 'the guest has no memory left for what a hook wants to put there');
  return at;
}

/** Make a call; the arguments that are data are lent memory first. */
function original(call: HookedCall, services: Services, ints: readonly bigint[], bytes: Uint8Array): Reply {
  const mask = Number(ints[1] ?? 0n);
  const addresses: (number | undefined)[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let k = 0, at = 0; k < 6; k++) {
    if ((mask & (1 << k)) === 0) continue;
    if (at + 4 > bytes.length) throw new Refusal(errno.EINVAL, 'an argument’s data is missing');
    const length = view.getUint32(at, true);
    addresses[k] = lend(call, services, bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  const frame = call.inner;
  frame.nr = Number(BigInt.asIntN(32, ints[0] ?? -1n));
  for (let k = 0; k < 8; k++) frame.i64[k] = BigInt(addresses[k] ?? ints[k + 2] ?? 0n);
  const { nr } = frame;
  const result = call.next(frame);
  if (nr === call.frame.nr) {
    call.ran = true;
    call.result = result;
  }
  return [[result]];
}

function reply(call: HookedCall, services: Services, { kind: question, ints, bytes }: Frame): Reply {
  const { task } = call;
  const { memory, cpu } = task;
  switch (question) {
    case ask.syscall:
      return original(call, services, ints, bytes);
    case ask.read: {
      const length = count(ints[1], MAX_BYTES);
      return [[], length === 0 ? NONE : memory.read(address(memory, ints[0]), length)];
    }
    case ask.readString:
      return [[], memory.readCString(address(memory, ints[0]), count(ints[1], MAX_BYTES)).bytes];
    case ask.write:
      if (bytes.length > 0) memory.write(address(memory, ints[0]), bytes);
      return [[BigInt(bytes.length)]];
    case ask.scratch:
      return [[BigInt(lend(call, services, ints.length > 0 ? count(ints[0], MAX_BYTES) : bytes))]];
    case ask.listRegisters:
      return json(cpu.registerNames);
    case ask.getRegister: {
      const value = cpu.getRegister(utf8(bytes));
      if (value === undefined) throw new Refusal(errno.EINVAL, `there is no register ${utf8(bytes)}`);
      return [[value]];
    }
    case ask.setRegister:
      if (!cpu.setRegister(utf8(bytes), BigInt.asUintN(64, ints[0] ?? 0n))) throw new Refusal(errno.EINVAL, `there is no register ${utf8(bytes)}`);
      return [[]];
    case ask.fdPath:
      return pathReply(task, () => descriptorPath(task, Number(BigInt.asIntN(32, ints[0] ?? -1n))));
    case ask.path: {
      const given = ints[1] === -1n ? Buffer.from(bytes).toString('latin1') : Number(BigInt.asUintN(64, ints[1] ?? 0n));
      return pathReply(task, () => absolutePath(task, Number(BigInt.asIntN(32, ints[0] ?? -1n)), given, ints[2] !== 0n));
    }
    case ask.backtrace:
      return json(services.backtrace(task, count(ints[0], MAX_DEPTH)));
    case ask.program: {
      const { path, argv } = task.process.image;
      return json({ exe: path, argv: argv.map(utf8), name: utf8(task.comm) });
    }
    case ask.describe:
      return [[], text.encode(services.describe(memory, call.frame))];
    default:
      throw new Refusal(errno.ENOSYS, `this lunagate does not know question ${question}`);
  }
}

/** The answer, as a frame (`answer` or `refused`). */
export function perform(call: HookedCall, services: Services, question: Frame): Frame {
  try {
    const [ints, bytes = NONE] = reply(call, services, question);
    return { kind: kind.answer, ints, bytes };
  } catch (error) {
    const [number, message] =
      error instanceof Refusal ? [error.errno, error.message]
        : error instanceof GuestFault ? [errno.EFAULT, error.message]
          : error instanceof SyscallError ? [error.errno, 'the guest’s descriptors and files say no']
            : [0, ''];
    if (number === 0) throw error;
    return { kind: kind.refused, ints: [BigInt(number)], bytes: text.encode(message) };
  }
}
