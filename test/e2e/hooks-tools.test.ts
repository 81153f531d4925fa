/** The tools around rules on real programs: --inject, --audit, --explain. */

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { compile, emulated, type Outcome, type RunOptions, work } from './harness.ts';

const directory = join(work, 'hooks-tools');
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

function rules(scripts: Readonly<Record<string, string>>): string {
  const path = join(directory, `rules-${++serial}`);
  mkdirSync(path);
  for (const [name, text] of Object.entries(scripts)) writeFileSync(join(path, name.includes('.') ? name : `${name}.lua`), text);
  return path;
}
const run = (options: readonly string[], command: readonly string[], o: RunOptions = {}): Outcome =>
  emulated(command, { cwd: directory, ...o, options: ['--quiet', ...options] });
/** What `append` of the guest printed for each write, and what is in its file. */
function append(times: number, ...options: string[]): { results: string; file: string; outcome: Outcome } {
  const path = join(directory, `appended-${++serial}`);
  const outcome = run(options, [guest, 'append', path, String(times)]);
  const results = outcome.stdout.toString().trim();
  return { results, file: readFileSync(path, 'latin1'), outcome };
}

describe('--inject', () => {
  test('error: from a count on, up to one, every so many', () => {
    // The guest prints its results by a sixth write.
    assert.deepEqual([append(5, '--inject', 'write:error=ENOSPC:when=2..3').results], ['1/0 -1/28 -1/28 1/0 1/0']);
    assert.deepEqual([append(5, '--inject', 'write:error=5:when=1+2').results], ['-1/5 1/0 -1/5 1/0 -1/5']);
    assert.deepEqual([append(5, '--inject', 'write:error=EIO:when=2').results], ['1/0 -1/5 1/0 1/0 1/0']);
    assert.deepEqual([append(5, '--inject', 'write:error=EIO:when=1..5+3').results], ['-1/5 1/0 1/0 -1/5 1/0']);
  });
  test('a call that fails is not made; retval neither', () => {
    const { results, file } = append(4, '-inject=write:retval=7:when=2..3');
    assert.equal(results, '1/0 7/0 7/0 1/0');
    assert.equal(file, 'ad');
  });
  test('poke changes what goes in and what came out', () => {
    assert.equal(append(3, '--inject', 'write:poke_enter=@arg2=58:when=2').file, 'aXc');
    const file = join(directory, 'poked');
    writeFileSync(file, 'abc');
    const r = run(['--inject', 'read:poke_exit=@arg2=4a', '-P', file], ['cat', file]);
    assert.equal(r.stdout.toString(), 'Jbc', r.stderr);
  });
  test('signal', () => {
    assert.equal(run(['--inject', 'getpid:signal=SIGTERM'], [deep]).signal, 'SIGTERM');
    assert.equal(run(['--inject', 'getpid:signal=usr1:when=2'], [deep]).status, 0);
  });
  test('delay, before and after', () => {
    for (const how of ['delay_enter=300ms', 'delay_exit=300000']) {
      const start = process.hrtime.bigint();
      assert.equal(run(['--inject', `getpid:${how}`], [deep]).stdout.toString(), 'done\n');
      assert.ok(process.hrtime.bigint() - start > 300_000_000n);
    }
  });
  test('sets: classes, regular expressions, all others; a later rule for a call replaces an earlier one', () => {
    assert.equal(append(1, '--inject', '%net,/^write$:error=EIO:when=1').results, '-1/5');
    assert.equal(append(1, '--inject', 'desc:error=EIO:when=999+').results, '1/0');
    assert.equal(append(2, '--inject', 'write:error=EIO:when=1', '--inject', '1,?nothing:error=ENOSPC:when=2').results, '1/0 -1/28');
  });
  test('-P limits it to a path, by name or by descriptor', () => {
    const code = 'import os\nfor p in ("one", "two"):\n  try: f = open(p, "w"); f.write("x"); f.close(); print("fine")\n  except OSError as e: print(e.errno)';
    const r = run(['--inject', 'write:error=ENOSPC', '-P', join(directory, 'one')], ['python3', '-c', code]);
    assert.equal(r.stdout.toString(), '28\nfine\n', r.stderr);
    const opening = run(['--inject', '%file:error=EACCES', '-P', 'one'], ['python3', '-c', code]);
    assert.equal(opening.stdout.toString(), '13\nfine\n', opening.stderr);
  });
  test('comes before the rules, and the log says so', () => {
    const path = rules({ write: 'function do_syscall(num, fd, ...) if fd > 2 then c_log("met") end return c_do_syscall(num, fd, ...) end' });
    const { outcome, results } = append(2, '--rules', path, '--inject', 'write:error=EIO:when=1', '-strace');
    assert.equal(results, '-1/5 1/0');
    assert.equal(outcome.stderr.match(/\[Lua Log\] met/g)?.length, 1);
    assert.match(outcome.stderr, /^write\(3, "a", 1\) += -1 EIO \(Input\/output error\) \(INJECTED\)$/m);
    assert.match(outcome.stderr, /^write\(3, "b", 1\) += 1 \(HOOKED\)$/m);
  });
  test('mistakes are told in one line before anything runs', () => {
    for (const [expression, message] of [
      ['write', /what to inject into but not what/],
      ['wrote:error=EIO', /no system call "wrote"; did you mean write\?/],
      ['%nett:error=EIO', /there is no class %nett/],
      ['write:error=EOI', /error=EOI: not the name of an error.*did you mean EIO\?/],
      ['write:error=EIO:retval=1', /exclude each other/],
      ['write:retval=-1', /retval=-1: not a number/],
      ['write:when=0:error=EIO', /when=0: counts begin at 1/],
      ['write:when=5..2:error=EIO', /LAST is not below FIRST/],
      ['write:when=often:error=EIO', /when=often: not FIRST/],
      ['write:signal=SIGFOO', /signal=SIGFOO: not a signal/],
      ['write:delay_enter=1h', /delay_enter=1h: not a time/],
      ['write:poke_enter=arg1=00', /is not @argN=HEX/],
      ['write:erorr=EIO', /there is no "erorr"; did you mean error\?/],
      ['/(:error=EIO', /is not a regular expression/],
    ] as const) {
      const r = run(['--inject', expression], [guest, 'append', '/dev/null', '1']);
      assert.equal(r.status, 125, expression);
      assert.match(r.stderr, message);
      assert.match(r.stderr, /^lunagate: --inject [^\n]+\n$/);
      assert.equal(r.stdout.length, 0);
    }
  });
});

describe('--audit', () => {
  test('one JSON object a call: what was asked, what came of it', () => {
    const log = join(directory, 'audit-%d.jsonl');
    const path = rules({ getpid: 'function do_syscall() return 4242 end' });
    const r = run(['--rules', path, '--audit', log], [guest, 'ask'], { input: '\n' });
    assert.equal(r.stdout.toString(), '4242\n');
    const [name = ''] = emulated(['bash', '-c', 'echo audit-*'], { cwd: directory }).stdout.toString().trim().split(' ');
    const records = readFileSync(join(directory, name), 'utf8').trimEnd().split('\n').map((l) => JSON.parse(l));
    const pid = Number(/\d+/.exec(name)?.[0]);
    assert.ok(records.every((x) => x.pid === pid && x.tid === pid && x.time > 1.6e9 && typeof x.nr === 'number'));
    const one = (syscall: string) => records.find((x) => x.syscall === syscall);
    assert.deepEqual({ ...one('getpid'), time: 0, us: 0, pid: 0, tid: 0 }, { time: 0, pid: 0, tid: 0, syscall: 'getpid', nr: 39, args: {}, raw: [], ret: '4242', us: 0, hooked: true });
    const write = one('write');
    assert.deepEqual(write.args, { fd: '1', buf: '"4242\\n"', count: '5' });
    assert.equal(write.ret, '5');
    assert.equal(write.hooked, undefined);
    assert.ok(records.some((x) => x.error === 'ENOENT' && x.ret === '-2'), 'the loader looks for ld.so.preload');
    assert.deepEqual([records.at(-1).syscall, records.at(-1).args, records.at(-1).ret], ['exit_group', { error_code: '0' }, undefined]);
  });
  test('a file that cannot be written is told', () => {
    const r = run(['--audit', '/no/such/file'], [guest, 'ask']);
    assert.equal(r.status, 125);
    assert.match(r.stderr, /^lunagate: --audit \/no\/such\/file: [^\n]+\n$/);
  });
});

describe('--explain', () => {
  test('what ran, what failed, what never ran and what came close', () => {
    const path = rules({
      write: 'function do_syscall(num, ...) c_do_syscall(num, ...) return c_do_syscall(num, ...) end',
      getpid: 'function do_syscall() error("x") end',
      open: 'function do_syscall() return 0 end',
      socket: 'function do_syscall() return 0 end',
      read: 'function do_syscall() return 0 end',
      'rules.toml': '[script.read.when]\nfd = 77',
    });
    const r = run(['--rules', path, '--explain'], [guest, 'ask'], { input: '\n\n' });
    const at = r.stderr.indexOf('lunagate: what the rules did\n');
    const text = r.stderr.slice(at);
    assert.match(text, /^ {2}\S+getpid\.lua +2 +0 +2 +[\d.]+ +[\d.]+$/m);
    assert.match(text, /^ {2}\S+write\.lua +2 +4 +0 +[\d.]+ +[\d.]+$/m);
    assert.match(text, /open\.lua: never called; the guest called openat \d+ times\n/);
    assert.match(text, /socket\.lua: never called\n/);
    assert.match(text, /read\.lua: never called, though the guest called read \d+ times: no call met the conditions in rules\.toml\n/);
  });
});
