/**
 * A hook engine over the real host and guest memory, with a fake kernel behind it: `originals` records every
 * original call and `answer` decides its result.
 */

import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { declaredSyscalls } from '../../src/hooks/declared.ts';
import { createHookEngine, type HookEngine } from '../../src/hooks/engine.ts';
import type { HookEngineOptions } from '../../src/hooks/hook-options.ts';
import { createMachine, type Machine } from '../../src/host/machine.ts';
import { InterceptorSet } from '../../src/kernel/interceptor.ts';
import { type Host, SyscallFrame } from '../../src/kernel/ports.ts';
import type { Task } from '../../src/kernel/task.ts';

export interface Call {
  readonly nr: number;
  readonly args: readonly bigint[];
}

const numbers: Readonly<Record<string, number>> = {
  read: 0,
  write: 1,
  open: 2,
  close: 3,
  rt_sigreturn: 15,
  getpid: 39,
  socket: 41,
  exit: 60,
  rename: 82,
  getppid: 110,
  gettid: 186,
  exit_group: 231,
  openat: 257,
};
const names = new Map(Object.entries(numbers).map(([name, nr]) => [nr, name]));

let machine: Machine | undefined;
/** One for the process: 256 MiB of guest space, its first page at 0x10000 mapped. */
function theMachine(): Machine {
  if (machine === undefined) {
    machine = createMachine({ pages: 0x1000 });
    const { host } = machine;
    host.syscall(host.nr['mmap'] as number, host.memoryBase + DATA, 2 * PAGE, 3, 0x32, -1, 0);
    nextMapping = DATA + 0x100000;
  }
  return machine;
}
export const PAGE = 4096;
/** Two pages of guest memory, nothing mapped before or after. */
export const DATA = 0x100000;
let nextMapping = 0;

export class Fixture {
  readonly directory: string;
  readonly engine: HookEngine;
  readonly interceptors = new InterceptorSet();
  readonly originals: Call[] = [];
  readonly machine = theMachine();
  /** What was written to stderr: the engine's own descriptor 2 is a file. */
  readonly #stderr: string;
  readonly #fds: number[] = [];
  mapped: { addr: number; bytes: number }[] = [];
  answer: (call: Call) => bigint = (call) => BigInt(call.nr) + 1000n;

  /** `files`: scripts by file name, in a fresh directory. */
  constructor(files: Readonly<Record<string, string | Uint8Array>>, options: Partial<HookEngineOptions> = {}) {
    const { host } = this.machine;
    this.directory = mkdtempSync(join(tmpdir(), 'lunagate-hooks-'));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(this.directory, name), text);
    this.#stderr = join(this.directory, '.stderr');
    const fd = openForAppend(host, this.#stderr);
    this.#fds.push(fd);
    const before = new Set(inotifies());
    this.engine = createHookEngine({
      directories: [this.directory],
      host,
      syscalls: { name: (nr) => names.get(nr), number: (name) => numbers[name], names: () => Object.keys(numbers), arguments: declaredSyscalls.arguments },
      mapGuest: (bytes) => {
        const addr = nextMapping;
        nextMapping += bytes + PAGE;
        const result = host.syscall(host.nr['mmap'] as number, host.memoryBase + addr, bytes, 3, 0x32, -1, 0);
        if (result < 0) return result;
        this.mapped.push({ addr, bytes });
        return addr;
      },
      unmapGuest: (addr, bytes) => {
        host.syscall(host.nr['mmap'] as number, host.memoryBase + addr, bytes, 0, 0x32, -1, 0);
        this.mapped = this.mapped.filter((m) => m.addr !== addr);
      },
      quiet: true,
      stdio: [0, fd, fd],
      ...options,
    });
    this.engine.attach(this.interceptors);
    // A user has 128 of them, and an engine closes none before its process ends. The second one is being read by its
    // thread, so it must stay.
    const [first] = inotifies().filter((n) => !before.has(n));
    if (first !== undefined) this.#fds.push(first);
  }

  /** One guest system call, by name; its result. */
  call(name: string, ...args: (number | bigint)[]): bigint {
    return this.callNumber(numbers[name] as number, ...args);
  }

  callNumber(nr: number, ...args: (number | bigint)[]): bigint {
    const frame = new SyscallFrame();
    frame.nr = nr;
    args.forEach((arg, k) => {
      frame.i64[k] = BigInt(arg);
    });
    if (this.engine.changeCell[0] !== this.engine.seenCell[0]) this.engine.poll();
    const original = (inner: SyscallFrame) => {
      const call = { nr: inner.nr, args: Array.from(inner.i64) };
      this.originals.push(call);
      return this.answer(call);
    };
    return this.interceptors.run({ memory: this.machine.guestMemory } as unknown as Task, frame, original);
  }

  stderr(): string {
    return readFileSync(this.#stderr, 'latin1');
  }

  write(name: string, text: string | Uint8Array): void {
    writeFileSync(join(this.directory, name), text);
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  static #packets: [number, number] | undefined;
  /** Descriptors for `stdio` whose writes stay apart, to be read with `packets`. */
  static packetPipe(): [number, number, number] {
    const { host } = theMachine();
    const pair = host.allocate(PAGE);
    const O_DIRECT = 0o40000;
    const O_NONBLOCK = 0o4000;
    host.syscall(host.nr['pipe2'] as number, pair.address, O_DIRECT | O_NONBLOCK);
    Fixture.#packets = [pair.view.getInt32(0, true), pair.view.getInt32(4, true)];
    return [0, Fixture.#packets[1], Fixture.#packets[1]];
  }
  static packets(): string[] {
    const { host } = theMachine();
    const buffer = host.allocate(2 * PAGE);
    const all: string[] = [];
    for (;;) {
      const n = host.syscall(host.nr['read'] as number, Fixture.#packets?.[0] ?? -1, buffer.address, 2 * PAGE);
      if (n <= 0) return all;
      all.push(Buffer.from(buffer.bytes.slice(0, n)).toString('latin1'));
    }
  }

  /** Let more time pass than the engine takes two moments to be the same (10 µs). */
  pause(): void {
    const end = performance.now() + 0.05;
    while (performance.now() < end);
  }

  /** Remove the directory. */
  [Symbol.dispose](): void {
    this.engine.close();
    const { host } = this.machine;
    for (const fd of this.#fds) host.syscall(host.nr['close'] as number, fd);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Descriptors of this process that are inotify instances, ascending. */
function inotifies(): number[] {
  const isOne = (name: string): boolean => {
    try {
      return readlinkSync(`/proc/self/fd/${name}`) === 'anon_inode:inotify';
    } catch {
      return false; // the directory's own descriptor
    }
  };
  return readdirSync('/proc/self/fd').filter(isOne).map(Number).sort((a, b) => a - b);
}

function openForAppend(host: Host, path: string): number {
  const mark = host.scratch.mark();
  const bytes = Buffer.from(`${path}\0`);
  const at = host.scratch.alloc(bytes.length);
  host.scratch.bytes.set(bytes, at);
  const fd = host.syscall(host.nr['openat'] as number, -100, host.scratch.address + at, 0o2102 | 0o2000000, 0o600);
  host.scratch.release(mark);
  return fd;
}
