/** select, poll, epoll: what became ready is told after the result. */

import { address, type Call, i32, type Text, u16 } from '../call.ts';
import { ARRAY_LIMIT, array, fdSet, sigsetAt, timespec, timeval } from '../basics.ts';
import { flagsText } from '../constants.ts';
import { structPrinter } from '../structures.ts';
import type { CallPrinters } from './table.ts';

function pollFds(call: Call): Text {
  return array(call, call.at(0), call.uint(1), 8, (v) => {
    const fd = i32(v, 0);
    return fd < 0 ? `{fd=${fd}}` : `{fd=${fd}, events=${flagsText('poll', u16(v, 4))}}`;
  });
}

/** Looked through for those that are ready. */
const MOST_DESCRIPTORS = 1 << 16;

function pollReady(call: Call): string[] {
  const list: string[] = [];
  for (let i = 0; i < Math.min(call.uint(1), MOST_DESCRIPTORS) && list.length < Number(call.result); i++) {
    if (list.length === ARRAY_LIMIT) {
      list.push('...');
      break;
    }
    const v = call.view(call.at(0) + 8 * i, 8);
    if (v === undefined) break;
    const events = u16(v, 6);
    if (events !== 0 && i32(v, 0) >= 0) list.push(`{fd=${i32(v, 0)}, revents=${flagsText('poll', events)}}`);
  }
  return list;
}

function pollResult(call: Call, left: string): string {
  if (call.result === 0n) return `0 (Timeout)`;
  const ready = `[${pollReady(call).join(', ')}]`;
  return `${call.result} (${ready}${left === '' ? '' : `, left ${left}`})`;
}

/** The descriptor sets of select after the call, and the time left. */
function selectResult(call: Call, time: (v: DataView) => string): string {
  if (call.result === 0n) return '0 (Timeout)';
  const parts: string[] = [];
  for (const [k, name] of [
    [1, 'in'],
    [2, 'out'],
    [3, 'except'],
  ] as const) {
    const set = fdSet(call, call.at(k), Math.min(1024, call.int(0)));
    if (set.list.length > 0) parts.push(`${name} ${set.text}`);
  }
  if (call.at(4) !== 0) parts.push(`left ${call.deref(call.at(4), 16, time)}`);
  return parts.length === 0 ? String(call.result) : `${call.result} (${parts.join(', ')})`;
}

function selectArguments(call: Call, time: (v: DataView) => string): Text[] {
  const limit = Math.max(0, Math.min(1024, call.int(0)));
  return [
    String(call.int(0)),
    ...[1, 2, 3].map((k) => fdSet(call, call.at(k), limit).text),
    call.deref(call.at(4), 16, time),
  ];
}

/** The last argument of pselect6: a pointer to mask and size. */
function pselectMask(call: Call): string {
  return call.deref(call.at(5), 16, (v) => {
    const size = Number(v.getBigUint64(8, true));
    return `{sigmask=${sigsetAt(call, Number(v.getBigUint64(0, true)), size)}, sigsetsize=${size}}`;
  });
}

function epollEvents(call: Call): Text {
  const addr = call.at(1);
  return () => {
    if (call.failed) return address(addr);
    return array(call, addr, Number(call.result), 12, (v) => structPrinter('epoll_event')?.(v, call) ?? '');
  };
}

export const pollCalls: CallPrinters = {
  poll: { args: (c) => [pollFds(c), String(c.uint(1)), String(c.int(2))], result: (c) => pollResult(c, '') },
  ppoll: {
    args: (c) => [
      pollFds(c),
      String(c.uint(1)),
      c.deref(c.at(2), 16, timespec0),
      sigsetAt(c, c.at(3), c.at(4)),
      String(c.ulong(4)),
    ],
    result: (c) => pollResult(c, c.at(2) === 0 ? '' : c.deref(c.at(2), 16, timespec0)),
  },
  select: { args: (c) => selectArguments(c, timeval0), result: (c) => selectResult(c, timeval0) },
  pselect6: {
    args: (c) => [...selectArguments(c, timespec0), pselectMask(c)],
    result: (c) => selectResult(c, timespec0),
  },
  epoll_wait: { args: (c) => [String(c.int(0)), epollEvents(c), String(c.int(2)), String(c.int(3))] },
  epoll_pwait: {
    args: (c) => [
      String(c.int(0)),
      epollEvents(c),
      String(c.int(2)),
      String(c.int(3)),
      sigsetAt(c, c.at(4), c.at(5)),
      String(c.ulong(5)),
    ],
  },
  epoll_pwait2: {
    args: (c) => [
      String(c.int(0)),
      epollEvents(c),
      String(c.int(2)),
      c.deref(c.at(3), 16, timespec0),
      sigsetAt(c, c.at(4), c.at(5)),
      String(c.ulong(5)),
    ],
  },
};

function timespec0(v: DataView): string {
  return timespec(v);
}
function timeval0(v: DataView): string {
  return timeval(v);
}
