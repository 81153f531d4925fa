/**
 * Puts together what stands between the guest and its system calls: hooks, injections, and the logs of strace, audit
 * and explain. Each registers with the process's interceptors; the order is in kernel/interceptor.ts.
 */

import { readFileSync, statSync } from 'node:fs';
import { errno } from '../abi/errno.ts';
import { linuxConstants } from '../abi/linux.ts';
import type { RunOptions } from '../cli/options.ts';
import { Backtracer } from '../debug/backtrace.ts';
import { type ByteSource, bytesSource } from '../elf/source.ts';
import type { Machine } from '../host/machine.ts';
import { declaredSyscalls } from '../hooks/declared.ts';
import { createHookEngine, type HookEngine } from '../hooks/engine.ts';
import { Explain } from '../hooks/explain.ts';
import { Injector, parseInjection } from '../hooks/inject.ts';
import type { Process } from '../kernel/process.ts';
import { Audit } from '../trace/audit.ts';
import { describeCall } from '../trace/describe.ts';
import { createStrace } from '../trace/strace.ts';

export interface Observers {
  /** Undefined without rules. */
  readonly hooks: HookEngine | undefined;
}

/** `stdio`: descriptors of our own behind 0, 1 and 2. @throws RuleFileError, LogFileError, InjectionError. */
export function startObservers(
  machine: Machine,
  process: Process,
  options: RunOptions,
  stdio: readonly [number, number, number],
): Observers {
  const { host } = machine;
  const hooks = options.rules.length > 0 ? startHooks(machine, process, options, stdio) : undefined;
  const hooked = (nr: number): boolean => hooks?.owns(nr) ?? false;
  const injections = options.inject.map(parseInjection);
  const injector = injections.length > 0 ? new Injector(host, injections, options.paths) : undefined;
  injector?.attach(process.interceptors);
  if (options.audit !== undefined) new Audit({ host, file: options.audit, hooked }).attach(process.interceptors);
  if (options.explain && hooks !== undefined) {
    const explain = new Explain(host, stdio[2], hooks, declaredSyscalls);
    explain.attach(process.interceptors);
    hooks.forked.add(() => explain.forget());
    process.beforeEnd.add((how) => {
      if (how === 'exit') explain.report();
    });
  }
  if (options.strace) {
    const tampered = (): string | undefined => {
      const { last } = injector ?? {};
      if (injector !== undefined) injector.last = undefined;
      return last;
    };
    createStrace({ host, logFile: options.logFile, errorFd: stdio[2], hooked, tampered }).attach(process.interceptors);
  }
  return { hooks };
}

function startHooks(
  machine: Machine,
  process: Process,
  options: RunOptions,
  stdio: readonly [number, number, number],
): HookEngine {
  const { host, space } = machine;
  let backtracer: Backtracer | undefined;
  const hooks = createHookEngine({
    directories: options.rules,
    host,
    quiet: options.quiet,
    strict: options.rulesStrict,
    syscalls: declaredSyscalls,
    mapGuest: (bytes) => space.mmap(0, bytes, 3, 0x22),
    unmapGuest: (addr, bytes) => void space.munmap(addr, bytes),
    constants: { linux: linuxConstants, errno: () => errno },
    env: environmentOf(options.envp),
    stdio,
    describe: describeCall,
    backtrace: (task, max) => (backtracer ??= new Backtracer(space, task.memory, fileSource)).frames(task.cpu, max),
  });
  hooks.attach(process.interceptors);
  process.beforeEnd.add(() => hooks.close());
  return hooks;
}

/** Programs and libraries are small enough to be read whole; what is not is not worth naming. */
const LARGEST = 256 << 20;

function fileSource(path: string): ByteSource | undefined {
  try {
    return statSync(path).size <= LARGEST ? bytesSource(readFileSync(path)) : undefined;
  } catch {
    return undefined;
  }
}

/** `NAME=VALUE` strings as an object; of several with a name the first counts, as for getenv(3). */
function environmentOf(envp: readonly Uint8Array[]): Record<string, string> {
  const env: Record<string, string> = {};
  for (const entry of envp) {
    const text = Buffer.from(entry).toString();
    const at = text.indexOf('=');
    if (at > 0 && !Object.hasOwn(env, text.slice(0, at))) env[text.slice(0, at)] = text.slice(at + 1);
  }
  return env;
}
