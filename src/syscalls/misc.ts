/**
 * What no other domain claims: the administrator's calls, keys, BPF, performance events, asynchronous I/O, security
 * modules, and the numbers that have a name but no kernel implements.
 */

import { perfEventFlags } from '../abi/constants/misc.ts';
import {
  address, array, bytesIn, bytesOut, choice, fd, flags, flags64, forward, full, hex, int, long, none, partial, path, pid, pointer,
  size, string, struct, structInOut, structOut, syscall, uint, ulong, unused,
} from './declare.ts';
import type { Task } from '../kernel/task.ts';
import { SyscallError } from '../kernel/syscall-error.ts';
import { errno } from '../abi/errno.ts';

const { PERF_FLAG_FD_CLOEXEC } = perfEventFlags.values;
const noPorts = none('the guest has no I/O ports');
const gone = none('no Linux kernel of this day implements it');
const noAio = none('the completion ring the kernel maps would lie outside the guest and hold host addresses; libaio falls back or reports ENOSYS');
const noRing = none('the kernel reads the rings by itself and would take guest addresses for host ones');
const noSegments = none('the guest has no descriptor tables: thread bases are set with arch_prctl');
const module = none('a guest does not change the host kernel');

const iocb = pointer;

export const miscSyscalls = [
  syscall({
    name: 'syslog', nr: { x86_64: 103, aarch64: 116 }, args: { type: choice('syslog'), buf: bytesOut('len'), len: int }, ret: int, support: full, run: forward,
  }),
  syscall({
    name: 'reboot', nr: { x86_64: 169, aarch64: 142 }, args: { magic1: choice('reboot_magic1'), magic2: choice('reboot_magic2'), cmd: choice('reboot'), arg: pointer },
    support: full,
    run: (task, { magic1, magic2, cmd, arg }) => task.call('reboot', magic1 >>> 0, magic2 >>> 0, cmd >>> 0, arg === 0 ? 0 : task.cstring(text(task, arg, 255))),
  }),
  syscall({ name: 'iopl', nr: { x86_64: 172 }, args: { level: uint }, support: noPorts }),
  syscall({ name: 'ioperm', nr: { x86_64: 173 }, args: { from: ulong, num: ulong, turn_on: int }, support: noPorts }),
  syscall({ name: 'modify_ldt', nr: { x86_64: 154 }, args: { func: int, ptr: bytesIn('bytecount'), bytecount: ulong }, ret: int, support: noSegments }),
  syscall({ name: 'set_thread_area', nr: { x86_64: 205 }, args: { u_info: pointer }, support: noSegments }),
  syscall({ name: 'get_thread_area', nr: { x86_64: 211 }, args: { u_info: pointer }, support: noSegments }),

  syscall({ name: 'init_module', nr: { x86_64: 175, aarch64: 105 }, args: { umod: bytesIn('len'), len: ulong, uargs: string }, support: module }),
  syscall({ name: 'finit_module', nr: { x86_64: 313, aarch64: 273 }, class: ['desc'], args: { fd, uargs: string, flags: flags('finit_module') }, support: module }),
  syscall({ name: 'delete_module', nr: { x86_64: 176, aarch64: 106 }, args: { name_user: string, flags: flags('open') }, support: module }),

  syscall({
    name: 'add_key', nr: { x86_64: 248, aarch64: 217 },
    args: { _type: string, _description: string, _payload: bytesIn('plen'), plen: size, ringid: choice('key_serial') }, ret: int, support: full,
    run: (task, { _type, _description, _payload, plen, ringid }) =>
      task.call('add_key', task.cstring(text(task, _type, 32)), optionalText(task, _description), task.pointer(_payload, plen), plen, ringid),
  }),
  syscall({
    name: 'request_key', nr: { x86_64: 249, aarch64: 218 },
    args: { _type: string, _description: string, _callout_info: string, destringid: choice('key_serial') }, ret: int, support: full,
    run: (task, { _type, _description, _callout_info, destringid }) =>
      task.call('request_key', task.cstring(text(task, _type, 32)), optionalText(task, _description), optionalText(task, _callout_info), destringid),
  }),
  syscall({
    name: 'keyctl', nr: { x86_64: 250, aarch64: 219 }, args: { option: choice('keyctl'), arg2: ulong, arg3: ulong, arg4: ulong, arg5: ulong }, ret: long,
    support: partial('public-key and Diffie-Hellman operations answer EOPNOTSUPP'),
    run: (task, { option, arg2, arg3, arg4, arg5 }, frame) => {
      const raw = [1, 2, 3, 4].map((k) => frame.i64[k] as bigint) as [bigint, bigint, bigint, bigint];
      const shape = keyctlShapes[option];
      if (shape === undefined) return -errno.EOPNOTSUPP;
      const args = [arg2, arg3, arg4, arg5];
      const host = shape.map((kind, k) => {
        const value = args[k] as number;
        if (kind === 'n') return raw[k] as bigint;
        if (kind === 's') return optionalText(task, value);
        // A buffer: its length stands in the next argument.
        return task.pointer(value, Math.min(args[k + 1] ?? 0, 2 ** 40));
      });
      while (host.length < 4) host.push(raw[host.length] as bigint);
      return task.call('keyctl', option, ...host);
    },
  }),

  syscall({
    name: 'bpf', nr: { x86_64: 321, aarch64: 280 }, class: ['desc'], args: { cmd: choice('bpf'), uattr: pointer, size: uint }, ret: int,
    support: none('maps and programs hold pointers and descriptors that only the host kernel could tell apart'),
  }),
  syscall({
    name: 'perf_event_open', nr: { x86_64: 298, aarch64: 241 }, class: ['desc'],
    args: { attr_uptr: structInOut('perf_event_attr', 0), pid, cpu: int, group_fd: fd, flags: flags64('perf_event_open') }, ret: fd,
    support: partial('counts the engine\'s work, translation included; sampled addresses are the engine\'s'),
    run: (task, { attr_uptr, pid, cpu, group_fd, flags }) => {
      // The attribute says its own length, at offset 4.
      const length = attr_uptr === 0 ? 0 : Math.max(64, task.memory.u32(attr_uptr + 4));
      return task.fds.open(
        () => task.call('perf_event_open', task.pointer(attr_uptr, length), pid, cpu, task.hostFd(group_fd), flags | PERF_FLAG_FD_CLOEXEC),
        (flags & PERF_FLAG_FD_CLOEXEC) !== 0,
      );
    },
  }),
  syscall({
    name: 'landlock_create_ruleset', nr: { x86_64: 444, aarch64: 444 }, class: ['desc'],
    args: { attr: bytesIn('size'), size, flags: flags('landlock_create_ruleset') }, ret: int,
    support: none('a ruleset would bind the engine as well'),
  }),
  syscall({
    name: 'landlock_add_rule', nr: { x86_64: 445, aarch64: 445 }, class: ['desc'],
    args: { ruleset_fd: fd, rule_type: choice('landlock_rule'), rule_attr: pointer, flags: uint },
    support: none('a ruleset would bind the engine as well'),
  }),
  syscall({
    name: 'landlock_restrict_self', nr: { x86_64: 446, aarch64: 446 }, class: ['desc'], args: { ruleset_fd: fd, flags: uint },
    support: none('a ruleset would bind the engine as well'),
  }),
  syscall({
    name: 'lsm_get_self_attr', nr: { x86_64: 459, aarch64: 459 },
    args: { attr: uint, ctx: bytesOut('size'), size: structInOut('u32', 4), flags: uint }, ret: int, support: full,
    run: (task, { attr, ctx, size, flags }) =>
      task.call('lsm_get_self_attr', attr, task.pointer(ctx, size === 0 ? 0 : task.memory.u32(size)), task.pointer(size, 4), flags),
  }),
  syscall({
    name: 'lsm_set_self_attr', nr: { x86_64: 460, aarch64: 460 }, args: { attr: uint, ctx: bytesIn('size'), size: uint, flags: uint },
    support: partial('applies to the engine\'s thread'), run: forward,
  }),
  syscall({
    name: 'lsm_list_modules', nr: { x86_64: 461, aarch64: 461 }, args: { ids: pointer, size: structInOut('u32', 4), flags: uint }, ret: int, support: full,
    run: (task, { ids, size, flags }) =>
      task.call('lsm_list_modules', task.pointer(ids, size === 0 ? 0 : task.memory.u32(size)), task.pointer(size, 4), flags),
  }),

  syscall({ name: 'io_setup', nr: { x86_64: 206, aarch64: 0 }, args: { nr_reqs: uint, ctx: structInOut('aio_context_t', 8) }, support: noAio }),
  syscall({ name: 'io_destroy', nr: { x86_64: 207, aarch64: 1 }, args: { ctx: hex }, support: noAio }),
  syscall({ name: 'io_submit', nr: { x86_64: 209, aarch64: 2 }, args: { ctx_id: ulong, nr: long, iocbpp: iocb }, ret: long, support: noAio }),
  syscall({ name: 'io_cancel', nr: { x86_64: 210, aarch64: 3 }, args: { ctx_id: ulong, iocb, result: structOut('io_event', 32) }, support: noAio }),
  syscall({
    name: 'io_getevents', nr: { x86_64: 208, aarch64: 4 },
    args: { ctx_id: ulong, min_nr: long, nr: long, events: array('io_event', 32, 'nr', 'out'), timeout: struct('timespec', 16) }, ret: long,
    support: noAio,
  }),
  syscall({
    name: 'io_pgetevents', nr: { x86_64: 333, aarch64: 292 },
    args: {
      ctx_id: ulong, min_nr: long, nr: long, events: array('io_event', 32, 'nr', 'out'), timeout: struct('timespec', 16), usig: pointer,
    },
    ret: long, support: noAio,
  }),
  syscall({
    name: 'io_uring_setup', nr: { x86_64: 425, aarch64: 425 }, class: ['desc'], args: { entries: uint, params: structInOut('io_uring_params', 120) }, ret: fd,
    support: noRing,
  }),
  syscall({
    name: 'io_uring_enter', nr: { x86_64: 426, aarch64: 426 }, class: ['desc', 'signal'],
    args: { fd, to_submit: uint, min_complete: uint, flags: flags('io_uring_enter'), argp: pointer, argsz: size }, ret: int, support: noRing,
  }),
  syscall({
    name: 'io_uring_register', nr: { x86_64: 427, aarch64: 427 }, class: ['desc', 'memory'],
    args: { fd, opcode: choice('io_uring_register'), arg: pointer, nr_args: uint }, ret: int, support: noRing,
  }),

  syscall({ name: 'uselib', nr: { x86_64: 134 }, args: { library: path }, support: gone }),
  syscall({ name: '_sysctl', nr: { x86_64: 156 }, args: { args: pointer }, support: gone }),
  syscall({ name: 'create_module', nr: { x86_64: 174 }, args: { name: string, size }, ret: address, support: gone }),
  syscall({ name: 'get_kernel_syms', nr: { x86_64: 177 }, args: { table: pointer }, ret: int, support: gone }),
  syscall({ name: 'query_module', nr: { x86_64: 178 }, args: { name: string, which: int, buf: pointer, bufsize: size, ret: pointer }, support: gone }),
  syscall({ name: 'nfsservctl', nr: { x86_64: 180, aarch64: 42 }, args: { cmd: int, argp: pointer, resp: pointer }, ret: int, support: gone }),
  syscall({ name: 'getpmsg', nr: { x86_64: 181 }, args: { fd, ctl: pointer, data: pointer, band: pointer, flags: pointer }, ret: int, support: gone }),
  syscall({ name: 'putpmsg', nr: { x86_64: 182 }, args: { fd, ctl: pointer, data: pointer, band: int, flags: int }, support: gone }),
  syscall({ name: 'afs_syscall', nr: { x86_64: 183 }, args: {}, support: gone }),
  syscall({ name: 'tuxcall', nr: { x86_64: 184 }, args: {}, support: gone }),
  syscall({ name: 'security', nr: { x86_64: 185 }, args: {}, support: gone }),
  syscall({ name: 'vserver', nr: { x86_64: 236 }, args: {}, support: gone }),
  syscall({ name: 'lookup_dcookie', nr: { x86_64: 212, aarch64: 18 }, args: { cookie: ulong, buf: bytesOut('len'), len: size }, ret: size, support: gone }),
  syscall({ name: 'epoll_ctl_old', nr: { x86_64: 214 }, args: { epfd: unused, op: unused, fd: unused, event: unused }, support: gone }),
  syscall({ name: 'epoll_wait_old', nr: { x86_64: 215 }, args: { epfd: unused, events: unused, maxevents: unused, timeout: unused }, ret: int, support: gone }),
];

/** A private copy of a guest string, so that the kernel reads nothing beyond the guest's memory. */
function text(task: Task, addr: number, max: number): Uint8Array {
  const { bytes, terminated } = task.memory.readCString(addr, max);
  if (!terminated) throw new SyscallError(errno.EINVAL);
  return bytes;
}

function optionalText(task: Task, addr: number): number {
  return addr === 0 ? 0 : task.cstring(text(task, addr, 4096));
}

/** Arguments 2 … 5 of keyctl by operation: n number, s string, b buffer whose length is the next argument. */
const keyctlShapes: Readonly<Record<number, string[]>> = Object.fromEntries(
  Object.entries({
    0: 'nn', 1: 's', 2: 'nbn', 3: 'n', 4: 'nnn', 5: 'nn', 6: 'nbn', 7: 'n', 8: 'nn', 9: 'nn', 10: 'nssn', 11: 'nbn', 12: 'nbnn',
    13: 'nnn', 14: 'n', 15: 'nn', 16: 'nn', 17: 'nbn', 18: '', 19: 'nnnn', 21: 'n', 22: 'nn', 29: 'nss', 30: 'nnnn', 31: 'bn',
  }).map(([operation, shape]) => [operation, [...shape]]),
);

