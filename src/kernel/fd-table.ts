/**
 * The guest's descriptor table: guest descriptor → host descriptor and the close-on-exec flag. The guest never
 * sees a host number and can name no descriptor but those entered here.
 *
 * Invariants: a slot is free (0), reserved (RESERVED: number taken, file not there yet, as between the kernel's
 * get_unused_fd and fd_install) or holds exactly one host descriptor; two slots never hold the same one (dup
 * makes a host dup). The table lives in shared memory so that threads on other Workers can use it.
 */

import { errno } from '../abi/errno.ts';

const RESERVED = -1;
const CLOEXEC = 1;
const SPECIAL = 2;
const SHIFT = 2;
/** The kernel's default fs.nr_open: no guest limit can be above it. */
export const MAX_FDS = 1 << 20;

/**
 * A number that is no open descriptor on any host: passing it on lets the host kernel answer EBADF in its own
 * order of checks.
 */
export const BAD_HOST_FD = 0x7fffffff;

/** A descriptor whose operations the host kernel cannot answer alone (the guest's view of /proc). Opaque here. */
export interface SpecialFile {
  readonly kind: string;
}

export class FdTable {
  /** Per guest descriptor: 0 free, RESERVED, or (host + 1) << 2 | special << 1 | close-on-exec. */
  readonly #buffer: SharedArrayBuffer;
  #slots: Int32Array;
  /** Soft RLIMIT_NOFILE of the guest, asked at each allocation. */
  readonly #limit: () => number;
  /** No slot below this is free. */
  #lowest = 0;
  readonly #special = new Map<number, SpecialFile>();

  constructor(limit: () => number, buffer?: SharedArrayBuffer) {
    this.#limit = limit;
    this.#buffer = buffer ?? new SharedArrayBuffer(4096, { maxByteLength: MAX_FDS * 4 });
    this.#slots = new Int32Array(this.#buffer);
  }

  /** No number at or above this can be given to a new descriptor. */
  get limit(): number {
    return Math.min(this.#limit(), MAX_FDS);
  }

  /** Host descriptor of `fd`; BAD_HOST_FD if the guest has no such descriptor. */
  host(fd: number): number {
    const slot = this.#slots[fd];
    return slot !== undefined && slot > 0 ? (slot >> SHIFT) - 1 : BAD_HOST_FD;
  }

  has(fd: number): boolean {
    return (this.#slots[fd] ?? 0) > 0;
  }

  /** Take the lowest free number ≥ `from`; −EMFILE at the limit, −EINVAL if `from` itself is beyond it. */
  reserve(from = 0): number {
    const { limit } = this;
    if (from >= limit && from > 0) return -errno.EINVAL;
    let fd = Math.max(from, this.#lowest);
    for (; fd < limit; fd++) {
      if (fd >= this.#slots.length) this.#grow(fd);
      if (Atomics.compareExchange(this.#slots, fd, 0, RESERVED) === 0) {
        if (from <= this.#lowest) this.#lowest = fd + 1;
        return fd;
      }
    }
    return -errno.EMFILE;
  }

  /** Fill a reserved number. */
  install(fd: number, hostFd: number, cloexec: boolean): void {
    this.#slots[fd] = ((hostFd + 1) << SHIFT) | (cloexec ? CLOEXEC : 0);
  }

  /** Give a reserved number back. */
  cancel(fd: number): void {
    this.#slots[fd] = 0;
    if (fd < this.#lowest) this.#lowest = fd;
  }

  /**
   * Reserve a number, make the host descriptor, enter it. `make` returns a host descriptor or −errno, and is not
   * called when the guest has no number left (so open(O_CREAT) creates nothing then, as in the kernel).
   */
  open(make: () => number, cloexec: boolean, from = 0): number {
    const fd = this.reserve(from);
    if (fd < 0) return fd;
    let hostFd = -1;
    try {
      hostFd = make();
    } finally {
      if (hostFd < 0) this.cancel(fd);
    }
    if (hostFd < 0) return hostFd;
    this.install(fd, hostFd, cloexec);
    return fd;
  }

  /** Enter `hostFd` at exactly `fd`, whatever stood there. Returns the host descriptor to close, or −1. */
  replace(fd: number, hostFd: number, cloexec: boolean): number {
    if (fd >= this.#slots.length) this.#grow(fd);
    const old = this.#slots[fd] as number;
    this.#special.delete(fd);
    this.install(fd, hostFd, cloexec);
    return old > 0 ? (old >> SHIFT) - 1 : -1;
  }

  /** Is another thread between reserve and install for this number? dup2 onto it fails with EBUSY in the kernel. */
  isReserved(fd: number): boolean {
    return this.#slots[fd] === RESERVED;
  }

  /** Take `fd` out; returns the host descriptor, which the caller closes, or −1 if there is none. */
  remove(fd: number): number {
    const slot = this.#slots[fd] ?? 0;
    if (slot <= 0) return -1;
    if (Atomics.compareExchange(this.#slots, fd, slot, 0) !== slot) return -1;
    this.#special.delete(fd);
    if (fd < this.#lowest) this.#lowest = fd;
    return (slot >> SHIFT) - 1;
  }

  isCloexec(fd: number): boolean {
    const slot = this.#slots[fd] ?? 0;
    return slot > 0 && (slot & CLOEXEC) !== 0;
  }

  setCloexec(fd: number, on: boolean): void {
    const slot = this.#slots[fd] ?? 0;
    if (slot > 0) this.#slots[fd] = on ? slot | CLOEXEC : slot & ~CLOEXEC;
  }

  /** What the engine has to do itself for this descriptor; undefined (at the price of one array read) for most. */
  special(fd: number): SpecialFile | undefined {
    const slot = this.#slots[fd] ?? 0;
    return slot > 0 && (slot & SPECIAL) !== 0 ? this.#special.get(fd) : undefined;
  }

  setSpecial(fd: number, special: SpecialFile | undefined): void {
    const slot = this.#slots[fd] ?? 0;
    if (slot <= 0) return;
    if (special === undefined) this.#special.delete(fd);
    else this.#special.set(fd, special);
    this.#slots[fd] = special === undefined ? slot & ~SPECIAL : slot | SPECIAL;
  }

  /** Open guest descriptors in ascending order. */
  *numbers(): IterableIterator<number> {
    for (let fd = 0; fd < this.#slots.length; fd++) if ((this.#slots[fd] as number) > 0) yield fd;
  }

  /** Guest descriptor that stands for this host descriptor, or −1. Linear: for /proc links, not for hot paths. */
  guestOf(hostFd: number): number {
    for (const fd of this.numbers()) if (this.host(fd) === hostFd) return fd;
    return -1;
  }

  /** Entries for execve: takes all close-on-exec descriptors out and returns their host descriptors. */
  removeCloexec(): number[] {
    const closed: number[] = [];
    for (const fd of this.numbers()) if (this.isCloexec(fd)) closed.push(this.remove(fd));
    return closed;
  }

  /** The table's own size as the kernel reports it in FDSize: a power of two above every number used so far. */
  get capacity(): number {
    let last = 0;
    for (const fd of this.numbers()) last = fd;
    let size = 64;
    while (size <= last) size *= 2;
    return size;
  }

  #grow(fd: number): void {
    let length = Math.max(this.#slots.length, 1024);
    while (length <= fd) length *= 2;
    this.#buffer.grow(Math.min(length, MAX_FDS) * 4);
    this.#slots = new Int32Array(this.#buffer);
  }
}
