/** The small things many calls print: identifiers, times, signals, modes, devices, string lists, buffers. */

import { NSIG, SIGRTMIN, signalName, signo } from '../abi/signals.ts';
import { address, bytesOf, type Call, hex, i64, octal, type Text, u64, untilNul, word } from './call.ts';
import { flagsText } from './constants.ts';
import { quote, quoteCut, STRING_LIMIT } from './quote.ts';

export const AT_FDCWD = -100;
const PATH_MAX = 4096;
/** strace shows so many elements of an array. */
export const ARRAY_LIMIT = 32;

export function dirfd(value: number): string {
  return value === AT_FDCWD ? 'AT_FDCWD' : String(value);
}

/** A user or group id: −1 means "leave it". */
export function id(value: number): string {
  return value === 0xffffffff ? '-1' : String(value);
}

export function signal(value: number): string {
  return signalName(value);
}

/** st_mode and the like: file type by name, then the permissions in octal. */
export function fileMode(mode: number): string {
  const type = mode & 0o170000;
  if (type === 0) return octal(mode);
  const parts = [flagsText('mode', type)];
  for (const [bit, name] of [
    [0o4000, 'S_ISUID'],
    [0o2000, 'S_ISGID'],
    [0o1000, 'S_ISVTX'],
  ] as const)
    if ((mode & bit) !== 0) parts.push(name);
  parts.push(octal(mode & 0o777));
  return parts.join('|');
}

/** A device number as the user-space encoding has it. */
export function device(value: bigint): string {
  const major = ((value >> 8n) & 0xfffn) | ((value >> 32n) & ~0xfffn);
  const minor = (value & 0xffn) | ((value >> 12n) & 0xffffff00n);
  return `makedev(${hex(major)}, ${hex(minor)})`;
}

export function path(call: Call, addr: number): string {
  if (addr === 0) return 'NULL';
  return stringAt(call, addr, PATH_MAX - 1, false);
}

/** A NUL-terminated string, cut at 32. */
export function string(call: Call, addr: number): string {
  if (addr === 0) return 'NULL';
  return stringAt(call, addr, STRING_LIMIT, true);
}

function stringAt(call: Call, addr: number, max: number, cut: boolean): string {
  const bytes = call.memory.readPartial(addr, max + 1);
  const end = bytes.indexOf(0);
  if (end < 0 && bytes.length <= max) return address(addr);
  if (end >= 0) return quote(bytes.subarray(0, end));
  return cut ? quoteCut(bytes, true) : `${quote(bytes.subarray(0, max))}...`;
}

/** `length` bytes the guest hands over. */
export function buffer(call: Call, addr: number, length: number): string {
  if (addr === 0) return 'NULL';
  const bytes = call.bytes(addr, Math.min(length, STRING_LIMIT + 1));
  return bytes === undefined ? address(addr) : quoteCut(bytes);
}

/** argv: `["ls", "-l"]`. */
export function stringList(call: Call, addr: number): string {
  if (addr === 0) return 'NULL';
  const parts: string[] = [];
  for (let i = 0; ; i++) {
    const pointer = call.view(addr + 8 * i, 8);
    if (pointer === undefined) {
      if (i === 0) return address(addr);
      parts.push(`... /* ${address(addr + 8 * i)} */`);
      break;
    }
    const at = word(pointer, 0);
    if (at === 0) break;
    if (i >= ARRAY_LIMIT) {
      parts.push('...');
      break;
    }
    parts.push(string(call, at));
  }
  return `[${parts.join(', ')}]`;
}

/** envp: `0x7ffd… /* 23 vars *\/`. */
export function environment(call: Call, addr: number): string {
  if (addr === 0) return 'NULL';
  let count = 0;
  for (;;) {
    const pointer = call.view(addr + 8 * count, 8);
    if (pointer === undefined)
      return count === 0 ? address(addr) : `${address(addr)} /* ${count} vars, unterminated */`;
    if (word(pointer, 0) === 0) return `${address(addr)} /* ${count} var${count === 1 ? '' : 's'} */`;
    count++;
  }
}

/** Elements of an array of `count` at `addr`, each by `print`. */
export function array(
  call: Call,
  addr: number,
  count: number,
  size: number,
  print: (view: DataView) => string,
): string {
  if (addr === 0) return 'NULL';
  if (count === 0) return '[]';
  const parts: string[] = [];
  for (let i = 0; i < count; i++) {
    if (i >= ARRAY_LIMIT) {
      parts.push('...');
      break;
    }
    const view = call.view(addr + i * size, size);
    if (view === undefined) {
      if (i === 0) return address(addr);
      parts.push(`... /* ${address(addr + i * size)} */`);
      break;
    }
    parts.push(print(view));
  }
  return `[${parts.join(', ')}]`;
}

export function timespec(view: DataView, at = 0): string {
  return `{tv_sec=${i64(view, at)}, tv_nsec=${i64(view, at + 8)}}`;
}
export function timeval(view: DataView, at = 0): string {
  return `{tv_sec=${i64(view, at)}, tv_usec=${i64(view, at + 8)}}`;
}

/** `2022-11-23T02:20:00.000000001+0000` in local time. */
export function dateText(seconds: bigint, fraction = '', always = false): string | undefined {
  if (seconds === 0n && fraction === '' && !always) return undefined;
  const date = new Date(Number(seconds) * 1000);
  if (Number.isNaN(date.getTime())) return undefined;
  const two = (n: number): string => String(n).padStart(2, '0');
  const offset = -date.getTimezoneOffset();
  const zone = `${offset < 0 ? '-' : '+'}${two(Math.floor(Math.abs(offset) / 60))}${two(Math.abs(offset) % 60)}`;
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day}T${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}${fraction}${zone}`;
}

const shortNames = new Map<number, string>();
for (const [name, value] of Object.entries(signo)) if (!shortNames.has(value)) shortNames.set(value, name.slice(3));

function shortSignal(n: number): string {
  return shortNames.get(n) ?? (n === SIGRTMIN ? 'RTMIN' : `RT_${n - SIGRTMIN}`);
}

/** `[INT CHLD]`; the complement with `~` where most are set. */
export function sigset(mask: bigint): string {
  const list: number[] = [];
  for (let n = 1; n <= NSIG; n++) if (((mask >> BigInt(n - 1)) & 1n) === 1n) list.push(n);
  if (list.length < (NSIG * 2) / 3) return `[${list.map(shortSignal).join(' ')}]`;
  const rest: number[] = [];
  for (let n = 1; n <= NSIG; n++) if (!list.includes(n)) rest.push(n);
  return `~[${rest.map(shortSignal).join(' ')}]`;
}

export function sigsetAt(call: Call, addr: number, bytes: number): string {
  if (addr === 0) return 'NULL';
  // Of any other size the kernel takes none.
  const view = bytes === 8 ? call.view(addr, 8) : undefined;
  return view === undefined ? address(addr) : sigset(u64(view, 0));
}

/** wait status. */
export function waitStatus(status: number): string {
  const code = (status >> 8) & 0xff;
  const low = status & 0x7f;
  if (low === 0) return `{WIFEXITED(s) && WEXITSTATUS(s) == ${code}}`;
  if (status === 0xffff) return '{WIFCONTINUED(s)}';
  if (low === 0x7f) return `{WIFSTOPPED(s) && WSTOPSIG(s) == ${signal(code)}}`;
  return `{WIFSIGNALED(s) && WTERMSIG(s) == ${signal(low)}${(status & 0x80) !== 0 ? ' && WCOREDUMP(s)' : ''}}`;
}

/** A limit: `8192*1024`, `RLIM64_INFINITY`. */
export function limit(value: bigint): string {
  if (value === 0xffff_ffff_ffff_ffffn) return 'RLIM64_INFINITY';
  if (value > 1024n && value % 1024n === 0n) return `${value / 1024n}*1024`;
  return String(value);
}

/** The kernel's largest NR_CPUS. */
const MOST_CPUS = 8192;

/** CPU numbers of an affinity mask. */
export function cpuSet(mask: Uint8Array): string {
  const bytes = mask.subarray(0, MOST_CPUS / 8);
  const list: number[] = [];
  for (let i = 0; i < bytes.length * 8; i++) if (((bytes[i >> 3] as number) >> (i & 7)) & 1) list.push(i);
  return `[${list.join(' ')}]`;
}

/** Descriptors of an fd_set below `limit`. */
export function fdSet(call: Call, addr: number, limitFd: number): { text: string; list: number[] } {
  if (addr === 0) return { text: 'NULL', list: [] };
  const bytes = call.bytes(addr, Math.ceil(Math.max(0, limitFd) / 8));
  if (bytes === undefined) return { text: address(addr), list: [] };
  const list: number[] = [];
  for (let i = 0; i < limitFd; i++) if (((bytes[i >> 3] as number) >> (i & 7)) & 1) list.push(i);
  return { text: `[${list.join(' ')}]`, list };
}

/** A scalar behind a pointer: `[5]`, in before and out after the call. */
export function scalar(
  call: Call,
  addr: number,
  size: number,
  signed: boolean,
  direction: 'in' | 'out' | 'inout',
): Text {
  const print = (view: DataView): string => {
    const value =
      size === 4 ? (signed ? view.getInt32(0, true) : view.getUint32(0, true)) : signed ? i64(view, 0) : u64(view, 0);
    return `[${value}]`;
  };
  if (direction === 'out') return call.derefOut(addr, size, print);
  const before = call.deref(addr, size, print);
  if (direction === 'in' || addr === 0) return before;
  return () => {
    if (call.failed) return before;
    const after = call.deref(addr, size, print);
    return after === before ? before : `${before} => ${after}`;
  };
}

export function nameField(view: DataView, at: number, length: number): string {
  return quote(untilNul(bytesOf(view, at, length)));
}
