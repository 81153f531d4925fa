/** Going over to the optimised interpreter in mid-run: only where V8 was started without inlining. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { Fixture } from './fixture.ts';

const FLAG = '--no-wasm-inlining';

if (!process.execArgv.includes(FLAG)) {
  test('with the flag', () => {
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const child = spawnSync(process.execPath, [FLAG, import.meta.filename], { env, encoding: 'utf8' });
    assert.equal(child.status, 0, child.stdout + child.stderr);
    assert.match(child.stdout, /pass 1\n/);
  });
} else {
  test('after many calls the optimised interpreter carries on with the same state', () => {
    using f = new Fixture({
      'getpid.lua': `local n = 0 local co = coroutine.wrap(function() while true do n = n + 1 coroutine.yield(n) end end)
        function do_syscall(num, a, ...) local s = string.format('%d', co()) assert(pcall(error) == false) return tonumber(s) + c_do_syscall(num, a, ...) end`,
    });
    f.answer = ({ args }) => args[0] as bigint;
    for (let k = 1; k <= 101_000; k++) assert.equal(f.call('getpid', k), BigInt(2 * k));
    assert.equal(f.stderr(), '');
    writeFileSync(f.path('getpid.lua'), 'function do_syscall() error("still caught") end');
    f.pause();
    f.answer = () => 3n;
    assert.equal(f.call('getpid'), 3n);
    assert.match(f.stderr(), /still caught/);
  });
}
