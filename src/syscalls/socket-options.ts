/**
 * setsockopt(2) and getsockopt(2): options are opaque bytes for the kernel, save those that hold a pointer or a
 * descriptor. Those are listed here and translated; an option not listed goes on as it is.
 */

import { errno } from '../abi/errno.ts';
import { packetOptions, socketLevels, socketOptions, tcpOptions } from '../abi/constants/net.ts';
import { sockFilter, sockFprog } from '../abi/structs.ts';
import type { GuestAddr } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';

const so = socketOptions.values;
const { SOL_SOCKET, SOL_IP, SOL_IPV6, SOL_TCP, SOL_PACKET, SOL_XDP } = socketLevels.values;
const { TCP_ZEROCOPY_RECEIVE } = tcpOptions.values;
const { PACKET_FANOUT_DATA } = packetOptions.values;
/** Largest option value anybody takes: iptables rule sets aside, which are read where they are. */
const MAX_OPTION = 0x10000;
/** BPF_MAXINSNS. */
const MAX_FILTER = 4096;

/** Where an option's bytes hold something to translate. */
type Translation =
  /** struct sock_fprog: a length and a pointer to the filter. */
  | { readonly kind: 'filter' }
  /** An int that is a descriptor. */
  | { readonly kind: 'descriptor' }
  /** A pointer at `offset`, to as many bytes as `extent` says of the option. */
  | { readonly kind: 'pointer'; readonly offset: number; readonly extent: (option: DataView) => number }
  /** Pointers that are not understood: refused. */
  | { readonly kind: 'refuse'; readonly error: number };

const key = (level: number, name: number): number => level * 65536 + name;

/** struct ipt_replace and ip6t_replace: num_counters and a pointer to as many pairs of counters. */
const replace: Translation = { kind: 'pointer', offset: 88, extent: (o) => 16 * o.getUint32(80, true) };
/** struct arpt_replace. */
const arpReplace: Translation = { kind: 'pointer', offset: 72, extent: (o) => 16 * o.getUint32(64, true) };
const refuse: Translation = { kind: 'refuse', error: errno.ENOPROTOOPT };
const XDP_UMEM_REG = 4;

const setters = new Map<number, Translation>([
  [key(SOL_SOCKET, so.SO_ATTACH_FILTER), { kind: 'filter' }],
  [key(SOL_SOCKET, so.SO_ATTACH_REUSEPORT_CBPF), { kind: 'filter' }],
  [key(SOL_SOCKET, so.SO_ATTACH_BPF), { kind: 'descriptor' }],
  [key(SOL_SOCKET, so.SO_ATTACH_REUSEPORT_EBPF), { kind: 'descriptor' }],
  [key(SOL_IP, 64), replace],
  [key(SOL_IPV6, 64), replace],
  [key(SOL_IP, 96), arpReplace],
  [key(SOL_IP, 128), refuse],
  [key(SOL_XDP, XDP_UMEM_REG), { kind: 'pointer', offset: 0, extent: (o) => Number(o.getBigUint64(8, true)) }],
]);

export function setOption(task: Task, fd: number, level: number, name: number, value: GuestAddr, length: number): number {
  const host = task.hostFd(fd);
  let how = setters.get(key(level, name));
  // Classic or extended program, by the fanout's mode: told apart by the length the kernel wants for each.
  if (level === SOL_PACKET && name === PACKET_FANOUT_DATA) how = { kind: length === 4 ? 'descriptor' : 'filter' };
  if (how === undefined || length < 0 || value === 0) {
    return task.call('setsockopt', host, level, name, task.pointer(value, Math.max(0, length)), length);
  }
  if (how.kind === 'refuse') return -how.error;
  if (how.kind === 'filter' && length !== sockFprog.size) return -errno.EINVAL;
  if (length > MAX_OPTION && how.kind !== 'pointer') return -errno.EINVAL;
  if (length > MAX_OPTION) return -errno.ENOMEM;
  const bytes = task.memory.read(value, length);
  const option = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (how.kind) {
    case 'filter': {
      const count = option.getUint16(0, true);
      if (count === 0 || count > MAX_FILTER) return -errno.EINVAL;
      option.setBigUint64(8, BigInt(task.pointer(Number(option.getBigUint64(8, true)), count * sockFilter.size)), true);
      break;
    }
    case 'descriptor':
      if (length < 4) return -errno.EINVAL;
      option.setInt32(0, task.hostFd(option.getInt32(0, true)), true);
      break;
    case 'pointer':
      if (length < how.offset + 8) return -errno.EINVAL;
      option.setBigUint64(how.offset, BigInt(task.pointer(Number(option.getBigUint64(how.offset, true)), how.extent(option))), true);
      break;
  }
  const copy = task.scratch(length);
  task.host.scratch.bytes.set(bytes, copy.at);
  return task.call('setsockopt', host, level, name, copy.address, length);
}

export function getOption(task: Task, fd: number, level: number, name: number, value: GuestAddr, lengthAt: GuestAddr): number {
  const host = task.hostFd(fd);
  const room = lengthAt === 0 ? 0 : task.memory.u32(lengthAt) | 0;
  const call = (): number => task.call('getsockopt', host, level, name, task.pointer(value, Math.max(0, room)), task.pointer(lengthAt, 4));
  if (level === SOL_SOCKET && name === so.SO_ATTACH_FILTER) {
    // SO_GET_FILTER by another name: its length counts instructions.
    return task.call('getsockopt', host, level, name, task.pointer(value, Math.max(0, room) * sockFilter.size), task.pointer(lengthAt, 4));
  }
  if (level === SOL_SOCKET && name === so.SO_PEERPIDFD) {
    const { at, address } = task.scratch(8);
    const { view } = task.host.scratch;
    view.setInt32(at + 4, 4, true);
    if (room < 4) return -errno.EINVAL;
    let result = 0;
    const guest = task.fds.open(() => {
      result = task.call('getsockopt', host, level, name, address, address + 4);
      return result < 0 ? result : view.getInt32(at, true);
    }, true);
    if (guest < 0) return guest;
    task.memory.setU32(value, guest);
    task.memory.setU32(lengthAt, 4);
    return 0;
  }
  if (level === SOL_TCP && name === TCP_ZEROCOPY_RECEIVE) {
    // Maps received pages at an address inside the structure; copies are what every reader falls back to.
    return -errno.EOPNOTSUPP;
  }
  return call();
}
