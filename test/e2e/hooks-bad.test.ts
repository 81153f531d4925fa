/** Rules that do what no rule should: the guest bears the consequences, lunagate does not crash, hang or leak. */

import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { compile, emulated, type Outcome, type RunOptions, work } from './harness.ts';

const directory = join(work, 'hooks-bad');
let guest = '';
let deep = '';
let serial = 0;
before(() => {
  mkdirSync(directory, { recursive: true });
  emulated(['--version']);
  guest = compile('hooked.c');
  deep = compile('deep.c', ['-fomit-frame-pointer']);
});
after(() => rmSync(directory, { recursive: true, force: true }));
function under(scripts: Readonly<Record<string, string | Buffer>>, command: readonly string[], o: RunOptions = {}): Outcome {
  const path = join(directory, `rules-${++serial}`);
  mkdirSync(path);
  for (const [name, text] of Object.entries(scripts)) writeFileSync(join(path, name.includes('.') ? name : `${name}.lua`), text);
  return emulated(command, { cwd: directory, timeout: 60_000, ...o, options: ['--quiet', '--rules', path, ...(o.options ?? [])] });
}
/** No trace of the engine's own falling over. */
const sound = (r: Outcome): void => assert.doesNotMatch(r.stderr, /node:internal|at .*\.ts:|lunagate\.mjs:\d|Fatal/);

describe('hooks that lie', { concurrency: 2 }, () => {
  test('mmap gives an address that is not mapped: the guest dies of it, by SIGSEGV or its own word', () => {
    for (const address of ['0x7000000', '-1', '1 << 40', 'math.mininteger', '0']) {
      const r = under({ mmap: `function do_syscall() return ${address} end` }, [deep]);
      sound(r);
      assert.ok(r.signal === 'SIGSEGV' || (r.status !== 0 && r.status !== null), `${address}: ${r.status} ${r.signal} ${r.stderr}`);
      assert.equal(r.stdout.toString(), '');
    }
  });
  test('munmap and mprotect that only pretend', () => {
    const nothing = 'function do_syscall() return 0 end';
    const r = under({ munmap: nothing, mprotect: nothing }, ['python3', '-S', '-c', 'print(sum(range(1000)))']);
    sound(r);
    assert.equal(r.stdout.toString(), '499500\n', r.stderr);
  });
  test('exit_group that does not exit: the C library ends the program by force', () => {
    const r = under({ exit_group: 'function do_syscall() return 0 end', exit: 'function do_syscall() return 0 end' }, [deep]);
    sound(r);
    assert.equal(r.stdout.toString(), 'done\n');
    assert.equal(r.signal, 'SIGSEGV', 'hlt in user mode');
  });
  test('rt_sigreturn that is skipped: the guest goes on after the call, where nothing is', () => {
    const r = under({ rt_sigreturn: 'function do_syscall() return 0 end' }, [deep, 'signal']);
    sound(r);
    assert.ok(r.signal !== null || r.status !== null);
  });
  test('rt_sigreturn, exit_group and execve that are forwarded behave as unhooked', () => {
    const forward = 'function do_syscall(num, ...) return c_do_syscall(num, ...) end';
    assert.equal(under({ rt_sigreturn: forward, exit_group: forward }, [deep, 'signal']).status, 0);
    const r = under({ execve: forward }, ['bash', '-c', 'exec /bin/echo fine']);
    assert.equal(r.stdout.toString(), 'fine\n', r.stderr);
  });
  test('read that claims more than there was room for', () => {
    const r = under({ read: 'function do_syscall(n, fd, ...) local r = c_do_syscall(n, fd, ...) return fd == 0 and 1 << 40 or r end' }, [guest, 'ask'], { input: '\n', timeout: 20_000 });
    sound(r);
  });
});

describe('hooks that overdo it', { concurrency: 2 }, () => {
  test('a string of 32 MiB as an argument', () => {
    const r = under({ getpid: `function do_syscall(num) local big = string.rep('x', 32 << 20)
      c_log(c_do_syscall(c_syscall_number 'faccessat', linux.AT_FDCWD, big, 0)) return c_do_syscall(num) end` }, [deep]);
    sound(r);
    assert.equal(r.stderr, '[Lua Log] -36\n');
    assert.equal(r.stdout.toString(), 'done\n');
  });
  test('writing to unmapped, read-only and executable memory', () => {
    const r = under({ getpid: `function do_syscall(num, ...)
      c_log(tostring(c_write_bytes(16, 'x')) .. tostring(c_write_u64(1 << 45, 1)) .. tostring(c_write_u32(-8, 1)))
      local v, e = c_write_bytes(ctx.pc, c_read_bytes(ctx.pc, 1)) c_log(tostring(v) .. ' ' .. tostring(e))
      return c_do_syscall(num, ...) end` }, [deep]);
    sound(r);
    assert.equal(r.stderr, '[Lua Log] nilnilnil\n[Lua Log] nil -14\n');
    assert.equal(r.stdout.toString(), 'done\n');
  });
  test('loops, allocates, recurses, throws in a coroutine without end: each time the call is made once', () => {
    const small = 'instruction_limit = 1_000_000\nmemory_limit = "8M"';
    for (const body of ['while true do end', 'local t = {} while true do t[#t + 1] = {} end', 'local function f() return 1 + f() end f()',
      'coroutine.wrap(function() error("x") end)()', 'string.rep("x", 1 << 40)', 'local s = "x" while true do s = s .. s end', 'pcall(function() while true do end end)']) {
      const r = under({ getpid: `function do_syscall(num, ...) ${body} end`, 'rules.toml': small }, [deep]);
      sound(r);
      assert.equal(r.stdout.toString(), 'done\n', body);
      assert.match(r.stderr, /^\[Lua Error\] /, body);
    }
  });
  test('os.exit ends the guest with that status; redefined libraries harm only their script', () => {
    assert.equal(under({ getpid: 'function do_syscall() os.exit(7) end' }, [deep]).status, 7);
    const r = under({ getpid: 'string = nil table = 5 errno = {} function do_syscall(n) return c_do_syscall(n) end',
      write: 'function do_syscall(n, fd, ...) c_log(string.format("%d", fd)) return c_do_syscall(n, fd, ...) end' }, [deep]);
    assert.equal(r.stderr, '[Lua Log] 1\n');
  });
  test('a script of 100 MB, binary garbage, a directory in its place', () => {
    const huge = under({ getpid: Buffer.alloc(100 << 20, '-- x\n') }, [deep]);
    assert.match(huge.stderr, /getpid\.lua: larger than 16 MiB/);
    assert.equal(huge.stdout.toString(), 'done\n');
    const garbage = under({ getpid: Buffer.from(Array.from({ length: 4096 }, (_, k) => (k * 97) & 255)) }, [deep]);
    assert.match(garbage.stderr, /\[Lua Error\] .*getpid\.lua/);
    assert.equal(garbage.stdout.toString(), 'done\n');
  });
});
