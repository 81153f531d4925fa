/** Owns what is said of hooks that threw, where nobody wants to be told: each distinct error once, with a count at the end. */

import type { HookFailure } from './run.ts';

/** Distinct errors remembered. */
const MAX_DISTINCT = 1000;

export class HookErrors {
  readonly #seen = new Map<string, number>();

  report({ error, syscall, call, outcome }: HookFailure): void {
    const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    const key = `${syscall}: ${message}`;
    const count = this.#seen.get(key) ?? 0;
    if (count === 0 && this.#seen.size >= MAX_DISTINCT) return;
    this.#seen.set(key, count + 1);
    if (count > 0) return;
    const stack = error instanceof Error && error.stack !== undefined ? ownPart(error.stack) : message;
    const during = call === '' ? '' : `\n\twhile the guest was calling ${call}`;
    process.stderr.write(`[Hook Error] ${syscall}: ${stack}${during}\n\t(${outcome})\n`);
  }

  /** How often the errors came that were told once. */
  summary(): void {
    for (const [key, count] of this.#seen) if (count > 1) process.stderr.write(`[Hook Error] ${count} times in all: ${key}\n`);
    this.#seen.clear();
  }
}

/** Without what called the hook. */
function ownPart(stack: string): string {
  const lines = stack.split('\n');
  const caller = lines.findIndex((line) => line.includes('#serve'));
  return (caller < 0 ? lines : lines.slice(0, caller)).join('\n');
}
