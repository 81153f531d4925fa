/** State and reload: an edit, a new script or a removed one takes effect from the next call on. */

import assert from 'node:assert/strict';
import {
  appendFileSync,
  closeSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { DATA, Fixture } from './fixture.ts';

const returns = (value: number | string) => `function do_syscall() return ${value} end`;

/** The helper thread's word of a change arrives on its own time: wait for it, as an idle guest would. */
function settle(f: Fixture): void {
  const deadline = Date.now() + 2000;
  while (f.engine.changeCell[0] === f.engine.seenCell[0] && Date.now() < deadline)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
}

test('an edit takes effect on the next call of a hooked system call', () => {
  using f = new Fixture({ 'getpid.lua': returns(1) });
  for (let k = 1; k < 20; k++) {
    assert.equal(f.call('getpid'), BigInt(k));
    f.pause();
    f.write('getpid.lua', returns(k + 1));
  }
  assert.equal(f.stderr(), '');
});

test('an edit by renaming over, as editors do', () => {
  using f = new Fixture({ 'getpid.lua': returns(1) });
  assert.equal(f.call('getpid'), 1n);
  f.pause();
  f.write('getpid.lua~', returns(2));
  renameSync(f.path('getpid.lua~'), f.path('getpid.lua'));
  assert.equal(f.call('getpid'), 2n);
});

test('a new script', () => {
  using f = new Fixture({});
  assert.equal(f.call('getpid'), 1039n);
  f.write('getpid.lua', returns(5));
  settle(f);
  assert.equal(f.call('getpid'), 5n);
});

test('a removed script', () => {
  using f = new Fixture({ 'getpid.lua': returns(5) });
  assert.equal(f.call('getpid'), 5n);
  f.pause();
  unlinkSync(f.path('getpid.lua'));
  assert.equal(f.call('getpid'), 1039n);
  assert.equal(f.interceptors.feature(39), 0);
});

test('a removed and restored script starts afresh', () => {
  using f = new Fixture({ 'getpid.lua': 'local n = 0 function do_syscall() n = n + 1 return n end' });
  assert.equal(f.call('getpid'), 1n);
  assert.equal(f.call('getpid'), 2n);
  f.pause();
  renameSync(f.path('getpid.lua'), f.path('away'));
  assert.equal(f.call('getpid'), 1039n);
  renameSync(f.path('away'), f.path('getpid.lua'));
  settle(f);
  assert.equal(f.call('getpid'), 1n);
});

test('touching a file, or writing the same text again, keeps the state', () => {
  const text = 'local n = 0 function do_syscall() n = n + 1 return n end';
  using f = new Fixture({ 'getpid.lua': text });
  assert.equal(f.call('getpid'), 1n);
  f.pause();
  utimesSync(f.path('getpid.lua'), 1, 1);
  assert.equal(f.call('getpid'), 2n);
  f.pause();
  f.write('getpid.lua', text);
  assert.equal(f.call('getpid'), 3n);
});

test('a broken edit leaves the loaded version in charge, reported once; the next good one replaces it', () => {
  using f = new Fixture({ 'getpid.lua': 'local n = 0 function do_syscall() n = n + 1 return n end' });
  assert.equal(f.call('getpid'), 1n);
  f.pause();
  f.write('getpid.lua', 'function do_syscall( return 1 end');
  assert.equal(f.call('getpid'), 2n);
  assert.equal(f.call('getpid'), 3n);
  assert.match(f.stderr(), /getpid\.lua:1: [^]*the version loaded before stays in use/);
  assert.equal(f.stderr().match(/Lua Error/g)?.length, 1);
  f.pause();
  f.write('getpid.lua', 'error("at load") function do_syscall() end');
  assert.equal(f.call('getpid'), 4n);
  f.pause();
  f.write('getpid.lua', returns(77));
  assert.equal(f.call('getpid'), 77n);
  assert.equal(f.stderr().match(/Lua Error/g)?.length, 2);
});

test('a file still being written is not called broken; the loaded version goes on until it is whole', () => {
  using f = new Fixture({ 'getpid.lua': returns(1) });
  assert.equal(f.call('getpid'), 1n);
  f.pause();
  const fd = openSync(f.path('getpid.lua'), 'w');
  assert.equal(f.call('getpid'), 1n);
  writeSync(fd, 'function do_syscall() ret');
  f.pause();
  assert.equal(f.call('getpid'), 1n);
  writeSync(fd, 'urn 2 end');
  closeSync(fd);
  f.pause();
  assert.equal(f.call('getpid'), 2n);
  assert.equal(f.stderr(), '');
});

test('a new file still being written leaves the call untouched', () => {
  using f = new Fixture({});
  const fd = openSync(f.path('getpid.lua'), 'w');
  settle(f);
  assert.equal(f.call('getpid'), 1039n);
  writeSync(fd, returns(3));
  closeSync(fd);
  f.pause();
  assert.equal(f.call('getpid'), 3n);
  assert.equal(f.stderr(), '');
});

test('a guest that writes its own rules sees them from its very next call', () => {
  using f = new Fixture({ 'getpid.lua': returns(1) });
  const memory = f.machine.guestMemory;
  const O_WRONLY_CREAT = 0o101;
  f.answer = ({ nr }) => {
    if (nr === 257) writeFileSync(f.path('getppid.lua'), returns(2)); // open, write and close in one
    if (nr === 82) renameSync(f.path('getppid.tmp'), f.path('getppid.lua'));
    return 0n;
  };
  memory.write(DATA, Buffer.from(`${f.path('getppid.lua')}\0`));
  assert.equal(f.call('getppid'), 0n);
  f.call('openat', -100, DATA, O_WRONLY_CREAT, 0o644);
  assert.equal(f.call('getppid'), 2n);
  writeFileSync(f.path('getppid.tmp'), returns(3));
  f.call('rename', 0, DATA);
  assert.equal(f.call('getppid'), 3n);
});

test('each script has its own globals; the table shared survives reloads', () => {
  using f = new Fixture({
    'getpid.lua': 'x = (x or 0) + 1 function do_syscall() shared.n = (shared.n or 0) + 1 return x end',
    'getppid.lua': 'x = (x or 0) + 10 function do_syscall() return x * 100 + (shared.n or 0) end',
  });
  assert.equal(f.call('getpid'), 1n);
  assert.equal(f.call('getppid'), 1001n);
  f.pause();
  f.write('getpid.lua', 'function do_syscall() shared.n = shared.n + 1 return shared.n end');
  assert.equal(f.call('getpid'), 2n);
  assert.equal(f.call('getppid'), 1002n);
});

test("a global assigned through _G or load is the script's own too", () => {
  using f = new Fixture({
    'getpid.lua': 'function _G.do_syscall() return _G.y or 1 end _G.y = 5',
    'getppid.lua': 'function do_syscall() return y or 9 end',
  });
  assert.equal(f.call('getpid'), 5n);
  assert.equal(f.call('getppid'), 9n);
});

test('do_syscall may be redefined by the script itself', () => {
  using f = new Fixture({ 'getpid.lua': 'function do_syscall() do_syscall = function() return 2 end return 1 end' });
  assert.equal(f.call('getpid'), 1n);
  assert.equal(f.call('getpid'), 2n);
});

test('require finds modules in the rules directory, shared by all scripts; an edit of a module counts', () => {
  using f = new Fixture({ 'counter.lua': 'local n = 0 return { next = function() n = n + 1 return n end }' });
  mkdirSync(f.path('lib'));
  writeFileSync(f.path('lib/deep.lua'), 'return { value = ... }');
  f.write(
    'getpid.lua',
    `local c = require 'counter' local d = require 'lib.deep' assert(d.value == 'lib.deep') function do_syscall() return c.next() end`,
  );
  f.write('getppid.lua', `local c = require 'counter' function do_syscall() return c.next() end`);
  settle(f);
  assert.equal(f.call('getpid'), 1n);
  assert.equal(f.call('getppid'), 2n);
  f.pause();
  f.write('counter.lua', 'return { next = function() return 70 end }');
  assert.equal(f.call('getpid'), 70n);
  assert.equal(f.call('getppid'), 70n);
});

test('a module that is missing, then appears', () => {
  using f = new Fixture({ 'getpid.lua': `local m = require 'late' function do_syscall() return m end` });
  assert.equal(f.call('getpid'), 1039n);
  assert.match(f.stderr(), /module 'late' not found:[^]*no file '.*late\.lua'/);
  f.write('late.lua', 'return 6');
  settle(f);
  assert.equal(f.call('getpid'), 6n);
});

test('a module with an error names its file', () => {
  using f = new Fixture({ 'getpid.lua': `require 'bad' function do_syscall() end`, 'bad.lua': '\nx = = 1' });
  f.call('getpid');
  assert.match(f.stderr(), /error loading module 'bad' from file '.*bad\.lua':\n\t.*bad\.lua:2:/);
});

test('require does not leave the rules directory by a name', () => {
  using f = new Fixture({ 'getpid.lua': `function do_syscall() return pcall(require, '../../x') and 1 or 2 end` });
  assert.equal(f.call('getpid'), 2n);
});

test('DIR/syscall/NAME.lua is found; DIR/NAME.lua comes before it', () => {
  using f = new Fixture({});
  mkdirSync(f.path('syscall'));
  settle(f);
  f.call('getppid');
  writeFileSync(f.path('syscall/getpid.lua'), returns(1));
  settle(f);
  assert.equal(f.call('getpid'), 1n);
  f.write('getpid.lua', returns(2));
  f.pause();
  assert.equal(f.call('getpid'), 2n);
});

test('of several directories the earlier wins', () => {
  using other = new Fixture({ 'getpid.lua': returns(1), 'getppid.lua': returns(2) });
  using first = new Fixture({ 'getpid.lua': returns(3) });
  using f = new Fixture({}, { directories: [first.directory, other.directory] });
  assert.equal(f.call('getpid'), 3n);
  assert.equal(f.call('getppid'), 2n);
});

test('a script behind a symbolic link: an edit of its target counts', () => {
  using target = new Fixture({ 'one.txt': returns(1) });
  using f = new Fixture({});
  symlinkSync(target.path('one.txt'), f.path('getpid.lua'));
  settle(f);
  assert.equal(f.call('getpid'), 1n);
  f.pause();
  target.write('one.txt', returns(2));
  assert.equal(f.call('getpid'), 2n);
});

test('the directory vanishes and comes back', () => {
  using f = new Fixture({ 'getpid.lua': returns(1) });
  using f2 = new Fixture(
    {},
    {
      directories: [join(f.directory, 'rules')].map(
        (d) => (mkdirSync(d), writeFileSync(join(d, 'getpid.lua'), returns(4)), d),
      ),
    },
  );
  const rules = join(f.directory, 'rules');
  assert.equal(f2.call('getpid'), 4n);
  f2.pause();
  rmSync(rules, { recursive: true });
  assert.equal(f2.call('getpid'), 1039n);
  mkdirSync(rules);
  writeFileSync(join(rules, 'getpid.lua'), returns(8));
  settle(f2);
  assert.equal(f2.call('getpid'), 8n);
});

test('a log file beside the scripts is no change', () => {
  using f = new Fixture({ 'getpid.lua': 'local n = 0 function do_syscall() n = n + 1 return n end' });
  f.call('getpid');
  for (let k = 2; k < 6; k++) {
    appendFileSync(f.path('calls.log'), 'line\n');
    f.pause();
    assert.equal(f.call('getpid'), BigInt(k));
  }
});

test('things that are no regular file are refused with their reason', () => {
  using f = new Fixture({});
  mkdirSync(f.path('getpid.lua'));
  symlinkSync('/dev/zero', f.path('read.lua'));
  settle(f);
  assert.equal(f.call('getpid'), 1039n);
  assert.equal(f.call('read'), 1000n);
  assert.match(f.stderr(), /getpid\.lua: is a directory/);
  assert.match(f.stderr(), /read\.lua: not a regular file/);
});

test('debug.getinfo names the file', () => {
  using f = new Fixture({ 'getpid.lua': `function do_syscall() c_log(debug.getinfo(1, 'S').source) end` });
  f.call('getpid');
  assert.equal(f.stderr(), `[Lua Log] @${f.path('getpid.lua')}\n`);
});
