/**
 * The guest's mappings in shared memory, for the engines of other guests (their view of /proc/PID/maps): a journal of
 * changes, which whoever reads it repeats. Appending costs a microsecond or so a change; keeping a sorted list there would cost
 * more, and writing it when it is asked for cannot be: a process that is read may be stopped or waiting.
 *
 * Layout: a 32-bit count that is odd while the journal is begun anew, the bytes in use, then records of doubles: kind, start, end and, for a
 * mapping that was put, what else it is, followed by its strings.
 *
 * Invariant: a journal of more than RENEW bytes is at most four times as long as one that says each mapping once.
 */

import { type Backing, type ListChange, type Mapping, MappingList } from './mapping.ts';

const HEADER = 16;
const INITIAL = 1 << 16;
const LIMIT = 1 << 26;
const RENEW = 1 << 15;
const PUT = 1;
const TAKE = 2;
const PUT_DOUBLES = 12;
const TAKE_DOUBLES = 3;
const SHARED = 1;
const GROWS_DOWN = 2;
const NO_RESERVE = 4;
const LOCKED = 8;
const SEALED = 16;
const WRITABLE = 32;
const kinds = ['none', 'file', 'shared-anonymous', 'sysv'] as const;

export class MappingJournal {
  readonly buffer: SharedArrayBuffer;
  readonly #all: () => readonly Mapping[];
  readonly #words: Int32Array;
  readonly #doubles: Float64Array;
  readonly #bytes: Uint8Array;
  /** Bytes at which it is begun anew. */
  #renewAt = RENEW;

  /** `all`: the list as it is. `buffer`: another thread's journal, which this one is as well. */
  constructor(all: () => readonly Mapping[], buffer?: SharedArrayBuffer) {
    this.#all = all;
    this.buffer = buffer ?? new SharedArrayBuffer(INITIAL, { maxByteLength: LIMIT });
    this.#words = new Int32Array(this.buffer);
    this.#doubles = new Float64Array(this.buffer);
    this.#bytes = new Uint8Array(this.buffer);
    if (buffer === undefined) this.#words[1] = HEADER;
  }

  /** To be called by one thread at a time. */
  append(change: ListChange): void {
    if ('take' in change && change.take[0] === 0 && change.take[1] === Number.MAX_SAFE_INTEGER) {
      this.#words[1] = HEADER;
      return;
    }
    if ((this.#words[1] as number) > this.#renewAt) this.#renew();
    this.#write(change);
  }

  #renew(): void {
    Atomics.add(this.#words, 0, 1);
    this.#words[1] = HEADER;
    for (const mapping of this.#all()) this.#write({ put: mapping });
    this.#renewAt = Math.max(RENEW, 4 * (this.#words[1] as number));
    Atomics.add(this.#words, 0, 1);
  }

  #write(change: ListChange): void {
    const at = this.#words[1] as number;
    const doubles = this.#doubles;
    let k = at / 8;
    if ('take' in change) {
      if (!this.#reserve(at + 8 * TAKE_DOUBLES)) return;
      doubles[k++] = TAKE;
      doubles[k++] = change.take[0];
      doubles[k] = change.take[1];
      Atomics.store(this.#words, 1, at + 8 * TAKE_DOUBLES);
      return;
    }
    const m = change.put;
    const { backing } = m;
    const text = m.name === '' && backing === undefined ? undefined : Buffer.from(`${m.name}\0${backing?.path ?? ''}`);
    const length = text?.length ?? 0;
    const end = at + 8 * PUT_DOUBLES + ((length + 7) & ~7);
    if (!this.#reserve(end)) return;
    doubles[k++] = PUT;
    doubles[k++] = m.start;
    doubles[k++] = m.end;
    doubles[k++] = m.prot;
    doubles[k++] =
      (m.shared ? SHARED : 0) | (m.growsDown ? GROWS_DOWN : 0) | (m.noReserve ? NO_RESERVE : 0) | (m.locked ? LOCKED : 0) |
      (m.sealed ? SEALED : 0) | (backing?.writable === true ? WRITABLE : 0);
    doubles[k++] = m.offset;
    doubles[k++] = m.advice;
    doubles[k++] = backing === undefined ? 0 : kinds.indexOf(backing.kind);
    doubles[k++] = backing?.id ?? 0;
    doubles[k++] = backing?.dev ?? 0;
    doubles[k++] = backing?.inode ?? 0;
    doubles[k] = length;
    if (text !== undefined) this.#bytes.set(text, at + 8 * PUT_DOUBLES);
    Atomics.store(this.#words, 1, end);
  }

  /** Room up to `end`. Where there is none the journal stays behind, until it is begun anew with less. */
  #reserve(end: number): boolean {
    if (end <= this.buffer.byteLength) return true;
    if (end > LIMIT) return false;
    try {
      this.buffer.grow(Math.min(LIMIT, Math.max(end, 2 * this.buffer.byteLength)));
      return true;
    } catch {
      return false;
    }
  }
}

/** Bytes of a journal by its header; undefined while it is begun anew. */
export function journalLength(header: Uint8Array): number | undefined {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  return header.length < 8 || view.getInt32(0, true) % 2 !== 0 ? undefined : Math.min(LIMIT, Math.max(HEADER, view.getInt32(4, true)));
}

/** The mappings that a copy of a journal tells of. */
export function readJournal(bytes: Uint8Array): readonly Mapping[] {
  const list = new MappingList();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = Math.min(journalLength(bytes) ?? 0, bytes.length);
  const number = (at: number, k: number): number => view.getFloat64(at + 8 * k, true);
  for (let at = HEADER; at + 8 * TAKE_DOUBLES <= end; ) {
    if (number(at, 0) === TAKE) {
      list.remove(number(at, 1), number(at, 2));
      at += 8 * TAKE_DOUBLES;
      continue;
    }
    if (number(at, 0) !== PUT || at + 8 * PUT_DOUBLES > end) break;
    const length = number(at, 11);
    const text = Buffer.from(bytes.subarray(at + 8 * PUT_DOUBLES, at + 8 * PUT_DOUBLES + length)).toString();
    list.insert(mappingOf((k) => number(at, k), text));
    at += 8 * PUT_DOUBLES + ((length + 7) & ~7);
  }
  return list.all;
}

function mappingOf(number: (k: number) => number, text: string): Mapping {
  const flags = number(4);
  const separator = text.indexOf('\0');
  const kind = kinds[number(7)] ?? 'none';
  const backing: Backing | undefined =
    kind === 'none'
      ? undefined
      : { kind, id: number(8), dev: number(9), inode: number(10), path: text.slice(separator + 1), writable: (flags & WRITABLE) !== 0 };
  return {
    start: number(1), end: number(2), prot: number(3), shared: (flags & SHARED) !== 0, backing, offset: number(5),
    name: text.slice(0, Math.max(0, separator)), growsDown: (flags & GROWS_DOWN) !== 0, noReserve: (flags & NO_RESERVE) !== 0,
    locked: (flags & LOCKED) !== 0, advice: number(6), sealed: (flags & SEALED) !== 0,
  };
}
