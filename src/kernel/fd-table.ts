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

/** How threads tell each other what is special about a descriptor. */
export interface SpecialSharing {
  sync(): void;
  tell(fd: number, special: SpecialFile | undefined): void;
}

/** Bytes before the slots: the hint where the lowest free one may be, the table's bytes in all (for who reads it from outside), the number of slots. */
const HEADER = 16;
/** The table as machine code reads it: byte offsets in it, and what a slot holds. */
export const FD_TABLE = { capacity: 8, slots: HEADER, special: SPECIAL, shift: SHIFT } as const;
/** The hint's low bits; the rest counts how often a descriptor became free. */
const HINT = MAX_FDS - 1;

export class FdTable {
  readonly buffer: SharedArrayBuffer;
  /** Per guest descriptor: 0 free, RESERVED, or (host + 1) << 2 | special << 1 | close-on-exec. */
  #slots: Int32Array;
  /** No slot below its low bits is free. The upper bits change with every slot that becomes free, so that none is overlooked. */
  readonly #hint: Int32Array;
  /** How many slots the buffer has, for who cannot ask it. Never more than there are. */
  readonly #capacity: Int32Array;
  /** Soft RLIMIT_NOFILE of the guest, asked at each allocation. */
  readonly #limit: () => number;
  readonly #special = new Map<number, SpecialFile>();
  readonly #sharing: SpecialSharing | undefined;

  /** `buffer`: of another thread's table, which this one then is as well. */
  constructor(limit: () => number, sharing?: SpecialSharing, buffer?: SharedArrayBuffer) {
    this.#limit = limit;
    this.#sharing = sharing;
    this.buffer = buffer ?? new SharedArrayBuffer(4096, { maxByteLength: HEADER + MAX_FDS * 4 });
    this.#hint = new Int32Array(this.buffer, 0, 1);
    this.#slots = this.#all();
    this.#capacity = new Int32Array(this.buffer, FD_TABLE.capacity, 1);
    this.#tellCapacity();
    if (buffer === undefined) this.#tellSize();
  }

  #tellSize(): void {
    new Int32Array(this.buffer, 4, 1)[0] = this.buffer.byteLength;
  }
  #tellCapacity(): void {
    const { length } = this.#slots;
    for (;;) {
      const told = Atomics.load(this.#capacity, 0);
      if (told >= length || Atomics.compareExchange(this.#capacity, 0, told, length) === told) return;
    }
  }

  /** All slots there are now. Of a fixed length: a view that follows the buffer's growth is slow. */
  #all(): Int32Array {
    return new Int32Array(this.buffer, HEADER, (this.buffer.byteLength - HEADER) >> 2);
  }

  /** What stands at `fd`; another thread may have made the table longer. */
  #slot(fd: number): number {
    const slot = this.#slots[fd];
    if (slot !== undefined) return slot;
    if (fd >= 0 && fd < (this.#capacity[0] as number)) this.#slots = this.#all();
    return this.#slots[fd] ?? 0;
  }
  /** Bytes of the table that begins with these. */
  static bytesOf(header: Uint8Array): number {
    const { buffer, byteOffset, length } = header;
    return length < 8 ? 0 : Math.min(HEADER + MAX_FDS * 4, new DataView(buffer, byteOffset).getUint32(4, true));
  }

  /** No number at or above this can be given to a new descriptor. */
  get limit(): number {
    return Math.min(this.#limit(), MAX_FDS);
  }

  /** Host descriptor of `fd`; BAD_HOST_FD if the guest has no such descriptor. */
  host(fd: number): number {
    const slot = this.#slot(fd);
    return slot > 0 ? (slot >> SHIFT) - 1 : BAD_HOST_FD;
  }

  has(fd: number): boolean {
    return this.#slot(fd) > 0;
  }

  /** Take the lowest free number ≥ `from`; −EMFILE at the limit, −EINVAL if `from` itself is beyond it. */
  reserve(from = 0): number {
    const { limit } = this;
    if (from >= limit && from > 0) return -errno.EINVAL;
    const hint = Atomics.load(this.#hint, 0);
    const lowest = hint & HINT;
    let fd = Math.max(from, lowest);
    for (; fd < limit; fd++) {
      if (fd >= this.#slots.length) this.#grow(fd);
      if (Atomics.compareExchange(this.#slots, fd, 0, RESERVED) === 0) {
        if (from <= lowest) Atomics.compareExchange(this.#hint, 0, hint, (hint & ~HINT) | Math.min(fd + 1, HINT));
        return fd;
      }
    }
    return -errno.EMFILE;
  }

  /** The slot is free again: look there first. */
  #freed(fd: number): void {
    for (;;) {
      const hint = Atomics.load(this.#hint, 0);
      const next = ((hint & ~HINT) + HINT + 1) | Math.min(fd, hint & HINT);
      if (Atomics.compareExchange(this.#hint, 0, hint, next) === hint) return;
    }
  }

  /** Fill a reserved number. */
  install(fd: number, hostFd: number, cloexec: boolean): void {
    this.#slots[fd] = ((hostFd + 1) << SHIFT) | (cloexec ? CLOEXEC : 0);
  }

  /** Give a reserved number back. */
  cancel(fd: number): void {
    Atomics.store(this.#slots, fd, 0);
    this.#freed(fd);
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
    const old = Atomics.exchange(this.#slots, fd, ((hostFd + 1) << SHIFT) | (cloexec ? CLOEXEC : 0));
    return old > 0 ? (old >> SHIFT) - 1 : -1;
  }

  /** Is another thread between reserve and install for this number? dup2 onto it fails with EBUSY in the kernel. */
  isReserved(fd: number): boolean {
    return this.#slot(fd) === RESERVED;
  }

  /** Take `fd` out; returns the host descriptor, which the caller closes, or −1 if there is none. */
  remove(fd: number): number {
    const slot = this.#slot(fd);
    if (slot <= 0) return -1;
    if (Atomics.compareExchange(this.#slots, fd, slot, 0) !== slot) return -1;
    this.#freed(fd);
    return (slot >> SHIFT) - 1;
  }

  isCloexec(fd: number): boolean {
    const slot = this.#slot(fd);
    return slot > 0 && (slot & CLOEXEC) !== 0;
  }

  setCloexec(fd: number, on: boolean): void {
    const slot = this.#slot(fd);
    if (slot > 0) this.#slots[fd] = on ? slot | CLOEXEC : slot & ~CLOEXEC;
  }

  /** What the engine has to do itself for this descriptor; undefined (at the price of one array read) for most. */
  special(fd: number): SpecialFile | undefined {
    const slot = this.#slot(fd);
    if (slot <= 0 || (slot & SPECIAL) === 0) return undefined;
    this.#sharing?.sync();
    return this.#special.get(fd);
  }

  /** As this thread knows it from now on, and only this one: what the engine needs beside what was told. */
  revive(fd: number, special: SpecialFile): void {
    this.#special.set(fd, special);
  }

  setSpecial(fd: number, special: SpecialFile | undefined): void {
    const slot = this.#slot(fd);
    if (slot <= 0) return;
    this.applySpecial(fd, special);
    if (special !== undefined) this.#sharing?.tell(fd, special);
    this.#slots[fd] = special === undefined ? slot & ~SPECIAL : slot | SPECIAL;
  }

  /** What another thread told. */
  applySpecial(fd: number, special: SpecialFile | undefined): void {
    if (special === undefined) this.#special.delete(fd);
    else this.#special.set(fd, special);
  }
  /** All that is special, for a thread that knows nothing. */
  specials(): [number, SpecialFile][] {
    return [...this.#special].filter(([fd]) => (this.#slot(fd) & SPECIAL) !== 0);
  }

  /** Open guest descriptors in ascending order. */
  *numbers(): IterableIterator<number> {
    for (let fd = 0; fd < (this.#capacity[0] as number); fd++) if (this.#slot(fd) > 0) yield fd;
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
    const bytes = HEADER + Math.min(length, MAX_FDS) * 4;
    // Another thread may have been quicker, and grown it further.
    if (bytes > this.buffer.byteLength) {
      try {
        this.buffer.grow(bytes);
        this.#tellSize();
      } catch (error) {
        if (!(error instanceof RangeError) || fd >= this.#all().length) throw error;
      }
    }
    this.#slots = this.#all();
    this.#tellCapacity();
  }
}
