/**
 * Structures as strace prints them, by the name the declarations use. What has no row here is printed field by
 * field from its layout in src/abi/structs.ts.
 */

import { constantSets } from '../abi/constant-set.ts';
import { type Layout, structLayout } from '../abi/structs.ts';
import { ARRAY_LIMIT, device, fileMode, id, limit, nameField, sigset, timespec, timeval } from './basics.ts';
import { address, bytesOf, type Call, hex, i32, i64, octal, u16, u32, u64, word } from './call.ts';
import { choiceText, flagsText } from './constants.ts';
import { quoteCut } from './quote.ts';
import { sigevent, siginfo } from './signal-info.ts';
import { termios } from './termios.ts';

export type StructPrinter = (view: DataView, call: Call) => string;

const scalar =
  (signed: boolean, size: 4 | 8) =>
  (view: DataView): string =>
    `[${size === 4 ? (signed ? i32(view, 0) : u32(view, 0)) : signed ? i64(view, 0) : u64(view, 0)}]`;

/** UTIME_NOW and UTIME_OMIT. */
const NOW = 0x3fffffffn;
const OMIT = 0x3ffffffen;

export function utimensTime(
  view: DataView,
  at: number,
  date: (seconds: bigint, nanoseconds: bigint) => string,
): string {
  const nanoseconds = i64(view, at + 8);
  if (nanoseconds === NOW) return 'UTIME_NOW';
  if (nanoseconds === OMIT) return 'UTIME_OMIT';
  return `${timespec(view, at)}${date(i64(view, at), nanoseconds)}`;
}

const stat: StructPrinter = (view) => {
  const layout = structLayout('stat') as Layout;
  const at = (name: string): number => layout.fields.find((f) => f.name === name)?.offset ?? 0;
  const mode = u32(view, at('st_mode'));
  const type = mode & 0o170000;
  const isDevice = type === 0o020000 || type === 0o060000;
  const extent = isDevice ? `st_rdev=${device(u64(view, at('st_rdev')))}` : `st_size=${i64(view, at('st_size'))}`;
  return `{st_mode=${fileMode(mode)}, ${extent}, ...}`;
};

/** STATX_BASIC_STATS with and without STATX_BTIME have names of their own. */
function statxMask(mask: number): string {
  if (mask === 0xfff) return 'STATX_ALL';
  if ((mask & 0x7ff) !== 0x7ff) return flagsText('statx', mask);
  const rest = mask & ~0x7ff;
  return rest === 0
    ? 'STATX_BASIC_STATS'
    : (mask & 0xfff) === 0xfff
      ? `STATX_ALL|${flagsText('statx', mask & ~0xfff)}`
      : `STATX_BASIC_STATS|${flagsText('statx', rest)}`;
}

const statx: StructPrinter = (view) => {
  const mode = u16(view, 28);
  return `{stx_mask=${statxMask(u32(view, 0))}, stx_attributes=${flagsText('statx_attr', u64(view, 8), 64)}, stx_mode=${fileMode(mode)}, stx_size=${u64(view, 40)}, ...}`;
};

const statfs: StructPrinter = (v) =>
  `{f_type=${choiceText('statfs_magic', i64(v, 0))}, f_bsize=${i64(v, 8)}, f_blocks=${u64(v, 16)}, f_bfree=${u64(v, 24)}, ` +
  `f_bavail=${u64(v, 32)}, f_files=${u64(v, 40)}, f_ffree=${u64(v, 48)}, f_fsid={val=[${hex(u32(v, 56))}, ${hex(u32(v, 60))}]}, ` +
  `f_namelen=${i64(v, 64)}, f_frsize=${i64(v, 72)}, f_flags=${flagsText('statfs_flags', i64(v, 80), 64)}}`;

const rusage: StructPrinter = (v) => `{ru_utime=${timeval(v, 0)}, ru_stime=${timeval(v, 16)}, ...}`;

const sysinfo: StructPrinter = (v) =>
  `{uptime=${i64(v, 0)}, loads=[${u64(v, 8)}, ${u64(v, 16)}, ${u64(v, 24)}], totalram=${u64(v, 32)}, freeram=${u64(v, 40)}, ` +
  `sharedram=${u64(v, 48)}, bufferram=${u64(v, 56)}, totalswap=${u64(v, 64)}, freeswap=${u64(v, 72)}, procs=${u16(v, 80)}, ` +
  `totalhigh=${u64(v, 88)}, freehigh=${u64(v, 96)}, mem_unit=${u32(v, 104)}}`;

const utsname: StructPrinter = (v) => `{sysname=${nameField(v, 0, 65)}, nodename=${nameField(v, 65, 65)}, ...}`;

const sigaction: StructPrinter = (v) => {
  const flags = u64(v, 8);
  const restorer = (flags & 0x4000000n) !== 0n ? `, sa_restorer=${address(u64(v, 16))}` : '';
  return `{sa_handler=${handler(u64(v, 0))}, sa_mask=${sigset(u64(v, 24))}, sa_flags=${flagsText('sigaction', flags, 64)}${restorer}}`;
};

function handler(value: bigint): string {
  return value === 0n ? 'SIG_DFL' : value === 1n ? 'SIG_IGN' : `0x${value.toString(16)}`;
}

const stack: StructPrinter = (v) =>
  `{ss_sp=${address(u64(v, 0))}, ss_flags=${flagsText('sigaltstack', u32(v, 8))}, ss_size=${u64(v, 16)}}`;

const flock: StructPrinter = (v) =>
  `{l_type=${choiceText('flock_type', v.getInt16(0, true))}, l_whence=${choiceText('whence', v.getInt16(2, true))}, l_start=${i64(v, 8)}, l_len=${i64(v, 16)}}`;

/** Data of an epoll_event: as descriptor and as word, the pointer only where the two differ. */
const epollEvent: StructPrinter = (v) =>
  `{events=${flagsText('epoll_events', u32(v, 0))}, data={u32=${u32(v, 4)}, u64=${u64(v, 4)}}}`;

const CAPABILITIES = 41;
function capabilitySet(low: number, high: number | undefined): string {
  const names: string[] = [];
  const value = BigInt(low) | (BigInt(high ?? 0) << 32n);
  if (value === 0n) return '0';
  let rest = value;
  for (let n = 0; n < CAPABILITIES; n++)
    if ((value >> BigInt(n)) & 1n) {
      names.push(`1<<${choiceText('capability', n)}`);
      rest &= ~(1n << BigInt(n));
    }
  if (rest !== 0n) names.push(`0x${rest.toString(16)}`);
  return names.join('|');
}

const capabilityData: StructPrinter = (v) => {
  const field = (at: number): string => capabilitySet(u32(v, at), v.byteLength >= 24 ? u32(v, at + 12) : undefined);
  return `{effective=${field(0)}, permitted=${field(4)}, inheritable=${field(8)}}`;
};

const openHow: StructPrinter = (v) => {
  const flags = u64(v, 0);
  const mode = u64(v, 8);
  const creates = (flags & 0o20000100n) !== 0n;
  return `{flags=${flagsText('open', flags, 64)}${creates || mode !== 0n ? `, mode=${octal(mode)}` : ''}, resolve=${flagsText('openat2_resolve', u64(v, 16), 64)}}`;
};

const printers: Readonly<Record<string, StructPrinter>> = {
  int: scalar(true, 4),
  unsigned: scalar(false, 4),
  'unsigned int': scalar(false, 4),
  pid_t: scalar(true, 4),
  timer_t: scalar(true, 4),
  uid_t: (v) => `[${id(u32(v, 0))}]`,
  gid_t: (v) => `[${id(u32(v, 0))}]`,
  size_t: scalar(false, 8),
  loff_t: scalar(true, 8),
  off_t: scalar(true, 8),
  socklen_t: scalar(true, 4),
  pointer: (v) => `[${address(u64(v, 0))}]`,
  'fd-pair': (v) => `[${i32(v, 0)}, ${i32(v, 4)}]`,
  'int[2]': (v) => `[${i32(v, 0)}, ${i32(v, 4)}]`,
  timespec: (v) => timespec(v),
  timeval: (v) => timeval(v),
  itimerval: (v) => `{it_interval=${timeval(v, 0)}, it_value=${timeval(v, 16)}}`,
  itimerspec: (v) => `{it_interval=${timespec(v, 0)}, it_value=${timespec(v, 16)}}`,
  stat,
  statx,
  statfs,
  rlimit: (v) => `{rlim_cur=${limit(u64(v, 0))}, rlim_max=${limit(u64(v, 8))}}`,
  rusage,
  sysinfo,
  utsname,
  sigaction,
  stack_t: stack,
  siginfo,
  sigevent,
  flock,
  epoll_event: epollEvent,
  cap_user_header: (v) => `{version=${choiceText('capability_version', u32(v, 0))}, pid=${i32(v, 4)}}`,
  cap_user_data: capabilityData,
  open_how: openHow,
  sched_param: (v) => `[${i32(v, 0)}]`,
  termios,
  timex: (v) =>
    `{modes=${flagsText('adjtimex', u32(v, 0))}, offset=${i64(v, 8)}, freq=${i64(v, 16)}, maxerror=${i64(v, 24)}, esterror=${i64(v, 32)}, ` +
    `status=${flagsText('adjtimex_status', u32(v, 40))}, constant=${i64(v, 48)}, precision=${i64(v, 56)}, tolerance=${i64(v, 64)}, ` +
    `time=${timeval(v, 72)}, tick=${i64(v, 88)}, ppsfreq=${i64(v, 96)}, jitter=${i64(v, 104)}, shift=${i32(v, 112)}, ` +
    `stabil=${i64(v, 120)}, jitcnt=${i64(v, 128)}, calcnt=${i64(v, 136)}, errcnt=${i64(v, 144)}, stbcnt=${i64(v, 152)}, tai=${i32(v, 160)}}`,
};

/** The printer of a structure; undefined if nothing is known of it but its size. */
export function structPrinter(name: string): StructPrinter | undefined {
  const own = printers[name];
  if (own !== undefined) return own;
  const layout = structLayout(name);
  return layout === undefined ? undefined : (view, call) => byLayout(layout, view, call);
}

/** `{field=value, …}`: names beginning with `_` are padding. */
function byLayout(layout: Layout, view: DataView, call: Call): string {
  const parts: string[] = [];
  for (const field of layout.fields) {
    if (field.name.startsWith('_') || field.offset + field.size * field.count > view.byteLength) continue;
    const one = (at: number): string => fieldText(field.type, field.set, view, at, call);
    if (field.type === 'i8' && field.count > 1)
      parts.push(`${field.name}=${nameField(view, field.offset, field.count)}`);
    else if (field.type === 'u8' && field.count > 1)
      parts.push(`${field.name}=${quoteCut(bytesOf(view, field.offset, field.count))}`);
    else if (field.count > 1) {
      const list = Array.from({ length: Math.min(field.count, ARRAY_LIMIT) }, (_, i) =>
        one(field.offset + i * field.size),
      );
      parts.push(`${field.name}=[${list.join(', ')}${field.count > ARRAY_LIMIT ? ', ...' : ''}]`);
    } else parts.push(`${field.name}=${one(field.offset)}`);
  }
  return `{${parts.join(', ')}}`;
}

function fieldText(type: string, set: string | undefined, view: DataView, at: number, call: Call): string {
  const nested = structPrinter(type);
  const layout = structLayout(type);
  if (nested !== undefined && layout !== undefined)
    return nested(new DataView(view.buffer, view.byteOffset + at, layout.size), call);
  if (type === 'ptr') return address(word(view, at));
  const bits = Number(type.slice(1));
  const value =
    bits === 64
      ? type[0] === 'i'
        ? i64(view, at)
        : u64(view, at)
      : BigInt(
          bits === 32
            ? type[0] === 'i'
              ? i32(view, at)
              : u32(view, at)
            : bits === 16
              ? type[0] === 'i'
                ? view.getInt16(at, true)
                : u16(view, at)
              : type[0] === 'i'
                ? view.getInt8(at)
                : view.getUint8(at),
        );
  return set === undefined ? String(value) : symbolic(set, value, bits);
}

/** A value of a constant set of either kind. */
export function symbolic(set: string, value: bigint, bits = 32): string {
  if (set === 'mode') return fileMode(Number(value));
  return isFlags(set) ? flagsText(set, value, bits) : choiceText(set, BigInt.asIntN(bits, value));
}

const kinds = new Map<string, boolean>();
function isFlags(name: string): boolean {
  if (kinds.size === 0) for (const s of constantSets()) kinds.set(s.name, s.kind === 'flags');
  return kinds.get(name) ?? false;
}
