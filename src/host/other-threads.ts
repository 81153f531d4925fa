/**
 * The threads of this process that are not the guest's: Node's own. They must never take a signal: the kernel gives a
 * signal that the guest's thread blocks to any thread that does not, and its default action (or being ignored) would
 * then happen although the guest means to fetch it with signalfd or sigwait.
 */

import type { Host } from '../kernel/ports.ts';

const O_DIRECTORY_CLOEXEC = 0o2200000;
const DIRECTORY_BYTES = 32768;

/** Ids of all threads but the calling one; undefined where there is no /proc. `path` is seen from descriptor `at`. */
export function otherThreads(host: Host, at: number, path: string): number[] | undefined {
  const { nr, scratch } = host;
  const own = host.syscall(nr['gettid'] as number);
  const mark = scratch.mark();
  const name = scratch.alloc(path.length + 1);
  scratch.bytes.set(Buffer.from(path, 'latin1'), name);
  const directory = host.syscall(nr['openat'] as number, at, scratch.address + name, O_DIRECTORY_CLOEXEC, 0);
  if (directory < 0) {
    scratch.release(mark);
    return undefined;
  }
  const tids: number[] = [];
  const entries = scratch.alloc(DIRECTORY_BYTES);
  for (;;) {
    const n = host.syscall(nr['getdents64'] as number, directory, scratch.address + entries, DIRECTORY_BYTES);
    if (n <= 0) break;
    // struct linux_dirent64: d_reclen at 16, d_name at 19.
    for (let p = entries; p < entries + n; p += scratch.view.getUint16(p + 16, true)) {
      const end = scratch.bytes.indexOf(0, p + 19);
      const tid = Number(Buffer.from(scratch.bytes.subarray(p + 19, end)).toString('latin1'));
      if (tid > 0 && tid !== own) tids.push(tid);
    }
  }
  scratch.release(mark);
  host.syscall(nr['close'] as number, directory);
  return tids;
}
