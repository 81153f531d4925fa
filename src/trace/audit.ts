/**
 * `--audit FILE`: one JSON object a line for every system call, one write(2) each. What a program can rely on is in
 * docs/writing-rules.md.
 */

import { errnoName } from '../abi/errno.ts';
import { type Interceptor, type InterceptorSet, interceptorOrder, type Next } from '../kernel/interceptor.ts';
import { type Host, type SyscallFrame, Unwind } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import { syscallByNumber } from '../syscalls/table.ts';
import { address, Call } from './call.ts';
import { enter, unknownEntry } from './line.ts';
import { openLog } from './strace.ts';

export interface AuditOptions {
  readonly host: Host;
  /** `%d` becomes the process id. */
  readonly file: string;
  readonly hooked: (nr: number) => boolean;
  /** Of a further thread: the descriptor that the first one's log has. */
  readonly openFd?: number | undefined;
}

export class Audit implements Interceptor {
  readonly name = 'audit';
  readonly #host: Host;
  readonly fd: number;
  readonly #hooked: (nr: number) => boolean;

  /** @throws LogFileError. */
  constructor(options: AuditOptions) {
    this.#host = options.host;
    this.#hooked = options.hooked;
    this.fd = options.openFd ?? openLog(options.host, options.file, '--audit');
  }

  attach(interceptors: InterceptorSet): void {
    interceptors.add(this, interceptorOrder.audit).wantAll(true);
  }

  intercept(task: Task, frame: SyscallFrame, next: Next): bigint {
    const declared = syscallByNumber(frame.nr);
    const call = declared === undefined ? undefined : new Call(task.memory, frame, declared);
    const entry = call === undefined ? unknownEntry(frame.nr, [...frame.u64.subarray(0, 6)]) : enter(call);
    const time = Date.now() / 1000;
    const started = performance.now();
    const raw = [...frame.u64.subarray(0, declared === undefined ? 6 : declared.args.length)].map((v) => `0x${v.toString(16)}`);
    const names = declared?.args.map((a) => a.name) ?? raw.map((_, k) => `arg${k + 1}`);
    const write = (result: bigint | undefined): void => {
      if (call !== undefined && result !== undefined) call.result = result;
      const shown = entry.args.map((a, k) => (typeof a === 'string' ? a : result === undefined ? address(frame.unsigned(k)) : a()));
      const failed = result !== undefined && result < 0n && result >= -4095n;
      const record = {
        time,
        pid: task.process.pid,
        tid: task.tid,
        syscall: entry.name,
        nr: frame.nr,
        args: shown.length === names.length ? Object.fromEntries(names.map((name, k) => [name, shown[k]])) : shown,
        raw,
        // As text: JSON's numbers are not exact to 64 bits everywhere.
        ...(result === undefined ? {} : { ret: String(result) }),
        ...(failed ? { error: errnoName(Number(-result)) ?? String(-result) } : {}),
        ...(result === undefined ? {} : { us: Math.round((performance.now() - started) * 1000) }),
        ...(this.#hooked(frame.nr) ? { hooked: true } : {}),
      };
      this.#host.writeAll(this.fd, Buffer.from(`${JSON.stringify(record)}\n`));
    };
    if (entry.name === 'exit' || entry.name === 'exit_group') {
      if (!this.#hooked(frame.nr)) write(undefined);
    }
    let result: bigint;
    try {
      result = next(frame);
    } catch (error) {
      if (error instanceof Unwind) write(undefined);
      throw error;
    }
    write(result);
    return result;
  }
}
