/** Socket calls. */

import { errnoName } from '../../abi/errno.ts';
import { address, bytesOf, type Call, i32, type Text, u32, untilNul } from '../call.ts';
import { ARRAY_LIMIT } from '../basics.ts';
import { choiceName, choiceText, flagsText } from '../constants.ts';
import { quoteCut, STRING_LIMIT } from '../quote.ts';
import { messageHeader, sockaddr } from '../sockets.ts';
import type { CallPrinters } from './table.ts';

function protocol(call: Call): string {
  const value = call.int(2);
  switch (call.int(0)) {
    case 2:
    case 10:
      return choiceText('IPPROTO', value);
    case 16:
      return choiceText('NETLINK', value);
    case 17:
      return value === 0 ? '0' : `htons(${((value & 0xff) << 8) | ((value >> 8) & 0xff)})`;
    default:
      return String(value);
  }
}

/** `[16]`, or `[128 => 16]` where the call changed it. Read before and after. */
function lengthPointer(call: Call, k: number): Text {
  const addr = call.at(k);
  if (addr === 0) return 'NULL';
  const before = call.view(addr, 4)?.getInt32(0, true);
  return () => {
    const after = call.view(addr, 4)?.getInt32(0, true);
    if (before === undefined || after === undefined) return address(addr);
    return call.failed || before === after ? `[${before}]` : `[${before} => ${after}]`;
  };
}

/** An address the call filled in; nothing where it gave none. */
function addressOut(call: Call, k: number, lengthAt: number): Text {
  const addr = call.at(k);
  if (addr === 0) return 'NULL';
  const room = call.view(call.at(lengthAt), 4)?.getInt32(0, true) ?? 0;
  return () => {
    const length = call.view(call.at(lengthAt), 4)?.getInt32(0, true);
    if (call.failed || length === undefined) return address(addr);
    return sockaddr(call, addr, Math.min(room, length));
  };
}

const optionSets: Readonly<Record<number, string>> = {
  0: 'IP',
  1: 'SO',
  6: 'TCP',
  17: 'UDP',
  41: 'IPV6',
  263: 'PACKET',
  270: 'NETLINK_OPT',
};
/** strace tells the old 32-bit-time options from the new. */
const oldNames: Readonly<Record<string, string>> = {
  SO_RCVTIMEO: 'SO_RCVTIMEO_OLD',
  SO_SNDTIMEO: 'SO_SNDTIMEO_OLD',
  SO_TIMESTAMP: 'SO_TIMESTAMP_OLD',
  SO_TIMESTAMPNS: 'SO_TIMESTAMPNS_OLD',
  SO_TIMESTAMPING: 'SO_TIMESTAMPING_OLD',
};

function option(level: number, name: number): string {
  const set = optionSets[level];
  if (set === undefined) return `0x${name.toString(16)}`;
  const text = choiceText(set, name);
  return oldNames[text] ?? text;
}

/** The value of a socket option of `length` bytes. */
function optionValue(call: Call, addr: number, length: number): string {
  const level = call.int(1);
  const name = choiceName(optionSets[level] ?? '', call.int(2));
  if (level === 1) {
    if (name === 'SO_LINGER' && length >= 8)
      return call.deref(addr, 8, (v) => `{l_onoff=${i32(v, 0)}, l_linger=${i32(v, 4)}}`);
    if (name === 'SO_PEERCRED' && length >= 12)
      return call.deref(addr, 12, (v) => `{pid=${i32(v, 0)}, uid=${u32(v, 4)}, gid=${u32(v, 8)}}`);
    if (name === 'SO_ERROR' && length >= 4)
      return call.deref(addr, 4, (v) => `[${i32(v, 0) === 0 ? 0 : errorValue(i32(v, 0))}]`);
    if (name === 'SO_BINDTODEVICE') return call.deref(addr, length, (v) => quoteCut(untilNul(bytesOf(v, 0, length))));
  }
  if (length === 4) return call.deref(addr, 4, (v) => `[${i32(v, 0)}]`);
  return call.deref(addr, Math.min(length, STRING_LIMIT + 1), (v) => quoteCut(bytesOf(v, 0, v.byteLength)));
}

function errorValue(value: number): string {
  return errnoName(value) ?? String(value);
}

function received(call: Call): Text {
  const addr = call.at(1);
  if (addr === 0) return 'NULL';
  return () => {
    const bytes = call.failed ? undefined : call.bytes(addr, Math.min(Number(call.result), STRING_LIMIT + 1));
    return bytes === undefined ? address(addr) : quoteCut(bytes);
  };
}

function sent(call: Call): string {
  const addr = call.at(1);
  if (addr === 0) return 'NULL';
  const bytes = call.bytes(addr, Math.min(call.at(2), STRING_LIMIT + 1));
  return bytes === undefined ? address(addr) : quoteCut(bytes);
}

const MESSAGE = 64;
function messages(call: Call, count: number, receiving: boolean): string {
  const addr = call.at(1);
  if (addr === 0) return 'NULL';
  const parts: string[] = [];
  for (let i = 0; i < count; i++) {
    if (i >= ARRAY_LIMIT) {
      parts.push('...');
      break;
    }
    const length = call.view(addr + i * MESSAGE + 56, 4)?.getUint32(0, true);
    if (length === undefined) return parts.length === 0 ? address(addr) : `[${parts.join(', ')}, ...]`;
    const header = messageHeader(call, addr + i * MESSAGE, receiving ? length : undefined);
    parts.push(`{msg_hdr=${header}, msg_len=${length}}`);
  }
  return `[${parts.join(', ')}]`;
}

export const socketCalls: CallPrinters = {
  socket: { args: (c) => [choiceText('AF', c.int(0)), flagsText('socket_type', c.uint(1)), protocol(c)] },
  socketpair: {
    args: (c) => [
      choiceText('AF', c.int(0)),
      flagsText('socket_type', c.uint(1)),
      protocol(c),
      c.derefOut(c.at(3), 8, (v) => `[${i32(v, 0)}, ${i32(v, 4)}]`),
    ],
  },
  bind: { args: (c) => [String(c.int(0)), sockaddr(c, c.at(1), c.int(2)), String(c.int(2))] },
  connect: { args: (c) => [String(c.int(0)), sockaddr(c, c.at(1), c.int(2)), String(c.int(2))] },
  accept: { args: (c) => [String(c.int(0)), addressOut(c, 1, 2), lengthPointer(c, 2)] },
  accept4: {
    args: (c) => [String(c.int(0)), addressOut(c, 1, 2), lengthPointer(c, 2), flagsText('socket_type', c.uint(3))],
  },
  getsockname: { args: (c) => [String(c.int(0)), addressOut(c, 1, 2), lengthPointer(c, 2)] },
  getpeername: { args: (c) => [String(c.int(0)), addressOut(c, 1, 2), lengthPointer(c, 2)] },
  sendto: {
    args: (c) => [
      String(c.int(0)),
      sent(c),
      String(c.ulong(2)),
      flagsText('MSG', c.uint(3)),
      sockaddr(c, c.at(4), c.int(5)),
      String(c.int(5)),
    ],
  },
  recvfrom: {
    args: (c) => [
      String(c.int(0)),
      received(c),
      String(c.ulong(2)),
      flagsText('MSG', c.uint(3)),
      c.at(4) === 0 ? 'NULL' : addressOut(c, 4, 5),
      lengthPointer(c, 5),
    ],
  },
  sendmsg: { args: (c) => [String(c.int(0)), messageHeader(c, c.at(1), undefined), flagsText('MSG', c.uint(2))] },
  recvmsg: {
    args: (c) => {
      const namelen = c.view(c.at(1) + 8, 4)?.getUint32(0, true);
      return [
        String(c.int(0)),
        () => (c.failed ? failedHeader(c, namelen) : receivedHeader(c, namelen)),
        flagsText('MSG', c.uint(2)),
      ];
    },
  },
  sendmmsg: {
    args: (c) => [
      String(c.int(0)),
      () => messages(c, c.uint(2), false),
      String(c.uint(2)),
      flagsText('MSG', c.uint(3)),
    ],
  },
  recvmmsg: {
    args: (c) => [
      String(c.int(0)),
      () => (c.failed ? address(c.ulong(1)) : messages(c, Number(c.result), true)),
      String(c.uint(2)),
      flagsText('MSG', c.uint(3)),
      c.deref(c.at(4), 16, (v) => `{tv_sec=${v.getBigInt64(0, true)}, tv_nsec=${v.getBigInt64(8, true)}}`),
    ],
  },
  setsockopt: {
    args: (c) => [
      String(c.int(0)),
      choiceText('SOL', c.int(1)),
      option(c.int(1), c.int(2)),
      c.at(3) === 0 ? 'NULL' : optionValue(c, c.at(3), c.int(4)),
      String(c.int(4)),
    ],
  },
  getsockopt: {
    args: (c) => [
      String(c.int(0)),
      choiceText('SOL', c.int(1)),
      option(c.int(1), c.int(2)),
      c.at(3) === 0
        ? 'NULL'
        : () => (c.failed ? address(c.ulong(3)) : optionValue(c, c.at(3), c.view(c.at(4), 4)?.getInt32(0, true) ?? 0)),
      lengthPointer(c, 4),
    ],
  },
  shutdown: { args: (c) => [String(c.int(0)), choiceText('shutdown', c.int(1))] },
};

/** msg_namelen is shown as it was and as it became. */
function receivedHeader(call: Call, before: number | undefined): string {
  const text = messageHeader(call, call.at(1), Number(call.result));
  const after = call.view(call.at(1) + 8, 4)?.getUint32(0, true);
  return before === undefined || after === before
    ? text
    : text.replace(`msg_namelen=${after}`, `msg_namelen=${before} => ${after}`);
}

function failedHeader(call: Call, before: number | undefined): string {
  return before === undefined ? address(call.ulong(1)) : `{msg_namelen=${before}}`;
}
