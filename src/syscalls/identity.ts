/**
 * Who the process is: ids, groups, sessions, capabilities, names of the system. credentials(7), capabilities(7),
 * uname(2). The guest's process and thread ids are the host's own.
 */

import { personalityFlags } from '../abi/constants/process.ts';
import { utsname, at } from '../abi/structs.ts';
import {
  array, bytesIn, bytesOut, flags, forward, full, gid, hex, int, partial, pid, size, struct, structInOut,
  structOut, syscall, uid, unused,
} from './declare.ts';
import type { Process } from '../kernel/process.ts';
import { WORD } from '../kernel/process-block.ts';

const idOut = structOut('uid_t', 4);
const gidOut = structOut('gid_t', 4);
const own = partial('applies to the calling thread; the engine keeps what it has open');

const { UNAME26 } = personalityFlags.values;
const PER_LINUX32 = 8;
const PER_MASK = 0xff;

/** personality(2)'s word: the guest's alone, since it would change how the engine's own memory is laid out. */
export function personalityOf(process: Process): number {
  return process.block.get(WORD.personality) >>> 0;
}

export const identitySyscalls = [
  syscall({ name: 'getpid', nr: { x86_64: 39, aarch64: 172 }, class: ['pure'], args: {}, ret: pid, support: full, run: forward }),
  syscall({ name: 'gettid', nr: { x86_64: 186, aarch64: 178 }, class: ['pure'], args: {}, ret: pid, support: full, run: forward }),
  syscall({ name: 'getppid', nr: { x86_64: 110, aarch64: 173 }, class: ['pure'], args: {}, ret: pid, support: full, run: forward }),
  syscall({ name: 'getpgrp', nr: { x86_64: 111 }, class: ['pure'], args: {}, ret: pid, support: full, run: (task) => task.call('getpgid', 0) }),
  syscall({ name: 'getpgid', nr: { x86_64: 121, aarch64: 155 }, args: { pid }, ret: pid, support: full, run: forward }),
  syscall({ name: 'setpgid', nr: { x86_64: 109, aarch64: 154 }, args: { pid, pgid: pid }, support: full, run: forward }),
  syscall({ name: 'getsid', nr: { x86_64: 124, aarch64: 156 }, args: { pid }, ret: pid, support: full, run: forward }),
  syscall({ name: 'setsid', nr: { x86_64: 112, aarch64: 157 }, args: {}, ret: pid, support: full, run: forward }),

  syscall({ name: 'getuid', nr: { x86_64: 102, aarch64: 174 }, class: ['creds', 'pure'], args: {}, ret: uid, support: full, run: forward }),
  syscall({ name: 'geteuid', nr: { x86_64: 107, aarch64: 175 }, class: ['creds', 'pure'], args: {}, ret: uid, support: full, run: forward }),
  syscall({ name: 'getgid', nr: { x86_64: 104, aarch64: 176 }, class: ['creds', 'pure'], args: {}, ret: gid, support: full, run: forward }),
  syscall({ name: 'getegid', nr: { x86_64: 108, aarch64: 177 }, class: ['creds', 'pure'], args: {}, ret: gid, support: full, run: forward }),
  syscall({ name: 'setuid', nr: { x86_64: 105, aarch64: 146 }, class: ['creds'], lasting: 'credentials', args: { uid }, support: own, run: forward }),
  syscall({ name: 'setgid', nr: { x86_64: 106, aarch64: 144 }, class: ['creds'], lasting: 'credentials', args: { gid }, support: own, run: forward }),
  syscall({ name: 'setreuid', nr: { x86_64: 113, aarch64: 145 }, class: ['creds'], lasting: 'credentials', args: { ruid: uid, euid: uid }, support: own, run: forward }),
  syscall({ name: 'setregid', nr: { x86_64: 114, aarch64: 143 }, class: ['creds'], lasting: 'credentials', args: { rgid: gid, egid: gid }, support: own, run: forward }),
  syscall({ name: 'setresuid', nr: { x86_64: 117, aarch64: 147 }, class: ['creds'], lasting: 'credentials', args: { ruid: uid, euid: uid, suid: uid }, support: own, run: forward }),
  syscall({ name: 'setresgid', nr: { x86_64: 119, aarch64: 149 }, class: ['creds'], lasting: 'credentials', args: { rgid: gid, egid: gid, sgid: gid }, support: own, run: forward }),
  syscall({
    name: 'getresuid', nr: { x86_64: 118, aarch64: 148 }, class: ['creds'], args: { ruidp: idOut, euidp: idOut, suidp: idOut }, support: full, run: forward,
  }),
  syscall({
    name: 'getresgid', nr: { x86_64: 120, aarch64: 150 }, class: ['creds'], args: { rgidp: gidOut, egidp: gidOut, sgidp: gidOut }, support: full, run: forward,
  }),
  syscall({ name: 'setfsuid', nr: { x86_64: 122, aarch64: 151 }, class: ['creds'], lasting: 'credentials', args: { uid }, ret: uid, support: own, run: forward }),
  syscall({ name: 'setfsgid', nr: { x86_64: 123, aarch64: 152 }, class: ['creds'], lasting: 'credentials', args: { gid }, ret: gid, support: own, run: forward }),
  syscall({
    name: 'getgroups', nr: { x86_64: 115, aarch64: 158 }, class: ['creds'],
    args: { gidsetsize: int, grouplist: array('gid_t', 4, 'gidsetsize', 'out') }, ret: int, support: full, run: forward,
  }),
  syscall({
    name: 'setgroups', nr: { x86_64: 116, aarch64: 159 }, class: ['creds'], lasting: 'credentials',
    args: { gidsetsize: int, grouplist: array('gid_t', 4, 'gidsetsize') }, support: own, run: forward,
  }),
  syscall({
    name: 'capget', nr: { x86_64: 125, aarch64: 90 }, class: ['creds'],
    args: { header: structInOut('cap_user_header', 8), dataptr: structOut('cap_user_data[2]', 24) }, support: full, run: forward,
  }),
  syscall({
    name: 'capset', nr: { x86_64: 126, aarch64: 91 }, class: ['creds'], lasting: 'credentials',
    args: { header: structInOut('cap_user_header', 8), data: struct('cap_user_data[2]', 24) }, support: own, run: forward,
  }),

  syscall({
    name: 'uname', nr: { x86_64: 63, aarch64: 160 }, args: { name: structOut('utsname', 390) }, support: full,
    run: (task, { name }) => {
      const { at: place, address } = task.scratch(400);
      const result = task.call('uname', address);
      if (result < 0) return result;
      const bytes = task.host.scratch.bytes.slice(place, place + utsname.size);
      const persona = personalityOf(task.process);
      const machine = (persona & PER_MASK) === PER_LINUX32 ? 'i686' : task.process.isa;
      put(bytes, at(utsname, 'machine'), machine);
      if ((persona & UNAME26) !== 0) put(bytes, at(utsname, 'release'), oldRelease(bytes));
      task.memory.write(name, bytes);
      return 0;
    },
  }),
  syscall({ name: 'sethostname', nr: { x86_64: 170, aarch64: 161 }, args: { name: bytesIn('len'), len: int }, support: full, run: forward }),
  syscall({ name: 'setdomainname', nr: { x86_64: 171, aarch64: 162 }, args: { name: bytesIn('len'), len: int }, support: full, run: forward }),
  syscall({ name: 'sysinfo', nr: { x86_64: 99, aarch64: 179 }, args: { info: structOut('sysinfo', 112) }, support: full, run: forward }),
  syscall({
    name: 'personality', nr: { x86_64: 135, aarch64: 92 }, args: { personality: hex }, ret: hex,
    support: partial('kept for the guest; READ_IMPLIES_EXEC, MMAP_PAGE_ZERO and the address limits have no effect'),
    run: (task, { personality }) => {
      const old = personalityOf(task.process);
      if (personality !== 0xffffffff) task.process.block.set(WORD.personality, personality | 0);
      return old;
    },
  }),

  syscall({
    name: 'getcpu', nr: { x86_64: 309, aarch64: 168 },
    args: { cpup: structOut('unsigned', 4), nodep: structOut('unsigned', 4), unused }, support: full,
    run: (task, { cpup, nodep }) => task.call('getcpu', task.pointer(cpup, 4), task.pointer(nodep, 4), 0),
  }),
  syscall({
    name: 'getrandom', nr: { x86_64: 318, aarch64: 278 },
    args: { buf: bytesOut('len'), len: size, flags: flags('getrandom') }, ret: size, support: full,
    run: (task, { buf, len, flags }) => {
      const length = task.room(buf, len);
      return task.call('getrandom', task.pointer(buf, length), length, flags);
    },
  }),
  syscall({ name: 'vhangup', nr: { x86_64: 153, aarch64: 58 }, args: {}, support: full, run: forward }),
];

function put(bytes: Uint8Array, offset: number, text: string): void {
  bytes.fill(0, offset, offset + 65);
  bytes.set(new TextEncoder().encode(text), offset);
}

/** UNAME26 as the kernel's override_release: 4.x.y and later become 2.6.(60 + x), whatever stands behind kept. */
function oldRelease(bytes: Uint8Array): string {
  const offset = at(utsname, 'release');
  const field = bytes.subarray(offset, offset + 65);
  const text = new TextDecoder().decode(field.subarray(0, field.indexOf(0)));
  const match = /^\d+\.(\d+)(?:\.\d+)?(.*)$/.exec(text);
  return match === null ? text : `2.6.${60 + Number(match[1])}${match[2]}`;
}
