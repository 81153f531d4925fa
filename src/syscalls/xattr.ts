/**
 * Extended attributes, xattr(7): set, get, list and remove, by path, by link, by descriptor and by (dirfd, path).
 */

import { errno } from '../abi/errno.ts';
import type { GuestAddr, HostAddr } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import {
  byteCount, bytesIn, bytesOut, dirfd, fd, flags, full, path, size, string, struct, syscall,
} from './declare.ts';
import { exactSize } from './files.ts';
import { copyString, follows, locate, reach } from './paths.ts';
import { AT_FDCWD } from './special-files.ts';

/** XATTR_NAME_MAX and one more, so that the host kernel sees names that are too long as such (ERANGE). */
const NAME_LIMIT = 256;
const XATTR_ARGS = 16;

function nameOf(task: Task, name: GuestAddr): HostAddr {
  return copyString(task, name, NAME_LIMIT);
}

function at(task: Task, name: GuestAddr, follow: boolean, changes: boolean): HostAddr {
  return reach(task, locate(task, AT_FDCWD, name, { follow, sysroot: !changes, thorough: changes }));
}

/** struct xattr_args { u64 value; u32 size; u32 flags; } with its pointer translated. */
function hostArgs(task: Task, uargs: GuestAddr, usize: number): HostAddr | undefined {
  if (usize < XATTR_ARGS || usize > 4096) return undefined;
  const copy = task.memory.read(uargs, usize);
  const view = new DataView(copy.buffer, copy.byteOffset);
  view.setBigUint64(0, BigInt(task.pointer(Number(view.getBigUint64(0, true)), view.getUint32(8, true))), true);
  const own = task.scratch(usize);
  task.host.scratch.bytes.set(copy, own.at);
  return own.address;
}

function transferAt(
  task: Task, call: string, atFd: number, pathname: GuestAddr, atFlags: number, name: GuestAddr, uargs: GuestAddr,
  usize: number,
): number {
  const own = hostArgs(task, uargs, usize);
  if (own === undefined) return usize > 4096 ? -errno.E2BIG : -errno.EINVAL;
  const where = locate(task, atFd, pathname, { follow: follows(atFlags), thorough: call === 'setxattrat' });
  return task.call(call, where.dirfd, where.path, atFlags, nameOf(task, name), own, usize);
}

const setArgs = { name: string, value: bytesIn('size'), size, flags: flags('xattr') };
const getArgs = { name: string, value: bytesOut('size'), size };
const listArgs = { list: bytesOut('size'), size };

export const xattrSyscalls = [
  ...(['setxattr', 'lsetxattr'] as const).map((name, link) =>
    syscall({
      name, nr: link ? { x86_64: 189, aarch64: 6 } : { x86_64: 188, aarch64: 5 }, class: ['file'],
      args: { path, ...setArgs }, support: full,
      run: (task, a) =>
        task.call(name, at(task, a.path, !link, true), nameOf(task, a.name), task.pointer(a.value, a.size), exactSize(a.size), a.flags),
    }),
  ),
  syscall({
    name: 'fsetxattr', nr: { x86_64: 190, aarch64: 7 }, class: ['desc'], args: { fd, ...setArgs }, support: full,
    run: (task, a) =>
      task.call('fsetxattr', task.hostFd(a.fd), nameOf(task, a.name), task.pointer(a.value, a.size), exactSize(a.size), a.flags),
  }),
  ...(['getxattr', 'lgetxattr'] as const).map((name, link) =>
    syscall({
      name, nr: link ? { x86_64: 192, aarch64: 9 } : { x86_64: 191, aarch64: 8 }, class: ['file'],
      args: { path, ...getArgs }, ret: byteCount, support: full,
      run: (task, a) =>
        task.call(name, at(task, a.path, !link, false), nameOf(task, a.name), task.pointer(a.value, a.size), exactSize(a.size)),
    }),
  ),
  syscall({
    name: 'fgetxattr', nr: { x86_64: 193, aarch64: 10 }, class: ['desc'], args: { fd, ...getArgs }, ret: byteCount,
    support: full,
    run: (task, a) =>
      task.call('fgetxattr', task.hostFd(a.fd), nameOf(task, a.name), task.pointer(a.value, a.size), exactSize(a.size)),
  }),
  ...(['listxattr', 'llistxattr'] as const).map((name, link) =>
    syscall({
      name, nr: link ? { x86_64: 195, aarch64: 12 } : { x86_64: 194, aarch64: 11 }, class: ['file'],
      args: { path, ...listArgs }, ret: byteCount, support: full,
      run: (task, a) => task.call(name, at(task, a.path, !link, false), task.pointer(a.list, a.size), exactSize(a.size)),
    }),
  ),
  syscall({
    name: 'flistxattr', nr: { x86_64: 196, aarch64: 13 }, class: ['desc'], args: { fd, ...listArgs }, ret: byteCount,
    support: full,
    run: (task, a) => task.call('flistxattr', task.hostFd(a.fd), task.pointer(a.list, a.size), exactSize(a.size)),
  }),
  ...(['removexattr', 'lremovexattr'] as const).map((name, link) =>
    syscall({
      name, nr: link ? { x86_64: 198, aarch64: 15 } : { x86_64: 197, aarch64: 14 }, class: ['file'],
      args: { path, name: string }, support: full,
      run: (task, a) => task.call(name, at(task, a.path, !link, true), nameOf(task, a.name)),
    }),
  ),
  syscall({
    name: 'fremovexattr', nr: { x86_64: 199, aarch64: 16 }, class: ['desc'], args: { fd, name: string }, support: full,
    run: (task, a) => task.call('fremovexattr', task.hostFd(a.fd), nameOf(task, a.name)),
  }),
  syscall({
    name: 'setxattrat', nr: { x86_64: 463, aarch64: 463 }, class: ['file'],
    args: { dirfd, path, at_flags: flags('at'), name: string, uargs: struct('xattr_args', XATTR_ARGS), usize: size },
    support: full,
    run: (task, a) => transferAt(task, 'setxattrat', a.dirfd, a.path, a.at_flags, a.name, a.uargs, a.usize),
  }),
  syscall({
    name: 'getxattrat', nr: { x86_64: 464, aarch64: 464 }, class: ['file'],
    args: { dirfd, path, at_flags: flags('at'), name: string, uargs: struct('xattr_args', XATTR_ARGS), usize: size },
    ret: byteCount, support: full,
    run: (task, a) => transferAt(task, 'getxattrat', a.dirfd, a.path, a.at_flags, a.name, a.uargs, a.usize),
  }),
  syscall({
    name: 'listxattrat', nr: { x86_64: 465, aarch64: 465 }, class: ['file'],
    args: { dirfd, path, at_flags: flags('at'), ...listArgs }, ret: byteCount, support: full,
    run: (task, a) => {
      const where = locate(task, a.dirfd, a.path, { follow: follows(a.at_flags), sysroot: true });
      return task.call('listxattrat', where.dirfd, where.path, a.at_flags, task.pointer(a.list, a.size), exactSize(a.size));
    },
  }),
  syscall({
    name: 'removexattrat', nr: { x86_64: 466, aarch64: 466 }, class: ['file'],
    args: { dirfd, path, at_flags: flags('at'), name: string }, support: full,
    run: (task, a) => {
      const where = locate(task, a.dirfd, a.path, { follow: follows(a.at_flags), thorough: true });
      return task.call('removexattrat', where.dirfd, where.path, a.at_flags, nameOf(task, a.name));
    },
  }),
];
