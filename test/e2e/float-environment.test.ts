/** Floating-point environment: fesetround, exception flags, feenableexcept and SIGFPE, FTZ and DAZ, equal to native. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { compile, emulated, native, work } from './harness.ts';

before(() => mkdirSync(work, { recursive: true }));
after(() => rmSync(work, { recursive: true, force: true }));

const cpuFlags = readFileSync('/proc/cpuinfo', 'utf8');
const hostHasFma = /\bavx2\b/.test(cpuFlags) && /\bfma\b/.test(cpuFlags);

const source = 'float-environment.c';
const builds = {
  dynamic: { flags: ['-frounding-math', '-lm'], options: [] },
  static: { flags: ['-frounding-math', '-static', '-lm'], options: [] },
  'AVX and FMA': { flags: ['-frounding-math', '-mavx2', '-mfma', '-lm'], options: ['-cpu', 'x86-64-v3'] },
} as const;
/** What programs/float-environment.c is asked for, and the least it must say. */
const parts = { first: 1, intrinsic: 1, rounding: 50, sticky: 28, traps: 40, denormals: 7, dies: 0 } as const;

function same(command: readonly string[], options: readonly string[], lines: number): void {
  const n = native(command);
  const e = emulated(command, { options });
  assert.ok(n.stdout.toString().split('\n').length > lines, 'the native run says too little');
  assert.equal(e.stdout.toString(), n.stdout.toString(), e.stderr);
  assert.deepEqual({ status: e.status, signal: e.signal }, { status: n.status, signal: n.signal }, e.stderr);
}

for (const [name, { flags, options }] of Object.entries(builds))
  describe(name, {
    concurrency: 2,
    skip: name.startsWith('AVX') && !hostHasFma ? 'the host has no FMA' : false,
  }, () => {
    for (const [part, lines] of Object.entries(parts))
      test(part, { timeout: 120_000 }, () => same([compile(source, flags), part], options, lines));
  });
// Intel's processors keep the pointers to the last instruction otherwise
const skip =
  /AuthenticAMD/.test(cpuFlags) && /\bxsaveerptr\b/.test(cpuFlags) ? false : 'needs an AMD processor with XSAVEERPTR';
test('x87 state in memory', { skip, timeout: 120_000 }, () =>
  same([compile('x87-image.c')], ['-cpu', 'x86-64-v3'], 12),
);
test('-ffast-math', { timeout: 120_000 }, () => same([compile(source, ['-ffast-math', '-lm']), 'fast'], [], 1));
