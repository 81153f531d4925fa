/** The memory calls where the kernel chooses, the heap, limits, locks, System V memory, and who is told of what. */

import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { errno } from '../../src/abi/errno.ts';
import { createMachine } from '../../src/host/machine.ts';
import { GuestFault } from '../../src/kernel/ports.ts';
import { permissions } from '../../src/memory/mapping.ts';

const { host, guestMemory: memory, space } = createMachine();
const directory = mkdtempSync(join(tmpdir(), 'lunagate-space-'));
after(() => rmSync(directory, { recursive: true }));

const PAGE = 4096;
const ANON = 0x22;
const FIXED = 0x10;
const GIB = 2 ** 30;
const unlimited = { addressSpace: () => Number.POSITIVE_INFINITY, data: () => Number.POSITIVE_INFINITY, stack: () => 8 << 20 };
const changes: [number, number][] = [];
beforeEach(() => {
  space.reset();
  space.setLimits(unlimited);
  changes.length = 0;
});
space.setCodeListener({ codeChanged: (start, end) => changes.push([start, end]) });

const map = (pages: number, prot = 3, flags = ANON, at = 0): number => {
  const result = space.mmap(at, pages * PAGE, prot, flags);
  assert.ok(result > 0, `mmap: ${result}`);
  return result;
};
const lines = (): string[] =>
  space.entries().map((m) => `${m.start.toString(16)}-${m.end.toString(16)} ${permissions(m)}${m.name === '' ? '' : ` ${m.name}`}`);

test('without an address: downwards from the top, the first gap that fits', () => {
  const a = map(4);
  assert.equal(a + 4 * PAGE, space.mmapTop);
  const b = map(2);
  assert.equal(b + 2 * PAGE, a);
  const c = map(3);
  assert.equal(space.munmap(b, 2 * PAGE), 0);
  assert.equal(map(3), c - 3 * PAGE, 'two pages are too few');
  assert.equal(map(1), b + PAGE);
  assert.equal(map(1), b);
});

test('a hint is taken if its place is free, rounded up, and never below 64 KiB', () => {
  assert.equal(map(1, 3, ANON, 0x5000_0001), 0x5000_1000);
  assert.notEqual(map(1, 3, ANON, 0x5000_1000), 0x5000_1000);
  assert.equal(map(1, 3, ANON, 0x1000), 0x10000);
  assert.notEqual(map(1, 3, ANON, 2 ** 47), 2 ** 47);
  assert.equal(space.mmap(0x1000, PAGE, 3, ANON | FIXED), -errno.EPERM);
  assert.equal(space.mmap(0, PAGE, 3, ANON | FIXED), -errno.EPERM);
  assert.equal(space.mmap(0x5000_0800, PAGE, 3, ANON | FIXED), -errno.EINVAL);
  assert.equal(space.mmap(space.size - PAGE, 2 * PAGE, 3, ANON | FIXED), -errno.ENOMEM);
  assert.equal(space.mmap(2 ** 47, PAGE, 3, ANON | FIXED), -errno.ENOMEM);
});

test('MAP_32BIT is the second GiB, upwards', () => {
  assert.equal(map(1, 3, ANON | 0x40), 0x4000_0000);
  assert.equal(map(1, 3, ANON | 0x40), 0x4000_1000);
  assert.equal(space.mmap(0, GIB, 3, ANON | 0x40 | 0x4000), -errno.ENOMEM);
});

test('a full address space is ENOMEM, and freed space can be had again', () => {
  assert.equal(space.mmap(0, space.size, 0, ANON | 0x4000), -errno.ENOMEM);
  const blocks: number[] = [];
  for (;;) {
    const at = space.mmap(0, GIB, 0, ANON | 0x4000);
    if (at < 0) {
      assert.equal(at, -errno.ENOMEM);
      break;
    }
    blocks.push(at);
  }
  assert.equal(blocks.length, 15, '16 GiB less the first 64 KiB and the stack’s room');
  assert.equal(space.munmap(blocks[7]!, GIB), 0);
  assert.equal(space.mmap(0, GIB, 0, ANON | 0x4000), blocks[7]);
  assert.equal(space.mmap(0, 2 ** 63, 3, ANON), -errno.ENOMEM);
  assert.equal(space.mmap(0, 2 ** 64, 3, ANON), -errno.ENOMEM);
});

test('a reservation of more than half of the space is refused, one of half lies in the upper half', () => {
  const RESERVE = ANON | 0x4000;
  assert.equal(space.mmap(0x42_0000_0000, space.size / 2 + GIB, 0, RESERVE), -errno.ENOMEM);
  const at = space.mmap(0x42_0000_0000, space.size / 2 - GIB, 0, RESERVE);
  assert.ok(at >= space.size / 2, `at 0x${at.toString(16)}`);
  assert.equal(space.munmap(at, space.size / 2 - GIB), 0);
  // Memory to be used is another matter.
  const big = space.mmap(0, space.size / 2 + GIB, 3, RESERVE);
  assert.ok(big > 0, `mmap: ${big}`);
});

test('refused flags and arguments', () => {
  assert.equal(space.mmap(0, PAGE, 3, ANON | 0x40000), -errno.ENOMEM, 'no huge pages');
  assert.equal(space.mmap(0, PAGE, 3, 0x20), -errno.EINVAL, 'neither shared nor private');
  assert.equal(space.mmap(0, PAGE, 3, 0x23), -errno.EINVAL, 'MAP_SHARED_VALIDATE of anonymous memory');
  assert.equal(space.mmap(0, PAGE, 3, 2, -1), -errno.EBADF);
  assert.equal(space.mmap(0, PAGE, 3, 2, 999_999), -errno.EBADF);
  assert.equal(space.mmap(0, 0, 3, ANON), -errno.EINVAL);
  assert.equal(space.mmap(0, PAGE, 3, ANON, -1, 12), -errno.EINVAL);
  assert.equal(space.mmap(0, PAGE, 3, 0x121), -errno.EINVAL, 'shared memory does not grow down');
  assert.equal(space.munmap(1, PAGE), -errno.EINVAL);
  assert.equal(space.munmap(0x10000, 0), -errno.EINVAL);
  assert.equal(space.munmap(2 ** 63, PAGE), -errno.EINVAL);
  assert.equal(space.munmap(0x10000, 2 ** 64), -errno.EINVAL);
  assert.equal(space.mremap(0x10000, PAGE, 0, 0), -errno.EINVAL);
  assert.equal(space.mprotect(0x10000, PAGE, 0x1000003), -errno.ENOMEM);
});

test('neighbours that are alike are one mapping, and parts keep their place in the file', () => {
  map(2, 3, ANON | FIXED, 0x100000);
  map(2, 3, ANON | FIXED, 0x102000);
  map(1, 1, ANON | FIXED, 0x104000);
  assert.deepEqual(lines(), ['100000-104000 rw-p', '104000-105000 r--p']);
  assert.equal(space.mprotect(0x104000, PAGE, 3), 0);
  assert.deepEqual(lines(), ['100000-105000 rw-p']);
  assert.equal(space.mprotect(0x102000, PAGE, 5), 0);
  assert.deepEqual(lines(), ['100000-102000 rw-p', '102000-103000 r-xp', '103000-105000 rw-p']);

  const path = join(directory, 'file');
  const fd = openSync(path, 'w+');
  for (let k = 0; k < 4; k++) writeSync(fd, Buffer.alloc(PAGE, k + 1));
  assert.equal(space.mmap(0x200000, 4 * PAGE, 1, FIXED | 2, fd), 0x200000);
  closeSync(fd);
  assert.equal(space.munmap(0x201000, PAGE), 0);
  const rest = space.find(0x202000);
  assert.equal(rest?.offset, 2 * PAGE);
  assert.equal(rest?.backing?.path, path);
  assert.equal(memory.u8(0x203000), 4);
  assert.throws(() => memory.u8(0x201000), GuestFault);
});

test('growing and moving keep the contents of files and of anonymous memory', () => {
  const fd = openSync(join(directory, 'grow'), 'w+');
  for (let k = 0; k < 8; k++) writeSync(fd, Buffer.alloc(PAGE, 0x10 + k));
  for (const flags of [1, 2]) {
    const at = space.mmap(0x300000, 2 * PAGE, 3, FIXED | flags, fd, PAGE);
    assert.equal(at, 0x300000);
    memory.setU8(at + 10, 0x99);
    assert.equal(space.mremap(at, 2 * PAGE, 4 * PAGE, 0), at, 'in place');
    assert.deepEqual([0, 1, 2, 3].map((k) => memory.u8(at + k * PAGE)), [0x11, 0x12, 0x13, 0x14]);
    assert.equal(memory.u8(at + 10), 0x99);
    map(1, 3, ANON | FIXED, at + 4 * PAGE);
    assert.equal(space.mremap(at, 4 * PAGE, 6 * PAGE, 0), -errno.ENOMEM, 'no room');
    const moved = space.mremap(at, 4 * PAGE, 6 * PAGE, 1);
    assert.ok(moved > 0 && moved !== at);
    assert.deepEqual([0, 3, 5].map((k) => memory.u8(moved + k * PAGE)), [0x11, 0x14, 0x16]);
    assert.equal(memory.u8(moved + 10), 0x99);
    assert.throws(() => memory.u8(at), GuestFault);
    assert.equal(space.find(moved)?.offset, PAGE);
    assert.equal(space.munmap(moved, 6 * PAGE), 0);
    space.munmap(0x300000, 16 * PAGE);
  }
  closeSync(fd);
  const at = map(3);
  memory.write(at, new Uint8Array(3 * PAGE).fill(0x42));
  const far = space.mremap(at, 3 * PAGE, 300 * PAGE, 1);
  assert.equal(memory.u8(far + 3 * PAGE - 1), 0x42);
  assert.equal(memory.u8(far + 3 * PAGE), 0);
  memory.setU8(far + 299 * PAGE, 1);
  assert.equal(space.mremap(far, 300 * PAGE, PAGE, 0), far);
  assert.throws(() => memory.u8(far + PAGE), GuestFault);
});

test('the heap grows, shrinks, and stops at what is in its way', () => {
  space.setBrk(0x500123);
  assert.equal(space.brk(0), 0x500123);
  assert.equal(space.brk(0x503000), 0x503000);
  assert.deepEqual(lines(), ['501000-503000 rw-p [heap]']);
  memory.setU32(0x502ffc, 5);
  assert.equal(space.brk(0x503001), 0x503001);
  assert.equal(memory.u32(0x502ffc), 5);
  assert.equal(space.brk(0x502000), 0x502000);
  assert.throws(() => memory.u32(0x502000), GuestFault);
  map(1, 3, ANON | FIXED, 0x510000);
  assert.equal(space.brk(0x511000), 0x502000, 'the old break: it cannot be moved');
  assert.equal(space.brk(0x500000), 0x502000, 'below the start');
  assert.equal(space.brk(2 ** 50), 0x502000);
  space.setLimits({ ...unlimited, data: () => 0x4000 });
  assert.equal(space.brk(0x50f000), 0x502000, 'RLIMIT_DATA');
});

test('a mapping that grows down does so within the stack limit and above its neighbour', () => {
  const stack = map(2, 3, ANON | 0x100 | FIXED, 0x4000_0000);
  assert.equal(space.growDown(stack - 5 * PAGE + 8), true);
  memory.setU8(stack - 5 * PAGE, 1);
  assert.equal(space.find(stack - 5 * PAGE)?.end, stack + 2 * PAGE);
  assert.equal(space.growDown(stack - (9 << 20)), false, 'RLIMIT_STACK');
  map(1, 3, ANON | FIXED, stack - 0x200000);
  assert.equal(space.growDown(stack - 0x180000), false, 'the guard gap');
  assert.equal(space.growDown(stack - 0xe0000), true);
  map(1, 3, ANON | FIXED, 0x7000_0000);
  assert.equal(space.growDown(0x7000_0000 - PAGE), false, 'an ordinary mapping does not grow');
});

test('limits bind the guest', () => {
  space.setLimits({ ...unlimited, addressSpace: () => 16 * PAGE });
  const at = map(10, 1);
  assert.equal(space.mmap(0, 7 * PAGE, 1, ANON), -errno.ENOMEM);
  map(6, 1);
  map(10, 1, ANON | FIXED, at);
  assert.equal(space.mremap(at, 10 * PAGE, 11 * PAGE, 1), -errno.ENOMEM);
  space.reset();
  space.setLimits({ ...unlimited, data: () => 8 * PAGE });
  map(20, 1);
  map(8, 3);
  assert.equal(space.mmap(0, PAGE, 3, ANON), -errno.ENOMEM);
  map(1, 3, 0x21);
});

test('the translator hears of every change to what could be executed, and of no other', () => {
  const at = map(4, 5);
  map(1, 3);
  space.mprotect(at, PAGE, 5);
  assert.equal(changes.length, 0);
  space.mprotect(at, PAGE, 3);
  assert.deepEqual(changes.splice(0), [[at, at + PAGE]]);
  space.mprotect(at, PAGE, 5);
  assert.equal(changes.length, 0, 'nothing was translated while it could not be executed');
  space.madvise(at + PAGE, PAGE, 4);
  assert.deepEqual(changes.splice(0), [[at + PAGE, at + 2 * PAGE]]);
  map(1, 3, ANON | FIXED, at + PAGE);
  assert.deepEqual(changes.splice(0), [[at + PAGE, at + 2 * PAGE]]);
  space.mremap(at + 2 * PAGE, PAGE, 3 * PAGE, 1);
  assert.deepEqual(changes.splice(0), [[at + 2 * PAGE, at + 3 * PAGE]]);
  space.munmap(at - PAGE, 8 * PAGE);
  assert.ok(changes.some(([start, end]) => start <= at && end >= at + PAGE));
  changes.length = 0;
  space.reset();
  assert.deepEqual(changes.splice(0), [[0, space.size]]);
});

test('locks, seals and residency', () => {
  const at = map(4);
  assert.equal(space.mlock(at + 5, 10), 0);
  assert.deepEqual(space.entries().map((m) => m.locked), [true, false]);
  assert.equal(space.msync(at, PAGE, 2), -errno.EBUSY, 'MS_INVALIDATE of locked pages');
  assert.equal(space.munlock(at, 4 * PAGE), 0);
  assert.equal(space.mlock(at + 3 * PAGE, 2 * PAGE), -errno.ENOMEM);
  assert.equal(space.mlockall(4), -errno.EINVAL);
  assert.equal(space.mlockall(3), 0);
  assert.equal(space.find(map(1))?.locked, true);
  assert.equal(space.munlockall(), 0);
  assert.equal(space.entries().some((m) => m.locked), false);

  const vector = host.allocate(PAGE);
  memory.setU8(at + PAGE, 1);
  assert.equal(space.mincore(at, 4 * PAGE, vector.address), 0);
  assert.equal((vector.bytes[1] as number) & 1, 1);
  assert.equal(space.mincore(at, 5 * PAGE, vector.address), -errno.ENOMEM);
  assert.equal(space.mincore(at + 1, PAGE, vector.address), -errno.EINVAL);

  const sealed = map(2, 1);
  assert.equal(space.mseal(sealed, PAGE, 0), 0);
  assert.equal(space.munmap(sealed, PAGE), -errno.EPERM);
  assert.equal(space.mprotect(sealed, PAGE, 3), -errno.EPERM);
  assert.equal(space.mmap(sealed, PAGE, 3, ANON | FIXED), -errno.EPERM);
  assert.equal(space.mremap(sealed, PAGE, 2 * PAGE, 1), -errno.EPERM);
  assert.equal(space.madvise(sealed, PAGE, 4), -errno.EPERM);
  assert.equal(space.munmap(sealed + PAGE, PAGE), 0, 'its neighbour is free');
});

test('System V shared memory appears twice with one content and goes by pieces', () => {
  const id = host.syscall(host.nr['shmget']!, 0, 3 * PAGE - 100, 0o1600);
  assert.ok(id >= 0);
  const first = space.shmat(id, 0, 0);
  const second = space.shmat(id, 0x6000_0123, 0o20000);
  assert.equal(second, 0x6000_0000);
  assert.equal(space.shmat(id, 0x6000_0123, 0), -errno.EINVAL);
  assert.equal(space.shmat(id, second, 0), -errno.EINVAL, 'taken');
  const readOnly = space.shmat(id, 0, 0o10000);
  host.syscall(host.nr['shmctl']!, id, 0, 0);
  memory.setU32(first + 8, 0xabcdef);
  assert.equal(memory.u32(second + 8), 0xabcdef);
  assert.equal(memory.u32(readOnly + 8), 0xabcdef);
  assert.throws(() => memory.setU8(readOnly, 1), GuestFault);
  assert.equal(space.munmap(second + PAGE, PAGE), 0);
  assert.equal(space.shmdt(second + PAGE), -errno.EINVAL);
  assert.equal(space.shmdt(second), 0);
  assert.equal(space.find(second + 2 * PAGE), undefined);
  assert.equal(space.shmdt(first), 0);
  assert.equal(space.shmdt(first), -errno.EINVAL);
  assert.equal(memory.u32(readOnly + 8), 0xabcdef);
});

test('a refused mapping over an old one leaves no hole in the guest’s range', () => {
  const at = map(4);
  memory.setU8(at, 7);
  const dir = openSync(directory, 'r');
  assert.equal(space.mmap(at, PAGE, 1, FIXED | 2, dir), -errno.ENODEV);
  closeSync(dir);
  const tiny = openSync(join(directory, 'readonly'), 'w+');
  ftruncateSync(tiny, PAGE);
  closeSync(tiny);
  const readOnly = openSync(join(directory, 'readonly'), 'r');
  assert.equal(space.mmap(at, PAGE, 3, FIXED | 1, readOnly), -errno.EACCES);
  closeSync(readOnly);
  assert.equal(memory.u8(at), 7);
  let covered = 0;
  for (const line of readFileSync('/proc/self/maps', 'latin1').split('\n')) {
    const match = /^([0-9a-f]+)-([0-9a-f]+)/.exec(line);
    if (match === null) continue;
    const start = Math.max(Number.parseInt(match[1]!, 16), host.memoryBase);
    const end = Math.min(Number.parseInt(match[2]!, 16), host.memoryBase + host.memorySize);
    if (end > start) covered += end - start;
  }
  assert.equal(covered, host.memorySize);
});

test('MADV_DONTFORK takes effect in the child only', () => {
  const at = map(2);
  memory.setU8(at, 1);
  assert.equal(space.madvise(at, PAGE, 10), 0);
  assert.equal(memory.u8(at), 1);
  space.afterFork();
  assert.throws(() => memory.u8(at), GuestFault);
  assert.equal(memory.u8(at + PAGE), 0);
});
