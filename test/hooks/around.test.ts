/** entry.lua and finish.lua, around every call. */

import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { describe, test } from 'node:test';
import { Fixture } from './fixture.ts';

const forward = 'function do_syscall(num, ...) return c_do_syscall(num, ...) end';

describe('entry and finish', () => {
  test('see every call, in order, with the arguments', () => {
    using f = new Fixture({
      'entry.lua': `function entry(name, num, a, ...) c_log('entry ' .. table.concat({name, num, a, select('#', ...)}, ' ')) end`,
      'finish.lua': `function finish(name, num, ret, handled, a) c_log('finish ' .. name .. ' ' .. num .. ' ' .. ret .. ' ' .. tostring(handled) .. ' ' .. a) end`,
      'getpid.lua': `function do_syscall() c_log('script') return 5 end`,
    });
    assert.equal(f.call('getpid', 9), 5n);
    assert.equal(f.call('read', 3), 1000n);
    assert.equal(
      f.stderr(),
      ['entry getpid 39 9 7', 'script', 'finish getpid 39 5 true 9', 'entry read 0 3 7', 'finish read 0 1000 false 3']
        .map((l) => `[Lua Log] ${l}\n`).join(''),
    );
  });
  test('entry that says handled decides; neither script nor original runs', () => {
    using f = new Fixture({
      'entry.lua': 'function entry(name) if name == "getpid" then return true, 77 end if name == "read" then return true end end',
      'finish.lua': 'function finish(name, num, ret, handled) c_log(name .. ret .. tostring(handled)) return 1 end',
      'getpid.lua': 'function do_syscall() error("never") end',
    });
    assert.deepEqual([f.call('getpid'), f.call('read'), f.call('write')], [77n, 0n, 1001n]);
    assert.deepEqual(f.originals.map((c) => c.nr), [1]);
    assert.equal(f.stderr(), '[Lua Log] getpid77true\n[Lua Log] read0true\n[Lua Log] write1001false\n');
  });
  test('an error in entry or finish is like any other; no call is made twice', () => {
    const broken: Record<string, string>[] = [
      { 'entry.lua': 'function entry() error("e") end' },
      { 'entry.lua': 'function entry(name, num, ...) c_do_syscall(num, ...) error("e") end' },
      { 'entry.lua': 'function entry() return true, {} end' },
      { 'entry.lua': 'local x' },
      { 'finish.lua': 'function finish() error("e") end' },
    ];
    for (const files of broken) {
      using f = new Fixture({ ...files, 'getppid.lua': forward });
      assert.equal(f.call('getpid'), 1039n);
      assert.equal(f.call('getppid'), 1110n);
      assert.deepEqual(f.originals.map((c) => c.nr), [39, 110]);
      assert.equal(f.stderr().match(/\[Lua Error\]/g)?.length, 1, f.stderr());
    }
  });
  test('entry under deny fails closed', () => {
    using f = new Fixture({ 'entry.lua': 'error("e")', 'rules.toml': 'on_error = "deny"' });
    assert.equal(f.call('getpid'), -1n);
    assert.deepEqual(f.originals, []);
  });
  test('they come and go with their files', () => {
    using f = new Fixture({});
    assert.equal(f.interceptors.feature(0), 0);
    f.write('entry.lua', 'function entry() return true, 5 end');
    const end = Date.now() + 2000;
    while (f.engine.changeCell[0] === f.engine.seenCell[0] && Date.now() < end)
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    assert.equal(f.call('read'), 5n);
    rmSync(f.path('entry.lua'));
    f.pause();
    assert.equal(f.call('read'), 1000n);
    assert.equal(f.interceptors.feature(0), 0);
  });
});
