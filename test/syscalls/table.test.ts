import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { constantSets } from '../../src/abi/constant-set.ts';
import '../../src/abi/linux.ts';
import { syscallByName, syscallByNumber, syscallName, syscallNumber, syscallNumbers, syscalls, tableConflicts } from '../../src/syscalls/table.ts';
import { syscallsPage } from '../../scripts/syscalls-page.ts';

const kernel = new Map(
  readFileSync(new URL('x86-64-syscalls.txt', import.meta.url), 'utf8')
    .split('\n')
    .filter((line) => /^\d/.test(line))
    .map((line) => line.split(' '))
    .map(([nr, name]) => [Number(nr), name as string] as const),
);

test('every number and name of the kernel, once', () => {
  assert.deepEqual(tableConflicts(), []);
  assert.deepEqual(syscallNumbers().map((nr) => `${nr} ${syscallName(nr)}`), [...kernel].map(([nr, name]) => `${nr} ${name}`));
  for (const [nr, name] of kernel) {
    assert.equal(syscallNumber(name), nr);
    assert.equal(syscallByNumber(nr), syscallByName(name));
  }
  assert.equal(syscallByNumber(334 + 3), undefined);
});

test('support levels are honest: none exactly where there is no handler, a reason wherever not full', () => {
  for (const s of syscalls) {
    assert.equal(s.run === undefined, s.support.level === 'none', s.name);
    assert.equal(s.support.reason === '', s.support.level === 'full', s.name);
  }
});

test('flag sets and enumerations named by declarations exist', () => {
  const known = new Set(constantSets().map((set) => set.name));
  const missing = syscalls.flatMap((s) =>
    s.args
      .filter(({ type }) => (type.kind === 'flags' || type.kind === 'enum') && !known.has(type.set as string))
      .map(({ name, type }) => `${s.name}(${name}): ${type.set}`),
  );
  assert.deepEqual(missing, []);
});

test('docs/syscalls.md is what the declarations say', () => {
  assert.equal(readFileSync(new URL('../../docs/syscalls.md', import.meta.url), 'utf8'), syscallsPage());
});
