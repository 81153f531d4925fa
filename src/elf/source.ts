/**
 * Where the ELF reader gets its bytes from: positioned reads, so that a file of gigabytes is never read
 * whole, and a `Fields` view that reads integers in the file's own word size and byte order.
 */

import { ElfError, hex } from './errors.ts';

/** Positioned reads of a file-like thing. May throw its own errors (I/O); the reader passes those through. */
export interface ByteSource {
  /** Up to `length` bytes at `offset`: fewer only where the file ends. */
  read(offset: number, length: number): Uint8Array;
  /** Size in bytes when known. */
  readonly size?: number | undefined;
}

export function bytesSource(bytes: Uint8Array): ByteSource {
  return {
    size: bytes.length,
    read: (offset, length) => bytes.subarray(Math.min(offset, bytes.length), Math.min(offset + length, bytes.length)),
  };
}

/** Exactly `length` bytes, or a `truncated` error that says what was being read. */
export function readExactly(source: ByteSource, offset: number, length: number, what: string): Uint8Array {
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(offset + length))
    throw new ElfError('malformed', `${what} lies at the impossible file offset ${hex(offset)}`, offset);
  // A known size turns a promise of terabytes into an error before anything is allocated for it.
  if (source.size !== undefined && offset + length > source.size) throw truncated(what, offset, length, source.size);
  const bytes = source.read(offset, length);
  if (bytes.length < length) throw truncated(what, offset, length, offset + bytes.length);
  return bytes;
}

function truncated(what: string, offset: number, length: number, size: number): ElfError {
  return new ElfError(
    'truncated',
    `the file ends after ${size} bytes, inside ${what} (bytes ${hex(offset)} to ${hex(offset + length)})`,
    offset,
  );
}

/** Integers of one structure table. `word` is the native address size: 4 bytes in ELF32, 8 in ELF64. */
export class Fields {
  readonly view: DataView;
  readonly littleEndian: boolean;
  readonly is64: boolean;
  constructor(bytes: Uint8Array, format: { littleEndian: boolean; is64: boolean }) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.littleEndian = format.littleEndian;
    this.is64 = format.is64;
  }
  u8(at: number): number {
    return this.view.getUint8(at);
  }
  u16(at: number): number {
    return this.view.getUint16(at, this.littleEndian);
  }
  u32(at: number): number {
    return this.view.getUint32(at, this.littleEndian);
  }
  /** Exact below 2^53 and rounded above: no such value is a valid size, offset or guest address. */
  u64(at: number): number {
    const first = this.view.getUint32(at, this.littleEndian);
    const second = this.view.getUint32(at + 4, this.littleEndian);
    return this.littleEndian ? second * 4294967296 + first : first * 4294967296 + second;
  }
  word(at: number): number {
    return this.is64 ? this.u64(at) : this.u32(at);
  }
}

const latin1 = new TextDecoder('latin1');
const utf8 = new TextDecoder('utf-8');

/** The NUL-terminated string at `at` as text: UTF-8, undecodable bytes replaced. */
export function cString(bytes: Uint8Array, at = 0): string {
  let end = bytes.indexOf(0, at);
  if (end < 0) end = bytes.length;
  return utf8.decode(bytes.subarray(at, end));
}

export function ascii(bytes: Uint8Array): string {
  return latin1.decode(bytes);
}
