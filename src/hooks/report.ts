/**
 * Owns what the hook engine says: each message one write(2), each distinct script error once, with a count at the end.
 */

import type { Host } from '../kernel/ports.ts';
import type { LuaFailure } from './lua-vm.ts';
import { type LogLevel, logLevels } from './settings.ts';

/** Distinct errors remembered; a script that makes up new ones without end is cut off here. */
const MAX_DISTINCT = 1000;

interface Seen {
  readonly message: string;
  count: number;
}

export class Reporter {
  readonly #host: Host;
  readonly #fd: number;
  readonly #seen = new Map<string, Seen>();
  #level = 1;
  #file = -1;

  constructor(host: Host, fd: number) {
    this.#host = host;
    this.#fd = fd;
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
    this.#write(Buffer.concat([prefixes[level], message, NEWLINE]));
  }

  line(text: string): void {
    this.#write(Buffer.from(`${text}\n`));
  }

  warn(text: string): void {
    if (this.shows('warning')) this.line(`[Lua Warning] ${text}`);
  }

  /**
   * A script's failure, unless the same was reported before. `outcome`: what the guest got instead; `call`: the call
   * being handled, decoded.
   */
  failure(script: string, failure: LuaFailure, outcome: string, call?: () => string | undefined): void {
    if (!this.shows('error')) return;
    const key = `${script}\0${failure.message}`;
    const seen = this.#seen.get(key);
    if (seen !== undefined) seen.count++;
    if (seen !== undefined || this.#seen.size > MAX_DISTINCT) return;
    this.#seen.set(key, { message: failure.message, count: 1 });
    if (this.#seen.size > MAX_DISTINCT) {
      this.line(`[Lua Error] more than ${MAX_DISTINCT} different script errors; no more are shown`);
      return;
    }
    const traceback = failure.traceback === '' ? '' : `\n${failure.traceback}`;
    const made = call?.();
    const during = made === undefined ? '' : `\n\twhile the guest was calling ${made}`;
    this.line(`[Lua Error] ${failure.message}${traceback}${during}\n\t(${script}: ${outcome})`);
  }

  /** At the end: how often the errors came that were told once. */
  summary(): void {
    for (const seen of this.#seen.values()) {
      if (seen.count > 1) this.line(`[Lua Error] ${seen.count} times in all: ${seen.message}`);
      seen.count = 0;
    }
  }

  /** In a forked child: what came before is its parent's to tell. */
  forget(): void {
    for (const seen of this.#seen.values()) seen.count = 0;
  }

  #write(bytes: Uint8Array): void {
    this.#host.writeAll(this.#file < 0 ? this.#fd : this.#file, bytes);
  }
}

const prefixes: Readonly<Record<LogLevel, Uint8Array>> = {
  debug: Buffer.from('[Lua Debug] '),
  info: Buffer.from('[Lua Log] '),
  warning: Buffer.from('[Lua Warning] '),
  error: Buffer.from('[Lua Error] '),
  none: Buffer.from(''),
};
const NEWLINE = Buffer.from('\n');
