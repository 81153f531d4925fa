/**
 * The Chinese pages are in step with the English ones: the same headings by level, the same code (comments may be
 * translated), the same tables and lists by size, the same code in the first column of each table.
 */

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '../..');

interface Shape {
  readonly headings: string[];
  readonly code: string[];
  readonly tables: string[][];
  readonly items: number;
  readonly paragraphs: number;
}

/** Without comments, which may be translated. */
function bare(code: string): string {
  return code.split('\n').map((line) => line.replace(/(^|\s)(--|#|\/\/)\s.*$/, '$1').trimEnd()).join('\n');
}

function shapeOf(text: string): Shape {
  const code: string[] = [];
  const rest = text.replace(/^```(\w*)\n([^]*?)^```$/gm, (_, language: string, block: string) => {
    code.push(`${language}\n${bare(block)}`);
    return '';
  });
  const indented = [...rest.matchAll(/(?:^ {4}.*\n)+/gm)].map((m) => m[0]);
  const tables: string[][] = [];
  for (const [table] of rest.matchAll(/(?:^\|.*\n)+/gm)) {
    // The commas between code are Chinese in a Chinese text.
    tables.push(table.trim().split('\n').slice(2).map((row) => [...(row.split('|')[1] ?? '').matchAll(/`[^`]+`/g)].map((m) => m[0]).join(' ')));
  }
  const prose = rest.replace(/^(?:\|| {4}|<!--).*$/gm, '');
  return {
    headings: [...prose.matchAll(/^(#+) /gm)].map((m) => m[1] as string),
    code: [...code, ...indented.map(bare)],
    tables,
    items: [...prose.matchAll(/^- /gm)].length,
    paragraphs: prose.split(/\n{2,}/).filter((p) => p.trim() !== '' && !/^\[(English|中文)\]/.test(p)).length,
  };
}

for (const [english, chinese] of [['README.md', 'README.zh-CN.md'], ['docs/writing-rules.md', 'docs/writing-rules.zh-CN.md']] as const) {
  const texts = [english, chinese].map((name) => readFileSync(join(root, name), 'utf8')) as [string, string];
  test(`${chinese} is in step with ${english}`, () => {
    const [original, translation] = texts.map(shapeOf) as [Shape, Shape];
    assert.ok(original.code.length > 3 && original.tables.length > 0, 'the page was read');
    assert.deepEqual(translation, original);
  });
  test(`${chinese}: links lead somewhere, and both pages name each other`, () => {
    for (const [name, text] of [[english, texts[0]], [chinese, texts[1]]] as const) {
      for (const [, target = ''] of text.matchAll(/\]\(([^)#]+)/g)) assert.ok(existsSync(join(root, dirname(name), target)), `${name}: ${target}`);
    }
    assert.ok(texts[0].includes(chinese.split('/').at(-1) as string) && texts[1].includes(english.split('/').at(-1) as string));
  });
}
