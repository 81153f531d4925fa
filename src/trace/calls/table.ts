/** Calls whose line says more, or less, than their declared argument types: strace's own way with each. */

import type { Call, Text } from '../call.ts';
import { fileCalls } from './files.ts';
import { memoryCalls } from './memory.ts';
import { pollCalls } from './poll.ts';
import { processCalls } from './process.ts';
import { signalCalls } from './signals.ts';
import { socketCalls } from './sockets.ts';
import { timeCalls } from './time.ts';

export interface CallPrinter {
  /** All arguments; undefined: by their types. */
  readonly args?: (call: Call) => readonly Text[];
  /** The result of a call that did not fail; undefined: by its type. */
  readonly result?: (call: Call) => string | undefined;
}

export type CallPrinters = Readonly<Record<string, CallPrinter>>;

const all: CallPrinters = {
  ...fileCalls,
  ...memoryCalls,
  ...pollCalls,
  ...processCalls,
  ...signalCalls,
  ...socketCalls,
  ...timeCalls,
};

export function callPrinter(name: string): CallPrinter | undefined {
  return Object.hasOwn(all, name) ? all[name] : undefined;
}
