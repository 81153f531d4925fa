import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import { main } from '../../src/cli/cli.ts';
import { cleanEnvironment, fromText } from '../../src/cli/invocation.ts';
import { helpText, parseCommandLine, type RunOptions, UsageError } from '../../src/cli/options.ts';
import { syscallHelp } from '../../src/cli/syscall-help.ts';
import { VERSION } from '../../src/cli/version.ts';
import { ExecError } from '../../src/loader/exec-error.ts';
import { full, none, syscall } from '../../src/syscalls/declare.ts';

function latin1(list: readonly Uint8Array[]): string[] {
  return list.map((b) => Buffer.from(b).toString('latin1'));
}

function parse(
  args: string[],
  env: string[] = [],
): Omit<RunOptions, 'program' | 'argv' | 'envp'> & { program: string; argv: string[]; envp: string[] } {
  const command = parseCommandLine({ args, env });
  assert.equal(command.kind, 'run');
  assert.ok(command.kind === 'run');
  const { argv, envp, ...rest } = command.options;
  return { ...rest, program: command.program, argv: latin1(argv), envp: latin1(envp) };
}

function refused(args: string[], message: RegExp, env: string[] = []): void {
  assert.throws(
    () => parseCommandLine({ args, env }),
    (e) => {
      assert.ok(e instanceof UsageError, String(e));
      assert.match(e.message, message);
      return true;
    },
  );
}

describe('options', () => {
  test("end at the program; what follows is the guest's, options or not", () => {
    const r = parse(['-strace', 'prog', '-strace', '--rules', '--', '-E']);
    assert.equal(r.program, 'prog');
    assert.deepEqual(r.argv, ['prog', '-strace', '--rules', '--', '-E']);
    assert.equal(r.strace, true);
    assert.deepEqual(r.rules, []);
  });
  test('-x and --x are alike', () => {
    assert.deepEqual(parse(['-rules', 'd', '--rules', 'e', '--rules=f', 'p']).rules, ['d', 'e', 'f']);
    assert.equal(parse(['--strace', 'p']).strace, true);
    assert.equal(parse(['--L', '/sys', 'p']).sysroot, '/sys');
    assert.equal(parse(['-L', '/sys', 'p']).sysroot, '/sys');
    assert.equal(parse(['-quiet', 'p']).quiet, true);
  });
  test('-- ends them, and a lone dash is a program', () => {
    assert.equal(parse(['--', '-odd']).program, '-odd');
    assert.equal(parse(['-', 'x']).program, '-');
  });
  test('sizes', () => {
    const size = (text: string): number | undefined => parse(['-s', text, 'p']).stackSize;
    assert.deepEqual(['65536', '0x10000', '64k', '64K', '16M', '1g'].map(size), [
      65536,
      65536,
      65536,
      65536,
      16 << 20,
      1 << 30,
    ]);
    for (const bad of ['', '0', '-1', '12Q', 'big', '1.5M'])
      refused(['-s', bad, 'p'], /-s .*not a size; write bytes, or a number with K, M or G/);
    refused(['-s', '100G', 'p'], /at most 2G/);
  });
  test('-0 sets argv[0] and not the program', () => {
    const r = parse(['-0', 'zero', 'prog', 'a']);
    assert.deepEqual([r.program, r.argv], ['prog', ['zero', 'a']]);
    assert.deepEqual(parse(['-0', '', 'prog']).argv, ['']);
  });
  test('-cpu', () => {
    assert.equal(parse(['p']).cpu, undefined);
    assert.equal(parse(['-cpu', 'x86-64-v2,+aes', 'p']).cpu, 'x86-64-v2,+aes');
    assert.equal(parse(['p'], ['QEMU_CPU=max']).cpu, 'max');
    assert.equal(parse(['-cpu', 'x86-64-v1', 'p'], ['QEMU_CPU=max']).cpu, 'x86-64-v1');
    refused(['-cpu', '', 'p'], /-cpu needs the name of a CPU/);
    for (const args of [['-cpu', 'help'], ['-cpu', '?', 'p'], ['--help', 'cpu']]) assert.deepEqual(parseCommandLine({ args, env: [] }), { kind: 'help', topic: 'cpu' });
  });
  test('-seed', () => {
    assert.equal(parse(['-seed', '42', 'p']).seed, 42);
    refused(['-seed', 'x', 'p'], /-seed x: not a whole number/);
  });
  test('-d and -D', () => {
    const r = parse(['-d', 'strace', '-D', '/tmp/log', 'p']);
    assert.deepEqual([r.strace, r.logFile], [true, '/tmp/log']);
    refused(['-d', 'in_asm', 'p'], /no log item "in_asm"; the one there is: strace/);
  });
  test('mistakes name the option and the remedy', () => {
    refused([], /no program to run; usage: lunagate/);
    refused([''], /the name of the program is empty/);
    refused(['--rules'], /--rules needs a value: --rules DIR/);
    refused(['-bogus', 'p'], /unknown option -bogus; --help lists the options/);
    refused(['--rule', 'd', 'p'], /unknown option --rule; did you mean --rules\?/);
    refused(['-strase', 'p'], /did you mean --strace\?/);
    refused(['--strace=yes', 'p'], /unknown option --strace=yes/);
    refused(['-E', 'NAME', 'p'], /-E NAME: "NAME" is not VAR=VALUE/);
    refused(['-E', 'A=1,b', 'p'], /"b" is not VAR=VALUE \(a comma separates/);
    refused(['-U', 'A=1', 'p'], /-U A=1: "A=1" is not the name of a variable/);
    refused(['--rules', '\xff', 'p'], /not valid UTF-8/);
    refused(['--help', 'cooking'], /no help on "cooking"; topics: syscalls/);
  });
  test('any arguments at all give a command or a UsageError', () => {
    const word = fc.oneof(
      fc.constantFrom(
        '-',
        '--',
        '-E',
        '-U',
        '-s',
        '-0',
        '-L',
        '--rules',
        '-strace',
        'A=1',
        '=',
        ',',
        '--help',
        '-D',
        '--seed=1',
      ),
      fc.string({ unit: 'binary-ascii', maxLength: 12 }),
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 8 }), fc.array(word, { maxLength: 4 }), (args, env) => {
        try {
          parseCommandLine({ args, env });
        } catch (e) {
          if (!(e instanceof UsageError)) throw e;
        }
      }),
    );
  });
});

describe("the guest's environment", () => {
  const env = ['A=1', 'B=2', 'C=3'];
  test('is handed on as it is', () => {
    assert.deepEqual(parse(['p'], [...env, 'odd', 'A=again', 'X=\xff\xfe']).envp, [
      ...env,
      'odd',
      'A=again',
      'X=\xff\xfe',
    ]);
  });
  test('-E sets and replaces, -U removes, the last word counts', () => {
    assert.deepEqual(parse(['-E', 'D=4', '-E', 'B=two', '-U', 'A', 'p'], env).envp, ['B=two', 'C=3', 'D=4']);
    assert.deepEqual(parse(['-E', 'A=x', '-U', 'A', 'p'], env).envp, ['B=2', 'C=3']);
    assert.deepEqual(parse(['-U', 'A', '-E', 'A=x', 'p'], env).envp.toSorted(), ['A=x', 'B=2', 'C=3']);
    assert.deepEqual(parse(['-E', 'X=1,Y=,Z=a=b', '-U', 'A,B,C', 'p'], env).envp, ['X=1', 'Y=', 'Z=a=b']);
    assert.deepEqual(parse(['-E', 'A=\xff', 'p'], ['A=1']).envp, ['A=\xff']);
    assert.deepEqual(parse(['-E', 'A=x', 'p'], ['A=1', 'B=2', 'A=3']).envp, ['A=x', 'B=2']);
  });
  test('QEMU_SET_ENV and QEMU_UNSET_ENV come before the options', () => {
    const r = parse(['-E', 'A=cli', 'p'], ['A=0', 'B=0', 'QEMU_SET_ENV=A=env,N=1', 'QEMU_UNSET_ENV=B']);
    assert.deepEqual(r.envp.toSorted(), ['A=cli', 'N=1', 'QEMU_SET_ENV=A=env,N=1', 'QEMU_UNSET_ENV=B']);
  });
  test('what the launcher added is not in it; what it had to hide is', () => {
    const raw = [
      'A=1',
      'LUNAGATE_INTERNAL_SAVED_NODE_OPTIONS=--x',
      'LUNAGATE_INTERNAL_START=9',
      'LUNAGATE_INHERITED=ign=0',
      'LUNAGATE_RULES=r',
      'NODE_OPTIONS=other',
    ];
    assert.deepEqual(cleanEnvironment(raw), ['A=1', 'LUNAGATE_RULES=r', 'NODE_OPTIONS=--x']);
    const tuned = [...raw.slice(0, 1), 'GLIBC_TUNABLES=its own', 'MALLOC_TRIM_THRESHOLD_=7', 'LUNAGATE_INHERITED=ign=0'];
    assert.deepEqual(cleanEnvironment(tuned), ['A=1']);
    assert.deepEqual(cleanEnvironment([...tuned, 'LUNAGATE_INTERNAL_SAVED_GLIBC_TUNABLES=own']), ['A=1', 'GLIBC_TUNABLES=own']);
  });
});

test("the launcher's copy of the environment goes before what the shell made of it", () => {
  const exact = ['Z=1', 'BASH_FUNC_f%%=() { :; }', 'no equals sign', 'A=\xff', 'LUNAGATE_INTERNAL_BIN=/x'];
  const note = Buffer.from(exact.map((e) => `${e}\0`).join(''), 'latin1').toString('base64');
  assert.deepEqual(cleanEnvironment(['A=1', 'PWD=/', `LUNAGATE_INTERNAL_ENVIRON=${note}`]), exact.slice(0, 4));
  assert.deepEqual(cleanEnvironment(['A=1', 'LUNAGATE_INTERNAL_ENVIRON=']), []);
});

describe('environment variables of qemu-user', () => {
  test('mean what the options mean', () => {
    const r = parse(
      ['p'],
      [
        'QEMU_LD_PREFIX=/sys',
        'QEMU_STACK_SIZE=1M',
        'QEMU_ARGV0=zero',
        'QEMU_STRACE=',
        'QEMU_LOG_FILENAME=/tmp/l',
        'QEMU_RAND_SEED=7',
        'QEMU_RULES=q',
      ],
    );
    assert.deepEqual(
      [r.sysroot, r.stackSize, r.argv, r.strace, r.logFile, r.seed, r.rules],
      ['/sys', 1 << 20, ['zero'], true, '/tmp/l', 7, ['q']],
    );
    assert.equal(parse(['p'], ['QEMU_LOG=strace']).strace, true);
  });
  test('LUNAGATE_RULES goes before QEMU_RULES, --rules before both', () => {
    assert.deepEqual(parse(['p'], ['LUNAGATE_RULES=l', 'QEMU_RULES=q']).rules, ['l']);
    assert.deepEqual(parse(['--rules', 'c', '--rules', 'd', 'p'], ['LUNAGATE_RULES=l']).rules, ['c', 'd']);
  });
  test('a bad one is named', () => {
    refused(['p'], /QEMU_STACK_SIZE huge: not a size/, ['QEMU_STACK_SIZE=huge']);
  });
});

interface Outcome {
  status: number;
  out: string;
  err: string;
  ran: RunOptions | undefined;
}

async function command(
  args: string[],
  env: string[] = [],
  run: (o: RunOptions) => number = () => 42,
): Promise<Outcome> {
  const result: Outcome = { status: -1, out: '', err: '', ran: undefined };
  result.status = await main(
    { args, env },
    {
      run: async (options) => {
        result.ran = options;
        return run(options);
      },
      syscallHelp: async () => 'THE TABLE\n',
      cpuHelp: async () => 'THE CPUS\n',
      print: (descriptor, text) => {
        if (descriptor === 1) result.out += text;
        else result.err += text;
      },
    },
  );
  return result;
}

describe('the command', () => {
  const directory = mkdtempSync(join(tmpdir(), 'lunagate-cli-'));
  after(() => rmSync(directory, { recursive: true }));
  const first = join(directory, 'first');
  const second = join(directory, 'second');
  for (const d of [first, second]) mkdirSync(d);
  const put = (path: string, mode: number): void => {
    writeFileSync(path, '');
    chmodSync(path, mode);
  };
  put(join(second, 'tool'), 0o755);
  put(join(first, 'locked'), 0o644);
  put(join(first, 'both'), 0o644);
  put(join(second, 'both'), 0o755);
  mkdirSync(join(first, 'tool'));
  const PATH = `PATH=${first}:${second}`;

  test('searches PATH for a name without a slash', async () => {
    const r = await command(['tool', 'x'], [PATH]);
    assert.equal(r.status, 42);
    assert.equal(Buffer.from(r.ran?.program ?? []).toString(), join(second, 'tool'));
    assert.deepEqual(latin1(r.ran?.argv ?? []), ['tool', 'x']);
    const both = await command(['both'], [PATH]);
    assert.equal(Buffer.from(both.ran?.program ?? []).toString(), join(second, 'both'));
  });
  test('leaves a name with a slash alone', async () => {
    const r = await command(['./no/such'], [PATH]);
    assert.equal(Buffer.from(r.ran?.program ?? []).toString(), './no/such');
  });
  test('not found: 127; found but not executable: 126', async () => {
    const missing = await command(['missing'], [PATH]);
    assert.deepEqual([missing.status, missing.err], [127, 'lunagate: missing: not found in PATH\n']);
    const locked = await command(['locked'], [PATH]);
    assert.equal(locked.status, 126);
    assert.match(locked.err, /first\/locked: Permission denied/);
    assert.match(
      (await command(['package.json'], [PATH])).err,
      /for the one in this directory write \.\/package\.json/,
    );
  });
  test("errors of the loader become a message and the shell's status", async () => {
    const fail = (error: ExecError) => (): number => {
      throw error;
    };
    const gone = await command(['./x'], [], fail(new ExecError('ENOENT', './x', 'No such file or directory')));
    assert.deepEqual([gone.status, gone.err], [127, 'lunagate: ./x: No such file or directory\n']);
    const wrong = await command(['./x'], [], fail(new ExecError('ENOEXEC', './x', 'it is not an ELF file')));
    assert.deepEqual([wrong.status, wrong.err], [126, 'lunagate: ./x: it is not an ELF file\n']);
  });
  test('wrong use: 125 and one line on stderr', async () => {
    const r = await command(['--nonsense', 'x']);
    assert.equal(r.status, 125);
    assert.match(r.err, /^lunagate: unknown option --nonsense;.*\n$/);
    assert.equal(r.ran, undefined);
  });
  test('--help, --help syscalls, --version', async () => {
    for (const flag of ['--help', '-help', '-h']) {
      const r = await command([flag]);
      assert.deepEqual([r.status, r.err, r.out], [0, '', helpText()]);
    }
    assert.equal((await command(['--help', 'syscalls'])).out, 'THE TABLE\n');
    assert.equal((await command(['-version'])).out, `lunagate ${VERSION}\n`);
    assert.match(helpText(), /--rules DIR/);
    assert.match(helpText(), /LUNAGATE_RULES, QEMU_RULES/);
  });
  test("the version is the package's", () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string;
    };
    assert.equal(VERSION, version);
  });
});

test('--help syscalls lists each call with its level', () => {
  const page = syscallHelp(
    [
      syscall({ name: 'beta', nr: { x86_64: 7 }, args: {}, support: none('nobody needs it') }),
      syscall({ name: 'alpha', nr: { x86_64: 3 }, args: {}, support: full, run: () => 0 }),
      syscall({ name: 'other', nr: { aarch64: 3 }, args: {}, support: full, run: () => 0 }),
    ],
    'x86_64',
  );
  assert.equal(
    page,
    'System calls of x86_64: 1 supported, 0 partly, 1 answered with ENOSYS.\n\n   3  alpha  full\n   7  beta   none: nobody needs it\n',
  );
});

test('arguments and environment arrive byte for byte in a real process', () => {
  const script = [
    `import { readInvocation } from ${JSON.stringify(new URL('../../src/cli/invocation.ts', import.meta.url).href)};`,
    'const { args, env } = readInvocation();',
    "process.stdout.write(Buffer.from(JSON.stringify([args, env.filter((e) => e.startsWith('TEST_'))])));",
  ].join('\n');
  const directory = mkdtempSync(join(tmpdir(), 'lunagate-bytes-'));
  try {
    const file = join(directory, 'show.mjs');
    writeFileSync(file, script);
    // printf makes bytes that are no UTF-8; the shell hands them on as they are.
    const shell = `exec env TEST_A="$(printf 'x\\377y')" LUNAGATE_INTERNAL_Q=1 "$0" --no-warnings "$1" '' "$(printf '\\200\\n\\377')" 'é' a=b ''`;
    const result = spawnSync('sh', ['-c', shell, process.execPath, file], { encoding: 'utf8' });
    assert.equal(result.stderr, '');
    assert.deepEqual(JSON.parse(result.stdout), [['', '\x80\n\xff', fromText('é'), 'a=b', ''], ['TEST_A=x\xffy']]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
