/** The corpus's own text format, and that every case in it can be read. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseCase, readCases, splitWords } from './cases.ts';

test('words are split as a shell splits them, and nothing is expanded', () => {
  assert.deepEqual(splitWords(String.raw`a 'b $x "' "c \"d\" $e \n" f\ g ""`), ['a', 'b $x "', String.raw`c "d" $e \n`, 'f g', '']);
  assert.deepEqual(splitWords('sort <in "<not"'), ['sort', '\0in', '<not']);
  assert.throws(() => splitWords("a 'b"), /unclosed/);
});

test('a case with everything', () => {
  const c = parseCase('g', 'A=1 prog -x <in :: before cp a b :: mask /\\d+ms/ T :: mask /^x.*\\n/ :: ignore d :: no-stderr :: slow :: known why');
  assert.deepEqual([c.argv, c.env, c.stdin, c.before, c.ignored], [['prog', '-x'], { A: '1' }, 'in', ['cp a b'], ['d']]);
  assert.deepEqual([c.stdout, c.stderr, c.slow, c.known], [true, false, true, 'why']);
  assert.equal(c.masks.reduce((text, m) => text.replace(m.pattern, m.text), 'x 1\n12ms 3ms\n'), 'T T\n');
  assert.throws(() => parseCase('g', 'prog :: nonsense'), /unknown directive/);
  assert.throws(() => parseCase('g', 'prog :: known'), /unknown directive/);
  assert.throws(() => parseCase('g', 'A=1'), /no program/);
});

test('the corpus is read, and is as large as it is said to be', () => {
  const cases = readCases(join(import.meta.dirname, 'cases'));
  assert.ok(cases.length >= 800, String(cases.length));
  assert.ok(new Set(cases.map((c) => c.argv[0])).size >= 300);
});
