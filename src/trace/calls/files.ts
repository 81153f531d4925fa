/** open, fcntl, ioctl, stat and their relatives. */

import { address, type Call, hex, i32, i64, octal, type Text, u16, u64 } from '../call.ts';
import { dateText, device, dirfd, fileMode, path, scalar, timeval } from '../basics.ts';
import { choiceName, choiceText, flagsText } from '../constants.ts';
import { argumentText } from '../kinds.ts';
import { quote, quoteCut, STRING_LIMIT } from '../quote.ts';
import { structPrinter, utimensTime } from '../structures.ts';
import type { CallPrinters } from './table.ts';

function openArguments(call: Call, first: readonly Text[], flagsAt: number): Text[] {
  const flags = call.uint(flagsAt);
  const mode = (flags & 0o100) !== 0 || (flags & 0o20000000) !== 0 ? [octal(call.uint(flagsAt + 1) & 0xffff)] : [];
  return [...first, flagsText('open', flags), ...mode];
}

/** What a call writes into a buffer, `length(result)` bytes of it. */
function outString(call: Call, addr: number, length: (result: number) => number, cut = true): Text {
  if (addr === 0) return 'NULL';
  return () => {
    if (call.failed) return address(addr);
    const size = length(Number(call.result));
    const bytes = call.bytes(addr, cut ? Math.min(size, STRING_LIMIT + 1) : size);
    return bytes === undefined ? address(addr) : cut ? quoteCut(bytes) : quote(bytes);
  };
}

function accessMode(value: number): string {
  return flagsText('access', value);
}

function fcntlArgument(call: Call): Text | undefined {
  const command = choiceName('fcntl', call.int(1));
  const arg = call.at(2);
  const struct = (name: string, size: number, direction: 'in' | 'out' | 'inout'): Text => {
    const print = (view: DataView): string => structPrinter(name)?.(view, call) ?? address(arg);
    if (direction === 'out') return call.derefOut(arg, size, print);
    return call.deref(arg, size, print);
  };
  switch (command) {
    case 'F_GETFD':
    case 'F_GETFL':
    case 'F_GETOWN':
    case 'F_GETSIG':
    case 'F_GETLEASE':
    case 'F_GETPIPE_SZ':
    case 'F_GET_SEALS':
      return undefined;
    case 'F_SETFD':
      return flagsText('fd_flags', call.uint(2));
    case 'F_SETFL':
      return flagsText('open', call.uint(2)).replace(/^O_RDONLY$/, 'O_RDONLY');
    case 'F_SETLK':
    case 'F_SETLKW':
    case 'F_OFD_SETLK':
    case 'F_OFD_SETLKW':
      return struct('flock', 32, 'in');
    case 'F_GETLK':
    case 'F_OFD_GETLK':
      return () => (call.failed ? address(arg) : call.deref(arg, 32, (view) => lockWithOwner(view)));
    case 'F_SETOWN_EX':
      return struct('f_owner_ex', 8, 'in');
    case 'F_GETOWN_EX':
      return struct('f_owner_ex', 8, 'out');
    case 'F_ADD_SEALS':
      return flagsText('seals', call.uint(2));
    case 'F_SETLEASE':
      return choiceText('flock_type', call.int(2));
    case 'F_SETSIG':
      return argumentSignal(call.int(2));
    case 'F_NOTIFY':
      return flagsText('dnotify', call.uint(2));
    case 'F_GET_RW_HINT':
    case 'F_GET_FILE_RW_HINT':
      return call.derefOut(arg, 8, (view) => `[${choiceText('rw_hint', u64(view, 0))}]`);
    case 'F_SET_RW_HINT':
    case 'F_SET_FILE_RW_HINT':
      return call.deref(arg, 8, (view) => `[${choiceText('rw_hint', u64(view, 0))}]`);
    case undefined:
      return hex(call.ulong(2));
    default:
      return String(call.int(2));
  }
}

function lockWithOwner(view: DataView): string {
  return `{l_type=${choiceText('flock_type', view.getInt16(0, true))}, l_whence=${choiceText('whence', view.getInt16(2, true))}, l_start=${i64(view, 8)}, l_len=${i64(view, 16)}, l_pid=${i32(view, 24)}}`;
}

function argumentSignal(value: number): string {
  return value === 0 ? '0' : choiceText('signal', value);
}

/** Where a number has several names, strace's choice. */
const preferred: Readonly<Record<number, string>> = { 0x541b: 'FIONREAD' };

function ioctlName(code: number): string | undefined {
  return preferred[code] ?? choiceName('ioctl', code);
}

function ioctlCommand(code: number): string {
  const name = ioctlName(code);
  if (name !== undefined) return name;
  const directions = ['_IOC_NONE', '_IOC_WRITE', '_IOC_READ', '_IOC_READ|_IOC_WRITE'];
  return `_IOC(${directions[code >>> 30]}, ${hex((code >>> 8) & 0xff)}, ${hex(code & 0xff)}, ${hex((code >>> 16) & 0x3fff)})`;
}

function ioctlArgument(call: Call): Text | undefined {
  const arg = call.at(2);
  const name = ioctlName(call.uint(1));
  switch (name) {
    case 'TCGETS':
      return call.derefOut(arg, 36, (v) => structPrinter('termios')?.(v, call) ?? '');
    case 'TCSETS':
    case 'TCSETSW':
    case 'TCSETSF':
      return call.deref(arg, 36, (v) => structPrinter('termios')?.(v, call) ?? '');
    case 'TIOCGWINSZ':
      return call.derefOut(arg, 8, winsize);
    case 'TIOCSWINSZ':
      return call.deref(arg, 8, winsize);
    case 'FIONREAD':
    case 'TIOCOUTQ':
    case 'TIOCGPGRP':
    case 'TIOCGSID':
    case 'TIOCGPTN':
      return scalar(call, arg, 4, name !== 'TIOCGPTN', 'out');
    case 'FIONBIO':
    case 'FIOASYNC':
    case 'TIOCSPGRP':
    case 'TIOCSPTLCK':
      return scalar(call, arg, 4, true, 'in');
    case 'TIOCSCTTY':
      return String(call.int(2));
    case 'TCFLSH':
      return choiceText('tcflush', call.int(2));
    case 'TCXONC':
      return choiceText('tcflow', call.int(2));
    case 'TCSBRK':
    case 'TCSBRKP':
      return String(call.int(2));
    case 'FIOCLEX':
    case 'FIONCLEX':
    case 'TIOCNOTTY':
    case 'TIOCEXCL':
    case 'TIOCNXCL':
      return undefined;
    case 'FICLONE':
      return String(call.int(2));
    default:
      return hex(call.ulong(2));
  }
}

function winsize(v: DataView): string {
  return `{ws_row=${u16(v, 0)}, ws_col=${u16(v, 2)}, ws_xpixel=${u16(v, 4)}, ws_ypixel=${u16(v, 6)}}`;
}

/** Times of utimensat: both, with the date where strace shows it. */
function utimensTimes(call: Call, addr: number): string {
  const date = (seconds: bigint, nanoseconds: bigint): string => {
    const fraction = nanoseconds === 0n ? '' : `.${String(nanoseconds).padStart(9, '0')}`;
    const text = dateText(seconds, fraction);
    return text === undefined ? '' : ` /* ${text} */`;
  };
  return call.deref(addr, 32, (v) => `[${utimensTime(v, 0, date)}, ${utimensTime(v, 16, date)}]`);
}

/** Times in microseconds, of utimes and futimesat. */
function microseconds(call: Call, addr: number): string {
  const one = (v: DataView, at: number): string => {
    const fraction = i64(v, at + 8) === 0n ? '' : `.${String(i64(v, at + 8)).padStart(6, '0')}`;
    const date = dateText(i64(v, at), fraction);
    return `${timeval(v, at)}${date === undefined ? '' : ` /* ${date} */`}`;
  };
  return call.deref(addr, 32, (v) => `[${one(v, 0)}, ${one(v, 16)}]`);
}

function dated(seconds: bigint): string {
  const date = dateText(seconds);
  return `${seconds}${date === undefined ? '' : ` /* ${date} */`}`;
}

/** quotactl's command word: what, and for which kind of quota. */
function quotaCommand(value: number): string {
  const kinds = ['USRQUOTA', 'GRPQUOTA', 'PRJQUOTA'];
  const kind = value & 0xff;
  const command = value >>> 8;
  return `QCMD(${choiceName('quota', command) ?? `${hex(command)} /* Q_??? */`}, ${kinds[kind] ?? `${hex(kind)} /* ???QUOTA */`})`;
}

const SWAP_PRIORITY = 0x7fff;
function swapFlags(value: number): string {
  const flags = value & ~SWAP_PRIORITY;
  return flags === 0 ? String(value & SWAP_PRIORITY) : `${flagsText('swapon', flags)}|${value & SWAP_PRIORITY}`;
}

const FAN_CLASSES = 12;
function fanotifyFlags(value: number): string {
  const names = ['FAN_CLASS_NOTIF', 'FAN_CLASS_CONTENT', 'FAN_CLASS_PRE_CONTENT'];
  const rest = (value & ~FAN_CLASSES) >>> 0;
  const group = names[(value & FAN_CLASSES) >>> 2] ?? `${hex(value & FAN_CLASSES)} /* FAN_CLASS_??? */`;
  return rest === 0 ? group : `${group}|${flagsText('fanotify_init', rest)}`;
}

function directoryEntries(call: Call, addr: number, lengthAt: number): Text {
  if (addr === 0) return 'NULL';
  return () => {
    if (call.failed) return address(addr);
    const total = Number(call.result);
    const bytes = call.bytes(addr, total);
    if (bytes === undefined) return address(addr);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let count = 0;
    for (let at = 0; at + lengthAt + 2 <= total; count++) {
      const length = u16(view, at + lengthAt);
      if (length === 0) break;
      at += length;
    }
    return `${address(addr)} /* ${count} entries */`;
  };
}

const statMask = (call: Call): string => {
  const mask = call.uint(3);
  const basic = 0x7ff;
  if (mask === 0xfff) return 'STATX_ALL';
  if ((mask & basic) === basic) {
    const rest = mask & ~basic;
    return rest === 0 ? 'STATX_BASIC_STATS' : `STATX_BASIC_STATS|${flagsText('statx', rest)}`;
  }
  return flagsText('statx', mask);
};

function byTypes(call: Call): Text[] {
  return call.syscall.args.map((_, k) => argumentText(call, k));
}

/** getxattr and its kin: the value is printed as a string as long as the result says. */
function xattrGet(call: Call): Text[] {
  const args = byTypes(call);
  args[2] = call.at(3) === 0 ? address(call.ulong(2)) : outString(call, call.at(2), (n) => n);
  return args;
}

export const fileCalls: CallPrinters = {
  open: { args: (c) => openArguments(c, [path(c, c.at(0))], 1) },
  openat: { args: (c) => openArguments(c, [dirfd(c.int(0)), path(c, c.at(1))], 2) },
  access: { args: (c) => [path(c, c.at(0)), accessMode(c.uint(1))] },
  faccessat: { args: (c) => [dirfd(c.int(0)), path(c, c.at(1)), accessMode(c.uint(2))] },
  faccessat2: {
    args: (c) => [
      dirfd(c.int(0)),
      path(c, c.at(1)),
      accessMode(c.uint(2)),
      flagsText('at', c.uint(3)).replace('AT_REMOVEDIR', 'AT_EACCESS'),
    ],
  },
  unlinkat: { args: (c) => [dirfd(c.int(0)), path(c, c.at(1)), flagsText('at', c.uint(2))] },
  readlink: { args: (c) => [path(c, c.at(0)), outString(c, c.at(1), (n) => n, true), String(c.uint(2))] },
  readlinkat: {
    args: (c) => [dirfd(c.int(0)), path(c, c.at(1)), outString(c, c.at(2), (n) => n, true), String(c.uint(3))],
  },
  getcwd: { args: (c) => [outString(c, c.at(0), (n) => Math.max(0, n - 1), false), String(c.ulong(1))] },
  mknod: { args: (c) => [path(c, c.at(0)), ...nodeArguments(c, 1)] },
  mknodat: { args: (c) => [dirfd(c.int(0)), path(c, c.at(1)), ...nodeArguments(c, 2)] },
  fcntl: {
    args: (c) => {
      const argument = fcntlArgument(c);
      return [String(c.int(0)), choiceText('fcntl', c.int(1)), ...(argument === undefined ? [] : [argument])];
    },
    result: (c) => {
      const command = choiceName('fcntl', c.int(1));
      if (command === 'F_GETFD')
        return c.result === 0n ? '0' : `${hex(c.result)} (flags ${flagsText('fd_flags', c.result)})`;
      if (command === 'F_GETFL') return `${hex(c.result)} (flags ${flagsText('open', c.result)})`;
      if (command === 'F_GET_SEALS')
        return `${hex(c.result)}${c.result === 0n ? '' : ` (seals ${flagsText('seals', c.result)})`}`;
      if (command === 'F_GETLEASE') return `${hex(c.result)} (${choiceText('flock_type', c.result)})`;
      if (command === 'F_GETSIG') return c.result === 0n ? '0' : `${c.result} (${choiceText('signal', c.result)})`;
      return undefined;
    },
  },
  ioctl: {
    args: (c) => {
      const argument = ioctlArgument(c);
      return [String(c.int(0)), ioctlCommand(c.uint(1)), ...(argument === undefined ? [] : [argument])];
    },
  },
  statx: {
    args: (c) => [
      dirfd(c.int(0)),
      path(c, c.at(1)),
      (c.uint(2) & 0x6000) === 0 ? joinFlags('AT_STATX_SYNC_AS_STAT', c.uint(2)) : flagsText('at', c.uint(2)),
      statMask(c),
      c.derefOut(c.at(4), 256, (v) => structPrinter('statx')?.(v, c) ?? ''),
    ],
  },
  getdents: { args: (c) => [String(c.int(0)), directoryEntries(c, c.at(1), 16), String(c.uint(2))] },
  getdents64: { args: (c) => [String(c.int(0)), directoryEntries(c, c.at(1), 16), String(c.uint(2))] },
  utimensat: { args: (c) => [dirfd(c.int(0)), path(c, c.at(1)), utimensTimes(c, c.at(2)), flagsText('at', c.uint(3))] },
  utime: {
    args: (c) => [
      path(c, c.at(0)),
      c.deref(c.at(1), 16, (v) => `{actime=${dated(i64(v, 0))}, modtime=${dated(i64(v, 8))}}`),
    ],
  },
  utimes: { args: (c) => [path(c, c.at(0)), microseconds(c, c.at(1))] },
  futimesat: { args: (c) => [dirfd(c.int(0)), path(c, c.at(1)), microseconds(c, c.at(2))] },
  swapon: { args: (c) => [path(c, c.at(0)), swapFlags(c.uint(1))] },
  quotactl: { args: (c) => [quotaCommand(c.uint(0)), path(c, c.at(1)), argumentText(c, 2), argumentText(c, 3)] },
  fanotify_init: { args: (c) => [fanotifyFlags(c.uint(0)), flagsText('open', c.uint(1))] },
  name_to_handle_at: { args: (c) => [...[0, 1, 2, 3].map((k) => argumentText(c, k)), flagsText('at', c.uint(4))] },
  getxattr: { args: xattrGet },
  lgetxattr: { args: xattrGet },
  fgetxattr: { args: xattrGet },
  umask: { args: (c) => [octal(c.uint(0))], result: (c) => octal(c.result) },
  pipe: { args: (c) => [c.derefOut(c.at(0), 8, (v) => `[${i32(v, 0)}, ${i32(v, 4)}]`)] },
  pipe2: { args: (c) => [c.derefOut(c.at(0), 8, (v) => `[${i32(v, 0)}, ${i32(v, 4)}]`), pipeFlags(c.uint(1))] },
  dup3: { args: (c) => [String(c.int(0)), String(c.int(1)), pipeFlags(c.uint(2))] },
  close_range: { args: (c) => [String(c.uint(0)), String(c.uint(1)), flagsText('close_range', c.uint(2))] },
  ftruncate: { args: (c) => [String(c.int(0)), String(c.long(1))] },
  mount: {
    args: (c) => [
      path(c, c.at(0)),
      path(c, c.at(1)),
      argumentText(c, 2),
      flagsText('mount', c.ulong(3), 64),
      mountData(c),
    ],
  },
};

function mountData(call: Call): Text {
  return call.at(4) === 0 ? 'NULL' : argumentString(call, call.at(4));
}

function argumentString(call: Call, addr: number): string {
  const bytes = call.memory.readPartial(addr, STRING_LIMIT + 1);
  const end = bytes.indexOf(0);
  if (end < 0 && bytes.length <= STRING_LIMIT) return address(addr);
  return end >= 0 ? quote(bytes.subarray(0, end)) : quoteCut(bytes, true);
}

/** pipe2 and dup3 take a few of open's flags, without an access mode. */
function pipeFlags(value: number): string {
  return value === 0 ? '0' : flagsText('open', value | 3).replace(/^O_ACCMODE\|/, '');
}

function joinFlags(first: string, value: number): string {
  return value === 0 ? first : `${first}|${flagsText('at', value)}`;
}

function nodeArguments(call: Call, k: number): Text[] {
  const mode = call.uint(k) & 0xffff;
  const type = mode & 0o170000;
  const needsDevice = type === 0o020000 || type === 0o060000;
  return [fileMode(mode), ...(needsDevice ? [device(BigInt(call.uint(k + 1)))] : [])];
}
