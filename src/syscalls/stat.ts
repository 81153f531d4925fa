/**
 * What files are: stat, statx, access, statfs and their relatives. On x86-64 the guest's structures are the host's.
 */

import { errno } from '../abi/errno.ts';
import type { GuestAddr } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import { dev, dirfd, fd, flags, full, path, structOut, syscall, uint } from './declare.ts';
import { threadIds } from './guest-view.ts';
import { follows, type Located, locate } from './paths.ts';
import { hostPlaceOf, nodeAt, type ProcNode } from './proc-entry.ts';
import { AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, procFile } from './special-files.ts';

const STAT = 144;
const STATX = 256;
const STATFS = 120;
const stat = structOut('stat', STAT);

/** A synthesised file is a memfd on the host: whoever asks what it is must see the file of /proc it stands for. */
export function ownFile(task: Task, guestFd: number): Located | undefined {
  const special = procFile(task, guestFd);
  if (special?.kind !== 'text') return undefined;
  const node = nodeAt(task, special.path);
  if (node === undefined || node === null) return undefined;
  return { ...hostPlaceOf(task, node, true), text: special.path, node };
}

function located(task: Task, at: number, name: GuestAddr, atFlags: number): Located {
  const where = locate(task, at, name, { follow: follows(atFlags), sysroot: true });
  if (where.text === '' && (atFlags & AT_EMPTY_PATH) !== 0) return ownFile(task, at) ?? where;
  return where;
}

function statAt(task: Task, at: number, name: GuestAddr, statbuf: GuestAddr, atFlags: number): number {
  // What fstat(3) is: an ordinary descriptor needs no look at paths.
  if (atFlags === AT_EMPTY_PATH && at >= 0 && name !== 0 && task.fds.special(at) === undefined && task.memory.u8(name) === 0) {
    return task.call('newfstatat', task.hostFd(at), task.cstring(NO_PATH), task.pointer(statbuf, STAT), atFlags);
  }
  const where = located(task, at, name, atFlags);
  const result = task.call('newfstatat', where.dirfd, where.path, task.pointer(statbuf, STAT), atFlags);
  if (result === 0) countOwn(task, where.node, where.text === '' ? at : -1, statbuf, ST_SIZE);
  return result;
}

const NO_PATH = new Uint8Array(0);
const ST_SIZE = 48;
const STX_SIZE = 40;
const NLINK = 16;

/**
 * The size of /proc/PID/fd is the number of descriptors, the link count of /proc/PID/task that of threads and two:
 * the guest's, not the engine's. `fd` ≥ 0: asked through this descriptor.
 */
function countOwn(task: Task, located: ProcNode | undefined, fd: number, statbuf: GuestAddr, sizeAt: number): void {
  let node = located;
  if (node === undefined && fd >= 0) {
    const special = procFile(task, fd);
    if (special?.kind === 'listing') node = nodeAt(task, special.path) ?? undefined;
  }
  const { memory } = task;
  if (node?.entry === 'fd' && memory.u64(statbuf + sizeAt) !== 0n) memory.setU64(statbuf + sizeAt, [...node.view.fds.numbers()].length);
  else if (node?.entry === 'task') memory.setU32(statbuf + NLINK, threadIds(node.view).length + 2);
}

function accessAt(task: Task, at: number, name: GuestAddr, wanted: number, atFlags: number): number {
  const where = located(task, at, name, atFlags);
  if (atFlags === 0) return task.call('faccessat', where.dirfd, where.path, wanted);
  return task.call('faccessat2', where.dirfd, where.path, wanted, atFlags);
}

export const statSyscalls = [
  syscall({
    name: 'stat', nr: { x86_64: 4 }, class: ['file', 'stat', 'stat-like'],
    args: { path, statbuf: stat }, support: full,
    run: (task, { path, statbuf }) => statAt(task, AT_FDCWD, path, statbuf, 0),
  }),
  syscall({
    name: 'lstat', nr: { x86_64: 6 }, class: ['file', 'lstat', 'stat-like'],
    args: { path, statbuf: stat }, support: full,
    run: (task, { path, statbuf }) => statAt(task, AT_FDCWD, path, statbuf, AT_SYMLINK_NOFOLLOW),
  }),
  syscall({
    name: 'fstat', nr: { x86_64: 5, aarch64: 80 }, class: ['desc', 'fstat', 'stat-like'],
    args: { fd, statbuf: stat }, support: full, quick: true,
    run: (task, { fd, statbuf }) => {
      const own = ownFile(task, fd);
      const target = task.pointer(statbuf, STAT);
      if (own !== undefined) return task.call('newfstatat', own.dirfd, own.path, target, 0);
      const result = task.call('fstat', task.hostFd(fd), target);
      if (result === 0) countOwn(task, undefined, fd, statbuf, ST_SIZE);
      return result;
    },
  }),
  syscall({
    name: 'newfstatat', nr: { x86_64: 262, aarch64: 79 }, class: ['file', 'desc', 'fstat', 'stat-like'],
    args: { dirfd, path, statbuf: stat, flags: flags('at') }, support: full,
    run: (task, { dirfd, path, statbuf, flags }) => statAt(task, dirfd, path, statbuf, flags),
  }),
  syscall({
    name: 'statx', nr: { x86_64: 332, aarch64: 291 }, class: ['file', 'desc', 'fstat', 'stat-like'],
    args: { dirfd, path, flags: flags('at'), mask: flags('statx'), statxbuf: structOut('statx', STATX) }, support: full,
    run: (task, { dirfd, path, flags, mask, statxbuf }) => {
      const where = located(task, dirfd, path, flags);
      const result = task.call('statx', where.dirfd, where.path, flags, mask, task.pointer(statxbuf, STATX));
      if (result === 0) countOwn(task, where.node, where.text === '' ? dirfd : -1, statxbuf, STX_SIZE);
      return result;
    },
  }),
  syscall({
    name: 'access', nr: { x86_64: 21 }, class: ['file'], args: { path, mode: flags('access') }, support: full,
    run: (task, { path, mode }) => accessAt(task, AT_FDCWD, path, mode, 0),
  }),
  syscall({
    name: 'faccessat', nr: { x86_64: 269, aarch64: 48 }, class: ['file', 'desc'],
    args: { dirfd, path, mode: flags('access') }, support: full,
    run: (task, { dirfd, path, mode }) => accessAt(task, dirfd, path, mode, 0),
  }),
  syscall({
    name: 'faccessat2', nr: { x86_64: 439, aarch64: 439 }, class: ['file', 'desc'],
    args: { dirfd, path, mode: flags('access'), flags: flags('at') }, support: full,
    run: (task, { dirfd, path, mode, flags }) => accessAt(task, dirfd, path, mode, flags),
  }),
  syscall({
    name: 'statfs', nr: { x86_64: 137, aarch64: 43 }, class: ['file', 'statfs', 'statfs-like'],
    args: { path, buf: structOut('statfs', STATFS) }, support: full,
    run: (task, { path, buf }) => {
      const where = locate(task, AT_FDCWD, path, { sysroot: true });
      if (where.dirfd === AT_FDCWD) return task.call('statfs', where.path, task.pointer(buf, STATFS));
      const opened = task.call('openat', where.dirfd, where.path, 0o12000000, 0);
      if (opened < 0) return opened;
      const result = task.call('fstatfs', opened, task.pointer(buf, STATFS));
      task.call('close', opened);
      return result;
    },
  }),
  syscall({
    name: 'fstatfs', nr: { x86_64: 138, aarch64: 44 }, class: ['desc', 'fstatfs', 'statfs-like'],
    args: { fd, buf: structOut('statfs', STATFS) }, support: full,
    run: (task, { fd, buf }) => {
      // A synthesised file's file system is that of /proc.
      const hostFd = ownFile(task, fd) === undefined ? task.hostFd(fd) : task.process.procFd;
      return task.call('fstatfs', hostFd, task.pointer(buf, STATFS));
    },
  }),
  syscall({
    name: 'ustat', nr: { x86_64: 136 }, class: ['statfs-like'],
    args: { dev, ubuf: structOut('ustat', 32) }, support: full,
    run: (task, { dev, ubuf }) => {
      const result = task.call('ustat', dev, task.pointer(ubuf, 32));
      return result === -errno.ENOSYS ? -errno.EINVAL : result;
    },
  }),
  syscall({
    name: 'statmount', nr: { x86_64: 457, aarch64: 457 }, class: [],
    args: { req: structOut('mnt_id_req', 32), buf: structOut('statmount', 0), bufsize: uint, flags: uint },
    support: full,
    run: (task, { req, buf, bufsize, flags }) =>
      task.call('statmount', mountRequest(task, req), task.pointer(buf, bufsize), bufsize, flags),
  }),
  syscall({
    name: 'listmount', nr: { x86_64: 458, aarch64: 458 }, class: [],
    args: { req: structOut('mnt_id_req', 32), mnt_ids: structOut('mnt_ids', 0), nr_mnt_ids: uint, flags: uint },
    ret: uint, support: full,
    run: (task, { req, mnt_ids, nr_mnt_ids, flags }) =>
      task.call('listmount', mountRequest(task, req), task.pointer(mnt_ids, nr_mnt_ids * 8), nr_mnt_ids, flags),
  }),
];

/** struct mnt_id_req with its descriptor (mnt_ns_fd) translated; a private copy of the size it states. */
function mountRequest(task: Task, req: GuestAddr): number {
  const stated = task.memory.u32(req);
  if (stated < 24 || stated > 4096) return task.pointer(req, 4);
  const copy = task.memory.read(req, stated);
  const view = new DataView(copy.buffer, copy.byteOffset);
  const named = view.getInt32(4, true);
  if (named > 0) view.setInt32(4, task.hostFd(named), true);
  const { at, address } = task.scratch(stated);
  task.host.scratch.bytes.set(copy, at);
  return address;
}
