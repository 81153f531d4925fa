/**
 * What the engine and the program that called `run` say to each other: frames on one stream per guest thread.
 *
 * A frame is a header of 8 bytes (length of all of it: u32; kind: u8; number of integers: u8; 0: u16), the integers
 * (64 bits each), then bytes. All little-endian.
 *
 * The engine speaks first: `hello`, answered by `configuration`. Then, for each hooked call: `call`; the program asks
 * (any of `ask`, as often as it likes, each answered by `answer` or `refused`, in order); `result`, `untouched` or
 * `failed` ends it. A call that did not come back (execve, sigreturn) is ended by the engine, which closes the stream. A
 * guest thread may make a hooked call while an original call of an earlier one is still on its way: calls nest.
 */

/** Says that hooks are served over the channel that node calls NODE_CHANNEL_FD; the launcher hides it from node. */
export const API_VARIABLE = 'LUNAGATE_INTERNAL_API';
/** Set by the launcher: the descriptor of that channel. */
export const CHANNEL_VARIABLE = 'LUNAGATE_INTERNAL_CHANNEL';

export const kind = {
  // engine → program
  /** pid, tid */
  hello: 1,
  /** nr, the six arguments, pid, tid, pc */
  call: 2,
  answer: 3,
  /** An error number, and what was wrong. */
  refused: 4,
  // program → engine
  /** numbers of the hooked calls; bytes: JSON of `Configuration` */
  configuration: 10,
  /** The result. */
  result: 11,
  /** The hook returned nothing: the original's result, which is made if it was not. */
  untouched: 12,
  failed: 13,
} as const;

/** What a hook can ask: kinds of frames, program → engine. Answers in brackets. */
export const ask = {
  /** nr, mask, the six arguments; bytes: for each bit of mask a length (u32) and data to point to [result] */
  syscall: 20,
  /** address, length [bytes] */
  read: 21,
  /** address, max [bytes] */
  readString: 22,
  /** address; bytes [count] */
  write: 23,
  /** length, if there are no bytes; bytes [address] */
  scratch: 24,
  /** [bytes: JSON] */
  listRegisters: 25,
  /** bytes: name [value] */
  getRegister: 26,
  /** value; bytes: name */
  setRegister: 27,
  /** fd [bytes] */
  fdPath: 28,
  /** dirfd, address, follow; bytes: the path, if address is −1 [bytes] */
  path: 29,
  /** max [bytes: JSON] */
  backtrace: 30,
  /** [bytes: JSON] */
  program: 31,
  /** [bytes] */
  describe: 32,
} as const;

export interface Configuration {
  readonly all: boolean;
  readonly onError: 'passthrough' | 'deny' | 'kill';
}

export interface Frame {
  readonly kind: number;
  readonly ints: readonly bigint[];
  readonly bytes: Uint8Array;
}

const HEADER = 8;
const NONE = new Uint8Array(0);
/** Longer ones are a mistake: reads and strings are limited far below. */
export const MAX_FRAME = 80 << 20;
/** Bytes that one answer or request may carry. */
export const MAX_BYTES = 64 << 20;

export function encodeFrame(kind: number, ints: readonly bigint[] = [], bytes: Uint8Array = NONE): Uint8Array {
  const frame = new Uint8Array(HEADER + 8 * ints.length + bytes.length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, frame.length, true);
  view.setUint8(4, kind);
  view.setUint8(5, ints.length);
  ints.forEach((value, k) => view.setBigInt64(HEADER + 8 * k, value, true));
  frame.set(bytes, HEADER + 8 * ints.length);
  return frame;
}

/** Puts a stream together again. */
export class FrameReader {
  #pending: Uint8Array = NONE;

  push(chunk: Uint8Array): void {
    if (this.#pending.length === 0) this.#pending = chunk;
    else {
      const both = new Uint8Array(this.#pending.length + chunk.length);
      both.set(this.#pending);
      both.set(chunk, this.#pending.length);
      this.#pending = both;
    }
  }

  /** How many bytes are still missing to the next frame; 0: there is one. */
  get missing(): number {
    const { length } = this.#pending;
    if (length < HEADER) return HEADER - length;
    return Math.max(0, this.#length() - length);
  }

  /** The next frame, if all of it is there. @throws Error when what came is no frame. */
  next(): Frame | undefined {
    if (this.#pending.length < HEADER || this.missing > 0) return undefined;
    const { buffer, byteOffset } = this.#pending;
    const length = this.#length();
    const view = new DataView(buffer, byteOffset, length);
    const count = view.getUint8(5);
    const start = HEADER + 8 * count;
    if (start > length) throw new Error('a damaged message came over the channel of the hooks');
    const ints: bigint[] = [];
    for (let k = 0; k < count; k++) ints.push(view.getBigInt64(HEADER + 8 * k, true));
    const frame = { kind: view.getUint8(4), ints, bytes: this.#pending.slice(start, length) };
    this.#pending = this.#pending.subarray(length);
    return frame;
  }

  #length(): number {
    const length = new DataView(this.#pending.buffer, this.#pending.byteOffset).getUint32(0, true);
    if (length < HEADER || length > MAX_FRAME) throw new Error('a damaged message came over the channel of the hooks');
    return length;
  }
}
