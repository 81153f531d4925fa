/**
 * Owns the C library's system calls as the Lua interpreter sees them (Emscripten's `env` and WASI imports), on
 * the real host through the Host port: `io` opens the host's own files, `os` tells its time and environment.
 *
 * Invariants: no call here touches guest memory, the guest's descriptor table or its registers; descriptors are
 * close-on-exec; a call interrupted by a signal for the guest is repeated.
 */

import { errno } from '../abi/errno.ts';
import type { Host } from '../kernel/ports.ts';
import { brokenDownTime, formatTime, secondsOf } from './lua-time.ts';

export interface LuaSystemOptions {
  readonly host: Host;
  /** What os.getenv sees. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Host descriptors behind io.stdin, io.stdout and io.stderr. */
  readonly stdio: readonly [number, number, number];
  /** os.exit(status). Must not return. */
  exit(status: number): never;
}

/** Emscripten numbers errors as WASI does; index = its number. */
const wasiErrors = (
  '0 E2BIG EACCES EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT EAGAIN EALREADY EBADF EBADMSG EBUSY ECANCELED ECHILD ' +
  'ECONNABORTED ECONNREFUSED ECONNRESET EDEADLK EDESTADDRREQ EDOM EDQUOT EEXIST EFAULT EFBIG EHOSTUNREACH EIDRM ' +
  'EILSEQ EINPROGRESS EINTR EINVAL EIO EISCONN EISDIR ELOOP EMFILE EMLINK EMSGSIZE EMULTIHOP ENAMETOOLONG ENETDOWN ' +
  'ENETRESET ENETUNREACH ENFILE ENOBUFS ENODEV ENOENT ENOEXEC ENOLCK ENOLINK ENOMEM ENOMSG ENOPROTOOPT ENOSPC ENOSYS ' +
  'ENOTCONN ENOTDIR ENOTEMPTY ENOTRECOVERABLE ENOTSOCK EOPNOTSUPP ENOTTY ENXIO EOVERFLOW EOWNERDEAD EPERM EPIPE EPROTO ' +
  'EPROTONOSUPPORT EPROTOTYPE ERANGE EROFS ESPIPE ESRCH ESTALE ETIMEDOUT ETXTBSY EXDEV'
).split(' ');

const toWasi = new Map<number, number>();
const fromWasi = new Map<number, number>();
wasiErrors.forEach((name, number) => {
  const linux = (errno as Readonly<Record<string, number>>)[name];
  if (linux === undefined) return;
  toWasi.set(linux, number);
  fromWasi.set(number, linux);
});

/** Linux's number for an error number of the interpreter's C library. */
export function linuxErrno(wasi: number): number {
  return fromWasi.get(wasi) ?? wasi;
}

const WASI_EIO = toWasi.get(errno.EIO) as number;
/** Positive WASI number for a kernel result −errno. */
const failure = (result: number): number => toWasi.get(-result) ?? WASI_EIO;

const AT_FDCWD = -100;
const O_CLOEXEC = 0o2000000;
/** Bytes moved per system call: the part of host.scratch used as bounce buffer. */
const CHUNK = 65536;
const PAGE = 65536;

/** The import object's `env` and `wasi_snapshot_preview1` parts, over `memory`. */
export function luaSystem(
  memory: WebAssembly.Memory,
  options: LuaSystemOptions,
): { env: WebAssembly.ModuleImports; wasi: WebAssembly.ModuleImports } {
  const { host, stdio } = options;
  let bytes = Buffer.from(memory.buffer);
  /** The memory as it is now: a shared one keeps old views valid, but they do not see what it grew by. */
  const data = (): Buffer => {
    if (bytes.length !== memory.buffer.byteLength) bytes = Buffer.from(memory.buffer);
    return bytes;
  };
  const cstring = (at: number): Buffer => {
    const view = data();
    return view.subarray(at, view.indexOf(0, at));
  };
  const hostFd = (fd: number): number => (fd >= 0 && fd < 3 ? (stdio[fd] as number) : fd);
  const call = (name: string, a = 0, b = 0, c = 0, d = 0, e = 0): number => {
    const nr = host.nr[name];
    if (nr === undefined || nr < 0) return -errno.ENOSYS;
    for (;;) {
      const result = host.syscall(nr, a, b, c, d, e);
      if (result !== -errno.EINTR) return result;
    }
  };
  /** Run `body` with host.scratch allocations given back afterwards. */
  const scratched = <T>(body: (alloc: (from: Buffer | number) => { at: number; address: number }) => T): T => {
    const mark = host.scratch.mark();
    try {
      return body((from) => {
        const at = host.scratch.alloc(typeof from === 'number' ? from : from.length + 1);
        if (typeof from !== 'number') host.scratch.bytes.set(from, at);
        return { at, address: host.scratch.address + at };
      });
    } finally {
      host.scratch.release(mark);
    }
  };
  const wasiResult = (result: number): number => (result < 0 ? -failure(result) : result);

  /** Move bytes for each iovec with `move(address, length)`; stops at the first short count. */
  const vectors = (iov: number, count: number, done: number, write: boolean, fd: number): number => {
    const view = data();
    let total = 0;
    let error = 0;
    scratched((alloc) => {
      const buffer = alloc(CHUNK);
      for (let k = 0; k < count && error === 0; k++) {
        let at = view.readUInt32LE(iov + 8 * k);
        let left = view.readUInt32LE(iov + 8 * k + 4);
        while (left > 0) {
          const n = Math.min(left, CHUNK);
          if (write) host.scratch.bytes.set(view.subarray(at, at + n), buffer.at);
          const moved = call(write ? 'write' : 'read', hostFd(fd), buffer.address, n);
          if (moved < 0) {
            error = total > 0 ? 0 : failure(moved);
            return;
          }
          if (!write) view.set(host.scratch.bytes.subarray(buffer.at, buffer.at + moved), at);
          total += moved;
          at += moved;
          left -= moved;
          if (moved < n || !write) return;
        }
      }
    });
    view.writeUInt32LE(total, done);
    return error;
  };

  const environment = (): Buffer[] =>
    Object.entries(options.env)
      .filter((entry): entry is [string, string] => entry[1] !== undefined)
      .map(([key, value]) => Buffer.from(`${key}=${value}\0`));

  const env = {
    abort: () => {
      throw new Error('the Lua interpreter aborted');
    },
    exit: (status: number) => options.exit(status),
    // The prelude answers os.execute itself.
    system: () => -1,
    emscripten_date_now: () => Date.now(),
    _emscripten_get_now_is_monotonic: () => 1,
    emscripten_resize_heap: (wanted: number) => {
      const have = memory.buffer.byteLength;
      const size = Math.max(wanted >>> 0, have + Math.min(have >> 1, 64 << 20));
      for (const target of [size, wanted >>> 0]) {
        try {
          memory.grow(Math.ceil((target - have) / PAGE));
          return 1;
        } catch {
          // Beyond the maximum: try exactly what is needed, then report failure to malloc.
        }
      }
      return 0;
    },
    __syscall_openat: (dirfd: number, path: number, flags: number, more: number) =>
      scratched((alloc) => {
        const mode = more === 0 ? 0 : data().readUInt32LE(more);
        return wasiResult(call('openat', dirfd, alloc(cstring(path)).address, flags | O_CLOEXEC, mode));
      }),
    // Only F_SETFD (fopen's "e") and F_GETFL/F_SETFL reach this; all are plain integers.
    __syscall_fcntl64: (fd: number, command: number, more: number) =>
      wasiResult(call('fcntl', hostFd(fd), command, more === 0 ? 0 : data().readInt32LE(more))),
    // stdio asks TIOCGWINSZ to choose line buffering.
    __syscall_ioctl: (fd: number, request: number, _more: number) =>
      scratched((alloc) => wasiResult(call('ioctl', hostFd(fd), request >>> 0, alloc(64).address))),
    __syscall_dup3: (from: number, to: number, flags: number) =>
      wasiResult(call('dup3', hostFd(from), hostFd(to), flags | O_CLOEXEC)),
    __syscall_unlinkat: (dirfd: number, path: number, flags: number) =>
      scratched((alloc) => wasiResult(call('unlinkat', dirfd, alloc(cstring(path)).address, flags))),
    __syscall_rmdir: (path: number) =>
      scratched((alloc) => wasiResult(call('unlinkat', AT_FDCWD, alloc(cstring(path)).address, 0x200))),
    __syscall_renameat: (oldDir: number, oldPath: number, newDir: number, newPath: number) =>
      scratched((alloc) =>
        wasiResult(call('renameat2', oldDir, alloc(cstring(oldPath)).address, newDir, alloc(cstring(newPath)).address)),
      ),
    __syscall_readlinkat: (dirfd: number, path: number, target: number, size: number) =>
      scratched((alloc) => {
        const buffer = alloc(Math.max(size, 1));
        const result = call('readlinkat', dirfd, alloc(cstring(path)).address, buffer.address, size);
        if (result > 0) data().set(host.scratch.bytes.subarray(buffer.at, buffer.at + result), target);
        return wasiResult(result);
      }),
    _tzset_js: (zone: number, daylight: number, names: number) => {
      const year = new Date().getFullYear();
      const winter = new Date(year, 0, 1).getTimezoneOffset();
      const summer = new Date(year, 6, 1).getTimezoneOffset();
      data().writeInt32LE(60 * Math.max(winter, summer), zone);
      data().writeInt32LE(winter === summer ? 0 : 1, daylight);
      data().writeUInt32LE(0, names);
      data().writeUInt32LE(0, names + 4);
    },
    _localtime_js: (time: bigint, tm: number) => writeTm(data(), tm, brokenDownTime(Number(time), false)),
    _gmtime_js: (time: bigint, tm: number) => writeTm(data(), tm, brokenDownTime(Number(time), true)),
    _mktime_js: (tm: number) => {
      const seconds = secondsOf(readTm(data(), tm));
      if (!Number.isFinite(seconds)) return -1n;
      writeTm(data(), tm, brokenDownTime(seconds, false));
      return BigInt(seconds);
    },
    strftime: (target: number, size: number, format: number, tm: number) => {
      const text = Buffer.from(formatTime(cstring(format).toString('latin1'), readTm(data(), tm)));
      if (text.length >= size) return 0;
      data().set(text, target);
      data()[target + text.length] = 0;
      return text.length;
    },
  };

  const wasi = {
    fd_write: (fd: number, iov: number, count: number, done: number) => vectors(iov, count, done, true, fd),
    fd_read: (fd: number, iov: number, count: number, done: number) => vectors(iov, count, done, false, fd),
    fd_close: (fd: number) => {
      if (fd >= 0 && fd < 3) return 0; // the guest's own: never closed from Lua
      const result = call('close', fd);
      return result < 0 ? failure(result) : 0;
    },
    fd_seek: (fd: number, offset: bigint, whence: number, position: number) => {
      const result = host.syscall64(host.nr['lseek'] ?? -1, hostFd(fd), offset, whence);
      if (result < 0n) return failure(Number(result));
      data().writeBigInt64LE(result, position);
      return 0;
    },
    environ_sizes_get: (count: number, size: number) => {
      const all = environment();
      data().writeUInt32LE(all.length, count);
      data().writeUInt32LE(
        all.reduce((n, e) => n + e.length, 0),
        size,
      );
      return 0;
    },
    environ_get: (pointers: number, strings: number) => {
      for (const entry of environment()) {
        data().writeUInt32LE(strings, pointers);
        data().set(entry, strings);
        pointers += 4;
        strings += entry.length;
      }
      return 0;
    },
  };
  return { env: env as unknown as WebAssembly.ModuleImports, wasi: wasi as unknown as WebAssembly.ModuleImports };
}

/** struct tm as the interpreter's C library lays it out: nine 32-bit fields, then the zone's offset. */
export interface Tm {
  sec: number;
  min: number;
  hour: number;
  mday: number;
  mon: number;
  year: number;
  wday: number;
  yday: number;
  isdst: number;
  gmtoff: number;
}

const tmFields = ['sec', 'min', 'hour', 'mday', 'mon', 'year', 'wday', 'yday', 'isdst', 'gmtoff'] as const;

function writeTm(data: Buffer, at: number, tm: Tm): void {
  tmFields.forEach((field, k) => data.writeInt32LE(tm[field] | 0, at + 4 * k));
}

function readTm(data: Buffer, at: number): Tm {
  return Object.fromEntries(tmFields.map((field, k) => [field, data.readInt32LE(at + 4 * k)])) as unknown as Tm;
}
