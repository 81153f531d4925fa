/** The rules in examples/rules do what their READMEs say, with a fake kernel behind them. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { errno } from '../../src/abi/errno.ts';
import { linuxConstants } from '../../src/abi/linux.ts';
import { DATA, Fixture } from './fixture.ts';

const root = join(import.meta.dirname, '../../examples/rules');
const example = (name: string) =>
  new Fixture({}, { directories: [join(root, name)], constants: { errno: () => errno, linux: linuxConstants } });

test('monitor-writes', () => {
  using f = example('monitor-writes');
  f.answer = ({ args }) => args[2] as bigint;
  assert.equal(f.call('write', 1, DATA, 6), 6n);
  assert.equal(f.stderr(), '[Lua Log] Writing 6 bytes to fd 1\n[Lua Log] Wrote 6 bytes, ret=6\n');
});

test('fake-pid', () => {
  using f = example('fake-pid');
  f.answer = () => 4711n;
  assert.equal(f.call('getpid'), 14711n);
  assert.equal(f.stderr(), '[Lua Log] Real PID: 4711, returning: 14711\n');
});

test('block-network', () => {
  using f = example('block-network');
  f.answer = () => 3n;
  assert.equal(f.call('socket', 2, 1, 0), -1n);
  assert.deepEqual(f.originals, []);
  assert.equal(f.call('socket', 1, 1, 0), 3n);
  assert.equal(f.stderr(), '[Lua Log] Blocked network socket\n');
});

test('read-statistics', () => {
  using f = example('read-statistics');
  for (const [result, line] of [
    [10n, 10],
    [-4n, undefined],
    [0n, undefined],
    [5n, 15],
  ] as const) {
    f.answer = () => result;
    const before = f.stderr().length;
    assert.equal(f.call('read', 0, DATA, 100), result);
    assert.equal(f.stderr().slice(before), line === undefined ? '' : `[Lua Log] Total read: ${line} bytes\n`);
  }
});

test('log-opens', () => {
  using f = example('log-opens');
  f.machine.guestMemory.write(DATA, Buffer.from('/etc/passwd\0'));
  f.answer = () => 3n;
  assert.equal(f.call('openat', -100, DATA, 0), 3n);
  f.answer = () => -13n;
  assert.equal(f.call('openat', -100, DATA, 0o101, 0o644), -13n);
  assert.equal(f.call('openat', -100, 8), -13n);
  assert.equal(
    f.stderr(),
    '[Lua Log] open for read: /etc/passwd -> fd 3\n[Lua Log] open for write: /etc/passwd -> EACCES\n' +
      '[Lua Log] open for read: <bad address 0x8> -> EACCES\n',
  );
});

test('every example has its README, with a command line that names its folder', () => {
  const folders = readdirSync(root);
  assert.ok(folders.length >= 5);
  for (const folder of folders) {
    assert.match(
      readFileSync(join(root, folder, 'README.md'), 'utf8'),
      new RegExp(`lunagate (-\\S+ \\S+ )*--rules examples/rules/${folder} /`),
      folder,
    );
    assert.ok(
      readdirSync(join(root, folder)).some((file) => file.endsWith('.lua')),
      folder,
    );
  }
});
