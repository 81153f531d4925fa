/**
 * Waiting for descriptors: poll(2), select(2), epoll(7), eventfd(2), signalfd(2). poll arrays and fd_sets are
 * translated into private memory; epoll's data words are the guest's own and pass untouched.
 */

import { errno } from '../abi/errno.ts';
import { epollCreate, eventfdFlags, signalfdFlags } from '../abi/constants/poll.ts';
import { rlimits } from '../abi/constants/process.ts';
import { type GuestAddr, GuestFault, type HostAddr } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import {
  array, choice, fd, flags, full, int, sigset, size, struct, structInOut, syscall, uint,
} from './declare.ts';
import { limitOf } from './scheduling.ts';

const { EPOLL_CLOEXEC } = epollCreate.values;
const { EFD_CLOEXEC } = eventfdFlags.values;
const { SFD_CLOEXEC } = signalfdFlags.values;
const SIGSET = 8;
const POLLFD = 8;
const EPOLL_EVENT = 12;
const EPOLL_CTL_DEL = 2;
/** The kernel's EP_MAX_EVENTS: INT_MAX / sizeof(struct epoll_event). */
const MAX_EVENTS = Math.floor(0x7fffffff / EPOLL_EVENT);

const timespecInOut = structInOut('timespec', 16);
const fdSet = structInOut('fd_set', 128);

export const pollSyscalls = [
  syscall({
    name: 'poll', nr: { x86_64: 7 }, class: ['desc', 'blocks'],
    args: { ufds: array('pollfd', POLLFD, 'nfds', 'inout'), nfds: uint, timeout: int }, ret: int, support: full, interrupted: 'eintr',
    run: (task, { ufds, nfds, timeout }) =>
      withPollfds(task, ufds, nfds, (address) => {
        if (timeout < 0) return task.call('ppoll', address, nfds, 0, 0, SIGSET);
        const limit = task.scratch(16);
        const { view } = task.host.scratch;
        view.setBigInt64(limit.at, BigInt(Math.floor(timeout / 1000)), true);
        view.setBigInt64(limit.at + 8, BigInt((timeout % 1000) * 1_000_000), true);
        return task.call('ppoll', address, nfds, limit.address, 0, SIGSET);
      }),
  }),
  syscall({
    name: 'ppoll', nr: { x86_64: 271, aarch64: 73 }, class: ['desc', 'blocks'],
    args: {
      ufds: array('pollfd', POLLFD, 'nfds', 'inout'), nfds: uint, tsp: timespecInOut, sigmask: sigset('sigsetsize'), sigsetsize: size,
    },
    ret: int, support: full, interrupted: 'eintr',
    run: (task, { ufds, nfds, tsp, sigmask, sigsetsize }) =>
      underMask(task, sigmask, sigsetsize, (mask) =>
        withPollfds(task, ufds, nfds, (address) => task.call('ppoll', address, nfds, task.pointer(tsp, 16), mask, SIGSET)),
      ),
  }),
  syscall({
    name: 'select', nr: { x86_64: 23 }, class: ['desc', 'blocks'],
    args: { n: int, inp: fdSet, outp: fdSet, exp: fdSet, tvp: structInOut('timeval', 16) }, ret: int, support: full, interrupted: 'eintr',
    run: (task, { n, inp, outp, exp, tvp }) => {
      const { scratch } = task.host;
      let limit: { at: number; address: HostAddr } | undefined;
      if (tvp !== 0) {
        const seconds = BigInt.asIntN(64, task.memory.u64(tvp));
        const micros = BigInt.asIntN(64, task.memory.u64(tvp + 8));
        // As poll_select_set_timeout: whole seconds in the microseconds are carried over.
        const whole = seconds + micros / 1_000_000n;
        const rest = (micros % 1_000_000n) * 1000n;
        if (whole < 0n || rest < 0n) return -errno.EINVAL;
        limit = task.scratch(16);
        scratch.view.setBigInt64(limit.at, whole, true);
        scratch.view.setBigInt64(limit.at + 8, rest, true);
      }
      const result = select(task, n, inp, outp, exp, limit?.address ?? 0, 0);
      if (limit !== undefined) {
        const left = scratch.view.getBigInt64(limit.at, true);
        const nanos = scratch.view.getBigInt64(limit.at + 8, true);
        writeBack(() => {
          task.memory.setU64(tvp, left);
          task.memory.setU64(tvp + 8, nanos / 1000n);
        });
      }
      return result;
    },
  }),
  syscall({
    name: 'pselect6', nr: { x86_64: 270, aarch64: 72 }, class: ['desc', 'blocks'],
    args: { n: int, inp: fdSet, outp: fdSet, exp: fdSet, tsp: timespecInOut, sig: struct('sigset_argpack', 16) },
    ret: int, support: full, interrupted: 'eintr',
    run: (task, { n, inp, outp, exp, tsp, sig }) => {
      const mask = sig === 0 ? 0 : Number(task.memory.u64(sig));
      const bytes = sig === 0 ? 0 : Number(task.memory.u64(sig + 8));
      return underMask(task, mask, bytes, (hostMask) => {
        const pack = task.scratch(16);
        const { view } = task.host.scratch;
        view.setBigUint64(pack.at, BigInt(hostMask), true);
        view.setBigUint64(pack.at + 8, BigInt(SIGSET), true);
        return select(task, n, inp, outp, exp, task.pointer(tsp, 16), pack.address);
      });
    },
  }),

  syscall({
    name: 'epoll_create', nr: { x86_64: 213 }, class: ['desc'], args: { size: int }, ret: fd, support: full,
    run: (task, { size }) => (size <= 0 ? -errno.EINVAL : epollCreate1(task, 0)),
  }),
  syscall({
    name: 'epoll_create1', nr: { x86_64: 291, aarch64: 20 }, class: ['desc'], args: { flags: flags('epoll_create1') }, ret: fd, support: full,
    run: (task, { flags }) => epollCreate1(task, flags),
  }),
  syscall({
    name: 'epoll_ctl', nr: { x86_64: 233, aarch64: 21 }, class: ['desc'],
    args: { epfd: fd, op: choice('epoll_ctl'), fd, event: struct('epoll_event', EPOLL_EVENT) }, support: full,
    run: (task, { epfd, op, fd, event }) => {
      if (op === EPOLL_CTL_DEL) return task.call('epoll_ctl', task.hostFd(epfd), op, task.hostFd(fd), 0);
      // The guest's layout, which need not be the host's.
      const { at, address } = task.scratch(16);
      const { view } = task.host.scratch;
      view.setUint32(at, task.memory.u32(event), true);
      view.setBigUint64(at + hostEvent.data, task.memory.u64(event + 4), true);
      return task.call('epoll_ctl', task.hostFd(epfd), op, task.hostFd(fd), address);
    },
  }),
  syscall({
    name: 'epoll_wait', nr: { x86_64: 232 }, class: ['desc', 'blocks'],
    args: { epfd: fd, events: array('epoll_event', EPOLL_EVENT, 'maxevents', 'out'), maxevents: int, timeout: int },
    ret: int, support: full, interrupted: 'eintr', quick: true,
    run: (task, { epfd, events, maxevents, timeout }) =>
      withEvents(task, events, maxevents, (address) => task.call('epoll_pwait', task.hostFd(epfd), address, maxevents, timeout, 0, SIGSET)),
  }),
  syscall({
    name: 'epoll_pwait', nr: { x86_64: 281, aarch64: 22 }, class: ['desc', 'blocks'],
    args: {
      epfd: fd, events: array('epoll_event', EPOLL_EVENT, 'maxevents', 'out'), maxevents: int, timeout: int,
      sigmask: sigset('sigsetsize'), sigsetsize: size,
    },
    ret: int, support: full, interrupted: 'eintr', quick: { sigmask: 'absent' },
    run: (task, { epfd, events, maxevents, timeout, sigmask, sigsetsize }) =>
      underMask(task, sigmask, sigsetsize, (mask) =>
        withEvents(task, events, maxevents, (address) => task.call('epoll_pwait', task.hostFd(epfd), address, maxevents, timeout, mask, SIGSET)),
      ),
  }),
  syscall({
    name: 'epoll_pwait2', nr: { x86_64: 441, aarch64: 441 }, class: ['desc', 'blocks'],
    args: {
      epfd: fd, events: array('epoll_event', EPOLL_EVENT, 'maxevents', 'out'), maxevents: int, timeout: struct('timespec', 16),
      sigmask: sigset('sigsetsize'), sigsetsize: size,
    },
    ret: int, support: full, interrupted: 'eintr',
    run: (task, { epfd, events, maxevents, timeout, sigmask, sigsetsize }) =>
      underMask(task, sigmask, sigsetsize, (mask) =>
        withEvents(task, events, maxevents, (address) =>
          task.call('epoll_pwait2', task.hostFd(epfd), address, maxevents, task.pointer(timeout, 16), mask, SIGSET),
        ),
      ),
  }),

  syscall({
    name: 'eventfd', nr: { x86_64: 284 }, class: ['desc'], args: { count: uint }, ret: fd, support: full,
    run: (task, { count }) => task.fds.open(() => task.call('eventfd2', count, EFD_CLOEXEC), false),
  }),
  syscall({
    name: 'eventfd2', nr: { x86_64: 290, aarch64: 19 }, class: ['desc'], args: { count: uint, flags: flags('eventfd') }, ret: fd, support: full,
    run: (task, { count, flags }) => task.fds.open(() => task.call('eventfd2', count, flags | EFD_CLOEXEC), (flags & EFD_CLOEXEC) !== 0),
  }),
  syscall({
    name: 'signalfd', nr: { x86_64: 282 }, class: ['desc', 'signal'], args: { ufd: fd, user_mask: sigset('sizemask'), sizemask: size }, ret: fd,
    support: full, run: (task, { ufd, user_mask, sizemask }) => signalfd(task, ufd, user_mask, sizemask, 0),
  }),
  syscall({
    name: 'signalfd4', nr: { x86_64: 289, aarch64: 74 }, class: ['desc', 'signal'],
    args: { ufd: fd, user_mask: sigset('sizemask'), sizemask: size, flags: flags('signalfd') }, ret: fd,
    support: full, run: (task, { ufd, user_mask, sizemask, flags }) => signalfd(task, ufd, user_mask, sizemask, flags),
  }),
];

/** struct epoll_event on this host: packed on x86-64 only. */
const hostEvent = process.arch === 'x64' ? { size: 12, data: 4 } : { size: 16, data: 8 };

function epollCreate1(task: Task, flags: number): number {
  return task.fds.open(() => task.call('epoll_create1', flags | EPOLL_CLOEXEC), (flags & EPOLL_CLOEXEC) !== 0);
}

function signalfd(task: Task, ufd: number, mask: GuestAddr, bytes: number, flags: number): number {
  const make = (fd: number): number => task.call('signalfd4', fd, task.pointer(mask, SIGSET), bytes, flags | SFD_CLOEXEC);
  if (ufd === -1) return task.fds.open(() => make(-1), (flags & SFD_CLOEXEC) !== 0);
  const result = make(task.hostFd(ufd));
  return result < 0 ? result : ufd;
}

/**
 * Run `call` under the signal mask at `mask` (none if 0), which the host kernel sets and takes back by itself: it gets
 * the mask's address in private memory, or 0.
 */
function underMask(task: Task, mask: GuestAddr, bytes: number, call: (hostMask: HostAddr) => number): number {
  if (mask === 0) return call(0);
  if (bytes !== SIGSET) return -errno.EINVAL;
  const blocked = task.memory.u64(mask);
  const { at, address } = task.scratch(SIGSET);
  task.host.scratch.view.setBigUint64(at, task.process.signals.hostMask(blocked), true);
  return task.process.signals.withMask(task, blocked, () => call(address));
}

/** Room for `bytes`: scratch for usual sizes, pages of its own beyond. */
function withRoom(task: Task, bytes: number, use: (view: DataView, at: number, address: HostAddr) => number): number {
  if (bytes <= 0x20000) {
    const { at, address } = task.scratch(Math.max(16, bytes));
    return use(task.host.scratch.view, at, address);
  }
  const buffer = task.host.allocate(bytes);
  try {
    return use(buffer.view, 0, buffer.address);
  } finally {
    task.call('munmap', buffer.address, buffer.bytes.length);
  }
}

/** poll's array with host descriptors; `revents` is written back afterwards. */
function withPollfds(task: Task, ufds: GuestAddr, nfds: number, call: (address: HostAddr) => number): number {
  const [limit] = limitOf(task, rlimits.values.RLIMIT_NOFILE);
  if (BigInt(nfds) > limit) return -errno.EINVAL;
  if (nfds === 0) return call(0);
  const raw = task.memory.read(ufds, POLLFD * nfds);
  const guest = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  return withRoom(task, raw.length, (view, at, address) => {
    for (let k = 0; k < raw.length; k += POLLFD) {
      const fd = guest.getInt32(k, true);
      view.setInt32(at + k, fd < 0 ? fd : task.fds.host(fd), true);
      view.setInt16(at + k + 4, guest.getInt16(k + 4, true), true);
    }
    const result = call(address);
    if (result >= 0) {
      for (let k = 0; k < raw.length; k += POLLFD) guest.setInt16(k + 6, view.getInt16(at + k + 6, true), true);
      task.memory.write(ufds, raw);
    }
    return result;
  });
}

/** epoll's events in the guest's layout: in place where the host's is the same. */
function withEvents(task: Task, events: GuestAddr, max: number, call: (address: HostAddr) => number): number {
  if (max <= 0 || max > MAX_EVENTS) return -errno.EINVAL;
  if (hostEvent.size === EPOLL_EVENT) return call(task.pointer(events, EPOLL_EVENT * max));
  return withRoom(task, hostEvent.size * Math.min(max, 4096), (view, at, address) => {
    const count = call(address);
    for (let k = 0; k < count; k++) {
      task.memory.setU32(events + EPOLL_EVENT * k, view.getUint32(at + hostEvent.size * k, true));
      task.memory.setU64(events + EPOLL_EVENT * k + 4, view.getBigUint64(at + hostEvent.size * k + hostEvent.data, true));
    }
    return count;
  });
}

/**
 * select on the guest's sets: each set becomes one of host descriptors, whose numbers may be far higher. `limit` and
 * `pack` are host addresses (or 0).
 */
function select(task: Task, n: number, inp: GuestAddr, outp: GuestAddr, exp: GuestAddr, limit: HostAddr, pack: HostAddr): number {
  if (n < 0) return -errno.EINVAL;
  // The kernel looks no further than its own table is long.
  const count = n > 64 ? Math.min(n, Math.max(64, task.fds.capacity)) : n;
  const guestBytes = Math.ceil(count / 64) * 8;
  const sets = [inp, outp, exp].map((addr) => (addr === 0 ? undefined : task.memory.read(addr, guestBytes)));
  const asked: { fd: number; host: number }[] = [];
  let highest = -1;
  for (let fd = 0; fd < count; fd++) {
    if (!sets.some((set) => set !== undefined && hasBit(set, fd))) continue;
    if (!task.fds.has(fd)) return -errno.EBADF;
    const host = task.fds.host(fd);
    asked.push({ fd, host });
    highest = Math.max(highest, host);
  }
  const hostBytes = Math.ceil((highest + 1) / 64) * 8;
  return withRoom(task, 3 * hostBytes, (view, at, address) => {
    const bytes = new Uint8Array(view.buffer, view.byteOffset + at, 3 * hostBytes);
    sets.forEach((set, k) => {
      if (set === undefined) return;
      for (const { fd, host } of asked) if (hasBit(set, fd)) setBit(bytes, k * hostBytes * 8 + host);
    });
    const where = sets.map((set, k) => (set === undefined ? 0 : address + k * hostBytes));
    const result = task.call('pselect6', highest + 1, where[0] as number, where[1] as number, where[2] as number, limit, pack);
    if (result < 0) return result;
    sets.forEach((set, k) => {
      if (set === undefined) return;
      const out = new Uint8Array(guestBytes);
      for (const { fd, host } of asked) if (hasBit(bytes, k * hostBytes * 8 + host)) setBit(out, fd);
      task.memory.write([inp, outp, exp][k] as number, out);
    });
    return result;
  });
}

function hasBit(set: Uint8Array, bit: number): boolean {
  return (((set[bit >> 3] as number) >> (bit & 7)) & 1) === 1;
}

function setBit(set: Uint8Array, bit: number): void {
  set[bit >> 3] = (set[bit >> 3] as number) | (1 << (bit & 7));
}

/** The remaining time is a courtesy: the kernel ignores a fault there (read-only constants as limits). */
function writeBack(write: () => void): void {
  try {
    write();
  } catch (error) {
    if (!(error instanceof GuestFault)) throw error;
  }
}

