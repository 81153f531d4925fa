/**
 * Private memory of the engine outside the guest's space, for structures handed to the kernel.
 */

import type { HostAddr, HostBuffer, Scratch } from '../kernel/ports.ts';
import { viewNative } from './ffi.ts';

export const SCRATCH_SIZE = 0x100000;

/** See `at` as engine memory. The caller keeps it mapped for as long as the buffer is used. */
export function hostBuffer(address: HostAddr, length: number): HostBuffer {
  const buffer = viewNative(address, length);
  return { address, bytes: new Uint8Array(buffer), view: new DataView(buffer) };
}

/** A stack of zeroed blocks in one region of 1 MiB; released in bulk by mark. */
export class ScratchStack implements Scratch {
  readonly address: HostAddr;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  #top = 0;

  constructor(memory: HostBuffer) {
    this.address = memory.address;
    this.bytes = memory.bytes;
    this.view = memory.view;
  }

  mark(): number {
    return this.#top;
  }

  release(mark: number): void {
    this.#top = mark;
  }

  alloc(n: number): number {
    const at = this.#top;
    const end = (at + n + 15) & ~15;
    if (!(n >= 0) || end > this.bytes.length || end < at) {
      throw new RangeError(`${n} bytes asked of the kernel-call scratch memory, ${this.bytes.length - at} are left`);
    }
    this.#top = end;
    this.bytes.fill(0, at, end);
    return at;
  }
}
