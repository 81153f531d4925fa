/**
 * Sockets: socket(2), connect(2), send(2), recv(2), getsockopt(2) and their relatives. Sockets are the host's own;
 * descriptors and every pointer inside a structure are translated.
 */

import { errno } from '../abi/errno.ts';
import { messageFlags, socketTypes } from '../abi/constants/net.ts';
import { at, mmsghdr } from '../abi/structs.ts';
import type { GuestAddr } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import {
  array, bytesIn, bytesOut, bytesOutSized, choice, fd, flags, forward, full, int, partial, size, sockaddrIn, sockaddrOut,
  struct, structInOut, structOut, syscall, uint,
} from './declare.ts';
import { receiveMessage, sendMessage } from './messages.ts';
import { getOption, setOption } from './socket-options.ts';

const { SOCK_CLOEXEC } = socketTypes.values;
const { MSG_DONTWAIT, MSG_WAITFORONE } = messageFlags.values;
const MAX_MESSAGES = 1024;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const SO_SNDTIMEO = 21;

const family = choice('AF');
const type = flags('socket_type');
const msgFlags = flags('MSG');

export const netSyscalls = [
  syscall({
    name: 'socket', nr: { x86_64: 41, aarch64: 198 }, class: ['net'], args: { family, type, protocol: int }, ret: fd, support: full,
    run: (task, { family, type, protocol }) =>
      task.fds.open(() => task.call('socket', family, type | SOCK_CLOEXEC, protocol), (type & SOCK_CLOEXEC) !== 0),
  }),
  syscall({
    name: 'socketpair', nr: { x86_64: 53, aarch64: 199 }, class: ['net'], args: { family, type, protocol: int, usockvec: structOut('int[2]', 8) }, support: full,
    run: (task, { family, type, protocol, usockvec }) =>
      openPair(task, usockvec, (type & SOCK_CLOEXEC) !== 0, (pair) => task.call('socketpair', family, type | SOCK_CLOEXEC, protocol, pair)),
  }),
  syscall({
    name: 'bind', nr: { x86_64: 49, aarch64: 200 }, class: ['net'], args: { fd, umyaddr: sockaddrIn('addrlen'), addrlen: int }, support: full, run: forward,
  }),
  syscall({ name: 'listen', nr: { x86_64: 50, aarch64: 201 }, class: ['net'], args: { fd, backlog: int }, support: full, run: forward }),
  syscall({
    name: 'connect', nr: { x86_64: 42, aarch64: 203 }, class: ['net', 'blocks'], args: { fd, uservaddr: sockaddrIn('addrlen'), addrlen: int }, support: full,
    run: (task, { fd, uservaddr, addrlen }) => {
      const result = task.call('connect', task.hostFd(fd), task.pointer(uservaddr, Math.max(0, addrlen)), addrlen);
      return timeLimited(task, fd, SO_SNDTIMEO, result);
    },
  }),
  syscall({
    name: 'accept', nr: { x86_64: 43, aarch64: 202 }, class: ['net', 'blocks'],
    args: { fd, upeer_sockaddr: sockaddrOut('upeer_addrlen'), upeer_addrlen: structInOut('socklen_t', 4) }, ret: fd, support: full,
    run: (task, { fd, upeer_sockaddr, upeer_addrlen }) => accept(task, fd, upeer_sockaddr, upeer_addrlen, 0),
  }),
  syscall({
    name: 'accept4', nr: { x86_64: 288, aarch64: 242 }, class: ['net', 'blocks'],
    args: { fd, upeer_sockaddr: sockaddrOut('upeer_addrlen'), upeer_addrlen: structInOut('socklen_t', 4), flags: type }, ret: fd, support: full,
    run: (task, { fd, upeer_sockaddr, upeer_addrlen, flags }) => accept(task, fd, upeer_sockaddr, upeer_addrlen, flags),
  }),
  syscall({
    name: 'getsockname', nr: { x86_64: 51, aarch64: 204 }, class: ['net'],
    args: { fd, usockaddr: sockaddrOut('usockaddr_len'), usockaddr_len: structInOut('socklen_t', 4) }, support: full, run: forward,
  }),
  syscall({
    name: 'getpeername', nr: { x86_64: 52, aarch64: 205 }, class: ['net'],
    args: { fd, usockaddr: sockaddrOut('usockaddr_len'), usockaddr_len: structInOut('socklen_t', 4) }, support: full, run: forward,
  }),
  syscall({ name: 'shutdown', nr: { x86_64: 48, aarch64: 210 }, class: ['net'], args: { fd, how: choice('shutdown') }, support: full, run: forward }),

  syscall({
    name: 'sendto', nr: { x86_64: 44, aarch64: 206 }, class: ['net', 'blocks'],
    args: { fd, buff: bytesIn('len'), len: size, flags: msgFlags, addr: sockaddrIn('addr_len'), addr_len: int }, ret: size, support: full,
    quick: { addr: 'absent', addr_len: 'absent' }, afterInterruption: (task, { fd }) => void timeLimited(task, fd, SO_SNDTIMEO, -errno.EINTR),
    run: (task, { fd, buff, len, flags, addr, addr_len }) => {
      const length = task.room(buff, len);
      const host = task.pointer(buff, Math.max(0, length));
      const result = task.call('sendto', task.hostFd(fd), host, length, flags, task.pointer(addr, Math.max(0, addr_len)), addr_len);
      return timeLimited(task, fd, SO_SNDTIMEO, result);
    },
  }),
  syscall({
    name: 'recvfrom', nr: { x86_64: 45, aarch64: 207 }, class: ['net', 'blocks'],
    args: { fd, ubuf: bytesOut('size'), size, flags: msgFlags, addr: sockaddrOut('addr_len'), addr_len: structInOut('socklen_t', 4) },
    ret: size, support: full,
    quick: { addr: 'absent', addr_len: 'absent' }, afterInterruption: (task, { fd }) => void timeLimited(task, fd, SO_RCVTIMEO, -errno.EINTR),
    run: (task, { fd, ubuf, size, flags, addr, addr_len }) => {
      const length = task.room(ubuf, size);
      const host = task.pointer(ubuf, Math.max(0, length));
      const room = addr === 0 || addr_len === 0 ? 0 : task.memory.u32(addr_len);
      const result = task.call('recvfrom', task.hostFd(fd), host, length, flags, task.pointer(addr, Math.min(room, 128)), task.pointer(addr_len, 4));
      return timeLimited(task, fd, SO_RCVTIMEO, result);
    },
  }),
  syscall({
    name: 'sendmsg', nr: { x86_64: 46, aarch64: 211 }, class: ['net', 'blocks'], args: { fd, msg: struct('msghdr', 56), flags: msgFlags }, ret: size, support: full,
    run: (task, { fd, msg, flags }) => timeLimited(task, fd, SO_SNDTIMEO, sendMessage(task, fd, msg, flags)),
  }),
  syscall({
    name: 'recvmsg', nr: { x86_64: 47, aarch64: 212 }, class: ['net', 'blocks'], args: { fd, msg: structInOut('msghdr', 56), flags: msgFlags }, ret: size, support: full,
    run: (task, { fd, msg, flags }) => timeLimited(task, fd, SO_RCVTIMEO, receiveMessage(task, fd, msg, flags)),
  }),
  syscall({
    name: 'sendmmsg', nr: { x86_64: 307, aarch64: 269 }, class: ['net', 'blocks'],
    args: { fd, mmsg: array('mmsghdr', 64, 'vlen', 'inout'), vlen: uint, flags: msgFlags }, ret: int, support: full,
    run: (task, { fd, mmsg, vlen, flags }) => {
      const count = Math.min(vlen, MAX_MESSAGES);
      for (let k = 0; k < count; k++) {
        const one = mmsg + k * mmsghdr.size;
        const sent = timeLimited(task, fd, SO_SNDTIMEO, sendMessage(task, fd, one, flags));
        if (sent < 0) return k > 0 ? k : sent;
        task.memory.setU32(one + at(mmsghdr, 'msg_len'), sent);
      }
      return count;
    },
  }),
  syscall({
    name: 'recvmmsg', nr: { x86_64: 299, aarch64: 243 }, class: ['net', 'blocks'],
    args: { fd, mmsg: array('mmsghdr', 64, 'vlen', 'inout'), vlen: uint, flags: msgFlags, timeout: structInOut('timespec', 16) },
    ret: int, support: full, run: (task, a) => receiveMany(task, a.fd, a.mmsg, a.vlen, a.flags, a.timeout),
  }),

  syscall({
    name: 'setsockopt', nr: { x86_64: 54, aarch64: 208 }, class: ['net'],
    args: { fd, level: choice('SOL'), optname: int, optval: bytesIn('optlen'), optlen: int },
    support: partial('ebtables\' replace is not translated'),
    run: (task, { fd, level, optname, optval, optlen }) => setOption(task, fd, level, optname, optval, optlen),
  }),
  syscall({
    name: 'getsockopt', nr: { x86_64: 55, aarch64: 209 }, class: ['net'],
    args: { fd, level: choice('SOL'), optname: int, optval: bytesOutSized('optlen'), optlen: structInOut('socklen_t', 4) },
    support: full, run: (task, { fd, level, optname, optval, optlen }) => getOption(task, fd, level, optname, optval, optlen),
  }),
];

function accept(task: Task, fd: number, addr: GuestAddr, length: GuestAddr, flags: number): number {
  const room = addr === 0 || length === 0 ? 0 : task.memory.u32(length);
  const result = task.fds.open(
    () => task.call('accept4', task.hostFd(fd), task.pointer(addr, Math.min(room, 128)), task.pointer(length, 4), flags | SOCK_CLOEXEC),
    (flags & SOCK_CLOEXEC) !== 0,
  );
  return timeLimited(task, fd, SO_RCVTIMEO, result);
}

/** A call on a socket with a time limit (SO_RCVTIMEO, SO_SNDTIMEO) is not restarted after a signal: signal(7). */
function timeLimited(task: Task, fd: number, option: number, result: number): number {
  if (result !== -errno.EINTR) return result;
  const { at: place, address } = task.scratch(32);
  const { view } = task.host.scratch;
  view.setInt32(place + 16, 16, true);
  task.call('getsockopt', task.hostFd(fd), SOL_SOCKET, option, address, address + 16);
  if (view.getBigInt64(place, true) !== 0n || view.getBigInt64(place + 8, true) !== 0n) task.process.signals.noRestart(task);
  return result;
}

/** recvmmsg(2): the time limit is looked at after each message, as the kernel does. */
function receiveMany(task: Task, fd: number, mmsg: GuestAddr, vlen: number, flags: number, timeout: GuestAddr): number {
  const now = (): bigint => {
    const { at: place, address } = task.scratch(16);
    task.call('clock_gettime', 1, address);
    const { view } = task.host.scratch;
    return view.getBigInt64(place, true) * BILLION + view.getBigInt64(place + 8, true);
  };
  let deadline: bigint | undefined;
  if (timeout !== 0) {
    const seconds = BigInt.asIntN(64, task.memory.u64(timeout));
    const nanos = BigInt.asIntN(64, task.memory.u64(timeout + 8));
    if (seconds < 0n || nanos < 0n || nanos >= BILLION) return -errno.EINVAL;
    deadline = now() + seconds * BILLION + nanos;
  }
  const count = Math.min(vlen, MAX_MESSAGES);
  let received = 0;
  let options = flags & ~MSG_WAITFORONE;
  while (received < count) {
    const one = mmsg + received * mmsghdr.size;
    const length = timeLimited(task, fd, SO_RCVTIMEO, receiveMessage(task, fd, one, options));
    if (length < 0) {
      if (received === 0) return length;
      break;
    }
    task.memory.setU32(one + at(mmsghdr, 'msg_len'), length);
    received++;
    if ((flags & MSG_WAITFORONE) !== 0) options |= MSG_DONTWAIT;
    if (deadline !== undefined && now() >= deadline) break;
  }
  if (deadline !== undefined) {
    const left = deadline - now();
    task.memory.setU64(timeout, left > 0n ? left / BILLION : 0n);
    task.memory.setU64(timeout + 8, left > 0n ? left % BILLION : 0n);
  }
  return received;
}

const BILLION = 1_000_000_000n;

/**
 * Two descriptors at once: `make` fills two ints in private memory. The guest's numbers are chosen and written
 * first, as the kernel does, so that a bad address opens nothing.
 */
function openPair(task: Task, target: GuestAddr, cloexec: boolean, make: (pair: number) => number): number {
  const first = task.fds.reserve();
  if (first < 0) return first;
  const second = task.fds.reserve();
  if (second < 0) {
    task.fds.cancel(first);
    return second;
  }
  let entered = false;
  try {
    task.memory.setU32(target, first);
    task.memory.setU32(target + 4, second);
    const { at: place, address } = task.scratch(8);
    const result = make(address);
    if (result >= 0) {
      const { view } = task.host.scratch;
      task.fds.install(first, view.getInt32(place, true), cloexec);
      task.fds.install(second, view.getInt32(place + 4, true), cloexec);
      entered = true;
    }
    return result;
  } finally {
    if (!entered) {
      task.fds.cancel(second);
      task.fds.cancel(first);
    }
  }
}

