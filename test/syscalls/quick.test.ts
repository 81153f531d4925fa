/**
 * Quick calls against the usual way: the same call made by machine code and by `dispatch` gives the same, or machine code
 * declines it with nothing done.
 */
import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createMachine } from '../../src/host/machine.ts';
import { callRegisters, X86Cpu } from '../../src/isa/x86_64/cpu.ts';
import type { Interceptor } from '../../src/kernel/interceptor.ts';
import { Process } from '../../src/kernel/process.ts';
import { QUICK_OUTCOME } from '../../src/kernel/quick-call.ts';
import { dispatch, dispatchQuickly, usePlans } from '../../src/syscalls/dispatch.ts';
import { syscallNumber, syscalls } from '../../src/syscalls/table.ts';

const machine = createMachine({ registers: callRegisters });
const { host, space, guestMemory: memory, stateMemory, stateAddress } = machine;
const process_ = new Process(host, memory, space, {});
const cpu = new X86Cpu(stateMemory.buffer);
const task = process_.createTask(cpu);
const quick = host.quickCalls(stateAddress, process_.fds.buffer);
usePlans(quick, process_.interceptors);

const SIZE = memory.size;
const HEAP = 0x10_0000;
assert.equal(space.mmap(HEAP, 1 << 20, 3, 0x32), HEAP);
/** The last page of the guest's space. */
const LAST = SIZE - 4096;
assert.equal(space.mmap(LAST, 4096, 3, 0x32), LAST);

type Value = number | bigint;
const ARGUMENTS = ['rdi', 'rsi', 'rdx', 'r10', 'r8', 'r9'];
function load(name: string, args: readonly Value[]): void {
  cpu.setRegister('rax', BigInt(syscallNumber(name) as number));
  ARGUMENTS.forEach((register, k) => cpu.setRegister(register, BigInt.asUintN(64, BigInt(args[k] ?? 0))));
}
const result = (): bigint => BigInt.asIntN(64, cpu.getRegister('rax') as bigint);

/** By machine code: the result, or that it was declined with all registers as they were. */
function quickly(name: string, ...args: Value[]): bigint | 'declined' {
  load(name, args);
  quick.make();
  if (quick.outcome[0] !== QUICK_OUTCOME.declined) {
    assert.equal(quick.outcome[0], QUICK_OUTCOME.done);
    return result();
  }
  assert.equal(result(), BigInt(syscallNumber(name) as number));
  return 'declined';
}
function usually(name: string, ...args: Value[]): bigint {
  load(name, args);
  dispatch(task);
  return result();
}

const file = join(tmpdir(), `lunagate-quick-${process.pid}`);
writeFileSync(file, 'abcdefghijklmnopqrstuvwxyz');
const path = HEAP;
memory.write(path, Buffer.from(`${file}\0`));
const AT_FDCWD = -100;
const fd = Number(usually('openat', AT_FDCWD, path, 2, 0));
assert.ok(fd >= 0);
const status = '/proc/self/status';
memory.write(path + 512, Buffer.from(`${status}\0`));
const special = Number(usually('openat', AT_FDCWD, path + 512, 0, 0));
assert.ok(special >= 0 && process_.fds.special(special) !== undefined);
const epoll = Number(usually('epoll_create1', 0));
const room = HEAP + 0x1000;

test('what machine code does is what the handlers do', () => {
  const calls: readonly (readonly [name: string, ...args: Value[]])[] = [
    ['getpid'],
    ['getppid'],
    ['pread64', fd, room, 10, 3],
    ['pread64', BigInt(fd) | (0xdeadn << 32n), room, 10, 3],
    ['pread64', fd, room, 0, 0],
    ['pread64', fd, 0, 10, 0],
    ['pread64', fd, 0x5000_0000, 10, 0],
    ['pread64', fd, LAST, 4096, 0],
    ['pread64', -1, room, 10, 0],
    ['pwrite64', fd, room, 5, 40],
    ['lseek', fd, -3, 2],
    ['lseek', fd, -300, 2],
    ['fstat', fd, room],
    ['fstat', fd, LAST],
    ['fstat', fd, LAST + 4096 - 144],
    ['fstat', fd, 0],
    ['clock_getres', 1, room],
    ['clock_getres', 1, 0],
    ['clock_getres', 99, room],
    ['epoll_wait', epoll, room, 10, 0],
    ['epoll_wait', epoll, room, 0, 0],
    ['epoll_wait', epoll, room, -1, 0],
    ['epoll_wait', epoll, room, 0x7fff_ffff, 0],
    ['epoll_pwait', epoll, room, 10, 0, 0, 8],
    ['futex', room, 1 | 128, 1, 0, 0, 0],
    ['futex', room, 128, 77, 0, 0, 0],
    ['futex', room + 2, 128, 77, 0, 0, 0],
    ['futex', room, 3 | 128, 1, 1, room + 64, 0],
    ['recvfrom', fd, room, 10, 0, 0, 0],
    ['sendto', fd, room, 10, 0, 0, 0],
    ['umask', 0o22],
    ['wait4', -1, room, 1, 0],
  ];
  let made = 0;
  for (const [name, ...args] of calls) {
    memory.write(room, new Uint8Array(4096).fill(0x11));
    const expected = usually(name, ...args);
    const left = memory.read(room, 4096);
    memory.write(room, new Uint8Array(4096).fill(0x11));
    const got = quickly(name, ...args);
    if (got === 'declined') continue;
    made++;
    assert.equal(got, expected, `${name}(${args.join(', ')})`);
    assert.deepEqual(memory.read(room, 4096), left, name);
  }
  assert.ok(made >= 20, `${made} of ${calls.length} were quick`);
});

test('what a plan does not cover is declined', () => {
  const closed = 700;
  const calls: readonly (readonly [name: string, ...args: Value[]])[] = [
    ['openat', AT_FDCWD, path, 0, 0],
    ['read', closed, room, 1],
    ['read', 0x7fff_ffff, room, 1],
    ['read', special, room, 1],
    ['fstat', special, room],
    ['read', fd, SIZE, 1],
    ['read', fd, LAST + 4095, 2],
    ['read', fd, LAST, 4097],
    ['read', fd, room, SIZE],
    ['read', fd, room, -1],
    ['read', fd, 0, -1],
    ['read', fd, 1n << 63n, 1],
    ['fstat', fd, LAST + 1],
    ['fstat', fd, SIZE],
    ['fstat', fd, -144],
    ['epoll_wait', epoll, LAST, 1000, 0],
    ['epoll_wait', epoll, room, 0x1000_0000, 0],
    ['recvfrom', fd, room, 10, 0, room, 0],
    ['sendto', fd, room, 10, 0, 0, 16],
    ['epoll_pwait', epoll, room, 1, 0, room, 8],
    ['futex', room, 6 | 128, 1, 0, 0, 0],
    ['futex', room, 5 | 128, 1, 1, room, 0],
  ];
  for (const [name, ...args] of calls) assert.equal(quickly(name, ...args), 'declined', `${name}(${args.join(', ')})`);
  load('getpid', []);
  cpu.setRegister('rax', 0xffff_ffffn);
  quick.make();
  assert.equal(quick.outcome[0], QUICK_OUTCOME.declined);
  cpu.setRegister('rax', 512n);
  quick.make();
  assert.equal(quick.outcome[0], QUICK_OUTCOME.declined);
});

test('descriptors beyond the first thousand are known once the table has grown', () => {
  const far = 5000;
  assert.equal(quickly('lseek', far, 0, 0), 'declined');
  // Past the soft limit of descriptors there may be here.
  process_.fds.replace(far, host.syscall(host.nr['dup'] as number, process_.fds.host(fd)), false);
  assert.equal(quickly('lseek', far, 7, 0), 7n);
  usually('close', far);
  assert.equal(quickly('lseek', far, 7, 0), 'declined');
});

test('a call somebody wants to see is nobody else’s', () => {
  const seen: number[] = [];
  const watcher: Interceptor = {
    name: 'watcher',
    intercept: (_task, frame, next) => {
      seen.push(frame.nr);
      return next(frame);
    },
  };
  const registration = process_.interceptors.add(watcher, 1);
  const call = (name: string): bigint => {
    load(name, []);
    dispatchQuickly(task, quick);
    return result();
  };
  call('getpid');
  registration.want(syscallNumber('getpid') as number, true);
  assert.equal(call('getpid'), BigInt(process.pid));
  assert.equal(call('getppid'), BigInt(process.ppid));
  assert.deepEqual(seen, [syscallNumber('getpid')]);
  registration.wantAll(true);
  call('getppid');
  assert.deepEqual(seen, ['getpid', 'getppid'].map(syscallNumber));
  registration.remove();
  call('getppid');
  assert.equal(seen.length, 2);
  assert.notEqual(quickly('getpid'), 'declined');
});

test('no plan for calls that change what the engine keeps', () => {
  const planned = new Set(syscalls.filter((s) => s.quick !== undefined).map((s) => s.name));
  for (const name of ['open', 'openat', 'close', 'dup', 'mmap', 'munmap', 'brk', 'mprotect', 'execve', 'clone', 'exit', 'exit_group', 'setuid', 'unshare', 'rt_sigaction', 'rt_sigprocmask', 'rt_sigreturn', 'ioctl', 'prctl', 'poll', 'readv', 'sendmsg', 'chdir']) {
    assert.equal(planned.has(name), false, name);
  }
  assert.ok(planned.has('read') && planned.has('write') && planned.has('futex'));
});

test('the file was read and written as asked', () => {
  closeSync(openSync(file, 'r'));
  assert.equal(readFileSync(file, 'latin1').slice(0, 26), 'abcdefghijklmnopqrstuvwxyz');
  assert.equal(readFileSync(file).length, 45);
});
