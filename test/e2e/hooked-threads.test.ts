/** Rules over programs with threads: one Lua state for all, nobody held up, everything as unhooked where rules forward. */

import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { compile, emulated, native, type Outcome, work } from './harness.ts';

const directory = join(work, 'hooked-threads');
before(() => mkdirSync(directory, { recursive: true }));
after(() => rmSync(directory, { recursive: true, force: true }));

const forward = 'function do_syscall(num, ...) return c_do_syscall(num, ...) end';
const counter = 'local n = 0 function do_syscall(num, ...) c_do_syscall(num, ...) n = n + 1 return n end';
const slow = { timeout: 180_000 };

let serial = 0;
function rules(scripts: Readonly<Record<string, string>>): string {
  const path = join(directory, `rules-${++serial}`);
  mkdirSync(path);
  for (const [name, text] of Object.entries(scripts)) writeFileSync(join(path, `${name}.lua`), text);
  return path;
}
function under(path: string, command: readonly string[], options: readonly string[] = []): Outcome {
  return emulated(command, { timeout: 150_000, options: ['--quiet', '--rules', path, ...options] });
}
const guest = (...args: string[]): string[] => [compile('hooked-threads.c', ['-pthread']), ...args];
/** 1 + 2 + … + n. */
const sum = (n: number): number => (n * (n + 1)) / 2;

describe('hooks of all threads', () => {
  test('count exactly', slow, () => {
    const o = under(rules({ getppid: counter }), guest('count', '2000'));
    assert.deepEqual([o.stdout.toString(), o.stderr], [`${sum(16_000)} 16001\n`, '']);
  });
  test('run while one is blocked in a hooked read', slow, () => {
    const o = under(
      rules({
        read: 'function do_syscall(num, fd, ...) if ctx.tid ~= ctx.pid then shared.reading = true end return c_do_syscall(num, fd, ...) end',
        getppid: 'local n = 0 function do_syscall() if shared.reading then n = n + 1 end return n end',
      }),
      guest('blocked', '500'),
    );
    // One more: the call that found the reader there.
    assert.deepEqual([o.stdout.toString(), o.stderr], [`${sum(2001) - 1} 2002\nread 1 'x'\n`, '']);
  });
  test('know which thread they run for', slow, () => {
    const o = under(
      rules({
        getppid: 'function do_syscall() assert(c_read_string(c_scratch("of " .. ctx.tid)) == "of " .. ctx.tid) return ctx.tid end',
      }),
      guest('identities', '500'),
    );
    assert.deepEqual([o.stdout.toString(), o.stderr], ['0 wrong\n', '']);
  });
  test('are whole in children forked meanwhile', slow, () => {
    const o = under(rules({ getppid: counter }), guest('children', '2000'));
    assert.deepEqual([o.stdout.toString(), o.stderr], ['0 bad, 6001\n', '']);
  });
  test('follow the script that one thread writes, from the next call of another on', slow, () => {
    const path = rules({ getppid: counter });
    const o = under(path, guest('edits', '0', path));
    assert.deepEqual([o.stdout.toString(), o.stderr], [Array.from({ length: 10 }, (_, k) => `${1001 + k}\n`).join(''), '']);
  });
  test('of short threads use the same memory again', slow, () => {
    const o = under(
      rules({
        getppid: `local n, first = 0
          function do_syscall()
            n = n + 1
            collectgarbage()
            local used = collectgarbage('count')
            if n == 200 then first = used end
            if n == 401 then assert(used - first < 16, used - first) end
            return n
          end`,
        exit: forward,
      }),
      guest('short'),
    );
    assert.deepEqual([o.stdout.toString(), o.stderr], ['401\n', '']);
  });
  test('that are lent memory do not stand in the way of threads that come and go', slow, () => {
    const lends = 'function do_syscall(num, ...) c_scratch(70000) return c_do_syscall(num, ...) end';
    const o = under(rules({ getppid: counter, exit: lends, futex: lends, mmap: lends, munmap: lends, clone3: lends }), guest('short'));
    assert.deepEqual([o.stdout.toString(), o.stderr], ['401\n', '']);
  });
  test('are fresh after execve', slow, () => {
    const o = under(rules({ getppid: counter, execve: forward }), guest('exec', '100'));
    assert.equal(o.stdout.toString(), `${sum(400)} 401\n${sum(800)} 801\n`, o.stderr);
  });
  test('are told of together by --explain', slow, () => {
    const o = under(rules({ getppid: counter }), guest('count', '100'), ['--explain']);
    assert.match(o.stderr, /getppid\.lua +801 +801 +0 /);
  });
});

describe('forwarding rules change nothing in threads', () => {
  const hooked = 'clone clone3 exit exit_group futex rt_sigreturn execve fork vfork read write mmap munmap mprotect wait4 tgkill';
  const all = (): string => rules(Object.fromEntries(hooked.split(' ').map((name) => [name, forward])));
  for (const cases of ['locks', 'robust', 'signals', 'identity', 'processes', 'exec', 'exec-main', 'exit', 'main-ends', 'fatal', 'killed']) {
    test(cases, slow, () => {
      const command = [compile('threads.c', ['-pthread']), cases];
      const n = native(command);
      const e = under(all(), command);
      assert.deepEqual(
        [e.stdout.toString(), e.status, e.signal], [n.stdout.toString(), n.status, n.signal], e.stderr,
      );
    });
  }
  test('entry and finish around every call', slow, () => {
    const command = [compile('threads.c', ['-pthread']), 'locks'];
    const e = under(rules({ entry: 'function entry() end', finish: 'function finish() end' }), command);
    assert.deepEqual([e.stdout.toString(), e.status], [native(command).stdout.toString(), 0], e.stderr);
  });
});
