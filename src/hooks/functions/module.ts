/**
 * Hooks of a module in the engine's own process (--hooks FILE): loaded before the guest starts, called at once. The
 * module's state is copied by fork and survives execve.
 *
 * Nothing asynchronous works there, for node's loop never runs while the guest does.
 */

import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { format } from 'node:util';
import { CallView, GuestError, type Port, syscallNames, syscallNumber } from '../../api/call.ts';
import { type Configuration, type Frame, kind } from '../../api/protocol.ts';
import type { Answer, Call, SyscallName } from '../../api/types.ts';
import type { Host } from '../../kernel/ports.ts';
import { nearestName } from '../near-name.ts';
import { countsMemory, Reporter } from '../report.ts';
import type { HookServer, Outcome } from './interceptor.ts';
import { type HookedCall, perform, type Services } from './perform.ts';

/** The module cannot be used. */
export class HooksFileError extends Error {
  override readonly name = 'HooksFileError';
  readonly exitStatus = 125;
}

type Handler = (call: Call<SyscallName, 'sync'>) => unknown;
const policies = ['passthrough', 'deny', 'kill'];
const NONE = new Uint8Array(0);

/** An exception that an original call threw, on its way through the hook. */
class Escape {
  readonly error: unknown;
  constructor(error: unknown) {
    this.error = error;
  }
}

/** @throws HooksFileError */
export function loadModuleHooks(host: Host, file: string, stdio: readonly [number, number, number]): ModuleHooks {
  const path = resolve(file);
  ownConsole(host, stdio);
  let module: Record<string, unknown>;
  try {
    module = createRequire(path)(path) as Record<string, unknown>;
  } catch (error) {
    const { message } = error as Error;
    throw new HooksFileError(`--hooks ${file}${error instanceof SyntaxError ? lineOf(path) : ''}: ${message?.split('\n')[0] ?? String(error)}`);
  }
  const hooks = module['hooks'] ?? module['default'] ?? module;
  const onError = module['onError'] ?? 'passthrough';
  if (typeof hooks !== 'object' || hooks === null) throw new HooksFileError(`--hooks ${file}: it must export an object "hooks"`);
  if (typeof onError !== 'string' || !policies.includes(onError))
    throw new HooksFileError(`--hooks ${file}: onError must be one of ${policies.join(', ')}`);
  const handlers = new Map<number, Handler>();
  let other: Handler | undefined;
  for (const [name, handler] of Object.entries(hooks)) {
    if (hooks === module && (name === 'onError' || name === 'default')) continue;
    if (typeof handler !== 'function') throw new HooksFileError(`--hooks ${file}: ${name} is no function`);
    if (name === '*') {
      other = handler as Handler;
      continue;
    }
    const nr = syscallNumber(name);
    if (nr === undefined) {
      const near = nearestName(name, [...syscallNames()]);
      throw new HooksFileError(`--hooks ${file}: there is no system call ${name}${near === undefined ? '' : `; did you mean ${near}?`}`);
    }
    handlers.set(nr, handler as Handler);
  }
  if (handlers.size === 0 && other === undefined) throw new HooksFileError(`--hooks ${file}: it exports no hooks`);
  return new ModuleHooks(file, handlers, other, onError as Configuration['onError'], new Reporter(host, stdio[2], countsMemory(), 'Hook'));
}

/** `:LINE` of a syntax error, which only a node's own message tells. */
function lineOf(path: string): string {
  // Not imported: what it takes from node must not be in the start-up snapshot.
  const { spawnSync } = process.getBuiltinModule('node:child_process');
  const { stderr } = spawnSync(process.execPath, ['--check', path], { encoding: 'utf8' });
  return /^(?:file:\/\/)?\/.*(:\d+)$/m.exec(stderr ?? '')?.[1] ?? '';
}

/** What a module writes goes out at once, and not to what the guest has made of descriptors 1 and 2. */
function ownConsole(host: Host, [, out, err]: readonly [number, number, number]): void {
  const to = (fd: number) => (...args: unknown[]) => host.writeAll(fd, Buffer.from(`${format(...args)}\n`));
  Object.assign(console, { log: to(out), info: to(out), debug: to(out), error: to(err), warn: to(err), trace: to(err) });
}

class ModuleHooks implements HookServer {
  readonly configuration: Configuration;
  readonly numbers: readonly number[];
  readonly #file: string;
  readonly #handlers: ReadonlyMap<number, Handler>;
  readonly #other: Handler | undefined;
  readonly #reporter: Reporter;

  constructor(
    file: string, handlers: ReadonlyMap<number, Handler>, other: Handler | undefined, onError: Configuration['onError'], reporter: Reporter,
  ) {
    this.#file = file;
    this.#handlers = handlers;
    this.#other = other;
    this.#reporter = reporter;
    this.configuration = { all: other !== undefined, onError };
    this.numbers = [...handlers.keys()];
  }

  afterFork(): void {
    this.#reporter.forget();
  }

  end(how: 'exit' | 'exec'): void {
    if (how === 'exit') this.#reporter.summary();
  }

  serve(call: HookedCall, services: Services): Outcome {
    const { task, frame } = call;
    const handler = this.#handlers.get(frame.nr) ?? this.#other;
    if (handler === undefined) return 'untouched';
    let escape: Escape | undefined;
    const port: Port<'sync'> = {
      ask<T>(question: number, ints: readonly bigint[], bytes: Uint8Array | undefined, decode: (answer: Frame) => T): Answer<'sync', T> {
        if (escape !== undefined) throw escape;
        let answer: Frame;
        try {
          answer = perform(call, services, { kind: question, ints, bytes: bytes ?? NONE });
        } catch (error) {
          escape = new Escape(error);
          throw escape;
        }
        if (answer.kind === kind.refused) throw new GuestError(Number(answer.ints[0]), Buffer.from(answer.bytes).toString());
        return decode(answer);
      },
    };
    const raw = [...frame.u64.subarray(0, 6)];
    const view = new CallView<SyscallName, 'sync'>(port, { nr: frame.nr, raw, pid: task.process.pid, tid: task.tid, pc: task.cpu.pc });
    try {
      const value = handler(view as Call<SyscallName, 'sync'>);
      if (escape === undefined) {
        if (value instanceof Promise) {
          value.catch(() => {});
          throw new TypeError('a hook of a module must not be async: the engine cannot wait for promises');
        }
        return value === undefined ? 'untouched' : view.result(value);
      }
    } catch (error) {
      if (escape === undefined) this.#report(call, services, view.name, error);
    }
    // Whatever the hook made of it: what an original call threw goes on its way.
    if (escape !== undefined) throw escape.error;
    return 'failed';
  }

  #report(call: HookedCall, services: Services, name: string, error: unknown): void {
    const [message, ...trace] = (error instanceof Error ? (error.stack ?? error.message) : String(error)).split('\n');
    const engine = trace.findIndex((line) => line.includes('ModuleHooks.serve'));
    const own = engine < 0 ? trace : trace.slice(0, engine);
    const { onError } = this.configuration;
    const outcome =
      onError === 'kill' ? 'the guest is killed (onError = "kill")'
        : onError === 'deny' ? 'the guest gets EPERM (onError = "deny")'
          : call.ran ? 'the original call had been made; its result is used'
            : 'the original call is made instead';
    this.#reporter.failure(this.#file, { message: `${name}: ${message}`, traceback: own.join('\n') }, outcome, () =>
      services.describe(call.task.memory, call.frame));
  }
}
