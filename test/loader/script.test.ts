/** `#!` lines: the kernel is the oracle. Each script is run natively and its argument list compared. */

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import { errnoName } from '../../src/abi/errno.ts';
import { ExecError } from '../../src/loader/exec-error.ts';
import { prepareExec } from '../../src/loader/prepare.ts';
import { parseScript } from '../../src/loader/script.ts';
import { fakeHost, text, x86 } from './fakes.ts';

const directory = mkdtempSync(join(tmpdir(), 'lunagate-script-'));
after(() => rmSync(directory, { recursive: true }));
const show = join(directory, 'show');
writeFileSync(
  `${show}.c`,
  '#include <stdio.h>\nint main(int c, char **v) { for (int i = 0; i < c; i++) fwrite(v[i], 1, __builtin_strlen(v[i]) + 1, stdout); return 0; }\n',
);
execFileSync('gcc', ['-O1', '-o', show, `${show}.c`]);
// execvp, which Node uses, hands what the kernel refuses to /bin/sh; execv does not.
const execute = join(directory, 'execute');
writeFileSync(
  `${execute}.c`,
  '#include <errno.h>\n#include <unistd.h>\nint main(int c, char **v) { execv(v[1], v + 1); return errno; }\n',
);
execFileSync('gcc', ['-O1', '-o', execute, `${execute}.c`]);
// A name as long as the buffer allows, for the cuts at its end.
const longName = `${directory}/${'n'.repeat(254 - 2 - directory.length - 1)}`;
execFileSync('ln', ['-s', show, longName]);

type Outcome = { argv: string[] } | { errno: string };

function natively(path: string, args: string[]): Outcome {
  const result = spawnSync(execute, [path, ...args], { encoding: 'latin1' });
  if (result.status !== 0) return { errno: errnoName(result.status ?? -1) ?? String(result.status) };
  return { argv: result.stdout.split('\0').slice(0, -1) };
}

function here(path: string, args: string[]): Outcome {
  const { host, open } = fakeHost();
  try {
    const argv = [path, ...args].map(text);
    const prepared = prepareExec(host, x86, 2 ** 34, { path: text(path), argv, envp: [], stackLimit: 8 << 20 });
    prepared.close();
    return { argv: prepared.argv.map((a) => Buffer.from(a).toString('latin1')) };
  } catch (error) {
    assert.ok(error instanceof ExecError, String(error));
    return { errno: errnoName(error.errno) ?? '' };
  } finally {
    assert.equal(open.size, 0, 'every descriptor is closed');
  }
}

const lines: Record<string, string> = {
  plain: `#!${show}\n`,
  'no newline': `#!${show}`,
  'blanks before the name': `#! \t ${show}\n`,
  'one argument': `#!${show} -x\n`,
  'one argument with spaces': `#!${show}   -x  -y\tz \t\n`,
  'trailing blanks only': `#!${show}  \t \n`,
  'argument without newline': `#!${show} -a b`,
  'carriage return in the name': `#!${show}\r\n`,
  'empty line': '#!\n',
  'blanks only': '#!   \n',
  'nothing at all': '#!',
  'NUL after the name': `#!${show}\0 more\n`,
  'NUL in the argument': `#!${show} ab\0cd ef\n`,
  'NUL in the name': '#!/bin\0/true\n',
  'NUL at once': '#!\0\n',
  'a name that just fits': `#!${longName}\n`,
  'a name that just fits, no newline': `#!${longName}`,
  'a name one too long': `#!${longName}n\n`,
  'an argument cut at the buffer': `#!${show} ${'a'.repeat(300)}\n`,
  'blanks past the buffer': `#!${show}${' '.repeat(300)}arg\n`,
  'all blanks': `#!${' '.repeat(400)}`,
  'missing interpreter': '#!/no/such/interpreter\n',
  'a directory as interpreter': '#!/tmp\n',
  'not executable as interpreter': `#!${show}.c\n`,
  'not a script nor ELF': 'echo hello\n',
  'empty file': '',
};

describe('a #! line', () => {
  for (const [title, content] of Object.entries(lines))
    test(title, () => {
      const path = join(directory, title.replaceAll(' ', '-').replaceAll('#!', ''));
      writeFileSync(path, content);
      chmodSync(path, 0o755);
      assert.deepEqual(here(path, ['one', 'two words']), natively(path, ['one', 'two words']));
    });

  test('scripts as interpreters of scripts, up to the limit', () => {
    let last = show;
    for (let depth = 1; depth <= 7; depth++) {
      const path = join(directory, `nested-${depth}`);
      writeFileSync(path, `#!${last} from-${depth}\n`);
      chmodSync(path, 0o755);
      const native = natively(path, ['arg']);
      assert.deepEqual(here(path, ['arg']), native, `depth ${depth}`);
      assert.equal('errno' in native, depth > 5, `depth ${depth}`);
      last = path;
    }
  });

  test('messages name the script and the interpreter', () => {
    const path = join(directory, 'message');
    writeFileSync(path, '#!/no/such/interpreter -x\n');
    chmodSync(path, 0o755);
    const { host } = fakeHost();
    const request = { path: text(path), argv: [], envp: [], stackLimit: 8 << 20 };
    assert.throws(
      () => prepareExec(host, x86, 2 ** 34, request),
      (e) =>
        e instanceof ExecError &&
        e.exitStatus === 127 &&
        e.message === `${path}: its #! interpreter /no/such/interpreter cannot be opened: No such file or directory`,
    );
  });

  test('any bytes are parsed without an exception', () => {
    const tail = fc.array(fc.oneof(fc.constantFrom(0, 9, 10, 32, 47), fc.nat({ max: 255 })), { maxLength: 300 });
    fc.assert(
      fc.property(tail, (bytes) => {
        const script = parseScript(Uint8Array.from([0x23, 0x21, ...bytes]));
        if (script !== undefined && script !== 'invalid') {
          assert.ok(!script.interpreter.some((b) => b === 0 || b === 32 || b === 9));
        }
      }),
    );
  });
});
