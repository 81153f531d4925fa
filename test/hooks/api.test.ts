/** The functions and tables a script can use. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { errno } from '../../src/abi/errno.ts';
import { linuxConstants } from '../../src/abi/linux.ts';
import { type GuestAddr, Unwind } from '../../src/kernel/ports.ts';
import { DATA, Fixture, PAGE } from './fixture.ts';

const END = DATA + 2 * PAGE;

/** Runs `body` as getpid's hook and returns what it logged, line by line. */
function run(body: string, options: ConstructorParameters<typeof Fixture>[1] = {}): string[] {
  using f = new Fixture({ 'getpid.lua': `function do_syscall(num, a)\n${body}\nend` }, options);
  f.call('getpid', DATA);
  const text = f.stderr();
  assert.doesNotMatch(text, /Lua Error/);
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => line.replace('[Lua Log] ', ''));
}

function memory(): { write(addr: GuestAddr, bytes: Uint8Array): void; read(addr: GuestAddr, n: number): Uint8Array } {
  using f = new Fixture({});
  return f.machine.guestMemory;
}

test('c_read_string: up to the NUL, up to max, up to an unmapped page; nil, -14 elsewhere', () => {
  memory().write(DATA, Buffer.from('hello\0world'));
  memory().write(END - 4, Buffer.from('end\0'));
  assert.deepEqual(
    run(`c_log(c_read_string(a)) c_log(c_read_string(a, 3)) c_log(#c_read_string(a, 0)) c_log(c_read_string(${END - 4}))
      c_log(c_read_guest_string(a + 6, 5))
      for _, addr in ipairs { 0, ${END}, 1, -1, math.mininteger, math.maxinteger, 1 << 34, (1 << 34) - 1 } do
        local s, e = c_read_string(addr) assert(s == nil and e == -14, addr)
      end`),
    ['hello', 'hel', '0', 'end', 'world'],
  );
});

test('c_read_string: the default limit is 4096 bytes', () => {
  memory().write(DATA, Buffer.alloc(5000, 'x'));
  assert.deepEqual(run('c_log(#c_read_string(a)) c_log(#c_read_string(a, 4999))'), ['4096', '4999']);
});

test('c_read_bytes and c_write_bytes carry every byte', () => {
  const all = Buffer.from(Array.from({ length: 256 }, (_, k) => k));
  memory().write(DATA, all);
  assert.deepEqual(
    run(`local s = c_read_bytes(a, 256) assert(#s == 256) for k = 0, 255 do assert(s:byte(k + 1) == k) end
      c_log(c_write_bytes(a + 256, s:reverse())) c_log(#c_read_guest_bytes(a, 0)) c_log(c_write_guest_bytes(a, ''))
      local r, e = c_read_bytes(${END - 8}, 9) assert(r == nil and e == -14)
      r, e = c_write_bytes(${END - 2}, 'abc') assert(r == nil and e == -14)
      r, e = c_write_bytes(0, 'abc') assert(r == nil and e == -14)`),
    ['256', '0', '0'],
  );
  assert.deepEqual(Buffer.from(memory().read(DATA + 256, 256)), Buffer.from(all).reverse());
});

test('the typed readers and writers: width, sign, guest byte order, faults', () => {
  memory().write(DATA, Buffer.from('80ff7f0180ffffff', 'hex'));
  assert.deepEqual(
    run(`c_log(table.concat({ c_read_u8(a), c_read_i8(a), c_read_u16(a), c_read_i16(a), c_read_u32(a + 4), c_read_i32(a + 4) }, ' '))
      c_log(string.format('%x %d', c_read_u64(a), c_read_i64(a))) c_log(c_read_guest_u32(a) == c_read_u32(a) and c_read_guest_u64(a) == c_read_u64(a))
      for _, n in ipairs { 'u8', 'u16', 'u32', 'u64', 'i8', 'i16', 'i32', 'i64' } do
        local read, write = _G['c_read_' .. n], _G['c_write_' .. n]
        assert(write(a + 16, -2) == true)
        assert(read(a + 16) == (n:sub(1, 1) == 'i' and -2 or n == 'u64' and -2 or (1 << tonumber(n:sub(2))) - 2), n)
        local v, e = read(${END}) assert(v == nil and e == -14, n)
        v, e = write(0, 1) assert(v == nil and e == -14, n)
        v, e = read(-8) assert(v == nil and e == -14, n)
      end
      c_write_guest_u32(a + 32, 0x01020304) c_write_guest_u64(a + 36, math.mininteger)`),
    ['128 -128 65408 -128 4294967168 -128', `ffffff80017fff80 ${BigInt.asIntN(64, 0xffffff80017fff80n)}`, 'true'],
  );
  assert.equal(Buffer.from(memory().read(DATA + 32, 12)).toString('hex'), '040302010000000000000080');
});

test('an access over a page border that faults in its second half gives nil, -14', () => {
  assert.deepEqual(
    run(`local v, e = c_read_u32(${END - 2}) c_log(v) c_log(e) v, e = c_write_u64(${END - 4}, 1) c_log(v) c_log(e)`),
    ['nil', '-14', 'nil', '-14'],
  );
});

test('wrong arguments are Lua errors with the function and position', () => {
  for (const call of [
    'c_read_string({})',
    'c_read_u32("x")',
    'c_read_bytes(a)',
    'c_read_bytes(a, -1)',
    'c_read_bytes(a, 1 << 40)',
    'c_write_bytes(a)',
    'c_write_u8(a, 1.5)',
    'c_read_string()',
  ]) {
    assert.match(
      run(`local ok, e = pcall(function() return ${call} end) assert(not ok) c_log(e)`)[0] as string,
      /bad argument #[12] to 'c_|bad argument/,
      call,
    );
  }
});

test('c_do_syscall takes strings as pointers: NUL-terminated copies that live until the hook returns', () => {
  const seen: string[] = [];
  using f = new Fixture({
    'openat.lua': `function do_syscall(num, dir, path) local r = c_do_syscall(num, dir, '/checked/path', 'b\\0c', '') return r end`,
  });
  f.answer = ({ args }) => {
    for (const k of [1, 2, 3])
      seen.push(
        Buffer.from(f.machine.guestMemory.read(Number(args[k]), k === 2 ? 4 : 14))
          .toString()
          .split(k === 2 ? '\x01' : '\0')[0] as string,
      );
    assert.ok(new Set(args.slice(1, 4)).size === 3);
    return 5n;
  };
  assert.equal(f.call('openat', -100, DATA), 5n);
  assert.deepEqual(seen, ['/checked/path', 'b\0c\0', '']);
  const first = f.originals[0]?.args[1];
  f.call('openat', -100, DATA);
  assert.equal(f.originals[1]?.args[1], first);
  assert.equal(f.mapped.length, 1);
});

test('large strings get memory of their own, given back; scratch memory the guest unmapped is replaced', () => {
  using f = new Fixture({
    'write.lua': `function do_syscall(num, fd) return c_do_syscall(num, fd, string.rep('z', 300000)) end`,
  });
  f.answer = ({ args }) => BigInt(f.machine.guestMemory.readCString(Number(args[1]), 1 << 20).bytes.length);
  assert.equal(f.call('write', 1), 300000n);
  assert.equal(f.mapped.length, 0);
  using g = new Fixture({ 'write.lua': `function do_syscall(num, fd) return c_do_syscall(num, fd, 'abc') end` });
  g.answer = f.answer;
  assert.equal(g.call('write', 1), 3n);
  const { host } = g.machine;
  for (const { addr, bytes } of g.mapped)
    host.syscall(host.nr['mmap'] as number, host.memoryBase + addr, bytes, 0, 0x32, -1, 0);
  assert.equal(g.call('write', 1), 3n);
});

test('no guest memory for a string is a Lua error', () => {
  using f = new Fixture(
    { 'write.lua': `function do_syscall(n) return c_do_syscall(n, 'x') end` },
    { mapGuest: () => -12 },
  );
  assert.equal(f.call('write'), 1001n);
  assert.match(f.stderr(), /no guest memory/);
});

test('c_scratch lends guest memory', () => {
  assert.deepEqual(
    run(
      `local p, q = c_scratch(100), c_scratch('data') assert(p ~= q) c_log(c_read_string(q)) assert(c_write_bytes(p, string.rep('y', 100)) == 100) c_log(c_read_string(q))`,
    ),
    ['data', 'data'],
  );
});

test('c_syscall_name and c_syscall_number', () => {
  assert.deepEqual(
    run(
      `c_log(c_syscall_name(num)) c_log(c_syscall_number('openat')) c_log(c_syscall_name(99999)) c_log(c_syscall_name(-1)) c_log(c_syscall_number('nosuch'))`,
    ),
    ['getpid', '257', 'nil', 'nil', 'nil'],
  );
});

test("errno and linux hold the kernel's constants, and exist only where given", () => {
  const constants = { errno: () => errno, linux: linuxConstants };
  assert.deepEqual(
    run(
      `c_log(errno.EACCES) c_log(linux.O_CREAT) c_log(linux.AF_INET) local n = 0 for _ in pairs(linux) do n = n + 1 end c_log(n) c_log(undefined_name)`,
      { constants },
    ),
    ['13', '64', '2', String(Object.keys(linuxConstants()).length), 'nil'],
  );
  assert.deepEqual(run('c_log(errno)'), ['nil']);
});

test("io works on the host's file system", () => {
  using f = new Fixture({
    'getpid.lua': `function do_syscall(num)
      local dir = debug.getinfo(1, 'S').source:match('@(.*)/')
      local out = assert(io.open(dir .. '/out.txt', 'w')) out:write('line 1\\n', 2, '\\n') out:close()
      local more = assert(io.open(dir .. '/out.txt', 'a')) more:write(string.rep('x', 200000)) more:close()
      local n = 0 for line in io.lines(dir .. '/out.txt') do n = n + #line end
      local file = io.open(dir .. '/in.txt', 'rb') file:seek('set', 3) local rest = file:read('a') file:close()
      c_log(rest)
      local none, message, code = io.open(dir .. '/none.txt') c_log(tostring(none)) c_log(message:gsub('.*/', '')) c_log(code)
      assert(os.rename(dir .. '/out.txt', dir .. '/moved.txt'))
      assert(select(3, os.remove(dir .. '/none.txt')) == 2)
      return n
    end`,
    'in.txt': 'abcdef\0\xff',
  });
  assert.equal(f.call('getpid'), 200007n, f.stderr());
  assert.equal(readFileSync(f.path('moved.txt'), 'latin1'), `line 1\n2\n${'x'.repeat(200000)}`);
  assert.equal(
    f.stderr(),
    '[Lua Log] def\0\xc3\xbf\n[Lua Log] nil\n[Lua Log] none.txt: No such file or directory\n[Lua Log] 2\n',
  );
});

test('print goes to the standard output at once', () => {
  using f = new Fixture({
    'getpid.lua': `function do_syscall() print('a', 1) io.write('b') io.stdout:flush() io.stderr:write('c') end`,
  });
  f.call('getpid');
  assert.equal(f.stderr(), 'a\t1\nbc');
});

test('files left open are flushed by close()', () => {
  const f = new Fixture({
    'getpid.lua': `function do_syscall() f = f or io.open(debug.getinfo(1, 'S').source:match('@(.*)/') .. '/log', 'w') f:write('kept') end`,
  });
  try {
    f.call('getpid');
    f.engine.close();
    assert.equal(readFileSync(f.path('log'), 'latin1'), 'kept');
  } finally {
    f[Symbol.dispose]();
  }
});

test('os: time, clock, getenv, tmpname; popen and execute say they cannot', () => {
  const [time, clock, value, none, shell] = run(
    `c_log(os.time()) c_log(os.clock()) c_log(os.getenv('RULE_TEST')) c_log(os.getenv('RULE_NONE')) c_log(os.execute()) assert(not pcall(io.popen, 'true') or true)
     local ok, what, code = os.execute('true') assert(not ok)`,
    { env: { RULE_TEST: 'väl=ue' } },
  ) as [string, string, string, string, string];
  assert.ok(Math.abs(Number(time) - Date.now() / 1000) < 3, time);
  assert.ok(Number(clock) > 0 && Number(clock) < 1000, clock);
  assert.equal(Buffer.from(value, 'latin1').toString(), 'väl=ue');
  assert.equal(none, 'nil');
  assert.equal(shell, 'false');
});

test('the libraries of section 2 are there', () => {
  run(`assert(string.pack and string.unpack and utf8.char and coroutine.wrap and table.unpack and math.tointeger and debug.getinfo)
    assert(_VERSION == 'Lua 5.4')`);
});

test('Unwind passes through Lua, pcall included, and leaves it in order', () => {
  const unwind = new Unwind('exec');
  using f = new Fixture({
    'exit_group.lua': `local n = 0 function do_syscall(num, ...) n = n + 1 shared.caught = pcall(function(...)
      local sorted = { 3, 1, 2 } table.sort(sorted, function() c_do_syscall(num) end) end, ...) return 1 end`,
    'getpid.lua': `local n = 0 function do_syscall() n = n + 1 assert(shared.caught == nil) local t = {} for k = 1, 1000 do t[k] = {} end return n end`,
  });
  f.answer = ({ nr }) => {
    if (nr === 231) throw unwind;
    return 0n;
  };
  for (let k = 1n; k < 200n; k++) {
    assert.throws(
      () => f.call('exit_group', 3),
      (e) => e === unwind,
    );
    assert.equal(f.call('getpid'), k);
  }
  assert.equal(f.stderr(), '');
});

test('Unwind out of the top level of a script', () => {
  const unwind = new Unwind('thread-exit');
  using f = new Fixture({ 'exit.lua': `c_do_syscall(60) function do_syscall() return 4 end` });
  let out = true;
  f.answer = () => {
    if (out) throw unwind;
    return 0n;
  };
  assert.throws(
    () => f.call('exit'),
    (e) => e === unwind,
  );
  out = false;
  assert.equal(f.call('exit'), 4n);
});

test('Unwind out of a finalizer: the collector goes on working', () => {
  const unwind = new Unwind('exec');
  using f = new Fixture({
    'getpid.lua': `function do_syscall() setmetatable({}, { __gc = function() c_do_syscall(231) end }) collectgarbage() return 1 end`,
    'getppid.lua': `function do_syscall() local t = {} for k = 1, 100 do t = { string.rep('x', 100000) .. k } end return math.floor(collectgarbage('count')) end`,
  });
  f.answer = ({ nr }) => {
    if (nr === 231) throw unwind;
    return 7n;
  };
  assert.throws(
    () => f.call('getpid'),
    (e) => e === unwind,
  );
  assert.ok(f.call('getppid') < 5000n);
});

test('a hook within a hook (guest code run by an original call) has its own state', () => {
  using f = new Fixture({
    'read.lua': `function do_syscall(num, a) local before = a local r = c_do_syscall(num, 'text') assert(before == a) error('after') end`,
    'getpid.lua': `function do_syscall(num, a) local r = c_do_syscall(110, 'other') if a == 1 then error('inner') end return r + a end`,
  });
  f.answer = ({ nr, args }) => {
    if (nr === 0) {
      const inner = f.call('getpid', 5) + f.call('getpid', 1);
      assert.equal(Buffer.from(f.machine.guestMemory.read(Number(args[0]), 5)).toString(), 'text\0');
      return inner;
    }
    return BigInt(nr);
  };
  assert.equal(f.call('read', 9), 110n + 5n + 39n);
  assert.match(f.stderr(), /inner[^]*after[^]*its result is used/);
  assert.equal(f.originals.filter((c) => c.nr === 0).length, 1);
});
