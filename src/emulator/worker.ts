/** Starts the Workers that guest threads run in. */

import { fstatSync, openSync, readSync } from 'node:fs';
import type { Worker } from 'node:worker_threads';
import { fileURLToPath } from 'node:url';

/** Stack of a Worker, in MiB: as deep as the main thread's, of which only what is used costs memory. */
const STACK = 256;

/**
 * Run in the Worker: compiles the engine from its text and V8's code cache, which takes 5 ms instead of 50. (A Worker
 * cannot be started from the snapshot that the main thread came from.)
 */
const BOOT = `'use strict';
const { workerData } = require('node:worker_threads');
const { Script } = require('node:vm');
globalThis.lunagateUrl = workerData.url;
globalThis.require = require;
new Script(workerData.text, { filename: 'lunagate-thread.cjs', cachedData: workerData.cache }).runInThisContext();
`;

interface Engine {
  readonly text: string;
  readonly cache: Uint8Array;
}

/** Host descriptors of what a Worker runs: its script, and V8's code cache for that. */
export interface EngineFiles {
  readonly script: number;
  readonly cache: number;
}

/** A file from its beginning, wherever its descriptor's position is; in memory that all threads share. */
function readWhole(fd: number): Buffer {
  const bytes = Buffer.from(new SharedArrayBuffer(fstatSync(fd).size));
  for (let done = 0; done < bytes.length; ) {
    const n = readSync(fd, bytes, done, bytes.length - done, done);
    if (n === 0) break;
    done += n;
  }
  return bytes;
}

/** Descriptors open from the start: a guest that changes its root or its user could not be served otherwise. */
export class WorkerSource {
  readonly files: EngineFiles;
  #engine: Engine | undefined;

  /** `files`: as the process's first thread opened them. */
  constructor(files?: EngineFiles) {
    const open = (name: string): number => openSync(fileURLToPath(new URL(name, import.meta.url)), 'r');
    this.files = files ?? { script: open('./lunagate-thread.cjs'), cache: open('./lunagate-thread.cache') };
  }

  /** `data`: what src/cli/thread.ts takes. @throws where the system gives no thread. */
  spawn(data: object): Worker {
    this.#engine ??= { text: readWhole(this.files.script).toString('latin1'), cache: readWhole(this.files.cache) };
    const { Worker } = process.getBuiltinModule('node:worker_threads');
    return new Worker(BOOT, {
      eval: true,
      workerData: { ...data, ...this.#engine, url: import.meta.url },
      // Or Node would make streams of the standard descriptors, and with that the files behind them non-blocking.
      stdout: true,
      stderr: true,
      trackUnmanagedFds: false,
      resourceLimits: { stackSizeMb: STACK },
      execArgv: [],
    });
  }
}
