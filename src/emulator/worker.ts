/** Starts the Workers that guest threads run in. */

import type { Worker } from 'node:worker_threads';

/** Stack of a Worker, in MiB: as deep as the main thread's, of which only what is used costs memory. */
const STACK = 256;

/** `data`: what src/cli/thread.ts takes. @throws where the system gives no thread. */
export function spawnWorker(data: unknown): Worker {
  const { Worker } = process.getBuiltinModule('node:worker_threads');
  return new Worker(new URL('./lunagate-thread.mjs', import.meta.url), {
    workerData: data,
    stdin: false,
    trackUnmanagedFds: false,
    resourceLimits: { stackSizeMb: STACK },
    execArgv: [],
  });
}
