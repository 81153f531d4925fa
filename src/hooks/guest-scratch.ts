/**
 * Owns guest memory lent to a hook: strings given to c_do_syscall where a pointer is expected, c_scratch. It lies
 * in the guest's address space, mapped on first use, and is free again when the hook returns.
 */

import { type GuestAddr, GuestFault, type GuestMemory } from '../kernel/ports.ts';

/** Maps `bytes` of fresh private memory, readable and writable, in the guest; −errno if there is none. */
export type MapGuest = (bytes: number) => number;
export type UnmapGuest = (addr: GuestAddr, bytes: number) => void;

interface Chunk {
  readonly start: GuestAddr;
  readonly size: number;
}

const FIRST = 64 << 10;
const PAGE = 4096;

export class GuestScratch {
  readonly #map: MapGuest;
  readonly #unmap: UnmapGuest;
  /** Kept from hook to hook. */
  #home: Chunk | undefined;
  #used = 0;
  /** For what does not fit: given back when the hook returns. */
  #extra: Chunk[] = [];

  constructor(map: MapGuest, unmap: UnmapGuest) {
    this.#map = map;
    this.#unmap = unmap;
  }

  /** A copy of `bytes` in guest memory, a NUL after it; −errno when there is no memory. */
  put(memory: GuestMemory, bytes: Uint8Array): GuestAddr {
    const addr = this.reserve(bytes.length + 1);
    if (addr < 0) return addr;
    const data = new Uint8Array(bytes.length + 1);
    data.set(bytes);
    try {
      memory.write(addr, data);
      return addr;
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error;
    }
    // The guest unmapped or protected what it does not know of: leave that to it and take new memory.
    this.forget();
    const again = this.reserve(data.length);
    if (again >= 0) memory.write(again, data);
    return again;
  }

  /** `n` bytes, 16-byte aligned, of unspecified contents; −errno when there is no memory. */
  reserve(n: number): GuestAddr {
    const size = Math.max(16, Math.ceil(n / 16) * 16);
    if (this.#home === undefined && size <= FIRST) {
      const start = this.#map(FIRST);
      if (start < 0) return start;
      this.#home = { start, size: FIRST };
      this.#used = 0;
    }
    if (this.#home !== undefined && this.#used + size <= this.#home.size) {
      const addr = this.#home.start + this.#used;
      this.#used += size;
      return addr;
    }
    const bytes = Math.ceil(size / PAGE) * PAGE;
    const start = this.#map(bytes);
    if (start >= 0) this.#extra.push({ start, size: bytes });
    return start;
  }

  /** The hook has returned. */
  release(): void {
    this.#used = 0;
    if (this.#extra.length === 0) return;
    for (const { start, size } of this.#extra) this.#unmap(start, size);
    this.#extra = [];
  }

  /** The address space is a new one (execve) or no longer holds what was mapped. */
  forget(): void {
    this.#home = undefined;
    this.#extra = [];
    this.#used = 0;
  }
}
