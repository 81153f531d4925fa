/**
 * System calls that do the same thing for the programs of today and of yesterday: who hooks one may have meant
 * another. The C library decides which it uses.
 */

const families: readonly (readonly string[])[] = [
  ['open', 'openat', 'openat2', 'creat'],
  ['stat', 'newfstatat', 'lstat', 'fstat', 'statx'],
  ['access', 'faccessat', 'faccessat2'],
  ['fork', 'vfork', 'clone', 'clone3'],
  ['execve', 'execveat'],
  ['exit', 'exit_group'],
  ['read', 'readv', 'pread64', 'preadv', 'preadv2'],
  ['write', 'writev', 'pwrite64', 'pwritev', 'pwritev2', 'sendfile', 'copy_file_range', 'splice'],
  ['unlink', 'unlinkat', 'rmdir'],
  ['rename', 'renameat', 'renameat2'],
  ['mkdir', 'mkdirat'],
  ['link', 'linkat'],
  ['symlink', 'symlinkat'],
  ['readlink', 'readlinkat'],
  ['chmod', 'fchmodat', 'fchmodat2', 'fchmod'],
  ['chown', 'fchownat', 'lchown', 'fchown'],
  ['mknod', 'mknodat'],
  ['getdents', 'getdents64'],
  ['poll', 'ppoll', 'select', 'pselect6', 'epoll_wait', 'epoll_pwait', 'epoll_pwait2'],
  ['pipe', 'pipe2'],
  ['dup', 'dup2', 'dup3', 'fcntl'],
  ['accept', 'accept4'],
  ['send', 'sendto', 'sendmsg', 'sendmmsg', 'write'],
  ['recv', 'recvfrom', 'recvmsg', 'recvmmsg', 'read'],
  ['time', 'gettimeofday', 'clock_gettime'],
  ['nanosleep', 'clock_nanosleep'],
  ['kill', 'tkill', 'tgkill'],
  ['signal', 'rt_sigaction'],
  ['sigprocmask', 'rt_sigprocmask'],
  ['sigreturn', 'rt_sigreturn'],
  ['brk', 'mmap', 'mremap'],
  ['getrlimit', 'setrlimit', 'prlimit64'],
  ['wait4', 'waitid'],
  ['utime', 'utimes', 'futimesat', 'utimensat'],
  ['uname', 'sysinfo'],
  ['getpid', 'gettid'],
  ['inotify_init', 'inotify_init1'],
  ['eventfd', 'eventfd2'],
  ['signalfd', 'signalfd4'],
  ['epoll_create', 'epoll_create1'],
];

/** The others of its families. */
export function relatives(name: string): string[] {
  return [...new Set(families.filter((f) => f.includes(name)).flat())].filter((n) => n !== name);
}

/** What today's C libraries use in place of a call they no longer make. */
const successors: Readonly<Record<string, string>> = {
  open: 'openat', creat: 'openat', stat: 'newfstatat', lstat: 'newfstatat', access: 'faccessat2', fork: 'clone', exit: 'exit_group',
  getdents: 'getdents64', pipe: 'pipe2', select: 'pselect6', nanosleep: 'clock_nanosleep', getrlimit: 'prlimit64', setrlimit: 'prlimit64',
  epoll_create: 'epoll_create1', inotify_init: 'inotify_init1', eventfd: 'eventfd2', signalfd: 'signalfd4', utimes: 'utimensat',
};

export function successor(name: string): string | undefined {
  return Object.hasOwn(successors, name) ? successors[name] : undefined;
}
