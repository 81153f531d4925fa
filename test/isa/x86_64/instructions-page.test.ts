/** Every mnemonic has a test against the host or of its own, and docs/instructions.md tells so. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { instructionsPage, judgedBy, mnemonics } from '../../../scripts/instructions-page.ts';
import { JUDGES, ownTests } from './judges.ts';

const root = new URL('../../../', import.meta.url);

test('no mnemonic is without a test', () => {
  const without = [...mnemonics()].filter(([mnemonic, rows]) => judgedBy(mnemonic, rows).length === 0);
  assert.deepEqual(without.map(([mnemonic]) => mnemonic), []);
});

test('tests of their own exist, and those in C name the instructions that nothing else judges', () => {
  const missing: string[] = [];
  for (const [mnemonic, rows] of mnemonics()) {
    for (const file of ownTests(mnemonic)) {
      const source = readFileSync(new URL(file, root), 'utf8');
      if (file.endsWith('.c') && rows.every((row) => JUDGES.every((judge) => !judge.judges(row))) && !source.includes(mnemonic)) missing.push(`${mnemonic}: ${file}`);
    }
  }
  assert.deepEqual(missing, []);
});

test('docs/instructions.md is current', () => {
  assert.equal(readFileSync(new URL('docs/instructions.md', root), 'utf8'), instructionsPage(), 'run scripts/instructions-page.ts');
});
