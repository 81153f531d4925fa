/**
 * Hooks that are functions of JavaScript: served by the program that called `run`, over a channel, or by a module in
 * the engine. Stands where Lua rules stand, but before them: a call that a function makes or lets through still meets the
 * rules, as a call that a rule makes meets no function.
 *
 * Invariants: no call is performed twice because of an error; a call that nobody hooks costs nothing; a child of a fork
 * never speaks on its parent's stream. There a hook that made the fork is not continued: its caller is the parent's.
 */

import { errno } from '../../abi/errno.ts';
import type { Configuration } from '../../api/protocol.ts';
import { type Interceptor, type InterceptorSet, interceptorOrder, type Next } from '../../kernel/interceptor.ts';
import { type Host, SyscallFrame } from '../../kernel/ports.ts';
import type { Task } from '../../kernel/task.ts';
import type { HookedCall, Services } from './perform.ts';

const SIGSYS = 31;

/** How a hook's work on a call ended; 'gone': it goes on elsewhere, and what it made so far counts. */
export type Outcome = bigint | 'untouched' | 'failed' | 'gone';

/** Whoever runs the hooks. */
export interface HookServer {
  readonly configuration: Configuration;
  readonly numbers: readonly number[];
  /** Have the hook handle the call. Throws only what an original call throws. */
  serve(call: HookedCall, services: Services): Outcome;
  /** In a forked child. */
  afterFork(): void;
  /** The process ends, or becomes another program. */
  end(how: 'exit' | 'exec'): void;
}

export class FunctionHooks implements Interceptor {
  readonly name = 'functions';
  readonly #host: Host;
  readonly #server: HookServer;
  readonly #services: Services;
  readonly #own = new Set<number>();
  readonly #frames: SyscallFrame[] = [];
  #depth = 0;

  constructor(host: Host, server: HookServer, services: Services) {
    this.#host = host;
    this.#server = server;
    this.#services = services;
    for (const nr of server.numbers) this.#own.add(nr);
  }

  attach(interceptors: InterceptorSet): void {
    const registration = interceptors.add(this, interceptorOrder.functions);
    registration.wantAll(this.#server.configuration.all);
    for (const nr of this.#own) registration.want(nr, true);
  }

  owns(nr: number): boolean {
    return this.#server.configuration.all || this.#own.has(nr);
  }

  afterFork(): void {
    this.#server.afterFork();
  }

  end(how: 'exit' | 'exec'): void {
    this.#server.end(how);
  }

  /** After execve: what was lent lay in the old program's memory. */
  afterExec(): void {
    this.#services.scratch.forget();
  }

  intercept(task: Task, frame: SyscallFrame, next: Next): bigint {
    this.#depth++;
    this.#frames[this.#depth] ??= new SyscallFrame();
    const call: HookedCall = { task, frame, next, inner: this.#frames[this.#depth] as SyscallFrame, ran: false, result: 0n, lent: false };
    try {
      const outcome = this.#server.serve(call, this.#services);
      if (typeof outcome === 'bigint') return outcome;
      if (outcome === 'failed') {
        const { onError } = this.#server.configuration;
        if (onError === 'deny') return BigInt(-errno.EPERM);
        if (onError === 'kill') return this.#host.dieBySignal(SIGSYS);
      }
    } finally {
      this.#depth--;
      if (call.lent && this.#depth === 0) this.#services.scratch.release();
    }
    return call.ran ? call.result : next(frame);
  }
}
