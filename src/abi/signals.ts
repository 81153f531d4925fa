/**
 * Linux signals: numbers, names, default actions, sigaction flags, siginfo codes. x86-64 and asm-generic agree on
 * all of these (MIPS does not). Pure data, signal(7) and sigaction(2).
 */

import { flagSet, valueSet } from './constant-set.ts';

export const signalNumbers = valueSet('signal', {
  SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGILL: 4, SIGTRAP: 5, SIGABRT: 6, SIGIOT: 6, SIGBUS: 7, SIGFPE: 8, SIGKILL: 9,
  SIGUSR1: 10, SIGSEGV: 11, SIGUSR2: 12, SIGPIPE: 13, SIGALRM: 14, SIGTERM: 15, SIGSTKFLT: 16, SIGCHLD: 17,
  SIGCONT: 18, SIGSTOP: 19, SIGTSTP: 20, SIGTTIN: 21, SIGTTOU: 22, SIGURG: 23, SIGXCPU: 24, SIGXFSZ: 25,
  SIGVTALRM: 26, SIGPROF: 27, SIGWINCH: 28, SIGIO: 29, SIGPOLL: 29, SIGPWR: 30, SIGSYS: 31,
});

export const signo = signalNumbers.values;

/** Highest signal number; real-time signals are 32 … 64 for the kernel (libc keeps 32 and 33 to itself). */
export const NSIG = 64;
export const SIGRTMIN = 32;

export const sigactionFlags = flagSet('sigaction', {
  SA_NOCLDSTOP: 1, SA_NOCLDWAIT: 2, SA_SIGINFO: 4, SA_UNSUPPORTED: 0x400, SA_EXPOSE_TAGBITS: 0x800,
  SA_RESTORER: 0x4000000, SA_ONSTACK: 0x8000000, SA_RESTART: 0x10000000, SA_NODEFER: 0x40000000,
  SA_RESETHAND: 0x80000000,
});
export const sa = sigactionFlags.values;

export const sigprocmaskHow = valueSet('sigprocmask', { SIG_BLOCK: 0, SIG_UNBLOCK: 1, SIG_SETMASK: 2 });
export const sigHandlers = valueSet('sighandler', { SIG_DFL: 0, SIG_IGN: 1 });
export const SIG_DFL = 0;
export const SIG_IGN = 1;

export const sigaltstackFlags = flagSet('sigaltstack', { SS_ONSTACK: 1, SS_DISABLE: 2, SS_AUTODISARM: 0x80000000 });
export const ss = sigaltstackFlags.values;

/** si_code values that hold for every signal. */
export const siCodes = valueSet('si_code', {
  SI_USER: 0, SI_KERNEL: 0x80, SI_QUEUE: -1, SI_TIMER: -2, SI_MESGQ: -3, SI_ASYNCIO: -4, SI_SIGIO: -5, SI_TKILL: -6,
  SI_DETHREAD: -7, SI_ASYNCNL: -60,
});

/** si_code values by signal (positive ones mean something different for each). */
export const siCodesBySignal: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  SIGILL: {
    ILL_ILLOPC: 1, ILL_ILLOPN: 2, ILL_ILLADR: 3, ILL_ILLTRP: 4, ILL_PRVOPC: 5, ILL_PRVREG: 6, ILL_COPROC: 7,
    ILL_BADSTK: 8,
  },
  SIGFPE: {
    FPE_INTDIV: 1, FPE_INTOVF: 2, FPE_FLTDIV: 3, FPE_FLTOVF: 4, FPE_FLTUND: 5, FPE_FLTRES: 6, FPE_FLTINV: 7,
    FPE_FLTSUB: 8, FPE_FLTUNK: 14, FPE_CONDTRAP: 15,
  },
  SIGSEGV: {
    SEGV_MAPERR: 1, SEGV_ACCERR: 2, SEGV_BNDERR: 3, SEGV_PKUERR: 4, SEGV_ACCADI: 5, SEGV_ADIDERR: 6,
    SEGV_ADIPERR: 7, SEGV_MTEAERR: 8, SEGV_MTESERR: 9, SEGV_CPERR: 10,
  },
  SIGBUS: { BUS_ADRALN: 1, BUS_ADRERR: 2, BUS_OBJERR: 3, BUS_MCEERR_AR: 4, BUS_MCEERR_AO: 5 },
  SIGTRAP: { TRAP_BRKPT: 1, TRAP_TRACE: 2, TRAP_BRANCH: 3, TRAP_HWBKPT: 4, TRAP_UNK: 5, TRAP_PERF: 6 },
  SIGCHLD: { CLD_EXITED: 1, CLD_KILLED: 2, CLD_DUMPED: 3, CLD_TRAPPED: 4, CLD_STOPPED: 5, CLD_CONTINUED: 6 },
  SIGIO: { POLL_IN: 1, POLL_OUT: 2, POLL_MSG: 3, POLL_ERR: 4, POLL_PRI: 5, POLL_HUP: 6 },
  SIGSYS: { SYS_SECCOMP: 1, SYS_USER_DISPATCH: 2 },
};

export type DefaultAction = 'terminate' | 'core' | 'ignore' | 'stop' | 'continue';

const defaults: Readonly<Record<number, DefaultAction>> = {
  [signo.SIGQUIT]: 'core', [signo.SIGILL]: 'core', [signo.SIGTRAP]: 'core', [signo.SIGABRT]: 'core',
  [signo.SIGBUS]: 'core', [signo.SIGFPE]: 'core', [signo.SIGSEGV]: 'core', [signo.SIGXCPU]: 'core',
  [signo.SIGXFSZ]: 'core', [signo.SIGSYS]: 'core',
  [signo.SIGCHLD]: 'ignore', [signo.SIGURG]: 'ignore', [signo.SIGWINCH]: 'ignore',
  [signo.SIGCONT]: 'continue',
  [signo.SIGSTOP]: 'stop', [signo.SIGTSTP]: 'stop', [signo.SIGTTIN]: 'stop', [signo.SIGTTOU]: 'stop',
};

/** What SIG_DFL means for a signal. */
export function defaultAction(signal: number): DefaultAction {
  return defaults[signal] ?? 'terminate';
}

/** Signals a faulting instruction raises in its own thread: they cannot be blocked or ignored when so raised. */
export const SYNCHRONOUS: readonly number[] = [
  signo.SIGSEGV, signo.SIGBUS, signo.SIGILL, signo.SIGTRAP, signo.SIGFPE, signo.SIGSYS,
];

const names = new Map<number, string>();
for (const [name, value] of Object.entries(signo)) if (!names.has(value)) names.set(value, name);

/** `SIGINT` for 2, `SIGRT_1` for 33 as strace writes it, the number itself for what is no signal. */
export function signalName(signal: number): string {
  const name = names.get(signal);
  if (name !== undefined) return name;
  if (signal === SIGRTMIN) return 'SIGRTMIN';
  if (signal > SIGRTMIN && signal <= NSIG) return `SIGRT_${signal - SIGRTMIN}`;
  return String(signal);
}

const bits: readonly bigint[] = Array.from({ length: NSIG + 1 }, (_, signal) => (signal === 0 ? 0n : 1n << BigInt(signal - 1)));

/** The bit of `signal`, 1 … NSIG, in a sigset word. */
export function sigbit(signal: number): bigint {
  return bits[signal] as bigint;
}

/** What can never be blocked, caught or ignored. */
export const UNBLOCKABLE: bigint = sigbit(signo.SIGKILL) | sigbit(signo.SIGSTOP);
