/** What the log says around the calls: exits, unwinding, hooks, several tasks, signals. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { errno } from '../../src/abi/errno.ts';
import { InterceptorSet, interceptorOrder } from '../../src/kernel/interceptor.ts';
import { GuestFault, type GuestMemory, type Host, SyscallFrame, Unwind } from '../../src/kernel/ports.ts';
import type { Task } from '../../src/kernel/task.ts';
import { syscallNumber } from '../../src/syscalls/table.ts';
import { createStrace, LogFileError, type Strace } from '../../src/trace/strace.ts';

/** All zeros, everywhere. */
const zeros = {
  read: (_addr: number, length: number) => {
    if (!(length >= 0 && length <= 1 << 20)) throw new RangeError(`a read of ${length} bytes`);
    return new Uint8Array(length);
  },
  readPartial: (_addr: number, length: number) => new Uint8Array(length),
} as unknown as GuestMemory;
const memory = {
  read: (addr: number) => {
    throw new GuestFault(addr);
  },
  readPartial: () => new Uint8Array(0),
} as unknown as GuestMemory;

class Setup {
  readonly writes: string[] = [];
  readonly interceptors = new InterceptorSet();
  readonly strace: Strace;
  constructor(options: { logFile?: string; openResult?: number } = {}) {
    const scratch = new Uint8Array(4096);
    const host = {
      nr: { getpid: 1, openat: 2 },
      scratch: { address: 0, bytes: scratch, mark: () => 0, release: () => {}, alloc: () => 0 },
      syscall: (nr: number) => (nr === 1 ? 4321 : options.openResult),
      writeAll: (fd: number, bytes: Uint8Array) => this.writes.push(`${fd}:${Buffer.from(bytes)}`),
    } as unknown as Host;
    this.strace = createStrace({ host, logFile: options.logFile });
    this.strace.attach(this.interceptors);
    this.path = () => Buffer.from(scratch.subarray(0, scratch.indexOf(0))).toString();
  }
  readonly path: () => string;

  call(name: string, args: bigint[], result: () => bigint, tid = 100, content = memory): bigint {
    const frame = new SyscallFrame();
    frame.nr = syscallNumber(name) ?? -1;
    args.forEach((a, k) => {
      frame.i64[k] = a;
    });
    const task = { memory: content, tid, process: { signals: { of: () => ({ mask: 0x4002n }) } } } as unknown as Task;
    return this.interceptors.run(task, frame, result);
  }
}

const padded = (call: string, result: string): string => `2:${`${call} `.padEnd(40)}= ${result}\n`;

describe('the log', () => {
  test('one write a call, on standard error, and the result goes on unchanged', () => {
    const s = new Setup();
    assert.equal(
      s.call('close', [3n], () => 0n),
      0n,
    );
    assert.equal(
      s.call('lseek', [3n, -1n, 0n], () => BigInt(-errno.EINVAL)),
      -22n,
    );
    assert.deepEqual(s.writes, [
      padded('close(3)', '0'),
      padded('lseek(3, -1, SEEK_SET)', '-1 EINVAL (Invalid argument)'),
    ]);
  });
  test('an exit is written before it happens', () => {
    const s = new Setup();
    s.call('exit_group', [300n], () => {
      assert.deepEqual(s.writes, [padded('exit_group(300)', '?'), '2:+++ exited with 44 +++\n']);
      return 0n;
    });
    assert.equal(s.writes.length, 2);
  });
  test('calls that unwind are written, and the unwinding goes on', () => {
    const s = new Setup();
    const unwind = (reason: 'exec' | 'thread-exit' | 'sigreturn') => () => {
      throw new Unwind(reason);
    };
    assert.throws(() => s.call('rt_sigreturn', [], unwind('sigreturn')), Unwind);
    assert.throws(() => s.call('execve', [0x1000n, 0n, 0n], unwind('exec')), Unwind);
    assert.throws(() => s.call('exit', [0n], unwind('thread-exit')), Unwind);
    assert.deepEqual(s.writes, [
      padded('rt_sigreturn({mask=[INT TERM]})', '?'),
      padded('execve(0x1000, NULL, NULL)', '0'),
      padded('exit(0)', '?'),
    ]);
  });
  test('an error of the engine is not swallowed', () => {
    const s = new Setup();
    const broken = (): bigint => {
      throw new TypeError('broken');
    };
    assert.throws(() => s.call('close', [3n], broken), TypeError);
  });
  test('hooked calls are marked; what the hook makes of an exit is told', () => {
    const s = new Setup();
    const hook = s.interceptors.add({ name: 'hooks', intercept: () => 7n }, interceptorOrder.hooks);
    hook.want(syscallNumber('getppid') as number, true);
    hook.want(syscallNumber('exit_group') as number, true);
    s.call('getppid', [], () => 1n);
    s.call('getuid', [], () => 1n);
    s.call('exit_group', [0n], () => 0n);
    assert.deepEqual(s.writes, [
      padded('getppid()', '7 (HOOKED)'),
      padded('getuid()', '1'),
      padded('exit_group(0)', '7 (HOOKED)'),
    ]);
  });
  test('lines say whose they are once there are several tasks', () => {
    const s = new Setup();
    s.call('getuid', [], () => 0n);
    s.call('getuid', [], () => 0n, 12345);
    s.call('vfork', [], () => 102n);
    s.call('getuid', [], () => 0n);
    assert.deepEqual(
      s.writes.map((w) => w.slice(2, 20)),
      ['getuid()          ', '[pid 12345] getuid', '[pid   100] vfork(', '[pid   100] getuid'],
    );
  });
  test('signals and their end', () => {
    const s = new Setup();
    const task = { memory, tid: 100 } as unknown as Task;
    const info = new Uint8Array(128);
    const view = new DataView(info.buffer);
    view.setInt32(0, 11, true);
    view.setInt32(8, 1, true);
    view.setBigUint64(16, 0x123n, true);
    s.strace.signal(task, info);
    s.strace.killed(task, 11, true);
    assert.deepEqual(s.writes, [
      '2:--- SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=0x123} ---\n',
      '2:+++ killed by SIGSEGV (core dumped) +++\n',
    ]);
  });
  test('a log file is opened with the process id in its name, or refused with the reason', () => {
    const s = new Setup({ logFile: 'log.%d', openResult: 9 });
    assert.equal(s.path(), 'log.4321');
    s.call('getuid', [], () => 0n);
    assert.match(s.writes[0] as string, /^9:getuid/);
    assert.throws(
      () => new Setup({ logFile: '/no/x', openResult: -errno.ENOENT }),
      (e) => e instanceof LogFileError && e.exitStatus === 125 && /-D \/no\/x: .*No such file/.test(e.message),
    );
  });
  test('no memory, no crash: every call of the table prints something for arguments of all kinds', async () => {
    const { syscalls } = await import('../../src/syscalls/table.ts');
    for (const value of [1n, 0n, -1n, 5n, 0x7fff_ffff_ffff_ffffn, 0x2000_0000n])
      for (const result of [0n, -1n, -14n, 3n, 0x7fff_0000_0000n]) {
        const s = new Setup();
        for (const { name, nr } of syscalls) {
          if (nr.x86_64 === undefined || name === 'exit' || name === 'exit_group') continue;
          for (const content of [memory, zeros]) {
            s.call(name, [value, value, value, value, value, value], () => result, 100, content);
            const line = s.writes.at(-1) as string;
            assert.match(line.replace(/^2:(\[pid +\d+\] )?/, ''), new RegExp(`^${name}\\(.*\\) += .+\\n$`), line);
            assert.doesNotMatch(line, /undefined|NaN|\[object/, line);
          }
        }
      }
  });
});
