/** Memory, identity, limits, time, futex and IPC against the real kernel. */

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os, { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { errno } from '../../src/abi/errno.ts';
import { ints, SystemGuest, words } from './system-guest.ts';

const dir = mkdtempSync(join(tmpdir(), 'guest-system-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const guest = new SystemGuest();
const PROT_READ = 1;
const PROT_RW = 3;
const PRIVATE_ANON = 0x22;
const PAGE = 4096;

test('mmap: memory that reads, writes, is protected and goes away', () => {
  const at = guest.sys('mmap', 0, 3 * PAGE, PROT_RW, PRIVATE_ANON, -1, 0);
  assert.ok(at >= 0x10000 && at % PAGE === 0);
  guest.task.memory.write(at + PAGE, Buffer.from('here'));
  assert.equal(guest.sys('mprotect', at, PAGE, 0), 0);
  const pipe = guest.alloc(8);
  assert.equal(guest.sys('pipe', pipe), 0);
  assert.equal(guest.sys('write', guest.int(pipe + 4), at, 1), -errno.EFAULT);
  assert.equal(guest.sys('write', guest.int(pipe + 4), at + PAGE, 4), 4);
  assert.equal(guest.sys('munmap', at + PAGE, PAGE), 0);
  assert.equal(guest.sys('write', guest.int(pipe + 4), at + PAGE, 1), -errno.EFAULT);
  assert.equal(guest.sys('munmap', at + 1, PAGE), -errno.EINVAL);
  assert.equal(guest.sys('mmap', 0, 0, PROT_RW, PRIVATE_ANON, -1, 0), -errno.EINVAL);
  assert.equal(guest.sys('mmap', 0, PAGE, PROT_RW, 2, 99, 0), -errno.EBADF);
  for (const end of [pipe, pipe + 4]) guest.sys('close', guest.int(end));
});

test('mmap of a file, mremap, mincore, madvise, mlock', () => {
  writeFileSync(join(dir, 'f'), Buffer.alloc(PAGE, 'x'));
  const fd = guest.sys('open', join(dir, 'f'), 0, 0);
  const at = guest.sys('mmap', 0, PAGE, PROT_READ, 2, fd, 0);
  assert.equal(guest.read(at, 3).toString(), 'xxx');
  guest.sys('close', fd);
  const big = guest.sys('mremap', at, PAGE, 4 * PAGE, 1);
  assert.ok(big > 0);
  assert.equal(guest.read(big, 3).toString(), 'xxx');

  const anon = guest.sys('mmap', 0, 4 * PAGE, PROT_RW, PRIVATE_ANON, -1, 0);
  guest.task.memory.write(anon + PAGE, Buffer.from('data'));
  const vec = guest.alloc(4);
  assert.equal(guest.sys('mincore', anon, 4 * PAGE, vec), 0);
  assert.equal((guest.read(vec, 4)[1] as number) & 1, 1);
  assert.equal(guest.sys('mincore', anon, 1 << 20, vec), -errno.ENOMEM);
  assert.equal(guest.sys('madvise', anon, 4 * PAGE, 4), 0);
  assert.equal(guest.read(anon + PAGE, 4).toString('hex'), '00000000');
  assert.equal(guest.sys('madvise', anon, PAGE, 9999), -errno.EINVAL);
  assert.equal(guest.sys('mlock', anon, PAGE), 0);
  assert.equal(guest.sys('munlock', anon, PAGE), 0);
  assert.equal(guest.sys('msync', anon, PAGE, 4), 0);
  assert.equal(guest.sys('mbind', anon, PAGE, 0, 0, 0, 0), 0);
  assert.equal(guest.sys('mbind', 2 ** 40, PAGE, 0, 0, 0, 0), -errno.EFAULT);
  assert.equal(guest.sys('pkey_alloc', 0, 0), -errno.ENOSPC);
  assert.equal(guest.sys('pkey_mprotect', anon, PAGE, PROT_READ, -1), 0);
  assert.ok(guest.sys('membarrier', 0, 0, 0) >= 0);
});

test('move_pages speaks of the guest\'s pages', () => {
  const anon = guest.sys('mmap', 0, 2 * PAGE, PROT_RW, PRIVATE_ANON, -1, 0);
  guest.task.memory.setU8(anon, 1);
  const status = guest.alloc(8);
  const result = guest.sys('move_pages', 0, 2, words(anon, 2 ** 40), 0, status, 0);
  if (result === -errno.ENOSYS) return; // a kernel without NUMA
  assert.equal(result, 0);
  assert.equal(guest.int(status), 0);
  assert.equal(guest.int(status + 4), -errno.EFAULT);
});

test('limits of the guest bind the guest', () => {
  const old = guest.alloc(16);
  assert.equal(guest.sys('prlimit64', 0, 9, 0, old), 0);
  const used = guest.process.space.mappedBytes;
  const room = 8 << 20;
  const hostBefore = readFileSync('/proc/self/limits', 'latin1');
  assert.equal(guest.sys('setrlimit', 9, words(used + room, -1)), 0);
  assert.equal(guest.sys('mmap', 0, 2 * room, PROT_RW, PRIVATE_ANON, -1, 0), -errno.ENOMEM);
  assert.equal(guest.sys('prlimit64', 0, 9, guest.read(old, 16), 0), 0);
  assert.ok(guest.sys('mmap', 0, 2 * room, PROT_RW, PRIVATE_ANON, -1, 0) > 0);
  assert.equal(guest.sys('setrlimit', 9, words(5, 4)), -errno.EINVAL);
  assert.equal(guest.sys('setrlimit', 99, words(5, 6)), -errno.EINVAL);
  assert.equal(guest.sys('setrlimit', 9, 0), -errno.EFAULT);

  const files = guest.alloc(16);
  assert.equal(guest.sys('getrlimit', 7, files), 0);
  const hard = guest.task.memory.u64(files + 8);
  assert.equal(guest.sys('setrlimit', 7, words(5, hard)), 0);
  const opened: number[] = [];
  for (;;) {
    const fd = guest.sys('eventfd2', 0, 0);
    if (fd < 0) {
      assert.equal(fd, -errno.EMFILE);
      break;
    }
    opened.push(fd);
  }
  assert.deepEqual(opened, [3, 4]);
  for (const fd of opened) guest.sys('close', fd);
  assert.equal(guest.sys('setrlimit', 7, guest.read(files, 16)), 0);
  assert.equal(guest.sys('setrlimit', 7, words(10, 1 << 21)), -errno.EPERM);
  // Nothing of this reached the engine.
  assert.equal(readFileSync('/proc/self/limits', 'latin1'), hostBefore);
});

test('identity is the host\'s', () => {
  assert.equal(guest.sys('getpid'), process.pid);
  assert.equal(guest.sys('getppid'), process.ppid);
  assert.equal(guest.sys('getuid'), process.getuid?.());
  assert.equal(guest.sys('getegid'), process.getegid?.());
  const ids = guest.alloc(12);
  assert.equal(guest.sys('getresuid', ids, ids + 4, ids + 8), 0);
  assert.equal(guest.int(ids + 4), process.geteuid?.());
  const groups = guest.alloc(4 * 1024);
  const count = guest.sys('getgroups', 1024, groups);
  const native = readFileSync('/proc/self/status', 'latin1').match(/^Groups:[ \t]*(.*)$/m)?.[1]?.trim() ?? '';
  assert.equal(Array.from({ length: count }, (_, k) => guest.int(groups + 4 * k)).join(' '), native);
  assert.equal(guest.sys('getgroups', -1, groups), -errno.EINVAL);

  const name = guest.alloc(390);
  assert.equal(guest.sys('uname', name), 0);
  assert.equal(guest.string(name), 'Linux');
  assert.equal(guest.string(name + 130), os.release());
  assert.equal(guest.string(name + 260), 'x86_64');
  assert.equal(guest.sys('uname', 2 ** 40), -errno.EFAULT);

  const caps = guest.alloc(24);
  assert.equal(guest.sys('capget', ints(0x20080522, 0), caps), 0);
  const effective = BigInt(guest.task.memory.u32(caps)) | (BigInt(guest.task.memory.u32(caps + 12)) << 32n);
  const shown = readFileSync('/proc/self/status', 'latin1').match(/^CapEff:\s*(\w+)$/m)?.[1];
  assert.equal(effective.toString(16).padStart(16, '0'), shown);
});

test('personality is the guest\'s alone and shows in uname', () => {
  assert.equal(guest.sys('personality', 0xffffffff), 0);
  assert.equal(guest.sys('personality', 8), 0);
  assert.equal(guest.sys('personality', 0x20000), 8);
  const name = guest.alloc(390);
  guest.sys('uname', name);
  assert.match(guest.string(name + 130), /^2\.6\.\d+/);
  assert.equal(guest.sys('personality', 0), 0x20000);
  assert.equal(Number.parseInt(readFileSync('/proc/self/personality', 'latin1'), 16), 0);
});

test('prctl and arch_prctl', () => {
  const buffer = guest.alloc(16);
  assert.equal(guest.sys('prctl', 15, 'a-rather-long-thread-name', 0, 0, 0), 0);
  assert.equal(guest.sys('prctl', 16, buffer, 0, 0, 0), 0);
  assert.equal(guest.string(buffer), 'a-rather-long-t');
  assert.equal(guest.sys('prctl', 3, 0, 0, 0, 0), 1);
  assert.equal(guest.sys('prctl', 4, 0, 0, 0, 0), 0);
  assert.equal(guest.sys('prctl', 3, 0, 0, 0, 0), 0);
  assert.equal(guest.sys('prctl', 1, 15, 0, 0, 0), 0);
  assert.equal(guest.sys('prctl', 2, buffer, 0, 0, 0), 0);
  assert.equal(guest.int(buffer), 15);
  assert.equal(guest.sys('prctl', 1, 0, 0, 0, 0), 0);
  assert.equal(guest.sys('prctl', 22, 2, 0, 0, 0), -errno.EFAULT);
  assert.equal(guest.sys('prctl', 9999, 0, 0, 0, 0), -errno.EINVAL);
  assert.equal(guest.sys('arch_prctl', 0x1002, 0x1234_5000), 0);
  assert.equal(guest.cpu.tls, 0x1234_5000n);
  assert.equal(guest.sys('arch_prctl', 0x1003, buffer), 0);
  assert.equal(guest.long(buffer), 0x1234_5000n);
  assert.equal(guest.sys('arch_prctl', 0x1002, -1n), -errno.EPERM);
  assert.equal(guest.sys('arch_prctl', 0x1003, 2 ** 40), -errno.EFAULT);
  assert.equal(guest.sys('arch_prctl', 0x9999, 0), -errno.EINVAL);
});

test('clocks and timers', () => {
  const spec = guest.alloc(32);
  assert.equal(guest.sys('clock_gettime', 0, spec), 0);
  assert.ok(Math.abs(Number(guest.long(spec)) - Date.now() / 1000) < 5);
  assert.equal(guest.sys('clock_gettime', 77, spec), -errno.EINVAL);
  assert.equal(guest.sys('clock_gettime', 1, 2 ** 50), -errno.EFAULT);
  assert.ok(Math.abs(guest.sys('time', spec) - Number(guest.long(spec))) === 0);
  assert.equal(guest.sys('nanosleep', words(0, 1000), 0), 0);
  assert.equal(guest.sys('nanosleep', words(0, 2_000_000_000), 0), -errno.EINVAL);
  assert.equal(guest.sys('clock_nanosleep', 1, 1, words(0, 0), 0), 0);

  assert.equal(guest.sys('alarm', 1000), 0);
  const left = guest.sys('alarm', 0);
  assert.ok(left === 1000 || left === 999, String(left));
  assert.equal(guest.sys('setitimer', 0, words(0, 0, 500, 0), 0), 0);
  assert.equal(guest.sys('getitimer', 0, spec), 0);
  assert.ok(guest.long(spec + 16) >= 498n);
  assert.equal(guest.sys('setitimer', 0, words(0, 0, 0, 0), spec), 0);

  // SIGEV_NONE: a timer to be asked only.
  const id = guest.alloc(4);
  const event = Buffer.alloc(64);
  event.writeInt32LE(1, 12);
  assert.equal(guest.sys('timer_create', 1, event, id), 0);
  assert.equal(guest.sys('timer_settime', guest.int(id), 0, words(0, 0, 100, 0), 0), 0);
  assert.equal(guest.sys('timer_gettime', guest.int(id), spec), 0);
  assert.ok(guest.long(spec + 16) >= 98n);
  assert.equal(guest.sys('timer_getoverrun', guest.int(id)), 0);
  assert.equal(guest.sys('timer_delete', guest.int(id)), 0);
  assert.equal(guest.sys('timer_delete', guest.int(id)), -errno.EINVAL);

  const fd = guest.sys('timerfd_create', 1, 0o2000000);
  assert.equal(guest.process.fds.isCloexec(fd), true);
  assert.equal(guest.sys('timerfd_settime', fd, 0, words(0, 0, 0, 1), 0), 0);
  const ticks = guest.alloc(8);
  assert.equal(guest.sys('read', fd, ticks, 8), 8);
  assert.ok(guest.long(ticks) >= 1n);
  assert.equal(guest.sys('timerfd_gettime', fd, spec), 0);
  guest.sys('close', fd);
});

test('futex', () => {
  const word = guest.alloc(4);
  guest.task.memory.setU32(word, 5);
  assert.equal(guest.sys('futex', word, 0, 4, 0, 0, 0), -errno.EAGAIN);
  assert.equal(guest.sys('futex', word, 128, 5, words(0, 1000), 0, 0), -errno.ETIMEDOUT);
  assert.equal(guest.sys('futex', word, 129, 1, 0, 0, 0), 0);
  assert.equal(guest.sys('futex', word, 9 | 256, 5, words(1, 0), 0, -1n), -errno.ETIMEDOUT);
  // WAKE_OP: *uaddr2 += 3, and the number in the timeout's place is no pointer.
  const other = guest.alloc(4);
  guest.task.memory.setU32(other, 10);
  assert.equal(guest.sys('futex', word, 5, 1, 7, other, (1 << 28) | (3 << 12)), 0);
  assert.equal(guest.int(other), 13);
  assert.equal(guest.sys('futex', word + 1, 0, 5, 0, 0, 0), -errno.EINVAL);
  assert.equal(guest.sys('futex', 2 ** 40, 0, 5, 0, 0, 0), -errno.EFAULT);
  // futex_waitv: the address inside the structure is the guest's.
  const waiter = Buffer.alloc(24);
  waiter.writeBigUInt64LE(4n, 0);
  waiter.writeBigUInt64LE(BigInt(word), 8);
  waiter.writeUInt32LE(2 | 128, 16);
  assert.equal(guest.sys('futex_waitv', waiter, 1, 0, 0, 0), -errno.EAGAIN);
  assert.equal(guest.sys('set_robust_list', word, 24), 0);
  assert.equal(guest.sys('set_robust_list', word, 23), -errno.EINVAL);
  const head = guest.alloc(16);
  assert.equal(guest.sys('get_robust_list', 0, head, head + 8), 0);
  assert.equal(guest.long(head), BigInt(word));
  assert.equal(guest.sys('set_tid_address', word), process.pid);
});

test('System V shared memory lies in the guest and is shared', () => {
  const id = guest.sys('shmget', 0, 3 * PAGE, 0o1600);
  assert.ok(id >= 0);
  const a = guest.sys('shmat', id, 0, 0);
  const b = guest.sys('shmat', id, 0, 0o10000);
  assert.ok(a > 0 && a < guest.task.memory.size && b > 0 && a !== b);
  guest.task.memory.write(a + PAGE, Buffer.from('shared'));
  assert.equal(guest.read(b + PAGE, 6).toString(), 'shared');
  assert.throws(() => guest.task.memory.setU8(b, 1));
  const ds = guest.alloc(112);
  assert.equal(guest.sys('shmctl', id, 2, ds), 0);
  assert.equal(guest.long(ds + 48), BigInt(3 * PAGE));
  assert.equal(guest.long(ds + 88), 2n);
  assert.equal(guest.sys('shmdt', a), 0);
  assert.throws(() => guest.task.memory.u8(a));
  assert.equal(guest.sys('shmdt', a), -errno.EINVAL);
  assert.equal(guest.sys('shmdt', b), 0);
  assert.equal(guest.sys('shmctl', id, 0, 0), 0);
});

test('semaphores and message queues', () => {
  const sem = guest.sys('semget', 0, 2, 0o1600);
  assert.ok(sem >= 0);
  assert.equal(guest.sys('semctl', sem, 0, 16, 7), 0);
  assert.equal(guest.sys('semctl', sem, 0, 12, 0), 7);
  const values = guest.alloc(4);
  assert.equal(guest.sys('semctl', sem, 0, 13, values), 0);
  assert.equal(guest.read(values, 4).readUInt16LE(0), 7);
  const op = Buffer.alloc(6);
  op.writeInt16LE(-8, 2);
  op.writeInt16LE(0o4000, 4);
  assert.equal(guest.sys('semop', sem, op, 1), -errno.EAGAIN);
  op.writeInt16LE(-7, 2);
  assert.equal(guest.sys('semop', sem, op, 1), 0);
  // The set's array reaches past the guest's memory: a fault, not the engine's bytes.
  assert.equal(guest.sys('semctl', sem, 0, 13, guest.task.memory.size - 2), -errno.EFAULT);
  assert.equal(guest.sys('semctl', sem, 0, 0, 0), 0);

  const queue = guest.sys('msgget', 0, 0o1600);
  const message = Buffer.concat([words(3), Buffer.from('text')]);
  assert.equal(guest.sys('msgsnd', queue, message, 4, 0), 0);
  const got = guest.alloc(32);
  assert.equal(guest.sys('msgrcv', queue, got, 16, 3, 0o4000), 4);
  assert.equal(guest.read(got + 8, 4).toString(), 'text');
  assert.equal(guest.sys('msgrcv', queue, got, 16, 3, 0o4000), -errno.ENOMSG);
  assert.equal(guest.sys('msgctl', queue, 0, 0), 0);

  const name = `lunagate-${process.pid}`;
  const mq = guest.sys('mq_open', name, 0o102, 0o600, words(0, 2, 16, 0, 0, 0, 0, 0));
  assert.ok(mq >= 3, String(mq));
  assert.equal(guest.sys('mq_timedsend', mq, Buffer.from('hello'), 5, 9, 0), 0);
  const priority = guest.alloc(4);
  assert.equal(guest.sys('mq_timedreceive', mq, got, 16, priority, 0), 5);
  assert.equal(guest.int(priority), 9);
  assert.equal(guest.sys('mq_getsetattr', mq, 0, got), 0);
  assert.equal(guest.long(got + 8), 2n);
  assert.equal(guest.sys('mq_unlink', name), 0);
  guest.sys('close', mq);
});

test('scheduling, accounting, random numbers', () => {
  const mask = guest.alloc(128);
  const bytes = guest.sys('sched_getaffinity', 0, 128, mask);
  assert.ok(bytes >= 8);
  assert.equal(guest.sys('sched_setaffinity', 0, bytes, mask), 0);
  assert.equal(guest.sys('sched_getscheduler', 0), 0);
  assert.equal(guest.sys('sched_get_priority_max', 1), 99);
  assert.equal(guest.sys('getpriority', 0, 0), 20 - os.getPriority());
  const attr = guest.alloc(56);
  assert.equal(guest.sys('sched_getattr', 0, attr, 56, 0), 0);
  assert.equal(guest.int(attr + 4), 0);
  const usage = guest.alloc(144);
  assert.equal(guest.sys('getrusage', 0, usage), 0);
  assert.equal(guest.sys('getrusage', 5, usage), -errno.EINVAL);
  const random = guest.alloc(64);
  assert.equal(guest.sys('getrandom', random, 64, 0), 64);
  assert.notEqual(guest.read(random, 64).toString('hex'), '0'.repeat(128));
  assert.equal(guest.sys('getrandom', guest.task.memory.size, 64, 0), -errno.EFAULT);
  const cpu = guest.alloc(8);
  assert.equal(guest.sys('getcpu', cpu, cpu + 4, 0), 0);
  assert.ok(guest.int(cpu) < os.availableParallelism() * 64);
  const info = guest.alloc(112);
  assert.equal(guest.sys('sysinfo', info), 0);
  assert.equal(guest.long(info + 32), BigInt(os.totalmem()));
});

test('descriptors of processes', () => {
  const fd = guest.sys('pidfd_open', process.pid, 0);
  assert.ok(fd >= 3, String(fd));
  assert.equal(guest.process.fds.isCloexec(fd), true);
  const copy = guest.sys('pidfd_getfd', fd, 1, 0);
  assert.ok(copy > fd, String(copy));
  assert.equal(guest.sys('pidfd_getfd', fd, 77, 0), -errno.EBADF);
  assert.equal(guest.sys('kcmp', process.pid, process.pid, 0, 1, copy), 0);
  assert.equal(guest.sys('pidfd_send_signal', fd, 0, 0, 0), 0);
  assert.equal(guest.sys('waitid', 1, process.pid, 0, 4, 0), -errno.ECHILD);
  assert.equal(guest.sys('wait4', -1, 0, 0, 0), -errno.ECHILD);
  guest.sys('close', copy);
  guest.sys('close', fd);
});

test('what is not there says so', () => {
  for (const name of ['io_setup', 'io_uring_setup', 'rseq', 'bpf', 'ptrace', 'iopl', 'uselib', 'vserver']) {
    assert.equal(guest.sys(name, 0, 0, 0, 0, 0, 0), -errno.ENOSYS, name);
  }
});
