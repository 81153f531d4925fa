/**
 * Puts together what stands between the guest and its system calls: hooks, injections, and the logs of strace, audit
 * and explain. Each registers with the process's interceptors; the order is in kernel/interceptor.ts.
 */

import { readFileSync, statSync } from 'node:fs';
import { env } from 'node:process';
import { errno } from '../abi/errno.ts';
import { linuxConstants } from '../abi/linux.ts';
import { CHANNEL_VARIABLE } from '../api/protocol.ts';
import type { RunOptions } from '../cli/options.ts';
import { Backtracer } from '../debug/backtrace.ts';
import { type ByteSource, bytesSource } from '../elf/source.ts';
import type { Machine } from '../host/machine.ts';
import { declaredSyscalls } from '../hooks/declared.ts';
import { attachHookEngine, createHookEngine, type HookEngine } from '../hooks/engine.ts';
import { Explain } from '../hooks/explain.ts';
import { FunctionHooks, type HookServer } from '../hooks/functions/interceptor.ts';
import { loadModuleHooks } from '../hooks/functions/module.ts';
import type { Services as HookServices } from '../hooks/functions/perform.ts';
import { RemoteHooks } from '../hooks/functions/remote.ts';
import { GuestScratch } from '../hooks/guest-scratch.ts';
import type { ThreadOptions } from '../hooks/hook-options.ts';
import type { HookShare } from '../hooks/hook-share.ts';
import { Injector, parseInjection } from '../hooks/inject.ts';
import type { Process } from '../kernel/process.ts';
import { Audit } from '../trace/audit.ts';
import { describeCall } from '../trace/describe.ts';
import { createStrace, type Strace } from '../trace/strace.ts';

export interface Observers {
  /** Undefined without rules. */
  readonly hooks: HookEngine | undefined;
  /** Hooks of JavaScript: of the program that called `run`, of modules. */
  readonly functions: readonly FunctionHooks[];
  /** What the observers of a further thread need; can be sent to it. */
  share(): ObserverShare;
}

export interface ObserverShare {
  readonly hooks: HookShare | undefined;
  readonly explain: Int32Array<SharedArrayBuffer> | undefined;
  /** Descriptors of the logs. */
  readonly strace: number | undefined;
  readonly audit: number | undefined;
}

/** What observers work on. */
export interface Observed {
  readonly machine: Machine;
  readonly process: Process;
  readonly options: RunOptions;
  /** Descriptors of our own behind 0, 1 and 2. */
  readonly stdio: readonly [number, number, number];
  /** The calling thread is to end, whatever it is doing. */
  leaving(): boolean;
}

/** `share`: of another thread's observers. @throws RuleFileError, LogFileError, InjectionError. */
export function startObservers(observed: Observed, share?: ObserverShare): Observers {
  const { machine, process, options, stdio } = observed;
  const { host } = machine;
  const hooks = options.rules.length > 0 ? startHooks(observed, share?.hooks) : undefined;
  const functions = startFunctions(observed);
  const hooked = (nr: number): boolean => hooks?.owns(nr) === true || functions.some((f) => f.owns(nr));
  const injections = options.inject.map(parseInjection);
  const injector = injections.length > 0 ? new Injector(host, injections, options.paths) : undefined;
  injector?.attach(process.interceptors);
  const audit = options.audit === undefined ? undefined : new Audit({ host, file: options.audit, hooked, openFd: share?.audit });
  audit?.attach(process.interceptors);
  let explain: Explain | undefined;
  if (options.explain && hooks !== undefined) {
    const watched = new Explain(host, stdio[2], hooks, declaredSyscalls, share?.explain);
    explain = watched;
    watched.attach(process.interceptors);
    hooks.forked.add(() => watched.forget());
    process.beforeEnd.add((how) => {
      if (how === 'exit') watched.report();
    });
  }
  let strace: Strace | undefined;
  if (options.strace) {
    const tampered = (): string | undefined => {
      const { last } = injector ?? {};
      if (injector !== undefined) injector.last = undefined;
      return last;
    };
    strace = createStrace({ host, logFile: options.logFile, errorFd: stdio[2], hooked, tampered, openFd: share?.strace });
    strace.attach(process.interceptors);
  }
  return {
    hooks,
    functions,
    share: () => ({ hooks: hooks?.share(), explain: explain?.counts, strace: strace?.fd, audit: audit?.fd }),
  };
}

/** Names of what is mapped. */
export function symbols(machine: Machine): Backtracer {
  return new Backtracer(machine.space, machine.guestMemory, fileSource);
}

/** Stack traces by name, for whoever asks first. */
function backtracer(machine: Machine): HookServices['backtrace'] {
  let tracer: Backtracer | undefined;
  return (task, max) => (tracer ??= new Backtracer(machine.space, task.memory, fileSource)).frames(task.cpu, max);
}

/** The program's own hooks see a call before those of modules do. */
function startFunctions({ machine, process, options, stdio, leaving }: Observed): FunctionHooks[] {
  const { host, space } = machine;
  const servers: HookServer[] = [];
  const control = Number(env[CHANNEL_VARIABLE] ?? -1);
  const complain = (message: string): void => host.writeAll(stdio[2], Buffer.from(`lunagate: ${message}\n`));
  if (control >= 0) servers.push(new RemoteHooks(host, control, process.pid, complain, leaving));
  for (const file of options.hooks) servers.push(loadModuleHooks(host, file, stdio));
  return servers.map((server) => {
    const functions = new FunctionHooks(host, server, {
      scratch: new GuestScratch((bytes) => space.mmap(0, bytes, 3, 0x22), (addr, bytes) => void space.munmap(addr, bytes)),
      backtrace: backtracer(machine),
      describe: describeCall,
    });
    functions.attach(process.interceptors);
    process.beforeEnd.add((how) => functions.end(how));
    return functions;
  });
}

function startHooks({ machine, process, options, stdio, leaving }: Observed, share?: HookShare): HookEngine {
  const { host, space } = machine;
  const own: ThreadOptions = {
    host,
    syscalls: declaredSyscalls,
    mapGuest: (bytes) => space.mmap(0, bytes, 3, 0x22),
    unmapGuest: (addr, bytes) => void space.munmap(addr, bytes),
    constants: { linux: linuxConstants, errno: () => errno },
    leaving,
    describe: describeCall,
    backtrace: backtracer(machine),
  };
  const hooks =
    share !== undefined
      ? attachHookEngine(share, own)
      : createHookEngine({
          ...own, stdio, directories: options.rules, quiet: options.quiet, strict: options.rulesStrict, env: environmentOf(options.envp),
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
