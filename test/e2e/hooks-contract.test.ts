/** What is left of the hook contract (the rest: hooks.test.ts, hooks-*.test.ts, test/hooks): signals, forks, limits over time. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { syscalls } from '../../src/syscalls/table.ts';
import { compile, emulated, lunagate, native, type Outcome, type RunOptions, work } from './harness.ts';

const directory = join(work, 'hooks-contract');
let serial = 0;
before(() => {
  mkdirSync(directory, { recursive: true });
  emulated(['--version']);
});
after(() => rmSync(directory, { recursive: true, force: true }));
function rules(scripts: Readonly<Record<string, string>>): string {
  const path = join(directory, `rules-${++serial}`);
  mkdirSync(path);
  for (const [name, text] of Object.entries(scripts)) writeFileSync(join(path, `${name}.lua`), text);
  return path;
}
const under = (scripts: Readonly<Record<string, string>>, command: readonly string[], o: RunOptions = {}): Outcome =>
  emulated(command, { cwd: directory, ...o, options: ['--quiet', '--rules', rules(scripts), ...(o.options ?? [])] });
const forward = 'function do_syscall(num, ...) return c_do_syscall(num, ...) end';

describe('calls that are not like others', { concurrency: 2 }, () => {
  test('a signal during a blocking call that a hook has made: EINTR or restart, as without; exit(2)', () => {
    const program = compile('hooked-signals.c');
    const plain = native([program]);
    assert.equal(plain.stdout.toString(), 'broken: -1 4, 1 handled\nrestarted: 1 0, 1 handled\n');
    const all: Record<string, string>[] = [{}, { read: forward, exit: forward, rt_sigreturn: forward, rt_sigaction: forward, fork: forward, clone: forward }];
    for (const scripts of all) {
      const r = under(scripts, [program]);
      assert.deepEqual([r.stdout.toString(), r.stderr, r.status], [plain.stdout.toString(), '', plain.status]);
    }
  });
  test('a hook that clones twice: four processes, each ends', () => {
    const r = under({ clone: 'function do_syscall(num, ...) c_do_syscall(num, ...) return c_do_syscall(num, ...) end' }, [compile('hooked-signals.c'), 'fork']);
    // The first child comes back into the hook as well, and makes one of its own, whose parent it believes to be.
    assert.deepEqual(r.stdout.toString().split('\n').sort(), ['', 'child', 'child', 'parent', 'parent']);
    assert.deepEqual([r.stderr, r.status], ['', 0]);
  });
  test('every call can be owned, also one that lunagate does not have', () => {
    const missing = syscalls.find((s) => s.support.level === 'none' && s.nr.x86_64 !== undefined);
    assert.ok(missing !== undefined, 'all are supported: choose another way to test this');
    const script = 'function do_syscall(num, a) c_log(c_do_syscall(num, a)) return a + 1 end';
    const r = under({ [missing.name]: script }, [compile('api.c'), 'number', String(missing.nr.x86_64)]);
    assert.equal(r.stdout.toString(), '6\n', r.stderr);
    assert.equal(r.stderr, '[Lua Log] -38\n');
  });
});

test("the guest's seccomp filter comes before its rules, and does not judge what a rule does", () => {
  const program = compile('filtered.c');
  const r = under({ getppid: "c_log('getppid') return 1", getuid: 'function do_syscall() return c_do_syscall(c_syscall_number("getppid")) end' }, [program]);
  const plain = native([program]);
  assert.match(plain.stdout.toString(), /^getppid -1 77\ngetuid \d+ 0\n$/);
  assert.match(r.stdout.toString(), /^getppid -1 77\ngetuid [1-9]\d* 0\n$/);
  assert.deepEqual([r.stderr, r.status], ['', 0]);
});

describe('over time', () => {
  /** Resident bytes of the guest's process after each of so many stretches of hooked calls. */
  async function resident(scripts: Readonly<Record<string, string>>, stretches: number, options: readonly string[] = []): Promise<number[]> {
    const sizes: number[] = [];
    const child = spawn(lunagate, ['--quiet', '--rules', rules(scripts), ...options, compile('api.c'), 'stretches', String(stretches), '50000'], { stdio: ['pipe', 'pipe', 'ignore'] });
    for await (const _ of createInterface({ input: child.stdout })) {
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
      sizes.push(Number(/VmRSS:\s*(\d+)/.exec(status)?.[1]) * 1024);
      child.stdin.write('\n');
    }
    return sizes;
  }
  test('memory stays where it is: calls that forward, allocate, read, are lent memory, fail', { timeout: 120_000 }, async () => {
    const body = `local n = 0
      function do_syscall(num, ...)
        n = n + 1
        local t = { num, c_read_string(c_scratch("text " .. n)), c_syscall_name(num) }
        if n % 100 == 0 then error("the same each time") end
        return c_do_syscall(num, ...) + #t - 3
      end`;
    const sizes = await resident({ getppid: body }, 6);
    assert.equal(sizes.length, 6);
    const growth = (sizes[5] as number) - (sizes[2] as number);
    assert.ok(growth < 12 << 20, `${growth} bytes more after 150,000 calls: ${sizes.map((s) => s >> 20)} MiB`);
  });
});
