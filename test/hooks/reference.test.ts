/** The guide's reference is the implementation's. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { guide, withReference } from '../../scripts/hooks-reference.ts';
import { aliases, type ApiContext, hookFunctions } from '../../src/hooks/api.ts';
import { contextFields } from '../../src/hooks/api-guest.ts';
import { reference, tables } from '../../src/hooks/reference.ts';

test('every function is described, and nothing else', () => {
  const functions = Object.keys(hookFunctions(() => undefined as unknown as ApiContext)).filter((n) => n.startsWith('c_'));
  const described = Object.values(reference).flatMap((section) => Object.keys(section));
  assert.deepEqual(described.toSorted(), ['c_do_syscall', ...functions].toSorted());
  for (const name of Object.values(aliases)) assert.ok(described.includes(name), name);
  const ctx = tables.find((t) => t.signature === 'ctx')?.text ?? '';
  for (const field of contextFields) assert.ok(ctx.includes(`\`${field}\``), field);
});
test('the guide has it word for word', () => {
  const text = readFileSync(guide, 'utf8');
  assert.equal(text, withReference(text), 'run scripts/hooks-reference.ts');
});
