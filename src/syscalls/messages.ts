/**
 * struct msghdr both ways: addresses inside it, the iovec array and ancillary data are translated into private
 * memory before the host kernel sees them, and back after it has filled them. Descriptors in SCM_RIGHTS (and the
 * pidfd of SCM_PIDFD) are the guest's on the guest's side.
 */

import { errno } from '../abi/errno.ts';
import { controlTypes, messageFlags, socketLevels } from '../abi/constants/net.ts';
import { at, cmsghdr, msghdr } from '../abi/structs.ts';
import type { GuestAddr, HostAddr } from '../kernel/ports.ts';
import { SyscallError } from '../kernel/syscall-error.ts';
import type { Task } from '../kernel/task.ts';
import { MAX_IOVECS, translateIovecs } from './iovecs.ts';

const { MSG_CMSG_CLOEXEC, MSG_CTRUNC } = messageFlags.values;
const { SOL_SOCKET } = socketLevels.values;
const { SCM_RIGHTS, SCM_PIDFD } = controlTypes.values;
/** Largest socket address: struct sockaddr_storage. */
const MAX_NAME = 128;
/** More ancillary data than this the kernel neither takes (net.core.optmem_max) nor gives. */
const MAX_CONTROL = 0x10000;
const HEADER = cmsghdr.size;

const NAME = at(msghdr, 'msg_name');
const NAMELEN = at(msghdr, 'msg_namelen');
const IOV = at(msghdr, 'msg_iov');
const IOVLEN = at(msghdr, 'msg_iovlen');
const CONTROL = at(msghdr, 'msg_control');
const CONTROLLEN = at(msghdr, 'msg_controllen');
const FLAGS = at(msghdr, 'msg_flags');

interface Header {
  readonly name: GuestAddr;
  readonly nameLength: number;
  readonly iov: GuestAddr;
  readonly iovLength: number;
  readonly control: GuestAddr;
  readonly controlLength: number;
}

function readHeader(task: Task, addr: GuestAddr): Header {
  const raw = task.memory.read(addr, msghdr.size);
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const name = Number(view.getBigUint64(NAME, true));
  const nameLength = name === 0 ? 0 : view.getInt32(NAMELEN, true);
  const iovLength = Number(view.getBigUint64(IOVLEN, true));
  if (nameLength < 0) throw new SyscallError(errno.EINVAL);
  if (iovLength > MAX_IOVECS) throw new SyscallError(errno.EMSGSIZE);
  return {
    name, nameLength: Math.min(nameLength, MAX_NAME), iov: Number(view.getBigUint64(IOV, true)), iovLength,
    control: Number(view.getBigUint64(CONTROL, true)), controlLength: Number(view.getBigUint64(CONTROLLEN, true)),
  };
}

/** The private msghdr for the host: name and control already host addresses. */
function hostHeader(task: Task, h: Header, name: HostAddr, control: HostAddr, controlLength: number): { at: number; address: HostAddr } {
  const iov = translateIovecs(task, h.iov, h.iovLength);
  if (iov < 0) throw new SyscallError(-iov);
  const header = task.scratch(msghdr.size);
  const { view } = task.host.scratch;
  view.setBigUint64(header.at + NAME, BigInt(name), true);
  view.setInt32(header.at + NAMELEN, h.nameLength, true);
  view.setBigUint64(header.at + IOV, BigInt(iov), true);
  view.setBigUint64(header.at + IOVLEN, BigInt(h.iovLength), true);
  view.setBigUint64(header.at + CONTROL, BigInt(control), true);
  view.setBigUint64(header.at + CONTROLLEN, BigInt(controlLength), true);
  return header;
}

/** sendmsg(2) of the msghdr at `addr`. */
export function sendMessage(task: Task, fd: number, addr: GuestAddr, flags: number): number {
  const { scratch } = task.host;
  const mark = scratch.mark();
  try {
    const h = readHeader(task, addr);
    let control = 0;
    if (h.controlLength > 0) {
      if (h.controlLength > MAX_CONTROL) return -errno.ENOBUFS;
      const copy = task.scratch(h.controlLength);
      scratch.bytes.set(task.memory.read(h.control, h.controlLength), copy.at);
      rightsToHost(task, copy.at, h.controlLength);
      control = copy.address;
    }
    const header = hostHeader(task, h, task.pointer(h.name, h.nameLength), control, h.controlLength);
    return task.call('sendmsg', task.hostFd(fd), header.address, flags);
  } finally {
    scratch.release(mark);
  }
}

/** recvmsg(2) into the msghdr at `addr`. */
export function receiveMessage(task: Task, fd: number, addr: GuestAddr, flags: number): number {
  const { scratch } = task.host;
  const mark = scratch.mark();
  try {
    const h = readHeader(task, addr);
    const room = Math.min(h.controlLength, MAX_CONTROL);
    const control = room === 0 ? undefined : task.scratch(room);
    const header = hostHeader(task, h, task.pointer(h.name, h.nameLength), control?.address ?? 0, room);
    // Always close-on-exec on the host; the guest's flag is in its own table.
    const result = task.call('recvmsg', task.hostFd(fd), header.address, flags | MSG_CMSG_CLOEXEC);
    if (result < 0) return result;
    const { view } = scratch;
    const received = Number(view.getBigUint64(header.at + CONTROLLEN, true));
    let outFlags = view.getUint32(header.at + FLAGS, true);
    if ((flags & MSG_CMSG_CLOEXEC) === 0) outFlags &= ~MSG_CMSG_CLOEXEC;
    let length = received;
    if (control !== undefined && received > 0) {
      const kept = rightsToGuest(task, control.at, received, (flags & MSG_CMSG_CLOEXEC) !== 0);
      length = kept.length;
      if (kept.truncated) outFlags |= MSG_CTRUNC;
      task.memory.write(h.control, scratch.bytes.slice(control.at, control.at + length));
    }
    if (h.name !== 0) task.memory.setU32(addr + NAMELEN, view.getUint32(header.at + NAMELEN, true));
    task.memory.setU32(addr + FLAGS, outFlags >>> 0);
    task.memory.setU64(addr + CONTROLLEN, length);
    return result;
  } finally {
    scratch.release(mark);
  }
}

const align = (n: number): number => (n + 7) & ~7;

/** Calls `each` for every whole control message in private memory: its start, its length, its type. */
function forEachControl(task: Task, start: number, length: number, each: (at: number, bytes: number, level: number, type: number) => void): void {
  const { view } = task.host.scratch;
  for (let at = start; at + HEADER <= start + length; ) {
    const bytes = Number(view.getBigUint64(at, true));
    if (bytes < HEADER || bytes > start + length - at) return; // the kernel finds the same fault itself
    each(at, bytes, view.getInt32(at + 8, true), view.getInt32(at + 12, true));
    at += align(bytes);
  }
}

function rightsToHost(task: Task, start: number, length: number): void {
  const { view } = task.host.scratch;
  forEachControl(task, start, length, (at, bytes, level, type) => {
    if (level !== SOL_SOCKET || type !== SCM_RIGHTS) return;
    for (let fd = at + HEADER; fd + 4 <= at + bytes; fd += 4) {
      const guest = view.getInt32(fd, true);
      // A negative number is EBADF in the kernel, as is one that is surely closed.
      view.setInt32(fd, guest < 0 ? guest : task.fds.host(guest), true);
    }
  });
}

/**
 * Enter received descriptors in the guest's table. When it is full the kernel leaves out the rest, shortens the
 * message and sets MSG_CTRUNC; so does this. The descriptors left out are closed.
 */
function rightsToGuest(task: Task, start: number, length: number, cloexec: boolean): { length: number; truncated: boolean } {
  const { view, bytes } = task.host.scratch;
  let truncated = false;
  let to = start;
  forEachControl(task, start, length, (from, size, level, type) => {
    let kept = size;
    if (level === SOL_SOCKET && (type === SCM_RIGHTS || type === SCM_PIDFD)) {
      let end = from + HEADER;
      let full = false;
      for (let fd = from + HEADER; fd + 4 <= from + size; fd += 4) {
        const host = view.getInt32(fd, true);
        if (host < 0) {
          end = fd + 4; // SCM_PIDFD of a process that is gone: an error number
          continue;
        }
        const guest = full ? -1 : task.fds.open(() => host, cloexec || type === SCM_PIDFD);
        if (guest < 0) {
          full = true;
          task.call('close', host);
          continue;
        }
        view.setInt32(fd, guest, true);
        end = fd + 4;
      }
      if (full) truncated = true;
      kept = end - from;
      // Without a single descriptor there is no message.
      if (full && kept === HEADER) return;
      view.setBigUint64(from, BigInt(kept), true);
    }
    bytes.copyWithin(to, from, from + kept);
    bytes.fill(0, to + kept, to + align(kept));
    to += align(kept);
  });
  // The last message of the kernel's may end unaligned: msg_controllen then says so.
  return { length: truncated ? Math.min(to - start, length) : length, truncated };
}
