/**
 * One traced call and the ways to print its parts. Printing happens in two steps: what goes in is read before the
 * call, what comes out after it, since the call may change what its arguments point to.
 */

import type { GuestMemory, SyscallFrame } from '../kernel/ports.ts';
import { GuestFault } from '../kernel/ports.ts';
import type { Syscall } from '../syscalls/declare.ts';

/** Ready text, or what to print once the result is there. */
export type Text = string | (() => string);

const LONGEST = 1 << 20;

export class Call {
  readonly memory: GuestMemory;
  readonly frame: SyscallFrame;
  readonly syscall: Syscall;
  /** Of the call; 0 before it is known. */
  result = 0n;

  constructor(memory: GuestMemory, frame: SyscallFrame, syscall: Syscall) {
    this.memory = memory;
    this.frame = frame;
    this.syscall = syscall;
  }

  get failed(): boolean {
    return this.result < 0n && this.result >= -4095n;
  }
  /** Argument k as a C int, unsigned int, unsigned long (as number, exact), long (exact). */
  int(k: number): number {
    return this.frame.i32[2 * k] as number;
  }
  uint(k: number): number {
    return this.frame.u32[2 * k] as number;
  }
  ulong(k: number): bigint {
    return this.frame.u64[k] as bigint;
  }
  long(k: number): bigint {
    return this.frame.i64[k] as bigint;
  }
  /** As an address or size. */
  at(k: number): number {
    return this.frame.unsigned(k);
  }

  /** Bytes at a guest address; undefined where they cannot all be read. */
  bytes(addr: number, length: number): Uint8Array | undefined {
    // Lengths are the guest's: any value may come, and no line needs a megabyte.
    if (!(length >= 0 && length <= LONGEST)) return undefined;
    try {
      return this.memory.read(addr, length);
    } catch (error) {
      if (error instanceof GuestFault) return undefined;
      throw error;
    }
  }
  view(addr: number, length: number): DataView | undefined {
    const bytes = this.bytes(addr, length);
    return bytes === undefined ? undefined : viewOf(bytes);
  }

  /** NULL, the address where nothing can be read, or what `print` makes of the bytes there. */
  deref(addr: number, length: number, print: (view: DataView) => string): string {
    if (addr === 0) return 'NULL';
    const view = this.view(addr, length);
    return view === undefined ? address(addr) : print(view);
  }
  /** The same after the call: the address alone if it failed. */
  derefOut(addr: number, length: number, print: (view: DataView) => string): Text {
    return addr === 0 ? 'NULL' : () => (this.failed ? address(addr) : this.deref(addr, length, print));
  }
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** `NULL` or `0x7f…`. */
export function address(value: number | bigint): string {
  return BigInt(value) === 0n ? 'NULL' : `0x${value.toString(16)}`;
}

/** C's %#x: `0` or `0x10`. */
export function hex(value: number | bigint): string {
  return BigInt(value) === 0n ? '0' : `0x${value.toString(16)}`;
}

/** C's %#03o for modes: `000`, `0644`. */
export function octal(value: number | bigint): string {
  return BigInt(value) === 0n ? '000' : `0${value.toString(8).padStart(2, '0')}`;
}

export function u64(view: DataView, at: number): bigint {
  return view.getBigUint64(at, true);
}
export function i64(view: DataView, at: number): bigint {
  return view.getBigInt64(at, true);
}
export function u32(view: DataView, at: number): number {
  return view.getUint32(at, true);
}
export function i32(view: DataView, at: number): number {
  return view.getInt32(at, true);
}
export function u16(view: DataView, at: number): number {
  return view.getUint16(at, true);
}
/** A pointer or size inside a structure, as a number. */
export function word(view: DataView, at: number): number {
  return Number(view.getBigUint64(at, true));
}

export function bytesOf(view: DataView, at: number, length: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + at, Math.max(0, Math.min(length, view.byteLength - at)));
}

export function untilNul(bytes: Uint8Array): Uint8Array {
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.subarray(0, end);
}
