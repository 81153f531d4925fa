/** Threads of a compiled program and of real ones: the native run is the expectation. */
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { compile, emulated, native, work } from './harness.ts';

before(() => mkdirSync(work, { recursive: true }));
after(() => rmSync(work, { recursive: true, force: true }));

function same(command: readonly string[], options: readonly string[] = []): void {
  const n = native(command);
  const e = emulated(command, { timeout: 150_000, options });
  assert.equal(e.stdout.toString(), n.stdout.toString(), e.stderr);
  assert.deepEqual({ status: e.status, signal: e.signal }, { status: n.status, signal: n.signal }, e.stderr);
}

describe('threads.c', () => {
  for (const cases of ['locks', 'robust', 'signals', 'identity', 'memory', 'processes', 'many', 'exec', 'exec-main', 'exit', 'main-ends', 'fatal', 'killed']) {
    test(cases, { timeout: 180_000 }, () => same([compile('threads.c', ['-pthread']), cases]));
  }
  test('statically linked', { timeout: 180_000 }, () => same([compile('threads.c', ['-pthread', '-static']), 'locks', 'processes']));
});

test('generated-code.c', { timeout: 180_000 }, () => same([compile('generated-code.c', ['-pthread'])]));

describe('threads of programs', () => {
  before(() => {
    let text = '';
    for (let k = 0; k < 60_000; k++) text += `${(k * 7919) % 100_003} line ${k % 97}\n`;
    writeFileSync(join(work, 'text'), text);
    writeFileSync(join(work, 'queue.py'), `
import threading, queue, concurrent.futures, subprocess, multiprocessing.pool
q, out = queue.Queue(), []
def work():
    while (x := q.get()) is not None: out.append(x * x)
ts = [threading.Thread(target=work) for _ in range(3)]
for t in ts: t.start()
for i in range(100): q.put(i)
for t in ts: q.put(None)
for t in ts: t.join()
print(sum(out), threading.active_count())
with concurrent.futures.ThreadPoolExecutor(2) as ex: print(list(ex.map(lambda x: subprocess.check_output(['echo', str(x)]), range(3))))
with multiprocessing.pool.ThreadPool(2) as pool: print(pool.map(abs, [-1, -2]))
`);
  });
  test('python3 threading', { timeout: 180_000 }, () => same(['/usr/bin/python3', join(work, 'queue.py')]));
  test('xz -T2', { timeout: 180_000 }, () => same(['xz', '-T2', '-c', '-1', join(work, 'text')]));
  test('sort --parallel', { timeout: 180_000 }, () => same(['sort', '--parallel=3', '-n', '-S', '1M', join(work, 'text')]));
});
