/** The directory of kept translations: appended to, replaced, bounded in size, nobody else's files. */
import assert from 'node:assert/strict';
import { chownSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { PackDirectory } from '../../src/host/pack-files.ts';

const work = mkdtempSync(join(tmpdir(), 'lunagate-packs-'));
after(() => rmSync(work, { recursive: true, force: true }));

const contents = (packs: PackDirectory, name: string): string | undefined => {
  const file = packs.open(name);
  if (file === undefined) return undefined;
  try {
    return Buffer.from(file.read(0, file.size)).toString();
  } finally {
    file.close();
  }
};

test('what is appended follows what was there; replacing forgets it', () => {
  const packs = new PackDirectory(join(work, 'append', 'packs'), 'engine');
  assert.equal(contents(packs, 'a.pack'), undefined);
  assert.equal(readdirSync(work).length, 0, 'reading makes no directory');
  packs.append('a.pack', Buffer.from('one '));
  packs.append('a.pack', Buffer.from('two'));
  assert.equal(contents(packs, 'a.pack'), 'one two');
  packs.replace('a.pack', Buffer.from('three'));
  assert.equal(contents(packs, 'a.pack'), 'three');
  assert.deepEqual(readdirSync(join(work, 'append', 'packs')), ['a.pack']);
  assert.equal(statSync(join(work, 'append', 'packs', 'a.pack')).mode & 0o777, 0o600);
});

test('reads end where the file does', () => {
  const packs = new PackDirectory(join(work, 'read'), 'engine');
  packs.append('a.pack', Buffer.from('0123456789'));
  const file = packs.open('a.pack');
  assert.ok(file !== undefined);
  assert.equal(Buffer.from(file.read(8, 100)).toString(), '89');
  assert.equal(file.read(10, 1).length, 0);
  assert.equal(file.read(1000, 1).length, 0);
  file.close();
});

test('all together stay within the limit: what was used longest ago goes', () => {
  const path = join(work, 'limit');
  const packs = new PackDirectory(path, 'engine', 10_000);
  for (let k = 0; k < 10; k++) {
    packs.append(`${k}.pack`, new Uint8Array(1000));
    utimesSync(join(path, `${k}.pack`), 1000 + k, 1000 + k);
  }
  assert.equal(readdirSync(path).length, 10);
  utimesSync(join(path, '0.pack'), 2000, 1000);
  packs.append('new.pack', new Uint8Array(1000));
  assert.deepEqual(readdirSync(path).sort(), ['0.pack', '5.pack', '6.pack', '7.pack', '8.pack', '9.pack', 'new.pack']);
});

test("another user's file is not read", { skip: process.getuid?.() !== 0 }, () => {
  const path = join(work, 'foreign');
  const packs = new PackDirectory(path, 'engine');
  packs.append('a.pack', Buffer.from('code'));
  chownSync(join(path, 'a.pack'), 12345, 12345);
  assert.equal(packs.open('a.pack'), undefined);
  packs.append('a.pack', Buffer.from(' more'));
  assert.equal(statSync(join(path, 'a.pack')).size, 4);
});
