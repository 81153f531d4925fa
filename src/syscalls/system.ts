/**
 * Everything outside the files domain, gathered for the table.
 */

import type { Syscall } from './declare.ts';
import { futexSyscalls } from './futex.ts';
import { identitySyscalls } from './identity.ts';
import { ipcSyscalls } from './ipc.ts';
import { memorySyscalls } from './memory.ts';
import { miscSyscalls } from './misc.ts';
import { netSyscalls } from './net.ts';
import { pollSyscalls } from './poll.ts';
import { prctlSyscalls } from './prctl.ts';
import { processSyscalls } from './process.ts';
import { schedulingSyscalls } from './scheduling.ts';
import { signalSyscalls } from './signal.ts';
import { timeSyscalls } from './time.ts';

export const systemSyscalls: readonly Syscall[] = [
  ...memorySyscalls,
  ...processSyscalls,
  ...identitySyscalls,
  ...prctlSyscalls,
  ...schedulingSyscalls,
  ...signalSyscalls,
  ...timeSyscalls,
  ...netSyscalls,
  ...pollSyscalls,
  ...futexSyscalls,
  ...ipcSyscalls,
  ...miscSyscalls,
];
