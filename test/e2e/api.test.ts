/** The programming interface: hooks in this process, served over a channel. */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { errno, GuestError, type HookFailure, type Hooks, linux, type Output, type RunOptions, run } from '../../src/index.ts';
import { compile, emulated, lunagate, native, root, work } from './harness.ts';

let guestProgram = '';
const directory = join(work, 'api');
before(() => {
  mkdirSync(directory, { recursive: true });
  emulated(['--version']);
  guestProgram = compile('api.c');
});
after(() => rmSync(directory, { recursive: true, force: true }));

const env = { PATH: '/usr/local/bin:/usr/bin:/bin', LANG: 'C.UTF-8' };
/** test/e2e/programs/api.c */
const guest = (args: readonly string[], options: Partial<RunOptions> = {}): RunOptions => ({ program: guestProgram, args, env, cwd: directory, ...options });
const shell = (code: string, options: Partial<RunOptions> = {}): RunOptions => ({ program: '/bin/sh', args: ['-c', code], env, cwd: directory, ...options });
const output = (options: RunOptions, input?: string): Promise<Output> => run(options).output(input);

describe('run', { concurrency: 2, timeout: 120_000 }, () => {
  test('a guest without hooks: streams, status, environment, argv[0], directory', async () => {
    const r = await output(shell('cat; echo "$A $0"; pwd; echo err >&2; exit 3', { env: { ...env, A: 'ü' }, argv0: 'zeroth' }), 'input\n');
    assert.deepEqual(r, { stdout: `input\nü zeroth\n${directory}\n`, stderr: 'err\n', status: 3, signal: null });
  });
  test('its streams are streams', async () => {
    const echoing = run(shell('while read line; do echo "<$line>"; done'));
    let seen = '';
    for (const word of ['one', 'two']) {
      echoing.stdin?.write(`${word}\n`);
      for await (const chunk of echoing.stdout?.iterator({ destroyOnReturn: false }) ?? []) {
        seen += chunk;
        if (seen.endsWith(`<${word}>\n`)) break;
      }
    }
    echoing.stdin?.end();
    assert.deepEqual(await echoing.exited, { status: 0, signal: null });
    assert.equal(seen, '<one>\n<two>\n');
  });
  test('killed, aborted, not found', async () => {
    const sleeping = run(shell('kill -TERM $$; sleep 100'));
    assert.deepEqual(await sleeping.exited, { status: null, signal: 'SIGTERM' });
    const control = new AbortController();
    const aborted = run(shell('echo there; exec sleep 100', { signal: control.signal }));
    aborted.stdout?.once('data', () => control.abort());
    assert.deepEqual(await aborted.exited, { status: null, signal: 'SIGKILL' });
    const missing = await output({ program: '/no/such/program' });
    assert.equal(missing.status, 127);
    assert.match(missing.stderr, /no such program|not found|No such file/i);
    await assert.rejects(run({ program: 'true', cwd: '/no/such/directory' }).exited, { code: 'ENOENT' });
  });
  test('a node’s channel to its child is the guest’s, where no hooks are served over it', async () => {
    const child = spawn(lunagate, [guestProgram, 'ipc'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const messages: unknown[] = [];
    child.on('message', (message) => messages.push(message));
    assert.equal(await new Promise((resolve) => child.on('close', resolve)), 0);
    assert.deepEqual(messages, [{ hello: 3 }]);
  });
  test('hooks with names that are no system calls are refused before anything runs', () => {
    assert.throws(() => run({ program: 'true', hooks: { opneat: () => {} } as Hooks }), /no system call opneat; did you mean openat\?/);
    assert.throws(() => run({ program: 'true', hooks: { openat: 5 } as unknown as Hooks }), /hooks\.openat is no function/);
    assert.throws(() => run({ program: 'true', hooks: { read() {} }, onError: 'maybe' as 'deny' }), /maybe is none of passthrough, deny, kill/);
  });
  test('the options of the command line', async () => {
    const rules = join(directory, 'rules');
    mkdirSync(rules);
    writeFileSync(join(rules, 'getppid.lua'), 'function do_syscall() return 77 end');
    const log = join(directory, 'strace.log');
    const audit = join(directory, 'audit.log');
    const r = await output(guest(['mkdir'], {
      rules, banner: true, inject: ['mkdir:error=EXDEV'], strace: log, audit, seed: 1, cpu: 'x86-64-v2', stackSize: 1 << 20,
    }));
    assert.deepEqual([r.stdout, r.status], ['77 18\n', 0], r.stderr);
    assert.match(r.stderr, /^Rules folder path: .*\nLua environment initialized/);
    assert.match(readFileSync(log, 'utf8'), /getppid\(\) += 77 \(HOOKED\)\n/);
    assert.match(readFileSync(audit, 'utf8'), /"syscall":"mkdir"/);
  });
});

describe('hooks', { concurrency: 2, timeout: 120_000 }, () => {
  test('get the arguments by name, make the call with others, change the result', async () => {
    const seen: unknown[] = [];
    const r = await output(guest(['open'], {
      hooks: {
        async openat(call) {
          if ((await call.text('path')) !== '/etc/passwd') return undefined;
          seen.push(call.name, call.number, call.args.dirfd, call.args.flags, call.raw.length, call.raw[1] === BigInt(call.args.path));
          writeFileSync(join(directory, 'fake'), 'fake contents');
          return call.original({ path: join(directory, 'fake') });
        },
        async lseek(call) {
          if (call.args.offset !== -5n) return;
          seen.push(call.args);
          return (await call.original({ offset: 0n, whence: linux.SEEK_SET })) + 1000;
        },
        getppid: () => 4711,
      },
    }));
    assert.deepEqual(r, { stdout: '1000 9 fake cont\n4711\n', stderr: '', status: 0, signal: null });
    assert.deepEqual(seen, ['openat', 257, linux.AT_FDCWD, linux.O_CLOEXEC, 6, true, { fd: 3, offset: -5n, whence: 2 }]);
  });
  test('zero, one and many times; other calls; nothing returned lets the call go on, once', async () => {
    const counts = { write: 0, after: 0 };
    const r = await output(shell('echo a; echo b; echo c; echo d', {
      hooks: {
        async write(call) {
          switch (counts.write++) {
            case 0: return call.args.count;
            case 1: await call.original(); await call.syscall('write', { fd: 1, buf: 'also\n', count: 5 }); return call.original();
            case 2: await call.original(); return;
            default: return;
          }
        },
      },
    }));
    assert.equal(r.stdout, 'b\nalso\nb\nc\nd\n');
  });
  test('results and arguments are exact to 64 bits', async () => {
    const r = await output(guest(['exact'], {
      hooks: {
        getpid: () => 2n ** 63n - 1n,
        getppid: () => -(2n ** 63n),
        getuid(call) {
          return BigInt.asIntN(64, call.raw[1] as bigint) + BigInt.asIntN(64, call.raw[0] as bigint);
        },
        // The call made is one whose result no number holds; it is handed on as it came.
        getgid: async (call) => Number(await call.original64()) === 0 ? 2n ** 60n + 1n : 0,
      },
    }));
    assert.equal(r.stdout, `${2n ** 63n - 1n} ${-(2n ** 63n)} ${0x123456789abcdef0n - 1n} ${(process.getgid?.() ?? 0) === 0 ? 2n ** 60n + 1n : 0}\n`, r.stderr);
  });
  test('memory: every width, bytes, strings; a bad address is a GuestError and harms nobody', async () => {
    const seen: unknown[] = [];
    const r = await output(guest(['bytes'], {
      hooks: {
        async write(call) {
          const { memory, args } = call;
          const { buf } = args;
          seen.push(await memory.readU8(buf), await memory.readI8(buf), await memory.readU16(buf), await memory.readI16(buf), await memory.readU32(buf),
            await memory.readI32(buf), await memory.readU64(buf), await memory.readI64(buf), await memory.readString(buf + 8), await memory.readString(buf + 8, 2),
            (await memory.read(buf + 8, 0)).length);
          const at = await call.scratch(16);
          await memory.writeU8(at, 0x141);
          await memory.writeU16(at + 1, 0x4342);
          await memory.writeU32(at + 3, 0x47464544);
          await memory.writeU64(at + 7, 0x4f4e4d4c4b4a4948n);
          await memory.write(at + 15, '\n');
          for (const attempt of [memory.readU8(16), memory.write(2 ** 40, 'x'), memory.readString(0), memory.writeU64(-8, 1), memory.write(call.pc, 'x')]) {
            await assert.rejects(attempt, (error) => error instanceof GuestError && error.errno === errno.EFAULT);
          }
          assert.throws(() => memory.read(buf, -1), RangeError);
          await call.original({ buf: at, count: 16 });
          return args.count;
        },
      },
    }));
    assert.equal(r.stdout, 'ABCDEFGHIJKLMNO\n', r.stderr);
    assert.deepEqual(seen, [0x80, -128, 0xff80, -128, 0x0201ff80, 0x0201ff80, 0xfe0504030201ff80n, BigInt.asIntN(64, 0xfe0504030201ff80n), 'text', 'te', 0]);
  });
  test('large data both ways', async () => {
    const size = 5 << 20;
    const r = await output(guest(['big', String(size)], {
      hooks: {
        async write(call) {
          if (call.args.count !== size) return;
          const data = await call.memory.read(call.args.buf, call.args.count);
          return call.original({ buf: data.fill(121) });
        },
      },
    }));
    assert.equal(r.stdout, `${size}\n`, r.stderr);
    assert.ok(readFileSync(join(directory, 'big')).equals(Buffer.alloc(size, 121)));
  });
  test('registers, call stack, descriptors, paths, the program, the call in words', async () => {
    const facts: Record<string, unknown> = {};
    const r = await output(guest(['mkdirat'], {
      hooks: {
        async mkdirat(call) {
          Object.assign(facts, {
            registers: (await call.registers.list()).includes('rax'), rip: (await call.registers.get('rip')) === BigInt(call.pc),
            rdi: await call.registers.get('rdi'), fd: await call.fdPath(call.args.dirfd), path: await call.path(call.args.dirfd, call.args.path),
            given: await call.path(linux.AT_FDCWD, 'x/..').catch((e: GuestError) => e.errno), link: await call.path(linux.AT_FDCWD, '/proc/self/exe', false),
            words: await call.describe(), program: await call.program(), stack: (await call.backtrace(3)).length, ids: [call.pid, call.tid],
          });
          await assert.rejects(call.registers.get('nope'), (e) => e instanceof GuestError && e.errno === errno.EINVAL);
          await assert.rejects(call.fdPath(99), (e) => e instanceof GuestError && e.errno === errno.EBADF);
          await call.registers.set('r12', 5n);
          return -errno.EROFS;
        },
      },
    }));
    assert.match(r.stdout, /^30\n$/, r.stderr);
    const { ids, program, link, ...rest } = facts as { ids: number[]; program: { exe: string; argv: string[]; name: string }; link: string };
    assert.deepEqual(rest, {
      registers: true, rip: true, rdi: 3n, fd: '/usr/bin', path: '/usr/bin/new', given: errno.ENOENT,
      words: 'mkdirat(3, "../bin/new", 0777)', stack: 3,
    });
    assert.equal(ids[0], ids[1]);
    assert.deepEqual([program.argv.length, program.argv[1], program.name], [2, 'mkdirat', program.exe.split('/').at(-1)?.slice(0, 15)]);
    assert.match(link, /^\/proc\//);
  });
  test('"*" has what no other hook has', async () => {
    const names = new Map<string, number>();
    const r = await output(shell('echo x', {
      hooks: { '*': (call) => void names.set(call.name, (names.get(call.name) ?? 0) + 1), write: () => undefined },
    }));
    assert.equal(r.stdout, 'x\n');
    assert.ok((names.get('mmap') ?? 0) > 1 && names.get('execve') === undefined && names.get('write') === undefined && names.get('exit_group') === 1, [...names].join());
  });
  test('rules and injections stand behind: they see what a hook lets through or makes', async () => {
    const rules = join(directory, 'behind');
    mkdirSync(rules);
    writeFileSync(join(rules, 'getppid.lua'), 'function do_syscall() return 10 end');
    writeFileSync(join(rules, 'getpgrp.lua'), 'function do_syscall() return c_do_syscall(c_syscall_number "getppid") end');
    let direct = 0;
    const r = await output(guest(['ids'], {
      rules,
      hooks: {
        async getppid(call) {
          direct++;
          return (await call.original()) + 1;
        },
      },
    }));
    assert.equal(r.stdout, `11 ${process.pid}\n`, r.stderr);
    assert.equal(direct, 1);
  });
});

describe('hooks and processes', { concurrency: 2, timeout: 120_000 }, () => {
  const script = 'echo $$; (echo sub; /bin/echo child); exec /bin/echo exec';
  test('children, programs they become, forks that are themselves hooked', async () => {
    const pids = new Set<number>();
    const programs: string[] = [];
    const forked: number[] = [];
    const r = await output(shell(script, {
      hooks: {
        async write(call) {
          pids.add(call.pid);
          programs.push((await call.program()).argv[0] as string);
        },
        async clone(call) {
          const pid = await call.original();
          forked.push(pid);
          return pid;
        },
        async vfork(call) {
          forked.push(await call.original());
          return forked.at(-1);
        },
        execve: (call) => call.original(),
        exit_group: (call) => call.original(),
      },
    }));
    assert.match(r.stdout, /^\d+\nsub\nchild\nexec\n$/, r.stderr);
    assert.equal(r.stderr, '');
    assert.deepEqual(programs, ['/bin/sh', '/bin/sh', '/bin/echo', '/bin/echo']);
    assert.ok(pids.size >= 2 && forked.length >= 1 && forked.every((pid) => pid > 0), `${[...pids]} ${forked}`);
    assert.equal(Number(r.stdout.split('\n')[0]), [...pids][0]);
  });
  test('a hook that waits holds up its own process only', async () => {
    let release = (): void => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const order: string[] = [];
    const r = await output(shell('/bin/echo slow & /bin/echo quick; wait', {
      hooks: {
        async write(call) {
          const text = await call.memory.readString(call.args.buf, call.args.count);
          if (text === 'slow\n') await held;
          const n = await call.original();
          order.push(text);
          if (text === 'quick\n') release();
          return n;
        },
      },
    }));
    assert.deepEqual(order, ['quick\n', 'slow\n']);
    assert.equal(r.stdout, 'quick\nslow\n');
  });
  test('threads: each is served, whatever the others do', async () => {
    const callers = new Map<number, number>();
    let waiting: (() => void)[] = [];
    const r = await output(guest(['threads'], {
      hooks: {
        // The first call of each thread returns when all four are here: none holds up another.
        async getppid(call) {
          assert.notEqual(call.tid, call.pid);
          const before = callers.get(call.tid) ?? 0;
          callers.set(call.tid, before + 1);
          if (before === 0) {
            await new Promise<void>((resolve) => {
              waiting.push(resolve);
              if (waiting.length < 4) return;
              for (const go of waiting) go();
              waiting = [];
            });
          }
          return (await call.original()) === process.pid ? 100 : 0;
        },
      },
    }));
    assert.equal(r.stdout, '8000\n', r.stderr);
    assert.deepEqual([...callers.values()], [20, 20, 20, 20]);
  });
  test('a thread whose hook never answers does not hold up execve', async () => {
    let arrived = (): void => {};
    const waiting = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    const running = run(guest(['exec-from-thread'], {
      hooks: {
        getppid: () => {
          arrived();
          return new Promise(() => {});
        },
      },
    }));
    await waiting;
    assert.equal((await running.output('\n')).stdout, 'another program\n');
  });
  test('questions that nobody waits for do not meet the next call', async () => {
    const results: number[] = [];
    const r = await output(shell('echo a; echo b; exec /bin/echo c', {
      hooks: {
        write(call) {
          void call.memory.readU8(call.args.buf);
          void call.original().then((n) => results.push(n));
          void call.memory.readU8(call.args.buf);
        },
        execve(call) {
          void call.original();
          void call.program();
          void call.program();
        },
      },
    }));
    assert.equal(r.stdout, 'a\nb\nc\n', r.stderr);
    assert.deepEqual(results, [2, 2, 2]);
  });
  test('a signal breaks a call that a hook has made', async () => {
    const running = run(guest(['signal'], {
      hooks: {
        async read(call) {
          if (call.args.fd !== 0) return;
          const result = call.original();
          // Until the kernel has it in read(0, …).
          while (!readFileSync(`/proc/${call.pid}/syscall`, 'utf8').startsWith('0 0x0 ')) await new Promise((resolve) => setTimeout(resolve, 5));
          running.kill('SIGUSR1');
          assert.equal(await result, -errno.EINTR);
          return result;
        },
      },
    }));
    assert.equal(await collect(running.stdout), '-1 4 1\n');
  });
  test('after chroot, as another user, in other namespaces', { skip: process.getuid?.() !== 0 && 'needs root' }, async () => {
    const users: bigint[] = [];
    const r = await output(guest(['elsewhere'], {
      hooks: { getppid: async (call) => { users.push(BigInt(await call.syscall('getuid'))); return 99; } },
    }));
    assert.deepEqual([r.stdout, users], ['99\n', [65534n, 65534n]], r.stderr);
  });
  test('a process left behind does not keep this one', () => {
    const program = join(directory, 'leaves.ts');
    const pid = join(directory, 'left.pid');
    writeFileSync(program, `import { run } from ${JSON.stringify(join(root, 'src/index.ts'))};
      let calls = 0;
      const { status } = await run({ program: '/bin/sh', args: ['-c', 'sleep 1000 & echo $! >${pid}; exit 4'], stdio: 'ignore', hooks: { '*': () => void calls++ } }).exited;
      console.log(status, calls > 20);`);
    const r = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', program], { encoding: 'utf8', env, timeout: 60_000 });
    process.kill(Number(readFileSync(pid, 'utf8')), 'SIGKILL');
    assert.deepEqual([r.stdout, r.status], ['4 true\n', 0], r.stderr);
  });
  test('the guest sees nothing of it', async () => {
    const plain = native([guestProgram, 'look'], { env });
    const r = await output(guest(['look'], { env: { PATH: env.PATH, HOME: work, LANG: env.LANG }, hooks: { getdents64: () => undefined } }));
    assert.equal(r.stdout, plain.stdout.toString(), r.stderr);
  });
});

describe('hooks that fail', { concurrency: 2, timeout: 120_000 }, () => {
  const failing = async (hooks: Hooks, onError?: RunOptions['onError'], more: Partial<RunOptions> = {}) => {
    const failures: HookFailure[] = [];
    const r = await output({ ...guest(['write']), ...(onError === undefined ? {} : { onError }), onHookError: (f) => void failures.push(f), hooks, ...more });
    return { ...r, failures };
  };
  const once = { fd: 1 };

  test('the call is made, and never twice', async () => {
    for (const before of [false, true]) {
      const r = await failing({ async write(call) {
        if (before && call.args.fd === once.fd) await call.original();
        throw new Error('no good');
      } });
      assert.equal(r.stdout, 'once\n', r.stderr);
      const [first] = r.failures;
      assert.equal(first?.outcome, before ? 'the original call had been made; its result is used' : 'the original call is made instead');
      assert.equal(first?.call, 'write(1, "once\\n", 5)');
      assert.equal(first?.syscall, 'write');
    }
  });
  test('deny and kill fail closed', async () => {
    const refuse: Hooks = { write: (call) => { if (call.args.fd === 1) throw new Error('x'); } };
    const denied = await failing(refuse, 'deny');
    assert.deepEqual([denied.stdout, denied.stderr, denied.status], ['', '-1 1', 0]);
    assert.equal(denied.failures[0]?.outcome, 'the guest gets EPERM');
    const killed = await failing(refuse, 'kill');
    assert.deepEqual([killed.stdout, killed.signal], ['', 'SIGSYS']);
  });
  test('results that are none, promises that reject, hooks that take too long, questions after the end', async () => {
    for (const result of ['x', Number.NaN, null, 2n ** 64n]) {
      const r = await failing({ write: () => result as number });
      assert.equal(r.stdout, 'once\n');
      assert.match(String(r.failures[0]?.error), /a hook returned|what a hook returns is to be an integer/);
    }
    const rejected = await failing({ write: () => Promise.reject('just text') });
    assert.equal(rejected.failures[0]?.error, 'just text');
    const late = await failing({ write: (call) => (call.args.fd === 1 ? new Promise(() => {}) : undefined) }, undefined, { hookTimeout: 50 });
    assert.equal(late.stdout, 'once\n');
    assert.match(String(late.failures[0]?.error), /more than 50 milliseconds/);
    let over: Promise<unknown> | undefined;
    const ended = await failing({ write: (call) => { setImmediate(() => { over = call.memory.readU8(call.args.buf).catch((e) => e.message); }); } });
    assert.equal(ended.stdout, 'once\n');
    assert.match(String(await over), /the call is over/);
  });
  test('said once for each distinct error, with a count', () => {
    const program = join(directory, 'noisy.ts');
    writeFileSync(program, `import { run } from ${JSON.stringify(join(root, 'src/index.ts'))};
      await run({ program: '/bin/sh', args: ['-c', 'echo a; echo b; echo c'], stdio: 'inherit', hooks: { write() { throw new TypeError('bad'); } } }).exited;`);
    const r = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', program], { encoding: 'utf8', env });
    assert.equal(r.stdout, 'a\nb\nc\n');
    assert.match(r.stderr, /^\[Hook Error\] write: TypeError: bad\n {4}at .*noisy\.ts:2:\d+\)\n\twhile the guest was calling write\(1, "a\\n", 2\)\n\t\(the original call is made instead\)\n\[Hook Error\] 3 times in all: write: TypeError: bad\n$/);
  });
  test('the program that serves the hooks dies: the guest goes on as onError says', async () => {
    for (const [onError, expected] of [['passthrough', 'done\n'], ['deny', '']] as const) {
      const file = join(directory, `orphan-${onError}`);
      const program = join(directory, `dies-${onError}.ts`);
      writeFileSync(program, `import { run } from ${JSON.stringify(join(root, 'src/index.ts'))};
        run({ program: '/bin/sh', args: ['-c', 'echo first; echo done >${file}; echo end >${file}.end 2>/dev/null; : >${file}.over'], stdio: 'ignore', onError: '${onError}',
          hooks: { write(call) { process.kill(process.pid, 'SIGKILL'); return new Promise(() => {}); } } });`);
      const r = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', program], { encoding: 'utf8', env });
      assert.equal(r.signal, 'SIGKILL', r.stderr);
      for (let k = 0; k < 500 && !existsSync(`${file}.over`); k++) await new Promise((resolve) => setTimeout(resolve, 20));
      assert.equal(readFileSync(file, 'utf8'), expected);
    }
  });
});

async function collect(stream: NodeJS.ReadableStream | null): Promise<string> {
  let all = '';
  for await (const chunk of stream ?? []) all += chunk;
  return all;
}
