/** Programs with little memory for translated code: much of it is dropped and made again, and they do as they do natively. */
import assert from 'node:assert/strict';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { compile, emulated, native, work } from './harness.ts';

before(() => mkdirSync(work, { recursive: true }));
after(() => rmSync(work, { recursive: true, force: true }));

interface Setting {
  readonly memory: string;
  /** Times that code must have been dropped, as `--profile` counts them for the process's first thread. */
  readonly clearings: number;
  readonly cache?: string;
}

function same(command: readonly string[], { memory, clearings, cache = 'off' }: Setting): void {
  const n = native(command);
  const options = ['--code-memory', memory, '--profile'];
  const e = emulated(command, { timeout: 100_000, options, env: { LUNAGATE_CACHE: cache } });
  assert.equal(e.stdout.toString('latin1'), n.stdout.toString('latin1'), e.stderr);
  assert.deepEqual({ status: e.status, signal: e.signal }, { status: n.status, signal: n.signal }, e.stderr);
  const dropped = Number(/cleared out (\d+) times/.exec(e.stderr)?.[1] ?? 0);
  assert.ok(dropped >= clearings, `code was dropped ${dropped} times only`);
}

describe('much-code.c', { concurrency: 2 }, () => {
  const muchCode = (): string => compile('much-code.c');
  const setting = { memory: '1M', clearings: 5 };
  for (const how of ['once', 'file', 'libraries', 'fresh', 'moving'])
    test(how, { timeout: 120_000 }, () => same([muchCode(), how, '96', '2'], setting));
  test('optimised code', { timeout: 120_000 }, () => same([muchCode(), 'once', '16', '2', '12000'], { memory: '512K', clearings: 4 }));
  // The first run writes what it drops in the middle; the second finds it, and has no room for all of it.
  test('kept code', { timeout: 120_000 }, () => {
    const cache = join(work, 'eviction-packs');
    for (let k = 0; k < 2; k++) same([muchCode(), 'file', '192', '2'], { memory: '8M', clearings: 3, cache });
  });
});

describe('ordinary programs', { concurrency: 2 }, () => {
  const setting = { memory: '8M', clearings: 2 };
  test('signals', { timeout: 120_000 }, () => same([compile('signals.c')], setting));
  test('children', { timeout: 120_000 }, () => same([compile('processes.c')], setting));
  test('threads', { timeout: 120_000 }, () => same([compile('threads.c', ['-pthread']), 'locks', 'signals'], setting));
  test('perl', { timeout: 120_000 }, () => same(['perl', '-e', 'print join(",", map { $_ * $_ } 1 .. 50), "\n"'], setting));
  test('a shell', { timeout: 120_000 }, () =>
    same(['bash', '-c', 'for i in 1 2 3; do (trap "echo $i" EXIT; echo "$(echo $i | cat)"); done | sort | md5sum'], setting));
});
