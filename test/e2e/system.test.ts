/** System calls and signals of compiled programs: the native run is the expectation. */
import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { after, test } from 'node:test';
import { compile, emulated, native, work } from './harness.ts';

after(() => rmSync(work, { recursive: true, force: true }));

const hostHasAvx = / avx2 .* xsavec /.test(readFileSync('/proc/cpuinfo', 'utf8'));
for (const [source, options, skip] of [
  ['system-calls.c', [], false], ['seccomp.c', [], false], ['proc-of-others.c', [], false], ['life.c', [], false], ['credentials.c', [], false], ['signal-frames.c', [], false], ['signal-frames.c', ['-cpu', 'max'], false],
  ['vector-frames.c', ['-cpu', 'max'], !hostHasAvx],
] as const) {
  test([source, ...options].join(' '), { timeout: 120_000, skip }, () => {
    const program = compile(source, ['-lrt', '-pthread']);
    const n = native([program]);
    const e = emulated([program], { options });
    assert.equal(e.stdout.toString(), n.stdout.toString(), e.stderr);
    assert.deepEqual({ status: e.status, signal: e.signal }, { status: n.status, signal: n.signal }, e.stderr);
  });
}
