/**
 * `--inject`: strace's grammar for tampering with system calls, as an interceptor. See strace(1), "Tampering".
 *
 *     SET[:error=ERRNO|:retval=VALUE][:signal=SIG][:delay_enter=TIME][:delay_exit=TIME]
 *        [:poke_enter=@argN=HEX,…][:poke_exit=@argN=HEX,…][:when=FIRST[..LAST][+[STEP]]]
 *
 * Invariants: a call with error or retval is not made; of several rules for a call the last one given counts.
 */

import { errno } from '../abi/errno.ts';
import { signo } from '../abi/signals.ts';
import { type Interceptor, type InterceptorSet, interceptorOrder, type Next } from '../kernel/interceptor.ts';
import { GuestFault, type Host, type SyscallFrame } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import type { Syscall, SyscallClass } from '../syscalls/declare.ts';
import { readPath } from '../syscalls/paths.ts';
import { syscallByName, syscallByNumber, syscallNumbers, syscalls } from '../syscalls/table.ts';
import { absolutePath, descriptorPath } from './guest-paths.ts';
import { nearestName } from './near-name.ts';

export class InjectionError extends Error {
  override readonly name = 'InjectionError';
  readonly exitStatus = 125;
}

interface Poke {
  readonly argument: number;
  readonly bytes: Uint8Array;
}

interface Injection {
  readonly numbers: ReadonlySet<number>;
  /** In place of the call; undefined: the call is made. */
  readonly result: bigint | undefined;
  readonly signal: number;
  /** Microseconds. */
  readonly delayEnter: number;
  readonly delayExit: number;
  readonly pokeEnter: readonly Poke[];
  readonly pokeExit: readonly Poke[];
  readonly first: number;
  readonly last: number;
  readonly step: number;
}

/** @throws InjectionError naming the expression and what is wrong with it. */
export function parseInjection(text: string): Injection {
  const fail = (message: string): never => {
    throw new InjectionError(`--inject ${text}: ${message}`);
  };
  const [set = '', ...parts] = text.split(':');
  const rule = {
    numbers: parseSet(set, fail), result: undefined as bigint | undefined, signal: 0, delayEnter: 0, delayExit: 0,
    pokeEnter: [] as Poke[], pokeExit: [] as Poke[], first: 1, last: Number.POSITIVE_INFINITY, step: 1,
  };
  if (parts.length === 0) fail('says what to inject into but not what; add error=…, retval=…, signal=…, delay_enter=…, delay_exit=…, poke_enter=… or poke_exit=…');
  for (const part of parts) {
    const equals = part.indexOf('=');
    const key = equals < 0 ? part : part.slice(0, equals);
    const value = equals < 0 ? '' : part.slice(equals + 1);
    switch (key) {
      case 'error':
        if (rule.result !== undefined) fail('error and retval exclude each other, and each may stand once');
        rule.result = -BigInt(errorNumber(value, fail));
        break;
      case 'retval':
        if (rule.result !== undefined) fail('error and retval exclude each other, and each may stand once');
        if (!/^(\d+|0x[\da-f]+)$/i.test(value) || BigInt(value) >= 2n ** 63n) fail(`retval=${value}: not a number from 0 to 2^63-1`);
        rule.result = BigInt(value);
        break;
      case 'signal':
        rule.signal = signalNumber(value, fail);
        break;
      case 'delay_enter':
        rule.delayEnter = microseconds(key, value, fail);
        break;
      case 'delay_exit':
        rule.delayExit = microseconds(key, value, fail);
        break;
      case 'poke_enter':
        rule.pokeEnter = pokes(key, value, fail);
        break;
      case 'poke_exit':
        rule.pokeExit = pokes(key, value, fail);
        break;
      case 'when': {
        const parsed = /^(\d+)(?:\.\.(\d+))?(?:(\+)(\d*))?$/.exec(value);
        if (parsed === null) return fail(`when=${value}: not FIRST, FIRST+, FIRST+STEP, FIRST..LAST or FIRST..LAST+STEP`);
        const [, first = '', last, plus, step] = parsed;
        rule.first = Number(first);
        rule.last = last !== undefined ? Number(last) : plus === undefined ? rule.first : Number.POSITIVE_INFINITY;
        rule.step = step === undefined || step === '' ? 1 : Number(step);
        if (rule.first < 1 || rule.step < 1 || rule.last < rule.first) fail(`when=${value}: counts begin at 1, and LAST is not below FIRST`);
        break;
      }
      default: {
        const keys = ['error', 'retval', 'signal', 'delay_enter', 'delay_exit', 'poke_enter', 'poke_exit', 'when'];
        const near = nearestName(key, keys);
        fail(`there is no ${JSON.stringify(key)}${near === undefined ? `; there are: ${keys.join(', ')}` : `; did you mean ${near}?`}`);
      }
    }
  }
  return rule;
}

type Fail = (message: string) => never;

const classNames = new Map<string, SyscallClass>(
  (['file', 'desc', 'process', 'net', 'signal', 'ipc', 'memory', 'creds', 'clock', 'pure', 'stat', 'lstat', 'fstat', 'statfs', 'fstatfs'] as const)
    .map((name) => [name, name]),
);
classNames.set('network', 'net').set('%stat', 'stat-like').set('%statfs', 'statfs-like');

/** strace's syscall_set: names, numbers, %classes, /regular expressions, `?` for names that need not exist, `!` for all others. */
export function parseSet(text: string, fail: Fail): ReadonlySet<number> {
  const all = syscallNumbers();
  const negated = text.startsWith('!');
  const result = new Set<number>();
  for (const written of (negated ? text.slice(1) : text).split(',')) {
    const lenient = written.startsWith('?');
    const item = lenient ? written.slice(1) : written;
    const add = (matches: (s: Syscall) => boolean): boolean => {
      let any = false;
      for (const nr of all) {
        if (!matches(syscallByNumber(nr) as Syscall)) continue;
        any = true;
        result.add(nr);
      }
      return any;
    };
    if (item === 'none') continue;
    if (item === 'all') add(() => true);
    else if (item.startsWith('%')) {
      const name = classNames.get(item.slice(1));
      if (name === undefined && !lenient) fail(`there is no class ${item}; there are: ${[...classNames.keys()].map((k) => `%${k}`).join(', ')}`);
      add((s) => s.classes.includes(name as SyscallClass));
    } else if (item.startsWith('/')) {
      let expression: RegExp;
      try {
        expression = new RegExp(item.slice(1));
      } catch {
        return fail(`${item} is not a regular expression`);
      }
      if (!add((s) => expression.test(s.name)) && !lenient) fail(`no system call matches ${item}`);
    } else if (/^\d+$/.test(item)) result.add(Number(item));
    else {
      const nr = syscallByName(item)?.nr.x86_64;
      const near = nearestName(item, syscalls.map((s) => s.name));
      if (nr !== undefined) result.add(nr);
      else if (classNames.has(item)) add((s) => s.classes.includes(classNames.get(item) as SyscallClass));
      else if (!lenient) fail(`there is no system call ${JSON.stringify(item)}${near === undefined ? '' : `; did you mean ${near}?`}`);
    }
  }
  return negated ? new Set(all.filter((nr) => !result.has(nr))) : result;
}

function errorNumber(text: string, fail: Fail): number {
  const number = /^\d+$/.test(text) ? Number(text) : (errno as Readonly<Record<string, number>>)[text.toUpperCase()];
  if (number === undefined || number < 1 || number > 4095) {
    const near = nearestName(text.toUpperCase(), Object.keys(errno));
    return fail(`error=${text}: not the name of an error nor a number from 1 to 4095${near === undefined ? '' : `; did you mean ${near}?`}`);
  }
  return number;
}

function signalNumber(text: string, fail: Fail): number {
  const name = text.toUpperCase();
  const table = signo as Readonly<Record<string, number>>;
  const number = /^\d+$/.test(text) ? Number(text) : (table[name] ?? table[`SIG${name}`]);
  if (number === undefined || number < 1 || number > 64) return fail(`signal=${text}: not a signal`);
  return number;
}

const timeUnits: Readonly<Record<string, number>> = { '': 1, us: 1, ms: 1000, s: 1_000_000, ns: 0.001 };

function microseconds(key: string, text: string, fail: Fail): number {
  const parts = /^(\d+)(us|ms|ns|s|)$/.exec(text);
  if (parts === null) return fail(`${key}=${text}: not a time; write microseconds, or a number with s, ms, us or ns`);
  return Number(parts[1]) * (timeUnits[parts[2] as string] as number);
}

function pokes(key: string, text: string, fail: Fail): Poke[] {
  return text.split(',').map((item) => {
    const parts = /^@arg([1-6])=((?:[\da-f]{2})+)$/i.exec(item);
    if (parts === null) return fail(`${key}=${text}: ${JSON.stringify(item)} is not @argN=HEX with N from 1 to 6 and two digits a byte`);
    return { argument: Number(parts[1]) - 1, bytes: Buffer.from(parts[2] as string, 'hex') };
  });
}

/** Which tampering a call met, for the log. */
export type Tampering = 'INJECTED' | 'DELAYED' | undefined;

export class Injector implements Interceptor {
  readonly name = 'inject';
  readonly #host: Host;
  readonly #rules: readonly Injection[];
  /** Per rule and number: calls seen. */
  readonly #counts: Map<number, number>[];
  /** -P: only calls that have to do with one of these. Empty: all. */
  readonly #paths: readonly string[];
  /** Of the last call that came through. */
  last: Tampering;

  constructor(host: Host, rules: readonly Injection[], paths: readonly string[]) {
    this.#host = host;
    this.#rules = rules;
    this.#counts = rules.map(() => new Map());
    this.#paths = paths;
  }

  attach(interceptors: InterceptorSet): void {
    const registration = interceptors.add(this, interceptorOrder.inject);
    for (const { numbers } of this.#rules) for (const nr of numbers) registration.want(nr, true);
  }

  intercept(task: Task, frame: SyscallFrame, next: Next): bigint {
    this.last = undefined;
    const rule = this.#ruleFor(task, frame);
    if (rule === undefined) return next(frame);
    if (rule.delayEnter > 0) this.#wait(rule.delayEnter);
    this.#poke(task, frame, rule.pokeEnter);
    if (rule.signal > 0) task.call('tgkill', task.process.pid, task.tid, rule.signal);
    const result = rule.result ?? next(frame);
    this.#poke(task, frame, rule.pokeExit);
    if (rule.delayExit > 0) this.#wait(rule.delayExit);
    this.last = rule.result !== undefined ? 'INJECTED' : rule.delayEnter + rule.delayExit > 0 ? 'DELAYED' : undefined;
    return result;
  }

  #ruleFor(task: Task, frame: SyscallFrame): Injection | undefined {
    let k = this.#rules.length - 1;
    while (k >= 0 && !(this.#rules[k] as Injection).numbers.has(frame.nr)) k--;
    const rule = this.#rules[k];
    const counts = this.#counts[k];
    if (rule === undefined || counts === undefined || !this.#concerned(task, frame)) return undefined;
    const count = (counts.get(frame.nr) ?? 0) + 1;
    counts.set(frame.nr, count);
    const due = count >= rule.first && count <= rule.last && (count - rule.first) % rule.step === 0;
    return due ? rule : undefined;
  }

  /** Does the call have a path or descriptor among those of -P? As written, and as what it leads to. */
  #concerned(task: Task, frame: SyscallFrame): boolean {
    if (this.#paths.length === 0) return true;
    const { scratch } = this.#host;
    const mark = scratch.mark();
    try {
      let dirfd = -100;
      return (syscallByNumber(frame.nr)?.args ?? []).some(({ type }, k) => {
        if (type.kind === 'dirfd') dirfd = frame.i32[2 * k] as number;
        if (type.kind === 'fd') return this.#named(descriptorPath(task, frame.i32[2 * k] as number));
        if (type.kind !== 'path' || frame.unsigned(k) === 0) return false;
        try {
          const text = readPath(task, frame.unsigned(k));
          return this.#named(text) || this.#named(absolutePath(task, dirfd, text, true));
        } catch {
          return false; // Not to be read: the call itself will say so.
        }
      });
    } finally {
      scratch.release(mark);
    }
  }
  #named(path: string | number): boolean {
    return typeof path === 'string' && this.#paths.includes(path);
  }

  #poke(task: Task, frame: SyscallFrame, list: readonly Poke[]): void {
    for (const { argument, bytes } of list) {
      try {
        task.memory.write(frame.unsigned(argument), bytes);
      } catch (error) {
        if (!(error instanceof GuestFault)) throw error; // As in strace: nowhere to poke.
      }
    }
  }

  #wait(time: number): void {
    const { scratch, nr } = this.#host;
    const mark = scratch.mark();
    const at = scratch.alloc(16);
    scratch.view.setBigInt64(at, BigInt(Math.floor(time / 1e6)), true);
    scratch.view.setBigInt64(at + 8, BigInt(Math.round((time % 1e6) * 1000)), true);
    // What a signal cuts short goes on with the rest, which the kernel leaves in the structure.
    while (this.#host.syscall(nr['nanosleep'] as number, scratch.address + at, scratch.address + at) === -errno.EINTR);
    scratch.release(mark);
  }
}
