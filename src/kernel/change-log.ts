/**
 * How the threads of a process keep their copies of its state equal: each has its own address space list (and whatever else
 * is `Replicated`), and tells the others of its changes through one log in shared memory.
 *
 * A change is made under the process lock: read the log to its end, change, append. Whoever only reads state compares the
 * log's end with its own place first, and catches up if they differ. When the log has grown long it starts anew with a
 * snapshot; who finds that it did takes the snapshot for everything.
 *
 * Layout, 32-bit words: end (bytes used), epoch; then records: length in bytes, JSON, padded to 4.
 *
 * Invariants: only the holder of the lock appends and reads records; words 0 and 1 may be read by anyone; while there is
 * one thread nothing is logged at all.
 */

import { type ProcessBlock, WORD } from './process-block.ts';
import type { Host } from './ports.ts';

const START = 8;
const INITIAL = 1 << 16;
const LIMIT = 1 << 26;
/** From this size on the log is begun anew where that is asked. */
const LONG = 1 << 18;

/** State that every thread has a copy of. Records are plain JSON values. */
export interface Replicated {
  /** Names the records that are its own. */
  readonly name: string;
  /** Everything, for a copy that knows nothing. */
  snapshot(): unknown;
  /** Replace everything by a snapshot. */
  restore(snapshot: unknown): void;
  /** Make a change that another thread made. */
  apply(record: unknown): void;
}

export class ChangeLog {
  readonly buffer: SharedArrayBuffer;
  readonly #block: ProcessBlock;
  readonly #host: Host;
  readonly #slot: number;
  /** End and epoch. Of a fixed length: reading through a view that follows a growing buffer is slow, and this is done at each call. */
  readonly #head: Int32Array;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #parts: Replicated[] = [];
  #position = 0;
  #epoch = 0;
  #applying = false;
  /**
   * Returns when every other thread has read what was told, or is in a system call and reads it before guest code goes on in
   * it. Not under the lock. Set by whoever builds the machine.
   */
  settle: () => void = () => {};

  /** `buffer`: another thread's, to follow it. */
  constructor(host: Host, block: ProcessBlock, slot: number, buffer?: SharedArrayBuffer) {
    this.#host = host;
    this.#block = block;
    this.#slot = slot;
    this.buffer = buffer ?? new SharedArrayBuffer(INITIAL, { maxByteLength: LIMIT });
    this.#head = new Int32Array(this.buffer, 0, 2);
    // Without a length they follow the buffer's growth.
    this.#words = new Int32Array(this.buffer);
    this.#bytes = new Uint8Array(this.buffer);
    this.#epoch = buffer === undefined ? 0 : -1;
  }

  /** Another thread's changes are being made here. */
  get applying(): boolean {
    return this.#applying;
  }

  get block(): ProcessBlock {
    return this.#block;
  }

  add(part: Replicated): void {
    this.#parts.push(part);
  }

  /** Has another thread changed something since? One or two loads. */
  get behind(): boolean {
    return this.#block.several && (Atomics.load(this.#head, 0) !== this.#position || Atomics.load(this.#head, 1) !== this.#epoch);
  }

  /** To be called before state is read. */
  sync(): void {
    if (!this.behind || this.#applying) return;
    this.#block.lock(this.#host);
    try {
      this.#catchUp();
    } finally {
      this.#block.unlock(this.#host);
    }
  }

  /** Run `act`, which changes state, as the only one; others see all of it or nothing. */
  change<T>(act: () => T): T {
    if (!this.#block.several) return act();
    this.#block.lock(this.#host);
    try {
      this.#catchUp();
      return act();
    } finally {
      this.#block.unlock(this.#host);
    }
  }

  /** Tell the others of a change just made, inside `change`. */
  append(part: Replicated, record: unknown): void {
    if (!this.#block.several || this.#applying) return;
    this.#write([part.name, record]);
  }

  /** Begin the log with a snapshot of everything: before a second thread is started, and before any other if it has grown long. */
  begin(): void {
    if (this.#block.several && Atomics.load(this.#head, 0) < LONG) return;
    Atomics.store(this.#head, 1, this.#epoch + 1);
    this.#epoch++;
    this.#position = START;
    Atomics.store(this.#head, 0, START);
    this.#block.set(WORD.several, 1);
    for (const part of this.#parts) this.#write([part.name, part.snapshot(), true]);
  }

  #write(record: unknown): void {
    const json = Buffer.from(JSON.stringify(record));
    const end = Atomics.load(this.#head, 0);
    const next = end + 4 + ((json.length + 3) & ~3);
    if (next > this.buffer.byteLength) {
      if (next > LIMIT) {
        // What would have been written is in the state the snapshot is taken from.
        this.begin();
        return;
      }
      this.buffer.grow(Math.min(LIMIT, Math.max(next, this.buffer.byteLength * 2)));
    }
    this.#words[end >> 2] = json.length;
    this.#bytes.set(json, end + 4);
    Atomics.store(this.#head, 0, next);
    this.#moved(next);
  }

  #catchUp(): void {
    const epoch = Atomics.load(this.#head, 1);
    if (epoch !== this.#epoch) {
      this.#epoch = epoch;
      this.#position = START;
    }
    const end = Atomics.load(this.#head, 0);
    let at = this.#position;
    if (at === end) return;
    this.#applying = true;
    try {
      while (at < end) {
        const length = this.#words[at >> 2] as number;
        const text = Buffer.from(this.#bytes.slice(at + 4, at + 4 + length)).toString();
        const [name, record, whole] = JSON.parse(text) as [string, unknown, boolean | undefined];
        at += 4 + ((length + 3) & ~3);
        const part = this.#parts.find((p) => p.name === name);
        if (whole === true) part?.restore(record);
        else part?.apply(record);
      }
    } finally {
      this.#applying = false;
    }
    this.#moved(end);
  }

  #moved(position: number): void {
    this.#position = position;
    this.#block.setProgress(this.#slot, this.#epoch, position);
  }

  /** Has the thread in `slot` seen everything this one has? */
  caughtUp(slot: number): boolean {
    const { epoch, position } = this.#block.progress(slot);
    return epoch === this.#epoch && position >= this.#position;
  }
}
