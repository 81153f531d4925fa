/** docs/coming-from.md: every example does what the page says. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { emulated, root, work } from './harness.ts';

const page = readFileSync(join(root, 'docs/coming-from.md'), 'utf8');
const directory = join(work, 'coming-from');
before(() => {
  mkdirSync(join(directory, 'bin'), { recursive: true });
  emulated(['--version']);
  for (const name of ['lunagate', 'qemu-x86_64']) symlinkSync(join(root, 'bin', name), join(directory, 'bin', name));
  symlinkSync(process.execPath, join(directory, 'bin/node'));
  // As an installed package would be found.
  mkdirSync(join(directory, 'node_modules'));
  symlinkSync(root, join(directory, 'node_modules/lunagate'));
});
after(() => rmSync(directory, { recursive: true, force: true }));

/** Commands with what they print, of one console block. */
function commands(block: string): { command: string; output: string }[] {
  return block.split(/^\$ /m).slice(1).map((part) => {
    const end = part.indexOf('\n');
    return { command: part.slice(0, end), output: part.slice(end + 1) };
  });
}

describe('docs/coming-from.md', () => {
  let ran = 0;
  for (const section of page.split(/^## /m).slice(1)) {
    const title = section.slice(0, section.indexOf('\n'));
    test(title, () => {
      const place = join(directory, title.replace(/\W+/g, '-'));
      mkdirSync(place);
      for (const [, language, block = ''] of section.matchAll(/^```(\w+)\n([^]*?)^```$/gm)) {
        if (language === 'lua' || language === 'js') {
          const name = /^(?:--|\/\/) ([\w./]+)/.exec(block)?.[1];
          assert.ok(name !== undefined, `a block says what file it is: ${block}`);
          mkdirSync(dirname(join(place, name)), { recursive: true });
          writeFileSync(join(place, name), block);
          continue;
        }
        assert.equal(language, 'console');
        for (const { command, output } of commands(block)) {
          const r = spawnSync('sh', ['-c', `exec 2>&1; ${command}`], {
            cwd: place, encoding: 'utf8', env: { PATH: `${join(directory, 'bin')}:/usr/bin:/bin`, HOME: work, LC_ALL: 'C' },
          });
          assert.equal(r.stdout, output, command);
          ran++;
        }
      }
    });
  }
  test('nothing was left out', () => assert.equal(ran, [...page.matchAll(/^\$ /gm)].length));
  test('links lead somewhere', () => {
    for (const [, target = ''] of page.matchAll(/\]\(([^)]+)\)/g)) {
      const [file = '', anchor] = target.split('#');
      assert.ok(existsSync(join(root, 'docs', file)), target);
      if (anchor === undefined || file !== '') continue;
      const headings = [...page.matchAll(/^#+ (.*)$/gm)].map((m) => (m[1] as string).toLowerCase().replace(/[^\w -]/g, '').replace(/ /g, '-'));
      assert.ok(headings.includes(anchor), anchor);
    }
  });
});
