/**
 * Every Linux constant this project knows, in one flat table by name: the hooks' `linux` table. Pure data.
 */

import { constantSets } from './constant-set.ts';
import './constants/files.ts';
import './constants/ioctl.ts';
import './constants/ipc.ts';
import './constants/memory.ts';
import './constants/misc.ts';
import './constants/net.ts';
import './constants/poll.ts';
import './constants/process.ts';
import './constants/time.ts';
import './signals.ts';

/** Other names for the same values, and groups of them: for people, not for printing. */
const synonyms: Readonly<Record<string, number>> = {
  S_IRWXU: 0o700, S_IRWXG: 0o70, S_IRWXO: 0o7, F_OK: 0, AF_LOCAL: 1, AF_ROUTE: 16, MAP_ANON: 0x20, MAP_FILE: 0,
  STATX_BASIC_STATS: 0x7ff, STATX_ALL: 0xfff, IN_CLOSE: 0x18, IN_MOVE: 0xc0, IN_ALL_EVENTS: 0xfff,
  DT_MAX: 16, SIGRTMIN: 32, SIGRTMAX: 64, SOL_ICMP: 1, PATH_MAX: 4096, NAME_MAX: 255, RLIM_INFINITY: -1, RLIM_NLIMITS: 16,
};

/** Name → value, all sets merged. A name that stands in several sets has the same value in each. */
export function linuxConstants(): Readonly<Record<string, number>> {
  const table: Record<string, number> = { ...synonyms };
  for (const set of constantSets()) {
    for (const [name, value] of Object.entries(set.values)) table[name] = value;
    for (const field of set.fields) Object.assign(table, field.values);
  }
  return table;
}
