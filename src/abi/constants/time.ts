/** Constants of clocks and timers: clock_gettime(2), timer_create(2), adjtimex(2), timerfd_create(2). */

import { flagSet, valueSet } from '../constant-set.ts';

export const clocks = valueSet('clock', {
  CLOCK_REALTIME: 0, CLOCK_MONOTONIC: 1, CLOCK_PROCESS_CPUTIME_ID: 2, CLOCK_THREAD_CPUTIME_ID: 3,
  CLOCK_MONOTONIC_RAW: 4, CLOCK_REALTIME_COARSE: 5, CLOCK_MONOTONIC_COARSE: 6, CLOCK_BOOTTIME: 7,
  CLOCK_REALTIME_ALARM: 8, CLOCK_BOOTTIME_ALARM: 9, CLOCK_TAI: 11,
});

export const itimers = valueSet('itimer', {
  ITIMER_REAL: 0, ITIMER_VIRTUAL: 1, ITIMER_PROF: 2,
});

export const timerFlags = flagSet('timer', {
  TIMER_ABSTIME: 1,
});

export const timerfdCreate = flagSet('timerfd_create', {
  TFD_NONBLOCK: 0o4000, TFD_CLOEXEC: 0o2000000,
});

export const timerfdSettime = flagSet('timerfd_settime', {
  TFD_TIMER_ABSTIME: 1, TFD_TIMER_CANCEL_ON_SET: 2,
});

export const sigevNotify = valueSet('sigev_notify', {
  SIGEV_SIGNAL: 0, SIGEV_NONE: 1, SIGEV_THREAD: 2, SIGEV_THREAD_ID: 4,
});

export const adjtimexModes = flagSet('adjtimex', {
  ADJ_OFFSET: 1, ADJ_FREQUENCY: 2, ADJ_MAXERROR: 4, ADJ_ESTERROR: 8, ADJ_STATUS: 0x10, ADJ_TIMECONST: 0x20,
  ADJ_TAI: 0x80, ADJ_SETOFFSET: 0x100, ADJ_MICRO: 0x1000, ADJ_NANO: 0x2000, ADJ_TICK: 0x4000,
});

export const adjtimexStatus = flagSet('adjtimex_status', {
  STA_PLL: 1, STA_PPSFREQ: 2, STA_PPSTIME: 4, STA_FLL: 8, STA_INS: 0x10, STA_DEL: 0x20, STA_UNSYNC: 0x40,
  STA_FREQHOLD: 0x80, STA_PPSSIGNAL: 0x100, STA_PPSJITTER: 0x200, STA_PPSWANDER: 0x400, STA_PPSERROR: 0x800,
  STA_CLOCKERR: 0x1000, STA_NANO: 0x2000, STA_MODE: 0x4000, STA_CLK: 0x8000,
});

export const adjtimexState = valueSet('adjtimex_state', {
  TIME_OK: 0, TIME_INS: 1, TIME_DEL: 2, TIME_OOP: 3, TIME_WAIT: 4, TIME_ERROR: 5, TIME_BAD: 5,
});
