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

/** Name → value, all sets merged. A name that stands in several sets has the same value in each. */
export function linuxConstants(): Readonly<Record<string, number>> {
  const table: Record<string, number> = {};
  for (const set of constantSets()) {
    for (const [name, value] of Object.entries(set.values)) table[name] = value;
    for (const field of set.fields) Object.assign(table, field.values);
  }
  return table;
}
