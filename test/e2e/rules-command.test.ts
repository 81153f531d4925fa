/** `lunagate rules check | new | test`, from outside. */

import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { emulated, type Outcome, work } from './harness.ts';

const directory = join(work, 'rules-command');
let serial = 0;
before(() => {
  mkdirSync(directory, { recursive: true });
  emulated(['--version']);
});
after(() => rmSync(directory, { recursive: true, force: true }));

function folder(files: Readonly<Record<string, string>>): string {
  const name = `r${++serial}`;
  mkdirSync(join(directory, name));
  for (const [file, text] of Object.entries(files)) writeFileSync(join(directory, name, file), text);
  return name;
}
const rules = (...args: string[]): Outcome => emulated(['rules', ...args], { cwd: directory });
const forward = 'function do_syscall(num, ...) return c_do_syscall(num, ...) end';

describe('check', () => {
  test('sound rules', () => {
    const r = rules('check', folder({ 'openat.lua': forward, 'entry.lua': 'function entry() end', 'helper.lua': 'return {}', 'openat_test.lua': 'test("x", function() end)' }));
    assert.equal(r.stdout.toString(), '4 scripts checked: 0 errors, 0 warnings\n', r.stderr);
    assert.equal(r.status, 0);
  });
  test('everything that is wrong, each with its file', () => {
    const d = folder({
      'read.lua': 'function do_syscall( end', 'write.lua': 'local x', 'opennat.lua': forward, 'open.lua': forward,
      'helper.lua': 'return {', 'finish.lua': forward,
    });
    const r = rules('check', d);
    const out = r.stdout.toString();
    assert.match(out, new RegExp(`^error: ${d}/read\\.lua:1: .*expected`, 'm'));
    assert.match(out, new RegExp(`^error: ${d}/write\\.lua: defines no global function do_syscall$`, 'm'));
    assert.match(out, new RegExp(`^error: ${d}/opennat\\.lua: there is no system call 'opennat', so this script never runs; did you mean openat\\.lua\\?$`, 'm'));
    assert.match(out, new RegExp(`^error: ${d}/helper\\.lua:1: `, 'm'));
    assert.match(out, new RegExp(`^error: ${d}/finish\\.lua: defines no global function finish$`, 'm'));
    assert.match(out, new RegExp(`^warning: ${d}/open\\.lua: programs of today call openat instead`, 'm'));
    assert.match(out, /^6 scripts checked: 5 errors, 1 warning$/m);
    assert.equal(r.status, 1);
  });
  test('scripts of the first form, which returned (action, value)', () => {
    const d = folder({ 'read.lua': 'function do_syscall(num) return 1, -13 end', 'write.lua': 'function do_syscall(num, ...) return c_do_syscall(num, ...), 0 end' });
    const r = rules('check', d);
    assert.equal(r.stdout.toString(), `warning: ${d}/read.lua: returns two values (action, value), as rules of the first form did; only the first counts: see docs/coming-from.md\n2 scripts checked: 0 errors, 1 warning\n`);
    assert.equal(r.status, 0);
  });
  test('rules.toml and the directory itself', () => {
    assert.match(rules('check', folder({ 'rules.toml': 'on_error = 3' })).stdout.toString(), /^error: r\d+\/rules\.toml:1: on_error: 3 is not one of/m);
    const r = rules('check', 'absent');
    assert.match(r.stdout.toString(), /^error: rules directory absent: no such file or directory/m);
    assert.equal(r.status, 1);
  });
});

describe('new', () => {
  test('a stub with the arguments’ names, which is a sound rule that changes nothing', () => {
    for (const name of ['openat', 'write', 'getpid', 'rename', 'mmap', 'pipe2', 'select', 'futex', 'socket', 'prctl']) {
      const r = rules('new', name);
      assert.equal(r.status, 0, r.stderr);
      const d = folder({ [`${name}.lua`]: r.stdout.toString() });
      assert.match(rules('check', d).stdout.toString(), /^1 script checked: 0 errors/m, name);
    }
    const stub = rules('new', 'openat').stdout.toString();
    assert.match(stub, /^function do_syscall\(num, dirfd, path, flags, mode, \.\.\.\)$/m);
    assert.match(stub, /local path_text = c_read_string\(path\)/);
    const d = folder({ 'openat.lua': stub });
    assert.equal(emulated(['cat', '/etc/hostname'], { cwd: directory, options: ['--quiet', '--rules', d] }).status, 0);
  });
  test('an unknown name', () => {
    const r = rules('new', 'opennat');
    assert.equal(r.status, 125);
    assert.match(r.stderr, /^lunagate: rules new opennat: there is no system call of this name; did you mean openat\?\n$/);
  });
});

describe('test', () => {
  const rule = `local n = 0
    function do_syscall(num, fd, buf, count)
      n = n + 1
      if fd == 9 then error('nine') end
      if n == 3 then return -errno.ENOSPC end
      c_log(c_read_bytes(buf, count))
      return c_do_syscall(num, fd, buf, count)
    end`;
  test('tests that pass, each with rules that start afresh', () => {
    const d = folder({
      'write.lua': rule,
      'write_test.lua': `
        test('third fails', function()
          fake.write = function(num, fd, buf, count) expect(c_read_bytes(buf, count), 'data') return count end
          expect(call('write', 1, 'data', 4), 4)
          expect(call('write', 1, memory('data'), 4), 4)
          expect(call('write', 1, 'data', 4), -28)
          expect(#calls, 2) expect(calls[1].name, 'write') expect(calls[2][3], 4)
          expect(logs[1], 'data') expect(#logs, 2)
        end)
        test('starts afresh', function() fake.write = 3 expect(call('write', 1, 'abc', 3), 3) expect(#calls, 1) end)
        test('an error is expected', function() expect_error(function() expect(call('write', 9, 'x', 1), 0) end) end)`,
    });
    const r = rules('test', d);
    assert.equal(
      r.stdout.toString(),
      ['third fails', 'starts afresh', 'an error is expected'].map((t) => `ok    ${d}/write_test.lua: ${t}\n`).join('') + '3 run, 0 failed\n',
      r.stderr,
    );
    assert.equal(r.status, 0);
  });
  test('tests that do not', () => {
    const d = folder({
      'write.lua': rule,
      'a_test.lua': `test('wrong', function() expect(call('write', 1, 'x', 1), 5, 'count') end)
        test('the rule fails', function() call('write', 9, 'x', 1) end)
        test('no such call', function() call('wrote') end)
        test('no error', function() expect_error(function() call('write', 1, 'x', 1) end) end)`,
      'b_test.lua': 'test("x", function() end',
    });
    const r = rules('test', d);
    const out = r.stdout.toString();
    assert.match(out, /FAIL {2}r\d+\/a_test\.lua: wrong\n {6}.*a_test\.lua:1: count: expected 5, got 0\n/);
    assert.match(out, /FAIL {2}.*: the rule fails\n {6}the rule failed/);
    assert.match(out, /FAIL {2}.*: no such call\n {6}.*there is no system call wrote/);
    assert.match(out, /FAIL {2}.*: no error\n {6}.*the rule was expected to fail/);
    assert.match(out, /FAIL {2}r\d+\/b_test\.lua\n {6}r\d+\/b_test\.lua:1: .*expected/);
    assert.match(out, /4 run, 5 failed\n$/);
    assert.equal(r.status, 1);
  });
  test('nothing to test, no such directory', () => {
    assert.match(rules('test', folder({})).stderr, /there is no \*_test\.lua in/);
    assert.equal(rules('test', 'absent').status, 125);
  });
});

describe('a program called rules', () => {
  test('is run as ./rules and behind --', () => {
    const here = join(directory, folder({ rules: '#!/bin/echo ran' }));
    chmodSync(join(here, 'rules'), 0o755);
    assert.equal(emulated(['./rules', 'x'], { cwd: here }).stdout.toString(), 'ran ./rules x\n');
    const r = emulated(['--', 'rules', 'x'], { cwd: here, env: { PATH: `${here}:/bin` } });
    assert.match(r.stdout.toString(), /^ran .*rules x\n$/, r.stderr);
    const usage = emulated(['rules'], { cwd: here });
    assert.equal(usage.status, 125);
    assert.match(usage.stderr, /^usage: lunagate rules check DIR/);
  });
});
