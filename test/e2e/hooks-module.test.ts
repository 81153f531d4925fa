/** --hooks: modules with hooks that run inside the engine. */

import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { compile, emulated, native, type Outcome, root, type RunOptions, work } from './harness.ts';

const directory = join(work, 'hooks-module');
let guest = '';
let serial = 0;
before(() => {
  mkdirSync(directory, { recursive: true });
  emulated(['--version']);
  guest = compile('api.c');
});
after(() => rmSync(directory, { recursive: true, force: true }));

function under(module: string, command: readonly string[], o: RunOptions = {}, ending = 'ts'): Outcome {
  const path = join(directory, `hooks-${++serial}.${ending}`);
  writeFileSync(path, module);
  return emulated(command, { cwd: directory, ...o, options: ['--hooks', path, ...(o.options ?? [])] });
}
const types = `import type { Hooks } from ${JSON.stringify(join(root, 'src/index.ts'))};\n`;

describe('a module', { concurrency: 2 }, () => {
  test('of TypeScript: all that a hook can do, answered at once', () => {
    const r = under(`${types}
      export const hooks: Hooks<'sync'> = {
        mkdirat(call) {
          const { args, memory } = call;
          console.log(call.text('path'), call.fdPath(args.dirfd), call.path(args.dirfd, args.path), args.mode, call.describe());
          console.log(call.registers.get('rip') === BigInt(call.pc), memory.readString(call.scratch('hello'), 3), call.backtrace(2).length, call.program().argv[1]);
          try { memory.readU8(16); } catch (error) { console.error(error.name, error.errno); }
          return call.original({ dirfd: -100, path: 'made' });
        },
      };`, [guest, 'mkdirat']);
    assert.equal(r.stdout.toString(), '../bin/new /usr/bin /usr/bin/new 511 mkdirat(3, "../bin/new", 0777)\ntrue hel 2 mkdirat\n' +
      (process.getuid?.() === 0 ? '0\n' : '13\n'));
    assert.equal(r.stderr, 'GuestError 14\n');
    rmSync('/usr/lib/made', { recursive: true, force: true });
  });
  test('of JavaScript, its functions exported one by one or as a default', () => {
    assert.equal(under('export function getppid() { return 5; }', [guest, 'ids'], {}, 'mjs').stdout.toString().split(' ')[0], '5');
    assert.equal(under('export default { getppid: () => 6 };', [guest, 'ids'], {}, 'mjs').stdout.toString().split(' ')[0], '6');
    assert.equal(under('module.exports = { getppid: () => 7 };', [guest, 'ids'], {}, 'cjs').stdout.toString().split(' ')[0], '7');
  });
  test('keeps its state over execve, has a copy after fork', () => {
    const r = under('let n = 0; export function write(call) { console.error(call.pid === call.tid, ++n); }', ['sh', '-c', 'echo a; (echo b); echo c; exec /bin/echo d']);
    assert.equal(r.stdout.toString(), 'a\nb\nc\nd\n');
    assert.deepEqual(r.stderr.match(/\d+/g), ['1', '2', '2', '3']);
  });
  test('serves threads, each with a copy of its own', () => {
    const r = under('let n = 0; export function getppid(call) { return ++n; }', [guest, 'threads']);
    assert.equal(r.stdout.toString(), `${4 * 210}\n`, r.stderr);
  });
  test('calls that fork, exec, return from a signal or end are what they are without', () => {
    const forward = 'export const hooks = { "*": (call) => call.original() };';
    for (const command of [['sh', '-c', 'trap "echo got" USR1; kill -USR1 $$; (exit 3); echo $?; exec /bin/echo x'], ['bash', '-c', 'echo $(echo sub) | cat; exit 5']]) {
      const r = under(forward, command);
      const plain = native(command);
      assert.deepEqual([r.stdout.toString(), r.stderr, r.status], [plain.stdout.toString(), plain.stderr, plain.status]);
    }
  });
  test('two modules and rules: in the order given, then the rules', () => {
    const rules = join(directory, 'rules');
    mkdirSync(rules);
    writeFileSync(join(rules, 'getppid.lua'), 'function do_syscall() return 1 end');
    const second = join(directory, 'second.mjs');
    writeFileSync(second, 'export function getppid(call) { return call.original() * 10 + 2; }');
    const r = under('export function getppid(call) { return call.original() * 10 + 3; }', [guest, 'ids'], { options: ['--hooks', second, '--rules', rules, '--quiet'] });
    assert.equal(r.stdout.toString().split(' ')[0], '123');
  });
  test('fails like a rule: the call is made once; deny and kill fail closed', () => {
    const failing = (onError: string, before = ''): Outcome =>
      under(`export const onError = '${onError}'; export const hooks = { write(call) { if (call.args.fd !== 1) return; ${before}
        throw new TypeError('bad'); } };`, [guest, 'write']);
    for (const before of ['', 'call.original();']) {
      const r = failing('passthrough', before);
      assert.equal(r.stdout.toString(), 'once\n');
      assert.match(r.stderr, /^\[Hook Error\] write: TypeError: bad\n {4}at .*write.*hooks-\d+\.ts:2:15\)\n\twhile the guest was calling write\(1, "once\\n", 5\)\n\t\(.*hooks-\d+\.ts: the original call .*\)\n5 0$/);
    }
    assert.match(failing('deny').stderr, /\(onError = "deny"\)\)\n-1 1$/);
    assert.equal(failing('kill').signal, 'SIGSYS');
    const async = under('export async function write() { return 1; }', [guest, 'write']);
    assert.equal(async.stdout.toString(), 'once\n');
    assert.match(async.stderr, /must not be async/);
  });
  test('what the guest makes of descriptors 1 and 2 does not reach its console', () => {
    const r = under('export const hooks = { execve(call) { console.log("from the hook"); } };', ['sh', '-c', 'exec >out 2>&1; exec /bin/echo from the guest']);
    assert.equal(r.stdout.toString(), 'from the hook\n');
    assert.equal(native(['cat', 'out'], { cwd: directory }).stdout.toString(), 'from the guest\n');
  });
  test('that cannot be used is told before anything runs', () => {
    for (const [module, message] of [
      ['export function opnat() {}', /no system call opnat; did you mean openat\?/],
      ['export const hooks = { read: 5 };', /read is no function/],
      ['export const onError = "maybe"; export function read() {}', /onError must be one of passthrough, deny, kill/],
      ['export const hooks = {};', /it exports no hooks/],
      ['\nexport function read( {', /hooks-\d+\.mjs:2: /],
      ['throw new Error("at the start");', /: at the start$/m],
    ] as const) {
      const r = under(module, ['echo', 'ran'], {}, 'mjs');
      assert.deepEqual([r.stdout.toString(), r.status], ['', 125], module);
      assert.match(r.stderr, /^lunagate: --hooks /);
      assert.match(r.stderr, message);
    }
    assert.match(emulated(['true'], { options: ['--hooks', '/no/such.ts'] }).stderr, /^lunagate: --hooks \/no\/such\.ts: Cannot find module/);
  });
});
