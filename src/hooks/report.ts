/**
 * Owns what the hook engine says on stderr: each message one write(2), each distinct script error once.
 */

import type { Host } from '../kernel/ports.ts';
import type { LuaFailure } from './lua-vm.ts';

/** Distinct errors remembered; a script that makes up new ones without end is cut off here. */
const MAX_DISTINCT = 1000;

export class Reporter {
  readonly #host: Host;
  readonly #fd: number;
  readonly #seen = new Set<string>();

  constructor(host: Host, fd: number) {
    this.#host = host;
    this.#fd = fd;
  }

  /** `[Lua Log] message` and a newline. */
  log(message: Uint8Array): void {
    this.#host.writeAll(this.#fd, Buffer.concat([LOG, message, NEWLINE]));
  }

  line(text: string): void {
    this.#host.writeAll(this.#fd, Buffer.from(`${text}\n`));
  }

  /** A script's failure, unless the same was reported before. `outcome`: what the guest got instead. */
  failure(script: string, failure: LuaFailure, outcome: string): void {
    const key = `${script}\0${failure.message}`;
    if (this.#seen.has(key) || this.#seen.size > MAX_DISTINCT) return;
    this.#seen.add(key);
    if (this.#seen.size > MAX_DISTINCT) {
      this.line(`[Lua Error] more than ${MAX_DISTINCT} different script errors; no more are shown`);
      return;
    }
    const traceback = failure.traceback === '' ? '' : `\n${failure.traceback}`;
    this.line(`[Lua Error] ${failure.message}${traceback}\n\t(${script}: ${outcome})`);
  }
}

const LOG = Buffer.from('[Lua Log] ');
const NEWLINE = Buffer.from('\n');
