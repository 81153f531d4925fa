/**
 * Descriptors the host kernel cannot answer alone because they are the guest's view of its own /proc entry:
 * synthesised text (a memfd filled anew whenever it is read from the start), windows into /proc/self/mem and
 * pagemap, and directory listings. Everything not handled here goes to the host descriptor as usual.
 */

import { errno } from '../abi/errno.ts';
import type { SpecialFile } from '../kernel/fd-table.ts';
import type { Arg, HostAddr } from '../kernel/ports.ts';
import { fail } from '../kernel/syscall-error.ts';
import type { Task } from '../kernel/task.ts';
import { hostIovecs, type Segment } from './iovecs.ts';

export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_EMPTY_PATH = 0x1000;

interface InProc extends SpecialFile {
  /** Canonical path in /proc as the guest sees it: `/proc/PID/maps`, `/proc/PID/task/TID/fd`. */
  readonly path: string;
}

/** A file whose text the engine writes. The host descriptor is a memfd. */
export interface TextFile extends InProc {
  readonly kind: 'text';
  /** Undefined: the process it is about has ended. */
  generate(task: Task): Uint8Array | undefined;
  /** For the writable ones (comm): what write(2) does; −errno or the count. */
  write?(task: Task, bytes: Uint8Array): number;
}

/** A host file of which only [shift, shift + limit) exists for the guest, as [0, limit). */
export interface WindowFile extends InProc {
  readonly kind: 'window';
  readonly shift: number;
  readonly limit: number;
  /** Bytes from `at` on that there are for the guest; 0: none. */
  available(task: Task, at: number): number;
  /** Result of reading or writing where nothing is available: −EIO for mem, 0 for pagemap. */
  readonly beyond: number;
}

export interface ListingEntry {
  readonly name: string;
  readonly inode: number;
  /** DT_… */
  readonly type: number;
  /** Where it stands, if not by its index: a descriptor stays in its place when others are closed during the listing. */
  readonly place?: number;
}

/** A directory whose entries the engine lists. The host descriptor is the host's directory. */
export interface ListingDirectory extends InProc {
  readonly kind: 'listing';
  entries(task: Task): ListingEntry[];
  /** Place of the next entry for getdents; shared by duplicates. */
  position: number;
}

/** A directory of /proc listed by the host; kept to know where a relative path starts. */
export interface ProcDirectory extends InProc {
  readonly kind: 'directory';
}

/** An O_PATH (or plain) descriptor on the link-like things of /proc that reads as the host's. */
export type ProcFile = TextFile | WindowFile | ListingDirectory | ProcDirectory;

export function procFile(task: Task, fd: number): ProcFile | undefined {
  const special = task.fds.special(fd) as ProcFile | undefined;
  if (special === undefined || !isRemote(special)) return special;
  // Another thread opened it, and told what it is but not how it is made.
  const file = task.process.reviveSpecial(task, special) as ProcFile | undefined;
  if (file !== undefined) task.fds.revive(fd, file);
  return file;
}

/** Without the functions that its kind has: it came through the log of changes. */
function isRemote(file: ProcFile): boolean {
  return (file.kind === 'text' && file.generate === undefined) || (file.kind === 'window' && file.available === undefined) || (file.kind === 'listing' && file.entries === undefined);
}

const SEEK_SET = 0;
const SEEK_CUR = 1;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

function position(task: Task, fd: number): number {
  return task.call('lseek', task.hostFd(fd), 0, SEEK_CUR);
}

const O_RDWR_CLOEXEC = 0o2000002;

/** The engine's own look into the host's /proc: a path without the leading /proc/. A host descriptor or −errno. */
export function openInProc(task: Task, path: string, flags: number): number {
  const { scratch } = task.host;
  const mark = scratch.mark();
  const fd = task.call('openat', task.process.procFd, task.cstring(Buffer.from(path, 'latin1')), flags, 0);
  scratch.release(mark);
  return fd;
}

/**
 * First component of a path in the engine's own descriptor on /proc, where the guest's way to that procfs is one that no path
 * says (a descriptor from before its root or mounts changed). No guest's path has it.
 */
export const ENGINE_PROC = '\0';

/** A canonical path as the host is to get it, in private memory. */
export function hostPlace(task: Task, text: string): { readonly dirfd: number; readonly path: HostAddr } {
  const inner = text === `/${ENGINE_PROC}` ? '.' : text.startsWith(`/${ENGINE_PROC}/`) ? text.slice(ENGINE_PROC.length + 2) : undefined;
  const path = task.cstring(Buffer.from(inner ?? text, 'latin1'));
  return { dirfd: inner === undefined ? AT_FDCWD : task.process.procFd, path };
}

/** Write the text of a synthesised file into its memfd. False: the process it is about has ended. */
export function refill(task: Task, hostFd: number, file: TextFile): boolean {
  const text = file.generate(task);
  if (text === undefined) return false;
  // The guest's descriptor may be read-only: the memfd is opened again for writing.
  const writable = openInProc(task, `self/fd/${hostFd}`, O_RDWR_CLOEXEC);
  if (writable < 0) return true;
  task.call('ftruncate', writable, 0);
  task.host.writeAll(writable, text);
  task.call('close', writable);
  return true;
}

/**
 * Before a read at the beginning (offset 0, or the current position if not given): make the text current. @throws SyscallError
 * ESRCH where the process it is about has ended.
 */
export function refresh(task: Task, fd: number, offset?: Arg): void {
  const file = procFile(task, fd);
  if (file?.kind !== 'text') return;
  const at = offset === undefined ? position(task, fd) : offset;
  if ((at === 0 || at === 0n) && !refill(task, task.hostFd(fd), file)) fail('ESRCH');
}

/**
 * read/write and their relatives on a special descriptor. `offset` undefined: at the current position.
 * Returns undefined when the host descriptor answers as it is.
 */
export function transferSpecial(
  task: Task, fd: number, segments: readonly Segment[], offset: Arg | undefined, writing: boolean,
): number | undefined {
  const file = procFile(task, fd);
  if (file === undefined) return undefined;
  if (file.kind === 'text') {
    if (!writing) {
      refresh(task, fd, offset);
      return undefined;
    }
    if (file.write === undefined || (task.call('fcntl', task.hostFd(fd), F_GETFL, 0) & 3) === 0) return undefined;
    let total = 0;
    for (const { base, length } of segments) {
      if (length < 0) return -errno.EINVAL;
      const written = file.write(task, task.memory.read(base, Math.min(length, 4096)));
      if (written < 0) return total > 0 ? total : written;
      total += length;
    }
    return total;
  }
  if (file.kind !== 'window') return undefined;
  const hostFd = task.hostFd(fd);
  let at: number;
  if (offset === undefined) at = position(task, fd) - file.shift;
  else at = typeof offset === 'bigint' ? Number(BigInt.asUintN(64, offset)) : offset;
  if (at < 0 && typeof offset === 'number') return -errno.EINVAL;
  if (segments.reduce((sum, s) => sum + s.length, 0) === 0) return 0;
  const cut: Segment[] = [];
  let left = file.available(task, at);
  if (left <= 0) return file.beyond;
  for (const { base, length } of segments) {
    const part = Math.min(length, left);
    if (part <= 0) break;
    cut.push({ base, length: part });
    left -= part;
  }
  const vector = hostIovecs(task, cut);
  if (offset === undefined) return task.call(writing ? 'writev' : 'readv', hostFd, vector, cut.length);
  return task.call(writing ? 'pwritev' : 'preadv', hostFd, vector, cut.length, at + file.shift, 0);
}

const F_GETFL = 3;

/** lseek on a special descriptor; undefined when the host's answer is right. */
export function seekSpecial(task: Task, fd: number, offset: Arg, whence: number): Arg | undefined {
  const file = procFile(task, fd);
  if (file?.kind === 'window') {
    if (whence !== SEEK_SET && whence !== SEEK_CUR) return -errno.EINVAL;
    const start = whence === SEEK_CUR ? position(task, fd) - file.shift : 0;
    const target = start + Number(typeof offset === 'bigint' ? BigInt.asUintN(64, offset) : offset);
    if (target < 0) return -errno.EINVAL;
    // Beyond the guest's space there is nothing: any such position will do, the number is kept for the answer only.
    task.call('lseek', task.hostFd(fd), file.shift + Math.min(target, file.limit), SEEK_SET);
    return typeof offset === 'bigint' && whence === SEEK_SET ? offset : target;
  }
  if (file?.kind === 'listing') {
    // The file itself is empty: SEEK_DATA and SEEK_HOLE find nothing, SEEK_END counts from 0.
    if (whence === SEEK_DATA || whence === SEEK_HOLE) return -errno.ENXIO;
    if (whence < SEEK_SET || whence > SEEK_HOLE) return -errno.EINVAL;
    const target = Number(offset) + (whence === SEEK_CUR ? file.position : 0);
    if (target < 0 || !Number.isSafeInteger(target)) return -errno.EINVAL;
    file.position = target;
    return target;
  }
  return undefined;
}

/** struct linux_dirent64 records of a listing for a buffer of `room` bytes; 0 at the end, −EINVAL if none fits. */
export function readListing(task: Task, file: ListingDirectory, room: number, legacy: boolean): Uint8Array | number {
  const left = file
    .entries(task)
    .map((entry, index) => ({ ...entry, place: entry.place ?? index }))
    .filter(({ place }) => place >= file.position);
  if (left.length === 0) return 0;
  if (room > 0x7fffffff) return -errno.EINVAL;
  const out = new Uint8Array(Math.min(room, 65536));
  const view = new DataView(out.buffer);
  const header = legacy ? 18 : 19;
  let used = 0;
  for (const entry of left) {
    const name = Buffer.from(entry.name, 'latin1');
    // Legacy records carry the type in their last byte, after the name's NUL.
    const length = (header + name.length + 1 + (legacy ? 1 : 0) + 7) & ~7;
    if (used + length > out.length) break;
    view.setBigUint64(used, BigInt(entry.inode), true);
    view.setBigUint64(used + 8, BigInt(entry.place + 1), true);
    view.setUint16(used + 16, length, true);
    if (legacy) view.setUint8(used + length - 1, entry.type);
    else view.setUint8(used + 18, entry.type);
    out.set(name, used + header);
    used += length;
    file.position = entry.place + 1;
  }
  return used === 0 ? -errno.EINVAL : out.subarray(0, used);
}
