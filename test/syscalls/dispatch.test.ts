import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errno } from '../../src/abi/errno.ts';
import type { Interceptor } from '../../src/kernel/interceptor.ts';
import { SyscallFrame } from '../../src/kernel/ports.ts';
import { int, none, full, partial, syscall, bytesIn } from '../../src/syscalls/declare.ts';
import { invoke } from '../../src/syscalls/dispatch.ts';
import { syscallNumber } from '../../src/syscalls/table.ts';
import { Guest } from './guest.ts';

const guest = new Guest();
const getpid = syscallNumber('getpid') as number;
const close = syscallNumber('close') as number;

test('interceptors: order, numbers wanted, changed calls, removal', () => {
  const seen: string[] = [];
  const outer: Interceptor = {
    name: 'outer',
    intercept: (_, frame, next) => {
      seen.push(`outer ${frame.nr}`);
      const result = next(frame);
      seen.push(`outer = ${result}`);
      return result + 1n;
    },
  };
  const inner: Interceptor = {
    name: 'inner',
    intercept: (_, frame, next) => {
      seen.push(`inner ${frame.nr}`);
      const other = new SyscallFrame();
      other.nr = getpid;
      return next(other) + next(other);
    },
  };
  const set = guest.process.interceptors;
  const b = set.add(inner, 40);
  const a = set.add(outer, 10);
  assert.equal(guest.sys('getpid'), process.pid);
  assert.deepEqual(seen, []);
  a.wantAll(true);
  b.want(close, true);
  assert.equal(guest.sys('close', 99), 2 * process.pid + 1);
  // The inner one asked for getpid, which only the outer one wants: it is further out, so nobody saw it.
  assert.deepEqual(seen, [`outer ${close}`, `inner ${close}`, `outer = ${2 * process.pid}`]);
  seen.length = 0;
  assert.equal(guest.raw(100_000), BigInt(1 - errno.ENOSYS));
  assert.deepEqual(seen, ['outer 100000', `outer = ${-errno.ENOSYS}`]);
  a.remove();
  assert.equal(guest.sys('close', 99), 2 * process.pid);
  b.want(close, false);
  assert.equal(guest.sys('close', 99), -errno.EBADF);
  assert.equal(set.features.every((word) => word === 0), true);
});

test('results of 64 bits pass exactly', () => {
  const registration = guest.process.interceptors.add({ name: 'big', intercept: () => -(2n ** 63n) + 1n }, 1);
  registration.want(getpid, true);
  assert.equal(guest.sys64('getpid'), -(2n ** 63n) + 1n);
  registration.remove();
});

test('invoke runs the original past every interceptor', () => {
  const registration = guest.process.interceptors.add({ name: 'no', intercept: () => -1n }, 1);
  registration.wantAll(true);
  const frame = new SyscallFrame();
  assert.equal(invoke(guest.task, getpid, frame), process.pid);
  registration.remove();
});

test('scratch memory of a call is given back, also when it fails', () => {
  const { scratch } = guest.process.host;
  const before = scratch.mark();
  for (let k = 0; k < 2000; k++) {
    guest.sys('open', 1n, 0);
    guest.raw(syscallNumber('stat') as number, 'x', 8);
  }
  assert.equal(scratch.mark(), before);
});

test('an interrupted call is noted for restart', () => {
  const registration = guest.process.interceptors.add({ name: 'eintr', intercept: () => -4n }, 1);
  registration.want(close, true);
  guest.sys('close', 99);
  assert.equal(guest.task.interruptedNr, close);
  registration.remove();
  guest.sys('close', 99);
  assert.equal(guest.task.interruptedNr, -1);
});

test('declarations that contradict themselves are refused', () => {
  assert.throws(() => syscall({ name: 'x', nr: {}, args: { buf: bytesIn('count') }, support: none('no') }), /refers to count/);
  assert.throws(() => syscall({ name: 'x', nr: {}, args: {}, support: full }), /contradict/);
  assert.throws(() => syscall({ name: 'x', nr: {}, args: {}, support: none('no'), run: () => 0 }), /contradict/);
  const s = syscall({ name: 'x', nr: {}, args: { a: int }, support: partial('p'), run: (_, { a }) => a + 1 });
  const frame = new SyscallFrame();
  frame.i64[0] = 0x5_ffff_ffffn;
  assert.equal(s.run?.(guest.task, frame), 0);
});
