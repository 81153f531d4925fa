/**
 * The engine's own look into its entry in /proc. A guest that changed its user makes the process undumpable, and most
 * of the entry then belongs to root: for as long as the look takes it is made dumpable again.
 */

import type { Host } from '../kernel/ports.ts';

const PR_GET_DUMPABLE = 3;
const PR_SET_DUMPABLE = 4;

export function whileDumpable<T>(host: Host, look: () => T): T {
  const prctl = host.nr['prctl'] as number;
  if (host.syscall(prctl, PR_GET_DUMPABLE) === 1) return look();
  host.syscall(prctl, PR_SET_DUMPABLE, 1);
  try {
    return look();
  } finally {
    host.syscall(prctl, PR_SET_DUMPABLE, 0);
  }
}
