/** What scripts can ask of a real guest: registers, call stack, paths, context; and what --rules-strict takes away. */

import assert from 'node:assert/strict';
import { mkdirSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { compile, emulated, type Outcome, type RunOptions, work } from './harness.ts';

const directory = join(work, 'hooks-api');
let deep = '';
let serial = 0;
before(() => {
  mkdirSync(directory, { recursive: true });
  emulated(['--version']);
  deep = compile('deep.c', ['-fomit-frame-pointer']);
});
after(() => rmSync(directory, { recursive: true, force: true }));

function under(scripts: Readonly<Record<string, string>>, command: readonly string[], o: RunOptions = {}): Outcome {
  const path = join(directory, `rules-${++serial}`);
  mkdirSync(path);
  for (const [name, text] of Object.entries(scripts)) writeFileSync(join(path, name.includes('.') ? name : `${name}.lua`), text);
  return emulated(command, { cwd: directory, ...o, options: ['--quiet', '--rules', path, ...(o.options ?? [])] });
}
const logs = (o: Outcome): string[] =>
  o.stderr.split('\n').flatMap((l) => (l.startsWith('[Lua Log] ') ? [l.slice(10)] : []));
const forward = 'return c_do_syscall(num, ...) end';

describe('registers', () => {
  test('are those at the call, and can be listed', () => {
    const r = under({ getpid: `function do_syscall(num, ...)
      local all = c_list_regs()
      assert(#all > 20 and all[1] == 'rax')
      for _, name in ipairs(all) do assert(math.type(c_get_reg(name)) == 'integer', name) end
      c_log(c_get_reg('rdi') .. ' ' .. c_get_reg('rsi') .. ' ' .. c_get_reg('rdx') .. ' ' .. tostring(c_get_reg('rip') == ctx.pc) .. ' ' .. tostring(c_get_reg('rcx') == ctx.pc))
      c_log(tostring(select(2, c_get_reg('nonsense'))) .. ' ' .. tostring(select(2, c_set_reg('nonsense', 1))))
      ${forward}` }, [deep]);
    assert.deepEqual(logs(r), ['11 22 33 true true', '-22 -22'], r.stderr);
    assert.equal(r.stdout.toString(), 'done\n');
  });
  test('a changed program counter is where the guest goes on', () => {
    // The first getpid is skipped with its caller’s frames intact: back to the C library’s wrapper, as if it had returned 0.
    const r = under({ getpid: `function do_syscall(num, ...)
      assert(c_set_reg('r12', c_get_reg('r12')) == true)
      local bytes = c_read_bytes(ctx.pc, 2)
      assert(c_set_reg('rip', ctx.pc) == true)
      return 5 end` }, [deep]);
    assert.equal(r.stdout.toString(), 'done\n', r.stderr);
    const killed = under({ getpid: `function do_syscall() c_set_reg('rip', 16) return 1 end` }, [deep]);
    assert.equal(killed.signal, 'SIGSEGV');
  });
});

describe('c_backtrace', () => {
  const script = `function do_syscall(num, ...)
    local names = {}
    for _, f in ipairs(c_backtrace()) do names[#names + 1] = f.symbol or '?' assert(f.pc and f.offset and f.text:find('0x')) end
    c_log(table.concat(names, ' '))
    c_log(#c_backtrace(2))
    ${forward}`;
  test('names the functions of a program without frame pointers', () => {
    const r = under({ getpid: script }, [deep]);
    assert.match(logs(r)[0] ?? r.stderr, /^syscall innermost middle outermost main /);
    assert.equal(logs(r)[1], '2');
  });
  test('goes through a signal’s frame', () => {
    const r = under({ getpid: `local n = 0 ${script.replace('local names', 'n = n + 1 if n > 9 then return 1 end local names')}` }, [deep, 'signal']);
    const line = logs(r).find((l) => l.includes('innermost')) ?? r.stderr;
    assert.match(line, /^syscall innermost middle outermost handler .* raise main /);
  });
});

describe('paths', () => {
  before(() => {
    mkdirSync(join(directory, 'tree/sub'), { recursive: true });
    writeFileSync(join(directory, 'tree/sub/file'), 'x');
    symlinkSync('sub', join(directory, 'tree/link'));
    symlinkSync('sub/absent', join(directory, 'tree/dangling'));
    symlinkSync('loop', join(directory, 'tree/loop'));
  });
  test('c_path and c_fd_path give what the call means', () => {
    const names = ['sub/file', 'link/file', './link/../sub/file', '../tree/link', 'absent', 'dangling', 'no/such', 'loop', '/etc/../etc/hostname', ''];
    const r = under({ faccessat: `function do_syscall(num, dirfd, path, ...)
      local name = c_read_string(path)
      c_log(name .. ' = ' .. tostring(c_path(dirfd, path) or select(2, c_path(dirfd, path))) .. ' | ' .. tostring(c_path(dirfd, name, false) or 'none'))
      shared.fd = c_fd_path(dirfd)
      c_log(shared.fd .. ' ' .. tostring(select(2, c_fd_path(99))))
      return c_do_syscall(num, dirfd, path, ...) end` }, [deep, join(directory, 'tree'), ...names]);
    const tree = realpathSync(join(directory, 'tree'));
    const all = logs(r);
    assert.deepEqual(all.filter((_, k) => k % 2 === 0), [
      `sub/file = ${tree}/sub/file | ${tree}/sub/file`,
      `link/file = ${tree}/sub/file | ${tree}/sub/file`,
      `./link/../sub/file = ${tree}/sub/file | ${tree}/sub/file`,
      `../tree/link = ${tree}/sub | ${tree}/link`,
      `absent = ${tree}/absent | ${tree}/absent`,
      `dangling = ${tree}/sub/absent | ${tree}/dangling`,
      'no/such = -2 | none',
      `loop = -40 | ${tree}/loop`,
      `/etc/../etc/hostname = ${realpathSync('/etc')}/hostname | ${realpathSync('/etc')}/hostname`,
      ` = ${tree} | ${tree}`,
    ], r.stderr);
    assert.deepEqual(new Set(all.filter((_, k) => k % 2 === 1)), new Set([`${tree} -9`]));
  });
});

test('ctx tells which program it is', () => {
  const r = under({ getpid: `function do_syscall(num, ...)
    c_log(tostring(ctx.pid == c_do_syscall(num)) .. ' ' .. tostring(ctx.tid == ctx.pid) .. ' ' .. ctx.name .. ' ' .. ctx.exe .. ' ' .. ctx.argv[0] .. ' ' .. ctx.argv[1] .. ' ' .. #ctx.argv)
    local n = 0 for _ in pairs(ctx) do n = n + 1 end
    c_log(n .. ' ' .. tostring(pcall(function() ctx.pid = 1 end)) .. ' ' .. tostring(ctx.nothing))
    ${forward}` }, [deep, 'signal'], { options: ['-0', 'zeroth'] });
  assert.deepEqual(logs(r).slice(0, 2), [`true true ${deep.split('/').at(-1)?.slice(0, 15)} ${realpathSync(deep)} zeroth signal 1`, '6 false nil'], r.stderr);
});

test('errors show the call being handled, decoded, and a count at the end', () => {
  const r = under({ faccessat: 'function do_syscall() error("oops") end' }, [deep, '/etc', 'hostname', 'passwd', 'group']);
  assert.match(r.stderr, /oops\nstack traceback:[^]*\n\twhile the guest was calling faccessat\(3, "hostname", R_OK\)\n\t\(.*: the original call is made instead\)\n/);
  assert.match(r.stderr, /\[Lua Error\] 3 times in all: .*oops\n$/);
});

describe('--rules-strict', () => {
  const probes = [
    'io', 'os.execute', 'os.exit', 'os.remove', 'os.rename', 'os.tmpname', 'dofile', 'loadfile', 'package.loadlib', 'package.searchpath',
    'package.loaded.io', 'debug.getregistry', 'debug.sethook', 'debug.setmetatable', 'debug.getupvalue',
  ];
  const script = `function do_syscall(num, ...)
    local found = {}
    for name in ('${probes.join(' ')}'):gmatch('%S+') do
      local value = _ENV
      for part in name:gmatch('[^.]+') do value = value and value[part] end
      if value ~= nil then found[#found + 1] = name end
    end
    c_log(#found .. ' ' .. table.concat(found, ' '))
    c_log(tostring(load(string.dump(function() return 1 end))) .. ' ' .. tostring(load(string.dump(function() return 1 end), 'x', 'b')))
    c_log(tostring(load('return 7')()) .. tostring(load('return x', 'x', 't', {x = 8})()) .. tostring(pcall(require, 'io')) .. tostring(pcall(require, 'stray')))
    print('a', 1, nil)
    c_log(type(os.time()) .. type(os.getenv) .. type(string.pack) .. type(utf8) .. type(coroutine) .. type(debug.traceback()))
    ${forward}`;
  const ways: [string, string[], Record<string, string>][] = [
    ['the option', ['--rules-strict'], {}],
    ['rules.toml', [], { 'rules.toml': 'strict = true' }],
  ];
  for (const [how, options, files] of ways) {
    test(`by ${how}: nothing that reaches the host is left`, () => {
      writeFileSync(join(directory, 'stray.lua'), 'return 1');
      const r = under({ getpid: script, ...files }, [deep], { options });
      assert.deepEqual(logs(r), ['0 ', 'nil nil', '78falsefalse', 'a\t1\tnil', 'numberfunctionfunctiontabletablestring'], r.stderr);
      assert.equal(r.stdout.toString(), 'done\n');
    });
  }
  test('without it they are there', () => {
    const [found] = logs(under({ getpid: script }, [deep]));
    for (const name of ['io', 'os.exit', 'os.remove', 'dofile', 'package.searchpath', 'debug.getregistry'])
      assert.ok(found?.split(' ').includes(name), `${name} in ${found}`);
  });
});
