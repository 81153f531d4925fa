/** Kept translations: used again, never when stale or damaged, never needed. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { compile, emulated, native, work } from './harness.ts';

const cache = join(work, 'packs');
const program = join(work, 'changing');
const env = { LUNAGATE_CACHE: cache };
before(() => mkdirSync(work, { recursive: true }));
after(() => rmSync(work, { recursive: true, force: true }));

const packs = (): string[] =>
  readdirSync(cache)
    .filter((n) => n.endsWith('.pack'))
    .sort();
const total = (): number => packs().reduce((sum, n) => sum + statSync(join(cache, n)).size, 0);

function same(): void {
  const n = native([program]);
  const e = emulated([program], { env });
  assert.equal(e.stdout.toString(), n.stdout.toString(), e.stderr);
  assert.equal(e.status, n.status);
}

describe('kept translations', { concurrency: 1 }, () => {
  test('are written, and used by the next run', () => {
    rmSync(cache, { recursive: true, force: true });
    copyFileSync(compile('control.c', ['-static']), program);
    chmodSync(program, 0o755);
    same();
    assert.ok(packs().length > 0);
    assert.equal(statSync(cache).mode & 0o777, 0o700);
    const before = packs().map((n) => readFileSync(join(cache, n)));
    same();
    // Nothing new was met, so nothing was written: the run lived on what was kept.
    assert.deepEqual(
      packs().map((n) => readFileSync(join(cache, n))),
      before,
    );
  });
  test('of a file whose code was changed in place are not used', () => {
    // The same inode, size and address: only the code differs. printf's "%d" arguments come from `deep(60000)`.
    const bytes = readFileSync(program);
    const other = readFileSync(compile('memory.c', ['-static']));
    writeFileSync(program, other);
    same();
    writeFileSync(program, bytes);
    same();
    // One constant in one instruction: mov edi, 60000
    const at = bytes.indexOf(Buffer.from([0xbf, 0x60, 0xea, 0, 0]));
    assert.ok(at > 0, 'the program loads 60000 into edi');
    bytes[at + 1] = 0x61;
    writeFileSync(program, bytes);
    same();
  });
  test('that are damaged are not used', () => {
    const names = packs();
    assert.ok(names.length > 0);
    for (const damage of ['cut', 'flip', 'empty', 'text'] as const) {
      for (const name of packs()) {
        const path = join(cache, name);
        const bytes = readFileSync(path);
        if (damage === 'cut') truncateSync(path, Math.floor(bytes.length / 2));
        else if (damage === 'empty') truncateSync(path, 0);
        else if (damage === 'text') writeFileSync(path, 'not a pack at all, but long enough to have a header');
        else {
          bytes[Math.floor(bytes.length * 0.7)] = (bytes[Math.floor(bytes.length * 0.7)] as number) ^ 0x10;
          writeFileSync(path, bytes);
        }
      }
      same();
    }
  });
  test('can be switched off, and their place may be unusable', () => {
    const size = total();
    const off = emulated(['true'], { env: { LUNAGATE_CACHE: 'off' } });
    assert.deepEqual([off.status, off.stderr], [0, '']);
    assert.equal(total(), size);
    const bad = emulated(['true'], { env: { LUNAGATE_CACHE: '/proc/nowhere' } });
    assert.deepEqual([bad.status, bad.stderr], [0, '']);
    const random = emulated(['true'], { env, options: ['-aslr'] });
    assert.deepEqual([random.status, random.stderr], [0, '']);
  });
  test('of what only other threads run are written as well', () => {
    rmSync(cache, { recursive: true, force: true });
    const many = compile('elsewhere.c', ['-static', '-pthread']);
    const run = (where: readonly string[]): number => {
      const [n, e] = [native([many, ...where]), emulated([many, ...where], { env })];
      assert.deepEqual([e.stdout.toString(), e.status], [n.stdout.toString(), n.status], e.stderr);
      return total();
    };
    const without = run([]);
    const once = run(['thread']);
    assert.ok(once > without, 'code that a thread ran is kept');
    // Little is left to be kept when the same is run elsewhere: the way there.
    assert.ok(run(['here']) - once < (once - without) / 2);
  });
  test('come and go with runs side by side', async () => {
    rmSync(cache, { recursive: true, force: true });
    const { spawn } = await import('node:child_process');
    const { lunagate } = await import('./harness.ts');
    const codes = await Promise.all(
      Array.from(
        { length: 4 },
        () =>
          new Promise<number | null>((done) =>
            spawn(lunagate, [program], { env: { ...env, PATH: '/usr/bin:/bin' }, stdio: 'ignore' }).on('close', done),
          ),
      ),
    );
    const expected = native([program]).status;
    assert.deepEqual(codes, [expected, expected, expected, expected]);
    assert.ok(
      readdirSync(cache).every((n) => n.endsWith('.pack')),
      'no half-written file is left',
    );
    same();
  });
});
