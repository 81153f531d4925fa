/** rules.toml, policies, layers, entry and finish, against a fake kernel. */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { linuxConstants } from '../../src/abi/linux.ts';
import { RuleFileError } from '../../src/hooks/rules-directory.ts';
import { DATA, Fixture } from './fixture.ts';

const home = mkdtempSync(join(tmpdir(), 'lunagate-layers-'));
after(() => rmSync(home, { recursive: true, force: true }));
let serial = 0;
function folder(files: Readonly<Record<string, string>>): string {
  const path = join(home, `d${++serial}`);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(path, name, '..'), { recursive: true });
    writeFileSync(join(path, name), text);
  }
  return path;
}
const constants = { linux: linuxConstants };
const returning = (value: string | number): string => `function do_syscall() return ${value} end`;

describe('a bad rules.toml names file, line and key', () => {
  const bad: [string, string][] = [
    ['on_error = "deni"', '1: on_error: "deni" is not one of passthrough, deny, kill; did you mean deny?'],
    ['\n\nonerror = "deny"', '3: onerror: there is no such key; did you mean on_error?'],
    ['strict = 1', '1: strict: 1 is neither true nor false'],
    ['time_limit = 0', '1: time_limit: 0 is not a time in seconds'],
    ['time_limit = "1s"', '1: time_limit: "1s" is not a time in seconds'],
    ['instruction_limit = 1.5', '1: instruction_limit: 1.5 is not a whole number'],
    ['memory_limit = "10"', '1: memory_limit: "10" is not a size'],
    ['memory_limit = "4G"', '1: memory_limit: "4G" is not a size'],
    ['# x\n[log]\nlevel = "loud"', '3: log.level: "loud" is not one of debug, info, warning, error, none'],
    ['[log]\nfile = ""', '2: log.file: the name of a file is needed'],
    ['[log]\ncolour = 1', '2: log.colour: there is no such key; there are: level, file'],
    ['log = 5', '1: log: 5 is not a table'],
    ['layer = "x"', '1: layer: layers are written [[layer]]'],
    ['[[layer]]\npath = "."\n[[layer]]\npriority = 1', '3: layer.1.path: a layer needs the path of its directory'],
    ['[[layer]]\npath = "."\npriority = "high"', '3: layer.0.priority: "high" is not a whole number'],
    ['[script.opennat]\nenabled = true', '1: script.opennat: there is no system call of this name; did you mean open'],
    ['[script.write]\n\nenabled = "no"', '3: script.write.enabled: "no" is neither true nor false'],
    ['script.write.on_error = "x"', '1: script.write.on_error: "x" is not one of'],
    ['[script.write]\nwhen = { fds = 1 }', '2: script.write.when.fds: the call has no such argument; did you mean fd?'],
    ['[script.write]\nwhen.fd = 1.5', '2: script.write.when.fd: 1.5 is not a whole number'],
    ['[script.write.when]\nfd = "about 5"', '2: script.write.when.fd: "about 5" is neither a number nor a constant'],
    ['[script.openat.when]\nflags = "& O_CRATE"', '2: script.openat.when.flags: "O_CRATE" is neither a number nor a constant of the kernel\'s; did you mean O_CREAT?'],
    ['[script.openat.when]\npath = 7', '2: script.openat.when.path: 7 is not a pattern'],
    ['[script.write.when]\nfd = []', '2: script.write.when.fd: an empty list matches nothing'],
    ['a = = 1', '1: '],
    ['a = "x', '1: '],
    ['on_error = "deny"\non_error = "kill"', '2: '],
    ['[[layer]]\npath = "absent"', 'layer absent: no such file or directory'],
    ['[log]\nfile = "no/such/place"', 'log.file: no/such/place cannot be written: no such file or directory'],
  ];
  for (const [text, message] of bad) {
    test(JSON.stringify(text), () => {
      let error: unknown;
      try {
        using _ = new Fixture({ 'rules.toml': text }, { constants });
      } catch (e) {
        error = e;
      }
      assert.ok(error instanceof RuleFileError, String(error));
      assert.match(error.message, /^[^\n]*\/rules\.toml:/);
      assert.ok(error.message.includes(`rules.toml:${/^\d/.test(message) ? '' : ' '}${message}`), error.message);
      assert.equal(error.exitStatus, 125);
    });
  }
});

describe('what happens when a script fails', () => {
  for (const how of ['error("x")', 'c_do_syscall(39) error("x")', 'return "text"']) {
    test(`deny: ${how}`, () => {
      using f = new Fixture({ 'getpid.lua': `function do_syscall() ${how} end`, 'rules.toml': 'on_error = "deny"' });
      assert.equal(f.call('getpid'), -1n);
      assert.match(f.stderr(), /the guest gets EPERM/);
    });
  }
  test('deny: a script that does not load denies every call', () => {
    using f = new Fixture({ 'getpid.lua': 'function do_syscall(', 'rules.toml': 'on_error = "deny"' });
    assert.deepEqual([f.call('getpid'), f.call('getpid')], [-1n, -1n]);
    assert.deepEqual(f.originals, []);
  });
  test('per script, over the global one', () => {
    using f = new Fixture({
      'getpid.lua': 'error()', 'getppid.lua': 'error()',
      'rules.toml': 'on_error = "deny"\n[script.getpid]\non_error = "passthrough"',
    });
    assert.equal(f.call('getpid'), 1039n);
    assert.equal(f.call('getppid'), -1n);
  });
  test('kill: the guest dies by SIGSYS, once the error was told', () => {
    class Died extends Error {}
    using f = new Fixture({ 'getpid.lua': 'error("gone")', 'rules.toml': 'on_error = "kill"' });
    const { host } = f.machine;
    const before = host.dieBySignal;
    host.dieBySignal = (signal) => {
      assert.equal(signal, 31);
      throw new Died();
    };
    try {
      assert.throws(() => f.call('getpid'), Died);
    } finally {
      host.dieBySignal = before;
    }
    assert.match(f.stderr(), /gone[^]*the guest is killed/);
    assert.deepEqual(f.originals, []);
  });
  test('the count comes at the end', () => {
    using f = new Fixture({ 'getpid.lua': 'function do_syscall() error("often") end' });
    for (let k = 0; k < 5; k++) f.call('getpid');
    f.engine.close();
    assert.match(f.stderr(), /\n\[Lua Error\] 5 times in all: .*getpid\.lua:1: often\n$/);
  });
  test('the call being handled is shown, decoded', () => {
    using f = new Fixture({ 'write.lua': 'error("x")' }, { describe: (_, frame) => `write(${frame.i64[0]}, ...)` });
    f.call('write', 5);
    assert.match(f.stderr(), /\n\twhile the guest was calling write\(5, \.\.\.\)\n/);
  });
});

describe('budgets', () => {
  test('instructions, globally and for one script', () => {
    using f = new Fixture({
      'getpid.lua': 'function do_syscall() while true do end end',
      'getppid.lua': 'function do_syscall() for k = 1, 1000000 do end return 3 end',
      'rules.toml': 'instruction_limit = 1_000_000\n[script.getppid]\ninstruction_limit = 100_000_000',
    });
    assert.equal(f.call('getpid'), 1039n);
    assert.match(f.stderr(), /more than 1,000,000 instructions in one hook call/);
    assert.equal(f.call('getppid'), 3n);
  });
  test('wall time, but not that of c_do_syscall', () => {
    const wait = (ms: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
    using f = new Fixture({
      'getpid.lua': 'function do_syscall() while true do end end',
      // Runs long enough for the clock to be looked at before and after a slow call.
      'getppid.lua': 'function do_syscall(n) for k = 1, 200000 do end local r = c_do_syscall(n) for k = 1, 200000 do end return r end',
      'rules.toml': 'time_limit = 0.2',
    });
    assert.equal(f.call('getpid'), 1039n);
    assert.match(f.stderr(), /more than 0\.2 seconds in one hook call/);
    f.answer = () => {
      wait(300);
      return 7n;
    };
    assert.equal(f.call('getppid'), 7n);
    assert.doesNotMatch(f.stderr(), /getppid/);
  });
  test('memory', () => {
    using f = new Fixture({
      'getpid.lua': `function do_syscall() local t = {} while true do t[#t + 1] = string.rep('x', 1000) end end`,
      'rules.toml': 'memory_limit = "4M"',
    });
    assert.equal(f.call('getpid'), 1039n);
    assert.match(f.stderr(), /not enough memory/);
  });
});

describe('layers', () => {
  test('earlier --rules wins; syscall/NAME.lua is found as well, after NAME.lua', () => {
    const a = folder({ 'getpid.lua': returning(1) });
    const b = folder({ 'getpid.lua': returning(2), 'getppid.lua': returning(3), 'syscall/getppid.lua': returning(4), 'syscall/read.lua': returning(5) });
    using f = new Fixture({}, { directories: [a, b] });
    assert.deepEqual(['getpid', 'getppid', 'read'].map((n) => f.call(n)), [1n, 3n, 5n]);
  });
  test('priority orders the layers of rules.toml around the directories given', () => {
    const a = folder({
      'rules.toml': '[[layer]]\npath = "low"\n[[layer]]\npath = "high"\npriority = 5\n[[layer]]\npath = "off"\npriority = 9\nenabled = false',
      'getpid.lua': returning(1), 'getppid.lua': returning(1),
      'high/getpid.lua': returning(2), 'low/getppid.lua': returning(3), 'low/read.lua': returning(4),
      'off/getpid.lua': returning(9),
    });
    using f = new Fixture({}, { directories: [a] });
    assert.deepEqual(['getpid', 'getppid', 'read'].map((n) => f.call(n)), [2n, 1n, 4n]);
  });
  test('of several rules.toml the first that says something counts', () => {
    const a = folder({ 'rules.toml': '[script.getpid]\nenabled = false' });
    const b = folder({ 'rules.toml': 'on_error = "deny"\n[script.getpid]\nenabled = true', 'getpid.lua': returning(2), 'read.lua': 'error()' });
    using f = new Fixture({}, { directories: [a, b] });
    assert.equal(f.call('getpid'), 1039n);
    assert.equal(f.call('read'), -1n);
  });
});

describe('which calls a script is for', () => {
  const cases: [string, (number | bigint)[], boolean][] = [
    ['fd = 1', [1], true],
    ['fd = 1', [2], false],
    ['fd = -1', [0xffffffff], true],
    ['fd = [1, 2]', [2], true],
    ['fd = "!= 1"', [2], true],
    ['count = ">= 4096"', [1, 0, 4096], true],
    ['count = ">= 4096"', [1, 0, 4095], false],
    ['count = "< 0x10"', [1, 0, 15], true],
    ['fd = 1, count = 5', [1, 0, 6], false],
    ['arg3 = 6', [1, 0, 6], true],
    ['arg7 = 6', [1, 0, 6], false],
  ];
  for (const [when, args, runs] of cases) {
    test(`${when} and ${args}: ${runs}`, () => {
      using f = new Fixture({ 'write.lua': returning(7), 'rules.toml': `[script.write]\nwhen = { ${when} }` });
      assert.equal(f.call('write', ...args), runs ? 7n : 1001n);
    });
  }
  test('constants by name, paths by pattern', () => {
    using f = new Fixture(
      { 'openat.lua': returning(7), 'rules.toml': '[script.openat.when]\npath = ["/etc/*", "!*x*"]\nflags = "& O_WRONLY|O_RDWR"' },
      { constants },
    );
    const open = (path: string, flags: number): bigint => {
      f.machine.guestMemory.write(DATA, Buffer.from(`${path}\0`));
      return f.call('openat', -100, DATA, flags);
    };
    assert.equal(open('/etc/x', 1), 7n);
    assert.equal(open('/home/y', 2), 7n);
    assert.equal(open('/home/x', 2), 1257n);
    assert.equal(open('/etc/x', 0), 1257n);
    assert.equal(f.call('openat', -100, 8, 1), 7n, 'an unreadable path is the script’s to judge');
  });
});

describe('an edit of rules.toml', () => {
  test('counts from the next call; a bad one leaves the old in force', () => {
    using f = new Fixture({ 'getpid.lua': 'function do_syscall() error("x") end' });
    assert.equal(f.call('getpid'), 1039n);
    f.write('rules.toml', 'on_error = "deny"');
    f.pause();
    assert.equal(f.call('getpid'), -1n);
    f.write('rules.toml', 'on_error = "nonsense"');
    f.pause();
    assert.equal(f.call('getpid'), -1n);
    assert.match(f.stderr(), /rules\.toml:1: on_error: "nonsense"[^]*what was read before stays in force/);
    f.write('rules.toml', '[script.getpid]\nenabled = false');
    f.pause();
    assert.equal(f.call('getpid'), 1039n);
    assert.equal(f.interceptors.feature(39), 0);
  });
});

describe('log', () => {
  test('levels', () => {
    const script = 'function do_syscall() for _, l in ipairs{"debug", "info", "warning", "error"} do c_log(l, l) end c_log("plain") end';
    const shown: [string, string][] = [
      ['debug', '[Lua Debug] debug\n[Lua Log] info\n[Lua Warning] warning\n[Lua Error] error\n[Lua Log] plain\n'],
      ['warning', '[Lua Warning] warning\n[Lua Error] error\n'],
      ['none', ''],
    ];
    for (const [level, text] of shown) {
      using f = new Fixture({ 'getpid.lua': script, 'rules.toml': `log.level = "${level}"` });
      f.call('getpid');
      assert.equal(f.stderr(), text);
    }
  });
  test('a file, relative to the directory, appended to', () => {
    const a = folder({ 'rules.toml': '[log]\nfile = "the.log"', 'the.log': 'before\n', 'getpid.lua': 'function do_syscall() c_log("x") end' });
    using f = new Fixture({}, { directories: [a] });
    f.call('getpid');
    assert.equal(f.stderr(), '');
    assert.equal(readFileSync(join(a, 'the.log'), 'utf8'), 'before\n[Lua Log] x\n');
  });
});
