/** Random system calls with odd arguments give natively and under the emulator the same results, in the same order. */

import assert from 'node:assert/strict';
import { mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { compile, emulated, native } from '../e2e/harness.ts';

test('20,000 random calls', { timeout: 120_000 }, () => {
  const program = compile('../../syscalls/file-calls.c');
  for (const seed of ['1', '2', '3', '4']) {
    // The same directory both times: its name is among the results.
    const cwd = join(tmpdir(), `file-calls-${process.pid}`);
    const run = (how: typeof native) => {
      rmSync(cwd, { recursive: true, force: true });
      mkdirSync(cwd, { mode: 0o777 });
      const { stdout, stderr, status } = how([program, seed, '5000'], { cwd });
      assert.equal(status, 0, stderr.slice(-2000));
      return stdout.toString('latin1').split('\n');
    };
    try {
      const expected = run(native);
      const got = run(emulated);
      assert.ok(expected.length > 4000);
      const differing = expected.flatMap((line, k) => (line === got[k] ? [] : [`native ${line}\n  here ${got[k]}`]));
      assert.deepEqual(differing, [], `seed ${seed}`);
    } finally {
      rmSync(cwd, { recursive: true, force: true });
    }
  }
});
