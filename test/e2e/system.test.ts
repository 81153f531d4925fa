/** System calls and signals of compiled programs: the native run is the expectation. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { after, test } from 'node:test';
import { compile, emulated, native, work } from './harness.ts';

after(() => rmSync(work, { recursive: true, force: true }));

for (const source of ['system-calls.c', 'signal-frames.c']) {
  test(source, { timeout: 120_000 }, () => {
    const program = compile(source, ['-lrt']);
    const n = native([program]);
    const e = emulated([program]);
    assert.equal(e.stdout.toString(), n.stdout.toString(), e.stderr);
    assert.deepEqual({ status: e.status, signal: e.signal }, { status: n.status, signal: n.signal }, e.stderr);
  });
}
