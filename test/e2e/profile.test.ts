/** --profile and --dump-region: that they tell of the program that ran, and do not change what it does. */
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { lunagate, work } from './harness.ts';

const directory = join(work, 'profile');
const program = join(directory, 'busy');
before(() => {
  mkdirSync(directory, { recursive: true });
  const source = `
    #include <stdio.h>
    #include <unistd.h>
    __attribute__((noinline)) static long twist(long x) { return x * 3 ^ x >> 5; }
    __attribute__((noinline)) long busiest(long n) { long x = n; while (n--) x = twist(x); return x; }
    int main(void) { printf("%ld\\n", busiest(20000000)); printf("%p\\n", (void *)busiest); return 3; }`;
  writeFileSync(join(directory, 'busy.c'), source);
  const made = spawnSync('gcc', ['-O1', '-no-pie', '-o', program, join(directory, 'busy.c')]);
  assert.equal(made.status, 0, made.stderr.toString());
});
after(() => rmSync(directory, { recursive: true, force: true }));

const run = (...options: string[]) => {
  const r = spawnSync(lunagate, [...options, program], { timeout: 60_000, encoding: 'utf8' });
  return { stdout: r.stdout, stderr: r.stderr, status: r.status };
};

test('--profile names the phases and the busy functions, once, and leaves the program alone', () => {
  const plain = run();
  const profiled = run('--profile');
  assert.deepEqual([profiled.stdout, profiled.status], [plain.stdout, 3]);
  assert.equal(profiled.stderr.match(/^profile: \d+ samples/gm)?.length, 1, profiled.stderr);
  assert.match(profiled.stderr, /guest code/);
  assert.match(profiled.stderr, /(busiest|twist) in busy/);
});

test('--dump-region shows guest code, IR and WebAssembly of the region at an address', () => {
  const at = run().stdout.split('\n')[1] as string;
  const { stderr, status } = run('--dump-region', at);
  assert.equal(status, 3);
  assert.match(stderr, new RegExp(`^region ${at}: `));
  for (const part of ['; guest code', '; IR before passes', '; IR after passes', '; WebAssembly']) assert.ok(stderr.includes(part), part);
  assert.match(stderr, /call 0x/);
  assert.match(stderr, /i64\.add/);
  assert.match(run('--dump-region', 'x').stderr, /needs an address/);
});
