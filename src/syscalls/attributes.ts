/**
 * Changing what files are: modes, owners, times, and the inode attributes of file_getattr(2).
 */

import { errno } from '../abi/errno.ts';
import type { GuestAddr, HostAddr } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import { array, dirfd, fd, flags, forward, full, gid, mode, path, size, struct, structInOut, syscall, uid } from './declare.ts';
import { follows, locate } from './paths.ts';
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW } from './special-files.ts';

function changeMode(task: Task, at: number, name: GuestAddr, permissions: number, atFlags: number): number {
  const where = locate(task, at, name, { follow: follows(atFlags), thorough: true });
  if (atFlags === 0) return task.call('fchmodat', where.dirfd, where.path, permissions);
  return task.call('fchmodat2', where.dirfd, where.path, permissions, atFlags);
}

function changeOwner(task: Task, at: number, name: GuestAddr, user: number, group: number, atFlags: number): number {
  const where = locate(task, at, name, { follow: follows(atFlags), thorough: true });
  return task.call('fchownat', where.dirfd, where.path, user, group, atFlags);
}

/** Times as two host timespecs; 0 for NULL (now). */
function setTimes(task: Task, at: number, name: GuestAddr, times: HostAddr, atFlags: number): number {
  const where = locate(task, at, name, { follow: follows(atFlags), thorough: true });
  return task.call('utimensat', where.dirfd, where.path, times, atFlags);
}

/** struct timeval[2] → private struct timespec[2]. −EINVAL for microseconds out of range. */
function fromTimevals(task: Task, times: GuestAddr): HostAddr {
  if (times === 0) return 0;
  const { at, address } = task.scratch(32);
  const { view } = task.host.scratch;
  for (let k = 0; k < 2; k++) {
    const microseconds = task.memory.u64(times + 16 * k + 8);
    if (microseconds >= 1_000_000n) return -errno.EINVAL;
    view.setBigUint64(at + 16 * k, task.memory.u64(times + 16 * k), true);
    view.setBigUint64(at + 16 * k + 8, microseconds * 1000n, true);
  }
  return address;
}

const timevals = array('timeval', 16, 2);
const timespecs = array('timespec', 16, 2);

export const attributeSyscalls = [
  syscall({
    name: 'chmod', nr: { x86_64: 90 }, class: ['file'], args: { path, mode }, support: full,
    run: (task, { path, mode }) => changeMode(task, AT_FDCWD, path, mode, 0),
  }),
  syscall({
    name: 'fchmod', nr: { x86_64: 91, aarch64: 52 }, class: ['desc'], args: { fd, mode }, support: full, run: forward,
  }),
  syscall({
    name: 'fchmodat', nr: { x86_64: 268, aarch64: 53 }, class: ['file', 'desc'],
    args: { dirfd, path, mode }, support: full,
    run: (task, { dirfd, path, mode }) => changeMode(task, dirfd, path, mode, 0),
  }),
  syscall({
    name: 'fchmodat2', nr: { x86_64: 452, aarch64: 452 }, class: ['file', 'desc'],
    args: { dirfd, path, mode, flags: flags('at') }, support: full,
    run: (task, { dirfd, path, mode, flags }) => changeMode(task, dirfd, path, mode, flags),
  }),
  syscall({
    name: 'chown', nr: { x86_64: 92 }, class: ['file'], args: { path, owner: uid, group: gid }, support: full,
    run: (task, { path, owner, group }) => changeOwner(task, AT_FDCWD, path, owner, group, 0),
  }),
  syscall({
    name: 'lchown', nr: { x86_64: 94 }, class: ['file'], args: { path, owner: uid, group: gid }, support: full,
    run: (task, { path, owner, group }) => changeOwner(task, AT_FDCWD, path, owner, group, AT_SYMLINK_NOFOLLOW),
  }),
  syscall({
    name: 'fchown', nr: { x86_64: 93, aarch64: 55 }, class: ['desc'],
    args: { fd, owner: uid, group: gid }, support: full, run: forward,
  }),
  syscall({
    name: 'fchownat', nr: { x86_64: 260, aarch64: 54 }, class: ['file', 'desc'],
    args: { dirfd, path, owner: uid, group: gid, flags: flags('at') }, support: full,
    run: (task, { dirfd, path, owner, group, flags }) => changeOwner(task, dirfd, path, owner, group, flags),
  }),
  syscall({
    name: 'utime', nr: { x86_64: 132 }, class: ['file'],
    args: { path, times: struct('utimbuf', 16) }, support: full,
    run: (task, { path, times }) => {
      if (times === 0) return setTimes(task, AT_FDCWD, path, 0, 0);
      const { at, address } = task.scratch(32);
      task.host.scratch.view.setBigUint64(at, task.memory.u64(times), true);
      task.host.scratch.view.setBigUint64(at + 16, task.memory.u64(times + 8), true);
      return setTimes(task, AT_FDCWD, path, address, 0);
    },
  }),
  syscall({
    name: 'utimes', nr: { x86_64: 235 }, class: ['file'], args: { path, times: timevals }, support: full,
    run: (task, { path, times }) => {
      const host = fromTimevals(task, times);
      return host < 0 ? host : setTimes(task, AT_FDCWD, path, host, 0);
    },
  }),
  syscall({
    name: 'futimesat', nr: { x86_64: 261 }, class: ['file', 'desc'],
    args: { dirfd, path, times: timevals }, support: full,
    run: (task, { dirfd, path, times }) => {
      const host = fromTimevals(task, times);
      return host < 0 ? host : setTimes(task, dirfd, path, host, 0);
    },
  }),
  syscall({
    name: 'utimensat', nr: { x86_64: 280, aarch64: 88 }, class: ['file', 'desc'],
    args: { dirfd, path, times: timespecs, flags: flags('at') }, support: full,
    run: (task, { dirfd, path, times, flags }) => setTimes(task, dirfd, path, task.pointer(times, 32), flags),
  }),
  syscall({
    name: 'file_getattr', nr: { x86_64: 468, aarch64: 468 }, class: ['file', 'desc'],
    args: { dirfd, path, attr: structInOut('file_attr', 0), size, at_flags: flags('at') }, support: full,
    run: (task, { dirfd, path, attr, size, at_flags }) => {
      const where = locate(task, dirfd, path, { follow: follows(at_flags), sysroot: true });
      return task.call('file_getattr', where.dirfd, where.path, task.pointer(attr, size), Math.min(size, 2 ** 50), at_flags);
    },
  }),
  syscall({
    name: 'file_setattr', nr: { x86_64: 469, aarch64: 469 }, class: ['file', 'desc'],
    args: { dirfd, path, attr: struct('file_attr', 0), size, at_flags: flags('at') }, support: full,
    run: (task, { dirfd, path, attr, size, at_flags }) => {
      const where = locate(task, dirfd, path, { follow: follows(at_flags), thorough: true });
      return task.call('file_setattr', where.dirfd, where.path, task.pointer(attr, size), Math.min(size, 2 ** 50), at_flags);
    },
  }),
];
