/** Socket addresses, iovecs, message headers and ancillary data as strace prints them. */

import { ARRAY_LIMIT } from './basics.ts';
import { address, bytesOf, type Call, hex, i32, u16, u32, untilNul, viewOf, word } from './call.ts';
import { choiceText, flagsText } from './constants.ts';
import { quote, quoteCut, STRING_LIMIT } from './quote.ts';

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const AF_NETLINK = 16;
const AF_PACKET = 17;
const SOCKADDR_STORAGE = 128;

/** struct sockaddr of `length` bytes at `addr`. */
export function sockaddr(call: Call, addr: number, length: number): string {
  if (addr === 0) return 'NULL';
  if (length < 2 || length > SOCKADDR_STORAGE) return address(addr);
  const bytes = call.bytes(addr, length);
  return bytes === undefined ? address(addr) : sockaddrBytes(bytes);
}

export function sockaddrBytes(bytes: Uint8Array): string {
  const view = viewOf(bytes);
  const family = u16(view, 0);
  const head = `sa_family=${choiceText('AF', family)}`;
  if (family === AF_UNIX)
    return bytes.length === 2 ? `{${head}}` : `{${head}, sun_path=${unixPath(bytes.subarray(2))}}`;
  if (family === AF_INET && bytes.length >= 8)
    return `{${head}, sin_port=htons(${view.getUint16(2)}), sin_addr=inet_addr("${[...bytes.subarray(4, 8)].join('.')}")}`;
  if (family === AF_INET6 && bytes.length >= 24) {
    const scope = bytes.length >= 28 ? `, sin6_scope_id=${u32(view, 24)}` : '';
    return `{${head}, sin6_port=htons(${view.getUint16(2)}), sin6_flowinfo=htonl(${view.getUint32(4)}), inet_pton(AF_INET6, "${ipv6(bytes.subarray(8, 24))}", &sin6_addr)${scope}}`;
  }
  if (family === AF_NETLINK && bytes.length >= 12)
    return `{${head}, nl_pid=${i32(view, 4)}, nl_groups=${hex8(u32(view, 8))}}`;
  if (family === AF_PACKET && bytes.length >= 20) return packet(view, bytes, head);
  return `{${head}, sa_data=${quote(bytes.subarray(2))}}`;
}

function packet(view: DataView, bytes: Uint8Array, head: string): string {
  const size = bytes[11] as number;
  const hardware = [...bytes.subarray(12, 12 + Math.min(size, 8))].map((b) => hex(b)).join(', ');
  return `{${head}, sll_protocol=htons(${hex(view.getUint16(2))}), sll_ifindex=${i32(view, 4)}, sll_hatype=${choiceText('ARPHRD', u16(view, 8))}, sll_pkttype=${bytes[10]}, sll_halen=${size}, sll_addr=[${hardware}]}`;
}

function hex8(value: number): string {
  return value === 0 ? '00000000' : `0x${value.toString(16).padStart(8, '0')}`;
}

/** A name in the file system, or after a NUL byte an abstract one: `@"name"`. */
function unixPath(bytes: Uint8Array): string {
  if (bytes[0] === 0) return `@${quote(bytes.subarray(1))}`;
  return quote(untilNul(bytes));
}

/** RFC 5952 text, as inet_ntop gives it. */
export function ipv6(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] as number) << 8) | (bytes[2 * i + 1] as number));
  const mapped =
    groups.slice(0, 5).every((g) => g === 0) && (groups[5] === 0xffff || (groups[5] === 0 && groups[6] !== 0));
  if (mapped) return `${groups[5] === 0xffff ? '::ffff:' : '::'}${[...bytes.subarray(12)].join('.')}`;
  let best = { at: -1, length: 1 };
  for (let i = 0; i < 8; i++) {
    let n = 0;
    while (i + n < 8 && groups[i + n] === 0) n++;
    if (n > best.length) best = { at: i, length: n };
  }
  const text = (list: number[]): string => list.map((g) => g.toString(16)).join(':');
  if (best.at < 0) return text(groups);
  return `${text(groups.slice(0, best.at))}::${text(groups.slice(best.at + best.length))}`;
}

/** `[{iov_base="…", iov_len=5}]`; `show` tells for each length how much of it to print as text (true: all of it). */
export function iovecs(call: Call, addr: number, count: number, show: (length: number) => boolean | number): string {
  if (addr === 0) return 'NULL';
  if (count === 0) return '[]';
  const parts: string[] = [];
  for (let i = 0; i < count; i++) {
    if (i >= ARRAY_LIMIT) {
      parts.push('...');
      break;
    }
    const view = call.view(addr + 16 * i, 16);
    if (view === undefined) {
      if (i === 0) return address(addr);
      parts.push(`... /* ${address(addr + 16 * i)} */`);
      break;
    }
    const base = word(view, 0);
    const length = word(view, 8);
    const shown = show(length);
    parts.push(`{iov_base=${iovBase(call, base, length, shown)}, iov_len=${view.getBigUint64(8, true)}}`);
  }
  return `[${parts.join(', ')}]`;
}

function iovBase(call: Call, base: number, length: number, shown: boolean | number): string {
  if (shown === false) return address(base);
  if (base === 0) return 'NULL';
  const size = shown === true ? length : shown;
  const bytes = call.bytes(base, Math.min(size, STRING_LIMIT + 1));
  return bytes === undefined ? address(base) : quoteCut(bytes);
}

/** struct msghdr. `received`: bytes that came in; undefined for one that is being sent. */
export function messageHeader(call: Call, addr: number, received: number | undefined): string {
  if (addr === 0) return 'NULL';
  const view = call.view(addr, 56);
  if (view === undefined) return address(addr);
  const nameLength = u32(view, 8);
  const vectorCount = word(view, 24);
  let left = received ?? 0;
  const show = (length: number): boolean | number => {
    if (received === undefined) return true;
    const here = Math.min(left, length);
    left -= here;
    return here;
  };
  const control = word(view, 32);
  const controlLength = word(view, 40);
  const parts = [
    `msg_name=${sockaddr(call, word(view, 0), nameLength)}`,
    `msg_namelen=${nameLength}`,
    `msg_iov=${iovecs(call, word(view, 16), vectorCount, show)}`,
    `msg_iovlen=${vectorCount}`,
  ];
  if (controlLength > 0) parts.push(`msg_control=${controlMessages(call, control, controlLength)}`);
  parts.push(`msg_controllen=${controlLength}`, `msg_flags=${flagsText('MSG', u32(view, 48))}`);
  return `{${parts.join(', ')}}`;
}

const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const SCM_CREDENTIALS = 2;

function controlMessages(call: Call, addr: number, length: number): string {
  if (addr === 0) return 'NULL';
  const bytes = call.bytes(addr, Math.min(length, 65536));
  if (bytes === undefined) return address(addr);
  const view = viewOf(bytes);
  const parts: string[] = [];
  for (let at = 0; at + 16 <= bytes.length; ) {
    const size = word(view, at);
    const level = i32(view, at + 8);
    const type = i32(view, at + 12);
    const data = bytesOf(view, at + 16, Math.max(0, size - 16));
    const typeText = level === SOL_SOCKET ? choiceText('SCM', type) : hex(type);
    parts.push(
      `{cmsg_len=${size}, cmsg_level=${choiceText('SOL', level)}, cmsg_type=${typeText}${controlData(level, type, data)}}`,
    );
    if (size < 16) break;
    at += Math.ceil(size / 8) * 8;
  }
  return `[${parts.join(', ')}]`;
}

function controlData(level: number, type: number, data: Uint8Array): string {
  if (data.length === 0) return '';
  const view = viewOf(data);
  if (level === SOL_SOCKET && type === SCM_RIGHTS) {
    const list = Array.from({ length: Math.floor(data.length / 4) }, (_, i) => i32(view, 4 * i));
    return `, cmsg_data=[${list.join(', ')}]`;
  }
  if (level === SOL_SOCKET && type === SCM_CREDENTIALS && data.length >= 12)
    return `, cmsg_data={pid=${i32(view, 0)}, uid=${u32(view, 4)}, gid=${u32(view, 8)}}`;
  return `, cmsg_data=${quoteCut(data)}`;
}
