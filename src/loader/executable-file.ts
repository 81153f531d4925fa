/** A file about to be executed: opened and checked as open_exec() in the kernel does, read by position. */

import { errno } from '../abi/errno.ts';
import type { ByteSource } from '../elf/source.ts';
import type { Host } from '../kernel/ports.ts';
import { display, ExecError, errnoSentence } from './exec-error.ts';

const AT_FDCWD = -100;
const AT_EACCESS = 0x200;
const AT_EMPTY_PATH = 0x1000;
const X_OK = 1;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const S_IFMT = 0o170000;
const S_IFREG = 0o100000;
const S_IFDIR = 0o040000;
const CHUNK = 65536;

export class ExecutableFile implements ByteSource {
  readonly #host: Host;
  readonly fd: number;
  /** As the guest named it. */
  readonly path: Uint8Array;
  readonly size: number;
  readonly mode: number;

  /** Takes over `fd`. Throws ExecError (and closes it) unless it is a regular file that may be executed. */
  constructor(host: Host, fd: number, path: Uint8Array) {
    this.#host = host;
    this.fd = fd;
    this.path = path;
    try {
      const stat = fstat(host, fd);
      if (stat === undefined) throw new ExecError('EACCES', display(path), 'its status cannot be read');
      this.size = stat.size;
      this.mode = stat.mode;
      const type = stat.mode & S_IFMT;
      if (type === S_IFDIR) throw new ExecError('EACCES', display(path), 'it is a directory');
      if (type !== S_IFREG) throw new ExecError('EACCES', display(path), 'it is not a regular file');
      if (!mayExecute(host, fd, stat.mode))
        throw new ExecError(
          'EACCES',
          display(path),
          'Permission denied (the file is not executable; chmod +x makes it so)',
        );
    } catch (error) {
      this.close();
      throw error;
    }
  }

  read(offset: number, length: number): Uint8Array {
    const result = new Uint8Array(length);
    let done = 0;
    while (done < length) {
      const n = this.#readSome(offset + done, Math.min(CHUNK, length - done), result, done);
      if (n === 0) break;
      done += n;
    }
    return done === length ? result : result.subarray(0, done);
  }

  #readSome(offset: number, length: number, target: Uint8Array, at: number): number {
    const { scratch } = this.#host;
    const mark = scratch.mark();
    try {
      const buffer = scratch.alloc(length);
      for (;;) {
        const n = this.#host.syscall(nr(this.#host, 'pread64'), this.fd, scratch.address + buffer, length, offset);
        if (n === -errno.EINTR) continue;
        if (n < 0) throw new ExecError(-n, display(this.path), `it cannot be read: ${errnoSentence(-n)}`);
        target.set(scratch.bytes.subarray(buffer, buffer + n), at);
        return n;
      }
    } finally {
      scratch.release(mark);
    }
  }

  close(): void {
    this.#host.syscall(nr(this.#host, 'close'), this.fd);
  }
}

function nr(host: Host, name: string): number {
  return host.nr[name] as number;
}

/** By statx, whose layout is the same on every host architecture (struct stat differs). */
function fstat(host: Host, fd: number): { size: number; mode: number } | undefined {
  const { scratch } = host;
  const mark = scratch.mark();
  try {
    const at = scratch.alloc(256);
    // struct statx: mode at 28 (u16), size at 40 (u64).
    const empty = scratch.alloc(1);
    const mask = 0x0001 | 0x0002 | 0x0200; // STATX_TYPE | STATX_MODE | STATX_SIZE
    const result = host.syscall(
      nr(host, 'statx'),
      fd,
      scratch.address + empty,
      AT_EMPTY_PATH,
      mask,
      scratch.address + at,
    );
    if (result < 0) return undefined;
    return { mode: scratch.view.getUint16(at + 28, true), size: Number(scratch.view.getBigUint64(at + 40, true)) };
  } finally {
    scratch.release(mark);
  }
}

function mayExecute(host: Host, fd: number, mode: number): boolean {
  const { scratch } = host;
  const mark = scratch.mark();
  try {
    const empty = scratch.alloc(1);
    const faccessat2 = host.nr['faccessat2'] ?? -1;
    if (faccessat2 >= 0) {
      const result = host.syscall(faccessat2, fd, scratch.address + empty, X_OK, AT_EMPTY_PATH | AT_EACCESS);
      if (result !== -errno.ENOSYS && result !== -errno.EPERM) return result === 0;
    }
    // Kernels before 5.8 (and container filters that do not know the call): the mode bits say nearly as much.
    return (mode & 0o111) !== 0;
  } finally {
    scratch.release(mark);
  }
}

/**
 * Opens `path` (a host path) for reading: a host descriptor or −errno. O_NONBLOCK, so that a FIFO in the
 * program's place is refused and not waited for.
 */
export function openHostPath(host: Host, path: Uint8Array): number {
  const { scratch } = host;
  const mark = scratch.mark();
  try {
    const at = scratch.alloc(path.length + 1);
    scratch.bytes.set(path, at);
    return host.syscall(nr(host, 'openat'), AT_FDCWD, scratch.address + at, O_CLOEXEC | O_NONBLOCK, 0);
  } finally {
    scratch.release(mark);
  }
}

/** The path a descriptor is open on, as the kernel tells it; undefined where it cannot. */
export function pathOfFd(host: Host, fd: number): Uint8Array | undefined {
  const { scratch } = host;
  const mark = scratch.mark();
  try {
    const name = new TextEncoder().encode(`/proc/self/fd/${fd}`);
    const at = scratch.alloc(name.length + 1);
    scratch.bytes.set(name, at);
    const out = scratch.alloc(4096);
    const n = host.syscall(nr(host, 'readlinkat'), AT_FDCWD, scratch.address + at, scratch.address + out, 4096);
    return n > 0 ? scratch.bytes.slice(out, out + n) : undefined;
  } finally {
    scratch.release(mark);
  }
}
