/** The port GuestMemory: every width, every border, and nothing but GuestFault for what the guest may not touch. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMachine } from '../../src/host/machine.ts';
import { GuestFault } from '../../src/kernel/ports.ts';
import { BOUNCE_SIZE } from '../../src/memory/accessor-module.ts';

const { guestMemory: memory, space, host } = createMachine();
const PAGE = 4096;
/** `pages` of read-write memory with closed pages on both sides. */
function island(pages: number): number {
  const at = space.mmap(0, (pages + 2) * PAGE, 0, 0x22);
  assert.equal(space.mprotect(at + PAGE, pages * PAGE, 3), 0);
  return at + PAGE;
}
const pattern = (length: number, seed = 1): Uint8Array =>
  new Uint8Array(length).map((_, i) => (Math.imul(i + seed, 2654435761) >>> 13) | 1);
const faultAt = (address: number, act: () => unknown): void =>
  assert.throws(act, (error: unknown) => error instanceof GuestFault && Object.is(error.address, address));

test('scalars keep their width, sign and all 64 bits', () => {
  const at = island(1);
  memory.setU64(at, 0xfedc_ba98_7654_3210n);
  assert.equal(memory.u64(at), 0xfedc_ba98_7654_3210n);
  assert.equal(memory.u8(at), 0x10);
  assert.equal(memory.u16(at + 1), 0x5432);
  assert.equal(memory.u32(at + 4), 0xfedc_ba98);
  assert.equal(memory.i32(at + 4), 0xfedc_ba98 | 0);
  memory.setU64(at, 2 ** 53 - 1);
  assert.equal(memory.u64n(at), 2 ** 53 - 1);
  memory.setU64(at, -14);
  assert.equal(memory.u64(at), 0xffff_ffff_ffff_fff2n);
  memory.setU64(at, 2 ** 63);
  assert.equal(memory.u64(at), 1n << 63n);
  memory.setU64(at, 0n);
  memory.setU8(at + 1, 0x1ff);
  memory.setU16(at + 3, -2);
  memory.setU32(at + 5, -1);
  assert.deepEqual([...memory.read(at, 10)], [0, 0xff, 0, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0]);
});

test('bulk transfers of every length and alignment, across the bounce buffer', () => {
  const at = island(80);
  for (const length of [0, 1, 2, 15, 16, 17, 31, 100, 4095, 4096, 4097, BOUNCE_SIZE - 1, BOUNCE_SIZE, BOUNCE_SIZE + 1, 3 * BOUNCE_SIZE + 5]) {
    for (const shift of [0, 1, 7, 15]) {
      const bytes = pattern(length, shift);
      memory.fill(at, length + 40, 0xee);
      memory.write(at + shift, bytes);
      assert.equal(Buffer.compare(memory.read(at + shift, length), bytes), 0, `${length} bytes at ${shift}`);
      const target = new Uint8Array(length);
      memory.readInto(at + shift, target);
      assert.equal(Buffer.compare(target, bytes), 0);
      assert.equal(memory.u8(at + shift + length), 0xee, 'nothing past the end');
      if (shift > 0) assert.equal(memory.u8(at + shift - 1), 0xee, 'nothing before the start');
    }
  }
});

test('a transfer that reaches a forbidden page faults, and what can be read can be had', () => {
  const at = island(2);
  const end = at + 2 * PAGE;
  memory.write(at, pattern(2 * PAGE));
  for (const length of [1, 16, 17, 5000]) {
    faultAt(end - length + 1, () => memory.read(end - length + 1, length));
    faultAt(end - length + 1, () => memory.write(end - length + 1, new Uint8Array(length)));
    memory.write(at, pattern(2 * PAGE));
    const got = memory.readPartial(end - length, length + 10_000);
    assert.equal(Buffer.compare(got, pattern(2 * PAGE).subarray(2 * PAGE - length)), 0);
  }
  assert.equal(memory.readPartial(at - 1, 10).length, 0);
  assert.equal(memory.readPartial(memory.size - 5, 100).length, 0);
  assert.equal(memory.readPartial(memory.size + 5, 100).length, 0);
  const large = island(40);
  assert.equal(memory.readPartial(large, 1 << 30).length, 40 * PAGE);
});

test('read-only memory can be read and not written', () => {
  const at = island(1);
  memory.setU32(at, 7);
  space.mprotect(at, PAGE, 1);
  assert.equal(memory.u32(at), 7);
  faultAt(at, () => memory.setU32(at, 8));
  faultAt(at, () => memory.write(at, pattern(100)));
  faultAt(at, () => memory.fill(at, 100, 0));
  assert.equal(memory.u32(at), 7);
});

test('what only may be executed can be read by the translator', () => {
  const at = island(1);
  memory.setU32(at, 0x90909090);
  space.mprotect(at, PAGE, 4);
  assert.equal(memory.u32(at), 0x90909090);
  assert.equal(space.protAt(at), 4);
});

test('strings end at the NUL, at the limit, or fault', () => {
  const at = island(40);
  const end = at + 40 * PAGE;
  for (const length of [0, 1, 5, 15, 16, 17, 40, PAGE, BOUNCE_SIZE, BOUNCE_SIZE + 100]) {
    for (const start of [at, at + 3, end - length - 1]) {
      const bytes = pattern(length);
      memory.write(start, bytes);
      memory.setU8(start + length, 0);
      const whole = memory.readCString(start, length + 1);
      assert.equal(Buffer.compare(whole.bytes, bytes), 0, `${length} bytes`);
      assert.equal(whole.terminated, true);
      const cut = memory.readCString(start, length);
      assert.equal(cut.bytes.length, length);
      assert.equal(cut.terminated, false);
    }
  }
  memory.write(end - 20, pattern(20));
  assert.throws(() => memory.readCString(end - 20, 100), GuestFault);
  assert.equal(memory.readCString(end - 20, 20).bytes.length, 20, 'the limit comes before the bad page');
  assert.throws(() => memory.readCString(0, 10), GuestFault);
});

test('addresses that are none fault and harm nothing', () => {
  for (const address of [0, 8, 0xffff, -1, -(2 ** 40), memory.size - 1, memory.size, memory.size + 1, 2 ** 53, 2 ** 63, 2 ** 64]) {
    for (const act of [
      () => memory.u8(address), () => memory.u16(address), () => memory.u32(address), () => memory.u64(address),
      () => memory.setU8(address, 1), () => memory.setU64(address, 1), () => memory.read(address, 1),
      () => memory.write(address, pattern(1)), () => memory.readCString(address, 10),
    ]) faultAt(address, act);
  }
  assert.throws(() => memory.u8(Number.NaN), GuestFault);
  assert.throws(() => memory.read(0x10000, 2 ** 40), GuestFault);
  assert.throws(() => memory.read(0x10000, -1), GuestFault);
});

test('host addresses are base plus guest address, within bounds only', () => {
  assert.equal(memory.host(0x1234, 10), host.memoryBase + 0x1234);
  assert.equal(memory.host(memory.size - 10, 10), host.memoryBase + memory.size - 10);
  for (const [address, length] of [[memory.size - 10, 11], [-1, 1], [0, -1], [2 ** 64, 1], [0, 2 ** 64]] as const) {
    assert.throws(() => memory.host(address, length), GuestFault);
  }
});
