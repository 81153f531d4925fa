/**
 * The `-strace` log: every system call of the guest, decoded as strace(1) prints it, one write(2) a line. An
 * interceptor, the outermost: it shows what the guest asked for and what the guest got.
 */

import { errorText } from '../abi/errno.ts';
import { signalName } from '../abi/signals.ts';
import {
  type Interceptor,
  type InterceptorSet,
  interceptorOrder,
  type Next,
  type Registration,
} from '../kernel/interceptor.ts';
import { type Host, type SyscallFrame, Unwind } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import { full, hex, type Syscall, syscall } from '../syscalls/declare.ts';
import { syscallByNumber } from '../syscalls/table.ts';
import { sigset } from './basics.ts';
import { Call, viewOf } from './call.ts';
import { type Entry, enter, leave, leaveNever, unknownEntry } from './line.ts';
import { siginfo } from './signal-info.ts';

export interface StraceOptions {
  readonly host: Host;
  /** File to write to; `%d` becomes the process id. Undefined: standard error. */
  readonly logFile?: string | undefined;
  /** Host descriptor for the log where there is no file. Default 2. */
  readonly errorFd?: number;
  /** Of a further thread: the descriptor that the first one's log has. */
  readonly openFd?: number | undefined;
  /** Whether a hook owns a number. Default: any other interceptor that wants to see it. */
  readonly hooked?: (nr: number) => boolean;
  /** How the call just made was tampered with. */
  readonly tampered?: () => string | undefined;
}

/** The log file cannot be opened. */
export class LogFileError extends Error {
  override readonly name = 'LogFileError';
  readonly exitStatus = 125;
}

/** What stands behind the result of a call that a hook owns (as strace marks injected ones). */
const HOOKED = ' (HOOKED)';
const EXITS: ReadonlySet<string> = new Set(['exit', 'exit_group']);
const SPAWNS: ReadonlySet<string> = new Set(['fork', 'vfork', 'clone', 'clone3']);

export function createStrace(options: StraceOptions): Strace {
  return new Strace(options);
}

export class Strace implements Interceptor {
  readonly name = 'strace';
  readonly #host: Host;
  readonly fd: number;
  #hooked: (nr: number) => boolean;
  readonly #tampered: () => string | undefined;
  /** The first task seen; lines of others say whose they are, and all do once there is a second. */
  #firstTid = -1;
  #several = false;

  constructor(options: StraceOptions) {
    this.#host = options.host;
    const { openFd, errorFd = 2, logFile } = options;
    this.fd = openFd ?? (logFile === undefined ? errorFd : openLog(options.host, logFile));
    this.#several = openFd !== undefined;
    this.#hooked = options.hooked ?? ((): boolean => false);
    this.#tampered = options.tampered ?? ((): undefined => undefined);
    this.#hookedGiven = options.hooked !== undefined;
  }
  readonly #hookedGiven: boolean;

  attach(interceptors: InterceptorSet): Registration {
    const registration = interceptors.add(this, interceptorOrder.strace);
    registration.wantAll(true);
    // The outermost has bit 0; whoever else wants a number stands between the guest and the kernel.
    if (!this.#hookedGiven) this.#hooked = (nr) => (interceptors.feature(nr) & ~1) !== 0;
    return registration;
  }

  intercept(task: Task, frame: SyscallFrame, next: Next): bigint {
    const declared = syscallByNumber(frame.nr);
    const call = new Call(task.memory, frame, declared ?? unknown);
    const entry = declared === undefined ? unknownEntry(frame.nr, [...frame.u64.subarray(0, 6)]) : enter(call);
    if (EXITS.has(entry.name) && !this.#hooked(frame.nr)) {
      this.#write(task, leaveNever(entry));
      if (entry.name === 'exit_group') this.#write(task, `+++ exited with ${call.int(0) & 0xff} +++\n`);
      return next(frame);
    }
    return this.#complete(task, call, entry, next);
  }

  #complete(task: Task, call: Call, entry: Entry, next: Next): bigint {
    const { frame } = call;
    let result: bigint;
    try {
      result = next(frame);
    } catch (error) {
      if (error instanceof Unwind) this.#write(task, this.#unwound(task, call, entry, error.reason));
      throw error;
    }
    call.result = result;
    if (SPAWNS.has(entry.name) && result > 0n) this.#several = true;
    this.#write(task, leave(call, entry, this.#mark(frame.nr)));
    return result;
  }

  /** The line of a call that does not come back to where it was made. */
  #unwound(task: Task, call: Call, entry: Entry, reason: Unwind['reason']): string {
    // exec has succeeded. After sigreturn the registers are what they were: there is no result to tell.
    if (reason === 'exec') return leave(call, entry, this.#mark(call.frame.nr));
    if (reason === 'thread-exit') return leaveNever(entry);
    return leaveNever({ name: entry.name, args: [`{mask=${sigset(task.process.signals.of(task).mask)}}`] });
  }

  #mark(nr: number): string {
    const tampering = this.#tampered();
    return tampering !== undefined ? ` (${tampering})` : this.#hooked(nr) ? HOOKED : '';
  }

  /** A signal is being delivered: `--- SIGINT {si_signo=SIGINT, …} ---`. `info` is the 128 bytes of siginfo_t. */
  signal(task: Task, info: Uint8Array): void {
    const view = viewOf(info);
    this.#write(task, `--- ${signalName(view.getInt32(0, true))} ${siginfo(view)} ---\n`);
  }

  /** The process dies by a signal. */
  killed(task: Task, signal: number, core: boolean): void {
    this.#write(task, `+++ killed by ${signalName(signal)}${core ? ' (core dumped)' : ''} +++\n`);
  }

  #write(task: Task, text: string): void {
    if (this.#firstTid < 0) this.#firstTid = task.tid;
    const prefix = this.#several || task.tid !== this.#firstTid ? `[pid ${String(task.tid).padStart(5)}] ` : '';
    this.#host.writeAll(this.fd, Buffer.from(prefix + text, 'utf8'));
  }
}

/** Stands in for the declaration of a number that has none. */
const unknown: Syscall = syscall({ name: 'unknown', nr: {}, args: {}, ret: hex, support: full, run: () => 0 });

const AT_FDCWD = -100;
const O_WRONLY_CREAT_TRUNC_APPEND_CLOEXEC = 0o2003101;

/** Open a log for appending. @throws LogFileError naming the option. */
export function openLog(host: Host, name: string, option = '-D'): number {
  const pid = host.syscall(host.nr['getpid'] as number);
  const path = Buffer.from(`${name.replace('%d', String(pid))}\0`);
  const mark = host.scratch.mark();
  try {
    const at = host.scratch.alloc(path.length);
    host.scratch.bytes.set(path, at);
    const fd = host.syscall(
      host.nr['openat'] as number,
      AT_FDCWD,
      host.scratch.address + at,
      O_WRONLY_CREAT_TRUNC_APPEND_CLOEXEC,
      0o666,
    );
    if (fd < 0)
      throw new LogFileError(`${option} ${name}: the log cannot be written there: ${errorText[-fd] ?? `error ${-fd}`}`);
    return fd;
  } finally {
    host.scratch.release(mark);
  }
}
