/** Sockets, messages with descriptors, readiness: against the real kernel. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { errno } from '../../src/abi/errno.ts';
import { ints, SystemGuest, words } from './system-guest.ts';

const dir = mkdtempSync(join(tmpdir(), 'guest-net-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const guest = new SystemGuest();

const AF_UNIX = 1;
const AF_INET = 2;
const STREAM = 1;
const DGRAM = 2;
const CLOEXEC = 0o2000000;
const NONBLOCK = 0o4000;
const MSG_DONTWAIT = 0x40;
const MSG_CTRUNC = 8;
const MSG_CMSG_CLOEXEC = 0x40000000;

function pair(type = STREAM): [number, number] {
  const at = guest.alloc(8);
  assert.equal(guest.sys('socketpair', AF_UNIX, type, 0, at), 0);
  return [guest.int(at), guest.int(at + 4)];
}

function close(...fds: number[]): void {
  for (const fd of fds) assert.equal(guest.sys('close', fd), 0, `close ${fd}`);
}

/** A msghdr over one buffer; control is a guest address. */
function msghdr(buffer: number, length: number, control = 0, controlLength = 0, name = 0, nameLength = 0): number {
  const iov = guest.bytes(words(buffer, length));
  return guest.bytes(words(name, nameLength, iov, 1, control, controlLength, 0));
}

function rights(...fds: number[]): Buffer {
  const out = Buffer.alloc(16 + ((4 * fds.length + 7) & ~7));
  out.writeBigUInt64LE(BigInt(16 + 4 * fds.length), 0);
  out.writeInt32LE(1, 8);
  out.writeInt32LE(1, 12);
  fds.forEach((fd, k) => out.writeInt32LE(fd, 16 + 4 * k));
  return out;
}

test('socketpair takes the lowest numbers and carries bytes', () => {
  const [a, b] = pair(STREAM | CLOEXEC);
  assert.deepEqual([a, b], [3, 4]);
  assert.equal(guest.process.fds.isCloexec(a), true);
  assert.equal(guest.sys('sendto', a, Buffer.from('ping'), 4, 0, 0, 0), 4);
  const buffer = guest.alloc(16);
  assert.equal(guest.sys('recvfrom', b, buffer, 16, 0, 0, 0), 4);
  assert.equal(guest.read(buffer, 4).toString(), 'ping');
  assert.equal(guest.sys('recvfrom', b, buffer, 16, MSG_DONTWAIT, 0, 0), -errno.EAGAIN);
  assert.equal(guest.sys('shutdown', a, 1), 0);
  assert.equal(guest.sys('recvfrom', b, buffer, 16, 0, 0, 0), 0);
  close(a, b);
  // A bad address opens nothing.
  assert.equal(guest.sys('socketpair', AF_UNIX, STREAM, 0, 2 ** 40), -errno.EFAULT);
  assert.equal(guest.sys('socketpair', 99, STREAM, 0, guest.alloc(8)), -errno.EAFNOSUPPORT);
  assert.deepEqual([...guest.process.fds.numbers()], [0, 1, 2]);
});

test('a descriptor sent is the receiver\'s lowest number for the same file', () => {
  const [a, b] = pair();
  const event = guest.sys('eventfd2', 5, 0);
  assert.equal(event, 5);
  const control = rights(event, event);
  const sent = msghdr(guest.bytes('x'), 1, guest.bytes(control), control.length);
  assert.equal(guest.sys('sendmsg', a, sent, 0), 1);
  close(event);

  const buffer = guest.alloc(8);
  const room = guest.alloc(64);
  const message = msghdr(buffer, 8, room, 64);
  assert.equal(guest.sys('recvmsg', b, message, MSG_CMSG_CLOEXEC), 1);
  assert.equal(guest.long(message + 40), 24n);
  assert.equal(guest.int(message + 48), MSG_CMSG_CLOEXEC);
  assert.deepEqual(guest.read(room, 24), rights(5, 6).subarray(0, 24));
  assert.equal(guest.process.fds.isCloexec(5), true);
  const value = guest.alloc(8);
  assert.equal(guest.sys('read', 6, value, 8), 8);
  assert.equal(guest.long(value), 5n);
  assert.equal(guest.sys('write', 5, words(9), 8), 8);
  assert.equal(guest.sys('read', 6, value, 8), 8);
  assert.equal(guest.long(value), 9n);
  close(5, 6);

  // Bad descriptors and headers fail as in the kernel, and nothing is sent.
  const bad = rights(77);
  assert.equal(guest.sys('sendmsg', a, msghdr(buffer, 1, guest.bytes(bad), bad.length), 0), -errno.EBADF);
  bad.writeBigUInt64LE(999n, 0);
  assert.equal(guest.sys('sendmsg', a, msghdr(buffer, 1, guest.bytes(bad), bad.length), 0), -errno.EINVAL);
  assert.equal(guest.sys('sendmsg', a, 2 ** 40, 0), -errno.EFAULT);
  assert.equal(guest.sys('sendmsg', a, guest.bytes(words(0, 0, 0, 2000, 0, 0, 0)), 0), -errno.EMSGSIZE);
  assert.equal(guest.sys('recvmsg', b, message, MSG_DONTWAIT), -errno.EAGAIN);
  close(a, b);
});

test('with no number left, received descriptors are cut off and MSG_CTRUNC is set', () => {
  const [a, b] = pair();
  const control = rights(a, a, a);
  assert.equal(guest.sys('sendmsg', a, msghdr(guest.bytes('x'), 1, guest.bytes(control), control.length), 0), 1);
  const limit = guest.alloc(16);
  guest.sys('getrlimit', 7, limit);
  assert.equal(guest.sys('setrlimit', 7, words(6, guest.task.memory.u64(limit + 8))), 0);
  const room = guest.alloc(64);
  const message = msghdr(guest.alloc(8), 8, room, 64);
  assert.equal(guest.sys('recvmsg', b, message, 0), 1);
  assert.equal(guest.int(message + 48), MSG_CTRUNC);
  assert.deepEqual(guest.read(room, 20), rights(5).subarray(0, 20));
  assert.equal(guest.sys('setrlimit', 7, guest.read(limit, 16)), 0);
  close(5, a, b);
});

test('sendmmsg and recvmmsg', () => {
  const [a, b] = pair(DGRAM);
  const one = guest.task.memory.read(msghdr(guest.bytes('one'), 3), 56);
  const two = guest.task.memory.read(msghdr(guest.bytes('three'), 5), 56);
  const out = guest.bytes(Buffer.concat([one, words(0), two, words(0)]));
  assert.equal(guest.sys('sendmmsg', a, out, 2, 0), 2);
  assert.equal(guest.int(out + 64 + 56), 5);
  const buffers = [guest.alloc(8), guest.alloc(8), guest.alloc(8)];
  const into = guest.bytes(Buffer.concat(buffers.flatMap((x) => [guest.task.memory.read(msghdr(x, 8), 56), words(0)])));
  const MSG_WAITFORONE = 0x10000;
  assert.equal(guest.sys('recvmmsg', b, into, 3, MSG_WAITFORONE, 0), 2);
  assert.equal(guest.read(buffers[1] as number, 5).toString(), 'three');
  assert.equal(guest.int(into + 56), 3);
  const limit = guest.bytes(words(0, 2_000_000_000));
  assert.equal(guest.sys('recvmmsg', b, into, 1, MSG_DONTWAIT, limit), -errno.EINVAL);
  close(a, b);
});

test('a server and a client on a path and on the loopback', () => {
  const path = join(dir, 's');
  const sun = Buffer.alloc(110);
  sun.writeUInt16LE(AF_UNIX, 0);
  sun.write(path, 2);
  const server = guest.sys('socket', AF_UNIX, STREAM, 0);
  assert.equal(guest.sys('bind', server, sun, 2 + path.length + 1), 0);
  assert.equal(guest.sys('listen', server, 5), 0);
  const client = guest.sys('socket', AF_UNIX, STREAM, 0);
  assert.equal(guest.sys('connect', client, sun, 2 + path.length + 1), 0);
  const accepted = guest.sys('accept4', server, 0, 0, CLOEXEC | NONBLOCK);
  assert.equal(accepted, client + 1);
  assert.equal(guest.process.fds.isCloexec(accepted), true);
  const cred = guest.alloc(12);
  assert.equal(guest.sys('getsockopt', client, 1, 17, cred, ints(12)), 0);
  assert.equal(guest.int(cred), process.pid);
  close(accepted, client, server);

  const listener = guest.sys('socket', AF_INET, STREAM, 0);
  const inet = Buffer.alloc(16);
  inet.writeUInt16LE(AF_INET, 0);
  inet.writeUInt32BE(0x7f000001, 4);
  assert.equal(guest.sys('bind', listener, inet, 16), 0);
  assert.equal(guest.sys('listen', listener, 1), 0);
  const name = guest.alloc(16);
  const length = guest.bytes(ints(16));
  assert.equal(guest.sys('getsockname', listener, name, length), 0);
  const peer = guest.sys('socket', AF_INET, STREAM | NONBLOCK, 0);
  const connected = guest.sys('connect', peer, name, 16);
  assert.ok(connected === 0 || connected === -errno.EINPROGRESS, String(connected));
  const from = guest.alloc(16);
  const got = guest.sys('accept', listener, from, guest.bytes(ints(16)));
  assert.equal(got, peer + 1);
  assert.equal(guest.read(from, 8).readUInt32BE(4), 0x7f000001);
  assert.equal(guest.sys('getpeername', got, 2 ** 40, length), -errno.EFAULT);
  assert.equal(guest.sys('accept', peer, 0, 0), -errno.EINVAL);
  close(got, peer, listener);
  assert.equal(guest.sys('bind', 99, inet, 16), -errno.EBADF);
});

test('options with pointers and descriptors inside', () => {
  const [a, b] = pair(DGRAM);
  // Classic BPF "ret 0": everything that arrives is dropped.
  const filter = guest.bytes(Buffer.from([6, 0, 0, 0, 0, 0, 0, 0]));
  const program = Buffer.alloc(16);
  program.writeUInt16LE(1, 0);
  program.writeBigUInt64LE(BigInt(filter), 8);
  assert.equal(guest.sys('setsockopt', b, 1, 26, program, 16), 0);
  guest.sys('sendto', a, Buffer.from('gone'), 4, 0, 0, 0);
  const buffer = guest.alloc(16);
  assert.equal(guest.sys('recvfrom', b, buffer, 16, MSG_DONTWAIT, 0, 0), -errno.EAGAIN);
  // SO_GET_FILTER counts instructions.
  const count = guest.bytes(ints(4));
  assert.equal(guest.sys('getsockopt', b, 1, 26, buffer, count), 0);
  assert.equal(guest.int(count), 1);
  assert.equal(guest.read(buffer, 1)[0], 6);
  assert.equal(guest.sys('setsockopt', b, 1, 27, ints(0), 4), 0);
  guest.sys('sendto', a, Buffer.from('here'), 4, 0, 0, 0);
  assert.equal(guest.sys('recvfrom', b, buffer, 16, MSG_DONTWAIT, 0, 0), 4);
  program.writeBigUInt64LE(2n ** 40n, 8);
  assert.equal(guest.sys('setsockopt', b, 1, 26, program, 16), -errno.EFAULT);
  assert.equal(guest.sys('setsockopt', b, 1, 26, program, 15), -errno.EINVAL);

  const type = guest.alloc(4);
  assert.equal(guest.sys('getsockopt', a, 1, 3, type, ints(4)), 0);
  assert.equal(guest.int(type), DGRAM);
  assert.equal(guest.sys('setsockopt', a, 1, 7, ints(65536), 4), 0);
  close(a, b);
});

test('poll: translated numbers, closed and negative ones', () => {
  const [a, b] = pair();
  const fds = Buffer.alloc(32);
  [a, b, 77, -1].forEach((fd, k) => {
    fds.writeInt32LE(fd, 8 * k);
    fds.writeInt16LE(1, 8 * k + 4);
    fds.writeInt16LE(-1, 8 * k + 6);
  });
  const at = guest.bytes(fds);
  guest.sys('sendto', a, Buffer.from('x'), 1, 0, 0, 0);
  assert.equal(guest.sys('poll', at, 4, 0), 2);
  assert.deepEqual([0, 1, 2, 3].map((k) => guest.read(at + 8 * k + 6, 2).readInt16LE(0)), [0, 1, 0x20, 0]);
  assert.deepEqual([0, 1, 2, 3].map((k) => guest.int(at + 8 * k)), [a, b, 77, -1]);
  assert.equal(guest.sys('ppoll', at, 1, words(0, 1000), 0, 8), 0);
  assert.equal(guest.sys('ppoll', at, 1, words(0, 0), guest.alloc(8), 4), -errno.EINVAL);
  assert.equal(guest.sys('poll', 2 ** 40, 1, 0), -errno.EFAULT);
  assert.equal(guest.sys('poll', at, 2 ** 31, 0), -errno.EINVAL);
  assert.equal(guest.sys('poll', 0, 0, 1), 0);
  close(a, b);
});

test('select: sets of guest numbers, time left', () => {
  const [a, b] = pair();
  const set = (...fds: number[]): number => {
    const bytes = Buffer.alloc(128);
    for (const fd of fds) bytes[fd >> 3] = (bytes[fd >> 3] as number) | (1 << (fd & 7));
    return guest.bytes(bytes);
  };
  const high = guest.sys('fcntl', b, 0, 200);
  assert.equal(high, 200);
  guest.sys('sendto', a, Buffer.from('x'), 1, 0, 0, 0);
  const read = set(a, b, high);
  const write = set(a);
  const limit = guest.bytes(words(5, 0));
  assert.equal(guest.sys('select', 201, read, write, 0, limit), 3);
  assert.deepEqual(guest.read(read, 128), Buffer.from(guest.read(set(b, high), 128)));
  assert.deepEqual(guest.read(write, 128), Buffer.from(guest.read(set(a), 128)));
  assert.ok(guest.long(limit) <= 5n && guest.long(limit) >= 3n);
  assert.equal(guest.sys('select', 10, set(9), 0, 0, words(0, 0)), -errno.EBADF);
  assert.equal(guest.sys('select', -1, 0, 0, 0, 0), -errno.EINVAL);
  assert.equal(guest.sys('select', 0, 0, 0, 0, words(0, 1000)), 0);
  assert.equal(guest.sys('select', 0, 0, 0, 0, words(-1, 0)), -errno.EINVAL);
  assert.equal(guest.sys('pselect6', 201, set(a), 0, 0, words(0, 0), words(0, 8)), 0);
  close(high, a, b);
});

test('epoll keeps its data word whole and forgets closed files', () => {
  const [a, b] = pair();
  const ep = guest.sys('epoll_create1', CLOEXEC);
  const event = Buffer.alloc(12);
  event.writeUInt32LE(1, 0);
  event.writeBigUInt64LE(0xfedc_ba98_7654_3210n, 4);
  assert.equal(guest.sys('epoll_ctl', ep, 1, b, event), 0);
  assert.equal(guest.sys('epoll_ctl', ep, 1, b, event), -errno.EEXIST);
  assert.equal(guest.sys('epoll_ctl', ep, 1, 77, event), -errno.EBADF);
  assert.equal(guest.sys('epoll_ctl', ep, 1, a, 2 ** 40), -errno.EFAULT);
  const out = guest.alloc(24);
  assert.equal(guest.sys('epoll_wait', ep, out, 2, 0), 0);
  guest.sys('sendto', a, Buffer.from('x'), 1, 0, 0, 0);
  assert.equal(guest.sys('epoll_pwait', ep, out, 2, -1, 0, 8), 1);
  assert.deepEqual(guest.read(out, 12), event);
  assert.equal(guest.sys('epoll_pwait2', ep, out, 2, words(0, 0), 0, 8), 1);
  assert.equal(guest.sys('epoll_wait', ep, out, 0, 0), -errno.EINVAL);
  // The last descriptor of a file takes the registration with it; a duplicate keeps it.
  const copy = guest.sys('dup', b);
  close(b);
  assert.equal(guest.sys('epoll_wait', ep, out, 2, 0), 1);
  close(copy);
  assert.equal(guest.sys('epoll_wait', ep, out, 2, 0), 0);
  assert.equal(guest.sys('epoll_ctl', ep, 2, a, 0), -errno.ENOENT);
  close(ep, a);
});

test('eventfd counts', () => {
  const fd = guest.sys('eventfd2', 3, 1);
  const value = guest.alloc(8);
  assert.equal(guest.sys('read', fd, value, 8), 8);
  assert.equal(guest.long(value), 1n);
  close(fd);
  assert.equal(guest.sys('eventfd2', 0, 0x10), -errno.EINVAL);
});

test('sockets are close-on-exec on the host whatever the guest says', () => {
  const fd = guest.sys('socket', AF_INET, DGRAM, 0);
  assert.equal(guest.process.fds.isCloexec(fd), false);
  const { host } = guest.process;
  assert.equal(host.syscall(host.nr['fcntl'] as number, guest.process.fds.host(fd), 1), 1);
  close(fd);
});
