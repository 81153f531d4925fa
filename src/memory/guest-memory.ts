/**
 * The port GuestMemory: all of TypeScript's reads and writes of guest memory. Every access is made by a WebAssembly
 * load or store, so that the page tables check it and a forbidden one becomes GuestFault. One instance per thread.
 */

import { type GuestAddr, GuestFault, type GuestMemory, type HostAddr } from '../kernel/ports.ts';
import { type Accessors, BOUNCE_SIZE, instantiateAccessors } from './accessor-module.ts';

const WASM_PAGE = 0x10000;
const PAGE = 4096;

export class WasmGuestMemory implements GuestMemory {
  readonly size: number;
  readonly #base: HostAddr;
  readonly #calls: Accessors;
  readonly #bounce: Uint8Array;
  /** Told when the host has refused an access of ours: that fault is none of the guest's. */
  onRefused: (() => void) | undefined;

  constructor(memory: WebAssembly.Memory, base: HostAddr, size: number) {
    this.size = size;
    this.#base = base;
    const { calls, bounce } = instantiateAccessors(memory, size / WASM_PAGE);
    this.#calls = calls;
    this.#bounce = bounce;
  }

  read(addr: GuestAddr, length: number): Uint8Array {
    this.#check(addr, length);
    if (length <= BOUNCE_SIZE) {
      try {
        this.#calls.copyOut(addr, length);
      } catch (error) {
        throw this.#fault(error, addr);
      }
      return this.#bounce.slice(0, length);
    }
    const target = new Uint8Array(length);
    this.readInto(addr, target);
    return target;
  }

  readInto(addr: GuestAddr, target: Uint8Array): void {
    this.#check(addr, target.length);
    for (let done = 0; done < target.length; done += BOUNCE_SIZE) {
      const count = Math.min(BOUNCE_SIZE, target.length - done);
      try {
        this.#calls.copyOut(addr + done, count);
      } catch (error) {
        throw this.#fault(error, addr + done);
      }
      target.set(count === BOUNCE_SIZE ? this.#bounce : this.#bounce.subarray(0, count), done);
    }
  }

  write(addr: GuestAddr, bytes: Uint8Array): void {
    this.#check(addr, bytes.length);
    for (let done = 0; done < bytes.length; done += BOUNCE_SIZE) {
      const count = Math.min(BOUNCE_SIZE, bytes.length - done);
      this.#bounce.set(count === bytes.length ? bytes : bytes.subarray(done, done + count));
      try {
        this.#calls.copyIn(addr + done, count);
      } catch (error) {
        throw this.#fault(error, addr + done);
      }
    }
  }

  /** Set `length` bytes to `value`. */
  fill(addr: GuestAddr, length: number, value: number): void {
    this.#check(addr, length);
    const step = 0x4000_0000;
    for (let done = 0; done < length; done += step) {
      try {
        this.#calls.fill(addr + done, Math.min(step, length - done), value);
      } catch (error) {
        throw this.#fault(error, addr + done);
      }
    }
  }

  readPartial(addr: GuestAddr, length: number): Uint8Array {
    const parts: Uint8Array[] = [];
    let done = 0;
    const end = Math.min(length, this.size - addr);
    while (done < end) {
      const count = Math.min(BOUNCE_SIZE, end - done);
      const part = this.#readUpTo(addr + done, count);
      parts.push(part);
      done += part.length;
      if (part.length < count) break;
    }
    return parts.length === 1 ? (parts[0] as Uint8Array) : concatenate(parts, done);
  }

  readCString(addr: GuestAddr, max: number): { bytes: Uint8Array; terminated: boolean } {
    const parts: Uint8Array[] = [];
    let done = 0;
    for (;;) {
      const count = Math.min(BOUNCE_SIZE, max - done);
      let got: number;
      try {
        got = this.#calls.copyString(addr + done, count);
      } catch (error) {
        throw this.#fault(error, addr + done);
      }
      const part = this.#bounce.slice(0, got);
      done += got;
      const ended = got < count || done >= max;
      if (ended && parts.length === 0) return { bytes: part, terminated: got < count };
      parts.push(part);
      if (ended) return { bytes: concatenate(parts, done), terminated: got < count };
    }
  }

  u8(addr: GuestAddr): number {
    try {
      return this.#calls.u8(addr);
    } catch (error) {
      throw this.#fault(error, addr);
    }
  }

  u16(addr: GuestAddr): number {
    try {
      return this.#calls.u16(addr);
    } catch (error) {
      throw this.#fault(error, addr);
    }
  }

  i32(addr: GuestAddr): number {
    try {
      return this.#calls.i32(addr);
    } catch (error) {
      throw this.#fault(error, addr);
    }
  }

  u32(addr: GuestAddr): number {
    try {
      return this.#calls.i32(addr) >>> 0;
    } catch (error) {
      throw this.#fault(error, addr);
    }
  }

  u64(addr: GuestAddr): bigint {
    try {
      return BigInt.asUintN(64, this.#calls.u64(addr));
    } catch (error) {
      throw this.#fault(error, addr);
    }
  }

  u64n(addr: GuestAddr): number {
    try {
      return this.#calls.u64n(addr);
    } catch (error) {
      throw this.#fault(error, addr);
    }
  }

  setU8(addr: GuestAddr, v: number): void {
    try {
      this.#calls.set8(addr, v);
    } catch (error) {
      throw this.#fault(error, addr);
    }
  }

  setU16(addr: GuestAddr, v: number): void {
    try {
      this.#calls.set16(addr, v);
    } catch (error) {
      throw this.#fault(error, addr);
    }
  }

  setU32(addr: GuestAddr, v: number): void {
    try {
      this.#calls.set32(addr, v);
    } catch (error) {
      throw this.#fault(error, addr);
    }
  }

  setU64(addr: GuestAddr, v: bigint | number): void {
    try {
      if (typeof v === 'bigint') this.#calls.set64(addr, v);
      else this.#calls.set64n(addr, v);
    } catch (error) {
      throw this.#fault(error, addr);
    }
  }

  host(addr: GuestAddr, length: number): HostAddr {
    this.#check(addr, length);
    return this.#base + addr;
  }

  /** A trap at an access to `addr` means the guest's mappings forbid it; anything else is ours and goes on up. */
  #fault(error: unknown, addr: GuestAddr): unknown {
    if (!(error instanceof WebAssembly.RuntimeError)) return error;
    this.onRefused?.();
    return new GuestFault(addr);
  }

  #check(addr: GuestAddr, length: number): void {
    if (!(addr >= 0 && length >= 0 && addr + length <= this.size)) throw new GuestFault(addr);
  }

  /** As many of `count` ≤ BOUNCE_SIZE bytes as can be read: all at once, or page by page to the first bad page. */
  #readUpTo(addr: GuestAddr, count: number): Uint8Array {
    if (this.#tryCopyOut(addr, count)) return this.#bounce.slice(0, count);
    let good = 0;
    while (good < count) {
      const step = Math.min(count - good, PAGE - ((addr + good) % PAGE));
      if (!this.#tryCopyOut(addr + good, step)) break;
      good += step;
    }
    if (good === 0 || !this.#tryCopyOut(addr, good)) return new Uint8Array(0);
    return this.#bounce.slice(0, good);
  }

  #tryCopyOut(addr: GuestAddr, count: number): boolean {
    try {
      this.#calls.copyOut(addr, count);
      return true;
    } catch (error) {
      const fault = this.#fault(error, addr);
      if (fault instanceof GuestFault) return false;
      throw fault;
    }
  }
}

function concatenate(parts: readonly Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
