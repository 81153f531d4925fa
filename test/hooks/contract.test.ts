/** Section 1 of the hook contract, sentence by sentence, against a fake kernel. */

import assert from 'node:assert/strict';
import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { MAX_I64, MIN_I64 } from './values.ts';
import { Fixture } from './fixture.ts';

const forward = 'function do_syscall(num, ...) return c_do_syscall(num, ...) end';

test('the banner is two lines on stderr, the directory as given; quiet silences both', () => {
  using loud = new Fixture({}, { quiet: false });
  assert.equal(
    loud.stderr(),
    `Rules folder path: ${loud.directory}\nLua environment initialized. Scripts will be loaded on demand.\n`,
  );
  using quiet = new Fixture({ 'getpid.lua': forward });
  assert.equal(quiet.stderr(), '');
});

test('a call without a script runs untouched and never meets the engine', () => {
  using f = new Fixture({ 'getpid.lua': forward });
  assert.equal(f.call('getppid', 1, 2), 1110n);
  assert.equal(f.interceptors.feature(110), 0);
  assert.notEqual(f.interceptors.feature(39), 0);
  assert.deepEqual(f.originals, [{ nr: 110, args: [1n, 2n, 0n, 0n, 0n, 0n, 0n, 0n] }]);
});

test('a script owns its call: without c_do_syscall nothing runs', () => {
  using f = new Fixture({ 'getpid.lua': 'function do_syscall() return 99999 end' });
  assert.equal(f.call('getpid'), 99999n);
  assert.deepEqual(f.originals, []);
});

test('the top level runs once, on the first call', () => {
  using f = new Fixture({ 'getpid.lua': `c_log('loaded') local n = 0 function do_syscall() n = n + 1 return n end` });
  assert.equal(f.stderr(), '');
  assert.equal(f.call('getpid'), 1n);
  assert.equal(f.call('getpid'), 2n);
  assert.equal(f.call('getpid'), 3n);
  assert.equal(f.stderr(), '[Lua Log] loaded\n');
});

test('number and eight arguments arrive exact', () => {
  const args = [MAX_I64, MIN_I64, -1n, 0n, 1n << 53n, (1n << 53n) + 1n, 7n, 8n];
  using f = new Fixture({
    'write.lua': `function do_syscall(num, a, b, c, d, e, f, g, h, ...)
      assert(select('#', ...) == 0 and math.type(a) == 'integer')
      c_log(table.concat({num, a, b, c, d, e, f, g, h}, ' '))
      return c_do_syscall(num, a, b, c, d, e, f, g, h)
    end`,
  });
  f.call('write', ...args);
  assert.equal(f.stderr(), `[Lua Log] 1 ${args.join(' ')}\n`);
  assert.deepEqual(f.originals, [{ nr: 1, args }]);
});

test('results are exact 64-bit integers', () => {
  using f = new Fixture({ 'read.lua': 'function do_syscall(num, which) return c_do_syscall(num, which) end' });
  for (const value of [MAX_I64, MIN_I64, -4095n, -1n, 0n, (1n << 53n) + 1n]) {
    f.answer = () => value;
    assert.equal(f.call('read'), value);
  }
});

for (const [expression, result] of [
  ['7.0', 7n],
  ['-14.0', -14n],
  ['2^53', 1n << 53n],
  ['-2^63', MIN_I64],
  ['nil', 0n],
  ['', 0n],
  ['math.mininteger', MIN_I64],
] as const) {
  test(`a result of '${expression}' is ${result}`, () => {
    using f = new Fixture({ 'getpid.lua': `function do_syscall() return ${expression} end` });
    assert.equal(f.call('getpid'), result);
    assert.equal(f.stderr(), '');
    assert.deepEqual(f.originals, []);
  });
}

for (const expression of [
  '1.5',
  '0/0',
  '1/0',
  '2^63',
  '"5"',
  'true',
  'false',
  '{}',
  'print',
  'coroutine.create(print)',
  'io.stdout',
]) {
  test(`a result of '${expression}' is a script error: the original call's result is used`, () => {
    using f = new Fixture({ 'getpid.lua': `function do_syscall() return ${expression} end` });
    assert.equal(f.call('getpid', 5), 1039n);
    assert.deepEqual(f.originals, [{ nr: 39, args: [5n, 0n, 0n, 0n, 0n, 0n, 0n, 0n] }]);
    assert.match(f.stderr(), /^\[Lua Error\] .*getpid\.lua: do_syscall returned /);
    using g = new Fixture({ 'getpid.lua': `function do_syscall(n) c_do_syscall(n) return ${expression} end` });
    assert.equal(g.call('getpid', 5), 1039n);
    assert.equal(g.originals.length, 1);
  });
}

test('c_do_syscall: any number, any arguments, any number of times; missing and nil ones are 0', () => {
  using f = new Fixture({
    'getpid.lua': `function do_syscall(num)
      local a = c_do_syscall(110)
      local b = c_do_syscall(12345, 1, nil, 3)
      local c = c_do_syscall(-7, 1.0)
      local d = c_do_syscall(num, 1, 2, 3, 4, 5, 6, 7, 8, 9)
      return a + b + c + d
    end`,
  });
  assert.equal(f.call('getpid'), 1110n + 13345n + 993n + 1039n);
  assert.deepEqual(f.originals, [
    { nr: 110, args: [0n, 0n, 0n, 0n, 0n, 0n, 0n, 0n] },
    { nr: 12345, args: [1n, 0n, 3n, 0n, 0n, 0n, 0n, 0n] },
    { nr: -7, args: [1n, 0n, 0n, 0n, 0n, 0n, 0n, 0n] },
    { nr: 39, args: [1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n] },
  ]);
});

test('c_do_syscall never enters a hook, its own or another', () => {
  using f = new Fixture({
    'getpid.lua': 'function do_syscall(num) return c_do_syscall(num) + c_do_syscall(110) end',
    'getppid.lua': 'function do_syscall() error("entered") end',
  });
  assert.equal(f.call('getpid'), 1039n + 1110n);
  assert.equal(f.stderr(), '');
});

test('a wrong argument of c_do_syscall is a Lua error and no call is made', () => {
  for (const args of ['39, {}', '39, true', '39, 1.5', '{}', 'nil', '"getpid"', '']) {
    using f = new Fixture({
      'read.lua': `function do_syscall() assert(not pcall(c_do_syscall, ${args || 'false'})) return 3 end`,
    });
    assert.equal(f.call('read'), 3n, args);
    assert.deepEqual(f.originals, []);
  }
});

test('c_log takes whatever print takes', () => {
  using f = new Fixture({
    'getpid.lua': `function do_syscall()
      c_log('text') c_log(12) c_log(1.5) c_log(nil) c_log(true) c_log('a\\0b\\255') c_log('')
      c_log(setmetatable({}, {__tostring = function() return 'shown' end}))
    end`,
  });
  f.call('getpid');
  assert.equal(
    f.stderr(),
    ['text', '12', '1.5', 'nil', 'true', 'a\0b\xff', '', 'shown'].map((t) => `[Lua Log] ${t}\n`).join(''),
  );
});

test('c_log is one write(2) a line', () => {
  // A packet-mode pipe keeps the writes apart.
  using f = new Fixture(
    { 'getpid.lua': `function do_syscall() c_log('one') c_log(string.rep('x', 3000)) end` },
    { stdio: Fixture.packetPipe() },
  );
  f.call('getpid');
  assert.deepEqual(Fixture.packets(), ['[Lua Log] one\n', `[Lua Log] ${'x'.repeat(3000)}\n`]);
});

test('c_get_timestamp: seconds and nanoseconds of CLOCK_REALTIME', () => {
  using f = new Fixture({
    'getpid.lua': `function do_syscall() local s, ns = c_get_timestamp() assert(ns >= 0 and ns < 1000000000) return s * 1000 + ns // 1000000 end`,
  });
  const before = BigInt(Date.now());
  const now = f.call('getpid');
  assert.ok(now >= before && now <= BigInt(Date.now()), `${now}`);
});

const broken: Readonly<Record<string, { text: string; originals: number; report: RegExp }>> = {
  'syntax error': { text: 'function do_syscall( return 1 end', originals: 1, report: /getpid\.lua:1: .*expected near/ },
  'runtime error at the top level': {
    text: '\nlocal x = nil + 1',
    originals: 1,
    report:
      /getpid\.lua:2: attempt to perform arithmetic on a nil value\nstack traceback:\n[^]*getpid\.lua:2: in main chunk/,
  },
  'no do_syscall': { text: 'local x = 1', originals: 1, report: /getpid\.lua: defines no global function do_syscall/ },
  'do_syscall is not a function': {
    text: 'do_syscall = 7',
    originals: 1,
    report: /defines no global function do_syscall/,
  },
  'runtime error before the call': {
    text: 'local function inner() error("no") end\nfunction do_syscall(n)\n inner() return c_do_syscall(n) end',
    originals: 1,
    report:
      /getpid\.lua:1: no\nstack traceback:\n[^]*in upvalue 'inner'[^]*getpid\.lua:3: in function <[^]*the original call is made instead/,
  },
  'runtime error after the call': {
    text: 'function do_syscall(n) local r = c_do_syscall(n)\n return r.x end',
    originals: 1,
    report:
      /getpid\.lua:2: attempt to index a number value \(local 'r'\)[^]*the original call had been made; its result is used/,
  },
  'error after another call': {
    text: 'function do_syscall(n) c_do_syscall(110) error("x") end',
    originals: 2,
    report: /:1: x\n/,
  },
  'error after the call was made twice': {
    text: 'function do_syscall(n) c_do_syscall(n) c_do_syscall(n) error("x") end',
    originals: 2,
    report: /:1: x\n/,
  },
  'error with a table': {
    text: 'function do_syscall() error({}) end',
    originals: 1,
    report: /error object is a table value/,
  },
  'error with nil': { text: 'function do_syscall() error() end', originals: 1, report: /error object is a nil value/ },
  'error in a coroutine': {
    text: 'function do_syscall(n) coroutine.wrap(function() c_do_syscall(n) error("deep") end)() end',
    originals: 1,
    report: /deep/,
  },
  'yield outside a coroutine': { text: 'function do_syscall() coroutine.yield() end', originals: 1, report: /yield/ },
};
for (const [name, { text, originals, report }] of Object.entries(broken)) {
  test(`${name}: the guest goes on, no call is made twice, one report`, () => {
    using f = new Fixture({ 'getpid.lua': text });
    for (let k = 1; k <= 3; k++) {
      assert.equal(f.call('getpid'), 1039n);
      assert.equal(f.originals.length, originals * k);
    }
    assert.match(f.stderr(), report);
    assert.equal(f.stderr().match(/\[Lua Error\]/g)?.length, 1, f.stderr());
  });
}

test('distinct errors are each reported', () => {
  using f = new Fixture({ 'getpid.lua': 'local n = 0 function do_syscall() n = n + 1 error("number " .. n % 3) end' });
  for (let k = 0; k < 9; k++) f.call('getpid');
  assert.equal(f.stderr().match(/\[Lua Error\]/g)?.length, 3);
});

test('the two rules of the original quick test', () => {
  using f = new Fixture({
    'getpid.lua': `function do_syscall(num, ...)
    local real_pid = c_do_syscall(num, ...)
    c_log(string.format("Real PID: %d, returning: 99999", real_pid))
    return 99999
end`,
    'write.lua': `function do_syscall(num, fd, buf, count, ...)
    c_log(string.format("Before write: fd=%d, count=%d", fd, count))
    local ret = c_do_syscall(num, fd, buf, count, ...)
    c_log(string.format("After write: ret=%d", ret))
    return ret
end`,
  });
  f.answer = ({ nr, args }) => (nr === 39 ? 12345n : (args[2] as bigint));
  assert.equal(f.call('getpid'), 99999n);
  assert.equal(f.call('write', 1, 0x1000, 6), 6n);
  assert.equal(
    f.stderr(),
    '[Lua Log] Real PID: 12345, returning: 99999\n[Lua Log] Before write: fd=1, count=6\n[Lua Log] After write: ret=6\n',
  );
});

test('a script for a system call that does not exist is pointed out, with the near name', () => {
  using f = new Fixture({
    'opennat.lua': forward,
    'helper.lua': 'return {}',
    'xyzzyplugh.lua': forward,
    'entry.lua': 'function entry() end',
  });
  assert.match(
    f.stderr(),
    /^\[Lua Warning\] .*opennat\.lua: there is no system call 'opennat'.*did you mean openat\.lua\?$/m,
  );
  assert.match(f.stderr(), /xyzzyplugh\.lua: there is no system call 'xyzzyplugh', so this script never runs$/m);
  assert.equal(f.stderr().trim().split('\n').length, 2);
});

test('a rules directory, or a script, that may not be read', () => {
  using f = new Fixture({ 'getpid.lua': 'function do_syscall() return 1 end' });
  const { directory } = f;
  // For the time of the test no longer root, whom nothing is forbidden.
  const root = process.geteuid?.() === 0;
  const as = (user: number): void => void (root && process.seteuid?.(user));
  const closed = join(directory, 'closed');
  mkdirSync(closed);
  chmodSync(closed, 0);
  chmodSync(f.path('getpid.lua'), 0);
  chmodSync(directory, 0o755);
  as(65534);
  try {
    assert.throws(
      () => new Fixture({}, { directories: [closed] }),
      (error: Error) => error.message.includes(closed) && error.message.includes('permission denied'),
    );
    // What a script says is read when it is noticed.
    using g = new Fixture({}, { directories: [directory] });
    assert.equal(g.call('getpid'), 1039n);
    assert.match(g.stderr(), /getpid\.lua: permission denied/);
  } finally {
    as(0);
    chmodSync(closed, 0o755);
  }
});

test('a rules directory that cannot be used is a clear error', () => {
  for (const [directory, why] of [
    ['/nonexistent/rules', 'no such file or directory'],
    ['/dev/null', 'not a directory'],
  ] as const) {
    assert.throws(
      () => new Fixture({}, { directories: [directory] }),
      (error: Error) => error.message.includes(directory) && error.message.includes(why),
    );
  }
});
