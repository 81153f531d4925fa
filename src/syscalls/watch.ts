/**
 * Watching files and naming them by handle: inotify(7), fanotify(7), name_to_handle_at(2).
 */

import { errno } from '../abi/errno.ts';
import type { GuestAddr } from '../kernel/ports.ts';
import type { SpecialFile } from '../kernel/fd-table.ts';
import type { Task } from '../kernel/task.ts';
import { dirfd, fd, flags, flags64, forward, full, int, path, structInOut, structOut, syscall } from './declare.ts';
import { locate, reach } from './paths.ts';
import { AT_FDCWD } from './special-files.ts';

const IN_CLOEXEC = 0o2000000;
const IN_DONT_FOLLOW = 0x2000000;
const FAN_CLOEXEC = 1;
const FAN_MARK_DONT_FOLLOW = 4;
const O_CLOEXEC = 0o2000000;
const AT_SYMLINK_FOLLOW = 0x400;
const MAX_HANDLE = 8 + 128;

/** A fanotify group: its events carry descriptors, which become the guest's as they are read. */
export interface FanotifyGroup extends SpecialFile {
  readonly kind: 'fanotify';
  readonly cloexec: boolean;
}

function inotifyInit(task: Task, initFlags: number): number {
  return task.fds.open(() => task.call('inotify_init1', initFlags | IN_CLOEXEC), (initFlags & IN_CLOEXEC) !== 0);
}

export const watchSyscalls = [
  syscall({
    name: 'inotify_init', nr: { x86_64: 253 }, class: ['desc'], args: {}, ret: fd, support: full,
    run: (task) => inotifyInit(task, 0),
  }),
  syscall({
    name: 'inotify_init1', nr: { x86_64: 294, aarch64: 26 }, class: ['desc'], args: { flags: flags('inotify_init') },
    ret: fd, support: full,
    run: (task, { flags }) => inotifyInit(task, flags),
  }),
  syscall({
    name: 'inotify_add_watch', nr: { x86_64: 254, aarch64: 27 }, class: ['file', 'desc'],
    args: { fd, path, mask: flags('inotify') }, ret: int, support: full,
    run: (task, { fd, path, mask }) => {
      const where = locate(task, AT_FDCWD, path, { follow: (mask & IN_DONT_FOLLOW) === 0, sysroot: true });
      return task.call('inotify_add_watch', task.hostFd(fd), reach(task, where), mask);
    },
  }),
  syscall({
    name: 'inotify_rm_watch', nr: { x86_64: 255, aarch64: 28 }, class: ['desc'], args: { fd, wd: int }, support: full,
    run: forward,
  }),
  syscall({
    name: 'fanotify_init', nr: { x86_64: 300, aarch64: 262 }, class: ['desc'],
    args: { flags: flags('fanotify_init'), event_f_flags: flags('open') }, ret: fd, support: full,
    run: (task, { flags, event_f_flags }) => {
      const made = task.fds.open(
        () => task.call('fanotify_init', flags | FAN_CLOEXEC, event_f_flags | O_CLOEXEC),
        (flags & FAN_CLOEXEC) !== 0,
      );
      const group: FanotifyGroup = { kind: 'fanotify', cloexec: (event_f_flags & O_CLOEXEC) !== 0 };
      if (made >= 0) task.fds.setSpecial(made, group);
      return made;
    },
  }),
  syscall({
    name: 'fanotify_mark', nr: { x86_64: 301, aarch64: 263 }, class: ['file', 'desc'],
    args: { fanotify_fd: fd, flags: flags('fanotify_mark'), mask: flags64('fanotify_mask'), dirfd, path }, support: full,
    run: (task, { fanotify_fd, flags, dirfd, path }, frame) => {
      const where = locate(task, dirfd, path, { follow: (flags & FAN_MARK_DONT_FOLLOW) === 0 });
      return task.call(
        'fanotify_mark', task.hostFd(fanotify_fd), flags, frame.i64[2] as bigint, where.dirfd, where.path,
      );
    },
  }),
  syscall({
    name: 'name_to_handle_at', nr: { x86_64: 303, aarch64: 264 }, class: ['file', 'desc'],
    args: {
      dirfd, path, handle: structInOut('file_handle', 8), mount_id: structOut('mount_id', 4),
      flags: flags('name_to_handle_at'),
    },
    support: full,
    run: (task, { dirfd, path, handle, mount_id, flags }) => {
      const where = locate(task, dirfd, path, { follow: (flags & AT_SYMLINK_FOLLOW) !== 0 });
      return task.call(
        'name_to_handle_at', where.dirfd, where.path, task.pointer(handle, MAX_HANDLE), task.pointer(mount_id, 8), flags,
      );
    },
  }),
  syscall({
    name: 'open_by_handle_at', nr: { x86_64: 304, aarch64: 265 }, class: ['desc'],
    args: { mount_fd: dirfd, handle: structInOut('file_handle', 8), flags: flags('open') }, ret: fd, support: full,
    run: (task, { mount_fd, handle, flags }) =>
      task.fds.open(
        () => task.call('open_by_handle_at', task.hostFd(mount_fd), task.pointer(handle, MAX_HANDLE), flags | O_CLOEXEC),
        (flags & O_CLOEXEC) !== 0,
      ),
  }),
];

const METADATA = 24;
const INFO_PIDFD = 4;

/**
 * Host descriptors in fanotify events just read (struct fanotify_event_metadata and its pidfd records) become guest
 * descriptors, in place.
 */
export function adoptFanotifyEvents(task: Task, group: FanotifyGroup, events: Uint8Array): void {
  const view = new DataView(events.buffer, events.byteOffset, events.byteLength);
  const adopt = (at: number, cloexec: boolean) => {
    const hostFd = view.getInt32(at, true);
    if (hostFd < 0) return;
    const guestFd = task.fds.open(() => hostFd, cloexec);
    // No number left: the kernel would have reported the error in the event; FAN_NOFD is what a reader expects then.
    if (guestFd < 0) task.call('close', hostFd);
    view.setInt32(at, guestFd < 0 ? -1 : guestFd, true);
  };
  for (let at = 0; at + METADATA <= events.length; ) {
    const length = view.getUint32(at, true);
    adopt(at + 16, group.cloexec);
    for (let info = at + view.getUint16(at + 6, true); info + 4 <= at + length; ) {
      const size = view.getUint16(info + 2, true);
      if (view.getUint8(info) === INFO_PIDFD && size >= 8) adopt(info + 4, true);
      if (size === 0) break;
      info += size;
    }
    if (length < METADATA) break;
    at += length;
  }
}

/** read(2) on a fanotify group: through private memory, so that no other thread sees host numbers. */
export function readFanotify(task: Task, guestFd: number, group: FanotifyGroup, buf: GuestAddr, room: number): number {
  const bytes = Math.min(room, 65536);
  const own = task.scratch(bytes);
  const got = task.call('read', task.hostFd(guestFd), own.address, bytes);
  if (got <= 0) return got;
  const events = task.host.scratch.bytes.subarray(own.at, own.at + got);
  adoptFanotifyEvents(task, group, events);
  task.memory.write(buf, events);
  return got;
}

/** write(2) of struct fanotify_response { s32 fd; u32 response; … }: the guest's number becomes the host's. */
export function writeFanotify(task: Task, guestFd: number, buf: GuestAddr, length: number): number {
  if (length < 8) return -errno.EINVAL;
  const copy = task.memory.read(buf, Math.min(length, 4096));
  const view = new DataView(copy.buffer, copy.byteOffset);
  view.setInt32(0, task.hostFd(view.getInt32(0, true)), true);
  const own = task.scratch(copy.length);
  task.host.scratch.bytes.set(copy, own.at);
  return task.call('write', task.hostFd(guestFd), own.address, copy.length);
}
