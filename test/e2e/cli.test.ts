/** The command line from outside: what the guest gets, and how lunagate ends. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { compile, emulated, lunagate, native, type Outcome, work } from './harness.ts';

const directory = join(work, 'cli');
const file = (name: string, content: string | Buffer, mode = 0o755): string => {
  const path = join(directory, name);
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
};
before(() => mkdirSync(directory, { recursive: true }));
after(() => rmSync(directory, { recursive: true, force: true }));

let show = '';
before(() => {
  show = compile('show-start.c');
});

/** lunagate with exactly this environment. */
function run(args: readonly string[], env: Record<string, string> = {}): Outcome {
  const r = spawnSync(lunagate, args as string[], { env, cwd: directory, timeout: 60_000 });
  return { stdout: r.stdout, stderr: r.stderr.toString(), status: r.status, signal: r.signal };
}
const lines = (o: Outcome): string[] => o.stdout.toString('latin1').split('\n').slice(0, -1);
const only = (o: Outcome, what: string): string[] =>
  lines(o).flatMap((l) => (l.startsWith(`${what} `) ? [l.slice(what.length + 1)] : []));

describe('what the guest is given', () => {
  test('arguments and environment, byte for byte and in order', () => {
    const shell = `exec env -i Z=last PATH=/bin "A=$(printf '\\377x')" EMPTY= "$1" "$2" '' "$(printf '\\200\\n\\377')" é 'a b' -E --rules`;
    const through = spawnSync('sh', ['-c', shell, 'sh', lunagate, show], { cwd: directory });
    const direct = spawnSync(
      'sh',
      [
        '-c',
        `exec env -i Z=last PATH=/bin "A=$(printf '\\377x')" EMPTY= "$2" '' "$(printf '\\200\\n\\377')" é 'a b' -E --rules`,
        'sh',
        '',
        show,
      ],
      { cwd: directory },
    );
    assert.equal(through.stderr.toString(), '');
    assert.ok(direct.stdout.length > 50);
    assert.equal(through.stdout.toString('latin1'), direct.stdout.toString('latin1'));
  });
  test('-E, -U, -0 and their variables', () => {
    const env = { A: '1', B: '2' };
    assert.deepEqual(only(run(['-E', 'C=3,A=x', '-U', 'B', show], env), 'env'), ['A=x', 'C=3']);
    assert.deepEqual(only(run(['-0', 'zero', show, 'one'], env), 'arg'), ['zero', 'one']);
    const variables = run([show], { ...env, QEMU_SET_ENV: 'C=3', QEMU_UNSET_ENV: 'B', QEMU_ARGV0: 'null' });
    assert.deepEqual(only(variables, 'arg'), ['null']);
    assert.deepEqual(
      only(variables, 'env')
        .filter((e) => !e.startsWith('QEMU_'))
        .toSorted(),
      ['A=1', 'C=3'],
    );
  });
  test('-s sets the size of the stack', () => {
    const deep = (size: string): number | null => run(['-s', size, show, '--stack', '3000'], {}).status;
    assert.equal(deep('16M'), 0);
    assert.notEqual(run(['-s', '1M', show, '--stack', '3000'], {}).signal, null);
  });
  test('-L gives the interpreter and absolute paths', () => {
    const prefix = join(directory, 'prefix');
    mkdirSync(join(prefix, 'etc'), { recursive: true });
    writeFileSync(join(prefix, 'etc/only-here'), 'inside\n');
    const r = emulated(['/bin/cat', '/etc/only-here', '/etc/hostname'], { options: ['-L', prefix] });
    assert.equal(r.stderr, '');
    assert.equal(r.stdout.toString(), `inside\n${readFileSync('/etc/hostname')}`);
    assert.equal(
      emulated(['/bin/cat', '/etc/only-here'], { env: { QEMU_LD_PREFIX: prefix } }).stdout.toString(),
      'inside\n',
    );
  });
  test('the same seed, the same memory; without one, another each time', () => {
    const addresses = (...options: string[]): string => only(run([...options, show, '--addresses']), 'at').join(' ');
    assert.ok(addresses('-seed', '1').length > 20);
    assert.equal(addresses('-seed', '1'), addresses('-seed', '1'));
    assert.notEqual(addresses(), addresses());
  });
  test('a script runs in its interpreter', () => {
    const script = file('script', `#!${show} one argument\n`);
    assert.deepEqual(only(run([script, 'two']), 'arg'), [show, 'one argument', script, 'two']);
    const nested = file('nested', `#!${script}\n`);
    const native2 = native([nested, 'x'], { cwd: directory });
    assert.deepEqual(only(run([nested, 'x']), 'arg'), only(native2, 'arg'));
  });
  test('a program is found in PATH, by links too', () => {
    symlinkSync(show, join(directory, 'linked'));
    assert.deepEqual(only(run(['linked', 'a'], { PATH: `/nowhere:${directory}` }), 'arg'), ['linked', 'a']);
  });
});

describe('how it ends', () => {
  test("exit status and signal are the guest's", () => {
    assert.equal(run([show, '--exit', '42']).status, 42);
    assert.equal(run([show, '--exit', '255']).status, 255);
    assert.equal(run([show, '--signal', '15']).signal, 'SIGTERM');
    assert.equal(run([show, '--signal', '9']).signal, 'SIGKILL');
    const shell = spawnSync('sh', ['-c', `"${lunagate}" "${show}" --signal 15; echo $?`]);
    assert.equal(shell.stdout.toString(), '143\n');
  });
  const refusal = (args: string[], status: number, message: RegExp, env = {}): void => {
    const r = run(args, env);
    assert.equal(r.status, status, r.stderr);
    assert.match(r.stderr, message);
    assert.match(r.stderr, /^lunagate: [^\n]+\n$/, 'one line and no stack trace');
    assert.equal(r.stdout.length, 0);
  };
  test('a program that cannot be run is named with the reason', () => {
    const whole = readFileSync(show);
    refusal(['./absent'], 127, /\.\/absent: No such file or directory/);
    refusal(['absent'], 127, /absent: not found in PATH/, { PATH: '/bin' });
    refusal([directory], 126, /is a directory/);
    refusal([file('text', 'hello\n')], 126, /text: it is neither an ELF program nor a script/);
    refusal([file('plain', whole, 0o644)], 126, /plain: Permission denied/);
    refusal([file('cut', whole.subarray(0, 2500))], 126, /cut: .*cut off/);
    refusal([file('head', whole.subarray(0, 40))], 126, /head: the file ends after 40 bytes/);
    const foreign = Buffer.from(whole);
    foreign.writeUInt16LE(183, 18);
    refusal([file('arm', foreign)], 126, /arm: it is a program for AArch64, not for x86-64/);
    const lost = Buffer.from(whole);
    lost.write('/lib64/ld-linux-x86-64.so.9', lost.indexOf('/lib64/ld-linux-x86-64.so.2'));
    refusal(
      [file('lost', lost)],
      127,
      /lost: its program interpreter \/lib64\/ld-linux-x86-64.so.9 cannot be opened: No such file/,
    );
  });
  test('wrong use is told in one line', () => {
    refusal([], 125, /no program to run/);
    refusal(['--nonsense', show], 125, /unknown option --nonsense/);
    refusal(['-s', 'huge', show], 125, /-s huge: not a size/);
    refusal(
      ['-strace', '-D', '/no/such/log', show],
      125,
      /-D \/no\/such\/log: the log cannot be written there: No such file/,
    );
  });
});

describe('-strace', () => {
  /** Addresses and process ids differ from run to run. */
  const neutral = (log: string): string[] =>
    log
      .split('\n')
      .filter((l) => l !== '')
      .map((l) => l.replace(/0x[0-9a-f]{5,}/g, 'ADDRESS').replace(/ {2,}=/, ' ='));

  test('the log of a program is the one strace writes', () => {
    const program = compile('trace-me.c', ['-static', '-nostdlib', '-fno-stack-protector', '-fno-builtin']);
    const log = join(directory, 'native.log');
    const traced = native(['strace', '-o', log, program], { cwd: directory });
    assert.equal(traced.status, 7, traced.stderr);
    const expected = neutral(readFileSync(log, 'utf8')).slice(1); // its own execve
    const r = emulated([program], { options: ['-strace'], cwd: directory });
    assert.equal(r.status, 7);
    assert.ok(expected.length > 15);
    assert.deepEqual(neutral(r.stderr), expected);
    assert.equal(r.stdout.toString(), traced.stdout.toString());
  });
  test('-D writes it to a file, %d being the process id', () => {
    const r = emulated([show, '--exit', '0'], {
      options: ['-strace', '-D', join(directory, 'log-%d')],
      cwd: directory,
    });
    assert.equal(r.stderr, '');
    const name = spawnSync('sh', ['-c', `ls ${directory}/log-*`])
      .stdout.toString()
      .trim();
    assert.match(name, /log-\d+$/);
    assert.match(readFileSync(name, 'utf8'), /^exit_group\(0\) += \?\n\+\+\+ exited with 0 \+\+\+\n/m);
  });
});
