/**
 * How strace differs from a plain listing of a constant set: the order it prints flags in where that is not by
 * value, the prefix it gives to what it does not know, its names where it uses others, and what it calls an empty
 * word. Pure data, after strace 6.1's xlat tables.
 */

export interface StraceView {
  /** Printed first, in this order; the rest follow by value. */
  readonly order?: readonly string[];
  /** Printed last, in this order. */
  readonly last?: readonly string[];
  /** What stands before `???` for an unknown value. */
  readonly unknown?: string;
  /** strace's name for a constant. */
  readonly rename?: Readonly<Record<string, string>>;
  /** Text of a flag word without any bit. */
  readonly zero?: string;
}

export const straceViews: Readonly<Record<string, StraceView>> = {
  open: {
    order: [
      'O_CREAT',
      'O_EXCL',
      'O_NOCTTY',
      'O_TRUNC',
      'O_APPEND',
      'O_NONBLOCK',
      'O_SYNC',
      'O_ASYNC',
      'O_DSYNC',
      'O_DIRECT',
      'O_LARGEFILE',
      'O_NOFOLLOW',
      'O_NOATIME',
      'O_CLOEXEC',
      'O_PATH',
      'O_TMPFILE',
      'O_DIRECTORY',
    ],
    unknown: 'O_',
  },
  access: { order: ['R_OK', 'W_OK', 'X_OK'], zero: 'F_OK', unknown: '?_OK' },
  mode: { unknown: 'S_' },
  prot: { zero: 'PROT_NONE', unknown: 'PROT_' },
  mmap: { unknown: 'MAP_', zero: 'MAP_FILE' },
  reboot_magic1: { unknown: 'LINUX_REBOOT_MAGIC_' },
  reboot_magic2: { unknown: 'LINUX_REBOOT_MAGIC_' },
  at: { unknown: 'AT_' },
  at_fdcwd: { unknown: 'AT_' },
  whence: { unknown: 'SEEK_' },
  fcntl: { unknown: 'F_' },
  poll: { unknown: 'POLL' },
  clone: { unknown: 'CLONE_' },
  clock: { unknown: 'CLOCK_' },
  sigaction: {
    order: [
      'SA_RESTORER',
      'SA_ONSTACK',
      'SA_RESTART',
      'SA_NODEFER',
      'SA_RESETHAND',
      'SA_SIGINFO',
      'SA_NOCLDSTOP',
      'SA_NOCLDWAIT',
    ],
    unknown: 'SA_',
  },
  timerfd_create: { order: ['TFD_CLOEXEC', 'TFD_NONBLOCK'] },
  termios_lflag: {
    order: [
      'ISIG',
      'ICANON',
      'XCASE',
      'ECHO',
      'ECHOE',
      'ECHOK',
      'ECHONL',
      'NOFLSH',
      'IEXTEN',
      'ECHOCTL',
      'ECHOPRT',
      'ECHOKE',
      'FLUSHO',
      'PENDIN',
      'TOSTOP',
      'EXTPROC',
    ],
  },
  wait: {
    order: ['WNOHANG', 'WSTOPPED', 'WEXITED', 'WCONTINUED', 'WNOWAIT'],
    rename: { WUNTRACED: 'WSTOPPED' },
    unknown: 'W',
  },
};
