/** Rules over real programs: what the guest saw and what stderr says. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { compile, emulated, lunagate, native, type Outcome, root, type RunOptions, work } from './harness.ts';

const directory = join(work, 'hooks');
let guest = '';
before(() => {
  mkdirSync(directory, { recursive: true });
  // In a checkout the first call may build, and says so on stderr.
  emulated(['--version']);
  guest = compile('hooked.c');
  writeFileSync(join(directory, 'text'), Array.from({ length: 3000 }, (_, k) => `${(k * 7919) % 3001} line\n`).join(''));
});
after(() => rmSync(directory, { recursive: true, force: true }));

let serial = 0;
/** A fresh rules directory with these scripts. */
function rules(scripts: Readonly<Record<string, string>>): string {
  const path = join(directory, `rules-${++serial}`);
  mkdirSync(path);
  for (const [name, text] of Object.entries(scripts)) writeFileSync(join(path, `${name}.lua`), text);
  return path;
}
function under(scripts: Readonly<Record<string, string>>, command: readonly string[], o: RunOptions = {}): Outcome {
  return emulated(command, {
    cwd: directory,
    ...o,
    options: ['--quiet', '--rules', rules(scripts), ...(o.options ?? [])],
  });
}
const logs = (o: Outcome): string[] =>
  o.stderr.split('\n').flatMap((l) => (l.startsWith('[Lua Log] ') ? [l.slice(10)] : []));

describe('the design as first written', () => {
  /** Its code blocks, word for word. */
  const testC = `#include <stdio.h>
#include <unistd.h>

int main() {
    printf("PID: %d\\n", getpid());
    write(1, "Hello\\n", 6);
    return 0;
}
`;
  const getpid = `function do_syscall(num, ...)
    local real_pid = c_do_syscall(num, ...)
    c_log(string.format("Real PID: %d, returning: 99999", real_pid))
    return 99999
end
`;
  const write = `function do_syscall(num, fd, buf, count, ...)
    c_log(string.format("Before write: fd=%d, count=%d", fd, count))
    local ret = c_do_syscall(num, fd, buf, count, ...)
    c_log(string.format("After write: ret=%d", ret))
    return ret
end
`;
  const home = join(directory, 'design');
  before(() => {
    mkdirSync(join(home, 'test_rules'), { recursive: true });
    writeFileSync(join(home, 'test.c'), testC);
    assert.equal(native(['gcc', '-o', 'test', 'test.c'], { cwd: home }).status, 0);
    writeFileSync(join(home, 'test_rules/getpid.lua'), getpid);
    writeFileSync(join(home, 'test_rules/write.lua'), write);
    symlinkSync(join(root, 'bin/qemu-x86_64'), join(home, 'qemu-x86_64'));
  });

  test('the quick test', async () => {
    const [command = '', ...args] = './qemu-x86_64 --rules test_rules ./test'.split(' ');
    const child = spawn(command, args, { cwd: home });
    let out = '';
    let err = '';
    child.stdout.on('data', (d: Buffer) => (out += d));
    child.stderr.on('data', (d: Buffer) => (err += d));
    assert.equal(await new Promise((resolve) => child.on('close', resolve)), 0);
    const lines = err.split('\n');
    assert.deepEqual(lines.slice(0, 2), [
      'Rules folder path: test_rules',
      'Lua environment initialized. Scripts will be loaded on demand.',
    ]);
    // The launcher execs the engine and the guest lives in it: the real pid is the one spawn knows.
    for (const line of [
      `[Lua Log] Real PID: ${child.pid}, returning: 99999`,
      '[Lua Log] Before write: fd=1, count=6',
      '[Lua Log] After write: ret=6',
    ])
      assert.ok(lines.includes(line), `${line}\nin\n${err}`);
    assert.deepEqual(out.split('\n').sort(), ['', 'Hello', 'PID: 99999']);
  });
  test('-rules and the variables mean the same', () => {
    const variants: [string[], Record<string, string>][] = [
      [['-rules', 'test_rules'], {}],
      [[], { QEMU_RULES: 'test_rules' }],
      [[], { LUNAGATE_RULES: 'test_rules' }],
    ];
    for (const [options, env] of variants) {
      const r = emulated(['./test'], { cwd: home, options, env });
      assert.match(r.stdout.toString(), /^PID: 99999$/m);
      assert.match(r.stderr, /^Rules folder path: test_rules\nLua environment initialized\. Scripts will be loaded on demand\.\n/);
    }
  });

  const example = (name: string): string => join(root, 'examples/rules', name);
  const run = (name: string, command: readonly string[]): Outcome =>
    emulated(command, { cwd: home, options: ['--quiet', '--rules', example(name)] });
  test('example 1: monitor', () => {
    const r = run('monitor-writes', ['./test']);
    const n = native(['./test'], { cwd: home });
    assert.equal(r.stdout.toString().replace(/\d+/, '#'), n.stdout.toString().replace(/\d+/, '#'));
    const bytes = r.stdout.length - 6;
    assert.deepEqual(logs(r), [
      'Writing 6 bytes to fd 1', 'Wrote 6 bytes, ret=6',
      `Writing ${bytes} bytes to fd 1`, `Wrote ${bytes} bytes, ret=${bytes}`,
    ]);
  });
  test('example 2: change a result', () => {
    const r = run('fake-pid', ['./test']);
    const [, real, fake] = /^Real PID: (\d+), returning: (\d+)$/.exec(logs(r).join('\n')) ?? [];
    assert.equal(Number(fake), Number(real) + 10000);
    assert.match(r.stdout.toString(), new RegExp(`^PID: ${fake}$`, 'm'));
  });
  test('example 3: block without calling', () => {
    const code = 'import socket\ntry: socket.socket()\nexcept OSError as e: print(e.errno)\nprint(socket.socket(socket.AF_UNIX).family)';
    const r = run('block-network', ['python3', '-c', code]);
    assert.match(r.stdout.toString(), /^1\n(AddressFamily\.AF_UNIX|1)\n$/);
    assert.deepEqual(logs(r), ['Blocked network socket']);
  });
  test('example 4: count', () => {
    const r = run('read-statistics', ['cat', join(directory, 'text')]);
    const text = readFileSync(join(directory, 'text'));
    assert.deepEqual(r.stdout, text);
    const totals = logs(r).map((l) => Number(/^Total read: (\d+) bytes$/.exec(l)?.[1]));
    assert.ok(totals.length >= 2 && totals.every((t, k) => k === 0 || t > (totals[k - 1] as number)), `${totals}`);
    assert.ok((totals.at(-1) as number) >= text.length);
  });
});

describe('forwarding hooks change nothing', { concurrency: 2 }, () => {
  const counting = `local name
function do_syscall(num, ...)
  name = name or c_syscall_name(num)
  shared[name] = (shared[name] or 0) + 1
  return c_do_syscall(num, ...)
end`;
  const calls = ['openat', 'read', 'write', 'getpid', 'socket', 'clock_gettime', 'getrandom', 'mmap'];
  const scripts = {
    ...Object.fromEntries(calls.map((c) => [c, counting])),
    exit_group: `function do_syscall(num, ...)
      local seen = {}
      for name, n in pairs(shared) do seen[#seen + 1] = name .. '=' .. n end
      table.sort(seen)
      c_log(table.concat(seen, ' '))
      return c_do_syscall(num, ...)
    end`,
  };
  const cases: [string[], string[]][] = [
    [['ls', '-la', '/etc'], ['openat', 'read', 'write', 'mmap', 'socket']],
    [['cat', 'text'], ['openat', 'read', 'write', 'mmap']],
    [['sort', '-n', 'text'], ['openat', 'read', 'write', 'mmap']],
    [['sha256sum', 'text'], ['openat', 'read', 'write', 'mmap']],
    [['python3', '-c', 'import os, socket, time; time.time(); os.getpid(); os.urandom(9); socket.socket().close(); print(sum(range(99)))'],
      ['openat', 'read', 'write', 'getpid', 'socket', 'clock_gettime', 'getrandom', 'mmap']],
    [['sqlite3', 'forward.db', 'create table if not exists t(a); delete from t; insert into t values(1),(2); select sum(a) from t'],
      ['openat', 'read', 'write', 'getpid', 'mmap']],
    [['bash', '-c', 'read -r x < text; echo "$x" $((6*7)); exit 3'], ['openat', 'read', 'write', 'mmap']],
  ];
  for (const [command, met] of cases)
    test(command.slice(0, 2).join(' '), () => {
      const n = native(command, { cwd: directory });
      const r = under(scripts, command);
      assert.equal(r.stdout.toString('latin1'), n.stdout.toString('latin1'), r.stderr);
      assert.equal(r.status, n.status);
      const [line = '', ...more] = logs(r);
      assert.deepEqual(more, []);
      const counts = Object.fromEntries(line.split(' ').map((p) => p.split('=')));
      for (const name of met) assert.ok(Number(counts[name]) > 0, `${name} in ${line}`);
      assert.equal(r.stderr, `[Lua Log] ${line}\n`);
    });
});

describe('hooks with an effect', { concurrency: 2 }, () => {
  test('openat: sha256sum of another file', () => {
    const r = under(
      { openat: `function do_syscall(n, d, p, ...) if c_read_string(p) == '/no/such' then p = '${directory}/text' end return c_do_syscall(n, d, p, ...) end` },
      ['sha256sum', '/no/such'],
    );
    const [sum] = native(['sha256sum', 'text'], { cwd: directory }).stdout.toString().split(' ');
    assert.equal(r.stdout.toString(), `${sum}  /no/such\n`);
  });
  test('read: cat sees capitals', () => {
    const script = `function do_syscall(n, fd, buf, ...)
      local got = c_do_syscall(n, fd, buf, ...)
      if got > 0 then c_write_bytes(buf, (c_read_bytes(buf, got):gsub('line', 'LINE'))) end
      return got
    end`;
    const r = under({ read: script }, ['cat', 'text']);
    assert.equal(r.stdout.toString(), readFileSync(join(directory, 'text'), 'utf8').replaceAll('line', 'LINE'), r.stderr);
  });
  test('write: bash’s echo comes out translated, and bash believes it wrote what it asked for', () => {
    const r = under(
      { write: `function do_syscall(n, fd, buf, count) if fd ~= 1 then return c_do_syscall(n, fd, buf, count) end
          local text = '<' .. c_read_bytes(buf, count) .. '>' c_do_syscall(n, fd, text, #text) return count end` },
      ['bash', '-c', 'echo one && echo two'],
    );
    assert.equal(r.stdout.toString(), '<one\n><two\n>', r.stderr);
  });
  test('getpid: bash’s $$', () => {
    assert.equal(under({ getpid: 'function do_syscall() return 4242 end' }, ['bash', '-c', 'echo $$']).stdout.toString(), '4242\n');
  });
  test('socket: python is refused', () => {
    const code = 'import socket\ntry: socket.socket()\nexcept PermissionError as e: print("refused", e.errno)';
    assert.equal(under({ socket: 'function do_syscall() return -errno.EACCES end' }, ['python3', '-c', code]).stdout.toString(), 'refused 13\n');
  });
  test('clock_gettime and time: the clock stands still', () => {
    const clock = 'function do_syscall(n, clock, at) c_write_u64(at, 86400) c_write_u64(at + 8, 500000000) return 0 end';
    const r = under({ clock_gettime: clock, time: 'function do_syscall() return 86400 end' }, ['python3', '-c', 'import time; print(time.time(), time.monotonic(), time.gmtime().tm_mday)']);
    assert.equal(r.stdout.toString(), '86400.5 86400.5 2\n', r.stderr);
  });
  test('getrandom: the dice are loaded', () => {
    const script = `function do_syscall(n, buf, count) return c_write_bytes(buf, string.rep('\\7', count)) end`;
    const r = under({ getrandom: script }, ['python3', '-c', 'import os; print(os.urandom(5).hex())']);
    assert.equal(r.stdout.toString(), '0707070707\n', r.stderr);
  });
  test('mmap: no memory for large requests', () => {
    const script = `function do_syscall(n, addr, length, ...) if length > 1 << 30 then return -errno.ENOMEM end return c_do_syscall(n, addr, length, ...) end`;
    const code = 'import mmap\nfor n in (1 << 20, 1 << 31):\n  try: print(len(mmap.mmap(-1, n)))\n  except OSError as e: print(e.errno)';
    assert.equal(under({ mmap: script }, ['python3', '-c', code]).stdout.toString(), '1048576\n12\n');
  });
  test('exit_group: another status', () => {
    assert.equal(under({ exit_group: 'function do_syscall(n, status) return c_do_syscall(n, status + 6) end' }, ['bash', '-c', 'exit 3']).status, 9);
  });
  test('sqlite3: a write that fails is the database’s error, not ours', () => {
    const r = under(
      { pwrite64: 'function do_syscall() return -errno.ENOSPC end' },
      ['sqlite3', 'full.db', 'create table t(a); insert into t values(1);'],
    );
    assert.match(r.stderr, /database or disk is full/);
    assert.notEqual(r.status, 0);
  });
  test('sort: a short read is asked for again', () => {
    const script = 'function do_syscall(n, fd, buf, count) return c_do_syscall(n, fd, buf, math.min(count, 7)) end';
    const r = under({ read: script }, ['sort', '-n'], { input: '3\n1\n2222\n11\n5\n' });
    assert.equal(r.stdout.toString(), '1\n3\n5\n11\n2222\n');
  });
});

describe('edits while the guest runs', () => {
  /** A guest that makes one getpid for each line it is given. */
  async function asking(path: string, dialogue: (ask: () => Promise<string>, pid: number) => Promise<void>): Promise<string> {
    const child = spawn(lunagate, ['--quiet', '--rules', path, guest, 'ask'], { cwd: directory });
    let err = '';
    child.stderr.on('data', (d: Buffer) => (err += d));
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const done = new Promise((resolve) => child.on('close', resolve));
    try {
      await dialogue(async () => {
        child.stdin.write('\n');
        const { value, done: ended } = await lines.next();
        assert.ok(!ended, err);
        return value as string;
      }, child.pid as number);
    } finally {
      child.stdin.end();
      await done;
    }
    return err;
  }
  test('an edit, a new script and a removed one count from the next call', async () => {
    const path = rules({});
    const script = join(path, 'getpid.lua');
    const err = await asking(path, async (ask, pid) => {
      // Word that a call without a script has got one comes by a thread of its own: soon, but not at once.
      const until = async (answer: string): Promise<void> => {
        for (let k = 0; k < 1000; k++) if ((await ask()) === answer) return;
        assert.fail(`never ${answer}`);
      };
      assert.equal(await ask(), `${pid}`);
      writeFileSync(script, 'function do_syscall() return 0 end');
      await until('0');
      for (let k = 1; k <= 20; k++) {
        writeFileSync(script, `function do_syscall() return ${k} end`);
        assert.equal(await ask(), `${k}`);
      }
      rmSync(script);
      assert.equal(await ask(), `${pid}`);
      writeFileSync(script, 'function do_syscall() return 77 end');
      await until('77');
    });
    assert.equal(err, '');
  });
  test('a slip leaves the old version in charge, and is told once', async () => {
    const path = rules({ getpid: 'local n = 0 function do_syscall() n = n + 1 return n end' });
    const script = join(path, 'getpid.lua');
    const err = await asking(path, async (ask) => {
      assert.equal(await ask(), '1');
      writeFileSync(script, 'function do_syscall( return 5 end');
      assert.equal(await ask(), '2');
      assert.equal(await ask(), '3');
      writeFileSync(script, 'function do_syscall() return 1000 end');
      assert.equal(await ask(), '1000');
    });
    assert.equal(err.match(/\[Lua Error\]/g)?.length, 1, err);
    assert.match(err, /getpid\.lua:1: .*near 'return'/);
  });
  test('the guest writes its own rules', () => {
    const path = rules({});
    const r = emulated([guest, 'rewrite', join(path, 'getppid.lua')], { options: ['--quiet', '--rules', path] });
    assert.equal(r.stdout.toString(), '111\n222\n333\n444\n555\nparent\n', r.stderr);
  });
});

describe('broken scripts: the guest goes on, and no call is made twice', { concurrency: 2 }, () => {
  const broken: [string, string, RegExp][] = [
    ['a syntax error', 'function do_syscall( return 1 end', /write\.lua:1: .*expected near/],
    ['an error at the top level', 'error("top")', /write\.lua:1: top/],
    ['no do_syscall', 'local x = 1', /defines no global function do_syscall/],
    ['an error before the call', 'function do_syscall() error("early") end', /write\.lua:1: early\nstack traceback:[^]*the original call is made/],
    ['an error after the call', 'function do_syscall(n, ...) c_do_syscall(n, ...) error("late") end', /write\.lua:1: late\n[^]*had been made; its result is used/],
    ['a string as result', 'function do_syscall(n, ...) c_do_syscall(n, ...) return "one" end', /do_syscall returned a string/],
    ['a wrong result without the call', 'function do_syscall() return {} end', /do_syscall returned a table/],
    ['endless recursion', 'function do_syscall(n, ...) c_do_syscall(n, ...) local function f() return 1 + f() end return f() end', /stack overflow/],
    ['binary garbage', '\u001bLua\u0000\u0001\u0002garbage', /write\.lua/],
  ];
  for (const [what, script, report] of broken)
    test(what, () => {
      const file = join(directory, `append-${what.replaceAll(' ', '-')}`);
      const r = under({ write: script }, [guest, 'append', file, '3']);
      assert.equal(r.stdout.toString(), '1/0 1/0 1/0 \n', r.stderr);
      assert.equal(readFileSync(file, 'latin1'), 'abc');
      assert.equal(r.status, 0);
      assert.match(r.stderr, report);
      assert.equal(r.stderr.match(/\[Lua Error\] (?!\d+ times)/g)?.length, 1, r.stderr);
    });
  test('a call a script makes twice is made twice', () => {
    const file = join(directory, 'append-twice');
    const r = under({ write: 'function do_syscall(n, ...) c_do_syscall(n, ...) return c_do_syscall(n, ...) end' }, [guest, 'append', file, '2']);
    assert.equal(readFileSync(file, 'latin1'), 'aabb');
    assert.equal(r.stdout.toString(), '1/0 1/0 \n1/0 1/0 \n');
  });
});

describe('beside the rules', () => {
  test('-strace marks calls that a hook owns', () => {
    const r = under({ getpid: 'function do_syscall() return 7 end' }, [guest, 'ask'], { input: '\n', options: ['-strace'] });
    assert.match(r.stderr, /^getpid\(\) += +7 \(HOOKED\)$/m);
    assert.match(r.stderr, /^read\(0, .*\) += \d+$/m);
    assert.equal(r.stderr.match(/\(HOOKED\)/g)?.length, 1);
  });
  test('a rules directory that cannot be used is told in one line before anything runs', () => {
    for (const [path, reason] of [['/no/such/rules', /no such file or directory/], [guest, /not a directory/]] as const) {
      const r = emulated([guest, 'append', join(directory, 'never'), '1'], { options: ['--rules', path] });
      assert.equal(r.status, 125);
      assert.match(r.stderr, /^lunagate: rules directory [^\n]+\n$/);
      assert.match(r.stderr, reason);
      assert.equal(existsSync(join(directory, 'never')), false);
    }
  });
  test('a guest that gives its stderr another meaning does not take the log with it', () => {
    const file = join(directory, 'its-own-stderr');
    const r = under({ getpid: 'function do_syscall(...) c_log("met") return c_do_syscall(...) end' }, [guest, 'close-stderr', file]);
    assert.equal(r.status, 0);
    assert.equal(readFileSync(file, 'utf8'), 'guest\n');
    assert.deepEqual(logs(r), ['met', 'met']);
  });
  test('files a script leaves open are written out at the end', () => {
    const file = join(directory, 'left-open');
    const r = under({ getpid: `local f = io.open('${file}', 'w') function do_syscall(...) f:write('x') return c_do_syscall(...) end` }, [guest, 'ask'], { input: '\n\n\n' });
    assert.equal(r.status, 0, r.stderr);
    assert.equal(readFileSync(file, 'utf8'), 'xxx');
  });
  test('scripts see the environment the guest was given', () => {
    const r = under({ getpid: `function do_syscall() c_log(tostring(os.getenv('GIVEN')) .. tostring(os.getenv('LUNAGATE_INHERITED'))) return 1 end` }, [guest, 'ask'], { input: '\n', options: ['-E', 'GIVEN=here'] });
    assert.deepEqual(logs(r), ['herenil']);
  });
});
