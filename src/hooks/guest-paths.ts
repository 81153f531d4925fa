/**
 * What a path or descriptor of the guest stands for, asked of the kernel: symbolic links and `..` are followed as the
 * call itself would follow them. Paths are strings of bytes (one per character).
 *
 * Invariant: every descriptor opened here is closed again; nothing is created or changed.
 */

import { errno } from '../abi/errno.ts';
import type { Task } from '../kernel/task.ts';
import { hostPathOfFd, locateText, readPath } from '../syscalls/paths.ts';
import { procFile } from '../syscalls/special-files.ts';

const AT_FDCWD = -100;
const O_NOFOLLOW = 0o400000;
const O_PATH_CLOEXEC = 0o12000000;
const MAX_LINKS = 40;

/** As /proc/self/fd/N has it, or −errno. */
export function descriptorPath(task: Task, fd: number): string | number {
  if (!task.fds.has(fd)) return -errno.EBADF;
  const special = procFile(task, fd);
  if (special?.path !== undefined) return special.path;
  return shown(task, hostPathOfFd(task, task.hostFd(fd)));
}

/**
 * The absolute path that (dirfd, path) means. The file itself need not exist, its directory must. `follow`: a
 * symbolic link at the end counts as what it leads to, also if that does not exist.
 * @throws GuestFault, SyscallError.
 */
export function absolutePath(task: Task, dirfd: number, path: number | string, follow: boolean): string | number {
  const text = typeof path === 'string' ? path : readPath(task, path);
  if (text === '') return dirfd === AT_FDCWD ? opened(task, dirfd, '.', true) : descriptorPath(task, dirfd);
  const whole = opened(task, dirfd, text, follow);
  if (whole !== -errno.ENOENT) return whole;
  // The last part does not exist, or is a link to what does not.
  let directory: string | number = '';
  let rest = text;
  for (let links = 0; links <= MAX_LINKS; links++) {
    const cut = rest.replace(/\/+$/, '').lastIndexOf('/');
    const last = rest.slice(cut + 1).replace(/\/+$/, '');
    const parent = cut < 0 ? '.' : rest.slice(0, cut) || '/';
    const base = links === 0 ? dirfd : AT_FDCWD;
    const start = links === 0 || parent.startsWith('/') ? parent : `${directory}/${parent}`;
    directory = opened(task, base, start, true);
    if (typeof directory === 'number') return directory;
    if (last === '.' || last === '..') return -errno.ENOENT;
    const candidate = `${directory === '/' ? '' : directory}/${last}`;
    const target = follow ? linkTarget(task, candidate) : undefined;
    if (target === undefined) return candidate;
    rest = target;
  }
  return -errno.ELOOP;
}

function opened(task: Task, dirfd: number, text: string, follow: boolean): string | number {
  const { dirfd: from, path } = locateText(task, dirfd, text, { follow, sysroot: true });
  const fd = task.call('openat', from, path, O_PATH_CLOEXEC | (follow ? 0 : O_NOFOLLOW), 0);
  if (fd < 0) return fd;
  const found = hostPathOfFd(task, fd);
  task.call('close', fd);
  return shown(task, found);
}

function linkTarget(task: Task, path: string): string | undefined {
  const room = task.scratch(4096);
  const n = task.call('readlinkat', AT_FDCWD, task.cstring(Buffer.from(path, 'latin1')), room.address, 4096);
  return n < 0 ? undefined : Buffer.from(task.host.scratch.bytes.slice(room.at, room.at + n)).toString('latin1');
}

/** Without the sysroot, as the guest knows it. */
function shown(task: Task, path: string | undefined): string | number {
  if (path === undefined) return -errno.ENOENT;
  const { sysroot } = task.process;
  return sysroot !== '' && path.startsWith(`${sysroot}/`) ? path.slice(sysroot.length) : path;
}
