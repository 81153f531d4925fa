/**
 * Mounts, swap and quotas: mount(2), the fsopen family, quotactl(2), swapon(2), sysfs(2). What the kernel grants an
 * ordinary or privileged process, it grants the guest.
 */

import type { GuestAddr } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import {
  choice, dirfd, fd, flags, flags64, full, hex, int, partial, path, pointer, size, string, struct, syscall,
} from './declare.ts';
import { copyString, locate, reach } from './paths.ts';
import { AT_FDCWD } from './special-files.ts';

const PAGE = 4096;
const CLOEXEC = 0o2000000;
const FS_CLOEXEC = 1;
const AT_SYMLINK_NOFOLLOW = 0x100;
const MOVE_F_SYMLINKS = 1;
const MOVE_T_SYMLINKS = 0x10;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_SET_BINARY = 2;
const FSCONFIG_SET_PATH = 3;
const FSCONFIG_SET_PATH_EMPTY = 4;
const FSCONFIG_SET_FD = 5;
const Q_QUOTAON = 0x800002;

function text(task: Task, addr: GuestAddr): number {
  return copyString(task, addr, PAGE);
}

function here(task: Task, addr: GuestAddr, follow = true): number {
  return reach(task, locate(task, AT_FDCWD, addr, { follow, thorough: true }));
}

/** struct mount_attr { u64 attr_set, attr_clr, propagation, userns_fd } with its descriptor translated. */
function mountAttributes(task: Task, attr: GuestAddr, bytes: number): number {
  if (attr === 0 || bytes < 32 || bytes > PAGE) return task.pointer(attr, 32);
  const copy = task.memory.read(attr, bytes);
  const view = new DataView(copy.buffer, copy.byteOffset);
  const named = view.getBigInt64(24, true);
  const MOUNT_ATTR_IDMAP = 0x100000n;
  if (((view.getBigUint64(0, true) | view.getBigUint64(8, true)) & MOUNT_ATTR_IDMAP) !== 0n && named >= 0n) {
    view.setBigInt64(24, BigInt(task.hostFd(Number(BigInt.asIntN(32, named)))), true);
  }
  const { at, address } = task.scratch(bytes);
  task.host.scratch.bytes.set(copy, at);
  return address;
}

export const mountSyscalls = [
  syscall({
    name: 'mount', nr: { x86_64: 165, aarch64: 40 }, class: ['file'],
    args: { source: path, target: path, filesystemtype: string, mountflags: flags64('mount'), data: pointer }, support: full,
    run: (task, a, frame) =>
      // The kernel copies up to a page of data, as far as it can be read.
      task.call(
        'mount', a.source === 0 ? 0 : here(task, a.source), here(task, a.target), text(task, a.filesystemtype),
        frame.i64[3] as bigint, a.data === 0 ? 0 : pageOf(task, a.data),
      ),
  }),
  syscall({
    name: 'umount2', nr: { x86_64: 166, aarch64: 39 }, class: ['file'], args: { target: path, flags: flags('umount') },
    support: full,
    run: (task, { target, flags }) => task.call('umount2', here(task, target, (flags & 8) === 0), flags),
  }),
  syscall({
    name: 'pivot_root', nr: { x86_64: 155, aarch64: 41 }, class: ['file'], args: { new_root: path, put_old: path },
    support: full,
    run: (task, { new_root, put_old }) => task.call('pivot_root', here(task, new_root), here(task, put_old)),
  }),
  syscall({
    name: 'open_tree', nr: { x86_64: 428, aarch64: 428 }, class: ['file', 'desc'],
    args: { dirfd, path, flags: flags('open_tree') }, ret: fd, support: full,
    run: (task, { dirfd, path, flags }) => {
      const where = locate(task, dirfd, path, { follow: (flags & AT_SYMLINK_NOFOLLOW) === 0, thorough: true });
      return task.fds.open(() => task.call('open_tree', where.dirfd, where.path, flags | CLOEXEC), (flags & CLOEXEC) !== 0);
    },
  }),
  syscall({
    name: 'open_tree_attr', nr: { x86_64: 467, aarch64: 467 }, class: ['file', 'desc'],
    args: { dirfd, path, flags: flags('open_tree'), attr: struct('mount_attr', 32), size }, ret: fd, support: full,
    run: (task, { dirfd, path, flags, attr, size }) => {
      const where = locate(task, dirfd, path, { follow: (flags & AT_SYMLINK_NOFOLLOW) === 0, thorough: true });
      const own = mountAttributes(task, attr, size);
      return task.fds.open(
        () => task.call('open_tree_attr', where.dirfd, where.path, flags | CLOEXEC, own, Math.min(size, 2 ** 50)),
        (flags & CLOEXEC) !== 0,
      );
    },
  }),
  syscall({
    name: 'move_mount', nr: { x86_64: 429, aarch64: 429 }, class: ['file', 'desc'],
    args: { from_dfd: dirfd, from_path: path, to_dfd: dirfd, to_path: path, flags: flags('move_mount') }, support: full,
    run: (task, a) => {
      const from = locate(task, a.from_dfd, a.from_path, { follow: (a.flags & MOVE_F_SYMLINKS) !== 0, thorough: true });
      const to = locate(task, a.to_dfd, a.to_path, { follow: (a.flags & MOVE_T_SYMLINKS) !== 0, thorough: true });
      return task.call('move_mount', from.dirfd, from.path, to.dirfd, to.path, a.flags);
    },
  }),
  syscall({
    name: 'fsopen', nr: { x86_64: 430, aarch64: 430 }, class: ['desc'], args: { fsname: string, flags: flags('fsopen') },
    ret: fd, support: full,
    run: (task, { fsname, flags }) => {
      const name = text(task, fsname);
      return task.fds.open(() => task.call('fsopen', name, flags | FS_CLOEXEC), (flags & FS_CLOEXEC) !== 0);
    },
  }),
  syscall({
    name: 'fsconfig', nr: { x86_64: 431, aarch64: 431 }, class: ['desc', 'file'],
    args: { fs_fd: fd, cmd: choice('fsconfig'), key: string, value: pointer, aux: int }, support: full,
    run: (task, { fs_fd, cmd, key, value, aux }) => {
      const hostKey = key === 0 ? 0 : task.cstring(task.memory.readCString(key, 256).bytes);
      let hostValue = 0;
      let hostAux = aux;
      if (cmd === FSCONFIG_SET_STRING) hostValue = text(task, value);
      else if (cmd === FSCONFIG_SET_BINARY) hostValue = task.pointer(value, Math.max(0, aux));
      else if (cmd === FSCONFIG_SET_PATH || cmd === FSCONFIG_SET_PATH_EMPTY) {
        const where = locate(task, aux, value, { thorough: true });
        hostValue = where.path;
        hostAux = where.dirfd;
      } else if (cmd === FSCONFIG_SET_FD) hostAux = task.hostFd(aux);
      else hostValue = task.pointer(value, 1);
      return task.call('fsconfig', task.hostFd(fs_fd), cmd, hostKey, hostValue, hostAux);
    },
  }),
  syscall({
    name: 'fsmount', nr: { x86_64: 432, aarch64: 432 }, class: ['desc'],
    args: { fs_fd: fd, flags: flags('fsmount'), attr_flags: flags('mount_attr') }, ret: fd, support: full,
    run: (task, { fs_fd, flags, attr_flags }) =>
      task.fds.open(
        () => task.call('fsmount', task.hostFd(fs_fd), flags | FS_CLOEXEC, attr_flags >>> 0),
        (flags & FS_CLOEXEC) !== 0,
      ),
  }),
  syscall({
    name: 'fspick', nr: { x86_64: 433, aarch64: 433 }, class: ['file', 'desc'],
    args: { dirfd, path, flags: flags('fspick') }, ret: fd, support: full,
    run: (task, { dirfd, path, flags }) => {
      const where = locate(task, dirfd, path, { follow: (flags & 2) === 0, thorough: true });
      return task.fds.open(
        () => task.call('fspick', where.dirfd, where.path, flags | FS_CLOEXEC),
        (flags & FS_CLOEXEC) !== 0,
      );
    },
  }),
  syscall({
    name: 'mount_setattr', nr: { x86_64: 442, aarch64: 442 }, class: ['file', 'desc'],
    args: { dirfd, path, flags: flags('at'), uattr: struct('mount_attr', 32), usize: size }, support: full,
    run: (task, { dirfd, path, flags, uattr, usize }) => {
      const where = locate(task, dirfd, path, { follow: (flags & AT_SYMLINK_NOFOLLOW) === 0, thorough: true });
      const own = mountAttributes(task, uattr, usize);
      return task.call('mount_setattr', where.dirfd, where.path, flags, own, Math.min(usize, 2 ** 50));
    },
  }),
  syscall({
    name: 'swapon', nr: { x86_64: 167, aarch64: 224 }, class: ['file'], args: { path, swapflags: flags('swapon') },
    support: full,
    run: (task, { path, swapflags }) => task.call('swapon', here(task, path), swapflags),
  }),
  syscall({
    name: 'swapoff', nr: { x86_64: 168, aarch64: 225 }, class: ['file'], args: { path }, support: full,
    run: (task, { path }) => task.call('swapoff', here(task, path)),
  }),
  syscall({
    name: 'quotactl', nr: { x86_64: 179, aarch64: 60 }, class: ['file'],
    args: { cmd: hex, special: path, id: int, addr: pointer }, support: full,
    run: (task, { cmd, special, id, addr }) => {
      const argument = cmd >>> 8 === Q_QUOTAON && addr !== 0 ? here(task, addr) : task.pointer(addr, 1);
      return task.call('quotactl', cmd, special === 0 ? 0 : here(task, special), id, argument);
    },
  }),
  syscall({
    name: 'quotactl_fd', nr: { x86_64: 443, aarch64: 443 }, class: ['desc'],
    args: { fd, cmd: hex, id: int, addr: pointer }, support: full,
    run: (task, { fd, cmd, id, addr }) => {
      const argument = cmd >>> 8 === Q_QUOTAON && addr !== 0 ? here(task, addr) : task.pointer(addr, 1);
      return task.call('quotactl_fd', task.hostFd(fd), cmd, id, argument);
    },
  }),
  syscall({
    name: 'sysfs', nr: { x86_64: 139 }, args: { option: int, arg1: pointer, arg2: pointer },
    support: partial('as far as the host kernel still has it'),
    run: (task, { option, arg1, arg2 }) => {
      // 1: name → index, 2: index → name, 3: how many.
      const first = option === 1 ? text(task, arg1) : arg1;
      return task.call('sysfs', option, first, option === 2 ? task.pointer(arg2, 64) : 0);
    },
  }),
];

/** Private copy of up to one page of mount data. */
function pageOf(task: Task, addr: GuestAddr): number {
  const copy = task.memory.readPartial(addr, PAGE);
  if (copy.length === 0) return task.pointer(addr, 1);
  const { at, address } = task.scratch(PAGE);
  task.host.scratch.bytes.set(copy, at);
  return address;
}
