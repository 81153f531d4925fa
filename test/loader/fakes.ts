/** A host that serves the few calls the loader makes from node:fs, and guest memory as plain pages: the loader by itself. */

import { closeSync, fstatSync, accessSync, constants, openSync, readlinkSync, readSync } from 'node:fs';
import { errno, errnoName } from '../../src/abi/errno.ts';
import { GuestFault, type Host, type GuestMemory, type Scratch } from '../../src/kernel/ports.ts';
import type { LoadSpace } from '../../src/loader/types.ts';

const names = ['openat', 'close', 'pread64', 'statx', 'faccessat2', 'readlinkat'];

export interface FakeHost {
  readonly host: Host;
  /** Descriptors opened and not yet closed. */
  readonly open: Set<number>;
}

export function fakeHost(): FakeHost {
  const bytes = new Uint8Array(1 << 20);
  const view = new DataView(bytes.buffer);
  const address = 0x7000_0000;
  let top = 0;
  const scratch: Scratch = {
    address,
    bytes,
    view,
    mark: () => top,
    release: (mark) => {
      top = mark;
    },
    alloc: (n) => {
      const at = top;
      top += (n + 15) & ~15;
      if (top > bytes.length) throw new RangeError('scratch is full');
      bytes.fill(0, at, at + n);
      return at;
    },
  };
  const open = new Set<number>();
  const cstring = (a: number): Buffer => {
    const at = a - address;
    return Buffer.from(bytes.subarray(at, bytes.indexOf(0, at)));
  };
  const calls: Record<string, (...a: number[]) => number> = {
    openat: (_dir, path) => {
      const fd = openSync(cstring(path as number), constants.O_RDONLY | constants.O_NONBLOCK);
      open.add(fd);
      return fd;
    },
    close: (fd) => {
      if (!open.delete(fd as number)) throw new Error(`descriptor ${fd} closed twice`);
      closeSync(fd as number);
      return 0;
    },
    pread64: (fd, buffer, count, offset) =>
      readSync(fd as number, bytes, (buffer as number) - address, count as number, offset as number),
    statx: (fd, _path, _flags, _mask, out) => {
      const stat = fstatSync(fd as number);
      view.setUint16((out as number) - address + 28, stat.mode, true);
      view.setBigUint64((out as number) - address + 40, BigInt(stat.size), true);
      return 0;
    },
    faccessat2: (fd) => {
      accessSync(`/proc/self/fd/${fd}`, constants.X_OK);
      return 0;
    },
    readlinkat: (_dir, path, buffer, size) => {
      const link = Buffer.from(readlinkSync(cstring(path as number)));
      bytes.set(link.subarray(0, size), (buffer as number) - address);
      return Math.min(link.length, size as number);
    },
  };
  const host = {
    memoryBase: 0,
    memorySize: 2 ** 34,
    scratch,
    nr: Object.fromEntries(names.map((name, i) => [name, i])),
    syscall(nr: number, ...args: number[]): number {
      try {
        return (calls[names[nr] as string] as (...a: number[]) => number)(...args);
      } catch (error) {
        const { code } = error as { code?: string };
        if (code !== undefined && code in errno) return -errno[code as keyof typeof errno];
        throw error;
      }
    },
  } as unknown as Host;
  return { host, open };
}

export const page = 4096;

export interface Page {
  bytes: Uint8Array;
  prot: number;
}

/** Pages by number. `mmap` without an address hands out space downward from `top`. */
export class FakeSpace implements LoadSpace {
  readonly pages = new Map<number, Page>();
  top: number;
  brk = 0;
  readonly names: string[] = [];
  constructor(top: number) {
    this.top = top;
  }

  setMmapTop(top: number): void {
    this.top = top;
  }
  setBrk(start: number): void {
    this.brk = start;
  }
  setName(start: number, end: number, name: string): void {
    this.names.push(`${name} ${end - start}`);
  }

  mmap(addr: number, length: number, prot: number, flags: number, hostFd: number, offset: number): number {
    if (addr % page !== 0 || offset % page !== 0 || length <= 0) return -errno.EINVAL;
    let at = addr;
    if ((flags & 0x10) === 0) {
      this.top -= Math.ceil(length / page) * page;
      at = this.top;
    }
    for (let p = 0; p * page < length; p++) {
      const bytes = new Uint8Array(page);
      if (hostFd >= 0) readSync(hostFd, bytes, 0, page, offset + p * page);
      this.pages.set(at / page + p, { bytes, prot });
    }
    return at;
  }

  munmap(addr: number, length: number): number {
    for (let p = 0; p * page < length; p++) this.pages.delete(addr / page + p);
    return 0;
  }

  /** Bytes as the guest would read them; throws GuestFault at a page without PROT_READ. */
  read(addr: number, length: number): Uint8Array {
    return Uint8Array.from({ length }, (_, i) => {
      const found = this.pages.get(Math.floor((addr + i) / page));
      if (found === undefined || (found.prot & 1) === 0) throw new GuestFault(addr + i);
      return found.bytes[(addr + i) % page] as number;
    });
  }

  /** `rwx` of the page at `addr`; undefined where nothing is mapped. */
  protection(addr: number): string | undefined {
    const found = this.pages.get(Math.floor(addr / page));
    return found === undefined ? undefined : [...'rwx'].map((c, i) => ((found.prot >> i) & 1 ? c : '-')).join('');
  }

  readonly memory = {
    size: 2 ** 34,
    write: (addr: number, bytes: Uint8Array): void => {
      bytes.forEach((b, i) => {
        const found = this.pages.get(Math.floor((addr + i) / page));
        if (found === undefined || (found.prot & 2) === 0) throw new GuestFault(addr + i);
        found.bytes[(addr + i) % page] = b;
      });
    },
  } as unknown as GuestMemory;
}

export function errnoOf(result: number): string {
  return errnoName(-result) ?? String(result);
}

export const x86: import('../../src/loader/types.ts').LoaderIsa = {
  machine: 62,
  is64: true,
  littleEndian: true,
  pageSize: page,
  platform: 'x86_64',
  hwcap: 0x178bfbffn,
  hwcap2: 2n,
  minSignalStack: 2032,
  execStackByDefault: false,
};

export function text(s: string): Uint8Array {
  return new Uint8Array(Buffer.from(s));
}
