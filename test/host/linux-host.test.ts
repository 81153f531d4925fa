/** The host port: exact system calls, private memory, watching, faults and signals of a real process. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createMachine } from '../../src/host/machine.ts';
import { GuestFault, NotEntered } from '../../src/kernel/ports.ts';

const { host, guestMemory, space, signals, pages } = createMachine();
const { nr, scratch } = host;
const directory = mkdtempSync(join(tmpdir(), 'lunagate-host-'));
after(() => rmSync(directory, { recursive: true }));

const call = (name: string, ...args: (number | bigint)[]): number => host.syscall(nr[name]!, ...(args as [number]));

/** A NUL-terminated string in scratch memory; its host address. */
function cstring(text: string): number {
  const bytes = Buffer.from(`${text}\0`);
  const at = scratch.alloc(bytes.length);
  scratch.bytes.set(bytes, at);
  return scratch.address + at;
}

function pipe(): [number, number] {
  const at = scratch.alloc(8);
  assert.equal(call('pipe2', scratch.address + at, 0), 0);
  return [scratch.view.getInt32(at, true), scratch.view.getInt32(at + 4, true)];
}

test('results and errors are the kernel’s own', () => {
  assert.equal(call('getpid'), process.pid);
  assert.equal(host.syscall64(nr['getppid']!), BigInt(process.ppid));
  assert.equal(call('close', -1), -9);
  assert.equal(call('openat', -100, cstring('/nonexistent/x'), 0), -2);
  assert.equal(host.syscall(-1), -38, 'a number the host lacks');
  assert.equal(host.syscall(100_000), -38);
});

test('arguments pass exactly: negative, over 32 bits, all 64 bits', () => {
  const fd = openSync(join(directory, 'seek'), 'w+');
  ftruncateSync(fd, 2 ** 40 + 12345);
  assert.equal(call('lseek', fd, 2 ** 40 + 1, 0), 2 ** 40 + 1);
  assert.equal(call('lseek', fd, -345, 2), 2 ** 40 + 12000);
  assert.equal(host.syscall64(nr['lseek']!, fd, (1n << 40n) + 7n, 0), (1n << 40n) + 7n);
  assert.equal(call('lseek', fd, 0x8000_0000, 0), 0x8000_0000, 'bit 31 is not a sign');
  assert.equal(call('lseek', fd, 0xffff_ffff, 0), 0xffff_ffff);
  assert.equal(call('lseek', fd, -1, 0), -22);
  closeSync(fd);
  assert.equal(call('prctl', 36, 1n, 0n, 0n, 0n), 0, 'bigint arguments');
  call('prctl', 36, 0, 0, 0, 0);
});

test('scratch memory is a zeroed stack that refuses more than it has', () => {
  const mark = scratch.mark();
  const a = scratch.alloc(10);
  const b = scratch.alloc(1);
  assert.equal(b - a, 16);
  scratch.bytes.fill(0xff, a, b + 16);
  scratch.release(mark);
  const again = scratch.alloc(32);
  assert.equal(again, a);
  assert.deepEqual(scratch.bytes.slice(again, again + 32), new Uint8Array(32));
  assert.throws(() => scratch.alloc(2 << 20), RangeError);
  assert.throws(() => scratch.alloc(-1), RangeError);
  assert.throws(() => scratch.alloc(Number.NaN), RangeError);
  scratch.release(mark);
});

test('compare and exchange by the processor', () => {
  const buffer = host.allocate(4096);
  const at = 0x5000_0000;
  assert.equal(call('mmap', host.memoryBase + at, 4096, 3, 0x32, -1, 0), host.memoryBase + at);
  for (const [size, place] of [[2, 0], [2, 1], [4, 61], [8, 8], [8, 63], [16, 32]] as const) {
    const old = Uint8Array.from({ length: size }, (_, k) => k + 1);
    guestMemory.write(at + place, old);
    const exchange = (expected: Uint8Array): Uint8Array => {
      buffer.bytes.set(expected);
      buffer.bytes.fill(0xaa, 16, 32);
      assert.equal(host.compareExchange(at + place, size, buffer.address), true);
      return buffer.bytes.slice(0, size);
    };
    assert.deepEqual(exchange(new Uint8Array(size)), old, 'tells what is there');
    assert.deepEqual(guestMemory.read(at + place, size), old, 'and leaves it');
    assert.deepEqual(exchange(old), old);
    assert.deepEqual(guestMemory.read(at + place, size), new Uint8Array(size).fill(0xaa));
  }
  const faults = signals.lastFault().count;
  for (const [size, place] of [[2, 4095], [4, 4094], [8, 0x1000], [16, 0x1000]] as const) assert.equal(host.compareExchange(at + place, size, buffer.address), false);
  assert.equal(call('mprotect', host.memoryBase + at, 4096, 1), 0);
  for (const size of [2, 4, 8, 16]) assert.equal(host.compareExchange(at, size, buffer.address), false, 'read-only');
  assert.equal(host.compareExchange(host.memorySize - 4, 8, buffer.address), false);
  assert.equal(host.compareExchange(-8, 8, buffer.address), false);
  assert.equal(signals.lastFault().count, faults, 'none of these is a fault of the guest');
  call('mprotect', host.memoryBase + at, 4096, 0);
});

test('allocated memory is seen alike by TypeScript and the kernel', () => {
  const buffer = host.allocate(5000);
  assert.ok(buffer.bytes.length >= 5000);
  const fd = openSync(join(directory, 'data'), 'w+');
  buffer.bytes.set(Buffer.from('private memory'), 4090);
  assert.equal(call('write', fd, buffer.address + 4090, 14), 14);
  assert.equal(readFileSync(join(directory, 'data'), 'utf8'), 'private memory');
  closeSync(fd);
});

test('writeAll writes everything and ignores errors', () => {
  const mark = scratch.mark();
  const fd = openSync(join(directory, 'all'), 'w');
  const bytes = new Uint8Array(300_000).map((_, i) => i * 7);
  host.writeAll(fd, bytes);
  closeSync(fd);
  assert.equal(Buffer.compare(readFileSync(join(directory, 'all')), bytes), 0);
  host.writeAll(-1, bytes); // errors are ignored
  scratch.release(mark);
});

test('watch counts inotify events without JavaScript, and its thread takes no signal', () => {
  const mark = scratch.mark();
  const fd = call('inotify_init1', 0);
  assert.ok(fd >= 0);
  assert.ok(call('inotify_add_watch', fd, cstring(directory), 0x100) >= 0);
  const counter = new Int32Array(new SharedArrayBuffer(4));
  host.watch(fd, counter);
  assert.equal(counter[0], 0);
  const seen = (above: number): void => {
    // The kernel's thread is asynchronous; it has a minute, and needs microseconds.
    for (const end = Date.now() + 60_000; Atomics.load(counter, 0) <= above && Date.now() < end; ) call('sched_yield');
    assert.ok(Atomics.load(counter, 0) > above);
  };
  writeFileSync(join(directory, 'one'), '');
  seen(0);
  const before = Atomics.load(counter, 0);
  writeFileSync(join(directory, 'two'), '');
  seen(before);
  const masks = readdirSync('/proc/self/task').map((tid) =>
    /SigBlk:\s*(\w+)/.exec(readFileSync(`/proc/self/task/${tid}/status`, 'latin1'))?.[1],
  );
  assert.ok(masks.includes('fffffffe7ffbfeff') || masks.includes('ffffffffffffffff'), `one thread blocks everything: ${masks}`);
  scratch.release(mark);
});

test('a memory fault is recorded with code and address, and trapped', () => {
  const count = signals.lastFault().count;
  assert.throws(() => guestMemory.u8(0x123), GuestFault);
  const unmapped = signals.lastFault();
  assert.equal(unmapped.count, count + 1);
  assert.equal(unmapped.signal, constants.signals.SIGSEGV);
  assert.equal(unmapped.hostAddress, host.memoryBase + 0x123);
  const page = space.mmap(0, 4096, 1, 0x22);
  assert.throws(() => guestMemory.setU8(page + 5, 1), GuestFault);
  assert.equal(signals.lastFault().code, 2, 'SEGV_ACCERR');
  assert.equal(signals.lastFault().hostAddress, host.memoryBase + page + 5);
});

test('an access past the end of a mapped file is a trap too, and known as SIGBUS', () => {
  const fd = openSync(join(directory, 'short'), 'w+');
  ftruncateSync(fd, 4096);
  const at = space.mmap(0, 8192, 3, 1, fd);
  closeSync(fd);
  guestMemory.setU8(at, 1);
  assert.throws(() => guestMemory.u8(at + 4096), GuestFault);
  const fault = signals.lastFault();
  assert.equal(fault.signal, constants.signals.SIGBUS);
  assert.equal(fault.hostAddress, host.memoryBase + at + 4096);
  assert.equal(guestMemory.u8(at), 1, 'and the thread goes on');
});

test('a caught signal waits in the queue with its siginfo, others stay with the kernel', () => {
  const { SIGUSR2, SIGWINCH } = constants.signals;
  const before = signals.getMask();
  signals.catch(SIGUSR2);
  signals.catch(SIGWINCH);
  const mark = scratch.mark();
  const flag = host.allocate(4096);
  signals.setFlagAddress(flag.address);
  const info = scratch.alloc(128);
  scratch.view.setInt32(info, SIGUSR2, true);
  scratch.view.setInt32(info + 8, -1, true); // SI_QUEUE
  scratch.view.setInt32(info + 24, 4711, true); // si_value
  assert.equal(call('rt_tgsigqueueinfo', process.pid, call('gettid'), SIGUSR2, scratch.address + info), 0);
  assert.equal(signals.pending, true);
  assert.equal(flag.view.getInt32(0, true), 1, 'the polled flag is up');
  call('tgkill', process.pid, call('gettid'), SIGWINCH);
  const first = signals.take();
  assert.equal(first?.signal, SIGUSR2);
  assert.equal(Buffer.from(first!.info).readInt32LE(24), 4711);
  assert.equal(signals.take(), undefined, 'the other one is still blocked');
  signals.setMask(before);
  assert.equal(signals.take()?.signal, SIGWINCH);
  signals.setMask(before);
  assert.equal(signals.take(), undefined);
  assert.equal(signals.pending, false);
  signals.setDefault(SIGUSR2);
  signals.setDefault(SIGWINCH);
  scratch.release(mark);
});

test('a blocking call ends with EINTR, and one not begun yet as well', () => {
  const { SIGALRM } = constants.signals;
  const before = signals.getMask();
  signals.catch(SIGALRM);
  const mark = scratch.mark();
  const [reader, writer] = pipe();
  const timer = scratch.alloc(32);
  scratch.view.setBigInt64(timer + 24, 20_000n, true);
  const buffer = scratch.alloc(16);
  assert.equal(call('setitimer', 0, scratch.address + timer, 0), 0);
  assert.equal(call('read', reader, scratch.address + buffer, 1), -4);
  // The signal waits: an interruptible call must not block, a plain one does its work.
  assert.equal(signals.pending, true);
  assert.throws(() => host.interruptibly(() => call('read', reader, scratch.address + buffer, 1)), (e) => e instanceof NotEntered);
  assert.equal(call('write', writer, scratch.address + buffer, 1), 1);
  assert.equal(signals.take()?.signal, SIGALRM);
  signals.setMask(before);
  assert.equal(host.interruptibly(() => call('read', reader, scratch.address + buffer, 1)), 1);
  call('close', reader);
  call('close', writer);
  signals.setDefault(SIGALRM);
  scratch.release(mark);
});

test('guest memory is 16 GiB, closed at first, and none of it executable', () => {
  assert.equal(pages, 0x40000);
  for (const line of readFileSync('/proc/self/maps', 'latin1').split('\n')) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) ..(.)/.exec(line);
    if (match === null) continue;
    const start = Number.parseInt(match[1]!, 16);
    if (start >= host.memoryBase && start < host.memoryBase + host.memorySize) assert.equal(match[3], '-');
  }
});

const child = (body: string, before = ''): { status: number | null; signal: string | null; stdout: string } => {
  const machine = new URL('../../src/host/machine.ts', import.meta.url).href;
  const code = `${before} import { createMachine } from ${JSON.stringify(machine)}; const m = createMachine(); ${body}`;
  const r = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module-typescript', '-e', code], { encoding: 'utf8' });
  return { status: r.status, signal: r.signal, stdout: r.stdout + r.stderr };
};

for (const name of ['SIGTERM', 'SIGSEGV', 'SIGBUS', 'SIGABRT', 'SIGKILL', 'SIGPIPE', 'SIGINT', 'SIGUSR1'] as const) {
  test(`dieBySignal: the parent sees ${name}`, () => {
    const { signal, stdout } = child(`m.host.dieBySignal(${constants.signals[name]})`);
    assert.equal(signal, name, stdout);
  });
}

test('dieBySignal with a signal that does not kill still ends the process', () => {
  assert.equal(child(`m.host.dieBySignal(${constants.signals.SIGCHLD})`).status, 128 + constants.signals.SIGCHLD);
});

test('exitGroup ends at once with its status', () => {
  assert.equal(child("setTimeout(() => {}, 60_000); process.on('exit', () => console.log('no')); m.host.exitGroup(77)").status, 77);
});

test('what Node did to the signals is undone: default ones kill, inherited ignored ones do not', () => {
  const { SIGPIPE, SIGTERM, SIGHUP } = constants.signals;
  assert.equal(child(`m.signals.restoreInherited(0n); process.kill(process.pid, ${SIGPIPE}); m.host.exitGroup(0)`).signal, 'SIGPIPE');
  assert.equal(child(`m.signals.restoreInherited(0n); process.kill(process.pid, ${SIGTERM}); m.host.exitGroup(0)`).signal, 'SIGTERM');
  const ignored = 1n << BigInt(SIGHUP - 1);
  assert.equal(child(`m.signals.restoreInherited(${ignored}n); process.kill(process.pid, ${SIGHUP}); m.host.exitGroup(5)`).status, 5);
});

test('a SIGSEGV that somebody sends kills, unless it is caught', () => {
  const { SIGSEGV } = constants.signals;
  assert.equal(child(`process.kill(process.pid, ${SIGSEGV}); m.host.exitGroup(0)`).signal, 'SIGSEGV');
  const caught = child(
    `m.signals.catch(${SIGSEGV}); process.kill(process.pid, ${SIGSEGV}); m.host.exitGroup(m.signals.take()?.signal ?? 99)`,
  );
  assert.equal(caught.status, SIGSEGV, caught.stdout);
});
