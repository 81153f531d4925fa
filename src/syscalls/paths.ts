/**
 * Paths of the guest: copied once to private memory (another guest thread cannot change them between check and
 * use), prefixed with the sysroot where that applies, and led to the guest's own view where they name the entry of a
 * guest in /proc or a descriptor in /dev/fd.
 *
 * Invariants: a path that names /proc/self/fd/N, whatever way it is written or linked to, reaches the guest's
 * descriptor N or nothing, for every call that opens or changes a file; `Located.path` is never in guest memory.
 */

import { errno } from '../abi/errno.ts';
import { type GuestAddr, GuestFault, type HostAddr } from '../kernel/ports.ts';
import { fail } from '../kernel/syscall-error.ts';
import type { Task } from '../kernel/task.ts';
import { hostPlaceOf, nodeAt, PROC_SUPER_MAGIC, type ProcNode, type Views } from './proc-entry.ts';
import { AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, ENGINE_PROC, hostPlace, procFile } from './special-files.ts';

/** PATH_MAX, the terminating NUL included. */
export const PATH_MAX = 4096;
const MAX_LINKS = 40;
const O_PATH_CLOEXEC = 0o12000000;
const RESOLVE_NO_MAGICLINKS = 2;

export interface Located {
  /** Host descriptor or AT_FDCWD. */
  readonly dirfd: number;
  /** Private copy of the path for the host; 0 where the guest passed NULL. */
  readonly path: HostAddr;
  /** What the guest wrote, byte for byte (latin1). */
  readonly text: string;
  /** Set if it names a guest's /proc entry and the last component is not to be followed further. */
  readonly node: ProcNode | undefined;
}

export interface LocateOptions {
  /** Follow a symbolic link in the last component. Default true. */
  readonly follow?: boolean;
  /** Apply the sysroot (-L): for calls that look at what is there, as qemu-user does; not for those that create. */
  readonly sysroot?: boolean;
  /** Find hidden ways into /proc/self/fd as well (at the price of two calls): for calls that change a file. */
  readonly thorough?: boolean;
}

/** Bytes of a guest string, at most `max`; undefined if it cannot be read. */
function stringBytes(task: Task, addr: GuestAddr, max: number): Uint8Array | undefined {
  try {
    return task.memory.readCString(addr, max).bytes;
  } catch (error) {
    if (error instanceof GuestFault) return undefined;
    throw error;
  }
}

/**
 * Private copy of a guest string; its host address. NULL stays NULL, and a string that cannot be read becomes an
 * address that cannot, so that the host kernel answers EFAULT in its own order of checks. A string longer than `max`
 * is cut there, which is long enough for the kernel to see that it is too long.
 */
export function copyString(task: Task, addr: GuestAddr, max: number): HostAddr {
  if (addr === 0) return 0;
  const bytes = stringBytes(task, addr, max);
  return bytes === undefined ? task.bad(addr) : task.cstring(bytes);
}

/** Copy a path string in. @throws SyscallError ENAMETOOLONG, GuestFault. */
export function readPath(task: Task, addr: GuestAddr): string {
  const { bytes, terminated } = task.memory.readCString(addr, PATH_MAX);
  if (!terminated) fail('ENAMETOOLONG');
  return latin1(bytes);
}

export function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function hostString(task: Task, text: string): HostAddr {
  return task.cstring(Buffer.from(text, 'latin1'));
}

/** Text that may lead into /proc/self or /dev/fd: everything else takes the short way. */
const suspicious = /proc|(?:^|\/)(?:fd|std(?:in|out|err))(?:\/|$)/;

/** Find what the guest means by (dirfd, path). */
export function locate(task: Task, dirfd: number, addr: GuestAddr, options: LocateOptions = {}): Located {
  const bytes = addr === 0 ? undefined : stringBytes(task, addr, PATH_MAX);
  if (bytes !== undefined && bytes.length < PATH_MAX) return locateText(task, dirfd, latin1(bytes), options);
  // NULL, unreadable or too long: the host kernel says so, after the checks that come first.
  const path = addr === 0 ? 0 : bytes === undefined ? task.bad(addr) : task.cstring(bytes);
  return { dirfd: task.hostFd(dirfd), path, text: '', node: undefined };
}

export function locateText(task: Task, dirfd: number, text: string, options: LocateOptions = {}): Located {
  const follow = options.follow ?? true;
  const absolute = text.startsWith('/');
  if (suspicious.test(text) || (!absolute && text !== '' && startsInProc(task, dirfd))) {
    const walked = walk(task, dirfd, text, follow);
    if (walked !== undefined) return walked;
  }
  const { sysroot } = task.process;
  if (absolute && sysroot !== '' && options.sysroot === true) {
    const prefixed = sysroot + text;
    const path = hostString(task, prefixed);
    if (prefixed.length < PATH_MAX && task.call('faccessat', AT_FDCWD, path, 0) === 0) {
      return { dirfd: AT_FDCWD, path, text, node: undefined };
    }
  }
  const located = { dirfd: task.hostFd(dirfd), path: hostString(task, text), text, node: undefined };
  if (options.thorough === true && follow && passesMagicLink(task, located)) {
    return walk(task, dirfd, text, follow) ?? located;
  }
  return located;
}

/** A path from the current directory for calls without dirfd that change what they find; the host path. */
export function locateToChange(task: Task, addr: GuestAddr): HostAddr {
  return reach(task, locate(task, AT_FDCWD, addr, { thorough: true }));
}

/**
 * For host calls that take no dirfd: a path from the current directory to what was located (through /proc/self/fd
 * where it lies below a descriptor).
 */
export function reach(task: Task, located: Located): HostAddr {
  if (located.dirfd === AT_FDCWD || located.path === 0 || located.text === '') return located.path;
  const at = located.path - task.host.scratch.address;
  const end = task.host.scratch.bytes.indexOf(0, at);
  const text = latin1(task.host.scratch.bytes.subarray(at, end));
  return text.startsWith('/') ? located.path : hostString(task, `/proc/self/fd/${located.dirfd}/${text}`);
}

/** Does the path go through a link of /proc that is none (fd/N, exe, cwd, root)? Asked of the kernel. */
export function passesMagicLink(task: Task, located: Located): boolean {
  const how = task.scratch(24);
  task.host.scratch.view.setBigUint64(how.at, BigInt(O_PATH_CLOEXEC), true);
  task.host.scratch.view.setBigUint64(how.at + 16, BigInt(RESOLVE_NO_MAGICLINKS), true);
  const probe = task.call('openat2', located.dirfd, located.path, how.address, 24);
  if (probe >= 0) task.call('close', probe);
  return probe === -errno.ELOOP;
}

function startsInProc(task: Task, dirfd: number): boolean {
  if (dirfd === AT_FDCWD) return task.process.cwdInProc;
  return task.fds.special(dirfd) !== undefined;
}

/** Absolute host path a relative one starts from; undefined if the kernel has none (deleted, unreachable). */
function startOf(task: Task, dirfd: number): string | undefined {
  if (dirfd !== AT_FDCWD) {
    const special = procFile(task, dirfd);
    if (special !== undefined && special.kind !== 'directory' && special.kind !== 'listing') return special.path;
    const hostFd = task.hostFd(dirfd);
    const link = special !== undefined ? procPathOfFd(task, hostFd) : hostPathOfFd(task, hostFd);
    return link?.startsWith('/') && !link.endsWith(' (deleted)') ? link : undefined;
  }
  const { at, address } = task.scratch(PATH_MAX);
  const length = task.call('getcwd', address, PATH_MAX);
  if (length <= 0) return undefined;
  const cwd = latin1(task.host.scratch.bytes.subarray(at, at + length - 1));
  return cwd.startsWith('/') ? cwd : undefined;
}

/**
 * Canonical path of what a descriptor on procfs is open on. The kernel's answer may be of a place that is no longer there (the
 * guest's root or mounts have changed): then it is taken from the engine's own descriptor on that procfs, if it is the same.
 */
export function procPathOfFd(task: Task, hostFd: number): string | undefined {
  const link = hostPathOfFd(task, hostFd);
  if (link === undefined) return undefined;
  const { scratch } = task.host;
  const mark = scratch.mark();
  const identity = (dirfd: number, path: HostAddr, flags: number): readonly [bigint, bigint] | undefined => {
    const { at, address } = task.scratch(144);
    if (task.call('newfstatat', dirfd, path, address, flags) < 0) return undefined;
    return [scratch.view.getBigUint64(at, true), scratch.view.getBigUint64(at + 8, true)];
  };
  const empty = task.cstring(new Uint8Array(0));
  const of = identity(hostFd, empty, AT_EMPTY_PATH);
  const there = identity(AT_FDCWD, hostString(task, link), AT_SYMLINK_NOFOLLOW);
  const engine = identity(task.process.procFd, empty, AT_EMPTY_PATH);
  scratch.release(mark);
  if (of === undefined) return undefined;
  if (there !== undefined && there[0] === of[0] && there[1] === of[1]) return link;
  // Below the root of procfs its paths begin with a number or a name of its own; above it stands where it was mounted.
  const below = /^(?:\/[^/]+)*?((?:\/(?:\d+|self|thread-self)(?:\/.*)?)|)$/.exec(link)?.[1];
  return engine !== undefined && engine[0] === of[0] && below !== undefined ? `/${ENGINE_PROC}${below}` : undefined;
}

/** Text of a symbolic link of the host; undefined if it is none or cannot be read. */
function readLink(task: Task, text: string, at = AT_FDCWD): string | undefined {
  const { scratch } = task.host;
  const mark = scratch.mark();
  try {
    const place = hostPlace(task, text);
    const dirfd = at === AT_FDCWD ? place.dirfd : at;
    return linkAt(task, dirfd, place.path);
  } finally {
    scratch.release(mark);
  }
}

function linkAt(task: Task, dirfd: number, path: HostAddr): string | undefined {
  const { scratch } = task.host;
  const mark = scratch.mark();
  try {
    const { at, address } = task.scratch(PATH_MAX);
    const length = task.call('readlinkat', dirfd, path, address, PATH_MAX);
    return length < 0 ? undefined : latin1(scratch.bytes.subarray(at, at + length));
  } finally {
    scratch.release(mark);
  }
}

/**
 * Follow a path component by component to see whether it ends in, or leads through, a guest's /proc entry.
 * Undefined when it does not: the host kernel then resolves it as the guest wrote it.
 */
function walk(task: Task, dirfd: number, text: string, follow: boolean): Located | undefined {
  const start = text.startsWith('/') ? '/' : startOf(task, dirfd);
  if (start === undefined) return undefined;
  let current: string[] = start.split('/').filter((c) => c !== '');
  const rest = text.split('/').filter((c) => c !== '' && c !== '.');
  const mustBeDirectory = /\/\.?$/.test(text);
  let links = 0;
  const views: Views = new Map();
  let touched = nodeAt(task, joined(current), views) !== undefined;
  while (rest.length > 0) {
    const component = rest.shift() as string;
    if (component === '..') {
      // Above that procfs is what the host alone knows.
      if (current[0] === ENGINE_PROC && current.length === 1) return undefined;
      current.pop();
      continue;
    }
    const candidate = `${current.length === 0 ? '' : joined(current)}/${component}`;
    const last = rest.length === 0 && !mustBeDirectory;
    const node = nodeAt(task, candidate, views);
    if (node !== undefined) {
      touched = true;
      if (node === null) return nowhere(task, text, last ? '' : '/-');
      const magic = node.fd !== undefined && node.entry === `fd/${node.fd}` ? 'descriptor' : node.entry;
      if (magic === 'descriptor' || magic === 'exe' || magic === 'cwd' || magic === 'root') {
        if (last) return ended(task, text, node, follow);
        // Through the link: from a descriptor, or on from the directory it names.
        if (++links > MAX_LINKS) return undefined;
        if (!node.view.own) return through(task, text, node, rest, mustBeDirectory);
        if (magic === 'root') {
          current = [];
          continue;
        }
        const inner = magic === 'descriptor' ? procFile(task, node.fd as number) : undefined;
        const target = inner !== undefined ? inner.path : magic === 'cwd' ? startOf(task, AT_FDCWD) : undefined;
        if (target !== undefined) {
          current = target.split('/').filter((c) => c !== '');
          continue;
        }
        const from = magic === 'descriptor' ? task.hostFd(node.fd as number) : AT_FDCWD;
        if (magic === 'exe') return ended(task, text, node, true, '/');
        const path = rest.length === 0 ? './' : rest.join('/') + (mustBeDirectory ? '/' : '');
        return { dirfd: from, path: hostString(task, path), text, node: undefined };
      }
    }
    if (!last || follow) {
      const target = readLink(task, candidate);
      if (target !== undefined) {
        if (++links > MAX_LINKS) return undefined;
        if (target.startsWith('/')) current = [];
        rest.unshift(...target.split('/').filter((c) => c !== '' && c !== '.'));
        continue;
      }
    }
    current.push(component);
  }
  const node = touched ? nodeAt(task, joined(current), views) : undefined;
  if (node === null) return nowhere(task, text);
  if (node === undefined) {
    // In and out again (/proc/self/../x) or through a link in it: the path found is the plain one.
    return touched || current[0] === ENGINE_PROC ? { ...hostPlace(task, joined(current)), text, node: undefined } : undefined;
  }
  return ended(task, text, node, follow, mustBeDirectory ? '/' : '');
}

/** On from a link in another guest's entry, which the host's kernel follows. */
function through(task: Task, text: string, node: ProcNode, rest: readonly string[], mustBeDirectory: boolean): Located {
  const tail = `/${rest.join('/')}${mustBeDirectory && rest.length > 0 ? '/' : ''}`;
  return { ...hostPlaceOf(task, node, true, tail), text, node: undefined };
}

/** What the guest must not see is not there, for the host kernel to say after the checks that come first. */
function nowhere(task: Task, text: string, below = ''): Located {
  return { ...hostPlace(task, `/${ENGINE_PROC}/self/fd/-${below}`), text, node: undefined };
}

function joined(components: readonly string[]): string {
  return `/${components.join('/')}`;
}

/** The end of a walk in a guest's entry: which host path stands for it. */
function ended(task: Task, text: string, node: ProcNode, follow: boolean, tail = ''): Located {
  return { ...hostPlaceOf(task, node, follow, tail), text, node };
}

/** Is what a descriptor is open on part of procfs? */
export function isOnProc(task: Task, hostFd: number): boolean {
  const { at, address } = task.scratch(120);
  return task.call('fstatfs', hostFd, address) === 0 && task.host.scratch.view.getUint32(at, true) === PROC_SUPER_MAGIC;
}

/** The host's path of a descriptor, as /proc/self/fd/N has it. */
export function hostPathOfFd(task: Task, hostFd: number): string | undefined {
  return readLink(task, `self/fd/${hostFd}`, task.process.procFd);
}

/** AT_SYMLINK_NOFOLLOW as LocateOptions.follow. */
export function follows(flags: number): boolean {
  return (flags & AT_SYMLINK_NOFOLLOW) === 0;
}

