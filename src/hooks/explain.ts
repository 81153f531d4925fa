/**
 * `--explain`: at the end, what each script did, which were never called, and which calls came close to those. An
 * interceptor that counts every call; its report is written when the process ends.
 */

import { type Interceptor, type InterceptorSet, interceptorOrder, type Next } from '../kernel/interceptor.ts';
import type { Host, SyscallFrame } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import type { SyscallNames } from './api.ts';
import type { HookEngine } from './engine.ts';
import { relatives } from './relatives.ts';

const NUMBERS = 1024;

export class Explain implements Interceptor {
  readonly name = 'explain';
  readonly #host: Host;
  readonly #fd: number;
  readonly #hooks: HookEngine;
  readonly #syscalls: SyscallNames;
  /** Calls by number, of all threads; unknown numbers share the last place. */
  readonly counts: Int32Array<SharedArrayBuffer>;

  /** `counts`: of another thread's. */
  constructor(host: Host, fd: number, hooks: HookEngine, syscalls: SyscallNames, counts?: Int32Array<SharedArrayBuffer>) {
    this.counts = counts ?? new Int32Array(new SharedArrayBuffer(4 * (NUMBERS + 1)));
    this.#host = host;
    this.#fd = fd;
    this.#hooks = hooks;
    this.#syscalls = syscalls;
  }

  attach(interceptors: InterceptorSet): void {
    this.#hooks.count();
    interceptors.add(this, interceptorOrder.hooks - 1).wantAll(true);
  }

  intercept(_task: Task, frame: SyscallFrame, next: Next): bigint {
    Atomics.add(this.counts, frame.nr >= 0 && frame.nr < NUMBERS ? frame.nr : NUMBERS, 1);
    return next(frame);
  }

  /** In a forked child: what came before is its parent's to tell. */
  forget(): void {
    this.counts.fill(0);
  }

  report(): void {
    const scripts = [...this.#hooks.scripts()];
    const rows = [['script', 'calls', 'originals', 'errors', 'ms', 'us/call']];
    for (const { path, statistics: s } of scripts) {
      if (s.calls === 0) continue;
      const each = ((s.milliseconds * 1000) / s.calls).toFixed(1);
      rows.push([path, `${s.calls}`, `${s.originals}`, `${s.errors}`, s.milliseconds.toFixed(1), each]);
    }
    const widths = rows[0]?.map((_, k) => Math.max(...rows.map((r) => (r[k] as string).length))) ?? [];
    const lines = rows.length > 1 ? rows.map((r) => r.map((c, k) => (k === 0 ? c.padEnd(widths[k] as number) : c.padStart(widths[k] as number))).join('  ')) : [];
    for (const { path, state, statistics } of scripts) {
      if (statistics.calls > 0) continue;
      lines.push(`${path}: never called${this.#near(state.file.name)}`);
    }
    if (scripts.length === 0) lines.push('there was no script');
    this.#host.writeAll(this.#fd, Buffer.from(`lunagate: what the rules did\n${lines.map((l) => `  ${l}\n`).join('')}`));
  }

  /** Calls the guest did make that may have been meant. */
  #near(name: string): string {
    const nr = this.#syscalls.number(name);
    const made = nr === undefined ? 0 : (this.counts[nr] ?? 0);
    if (made > 0) return `, though the guest called ${name} ${times(made)}: no call met the conditions in rules.toml`;
    const close = relatives(name).flatMap((other) => {
      const count = this.counts[this.#syscalls.number(other) ?? -1] ?? 0;
      return count > 0 ? [`${other} ${times(count)}`] : [];
    });
    return close.length === 0 ? '' : `; the guest called ${close.join(', ')}`;
  }
}

const times = (n: number): string => (n === 1 ? 'once' : `${n} times`);
