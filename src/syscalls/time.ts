/**
 * Clocks and timers: clock_gettime(2), nanosleep(2), setitimer(2), timer_create(2), timerfd_create(2), adjtimex(2).
 * Timer identifiers are the host kernel's own: timers belong to the process, which the guest shares with us.
 */

import { errno } from '../abi/errno.ts';
import { timerfdCreate, timerFlags } from '../abi/constants/time.ts';
import type { GuestAddr, HostAddr } from '../kernel/ports.ts';
import type { Task } from '../kernel/task.ts';
import {
  choice, fd, flags, full, forward, int, long, partial, seconds, struct, structInOut, structOut, syscall, uint,
} from './declare.ts';

const timespec = struct('timespec', 16);
const timespecOut = structOut('timespec', 16);
const itimerspec = struct('itimerspec', 32);
const itimerspecOut = structOut('itimerspec', 32);
const clock = choice('clock');
const { TIMER_ABSTIME } = timerFlags.values;
const { TFD_CLOEXEC } = timerfdCreate.values;

// sigev_value is opaque and SIGEV_THREAD_ID names a thread by its real id: struct sigevent needs no translation.

export const timeSyscalls = [
  syscall({
    name: 'nanosleep', nr: { x86_64: 35, aarch64: 101 }, class: ['clock', 'blocks'],
    args: { rqtp: timespec, rmtp: timespecOut }, support: full, interrupted: 'eintr',
    run: (task, { rqtp, rmtp }) => sleep(task, rqtp, rmtp, (left) => task.call('nanosleep', task.pointer(rqtp, 16), left)),
  }),
  syscall({
    name: 'clock_nanosleep', nr: { x86_64: 230, aarch64: 115 }, class: ['clock', 'blocks'],
    args: { which_clock: clock, flags: flags('timer'), rqtp: timespec, rmtp: timespecOut },
    support: full, interrupted: 'eintr',
    run: (task, { which_clock, flags, rqtp, rmtp }) =>
      sleep(task, rqtp, (flags & TIMER_ABSTIME) !== 0 ? 0 : rmtp, (left) => task.call('clock_nanosleep', which_clock, flags, task.pointer(rqtp, 16), left)),
  }),
  syscall({
    name: 'clock_gettime', nr: { x86_64: 228, aarch64: 113 }, class: ['clock'],
    args: { which_clock: clock, tp: timespecOut }, support: full, run: forward,
  }),
  syscall({
    name: 'clock_getres', nr: { x86_64: 229, aarch64: 114 }, class: ['clock'],
    args: { which_clock: clock, tp: timespecOut }, support: full, run: forward,
  }),
  syscall({
    name: 'clock_settime', nr: { x86_64: 227, aarch64: 112 }, class: ['clock'],
    args: { which_clock: clock, tp: timespec }, support: full, run: forward,
  }),
  syscall({
    name: 'clock_adjtime', nr: { x86_64: 305, aarch64: 266 }, class: ['clock'],
    args: { which_clock: clock, utx: structInOut('timex', 208) }, ret: choice('adjtimex_state'), support: full, run: forward,
  }),
  syscall({
    name: 'adjtimex', nr: { x86_64: 159, aarch64: 171 }, class: ['clock'],
    args: { txc_p: structInOut('timex', 208) }, ret: choice('adjtimex_state'), support: full, run: forward,
  }),
  syscall({
    name: 'gettimeofday', nr: { x86_64: 96, aarch64: 169 }, class: ['clock'],
    args: { tv: structOut('timeval', 16), tz: structOut('timezone', 8) }, support: full, run: forward,
  }),
  syscall({
    name: 'settimeofday', nr: { x86_64: 164, aarch64: 170 }, class: ['clock'],
    args: { tv: struct('timeval', 16), tz: struct('timezone', 8) }, support: full, run: forward,
  }),
  syscall({
    name: 'time', nr: { x86_64: 201 }, class: ['clock'],
    args: { tloc: structOut('time_t', 8) }, ret: seconds, support: full,
    run: (task, { tloc }) => {
      // Not every host has time(2) itself.
      const { at, address } = task.scratch(16);
      const result = task.call('clock_gettime', 5, address);
      if (result < 0) return result;
      const now = task.host.scratch.view.getBigInt64(at, true);
      if (tloc !== 0) task.memory.setU64(tloc, now);
      return Number(now);
    },
  }),
  syscall({
    name: 'times', nr: { x86_64: 100, aarch64: 153 },
    args: { tbuf: structOut('tms', 32) }, ret: long, support: partial('counts the CPU time of translation as well'), run: forward,
  }),

  syscall({
    name: 'alarm', nr: { x86_64: 37 }, args: { seconds: uint }, ret: uint, support: full,
    run: (task, { seconds }) => {
      // As the kernel's alarm_setitimer: rounds the rest up to a second, never to 0.
      const wanted = task.scratch(32);
      const old = task.scratch(32);
      const { view } = task.host.scratch;
      view.setBigInt64(wanted.at + 16, BigInt(seconds), true);
      const result = task.call('setitimer', 0, wanted.address, old.address);
      if (result < 0) return result;
      const left = Number(view.getBigInt64(old.at + 16, true));
      const micros = Number(view.getBigInt64(old.at + 24, true));
      return (left === 0 && micros > 0) || micros >= 500000 ? left + 1 : left;
    },
  }),
  syscall({
    name: 'setitimer', nr: { x86_64: 38, aarch64: 103 },
    args: { which: choice('itimer'), value: struct('itimerval', 32), ovalue: structOut('itimerval', 32) },
    support: partial('ITIMER_VIRTUAL and ITIMER_PROF count the CPU time of translation as well'), run: forward,
  }),
  syscall({
    name: 'getitimer', nr: { x86_64: 36, aarch64: 102 },
    args: { which: choice('itimer'), value: structOut('itimerval', 32) }, support: full, run: forward,
  }),

  syscall({
    name: 'timer_create', nr: { x86_64: 222, aarch64: 107 },
    args: { which_clock: clock, timer_event_spec: struct('sigevent', 64), created_timer_id: structOut('timer_t', 4) },
    support: full, run: forward,
  }),
  syscall({
    name: 'timer_settime', nr: { x86_64: 223, aarch64: 110 },
    args: { timer_id: int, flags: flags('timer'), new_setting: itimerspec, old_setting: itimerspecOut },
    support: full, run: forward,
  }),
  syscall({
    name: 'timer_gettime', nr: { x86_64: 224, aarch64: 108 },
    args: { timer_id: int, setting: itimerspecOut }, support: full, run: forward,
  }),
  syscall({ name: 'timer_getoverrun', nr: { x86_64: 225, aarch64: 109 }, args: { timer_id: int }, ret: int, support: full, run: forward }),
  syscall({ name: 'timer_delete', nr: { x86_64: 226, aarch64: 111 }, args: { timer_id: int }, support: full, run: forward }),

  syscall({
    name: 'timerfd_create', nr: { x86_64: 283, aarch64: 85 }, class: ['desc'],
    args: { clockid: clock, flags: flags('timerfd_create') }, ret: fd, support: full,
    run: (task, { clockid, flags }) =>
      task.fds.open(() => task.call('timerfd_create', clockid, flags | TFD_CLOEXEC), (flags & TFD_CLOEXEC) !== 0),
  }),
  syscall({
    name: 'timerfd_settime', nr: { x86_64: 286, aarch64: 86 }, class: ['desc'],
    args: { ufd: fd, flags: flags('timerfd_settime'), utmr: itimerspec, otmr: itimerspecOut }, support: full, run: forward,
  }),
  syscall({
    name: 'timerfd_gettime', nr: { x86_64: 287, aarch64: 87 }, class: ['desc'],
    args: { ufd: fd, otmr: itimerspecOut }, support: full, run: forward,
  }),
];

/**
 * Run a sleep whose remaining time goes to private memory, and from there to `rmtp` when it was interrupted. A signal
 * that waits already ends the call before the kernel sees it: all of the time is left then.
 */
function sleep(task: Task, rqtp: GuestAddr, rmtp: GuestAddr, call: (left: HostAddr) => number): number {
  if (rmtp === 0) return call(0);
  const { at, address } = task.scratch(16);
  const { bytes } = task.host.scratch;
  bytes.set(task.memory.read(rqtp, 16), at);
  const result = call(address);
  if (result === -errno.EINTR) task.memory.write(rmtp, bytes.slice(at, at + 16));
  return result;
}
