/** Clocks, sleeping, timers. */

import { dateText, timespec } from '../basics.ts';
import { address, type Call, i64, type Text } from '../call.ts';
import { choiceText, flagsText } from '../constants.ts';
import type { CallPrinters } from './table.ts';

/** What was left of a sleep: only an interrupted one says. */
function remaining(call: Call, k: number): Text {
  const addr = call.at(k);
  if (addr === 0) return 'NULL';
  return () => (call.result === -4n ? call.deref(addr, 16, (v) => timespec(v)) : address(addr));
}

export const timeCalls: CallPrinters = {
  nanosleep: { args: (c) => [c.deref(c.at(0), 16, (v) => timespec(v)), remaining(c, 1)] },
  clock_nanosleep: {
    args: (c) => [
      choiceText('clock', c.int(0)),
      flagsText('timer', c.uint(1)),
      c.deref(c.at(2), 16, (v) => timespec(v)),
      remaining(c, 3),
    ],
  },
  time: {
    args: (c) => [c.derefOut(c.at(0), 8, (v) => withDate(i64(v, 0), (n) => `[${n}`, ']'))],
    result: (c) => {
      const date = dateText(c.result);
      return date === undefined ? String(c.result) : `${c.result} (${date})`;
    },
  },
  times: { result: (c) => String(c.result) },
};

function withDate(seconds: bigint, open: (n: bigint) => string, close: string): string {
  const date = dateText(seconds);
  return `${open(seconds)}${date === undefined ? '' : ` /* ${date} */`}${close}`;
}
