/**
 * Directories and names: getdents, chdir, mkdir, unlink, rename, link, symlink, readlink, mknod, umask, chroot.
 */

import type { GuestAddr } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import { bytesOut, dev, dirfd, fd, flags, forward, full, int, mode, path, byteCount, size, string, syscall, uint } from './declare.ts';
import { copyString, isOnProc, locate, PATH_MAX, reach } from './paths.ts';
import { nodeAt } from './proc-entry.ts';
import { linkTarget } from './proc-view.ts';
import { AT_FDCWD, procFile, readListing } from './special-files.ts';

const AT_SYMLINK_FOLLOW = 0x400;
const O_PATH_DIRECTORY = 0o12200000;

function getdents(task: Task, name: string, guestFd: number, dirent: GuestAddr, count: number): number {
  const special = procFile(task, guestFd);
  if (special?.kind !== 'listing') return task.call(name, task.hostFd(guestFd), task.pointer(dirent, count), count);
  const before = special.position;
  const records = readListing(task, special, count, name === 'getdents');
  if (typeof records === 'number') return records;
  try {
    task.memory.write(dirent, records);
  } catch (error) {
    special.position = before;
    throw error;
  }
  return records.length;
}

/** After a change of directory: do relative paths start in /proc now? */
function noteDirectory(task: Task): void {
  const dot = task.call('openat', AT_FDCWD, task.cstring(Buffer.from('.')), O_PATH_DIRECTORY, 0);
  task.process.cwdInProc = dot >= 0 && isOnProc(task, dot);
  if (dot >= 0) task.call('close', dot);
}

function mkdirAt(task: Task, at: number, name: GuestAddr, permissions: number): number {
  const where = locate(task, at, name, { follow: false });
  return task.call('mkdirat', where.dirfd, where.path, permissions);
}

function unlinkAt(task: Task, at: number, name: GuestAddr, unlinkFlags: number): number {
  const where = locate(task, at, name, { follow: false });
  return task.call('unlinkat', where.dirfd, where.path, unlinkFlags);
}

function renameAt(task: Task, fromAt: number, from: GuestAddr, toAt: number, to: GuestAddr, renameFlags: number): number {
  const source = locate(task, fromAt, from, { follow: false });
  const target = locate(task, toAt, to, { follow: false });
  return task.call('renameat2', source.dirfd, source.path, target.dirfd, target.path, renameFlags);
}

function linkAt(task: Task, fromAt: number, from: GuestAddr, toAt: number, to: GuestAddr, linkFlags: number): number {
  const follow = (linkFlags & AT_SYMLINK_FOLLOW) !== 0;
  const source = locate(task, fromAt, from, { follow, thorough: follow });
  const target = locate(task, toAt, to, { follow: false });
  return task.call('linkat', source.dirfd, source.path, target.dirfd, target.path, linkFlags);
}

function symlinkAt(task: Task, content: GuestAddr, at: number, name: GuestAddr): number {
  const target = copyString(task, content, PATH_MAX);
  const where = locate(task, at, name, { follow: false });
  return task.call('symlinkat', target, where.dirfd, where.path);
}

function readlinkAt(task: Task, at: number, name: GuestAddr, buf: GuestAddr, room: number): number {
  const where = locate(task, at, name, { follow: false, sysroot: true });
  let node = where.node;
  if (where.text === '' && at >= 0) {
    const special = procFile(task, at);
    if (special !== undefined) node = nodeAt(task, special.path) ?? undefined;
  }
  const target = node === undefined ? undefined : linkTarget(task, node);
  if (target === undefined || room <= 0) return task.call('readlinkat', where.dirfd, where.path, task.pointer(buf, Math.max(room, 0)), room);
  const shown = Buffer.from(target, 'utf8').subarray(0, room);
  task.memory.write(buf, shown);
  return shown.length;
}

function mknodAt(task: Task, at: number, name: GuestAddr, type: number, device: number): number {
  const where = locate(task, at, name, { follow: false });
  return task.call('mknodat', where.dirfd, where.path, type, device);
}

export const directorySyscalls = [
  syscall({
    name: 'getdents', nr: { x86_64: 78 }, class: ['desc'],
    args: { fd, dirent: bytesOut('count'), count: uint }, ret: byteCount, support: full,
    run: (task, { fd, dirent, count }) => getdents(task, 'getdents', fd, dirent, count),
  }),
  syscall({
    name: 'getdents64', nr: { x86_64: 217, aarch64: 61 }, class: ['desc'],
    args: { fd, dirent: bytesOut('count'), count: uint }, ret: byteCount, support: full,
    run: (task, { fd, dirent, count }) => getdents(task, 'getdents64', fd, dirent, count),
  }),
  syscall({
    name: 'getcwd', nr: { x86_64: 79, aarch64: 17 }, class: ['file'],
    args: { buf: bytesOut('size'), size }, ret: byteCount, support: full,
    run: (task, { buf, size }) => {
      // No answer is longer than PATH_MAX, and the kernel looks at no more of the buffer than it fills.
      const room = task.room(buf, Math.min(size, PATH_MAX));
      return task.call('getcwd', task.pointer(buf, room), room);
    },
  }),
  syscall({
    name: 'chdir', nr: { x86_64: 80, aarch64: 49 }, class: ['file'], args: { path }, support: full,
    run: (task, { path }) => {
      const result = task.call('chdir', reach(task, locate(task, AT_FDCWD, path, { thorough: true })));
      if (result === 0) noteDirectory(task);
      return result;
    },
  }),
  syscall({
    name: 'fchdir', nr: { x86_64: 81, aarch64: 50 }, class: ['desc'], args: { fd }, support: full,
    run: (task, { fd }) => {
      const result = task.call('fchdir', task.hostFd(fd));
      if (result === 0) noteDirectory(task);
      return result;
    },
  }),
  syscall({
    name: 'chroot', nr: { x86_64: 161, aarch64: 51 }, class: ['file'], args: { path }, support: full,
    run: (task, { path }) => task.call('chroot', reach(task, locate(task, AT_FDCWD, path, { thorough: true }))),
  }),
  syscall({
    name: 'mkdir', nr: { x86_64: 83 }, class: ['file'], args: { path, mode }, support: full,
    run: (task, { path, mode }) => mkdirAt(task, AT_FDCWD, path, mode),
  }),
  syscall({
    name: 'mkdirat', nr: { x86_64: 258, aarch64: 34 }, class: ['file'], args: { dirfd, path, mode }, support: full,
    run: (task, { dirfd, path, mode }) => mkdirAt(task, dirfd, path, mode),
  }),
  syscall({
    name: 'rmdir', nr: { x86_64: 84 }, class: ['file'], args: { path }, support: full,
    run: (task, { path }) => unlinkAt(task, AT_FDCWD, path, 0x200),
  }),
  syscall({
    name: 'unlink', nr: { x86_64: 87 }, class: ['file'], args: { path }, support: full,
    run: (task, { path }) => unlinkAt(task, AT_FDCWD, path, 0),
  }),
  syscall({
    name: 'unlinkat', nr: { x86_64: 263, aarch64: 35 }, class: ['file'],
    args: { dirfd, path, flags: flags('at') }, support: full,
    run: (task, { dirfd, path, flags }) => unlinkAt(task, dirfd, path, flags),
  }),
  syscall({
    name: 'rename', nr: { x86_64: 82 }, class: ['file'], args: { oldpath: path, newpath: path }, support: full,
    run: (task, { oldpath, newpath }) => renameAt(task, AT_FDCWD, oldpath, AT_FDCWD, newpath, 0),
  }),
  syscall({
    name: 'renameat', nr: { x86_64: 264, aarch64: 38 }, class: ['file'],
    args: { olddirfd: dirfd, oldpath: path, newdirfd: dirfd, newpath: path }, support: full,
    run: (task, { olddirfd, oldpath, newdirfd, newpath }) => renameAt(task, olddirfd, oldpath, newdirfd, newpath, 0),
  }),
  syscall({
    name: 'renameat2', nr: { x86_64: 316, aarch64: 276 }, class: ['file'],
    args: { olddirfd: dirfd, oldpath: path, newdirfd: dirfd, newpath: path, flags: flags('rename') }, support: full,
    run: (task, { olddirfd, oldpath, newdirfd, newpath, flags }) =>
      renameAt(task, olddirfd, oldpath, newdirfd, newpath, flags),
  }),
  syscall({
    name: 'link', nr: { x86_64: 86 }, class: ['file'], args: { oldpath: path, newpath: path }, support: full,
    run: (task, { oldpath, newpath }) => linkAt(task, AT_FDCWD, oldpath, AT_FDCWD, newpath, 0),
  }),
  syscall({
    name: 'linkat', nr: { x86_64: 265, aarch64: 37 }, class: ['file'],
    args: { olddirfd: dirfd, oldpath: path, newdirfd: dirfd, newpath: path, flags: flags('at') }, support: full,
    run: (task, { olddirfd, oldpath, newdirfd, newpath, flags }) =>
      linkAt(task, olddirfd, oldpath, newdirfd, newpath, flags),
  }),
  syscall({
    name: 'symlink', nr: { x86_64: 88 }, class: ['file'], args: { target: string, linkpath: path }, support: full,
    run: (task, { target, linkpath }) => symlinkAt(task, target, AT_FDCWD, linkpath),
  }),
  syscall({
    name: 'symlinkat', nr: { x86_64: 266, aarch64: 36 }, class: ['file'],
    args: { target: string, newdirfd: dirfd, linkpath: path }, support: full,
    run: (task, { target, newdirfd, linkpath }) => symlinkAt(task, target, newdirfd, linkpath),
  }),
  syscall({
    name: 'readlink', nr: { x86_64: 89 }, class: ['file'],
    args: { path, buf: bytesOut('bufsiz'), bufsiz: int }, ret: byteCount, support: full,
    run: (task, { path, buf, bufsiz }) => readlinkAt(task, AT_FDCWD, path, buf, bufsiz),
  }),
  syscall({
    name: 'readlinkat', nr: { x86_64: 267, aarch64: 78 }, class: ['file'],
    args: { dirfd, path, buf: bytesOut('bufsiz'), bufsiz: int }, ret: byteCount, support: full,
    run: (task, { dirfd, path, buf, bufsiz }) => readlinkAt(task, dirfd, path, buf, bufsiz),
  }),
  syscall({
    name: 'mknod', nr: { x86_64: 133 }, class: ['file'], args: { path, mode, dev }, support: full,
    run: (task, { path, mode, dev }) => mknodAt(task, AT_FDCWD, path, mode, dev),
  }),
  syscall({
    name: 'mknodat', nr: { x86_64: 259, aarch64: 33 }, class: ['file'],
    args: { dirfd, path, mode, dev }, support: full,
    run: (task, { dirfd, path, mode, dev }) => mknodAt(task, dirfd, path, mode, dev),
  }),
  syscall({ name: 'umask', nr: { x86_64: 95, aarch64: 166 }, args: { mask: mode }, ret: mode, support: full, run: forward }),
];

