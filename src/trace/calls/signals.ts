/** Signal calls. */

import { sigsetAt } from '../basics.ts';
import { address, type Call, type Text } from '../call.ts';
import { choiceText, flagsText } from '../constants.ts';
import { siginfo } from '../signal-info.ts';
import { structPrinter } from '../structures.ts';
import { signalName } from '../../abi/signals.ts';
import type { CallPrinters } from './table.ts';

const ACTION = 32;

function action(call: Call, k: number, out: boolean): Text {
  const print = (v: DataView): string => structPrinter('sigaction')?.(v, call) ?? '';
  return out ? call.derefOut(call.at(k), ACTION, print) : call.deref(call.at(k), ACTION, print);
}

function setOut(call: Call, k: number, size: number): Text {
  const addr = call.at(k);
  return addr === 0 ? 'NULL' : () => (call.failed ? address(addr) : sigsetAt(call, addr, size));
}

export const signalCalls: CallPrinters = {
  rt_sigaction: { args: (c) => [signalName(c.int(0)), action(c, 1, false), action(c, 2, true), String(c.ulong(3))] },
  rt_sigprocmask: {
    args: (c) => [
      choiceText('sigprocmask', c.int(0)),
      sigsetAt(c, c.at(1), c.at(3)),
      setOut(c, 2, c.at(3)),
      String(c.ulong(3)),
    ],
  },
  rt_sigpending: { args: (c) => [setOut(c, 0, c.at(1)), String(c.ulong(1))] },
  rt_sigsuspend: { args: (c) => [sigsetAt(c, c.at(0), c.at(1)), String(c.ulong(1))] },
  rt_sigtimedwait: {
    args: (c) => [
      sigsetAt(c, c.at(0), c.at(3)),
      c.derefOut(c.at(1), 128, siginfo),
      c.deref(c.at(2), 16, (v) => structPrinter('timespec')?.(v, c) ?? ''),
      String(c.ulong(3)),
    ],
    result: (c) => `${c.result} (${signalName(Number(c.result))})`,
  },
  rt_sigreturn: { args: () => [] },
  signalfd: { args: (c) => [String(c.int(0)), sigsetAt(c, c.at(1), c.at(2)), String(c.ulong(2))] },
  signalfd4: {
    args: (c) => [
      String(c.int(0)),
      sigsetAt(c, c.at(1), c.at(2)),
      String(c.ulong(2)),
      flagsText('signalfd', c.uint(3)),
    ],
  },
};
