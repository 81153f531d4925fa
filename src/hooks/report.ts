/**
 * Owns what the hook engine says: each message one write(2), each distinct script error once, with a count at the end.
 *
 * Invariant: with several threads everything here happens under the lock, so that lines never mix.
 */

import type { Host } from '../kernel/ports.ts';
import type { LuaFailure } from './lua-vm.ts';
import { type LogLevel, logLevels } from './settings.ts';

/** Distinct errors remembered; a script that makes up new ones without end is cut off here. */
const MAX_DISTINCT = 1000;

/** Characters kept of a message, which is told whole once. */
const MAX_KEPT = 1000;

interface Told {
  /** Which of the counts is its own. */
  readonly index: number;
  readonly message: string;
}

/** Counts of distinct errors, in the order of their coming. */
export function countsMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer(4 * (MAX_DISTINCT + 1));
}

export class Reporter {
  readonly #host: Host;
  readonly #fd: number;
  /** What the lines begin with: `[Lua Error]`, `[Hook Error]`. */
  readonly #who: string;
  /** Errors told so far, by what tells them apart. */
  #told = new Map<string, Told>();
  /** How often each came: of all threads together. */
  readonly #counts: Int32Array;
  #level = 1;
  #file = -1;

  constructor(host: Host, fd: number, counts: SharedArrayBuffer, who = 'Lua') {
    this.#host = host;
    this.#fd = fd;
    this.#who = who;
    this.#counts = new Int32Array(counts);
  }

  /** What has been told: for another thread to `copy`. */
  get told(): ReadonlyMap<string, Told> {
    return this.#told;
  }

  copy(told: ReadonlyMap<string, Told>): void {
    this.#told = new Map(told);
  }

  /** Say what is at least as important as `level`, and that to this host descriptor (−1: standard error). */
  configure(level: LogLevel, file: number): void {
    this.#level = logLevels.indexOf(level);
    this.#file = file;
  }

  shows(level: LogLevel): boolean {
    return logLevels.indexOf(level) >= this.#level;
  }

  /** `[Lua Log] message` and a newline. */
  log(message: Uint8Array, level: LogLevel = 'info'): void {
    this.#write(Buffer.concat([Buffer.from(level === 'none' ? '' : `[${this.#who} ${prefixes[level]}] `), message, NEWLINE]));
  }

  line(text: string): void {
    this.#write(Buffer.from(`${text}\n`));
  }

  warn(text: string): void {
    if (this.shows('warning')) this.line(`[${this.#who} Warning] ${text}`);
  }

  /**
   * A script's failure, unless the same was reported before. `outcome`: what the guest got instead; `call`: the call
   * being handled, decoded.
   * @returns whether it is a new one.
   */
  failure(script: string, failure: LuaFailure, outcome: string, call?: () => string | undefined): boolean {
    if (!this.shows('error')) return false;
    const key = shortened(`${script}\0${failure.message}`);
    const known = this.#told.get(key);
    if (known !== undefined) this.#counts[known.index] = (this.#counts[known.index] as number) + 1;
    const index = this.#told.size;
    if (known !== undefined || index > MAX_DISTINCT) return false;
    this.#counts[index] = 1;
    this.#told.set(key, { index, message: shortened(failure.message) });
    if (this.#told.size > MAX_DISTINCT) {
      this.line(`[${this.#who} Error] more than ${MAX_DISTINCT} different script errors; no more are shown`);
      return true;
    }
    const traceback = failure.traceback === '' ? '' : `\n${failure.traceback}`;
    const made = call?.();
    const during = made === undefined ? '' : `\n\twhile the guest was calling ${made}`;
    this.line(`[${this.#who} Error] ${failure.message}${traceback}${during}\n\t(${script}: ${outcome})`);
    return true;
  }

  /** At the end: how often the errors came that were told once. */
  summary(): void {
    for (const { index, message } of this.#told.values()) {
      const count = this.#counts[index] as number;
      if (count > 1) this.line(`[${this.#who} Error] ${count} times in all: ${message}`);
    }
    this.forget();
  }

  /** In a forked child: what came before is its parent's to tell. */
  forget(): void {
    this.#counts.fill(0);
  }

  #write(bytes: Uint8Array): void {
    this.#host.writeAll(this.#file < 0 ? this.#fd : this.#file, bytes);
  }
}

/** Beginning, length and end tell long texts apart. */
function shortened(text: string): string {
  if (text.length <= MAX_KEPT) return text;
  return `${text.slice(0, MAX_KEPT / 2)} … (${text.length} characters) … ${text.slice(-MAX_KEPT / 2)}`;
}

const prefixes: Readonly<Record<LogLevel, string>> = { debug: 'Debug', info: 'Log', warning: 'Warning', error: 'Error', none: '' };
const NEWLINE = Buffer.from('\n');
