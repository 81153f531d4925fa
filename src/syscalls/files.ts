/**
 * Reading, writing, positioning and resizing of open files: read(2) to splice(2), truncate(2), fsync(2), flock(2).
 */

import { errno } from '../abi/errno.ts';
import type { Arg, GuestAddr } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import {
  byteCount, bytesIn, bytesOut, choice, fd, flags, forward, full, int, iovec, offset, path, size, struct, structInOut,
  structOut, syscall, uint, unused, word,
} from './declare.ts';
import { hostIovecs, readIovecs, translateIovecs } from './iovecs.ts';
import { locateToChange } from './paths.ts';
import { refresh, seekSpecial, transferSpecial } from './special-files.ts';
import { type FanotifyGroup, readFanotify, writeFanotify } from './watch.ts';

/** One contiguous transfer. `at` undefined: at the file's position. */
function transfer(task: Task, name: string, guestFd: number, buf: GuestAddr, count: number, at?: Arg): number {
  const length = task.room(buf, count);
  const special = task.fds.special(guestFd);
  if (special !== undefined) {
    const writing = name.includes('write');
    if (special.kind === 'fanotify' && length >= 0) {
      if (writing) return writeFanotify(task, guestFd, buf, length);
      return readFanotify(task, guestFd, special as FanotifyGroup, buf, length);
    }
    const done = transferSpecial(task, guestFd, [{ base: buf, length }], at, writing);
    if (done !== undefined) return done;
  }
  return task.call(name, task.hostFd(guestFd), task.pointer(buf, length), length, at ?? 0);
}

/** One transfer through an iovec array. `at` undefined: at the file's position. */
function transferVector(
  task: Task, name: string, guestFd: number, iov: GuestAddr, count: number, at: Arg | undefined, ...rest: Arg[]
): number {
  const special = task.fds.special(guestFd);
  if (special === undefined) return task.call(name, task.hostFd(guestFd), translateIovecs(task, iov, count), count, ...rest);
  const segments = readIovecs(task, iov, count);
  if (segments !== undefined) {
    const only = segments.find((s) => s.length !== 0);
    if (special.kind === 'fanotify') {
      // One event or answer at a time, as the kernel takes them.
      return only === undefined ? 0 : transfer(task, name.includes('write') ? 'write' : 'read', guestFd, only.base, only.length);
    }
    const done = transferSpecial(task, guestFd, segments, at, name.includes('write'));
    if (done !== undefined) return done;
  }
  return task.call(name, task.hostFd(guestFd), hostIovecs(task, segments), count, ...rest);
}

/** Memory windows (/proc/self/mem) would let the kernel copy beyond the guest's space: it refuses splice there too. */
function isWindow(task: Task, guestFd: number): boolean {
  return task.fds.special(guestFd)?.kind === 'window';
}

/** `refresh` for calls that take a pointer to the offset. */
function refreshAt(task: Task, guestFd: number, pointerToOffset: GuestAddr): void {
  if (task.fds.special(guestFd)?.kind !== 'text') return;
  refresh(task, guestFd, pointerToOffset === 0 ? undefined : task.memory.u64(pointerToOffset));
}

/** A negative offset of preadv2/pwritev2 that means "at the file's position". */
function positionOf(at: Arg): Arg | undefined {
  return at === -1 ? undefined : at;
}

export const fileSyscalls = [
  syscall({
    name: 'read', nr: { x86_64: 0, aarch64: 63 }, class: ['desc', 'blocks'],
    args: { fd, buf: bytesOut('count'), count: size }, ret: byteCount, support: full, quick: true,
    run: (task, { fd, buf, count }) => transfer(task, 'read', fd, buf, count),
  }),
  syscall({
    name: 'write', nr: { x86_64: 1, aarch64: 64 }, class: ['desc', 'blocks'],
    args: { fd, buf: bytesIn('count'), count: size }, ret: byteCount, support: full, quick: true,
    run: (task, { fd, buf, count }) => transfer(task, 'write', fd, buf, count),
  }),
  syscall({
    name: 'pread64', nr: { x86_64: 17, aarch64: 67 }, class: ['desc', 'blocks'],
    args: { fd, buf: bytesOut('count'), count: size, pos: offset }, ret: byteCount, support: full, quick: true,
    run: (task, { fd, buf, count, pos }) => transfer(task, 'pread64', fd, buf, count, pos),
  }),
  syscall({
    name: 'pwrite64', nr: { x86_64: 18, aarch64: 68 }, class: ['desc', 'blocks'],
    args: { fd, buf: bytesIn('count'), count: size, pos: offset }, ret: byteCount, support: full, quick: true,
    run: (task, { fd, buf, count, pos }) => transfer(task, 'pwrite64', fd, buf, count, pos),
  }),
  syscall({
    name: 'readv', nr: { x86_64: 19, aarch64: 65 }, class: ['desc', 'blocks'],
    args: { fd, iov: iovec('iovcnt', 'out'), iovcnt: int }, ret: byteCount, support: full,
    run: (task, { fd, iov, iovcnt }) => transferVector(task, 'readv', fd, iov, iovcnt, undefined),
  }),
  syscall({
    name: 'writev', nr: { x86_64: 20, aarch64: 66 }, class: ['desc', 'blocks'],
    args: { fd, iov: iovec('iovcnt', 'in'), iovcnt: int }, ret: byteCount, support: full,
    run: (task, { fd, iov, iovcnt }) => transferVector(task, 'writev', fd, iov, iovcnt, undefined),
  }),
  syscall({
    name: 'preadv', nr: { x86_64: 295, aarch64: 69 }, class: ['desc', 'blocks'],
    args: { fd, iov: iovec('iovcnt', 'out'), iovcnt: int, pos: offset, pos_h: unused }, ret: byteCount, support: full,
    run: (task, { fd, iov, iovcnt, pos }) => transferVector(task, 'preadv', fd, iov, iovcnt, pos, pos, 0),
  }),
  syscall({
    name: 'pwritev', nr: { x86_64: 296, aarch64: 70 }, class: ['desc', 'blocks'],
    args: { fd, iov: iovec('iovcnt', 'in'), iovcnt: int, pos: offset, pos_h: unused }, ret: byteCount, support: full,
    run: (task, { fd, iov, iovcnt, pos }) => transferVector(task, 'pwritev', fd, iov, iovcnt, pos, pos, 0),
  }),
  syscall({
    name: 'preadv2', nr: { x86_64: 327, aarch64: 286 }, class: ['desc', 'blocks'],
    args: { fd, iov: iovec('iovcnt', 'out'), iovcnt: int, pos: offset, pos_h: unused, flags: flags('rwf') },
    ret: byteCount, support: full,
    run: (task, { fd, iov, iovcnt, pos, flags }) =>
      transferVector(task, 'preadv2', fd, iov, iovcnt, positionOf(pos), pos, 0, flags),
  }),
  syscall({
    name: 'pwritev2', nr: { x86_64: 328, aarch64: 287 }, class: ['desc', 'blocks'],
    args: { fd, iov: iovec('iovcnt', 'in'), iovcnt: int, pos: offset, pos_h: unused, flags: flags('rwf') },
    ret: byteCount, support: full,
    run: (task, { fd, iov, iovcnt, pos, flags }) =>
      transferVector(task, 'pwritev2', fd, iov, iovcnt, positionOf(pos), pos, 0, flags),
  }),
  syscall({
    name: 'lseek', nr: { x86_64: 8, aarch64: 62 }, class: ['desc'],
    args: { fd, offset, whence: choice('whence') }, ret: offset, support: full, quick: true,
    run: (task, { fd, offset, whence }) => {
      if (task.fds.special(fd) !== undefined) {
        const moved = seekSpecial(task, fd, offset, whence);
        if (moved !== undefined) return moved;
      }
      return task.call('lseek', task.hostFd(fd), offset, whence);
    },
  }),
  syscall({
    name: 'sendfile', nr: { x86_64: 40, aarch64: 71 }, class: ['desc', 'net', 'blocks'],
    args: { out_fd: fd, in_fd: fd, offset: structInOut('loff_t', 8), count: size }, ret: byteCount, support: full,
    run: (task, { out_fd, in_fd, offset, count }) => {
      if (isWindow(task, in_fd) || isWindow(task, out_fd)) return -errno.EINVAL;
      refreshAt(task, in_fd, offset);
      return task.call('sendfile', task.hostFd(out_fd), task.hostFd(in_fd), task.pointer(offset, 8), exactSize(count));
    },
  }),
  syscall({
    name: 'copy_file_range', nr: { x86_64: 326, aarch64: 285 }, class: ['desc', 'blocks'],
    args: {
      fd_in: fd, off_in: structInOut('loff_t', 8), fd_out: fd, off_out: structInOut('loff_t', 8), len: size,
      flags: uint,
    },
    ret: byteCount, support: full,
    run: (task, { fd_in, off_in, fd_out, off_out, len, flags }) => {
      if (isWindow(task, fd_in) || isWindow(task, fd_out)) return -errno.EINVAL;
      // As with every file of /proc: EXDEV or EINVAL sends the caller to plain reading.
      if (task.fds.special(fd_in)?.kind === 'text') return -errno.EXDEV;
      return task.call(
        'copy_file_range', task.hostFd(fd_in), task.pointer(off_in, 8), task.hostFd(fd_out), task.pointer(off_out, 8),
        exactSize(len), flags,
      );
    },
  }),
  syscall({
    name: 'splice', nr: { x86_64: 275, aarch64: 76 }, class: ['desc', 'blocks'],
    args: {
      fd_in: fd, off_in: structInOut('loff_t', 8), fd_out: fd, off_out: structInOut('loff_t', 8), len: size,
      flags: flags('splice'),
    },
    ret: byteCount, support: full,
    run: (task, { fd_in, off_in, fd_out, off_out, len, flags }) => {
      if (isWindow(task, fd_in) || isWindow(task, fd_out)) return -errno.EINVAL;
      refreshAt(task, fd_in, off_in);
      return task.call(
        'splice', task.hostFd(fd_in), task.pointer(off_in, 8), task.hostFd(fd_out), task.pointer(off_out, 8),
        exactSize(len), flags,
      );
    },
  }),
  syscall({
    name: 'tee', nr: { x86_64: 276, aarch64: 77 }, class: ['desc', 'blocks'],
    args: { fdin: fd, fdout: fd, len: size, flags: flags('splice') }, ret: byteCount, support: full, run: forward,
  }),
  syscall({
    name: 'vmsplice', nr: { x86_64: 278, aarch64: 75 }, class: ['desc', 'blocks'],
    args: { fd, iov: iovec('nr_segs', 'in'), nr_segs: size, flags: flags('splice') }, ret: byteCount, support: full,
    run: (task, { fd, iov, nr_segs, flags }) => {
      const vector = translateIovecs(task, iov, Math.min(nr_segs, 0x7fffffff));
      return task.call('vmsplice', task.hostFd(fd), vector, exactSize(nr_segs), flags);
    },
  }),
  syscall({
    name: 'truncate', nr: { x86_64: 76, aarch64: 45 }, class: ['file'],
    args: { path, length: offset }, support: full,
    run: (task, { path, length }) => task.call('truncate', locateToChange(task, path), length),
  }),
  syscall({
    name: 'ftruncate', nr: { x86_64: 77, aarch64: 46 }, class: ['desc'],
    args: { fd, length: offset }, support: full, run: forward,
  }),
  syscall({
    name: 'fallocate', nr: { x86_64: 285, aarch64: 47 }, class: ['desc'],
    args: { fd, mode: flags('fallocate'), offset, len: offset }, support: full, run: forward,
  }),
  syscall({
    name: 'fadvise64', nr: { x86_64: 221, aarch64: 223 }, class: ['desc'],
    args: { fd, offset, len: offset, advice: choice('fadvise') }, support: full, run: forward,
  }),
  syscall({
    name: 'readahead', nr: { x86_64: 187, aarch64: 213 }, class: ['desc'],
    args: { fd, offset, count: word }, support: full, run: forward,
  }),
  syscall({ name: 'sync', nr: { x86_64: 162, aarch64: 81 }, args: {}, support: full, run: forward }),
  syscall({
    name: 'syncfs', nr: { x86_64: 306, aarch64: 267 }, class: ['desc'], args: { fd }, support: full, run: forward,
  }),
  syscall({
    name: 'fsync', nr: { x86_64: 74, aarch64: 82 }, class: ['desc'], args: { fd }, support: full, run: forward,
  }),
  syscall({
    name: 'fdatasync', nr: { x86_64: 75, aarch64: 83 }, class: ['desc'], args: { fd }, support: full, run: forward,
  }),
  syscall({
    name: 'sync_file_range', nr: { x86_64: 277, aarch64: 84 }, class: ['desc'],
    args: { fd, offset, nbytes: offset, flags: flags('sync_file_range') }, support: full, run: forward,
  }),
  syscall({
    name: 'flock', nr: { x86_64: 73, aarch64: 32 }, class: ['desc', 'blocks'],
    args: { fd, operation: flags('flock') }, support: full, run: forward,
  }),
  syscall({
    name: 'cachestat', nr: { x86_64: 451, aarch64: 451 }, class: ['desc'],
    args: {
      fd, cstat_range: struct('cachestat_range', 16), cstat: structOut('cachestat', 40), flags: uint,
    },
    support: full, run: forward,
  }),
];

/** A size argument for the host: what no number can hold exactly is negative as ssize_t, or as good as infinite. */
export function exactSize(count: number): Arg {
  if (count >= 2 ** 63) return -1;
  return count > Number.MAX_SAFE_INTEGER ? Number.MAX_SAFE_INTEGER : count;
}
