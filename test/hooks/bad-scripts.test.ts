/** Scripts that loop, hoard, recurse, or are no scripts at all: the guest goes on, and it is said what happened. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Fixture } from './fixture.ts';

/** A hook that must fail: three calls, each with the original's result, made once. */
function fails(
  text: string | Uint8Array,
  report: RegExp,
  options: ConstructorParameters<typeof Fixture>[1] = {},
): void {
  using f = new Fixture(
    { 'getpid.lua': text, 'getppid.lua': 'local n = 0 function do_syscall() n = n + 1 return n end' },
    options,
  );
  assert.equal(f.call('getppid'), 1n);
  for (let k = 1; k <= 3; k++) {
    assert.equal(f.call('getpid'), 1039n);
    assert.equal(f.originals.length, k);
  }
  assert.match(f.stderr(), report);
  // Other scripts are none the worse for it, state included.
  assert.equal(f.call('getppid'), 2n);
}

const quick = { instructionLimit: 3_000_000 };

test('a script that loops for ever is stopped, with its place', () => {
  fails(
    'function do_syscall()\n while true do end\nend',
    /getpid\.lua:2: more than 3,000,000 instructions in one hook call\nstack traceback:\n[^]*getpid\.lua:2: in function/,
    quick,
  );
});

test('a loop around pcall is stopped too', () => {
  fails(
    'function do_syscall() while true do pcall(function() while true do end end) end end',
    /more than 3,000,000 instructions/,
    quick,
  );
});

test('a loop in a coroutine, in a sort, in a finalizer, at the top level', () => {
  fails('function do_syscall() coroutine.wrap(function() while true do end end)() end', /more than/, quick);
  fails('function do_syscall() table.sort({3, 2, 1}, function() while true do end end) end', /more than/, quick);
  fails('while true do end', /getpid\.lua:1: more than/, quick);
});

test('a finalizer that loops costs the Lua state, not the guest', () => {
  using f = new Fixture(
    {
      'getpid.lua': `function do_syscall() setmetatable({}, { __gc = function() while true do end end }) collectgarbage() return 1 end`,
    },
    quick,
  );
  assert.equal(f.call('getpid'), 1039n);
  assert.equal(f.call('getpid'), 1039n);
  assert.match(f.stderr(), /more than 3,000,000/);
});

test('the budget is per call: many short calls are none the worse', () => {
  using f = new Fixture({ 'getpid.lua': 'function do_syscall() for k = 1, 1000000 do end return 1 end' }, quick);
  for (let k = 0; k < 10; k++) assert.equal(f.call('getpid'), 1n);
});

test('a script that hoards memory meets the cap', () => {
  fails(
    'function do_syscall() local t = {} while true do t[#t + 1] = string.rep("x", 1000000) .. #t end end',
    /not enough memory/,
    { memoryLimit: 32 << 20 },
  );
  fails('function do_syscall() return #string.rep("x", 1 << 40) end', /not enough memory|too large/, {
    memoryLimit: 32 << 20,
  });
  fails('local t = {} for k = 1, 1e9 do t[k] = k end', /not enough memory/, { memoryLimit: 32 << 20 });
});

test('what a script hoarded is free again afterwards', () => {
  using f = new Fixture(
    {
      'getpid.lua':
        'function do_syscall() local t = {} for k = 1, 20 do t[k] = string.rep("x", 1000000) .. k end return #t end',
    },
    { memoryLimit: 100 << 20 },
  );
  for (let k = 0; k < 30; k++) assert.equal(f.call('getpid'), 20n, f.stderr());
});

test('recursion without end', () => {
  fails('local function f() return 1 + f() end function do_syscall() return f() end', /stack overflow/);
  fails(
    'local function f() return (pcall(f)) end local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k + 1] end function do_syscall() return t[1] end',
    /stack overflow|C stack overflow/,
  );
  fails('function do_syscall() local s = string.rep("(", 10000) return #s:gsub(s, "") end', /./);
  fails('function do_syscall() local f = load(string.rep("(", 100000)) return f() end', /./);
  fails('function do_syscall() local function g(s) return (s:gsub(".", g)) end return g("x") end', /stack overflow/);
});

test('throwing in a coroutine, a finalizer, a message handler', () => {
  fails(
    'function do_syscall() local co = coroutine.create(function() error({}) end) assert(coroutine.resume(co)) end',
    /./,
  );
  fails('function do_syscall() error(setmetatable({}, { __tostring = function() error("inner") end })) end', /./);
  fails('function do_syscall() error(setmetatable({}, { __tostring = function() return {} end })) end', /./);
});

test('scripts that take the libraries apart', () => {
  fails('string = nil table = nil _G = nil function do_syscall() return x() end', /attempt to call a nil value/);
  fails(
    'for k in pairs(string) do string[k] = nil end function do_syscall() return ("x"):rep(3) end',
    /attempt to call a nil value/,
  );
  using f = new Fixture({
    'getpid.lua':
      'local g = load("return _G")() for k in pairs(g) do g[k] = nil end function do_syscall() return 4 end',
    'getppid.lua': 'function do_syscall() return 5 end',
  });
  assert.equal(f.call('getpid'), 4n);
  assert.equal(f.call('getppid'), 5n);
  assert.equal(f.stderr(), '');
});

test('os.exit ends the guest by exit_group, whatever pcall says', () => {
  using f = new Fixture({ 'getpid.lua': 'function do_syscall() pcall(os.exit, 300) return 1 end' });
  const gone = { gone: true };
  f.answer = ({ nr, args }) => {
    assert.deepEqual([nr, args[0]], [231, 44n]);
    throw gone;
  };
  assert.throws(
    () => f.call('getpid'),
    (e) => e === gone,
  );
});

test("an error of the engine's own passes through as it is", () => {
  using f = new Fixture({ 'getpid.lua': 'function do_syscall(n) return c_do_syscall(n) end' });
  const bug = new TypeError('engine');
  f.answer = () => {
    throw bug;
  };
  assert.throws(
    () => f.call('getpid'),
    (e) => e === bug,
  );
  f.answer = () => 3n;
  assert.equal(f.call('getpid'), 3n);
  assert.equal(f.stderr(), '');
});

test('a script of many megabytes is refused', () => {
  fails(Buffer.alloc((16 << 20) + 1, '-'), /getpid\.lua: larger than 16 MiB/);
});

test('bytes that are no Lua', () => {
  fails(Buffer.from([0x1b, 0x4c, 0x75, 0x61]), /./);
  fails(Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0]), /./);
  fails(Buffer.from('\ufeffreturn', 'utf16le'), /./);
  fails('', /defines no global function/);
});

const fragments = [
  'function do_syscall(',
  'num, ...)',
  ' return ',
  'c_do_syscall(num, ...)',
  ' end ',
  'local x = ',
  '{',
  '}',
  '"',
  "'",
  '[[',
  ']]',
  '--',
  '\n',
  '0x',
  '1e999',
  'nil',
  'goto a ',
  '::a::',
  'for k = 1, 10 do ',
  'while true do ',
  'repeat ',
  'until false ',
  'error(',
  ')',
  'pcall(',
  'coroutine.wrap(',
  'string.rep("x", 1 << 30)',
  'setmetatable({}, {__gc = ',
  'c_read_string(',
  'c_write_u64(',
  'c_scratch(',
  'load(',
  'require "',
  '_ENV = nil ',
  'collectgarbage()',
  '\0',
  '\xff',
  '#!x\n',
  '...',
  '//',
  '~',
  '<close> ',
];

test('random and truncated scripts: the loader neither crashes nor hangs, the guest gets a result', () => {
  const whole = Buffer.from(`local total = 0
function do_syscall(num, fd, buf, count, ...)
  local ret <const> = c_do_syscall(num, fd, buf, count, ...)
  for k, v in pairs({ a = 1, [2] = 'b' }) do total = total + #tostring(v) end
  goto done ::done::
  return ret | 0
end`);
  const cut = fc.nat(whole.length).map((n) => whole.subarray(0, n));
  const flipped = fc.tuple(fc.nat(whole.length - 1), fc.nat(255)).map(([at, byte]) => {
    const copy = Buffer.from(whole);
    copy[at] = byte;
    return copy;
  });
  const pieced = fc
    .array(fc.constantFrom(...fragments), { maxLength: 25 })
    .map((parts) => Buffer.from(parts.join(''), 'latin1'));
  const bytes = fc.uint8Array({ maxLength: 300 }).map((b) => Buffer.from(b));
  const chunk = fc
    .uint8Array({ maxLength: 100 })
    .map((b) => Buffer.concat([Buffer.from('1b4c7561540019930d0a1a0a040808', 'hex'), b]));
  using f = new Fixture(
    { 'getpid.lua': 'function do_syscall() return 1 end' },
    { instructionLimit: 1_000_000, memoryLimit: 64 << 20 },
  );
  let text = '';
  fc.assert(
    fc.property(fc.oneof(cut, flipped, pieced, bytes, chunk), (source) => {
      text = source.toString('latin1');
      f.pause();
      f.write('getpid.lua', source);
      const before = f.originals.length;
      const result = f.call('getpid', 1, 2, 3);
      assert.equal(typeof result, 'bigint');
      assert.ok(f.originals.length - before < 1000, text);
    }),
    { numRuns: 1500, seed: 20261123 },
  );
  f.pause();
  f.write('getpid.lua', 'function do_syscall() return 42 end');
  assert.equal(f.call('getpid'), 42n);
});
