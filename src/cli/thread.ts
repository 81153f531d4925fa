/** Entry of the Worker that guest threads run in. */

import { workerData } from 'node:worker_threads';
import { runThreads, type WorkerData } from '../emulator.ts';

runThreads(workerData as WorkerData);
