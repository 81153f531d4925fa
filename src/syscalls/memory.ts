/**
 * Memory: mmap(2) and its family on the guest's AddressSpace, NUMA policy, barriers.
 */

import { errno } from '../abi/errno.ts';
import { mapFlags } from '../abi/constants/memory.ts';
import type { GuestAddr } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import {
  address, array, choice, fd, flags, flags64, forward, full, int, iovec, none, offset, partial, pid, pointer, size,
  structOut, syscall, uint, ulong,
} from './declare.ts';

const { MAP_ANONYMOUS } = mapFlags.values;
const prot = flags64('prot');
const MPOL_BYTES = 8;

export const memorySyscalls = [
  syscall({
    name: 'mmap', nr: { x86_64: 9, aarch64: 222 }, class: ['memory', 'desc'],
    args: { addr: address, len: size, prot, flags: flags64('mmap'), fd, off: offset }, ret: address, support: full,
    run: (task, { addr, len, prot, flags, fd, off }) =>
      task.process.space.mmap(addr, len, prot, flags, (flags & MAP_ANONYMOUS) !== 0 ? -1 : hostFile(task, fd), Number(off)),
  }),
  syscall({
    name: 'munmap', nr: { x86_64: 11, aarch64: 215 }, class: ['memory'], args: { addr: address, len: size }, support: full,
    run: (task, { addr, len }) => task.process.space.munmap(addr, len),
  }),
  syscall({
    name: 'mprotect', nr: { x86_64: 10, aarch64: 226 }, class: ['memory'], args: { start: address, len: size, prot }, support: full,
    run: (task, { start, len, prot }) => task.process.space.mprotect(start, len, prot),
  }),
  syscall({
    name: 'mremap', nr: { x86_64: 25, aarch64: 216 }, class: ['memory'],
    args: { addr: address, old_len: size, new_len: size, flags: flags64('mremap'), new_addr: address }, ret: address, support: full,
    run: (task, { addr, old_len, new_len, flags, new_addr }) => task.process.space.mremap(addr, old_len, new_len, flags, new_addr),
  }),
  syscall({
    name: 'brk', nr: { x86_64: 12, aarch64: 214 }, class: ['memory'], args: { brk: address }, ret: address, support: full,
    run: (task, { brk }) => task.process.space.brk(brk),
  }),
  syscall({
    name: 'msync', nr: { x86_64: 26, aarch64: 227 }, class: ['memory', 'blocks'], args: { start: address, len: size, flags: flags('msync') }, support: full,
    run: (task, { start, len, flags }) => task.process.space.msync(start, len, flags),
  }),
  syscall({
    name: 'mincore', nr: { x86_64: 27, aarch64: 232 }, class: ['memory'], args: { start: address, len: size, vec: pointer }, support: full,
    run: (task, { start, len, vec }) => task.process.space.mincore(start, len, task.pointer(vec, Math.ceil(len / 4096))),
  }),
  syscall({
    name: 'madvise', nr: { x86_64: 28, aarch64: 233 }, class: ['memory'], args: { start: address, len: size, behavior: choice('madvise') }, support: full,
    run: (task, { start, len, behavior }) => task.process.space.madvise(start, len, behavior),
  }),
  syscall({
    name: 'process_madvise', nr: { x86_64: 440, aarch64: 440 }, class: ['memory', 'desc'],
    args: { pidfd: fd, vec: iovec('vlen', 'in'), vlen: size, behavior: choice('madvise'), flags: uint }, ret: size,
    support: none('advice about another process names addresses the host does not know it by'),
  }),
  syscall({
    name: 'mlock', nr: { x86_64: 149, aarch64: 228 }, class: ['memory'], args: { start: address, len: size }, support: full,
    run: (task, { start, len }) => task.process.space.mlock(start, len),
  }),
  syscall({
    name: 'mlock2', nr: { x86_64: 325, aarch64: 284 }, class: ['memory'], args: { start: address, len: size, flags: flags('mlock2') }, support: full,
    run: (task, { start, len, flags }) => task.process.space.mlock(start, len, flags),
  }),
  syscall({
    name: 'munlock', nr: { x86_64: 150, aarch64: 229 }, class: ['memory'], args: { start: address, len: size }, support: full,
    run: (task, { start, len }) => task.process.space.munlock(start, len),
  }),
  syscall({
    name: 'mlockall', nr: { x86_64: 151, aarch64: 230 }, class: ['memory'], args: { flags: flags('mlockall') }, support: full,
    run: (task, { flags }) => task.process.space.mlockall(flags),
  }),
  syscall({
    name: 'munlockall', nr: { x86_64: 152, aarch64: 231 }, class: ['memory'], args: {}, support: full, run: (task) => task.process.space.munlockall(),
  }),
  syscall({
    name: 'mseal', nr: { x86_64: 462, aarch64: 462 }, class: ['memory'], args: { start: address, len: size, flags: ulong }, support: full,
    run: (task, { start, len, flags }) => task.process.space.mseal(start, len, flags),
  }),
  syscall({
    name: 'remap_file_pages', nr: { x86_64: 216, aarch64: 234 }, class: ['memory'],
    args: { start: address, size, prot, pgoff: ulong, flags: flags64('mmap') }, support: full,
    run: (task, { start, size, prot, pgoff, flags }) => task.process.space.remapFilePages(start, size, prot, pgoff, flags),
  }),
  syscall({
    name: 'map_shadow_stack', nr: { x86_64: 453 }, class: ['memory'], args: { addr: address, size, flags: uint }, ret: address,
    support: none('the guest\'s processor has no shadow stacks'),
  }),

  // As a processor without memory protection keys: EINVAL, ENOSPC, and pkey −1 means none.
  syscall({
    name: 'pkey_mprotect', nr: { x86_64: 329, aarch64: 288 }, class: ['memory'], args: { start: address, len: size, prot, pkey: int },
    support: partial('the guest\'s processor has no protection keys: only key -1, which means none'),
    run: (task, { start, len, prot, pkey }) => (pkey === -1 ? task.process.space.mprotect(start, len, prot) : -errno.EINVAL),
  }),
  syscall({
    name: 'pkey_alloc', nr: { x86_64: 330, aarch64: 289 }, class: ['memory'], args: { flags: ulong, init_val: flags64('pkey') }, ret: int,
    support: partial('the guest\'s processor has no protection keys: ENOSPC'),
    run: (_task, { flags, init_val }) => (flags !== 0 || (init_val & ~3) !== 0 ? -errno.EINVAL : -errno.ENOSPC),
  }),
  syscall({
    name: 'pkey_free', nr: { x86_64: 331, aarch64: 290 }, class: ['memory'], args: { pkey: int },
    support: partial('the guest\'s processor has no protection keys: none can be freed'),
    run: () => -errno.EINVAL,
  }),

  syscall({
    name: 'mbind', nr: { x86_64: 237, aarch64: 235 }, class: ['memory'],
    args: { start: address, len: size, mode: choice('mempolicy'), nmask: pointer, maxnode: ulong, flags: flags('mbind') }, support: full,
    run: (task, { start, len, mode, nmask, maxnode, flags }) => {
      const refusal = guestRange(task, start, len);
      return refusal < 0 ? refusal : task.call('mbind', task.pointer(start, len), len, mode, mask(task, nmask, maxnode), maxnode, flags);
    },
  }),
  syscall({
    name: 'set_mempolicy', nr: { x86_64: 238, aarch64: 237 }, class: ['memory'],
    args: { mode: choice('mempolicy'), nmask: pointer, maxnode: ulong }, support: partial('the policy is the engine\'s as well'),
    run: (task, { mode, nmask, maxnode }) => task.call('set_mempolicy', mode, mask(task, nmask, maxnode), maxnode),
  }),
  syscall({
    name: 'get_mempolicy', nr: { x86_64: 239, aarch64: 236 }, class: ['memory'],
    args: { policy: structOut('int', 4), nmask: pointer, maxnode: ulong, addr: address, flags: flags64('get_mempolicy') }, support: full,
    run: (task, { policy, nmask, maxnode, addr, flags }) =>
      task.call('get_mempolicy', task.pointer(policy, 4), mask(task, nmask, maxnode), maxnode, task.pointer(addr, 1), flags),
  }),
  syscall({
    name: 'set_mempolicy_home_node', nr: { x86_64: 450, aarch64: 450 }, class: ['memory'],
    args: { start: address, len: size, home_node: ulong, flags: ulong }, support: full,
    run: (task, { start, len, home_node, flags }) => {
      const refusal = guestRange(task, start, len);
      return refusal < 0 ? refusal : task.call('set_mempolicy_home_node', task.pointer(start, len), len, home_node, flags);
    },
  }),
  syscall({
    name: 'migrate_pages', nr: { x86_64: 256, aarch64: 238 }, class: ['memory'],
    args: { pid, maxnode: ulong, old_nodes: pointer, new_nodes: pointer }, ret: int, support: full,
    run: (task, { pid, maxnode, old_nodes, new_nodes }) =>
      task.call('migrate_pages', pid, maxnode, mask(task, old_nodes, maxnode), mask(task, new_nodes, maxnode)),
  }),
  syscall({
    name: 'move_pages', nr: { x86_64: 279, aarch64: 239 }, class: ['memory'],
    args: {
      pid, nr_pages: ulong, pages: array('pointer', 8, 'nr_pages'), nodes: array('int', 4, 'nr_pages'),
      status: array('int', 4, 'nr_pages', 'out'), flags: flags('mbind'),
    },
    ret: int, support: partial('of the calling process only'), run: movePages,
  }),
  syscall({
    name: 'membarrier', nr: { x86_64: 324, aarch64: 283 }, class: ['memory'],
    args: { cmd: choice('membarrier'), flags: flags('membarrier_flags'), cpu_id: int }, ret: int,
    support: full, run: forward,
  }),
  syscall({
    name: 'userfaultfd', nr: { x86_64: 323, aarch64: 282 }, class: ['desc'], args: { flags: flags('userfaultfd') }, ret: fd,
    support: none('a fault would stop the engine\'s own thread where it cannot be resolved'),
  }),
  syscall({
    name: 'memfd_secret', nr: { x86_64: 447, aarch64: 447 }, class: ['desc'], args: { flags: flags('memfd_create') }, ret: fd, support: full,
    run: (task, { flags }) => {
      const FD_CLOEXEC = 1;
      const O_CLOEXEC = 0o2000000;
      // The kernel takes FD_CLOEXEC's bit here, as O_CLOEXEC.
      return task.fds.open(() => task.call('memfd_secret', flags | O_CLOEXEC), (flags & (O_CLOEXEC | FD_CLOEXEC)) !== 0);
    },
  }),
];

/** The host's descriptor of a file to map; a number that is surely closed if the guest has none. */
function hostFile(task: Task, fd: number): number {
  return fd < 0 ? 0x7fffffff : task.hostFd(fd);
}

/** A node mask of `maxnode` bits: the kernel reads and writes whole words of them. */
function mask(task: Task, nmask: GuestAddr, maxnode: number): number {
  return task.pointer(nmask, Math.ceil(Math.min(maxnode, 1 << 16) / 64) * MPOL_BYTES);
}

/** Ranges must be the guest's own: the kernel would take addresses beyond it for the engine's. */
function guestRange(task: Task, start: GuestAddr, length: number): number {
  return start + length <= task.memory.size ? 0 : -errno.EFAULT;
}

function movePages(
  task: Task,
  { pid, nr_pages, pages, nodes, status, flags }: { pid: number; nr_pages: number; pages: number; nodes: number; status: number; flags: number },
): number {
  if (pid !== 0 && pid !== task.process.pid) return task.call('kill', pid, 0) === -errno.ESRCH ? -errno.ESRCH : -errno.EPERM;
  const CHUNK = 4096;
  /** Pages that could not be moved: the call's result. */
  let left = 0;
  for (let done = 0; done < nr_pages; done += CHUNK) {
    const count = Math.min(CHUNK, nr_pages - done);
    const raw = task.memory.read(pages + 8 * done, 8 * count);
    const { scratch } = task.host;
    const mark = scratch.mark();
    const { at, address } = task.scratch(raw.length);
    const view = new DataView(raw.buffer, raw.byteOffset);
    for (let k = 0; k < count; k++) {
      scratch.view.setBigUint64(at + 8 * k, BigInt(task.pointer(Number(view.getBigUint64(8 * k, true)), 1)), true);
    }
    const nodesAt = nodes === 0 ? 0 : task.pointer(nodes + 4 * done, 4 * count);
    const result = task.call('move_pages', 0, count, address, nodesAt, task.pointer(status + 4 * done, 4 * count), flags);
    scratch.release(mark);
    if (result < 0) return result;
    left += result;
    // The host has every page of the guest's range mapped, if only as PROT_NONE.
    for (let k = 0; k < count; k++) {
      if (task.process.space.find(Number(view.getBigUint64(8 * k, true))) === undefined) task.memory.setU32(status + 4 * (done + k), -errno.EFAULT >>> 0);
    }
  }
  return left;
}
