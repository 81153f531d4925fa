/**
 * Lets the host's kernel, and with it ps, pgrep and the other guests, see the guest's command line and environment as
 * this process's: prctl(PR_SET_MM_MAP) says where they lie. The same call makes the process block the data segment, by which
 * other guests' engines find it (syscalls/guest-view.ts). Where the kernel cannot do that (no CONFIG_CHECKPOINT_RESTORE) the
 * engine's own are seen.
 */

import type { Host, HostAddr } from '../kernel/ports.ts';
import { BLOCK_SIZE } from '../kernel/process-block.ts';

const O_CLOEXEC = 0o2000000;
const PR_SET_MM = 35;
const PR_SET_MM_MAP = 14;
/** struct prctl_mm_map: eleven addresses in this order, auxv and its size, a descriptor or −1. */
const MM_MAP = 104;
const EXE_FD = 100;
/** Fields of /proc/PID/stat (proc_pid_stat(5)) that hold what must stay. */
const FIELDS = { startCode: 26, endCode: 27, startStack: 28, startBrk: 47 } as const;
const TEXT = 4096;

export interface CommandLine {
  readonly argStart: HostAddr;
  readonly argEnd: HostAddr;
  readonly envStart: HostAddr;
  readonly envEnd: HostAddr;
}

/** `procFd`: descriptor on /proc. */
export function showCommandLine(host: Host, procFd: number, line: CommandLine): void {
  const { scratch, nr } = host;
  const mark = scratch.mark();
  try {
    const field = readStat(host, procFd);
    if (field === undefined) return;
    const at = scratch.alloc(MM_MAP);
    const brk = host.syscall64(nr['brk'] as number, 0);
    const words = [
      field(FIELDS.startCode), field(FIELDS.endCode), BigInt(host.block.address), BigInt(host.block.address + BLOCK_SIZE), field(FIELDS.startBrk), brk,
      field(FIELDS.startStack), BigInt(line.argStart), BigInt(line.argEnd), BigInt(line.envStart), BigInt(line.envEnd),
    ];
    words.forEach((word, k) => scratch.view.setBigUint64(at + 8 * k, word, true));
    scratch.view.setInt32(at + EXE_FD, -1, true);
    host.syscall(nr['prctl'] as number, PR_SET_MM, PR_SET_MM_MAP, scratch.address + at, MM_MAP, 0);
  } finally {
    scratch.release(mark);
  }
}

function readStat(host: Host, procFd: number): ((field: number) => bigint) | undefined {
  const { scratch, nr } = host;
  const name = Buffer.from('self/stat\0', 'latin1');
  const path = scratch.alloc(name.length);
  scratch.bytes.set(name, path);
  const fd = host.syscall(nr['openat'] as number, procFd, scratch.address + path, O_CLOEXEC, 0);
  if (fd < 0) return undefined;
  const at = scratch.alloc(TEXT);
  const n = host.syscall(nr['read'] as number, fd, scratch.address + at, TEXT);
  host.syscall(nr['close'] as number, fd);
  if (n <= 0) return undefined;
  const text = Buffer.from(scratch.bytes.subarray(at, at + n)).toString('latin1');
  // The name in field 2 may hold anything, a closing parenthesis too.
  const rest = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (field) => BigInt(rest[field - 3] ?? 0);
}
