/**
 * execve(2) and execveat(2): which file the guest means, the kernel's checks in the kernel's order, arguments copied
 * in. Loading is the launcher's business (emulator/program.ts): it answers −errno, or unwinds guest code and starts
 * the new program from the run loop. A setuid or setgid file runs without its privileges, as under no_new_privs: the
 * engine's own process cannot change what it is.
 */

import { atFlags } from '../abi/constants/files.ts';
import { errno } from '../abi/errno.ts';
import type { GuestAddr } from '../kernel/ports.ts';
import { fail } from '../kernel/syscall-error.ts';
import type { Task } from '../kernel/task.ts';
import { dirfd, flags, partial, path, stringList, syscall } from './declare.ts';
import { hostPathOfFd, locateText, readPath } from './paths.ts';
import { hostPlaceOf } from './proc-entry.ts';
import { AT_FDCWD, openInProc } from './special-files.ts';

const { AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH } = atFlags.values;
/** Linux 6.14: only say whether the file could be executed. */
const AT_EXECVE_CHECK = 0x10000;
const O_NONBLOCK = 0o4000;
const O_NOFOLLOW = 0o400000;
const O_CLOEXEC = 0o2000000;
/** MAX_ARG_STRLEN and MAX_ARG_STRINGS do not bind: the sum of all strings does first. */
const MAX_STRING = 131072;
/** More than any stack limit allows: three quarters of 8 MiB. */
const MAX_TOTAL = 6 << 20;

/** Opens a path as the guest means it, for execution: a host descriptor or −errno. */
export function openProgram(task: Task, at: number, text: string, follow = true): number {
  const located = locateText(task, at, text, { follow, sysroot: true });
  const where =
    located.node === undefined
      ? located
      : hostPlaceOf(task, located.node, follow);
  return task.call('openat', where.dirfd, where.path, O_NONBLOCK | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW), 0);
}

/**
 * The kernel's own judgement of the file by descriptor: type, permission, noexec mounts, being written to. 0 or
 * −errno; 0 on kernels that cannot be asked (the loader then looks at type and permission itself).
 */
function checkExecutable(task: Task, hostFd: number): number {
  const empty = task.cstring(new Uint8Array(0));
  const result = task.call('execveat', hostFd, empty, 0, 0, AT_EMPTY_PATH | AT_EXECVE_CHECK);
  return result === -errno.EINVAL || result === -errno.ENOSYS || result === -errno.EPERM ? 0 : result;
}

/** A NULL-terminated array of strings; NULL is an empty one. @throws GuestFault, SyscallError E2BIG. */
function readStrings(task: Task, list: GuestAddr, budget: { left: number }): Uint8Array[] {
  const strings: Uint8Array[] = [];
  if (list === 0) return strings;
  const pointers: GuestAddr[] = [];
  for (let at = list; ; at += 8) {
    const pointer = task.memory.u64n(at);
    if (pointer === 0) break;
    pointers.push(pointer);
    if (pointers.length * 9 > MAX_TOTAL) fail('E2BIG');
  }
  for (const pointer of pointers) {
    const { bytes, terminated } = task.memory.readCString(pointer, MAX_STRING);
    if (!terminated) fail('E2BIG');
    budget.left -= bytes.length + 1;
    if (budget.left < 0) fail('E2BIG');
    strings.push(bytes);
  }
  return strings;
}

/** The name under which a program given by descriptor is known to its interpreter: what the kernel puts there. */
function descriptorName(at: number, text: string): string {
  return text === '' ? `/dev/fd/${at}` : `/dev/fd/${at}/${text}`;
}

function execute(task: Task, at: number, name: GuestAddr, argv: GuestAddr, envp: GuestAddr, how: number): number {
  const text = readPath(task, name);
  const empty = text === '';
  if (empty && (how & AT_EMPTY_PATH) === 0) return -errno.ENOENT;
  if ((how & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -errno.EINVAL;
  const byDescriptor = at !== AT_FDCWD && !text.startsWith('/');
  let hostFd: number;
  if (empty && at !== AT_FDCWD) {
    if (!task.fds.has(at)) return -errno.EBADF;
    // A file description of our own, readable even if the guest's is O_PATH.
    hostFd = task.call(
      'openat',
      AT_FDCWD,
      task.cstring(Buffer.from(`/proc/self/fd/${task.hostFd(at)}`)),
      O_NONBLOCK | O_CLOEXEC,
      0,
    );
  } else {
    hostFd = openProgram(task, at, empty ? '.' : text, (how & AT_SYMLINK_NOFOLLOW) === 0);
  }
  if (hostFd < 0) return hostFd;
  try {
    const refusal = checkExecutable(task, hostFd);
    if (refusal < 0) return refusal;
    const budget = { left: MAX_TOTAL };
    const args = readStrings(task, argv, budget);
    const environment = readStrings(task, envp, budget);
    const file = hostFd;
    hostFd = -1;
    const path = byDescriptor ? descriptorName(at, text) : text;
    // Since Linux 6.14 a program run by its descriptor alone is named after its file.
    const own = empty ? hostPathOfFd(task, file)?.replace(/ \(deleted\)$/, '') : undefined;
    return task.process.launcher.exec(task, {
      path: Buffer.from(path, 'latin1'),
      hostFd: file,
      inaccessible: byDescriptor && task.fds.isCloexec(at),
      argv: args,
      envp: environment,
      comm: own === undefined ? undefined : Buffer.from(own.slice(own.lastIndexOf('/') + 1), 'latin1'),
    });
  } finally {
    if (hostFd >= 0) task.call('close', hostFd);
  }
}

/** Timers of timer_create(2) do not outlive execve; the host kernel's list names them. */
export function deleteTimers(task: Task): void {
  const list = openInProc(task, 'self/timers', O_CLOEXEC);
  if (list < 0) return;
  const { scratch } = task.host;
  const mark = scratch.mark();
  const { at, address } = task.scratch(65536);
  let text = '';
  for (let n = 1; n > 0; ) {
    n = task.call('read', list, address, 65536);
    if (n > 0) text += Buffer.from(scratch.bytes.subarray(at, at + n)).toString('latin1');
  }
  task.call('close', list);
  scratch.release(mark);
  for (const [, id] of text.matchAll(/^ID: (\d+)$/gm)) task.call('timer_delete', Number(id));
}

const support = partial('setuid and setgid files run without their privileges; a file must be readable to be run; a program that runs can be written to');

export const execSyscalls = [
  syscall({
    name: 'execve',
    nr: { x86_64: 59, aarch64: 221 },
    class: ['process', 'file'],
    args: { filename: path, argv: stringList, envp: stringList },
    support,
    run: (task, { filename, argv, envp }) => execute(task, AT_FDCWD, filename, argv, envp, 0),
  }),
  syscall({
    name: 'execveat',
    nr: { x86_64: 322, aarch64: 281 },
    class: ['process', 'desc', 'file'],
    args: { fd: dirfd, filename: path, argv: stringList, envp: stringList, flags: flags('at') },
    support,
    run: (task, { fd, filename, argv, envp, flags }) => execute(task, fd, filename, argv, envp, flags),
  }),
];
