/**
 * Runs a guest from a program: spawns lunagate as a child process, serves its hooks from this one.
 *
 * The engine takes over its whole process (signals, fork, execve in place), so it is never this process. Hooks come over
 * node's channel between parent and child: see hooks/functions/channel.ts for the other end.
 */

import { type ChildProcess, type IOType, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { nearestName } from '../hooks/near-name.ts';
import { syscallNames, syscallNumber } from './call.ts';
import { Connection, type Service } from './connection.ts';
import { HookErrors } from './hook-errors.ts';
import { API_VARIABLE, encodeFrame, kind } from './protocol.ts';
import type { Hook, Hooks, OnError, SyscallName } from './types.ts';

/** A hook that threw, as `onHookError` gets it. */
export interface HookFailure {
  readonly error: unknown;
  readonly syscall: SyscallName;
  readonly pid: number;
  readonly tid: number;
  /** The call as strace would show it. */
  readonly call: string;
  /** What the guest got instead, in words. */
  readonly outcome: string;
}

type Stdio = 'pipe' | 'inherit' | 'ignore' | number;

export interface RunOptions {
  /** The program: a path, or a name that is searched in PATH. */
  readonly program: string;
  /** Its arguments, without argv[0]. */
  readonly args?: readonly string[];
  /** Its argv[0]. Default: `program`. */
  readonly argv0?: string;
  /** Its whole environment. Default: this process's. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Its working directory; relative paths of the other options count from there too. Default: this process's. */
  readonly cwd?: string | URL;
  /** Its standard streams: one word for all three, or one each. Default: `pipe`, a stream of the `Guest`. */
  readonly stdio?: Stdio | readonly [stdin: Stdio, stdout: Stdio, stderr: Stdio];
  /** Ends the guest by SIGKILL when it is aborted. */
  readonly signal?: AbortSignal;

  /** Functions that own system calls, by the calls' names. They run in this process and may be async. */
  readonly hooks?: Hooks;
  /** What becomes of a call whose hook threw. Default: `passthrough`. */
  readonly onError?: OnError;
  /** Told of each hook that threw. Default: a message on standard error, once for each distinct error. */
  readonly onHookError?: (failure: HookFailure) => void;
  /** Milliseconds that a hook may take; longer is an error of the hook's. Default: for ever. */
  readonly hookTimeout?: number;
  /** Modules with hooks that run inside the engine (`--hooks`). */
  readonly hookModules?: readonly (string | URL)[];
  /** Directories with Lua rules (`--rules`), earlier ones winning. */
  readonly rules?: string | URL | readonly (string | URL)[];
  /** Lua rules have no way to the host (`--rules-strict`). */
  readonly rulesStrict?: boolean;
  /** Tamper with calls as `strace --inject` does. */
  readonly inject?: string | readonly string[];
  /** Limits `inject` to calls that have to do with these paths (`-P`). */
  readonly paths?: readonly string[];
  /** Write every call to this file as a line of JSON (`--audit`). */
  readonly audit?: string | URL;
  /** Log every call as strace does: on the guest's standard error, or to this file (`-strace`, `-D`). */
  readonly strace?: boolean | string | URL;
  /** At the end, tell on standard error what each rule did (`--explain`). */
  readonly explain?: boolean;
  /** Look for absolute paths under this directory first (`-L`). */
  readonly sysroot?: string | URL;
  /** Bytes of the guest's stack (`-s`). */
  readonly stackSize?: number;
  /** The processor (`-cpu`), such as `x86-64-v2` or `max,-aes`. */
  readonly cpu?: string;
  /** The same random bytes in every run with the same number (`-seed`). */
  readonly seed?: number;
  /** Lay memory out at random (`-aslr`). */
  readonly aslr?: boolean;
  /** Print the two banner lines of rules. Default: no. */
  readonly banner?: boolean;
}

/** How the guest ended: its exit status, or the signal that killed it. */
export interface Exit {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** What a guest wrote, and how it ended. */
export interface Output extends Exit {
  readonly stdout: string;
  readonly stderr: string;
}

/** A running guest. */
export class Guest {
  readonly #child: ChildProcess;
  /** Settles when the guest's first process has ended; rejects if it could not be started at all. */
  readonly exited: Promise<Exit>;

  constructor(child: ChildProcess, exited: Promise<Exit>) {
    this.#child = child;
    this.exited = exited;
    // Who only reads the streams need not handle this.
    exited.catch(() => {});
  }

  /** Process id, the same inside and outside. */
  get pid(): number | undefined {
    return this.#child.pid;
  }
  /** What the guest reads on descriptor 0. Null unless that is a pipe. */
  get stdin(): Writable | null {
    return this.#child.stdin;
  }
  get stdout(): Readable | null {
    return this.#child.stdout;
  }
  get stderr(): Readable | null {
    return this.#child.stderr;
  }
  /** Send the guest a signal; whether it could be sent. */
  kill(signal: NodeJS.Signals | number = 'SIGTERM'): boolean {
    return this.#child.kill(signal);
  }
  /** Give the guest `input`, collect what it writes, wait for its end. */
  async output(input: string | Uint8Array = ''): Promise<Output> {
    const { stdin, stdout, stderr } = this;
    // A guest may end without reading its input.
    stdin?.on('error', () => {});
    stdin?.end(input);
    const [out, err, exit] = await Promise.all([collect(stdout), collect(stderr), this.exited]);
    return { stdout: out, stderr: err, ...exit };
  }
}

async function collect(stream: Readable | null): Promise<string> {
  const chunks: Buffer[] = [];
  if (stream !== null) for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

/**
 * Start a program under lunagate. Returns at once.
 * @throws TypeError for options that make no sense.
 */
export function run(options: RunOptions): Guest {
  const numbers = hookNumbers(options.hooks ?? {});
  const { onError = 'passthrough' } = options;
  if (!['passthrough', 'deny', 'kill'].includes(onError)) throw new TypeError(`onError: ${onError} is none of passthrough, deny, kill`);
  const served = options.hooks !== undefined && (numbers.size > 0 || options.hooks['*'] !== undefined);
  const { cwd, env = process.env, stdio = 'pipe', signal } = options;
  const streams: IOType[] | (IOType | number)[] = typeof stdio === 'object' ? [...stdio] : [stdio, stdio, stdio];
  const errors = new HookErrors();
  const child = spawn(launcher(), commandLine(options), {
    ...(cwd === undefined ? {} : { cwd }),
    env: served ? { ...env, [API_VARIABLE]: '1' } : { ...env },
    stdio: served ? [...streams, 'ipc'] : streams,
    ...(signal === undefined ? {} : { signal, killSignal: 'SIGKILL' as const }),
  });
  if (served) serve(child, options, numbers, errors);
  const exited = new Promise<Exit>((resolve, reject) => {
    child.once('error', (error) => {
      // An abort kills the guest: how it ended is told as ever.
      if (error.name !== 'AbortError') reject(error);
    });
    child.once('exit', (status, killedBy) => {
      errors.summary();
      resolve({ status, signal: killedBy });
    });
  });
  return new Guest(child, exited);
}

/** Hooks by number. @throws TypeError for a name that is no system call, or no function. */
function hookNumbers(hooks: Hooks): ReadonlyMap<number, Hook> {
  const numbers = new Map<number, Hook>();
  for (const [name, hook] of Object.entries(hooks)) {
    if (hook === undefined) continue;
    if (typeof hook !== 'function') throw new TypeError(`hooks.${name} is no function`);
    if (name === '*') continue;
    const nr = syscallNumber(name);
    if (nr === undefined) {
      const near = nearestName(name, [...syscallNames()]);
      throw new TypeError(`there is no system call ${name}${near === undefined ? '' : `; did you mean ${near}?`}`);
    }
    numbers.set(nr, hook as Hook);
  }
  return numbers;
}

function serve(child: ChildProcess, options: RunOptions, numbers: ReadonlyMap<number, Hook>, errors: HookErrors): void {
  const { onError = 'passthrough', hooks, onHookError = (failure) => errors.report(failure) } = options;
  const any = hooks?.['*'];
  const configuration = Buffer.from(JSON.stringify({ all: any !== undefined, onError }));
  const service: Service = {
    configuration: encodeFrame(kind.configuration, [...numbers.keys()].map(BigInt), configuration),
    hook: (nr) => numbers.get(nr) ?? any,
    timeout: options.hookTimeout,
    failed: (call, error, description, ran) => {
      const outcome =
        onError === 'kill' ? 'the guest is killed'
          : onError === 'deny' ? 'the guest gets EPERM'
            : ran ? 'the original call had been made; its result is used'
              : 'the original call is made instead';
      onHookError({ error, syscall: call.name, pid: call.pid, tid: call.tid, call: description, outcome });
    },
  };
  const streams = new Set<Socket>();
  let ended = false;
  child.on('message', (_, handle) => {
    const stream = handle as Socket | undefined;
    if (stream === undefined) return;
    new Connection(stream, service);
    streams.add(stream.once('close', () => streams.delete(stream)));
    if (ended) stream.unref();
  });
  // Processes of the guest's that outlive the first one are served as long as this process lives for other reasons.
  child.once('exit', () => {
    ended = true;
    child.channel?.unref();
    for (const stream of streams) stream.unref();
  });
}

function commandLine(options: RunOptions): string[] {
  const line: string[] = [];
  const add = (name: string, value: string | URL | number | undefined): void => {
    if (value !== undefined) line.push(name, value instanceof URL ? fileURLToPath(value) : String(value));
  };
  const all = (name: string, values: string | URL | readonly (string | URL)[] | undefined): void => {
    if (values === undefined) return;
    for (const value of typeof values === 'string' || values instanceof URL ? [values] : values) add(name, value);
  };
  if (options.banner !== true) line.push('--quiet');
  all('--rules', options.rules);
  if (options.rulesStrict === true) line.push('--rules-strict');
  all('--hooks', options.hookModules);
  all('--inject', options.inject);
  all('-P', options.paths);
  add('--audit', options.audit);
  if (options.strace !== undefined && options.strace !== false) line.push('-strace');
  if (typeof options.strace !== 'boolean') add('-D', options.strace);
  if (options.explain === true) line.push('--explain');
  add('-L', options.sysroot);
  add('-s', options.stackSize);
  add('-cpu', options.cpu);
  add('-seed', options.seed);
  if (options.aslr === true) line.push('-aslr');
  add('-0', options.argv0);
  return [...line, '--', options.program, ...(options.args ?? [])];
}

/** bin/lunagate, seen from the bundle in dist/ or from here. */
function launcher(): string {
  for (const up of ['../bin/lunagate', '../../bin/lunagate']) {
    const path = fileURLToPath(new URL(up, import.meta.url));
    if (existsSync(path)) return path;
  }
  throw new Error('bin/lunagate is not beside this module; install the package lunagate again');
}
