/**
 * Opening files: open(2), openat(2), openat2(2), creat(2), and what an open of the process's own /proc entry gives.
 */

import { errno } from '../abi/errno.ts';
import type { GuestAddr } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import { dirfd, fd, flags, full, mode, path, size, struct, syscall } from './declare.ts';
import {
  copyString, hostPathOfFd, isOnProc, type Located, locate, locateText, PATH_MAX, procPathOfFd,
} from './paths.ts';
import { hostPlaceOf, isListed, nodeAt, type ProcNode } from './proc-entry.ts';
import { openedAs } from './proc-view.ts';
import { AT_FDCWD, openInProc, type ProcFile, procFile, refill } from './special-files.ts';

const O_ACCMODE = 3;
const O_CREAT = 0o100;
const O_EXCL = 0o200;
const O_TRUNC = 0o1000;
const O_APPEND = 0o2000;
const O_NONBLOCK = 0o4000;
const O_DIRECTORY = 0o200000;
const O_NOFOLLOW = 0o400000;
const O_CLOEXEC = 0o2000000;
const O_PATH = 0o10000000;
const TMPFILE_BIT = 0o20000000;
/** Every flag openat(2) looks at; it ignores others, openat2(2) refuses them. */
const KNOWN = 0o37777703;
const PATH_FLAGS = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
const RESOLVE_NO_MAGICLINKS = 2;
const MODE_BITS = 0o7777;

/** A descriptor on the host, and what the engine must do for it. */
interface Opened {
  readonly hostFd: number;
  readonly special?: ProcFile | undefined;
}

/** A host open of (dirfd, path) as it stands. */
function plainOpen(task: Task, located: Located, openFlags: number, permissions: number): number {
  return task.call('openat', located.dirfd, located.path, openFlags | O_CLOEXEC, permissions);
}

/** A host open that refuses the link-like entries of /proc (−ELOOP). */
function carefulOpen(task: Task, located: Located, openFlags: number, permissions: number): number {
  let known = openFlags & KNOWN;
  if ((known & O_PATH) !== 0) known &= PATH_FLAGS;
  const creates = (known & (O_CREAT | TMPFILE_BIT)) !== 0;
  const how = task.scratch(24);
  const { view } = task.host.scratch;
  view.setUint32(how.at, known | O_CLOEXEC, true);
  view.setUint32(how.at + 8, creates ? permissions & MODE_BITS : 0, true);
  view.setUint32(how.at + 16, RESOLVE_NO_MAGICLINKS, true);
  return task.call('openat2', located.dirfd, located.path, how.address, 24);
}

function openLocated(task: Task, dirfdOfGuest: number, located: Located, openFlags: number, permissions: number): Opened {
  if (located.node !== undefined) return openNode(task, located.node, openFlags, permissions, located);
  let hostFd = carefulOpen(task, located, openFlags, permissions);
  if (hostFd === -errno.ELOOP && located.text !== '') {
    const again = locateText(task, dirfdOfGuest, located.text, { follow: followsLast(openFlags), thorough: true });
    if (again.node !== undefined) return openNode(task, again.node, openFlags, permissions, again);
    hostFd = plainOpen(task, again, openFlags, permissions);
  } else if (hostFd === -errno.ENOSYS || hostFd === -errno.EPERM) {
    hostFd = plainOpen(task, located, openFlags, permissions);
  }
  return onProc(task, hostFd, openFlags, permissions);
}

/** A link outside /proc may have led to the own entry after all: look at what was opened. */
function onProc(task: Task, hostFd: number, openFlags: number, permissions: number): Opened {
  if (hostFd < 0 || !isOnProc(task, hostFd)) return { hostFd };
  const found = procPathOfFd(task, hostFd);
  const node = found === undefined ? undefined : nodeAt(task, found);
  if (node !== undefined) {
    task.call('close', hostFd);
    return node === null ? { hostFd: -errno.ENOENT } : openNode(task, node, openFlags, permissions);
  }
  // Whose memory it is cannot be told: it could be the engine's.
  if ((found === undefined || !isListed(found)) && /\/mem$/.test(hostPathOfFd(task, hostFd) ?? '')) {
    task.call('close', hostFd);
    return { hostFd: -errno.EACCES };
  }
  // /proc itself or another process's entry: relative paths from here may still lead to the own one.
  return { hostFd, special: found === undefined ? undefined : { kind: 'directory', path: found } };
}

function followsLast(openFlags: number): boolean {
  return (openFlags & O_NOFOLLOW) === 0 && (openFlags & (O_CREAT | O_EXCL)) !== (O_CREAT | O_EXCL);
}

/** Open a node of a guest's /proc entry; `found`: where the host has it, as `locate` said. */
function openNode(task: Task, node: ProcNode, openFlags: number, permissions: number, found?: Pick<Located, 'dirfd' | 'path'>): Opened {
  const follow = followsLast(openFlags);
  if (isFdLink(node) && follow && node.view.own) {
    const inner = procFile(task, node.fd as number);
    const target = inner === undefined ? undefined : nodeAt(task, inner.path);
    if (target !== undefined && target !== null) return openNode(task, target, openFlags, permissions);
  }
  const host = found ?? hostPlaceOf(task, node, follow);
  // The host's own entry judges the flags and permissions.
  const hostFd = task.call('openat', host.dirfd, host.path, openFlags | O_CLOEXEC, permissions);
  if (hostFd < 0) return { hostFd };
  if (follow && (node.entry === 'exe' || node.entry === 'cwd' || node.entry === 'root' || isFdLink(node))) return { hostFd };
  const special = (openFlags & O_PATH) !== 0 ? undefined : openedAs(node);
  if (special === undefined) return { hostFd, special: { kind: 'directory', path: node.path } };
  if (special.kind === 'window') {
    task.call('lseek', hostFd, special.shift, 0);
    return { hostFd, special };
  }
  if (special.kind !== 'text') return { hostFd, special };
  task.call('close', hostFd);
  const memfd = task.call('memfd_create', task.cstring(Buffer.from('proc')), 1);
  if (memfd < 0) return { hostFd: memfd };
  refill(task, memfd, special);
  const access = special.write === undefined ? 0 : openFlags & O_ACCMODE;
  const reopened = openInProc(task, `self/fd/${memfd}`, access | (openFlags & (O_APPEND | O_NONBLOCK)) | O_CLOEXEC);
  task.call('close', memfd);
  return { hostFd: reopened, special };
}

function isFdLink(node: ProcNode): boolean {
  return node.fd !== undefined && node.entry === `fd/${node.fd}`;
}

/** Enter what `make` opens as the lowest free guest descriptor. */
function enter(task: Task, openFlags: number, make: () => Opened): number {
  let opened: Opened | undefined;
  const guestFd = task.fds.open(() => {
    opened = make();
    return opened.hostFd;
  }, (openFlags & O_CLOEXEC) !== 0);
  if (guestFd >= 0 && opened?.special !== undefined) task.fds.setSpecial(guestFd, opened.special);
  return guestFd;
}

/** openat(2) by the guest's arguments. */
export function openAt(task: Task, at: number, name: GuestAddr, openFlags: number, permissions: number): number {
  const located = locate(task, at, name, { follow: followsLast(openFlags), sysroot: true });
  return enter(task, openFlags, () => openLocated(task, at, located, openFlags, permissions));
}

const openHowSize = 24;

export const openSyscalls = [
  syscall({
    name: 'open', nr: { x86_64: 2 }, class: ['file', 'desc', 'blocks'],
    args: { path, flags: flags('open'), mode }, ret: fd, support: full,
    run: (task, { path, flags, mode }) => openAt(task, AT_FDCWD, path, flags, mode),
  }),
  syscall({
    name: 'openat', nr: { x86_64: 257, aarch64: 56 }, class: ['file', 'desc', 'blocks'],
    args: { dirfd, path, flags: flags('open'), mode }, ret: fd, support: full,
    run: (task, { dirfd, path, flags, mode }) => openAt(task, dirfd, path, flags, mode),
  }),
  syscall({
    name: 'creat', nr: { x86_64: 85 }, class: ['file', 'desc', 'blocks'],
    args: { path, mode }, ret: fd, support: full,
    run: (task, { path, mode }) => openAt(task, AT_FDCWD, path, 0o1 | O_CREAT | O_TRUNC, mode),
  }),
  syscall({
    name: 'openat2', nr: { x86_64: 437, aarch64: 437 }, class: ['file', 'desc', 'blocks'],
    args: { dirfd, path, how: struct('open_how', openHowSize), size }, ret: fd, support: full,
    run: (task, { dirfd, path, how, size }) => {
      if (size < openHowSize) return -errno.EINVAL;
      if (size > 4096) return -errno.E2BIG;
      const given = task.memory.read(how, size);
      if (given.subarray(openHowSize).some((b) => b !== 0)) return -errno.E2BIG;
      const view = new DataView(given.buffer, given.byteOffset, given.byteLength);
      const openFlags = view.getUint32(0, true);
      const resolve = view.getUint32(16, true);
      const located: Located =
        resolve === 0
          ? locate(task, dirfd, path, { follow: followsLast(openFlags), sysroot: true })
          : { dirfd: task.hostFd(dirfd), path: copyString(task, path, PATH_MAX), text: '', node: undefined };
      const own = task.scratch(openHowSize);
      const structure = task.host.scratch.bytes;
      return enter(task, openFlags, () => {
        if (located.node !== undefined) return openNode(task, located.node, openFlags, view.getUint32(8, true), located);
        structure.set(given.subarray(0, openHowSize), own.at);
        const out = task.host.scratch.view;
        out.setUint32(own.at, (openFlags | O_CLOEXEC) >>> 0, true);
        if ((resolve & ~0x3f) === 0) out.setUint32(own.at + 16, resolve | RESOLVE_NO_MAGICLINKS, true);
        let hostFd = task.call('openat2', located.dirfd, located.path, own.address, openHowSize);
        if (hostFd === -errno.ELOOP && (resolve & (RESOLVE_NO_MAGICLINKS | 4)) === 0) {
          const again = resolve === 0 ? locateText(task, dirfd, located.text, { thorough: true }) : located;
          if (again.node !== undefined) return openNode(task, again.node, openFlags, view.getUint32(8, true));
          if (resolve === 0) {
            out.setUint32(own.at + 16, 0, true);
            hostFd = task.call('openat2', again.dirfd, again.path, own.address, openHowSize);
          }
        }
        return onProc(task, hostFd, openFlags, view.getUint32(8, true));
      });
    },
  }),
];
