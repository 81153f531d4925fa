/** The launcher's note as the engine reads it. */

import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { test } from 'node:test';
import { INHERITED_VARIABLE, readInherited } from '../../src/host/inherited.ts';
import { createMachine } from '../../src/host/machine.ts';

const { host } = createMachine();
const read = (note?: string) => {
  const env: Record<string, string | undefined> = note === undefined ? {} : { [INHERITED_VARIABLE]: note };
  const inherited = readInherited(host, env);
  assert.deepEqual(Object.keys(env), [], 'the variable is taken out');
  return inherited;
};
const UNLIMITED = 0xffff_ffff_ffff_ffffn;

test('descriptors are those that were open and still are', () => {
  const fd = openSync('/dev/null', 'r');
  assert.deepEqual([...read(`fds=0 2 ${fd} 987654`).descriptors], [[0, 0], [2, 2], [fd, fd]]);
  closeSync(fd);
  assert.deepEqual([...read(`fds=0 2 ${fd}`).descriptors.keys()], [0, 2]);
  assert.deepEqual([...read('fds=').descriptors], [], 'all closed');
  assert.deepEqual([...read().descriptors.keys()], [0, 1, 2], 'without a note');
});

test('limits are the caller’s, the rest as the kernel has them', () => {
  const { rlimits } = read('nofile=123;stack=4096;as=2000:unlimited');
  assert.equal(rlimits.get(7)?.[0], 123n);
  assert.equal(rlimits.get(3)?.[0], 4096n * 1024n);
  assert.deepEqual(rlimits.get(9), [2000n * 1024n, UNLIMITED]);
  const plain = read('nofile=many;stack=;as=').rlimits;
  assert.equal(plain.get(7)?.[1], rlimits.get(7)?.[1]);
  assert.equal(plain.size, 16);
  assert.equal(read('stack=unlimited').rlimits.get(3)?.[0], UNLIMITED);
});

test('ignored signals are a mask, and nonsense is none', () => {
  assert.equal(read('ign=0000000000001006').ignoredSignals, 0x1006n);
  assert.equal(read('ign=8000000000000000').ignoredSignals, 1n << 63n);
  for (const note of ['ign=', 'ign=xyz', '', ';;=;']) assert.equal(read(note).ignoredSignals, 0n);
});
