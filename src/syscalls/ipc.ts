/**
 * System V IPC and POSIX message queues: shmget(2), semop(2), msgsnd(2), mq_open(3). The objects are the host's;
 * shared memory is mapped inside the guest's address space.
 */

import { sigevNotify } from '../abi/constants/time.ts';
import { openFlags } from '../abi/constants/files.ts';
import { at, type Layout, sigevent, structLayout } from '../abi/structs.ts';
import { fail } from '../kernel/syscall-error.ts';
import type { Task } from '../kernel/task.ts';
import {
  address, array, bytesIn, bytesOut, choice, fd, flags, forward, full, int, long, mode, pointer, size, string, struct, structOut,
  syscall, uint, ulong, hex,
} from './declare.ts';

const { O_CLOEXEC } = openFlags.values;
const { SIGEV_THREAD } = sigevNotify.values;
const MQ_ATTR = 64;
/** Largest structure of any *ctl command (struct msqid_ds); SETALL and GETALL reach further. */
const CTL_BYTES = 120;

export const ipcSyscalls = [
  syscall({ name: 'shmget', nr: { x86_64: 29, aarch64: 194 }, class: ['ipc'], args: { key: hex, size, shmflg: flags('shmget') }, ret: int, support: full, run: forward }),
  syscall({
    name: 'shmat', nr: { x86_64: 30, aarch64: 196 }, class: ['ipc', 'memory'], args: { shmid: int, shmaddr: address, shmflg: flags('shmat') }, ret: address,
    support: full,
    run: (task, { shmid, shmaddr, shmflg }) => task.process.space.shmat(shmid, shmaddr, shmflg),
  }),
  syscall({
    name: 'shmdt', nr: { x86_64: 67, aarch64: 197 }, class: ['ipc', 'memory'], args: { shmaddr: address }, support: full,
    run: (task, { shmaddr }) => task.process.space.shmdt(shmaddr),
  }),
  syscall({
    name: 'shmctl', nr: { x86_64: 31, aarch64: 195 }, class: ['ipc'], args: { shmid: int, cmd: choice('shmctl'), buf: pointer }, ret: int, support: full,
    run: (task, { shmid, cmd, buf }) => task.call('shmctl', shmid, cmd, task.pointer(buf, CTL_BYTES)),
  }),

  syscall({ name: 'semget', nr: { x86_64: 64, aarch64: 190 }, class: ['ipc'], args: { key: hex, nsems: int, semflg: flags('ipc_get') }, ret: int, support: full, run: forward }),
  syscall({
    name: 'semop', nr: { x86_64: 65, aarch64: 193 }, class: ['ipc', 'blocks'], args: { semid: int, tsops: array('sembuf', 6, 'nsops'), nsops: uint },
    support: full, interrupted: 'eintr',
    // Not every host has semop itself.
    run: (task, { semid, tsops, nsops }) => task.call('semtimedop', semid, task.pointer(tsops, 6 * nsops), nsops, 0),
  }),
  syscall({
    name: 'semtimedop', nr: { x86_64: 220, aarch64: 192 }, class: ['ipc', 'blocks'],
    args: { semid: int, tsops: array('sembuf', 6, 'nsops'), nsops: uint, timeout: struct('timespec', 16) },
    support: full, interrupted: 'eintr', run: forward,
  }),
  syscall({
    name: 'semctl', nr: { x86_64: 66, aarch64: 191 }, class: ['ipc'], args: { semid: int, semnum: int, cmd: choice('semctl'), arg: ulong }, ret: int, support: full,
    run: (task, { semid, semnum, cmd, arg }, frame) => {
      // union semun: a number for SETVAL, a pointer where one is used.
      const value = pointerCommands.has(cmd) ? task.pointer(arg, reach(task, semid, cmd)) : (frame.i64[3] as bigint);
      return task.call('semctl', semid, semnum, cmd, value);
    },
  }),

  syscall({ name: 'msgget', nr: { x86_64: 68, aarch64: 186 }, class: ['ipc'], args: { key: hex, msgflg: flags('ipc_get') }, ret: int, support: full, run: forward }),
  syscall({
    name: 'msgsnd', nr: { x86_64: 69, aarch64: 189 }, class: ['ipc', 'blocks'], args: { msqid: int, msgp: pointer, msgsz: size, msgflg: flags('msgrcv') },
    support: full, interrupted: 'eintr',
    run: (task, { msqid, msgp, msgsz, msgflg }) => task.call('msgsnd', msqid, task.pointer(msgp, 8 + msgsz), msgsz, msgflg),
  }),
  syscall({
    name: 'msgrcv', nr: { x86_64: 70, aarch64: 188 }, class: ['ipc', 'blocks'],
    args: { msqid: int, msgp: pointer, msgsz: size, msgtyp: long, msgflg: flags('msgrcv') }, ret: size,
    support: full, interrupted: 'eintr',
    run: (task, { msqid, msgp, msgsz, msgtyp, msgflg }) => {
      const length = Math.min(msgsz, 2 ** 31 - 1);
      return task.call('msgrcv', msqid, task.pointer(msgp, 8 + Math.max(0, task.room(msgp, length))), msgsz >= 2 ** 63 ? -1 : length, msgtyp, msgflg);
    },
  }),
  syscall({
    name: 'msgctl', nr: { x86_64: 71, aarch64: 187 }, class: ['ipc'], args: { msqid: int, cmd: choice('msgctl'), buf: pointer }, ret: int, support: full,
    run: (task, { msqid, cmd, buf }) => task.call('msgctl', msqid, cmd, task.pointer(buf, CTL_BYTES)),
  }),

  syscall({
    name: 'mq_open', nr: { x86_64: 240, aarch64: 180 }, class: ['desc'],
    args: { u_name: string, oflag: flags('open'), mode, u_attr: struct('mq_attr', MQ_ATTR) }, ret: fd, support: full,
    run: (task, { u_name, oflag, mode, u_attr }) => {
      const name = nameOf(task, u_name);
      return task.fds.open(
        () => task.call('mq_open', name, oflag | O_CLOEXEC, mode, task.pointer(u_attr, MQ_ATTR)),
        // The kernel makes message queues close-on-exec only when asked.
        (oflag & O_CLOEXEC) !== 0,
      );
    },
  }),
  syscall({
    name: 'mq_unlink', nr: { x86_64: 241, aarch64: 181 }, args: { u_name: string }, support: full,
    run: (task, { u_name }) => task.call('mq_unlink', nameOf(task, u_name)),
  }),
  syscall({
    name: 'mq_timedsend', nr: { x86_64: 242, aarch64: 182 }, class: ['desc', 'blocks'],
    args: { mqdes: fd, u_msg_ptr: bytesIn('msg_len'), msg_len: size, msg_prio: uint, u_abs_timeout: struct('timespec', 16) },
    support: full, run: forward,
  }),
  syscall({
    name: 'mq_timedreceive', nr: { x86_64: 243, aarch64: 183 }, class: ['desc', 'blocks'],
    args: {
      mqdes: fd, u_msg_ptr: bytesOut('msg_len'), msg_len: size, u_msg_prio: structOut('unsigned', 4), u_abs_timeout: struct('timespec', 16),
    },
    ret: size, support: full, run: forward,
  }),
  syscall({
    name: 'mq_notify', nr: { x86_64: 244, aarch64: 184 }, class: ['desc'], args: { mqdes: fd, u_notification: struct('sigevent', 64) }, support: full,
    run: (task, { mqdes, u_notification }) => {
      if (u_notification === 0) return task.call('mq_notify', task.hostFd(mqdes), 0);
      const { at: place, address } = task.scratch(64);
      const { view, bytes } = task.host.scratch;
      bytes.set(task.memory.read(u_notification, 64), place);
      if (view.getInt32(place + at(sigevent, 'sigev_notify'), true) === SIGEV_THREAD) {
        // libc's helper: sigev_signo is a netlink socket, sigev_value points to a cookie of 32 bytes.
        const signo = place + at(sigevent, 'sigev_signo');
        view.setInt32(signo, task.hostFd(view.getInt32(signo, true)), true);
        const cookie = Number(view.getBigUint64(place, true));
        view.setBigUint64(place, BigInt(task.pointer(cookie, 32)), true);
      }
      return task.call('mq_notify', task.hostFd(mqdes), address);
    },
  }),
  syscall({
    name: 'mq_getsetattr', nr: { x86_64: 245, aarch64: 185 }, class: ['desc'],
    args: { mqdes: fd, u_mqstat: struct('mq_attr', MQ_ATTR), u_omqstat: structOut('mq_attr', MQ_ATTR) }, support: full, run: forward,
  }),
];

const IPC_SET = 1;
const IPC_STAT = 2;
const IPC_INFO = 3;
const GETALL = 13;
const SETALL = 17;
const pointerCommands = new Set([IPC_SET, IPC_STAT, IPC_INFO, 18, 19, 20, GETALL, SETALL]);

/** Bytes behind semctl's pointer: for whole-set commands one short for each semaphore. */
function reach(task: Task, semid: number, cmd: number): number {
  if (cmd !== GETALL && cmd !== SETALL) return CTL_BYTES;
  const SEMMSL = 32000;
  const { at: place, address } = task.scratch(CTL_BYTES);
  if (task.call('semctl', semid, 0, IPC_STAT, address) < 0) return 2 * SEMMSL;
  return 2 * Number(task.host.scratch.view.getBigUint64(place + hostSemNsems, true));
}

const hostSemNsems = at(structLayout('semid_ds', process.arch === 'x64' ? 'x86_64' : 'aarch64') as Layout, 'sem_nsems');

/** A private copy, so that the kernel does not read on past the guest's memory. */
function nameOf(task: Task, name: number): number {
  const { bytes, terminated } = task.memory.readCString(name, 4096);
  if (!terminated) fail('ENAMETOOLONG');
  return task.cstring(bytes);
}
