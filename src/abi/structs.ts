/**
 * Layouts of the structures that system calls pass, as the kernel's UAPI headers define them: field, type, offset.
 * The strace printer and the hooks decode with them; handlers use the offsets. Pure data.
 *
 * Layouts follow from the field types by natural alignment for 64-bit little-endian ABIs; where an ABI differs
 * (struct stat, epoll_event) it has its own entry in `abiStructs`.
 */

export type ScalarType = 'i8' | 'u8' | 'i16' | 'u16' | 'i32' | 'u32' | 'i64' | 'u64' | 'ptr';

export interface Field {
  readonly name: string;
  readonly offset: number;
  /** A scalar, or the name of another structure. */
  readonly type: string;
  /** Elements; 1 for a plain field. */
  readonly count: number;
  /** Bytes of one element. */
  readonly size: number;
  /** Constant set that names its values. */
  readonly set: string | undefined;
}

export interface Layout {
  readonly name: string;
  readonly size: number;
  readonly align: number;
  readonly fields: readonly Field[];
}

const scalarSize: Readonly<Record<string, number>> = {
  i8: 1, u8: 1, i16: 2, u16: 2, i32: 4, u32: 4, i64: 8, u64: 8, ptr: 8,
};

const table = new Map<string, Layout>();

/**
 * `fields`: `name: 'i32'`, `name: 'u8[16]'`, `name: 'timespec'`, with a constant set after a colon: `'u32:open'`. A
 * name beginning with `_` is padding.
 */
function layout(name: string, fields: Readonly<Record<string, string>>, packed = false): Layout {
  const list: Field[] = [];
  let offset = 0;
  let align = 1;
  for (const [field, text] of Object.entries(fields)) {
    const [, type, count, set] = /^(\w+)(?:\[(\d+)\])?(?::([\w-]+))?$/.exec(text) as RegExpExecArray;
    const nested = table.get(type as string);
    const bytes = scalarSize[type as string] ?? nested?.size;
    if (bytes === undefined) throw new Error(`struct ${name}: field ${field} has unknown type ${type}`);
    const alignment = packed ? 1 : (nested?.align ?? bytes);
    align = Math.max(align, alignment);
    offset = Math.ceil(offset / alignment) * alignment;
    const n = count === undefined ? 1 : Number(count);
    list.push({ name: field, offset, type: type as string, count: n, size: bytes, set });
    offset += bytes * n;
  }
  return { name, size: Math.ceil(offset / align) * align, align, fields: list };
}

function struct(name: string, fields: Readonly<Record<string, string>>): Layout {
  const made = layout(name, fields);
  table.set(name, made);
  return made;
}

export const timespec = struct('timespec', { tv_sec: 'i64', tv_nsec: 'i64' });
export const fdSet = struct('fd_set', { fds_bits: 'u64[16]' });
export const sigsetArgpack = struct('sigset_argpack', { ss: 'ptr', ss_len: 'u64' });
export const timeval = struct('timeval', { tv_sec: 'i64', tv_usec: 'i64' });
export const timezone = struct('timezone', { tz_minuteswest: 'i32', tz_dsttime: 'i32' });
export const itimerval = struct('itimerval', { it_interval: 'timeval', it_value: 'timeval' });
export const itimerspec = struct('itimerspec', { it_interval: 'timespec', it_value: 'timespec' });
export const utimbuf = struct('utimbuf', { actime: 'i64', modtime: 'i64' });
export const tms = struct('tms', { tms_utime: 'i64', tms_stime: 'i64', tms_cutime: 'i64', tms_cstime: 'i64' });
export const timex = struct('timex', {
  modes: 'u32:adjtimex', offset: 'i64', freq: 'i64', maxerror: 'i64', esterror: 'i64', status: 'i32:adjtimex_status',
  constant: 'i64', precision: 'i64', tolerance: 'i64', time: 'timeval', tick: 'i64', ppsfreq: 'i64', jitter: 'i64',
  shift: 'i32', stabil: 'i64', jitcnt: 'i64', calcnt: 'i64', errcnt: 'i64', stbcnt: 'i64', tai: 'i32', _pad: 'i32[11]',
});
export const rusage = struct('rusage', {
  ru_utime: 'timeval', ru_stime: 'timeval', ru_maxrss: 'i64', ru_ixrss: 'i64', ru_idrss: 'i64', ru_isrss: 'i64',
  ru_minflt: 'i64', ru_majflt: 'i64', ru_nswap: 'i64', ru_inblock: 'i64', ru_oublock: 'i64', ru_msgsnd: 'i64',
  ru_msgrcv: 'i64', ru_nsignals: 'i64', ru_nvcsw: 'i64', ru_nivcsw: 'i64',
});
export const rlimit = struct('rlimit', { rlim_cur: 'u64', rlim_max: 'u64' });
export const sysinfo = struct('sysinfo', {
  uptime: 'i64', loads: 'u64[3]', totalram: 'u64', freeram: 'u64', sharedram: 'u64', bufferram: 'u64', totalswap: 'u64',
  freeswap: 'u64', procs: 'u16', _pad: 'u16', totalhigh: 'u64', freehigh: 'u64', mem_unit: 'u32',
});
export const utsname = struct('utsname', {
  sysname: 'i8[65]', nodename: 'i8[65]', release: 'i8[65]', version: 'i8[65]', machine: 'i8[65]', domainname: 'i8[65]',
});
export const capHeader = struct('cap_user_header', { version: 'u32:capability_version', pid: 'i32' });
export const capData = struct('cap_user_data', { effective: 'u32', permitted: 'u32', inheritable: 'u32' });
export const schedParam = struct('sched_param', { sched_priority: 'i32' });
export const schedAttr = struct('sched_attr', {
  size: 'u32', sched_policy: 'u32:sched', sched_flags: 'u64:sched_attr', sched_nice: 'i32', sched_priority: 'u32',
  sched_runtime: 'u64', sched_deadline: 'u64', sched_period: 'u64', sched_util_min: 'u32', sched_util_max: 'u32',
});
export const cloneArgs = struct('clone_args', {
  flags: 'u64:clone', pidfd: 'u64', child_tid: 'u64', parent_tid: 'u64', exit_signal: 'u64', stack: 'u64',
  stack_size: 'u64', tls: 'u64', set_tid: 'u64', set_tid_size: 'u64', cgroup: 'u64',
});

export const iovecLayout = struct('iovec', { iov_base: 'ptr', iov_len: 'u64' });
export const msghdr = struct('msghdr', {
  msg_name: 'ptr', msg_namelen: 'i32', _pad: 'i32', msg_iov: 'ptr', msg_iovlen: 'u64', msg_control: 'ptr',
  msg_controllen: 'u64', msg_flags: 'u32:MSG', _pad2: 'i32',
});
export const mmsghdr = struct('mmsghdr', { msg_hdr: 'msghdr', msg_len: 'u32', _pad: 'u32' });
export const cmsghdr = struct('cmsghdr', { cmsg_len: 'u64', cmsg_level: 'i32:SOL', cmsg_type: 'i32' });
export const ucred = struct('ucred', { pid: 'i32', uid: 'u32', gid: 'u32' });
export const linger = struct('linger', { l_onoff: 'i32', l_linger: 'i32' });
export const sockFprog = struct('sock_fprog', { len: 'u16', _pad: 'u16[3]', filter: 'ptr' });
export const sockFilter = struct('sock_filter', { code: 'u16', jt: 'u8', jf: 'u8', k: 'u32' });

export const pollfd = struct('pollfd', { fd: 'i32', events: 'i16:poll', revents: 'i16:poll' });
export const signalfdSiginfo = struct('signalfd_siginfo', {
  ssi_signo: 'u32', ssi_errno: 'i32', ssi_code: 'i32', ssi_pid: 'u32', ssi_uid: 'u32', ssi_fd: 'i32', ssi_tid: 'u32',
  ssi_band: 'u32', ssi_overrun: 'u32', ssi_trapno: 'u32', ssi_status: 'i32', ssi_int: 'i32', ssi_ptr: 'u64',
  ssi_utime: 'u64', ssi_stime: 'u64', ssi_addr: 'u64', _pad: 'u8[48]',
});

/** The kernel's struct sigaction (not libc's): handler, flags, restorer, mask. */
export const sigaction = struct('sigaction', {
  sa_handler: 'ptr:sighandler', sa_flags: 'u64:sigaction', sa_restorer: 'ptr', sa_mask: 'u64',
});
export const stackT = struct('stack_t', { ss_sp: 'ptr', ss_flags: 'i32:sigaltstack', _pad: 'i32', ss_size: 'u64' });
/** The beginning of siginfo_t (128 bytes); what follows depends on si_signo and si_code. */
export const siginfo = struct('siginfo', { si_signo: 'i32:signal', si_errno: 'i32', si_code: 'i32:si_code', _pad: 'i32[29]' });
export const sigevent = struct('sigevent', {
  sigev_value: 'u64', sigev_signo: 'i32:signal', sigev_notify: 'i32:sigev_notify', sigev_notify_thread_id: 'i32',
  _pad: 'i32[11]',
});

export const flockLayout = struct('flock', {
  l_type: 'i16:flock_type', l_whence: 'i16:whence', l_start: 'i64', l_len: 'i64', l_pid: 'i32',
});
export const fOwnerEx = struct('f_owner_ex', { type: 'i32:f_owner_type', pid: 'i32' });
export const statxTimestamp = struct('statx_timestamp', { tv_sec: 'i64', tv_nsec: 'u32', _pad: 'i32' });
export const statx = struct('statx', {
  stx_mask: 'u32:statx', stx_blksize: 'u32', stx_attributes: 'u64:statx_attr', stx_nlink: 'u32', stx_uid: 'u32',
  stx_gid: 'u32', stx_mode: 'u16:mode', _spare0: 'u16', stx_ino: 'u64', stx_size: 'u64', stx_blocks: 'u64',
  stx_attributes_mask: 'u64:statx_attr', stx_atime: 'statx_timestamp', stx_btime: 'statx_timestamp',
  stx_ctime: 'statx_timestamp', stx_mtime: 'statx_timestamp', stx_rdev_major: 'u32', stx_rdev_minor: 'u32',
  stx_dev_major: 'u32', stx_dev_minor: 'u32', stx_mnt_id: 'u64', stx_dio_mem_align: 'u32', stx_dio_offset_align: 'u32',
  _spare3: 'u64[12]',
});
export const statfsLayout = struct('statfs', {
  f_type: 'i64:statfs_magic', f_bsize: 'i64', f_blocks: 'u64', f_bfree: 'u64', f_bavail: 'u64', f_files: 'u64',
  f_ffree: 'u64', f_fsid: 'i32[2]', f_namelen: 'i64', f_frsize: 'i64', f_flags: 'i64:statfs_flags', _spare: 'i64[4]',
});
export const openHow = struct('open_how', { flags: 'u64:open', mode: 'u64:mode', resolve: 'u64:openat2_resolve' });
export const mountAttr = struct('mount_attr', {
  attr_set: 'u64:mount_attr', attr_clr: 'u64:mount_attr', propagation: 'u64:mount', userns_fd: 'u64',
});
export const fileHandle = struct('file_handle', { handle_bytes: 'u32', handle_type: 'i32' });
export const inotifyEvent = struct('inotify_event', { wd: 'i32', mask: 'u32:inotify', cookie: 'u32', len: 'u32' });
export const winsize = struct('winsize', { ws_row: 'u16', ws_col: 'u16', ws_xpixel: 'u16', ws_ypixel: 'u16' });
export const termios = struct('termios', {
  c_iflag: 'u32:termios_iflag', c_oflag: 'u32:termios_oflag', c_cflag: 'u32:termios_cflag', c_lflag: 'u32:termios_lflag',
  c_line: 'u8', c_cc: 'u8[19]',
});

export const robustListHead = struct('robust_list_head', { list: 'ptr', futex_offset: 'i64', list_op_pending: 'ptr' });
export const futexWaitv = struct('futex_waitv', { val: 'u64', uaddr: 'u64', flags: 'u32:futex2', _reserved: 'u32' });
export const iocb = struct('iocb', {
  aio_data: 'u64', aio_key: 'u32', aio_rw_flags: 'u32:rwf', aio_lio_opcode: 'u16:iocb_cmd', aio_reqprio: 'i16',
  aio_fildes: 'u32', aio_buf: 'u64', aio_nbytes: 'u64', aio_offset: 'i64', _reserved2: 'u64', aio_flags: 'u32',
  aio_resfd: 'u32',
});
export const ioEvent = struct('io_event', { data: 'u64', obj: 'u64', res: 'i64', res2: 'i64' });
export const sembuf = struct('sembuf', { sem_num: 'u16', sem_op: 'i16', sem_flg: 'i16:semop' });
export const ipcPerm = struct('ipc_perm', {
  key: 'i32', uid: 'u32', gid: 'u32', cuid: 'u32', cgid: 'u32', mode: 'u32', seq: 'u16', _pad2: 'u16', _unused1: 'u64',
  _unused2: 'u64',
});
export const shmidDs = struct('shmid_ds', {
  shm_perm: 'ipc_perm', shm_segsz: 'u64', shm_atime: 'i64', shm_dtime: 'i64', shm_ctime: 'i64', shm_cpid: 'i32',
  shm_lpid: 'i32', shm_nattch: 'u64', _unused4: 'u64', _unused5: 'u64',
});
export const msqidDs = struct('msqid_ds', {
  msg_perm: 'ipc_perm', msg_stime: 'i64', msg_rtime: 'i64', msg_ctime: 'i64', msg_cbytes: 'u64', msg_qnum: 'u64',
  msg_qbytes: 'u64', msg_lspid: 'i32', msg_lrpid: 'i32', _unused4: 'u64', _unused5: 'u64',
});
export const mqAttr = struct('mq_attr', {
  mq_flags: 'i64:open', mq_maxmsg: 'i64', mq_msgsize: 'i64', mq_curmsgs: 'i64', _reserved: 'i64[4]',
});

/** Layouts that are not the same on every ABI. */
export const abiStructs: Readonly<Record<string, Readonly<Record<string, Layout>>>> = {
  x86_64: {
    stat: layout('stat', {
      st_dev: 'u64', st_ino: 'u64', st_nlink: 'u64', st_mode: 'u32:mode', st_uid: 'u32', st_gid: 'u32', _pad0: 'u32',
      st_rdev: 'u64', st_size: 'i64', st_blksize: 'i64', st_blocks: 'i64', st_atime: 'timespec', st_mtime: 'timespec',
      st_ctime: 'timespec', _unused: 'i64[3]',
    }),
    epoll_event: layout('epoll_event', { events: 'u32:epoll_events', data: 'u64' }, true),
    semid_ds: layout('semid_ds', {
      sem_perm: 'ipc_perm', sem_otime: 'i64', _unused1: 'u64', sem_ctime: 'i64', _unused2: 'u64', sem_nsems: 'u64',
      _unused3: 'u64', _unused4: 'u64',
    }),
  },
  // asm-generic: aarch64, riscv64
  generic64: {
    stat: layout('stat', {
      st_dev: 'u64', st_ino: 'u64', st_mode: 'u32:mode', st_nlink: 'u32', st_uid: 'u32', st_gid: 'u32', st_rdev: 'u64',
      _pad1: 'u64', st_size: 'i64', st_blksize: 'i32', _pad2: 'i32', st_blocks: 'i64', st_atime: 'timespec',
      st_mtime: 'timespec', st_ctime: 'timespec', _unused: 'u32[2]',
    }),
    epoll_event: layout('epoll_event', { events: 'u32:epoll_events', data: 'u64' }),
    semid_ds: layout('semid_ds', {
      sem_perm: 'ipc_perm', sem_otime: 'i64', sem_ctime: 'i64', sem_nsems: 'u64', _unused3: 'u64', _unused4: 'u64',
    }),
  },
};

/** The C types that stand as a whole behind a pointer (`int *`, `socklen_t *`), as the declarations name them. */
export const scalarTypes: Readonly<Record<string, ScalarType>> = {
  int: 'i32', unsigned: 'u32', u32: 'u32', pid_t: 'i32', uid_t: 'u32', gid_t: 'u32', socklen_t: 'u32', timer_t: 'i32',
  mount_id: 'i32', time_t: 'i64', loff_t: 'i64', size_t: 'u64', pointer: 'ptr', aio_context_t: 'u64',
};

/** `int[2]` → int, 2; `timespec` → timespec, 1. */
export function elementOf(name: string): { readonly name: string; readonly count: number } {
  const match = /^(\w+)\[(\d+)\]$/.exec(name);
  return match === null ? { name, count: 1 } : { name: match[1] as string, count: Number(match[2]) };
}

/** The layout of a structure in an ABI; undefined if it has none here (variable or opaque). */
export function structLayout(name: string, isa = 'x86_64'): Layout | undefined {
  const own = abiStructs[isa === 'aarch64' || isa === 'riscv64' ? 'generic64' : isa];
  return own?.[name] ?? table.get(name);
}

/** Offset of a field, for handlers: `at(msghdr, 'msg_iov')`. */
export function at(layoutOf: Layout, field: string): number {
  const found = layoutOf.fields.find((f) => f.name === field);
  if (found === undefined) throw new Error(`struct ${layoutOf.name} has no field ${field}`);
  return found.offset;
}

/** All layouts of an ABI by name. */
export function structLayouts(isa = 'x86_64'): readonly Layout[] {
  const own = abiStructs[isa === 'aarch64' || isa === 'riscv64' ? 'generic64' : isa] ?? {};
  return [...[...table.values()].filter((l) => !(l.name in own)), ...Object.values(own)];
}
