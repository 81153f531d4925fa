/**
 * Descriptors as such: dup, close, close_range, fcntl, pipe, memfd_create. The numbers are the guest's; the kernel's
 * rules about them (lowest free, RLIMIT_NOFILE, close-on-exec) are kept by kernel/fd-table.ts.
 */

import { errno } from '../abi/errno.ts';
import type { Arg, GuestAddr } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import { array, choice, fd, flags, full, long, string, syscall, uint } from './declare.ts';
import { copyString } from './paths.ts';

const O_CLOEXEC = 0o2000000;
const MFD_CLOEXEC = 1;
const CLOSE_RANGE_UNSHARE = 2;
const CLOSE_RANGE_CLOEXEC = 4;

const F_DUPFD = 0;
const F_GETFD = 1;
const F_SETFD = 2;
const F_DUPFD_CLOEXEC = 1030;
const F_DUPFD_QUERY = 1027;

/** fcntl commands whose argument is a plain value (or is not looked at). */
const valueCommands = new Set([
  3 /* GETFL */, 4 /* SETFL */, 8 /* SETOWN */, 9 /* GETOWN */, 10 /* SETSIG */, 11 /* GETSIG */, 1024 /* SETLEASE */,
  1025 /* GETLEASE */, 1026 /* NOTIFY */, 1028 /* CREATED_QUERY */, 1031 /* SETPIPE_SZ */, 1032 /* GETPIPE_SZ */,
  1033 /* ADD_SEALS */, 1034 /* GET_SEALS */,
]);
/** fcntl commands whose argument is a pointer, and how much it points to. */
const pointerCommands: Readonly<Record<number, number>> = {
  5: 32, 6: 32, 7: 32, 36: 32, 37: 32, 38: 32, // struct flock: GETLK, SETLK, SETLKW and the OFD three
  15: 8, 16: 8, 17: 8, // SETOWN_EX, GETOWN_EX, GETOWNER_UIDS
  1029: 32, // CANCELLK
  1035: 8, 1036: 8, 1037: 8, 1038: 8, // RW_HINT
  1039: 8, 1040: 8, // GETDELEG, SETDELEG
};

/** A second guest descriptor ≥ `from` for what `old` stands for. */
export function duplicate(task: Task, old: number, from: number, cloexec: boolean): number {
  if (!task.fds.has(old)) return -errno.EBADF;
  const made = task.fds.open(() => task.call('fcntl', task.hostFd(old), F_DUPFD_CLOEXEC, 0), cloexec, from);
  if (made >= 0) task.fds.setSpecial(made, task.fds.special(old));
  return made;
}

function duplicateOnto(task: Task, old: number, wanted: number, cloexec: boolean): number {
  const { fds } = task;
  if (wanted < 0 || wanted >= fds.limit) return -errno.EBADF;
  if (!fds.has(old)) return -errno.EBADF;
  if (fds.isReserved(wanted)) return -errno.EBUSY;
  const hostFd = task.call('fcntl', task.hostFd(old), F_DUPFD_CLOEXEC, 0);
  if (hostFd < 0) return hostFd;
  const special = fds.special(old);
  const replaced = fds.replace(wanted, hostFd, cloexec);
  if (replaced >= 0) task.call('close', replaced);
  fds.setSpecial(wanted, special);
  return wanted;
}

/**
 * Enter two host descriptors that one call made (pipe, socketpair) and write their numbers to the guest's int[2].
 * `make` fills the int[2] at the host address it is given.
 */
export function openPair(task: Task, target: GuestAddr, cloexec: boolean, make: (pair: number) => number): number {
  const { fds } = task;
  const first = fds.reserve();
  if (first < 0) return first;
  const second = fds.reserve();
  if (second < 0) {
    fds.cancel(first);
    return second;
  }
  const pair = task.scratch(8);
  const { view } = task.host.scratch;
  let done = false;
  let hosts: readonly number[] = [];
  try {
    const result = make(pair.address);
    if (result < 0) return result;
    hosts = [view.getInt32(pair.at, true), view.getInt32(pair.at + 4, true)];
    const numbers = new Uint8Array(new Int32Array([first, second]).buffer);
    task.memory.write(target, numbers);
    fds.install(first, hosts[0] as number, cloexec);
    fds.install(second, hosts[1] as number, cloexec);
    done = true;
    return result;
  } finally {
    if (!done) {
      fds.cancel(second);
      fds.cancel(first);
      for (const hostFd of hosts) task.call('close', hostFd);
    }
  }
}

function pipe(task: Task, fildes: GuestAddr, pipeFlags: number): number {
  return openPair(task, fildes, (pipeFlags & O_CLOEXEC) !== 0, (pair) => task.call('pipe2', pair, pipeFlags | O_CLOEXEC));
}

function fcntl(task: Task, guestFd: number, command: number, value: Arg, pointer: GuestAddr): number {
  const { fds } = task;
  if (!fds.has(guestFd)) return -errno.EBADF;
  switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC: {
      const from = Number(BigInt.asIntN(32, BigInt(value)));
      if (from < 0 || from >= fds.limit) return -errno.EINVAL;
      return duplicate(task, guestFd, from, command === F_DUPFD_CLOEXEC);
    }
    case F_GETFD:
      return fds.isCloexec(guestFd) ? 1 : 0;
    case F_SETFD:
      fds.setCloexec(guestFd, (BigInt(value) & 1n) !== 0n);
      return 0;
    case F_DUPFD_QUERY: {
      const other = Number(BigInt.asIntN(32, BigInt(value)));
      return task.call('fcntl', task.hostFd(guestFd), command, fds.host(other));
    }
    default:
      break;
  }
  if (valueCommands.has(command)) return task.call('fcntl', task.hostFd(guestFd), command, value);
  const length = pointerCommands[command];
  // The host kernel knows what it thinks of an unknown command (EINVAL, or EBADF on O_PATH).
  if (length === undefined) return task.call('fcntl', task.hostFd(guestFd), command, 0);
  return task.call('fcntl', task.hostFd(guestFd), command, task.pointer(pointer, length));
}

export const fdSyscalls = [
  syscall({
    name: 'close', nr: { x86_64: 3, aarch64: 57 }, class: ['desc'], args: { fd }, support: full,
    run: (task, { fd }) => {
      const hostFd = task.fds.remove(fd);
      return hostFd < 0 ? -errno.EBADF : task.call('close', hostFd);
    },
  }),
  syscall({
    name: 'close_range', nr: { x86_64: 436, aarch64: 436 }, class: ['desc'],
    args: { first: uint, last: uint, flags: flags('close_range') }, support: full,
    run: (task, { first, last, flags }) => {
      if ((flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) !== 0 || first > last) return -errno.EINVAL;
      for (const fd of [...task.fds.numbers()]) {
        if (fd < first || fd > last) continue;
        if ((flags & CLOSE_RANGE_CLOEXEC) !== 0) task.fds.setCloexec(fd, true);
        else task.call('close', task.fds.remove(fd));
      }
      return 0;
    },
  }),
  syscall({
    name: 'dup', nr: { x86_64: 32, aarch64: 23 }, class: ['desc'], args: { fildes: fd }, ret: fd, support: full,
    run: (task, { fildes }) => duplicate(task, fildes, 0, false),
  }),
  syscall({
    name: 'dup2', nr: { x86_64: 33 }, class: ['desc'], args: { oldfd: fd, newfd: fd }, ret: fd, support: full,
    run: (task, { oldfd, newfd }) => {
      if (oldfd === newfd) return task.fds.has(oldfd) ? newfd : -errno.EBADF;
      return duplicateOnto(task, oldfd, newfd, false);
    },
  }),
  syscall({
    name: 'dup3', nr: { x86_64: 292, aarch64: 24 }, class: ['desc'],
    args: { oldfd: fd, newfd: fd, flags: flags('open') }, ret: fd, support: full,
    run: (task, { oldfd, newfd, flags }) => {
      if ((flags & ~O_CLOEXEC) !== 0 || oldfd === newfd) return -errno.EINVAL;
      return duplicateOnto(task, oldfd, newfd, (flags & O_CLOEXEC) !== 0);
    },
  }),
  syscall({
    name: 'fcntl', nr: { x86_64: 72, aarch64: 25 }, class: ['desc', 'blocks'],
    args: { fd, cmd: choice('fcntl'), arg: long }, ret: long, support: full,
    run: (task, { fd, cmd, arg }, frame) => fcntl(task, fd, cmd, arg, frame.unsigned(2)),
  }),
  syscall({
    name: 'pipe', nr: { x86_64: 22 }, class: ['desc'],
    args: { fildes: array('int', 4, 2, 'out') }, support: full,
    run: (task, { fildes }) => pipe(task, fildes, 0),
  }),
  syscall({
    name: 'pipe2', nr: { x86_64: 293, aarch64: 59 }, class: ['desc'],
    args: { fildes: array('int', 4, 2, 'out'), flags: flags('open') }, support: full,
    run: (task, { fildes, flags }) => pipe(task, fildes, flags),
  }),
  syscall({
    name: 'memfd_create', nr: { x86_64: 319, aarch64: 279 }, class: ['desc'],
    args: { name: string, flags: flags('memfd_create') }, ret: fd, support: full,
    run: (task, { name, flags }) => {
      const own = name === 0 ? task.bad(0) : copyString(task, name, 256);
      return task.fds.open(
        () => task.call('memfd_create', own, (flags | MFD_CLOEXEC) >>> 0),
        (flags & MFD_CLOEXEC) !== 0,
      );
    },
  }),
];
