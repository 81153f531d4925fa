/**
 * The guest's range of host address space, as the host's kernel sees it: the calls that carry out what
 * address-space.ts has decided. Addresses are the guest's unless they are called host addresses.
 *
 * Invariant: there is never a moment at which a page of the range is unmapped, for any other mapping of the process
 * could come to lie there. What is not in use is mapped PROT_NONE.
 */

import { mapFlags, mremapFlags } from '../abi/constants/memory.ts';
import { errno } from '../abi/errno.ts';
import type { Host, HostAddr } from '../kernel/ports.ts';
import { type Backing, PAGE } from './mapping.ts';

const { MAP_FIXED, MAP_ANONYMOUS, MAP_NORESERVE, MAP_FIXED_NOREPLACE } = mapFlags.values;
const MAP_PRIVATE = 2;
const CLOSED = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
const { MREMAP_MAYMOVE, MREMAP_FIXED, MREMAP_DONTUNMAP } = mremapFlags.values;

export class HostRange {
  /** Host address of guest address 0. */
  readonly base: HostAddr;
  readonly #host: Host;

  constructor(host: Host) {
    this.#host = host;
    this.base = host.memoryBase;
  }

  /** A host call whose first argument is a guest address. */
  call(name: string, addr: number, a1: number, a2 = 0, a3 = 0, a4 = 0): number {
    return this.#host.syscall(this.#host.nr[name]!, this.base + addr, a1, a2, a3, a4);
  }

  /** mmap in place of what is there. After an error there may be a hole: see fillHole. */
  map(addr: number, bytes: number, prot: number, flags: number, fd: number, offset: number): number {
    return this.#host.syscall(this.#host.nr['mmap']!, this.base + addr, bytes, prot, flags | MAP_FIXED, fd, offset);
  }

  /** PROT_NONE over [start, end); 0 or −errno. */
  close(start: number, end: number): number {
    const result = this.#host.syscall(this.#host.nr['mmap']!, this.base + start, end - start, 0, CLOSED | MAP_FIXED, -1, 0);
    return result < 0 ? result : 0;
  }

  /** True if [addr, addr + bytes) was unmapped; it is closed now. */
  fillHole(addr: number, bytes: number): boolean {
    const flags = CLOSED | MAP_FIXED_NOREPLACE;
    return this.#host.syscall(this.#host.nr['mmap']!, this.base + addr, bytes, 0, flags, -1, 0) >= 0;
  }

  /** mremap of host addresses to a fixed place: the new place, or −errno. */
  remap(from: HostAddr, oldBytes: number, to: HostAddr, bytes: number): number {
    return this.#host.syscall(this.#host.nr['mremap']!, from, oldBytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to);
  }

  /**
   * Move guest memory to a host address and leave the old range mapped, so that there is no moment at which it is
   * free; kernels that cannot (before 5.13, for files) close it right after.
   */
  remapKeeping(start: number, bytes: number, to: HostAddr): number {
    const flags = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;
    const from = this.base + start;
    const result = this.#host.syscall(this.#host.nr['mremap']!, from, bytes, bytes, flags, to);
    if (result !== -errno.EINVAL) return result;
    const moved = this.remap(from, bytes, to, bytes);
    if (moved >= 0) this.close(start, start + bytes);
    return moved;
  }

  /** Move guest memory out of the range; returns the host address where it is now, or −errno. */
  moveAside(start: number, bytes: number): number {
    const place = this.#host.syscall(this.#host.nr['mmap']!, 0, bytes, 0, CLOSED, -1, 0);
    if (place < 0) return place;
    const result = this.remapKeeping(start, bytes, place);
    return result < 0 ? result : place;
  }

  /** shmat in place of what is there. */
  attach(id: number, addr: number, flags: number): number {
    return this.#host.syscall(this.#host.nr['shmat']!, id, this.base + addr, flags);
  }

  /** Identity of an open file, or −EBADF. `shared`: whether it is to be known if the file was opened for writing. */
  describe(hostFd: number, shared: boolean): Backing | number {
    const host = this.#host;
    const mark = host.scratch.mark();
    const at = host.scratch.alloc(144);
    const view = host.scratch.view;
    const failed = host.syscall(host.nr['fstat']!, hostFd, host.scratch.address + at);
    const dev = Number(view.getBigUint64(at, true));
    const inode = Number(view.getBigUint64(at + 8, true));
    host.scratch.release(mark);
    if (failed < 0) return -errno.EBADF;
    const F_GETFL = 3;
    const O_ACCMODE = 3;
    const writable = shared && (host.syscall(host.nr['fcntl']!, hostFd, F_GETFL) & O_ACCMODE) !== 0;
    return { kind: 'file', path: this.#pathOf(hostFd), dev, inode, id: 0, writable };
  }

  /** True if the file lies on a file system mounted noexec. */
  mountedNoExec(hostFd: number): boolean {
    const { scratch, nr } = this.#host;
    const ST_NOEXEC = 8;
    const mark = scratch.mark();
    const at = scratch.alloc(128);
    const result = this.#host.syscall(nr['fstatfs']!, hostFd, scratch.address + at);
    const noExec = result >= 0 && (scratch.view.getUint32(at + 80, true) & ST_NOEXEC) !== 0;
    scratch.release(mark);
    return noExec;
  }

  /** Size in bytes of a System V segment, page-rounded, or −errno. */
  shmSize(id: number): number {
    const { scratch, nr } = this.#host;
    const IPC_STAT = 2;
    const mark = scratch.mark();
    const at = scratch.alloc(144);
    const result = this.#host.syscall(nr['shmctl']!, id, IPC_STAT, scratch.address + at);
    const bytes = Number(scratch.view.getBigUint64(at + 48, true));
    scratch.release(mark);
    return result < 0 ? result : Math.ceil(bytes / PAGE) * PAGE;
  }

  #pathOf(hostFd: number): string {
    const { scratch, nr } = this.#host;
    const mark = scratch.mark();
    const name = new TextEncoder().encode(`/proc/self/fd/${hostFd}\0`);
    const nameAt = scratch.alloc(name.length);
    scratch.bytes.set(name, nameAt);
    const at = scratch.alloc(PAGE);
    const AT_FDCWD = -100;
    const n = this.#host.syscall(nr['readlinkat']!, AT_FDCWD, scratch.address + nameAt, scratch.address + at, PAGE);
    const path = n > 0 ? new TextDecoder().decode(scratch.bytes.slice(at, at + n)) : '';
    scratch.release(mark);
    return path;
  }
}
