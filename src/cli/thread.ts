/**
 * Entry of the Worker that guest threads run in. Loaded in a main thread, as the build does to see which functions a run
 * calls, it only hands out how to run a program.
 */

import { workerData } from 'node:worker_threads';
import { run, runThreads, type WorkerData } from '../emulator.ts';

if (workerData === null) Object.assign(globalThis, { lunagateRun: run });
else runThreads(workerData as WorkerData);
