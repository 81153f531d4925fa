/**
 * How the parent of a vfork comes to see what its child wrote. The parent waits at one end of a pair of sockets; the
 * child, when it execs or exits, writes the pages it changed into the other and closes it. Its death closes it as well, with
 * whatever had been written: a cut-off record is not used.
 *
 * Which pages: the child's memory is a copy the kernel shares with the parent until somebody writes, and the parent
 * waits; so a page that is mapped by the child alone is one it has changed (/proc/self/pagemap says so). A page
 * too many does no harm: its contents are the parent's own.
 *
 * Record: guest address (u64), length (u64), the bytes.
 */

import type { Machine } from '../host/machine.ts';
import { whileDumpable } from '../host/own-proc.ts';
import type { Process } from '../kernel/process.ts';

const PAGE = 4096;
const O_CLOEXEC = 0o2000000;
const AF_UNIX = 1;
const SOCK_STREAM = 1;
/** A parent that was killed meanwhile is no reason for the child to die. */
const MSG_NOSIGNAL = 0x4000;
const EINTR = -4;
const EFAULT = -14;
const HEADER = 16;
/** Bytes of pagemap read at once. */
const WINDOW = 65536;
/** Bits 63 present, 62 swapped, 61 of a file or shared, 56 mapped here alone: of the upper word. */
const PRESENT = 0x8000_0000;
const SWAPPED = 0x4000_0000;
const OF_FILE = 0x2000_0000;
const EXCLUSIVE = 0x0100_0000;

export class VforkChannel {
  readonly #machine: Machine;
  readonly #process: Process;
  #read: number;
  #write: number;

  private constructor(machine: Machine, process: Process, read: number, write: number) {
    this.#machine = machine;
    this.#process = process;
    this.#read = read;
    this.#write = write;
  }

  /** Before the fork. −errno when there are no descriptors. */
  static make(machine: Machine, process: Process): VforkChannel | number {
    const { host } = machine;
    const mark = host.scratch.mark();
    const at = host.scratch.alloc(8);
    const result = host.syscall(
      host.nr['socketpair'] as number,
      AF_UNIX,
      SOCK_STREAM | O_CLOEXEC,
      0,
      host.scratch.address + at,
    );
    const { view } = host.scratch;
    const [read, write] = [view.getInt32(at, true), view.getInt32(at + 4, true)];
    host.scratch.release(mark);
    return result < 0 ? result : new VforkChannel(machine, process, read, write);
  }

  close(): void {
    this.#close(this.#read);
    this.#close(this.#write);
    this.#read = -1;
    this.#write = -1;
  }

  /** In the child. */
  keepWriting(): void {
    this.#close(this.#read);
    this.#read = -1;
  }

  /** In the parent: wait until the child lets go, taking over what it wrote if its memory counts as ours. */
  receive(takeOver: boolean): void {
    this.#close(this.#write);
    this.#write = -1;
    const { host, space } = this.#machine;
    const { scratch } = host;
    const mark = scratch.mark();
    const header = scratch.alloc(HEADER);
    const bin = scratch.alloc(WINDOW);
    while (this.#readAll(scratch.address + header, HEADER)) {
      const start = Number(scratch.view.getBigUint64(header, true));
      const end = start + Number(scratch.view.getBigUint64(header + 8, true));
      for (let at = start; at < end; ) {
        const room = takeOver ? end - at : Math.min(end - at, WINDOW);
        const to = takeOver ? host.memoryBase + at : scratch.address + bin;
        let n = this.#readSome(to, room);
        // A page that the child could write and the parent cannot: it lies in a mapping made or changed by the child.
        if (n === EFAULT) n = this.#readSome(scratch.address + bin, Math.min(end - at, PAGE - (at % PAGE)));
        if (n <= 0) break;
        at += n;
      }
      if (takeOver) space.contentsChanged(start, end);
    }
    scratch.release(mark);
    this.#close(this.#read);
    this.#read = -1;
  }

  /** In the child: hand over and let the parent go on. */
  send(): void {
    const { space } = this.#machine;
    for (const m of space.entries()) {
      if (m.shared || (m.prot & 2) === 0) continue;
      if (!this.#sendChanged(m.start, m.end)) break;
    }
    this.#close(this.#write);
    this.#write = -1;
  }

  #sendChanged(start: number, end: number): boolean {
    const { host } = this.#machine;
    const { scratch } = host;
    const map = this.#openPagemap();
    if (map < 0) return false;
    const mark = scratch.mark();
    const words = scratch.alloc(WINDOW);
    let run = -1;
    let alive = true;
    const step = (WINDOW / 8) * PAGE;
    for (let from = start; from < end && alive; from += step) {
      const count = Math.min(step, end - from) / PAGE;
      const at = ((host.memoryBase + from) / PAGE) * 8;
      const got = host.syscall(host.nr['pread64'] as number, map, scratch.address + words, count * 8, at);
      for (let k = 0; k < count && alive; k++) {
        const flags = k * 8 < got ? scratch.view.getUint32(words + k * 8 + 4, true) : 0;
        const changed =
          (flags & SWAPPED) !== 0 ||
          ((flags & (PRESENT | EXCLUSIVE)) >>> 0 === (PRESENT | EXCLUSIVE) >>> 0 && (flags & OF_FILE) === 0);
        const page = from + k * PAGE;
        if (changed && run < 0) run = page;
        else if (!changed && run >= 0) {
          alive = this.#sendRecord(run, page);
          run = -1;
        }
      }
    }
    if (run >= 0 && alive) alive = this.#sendRecord(run, end);
    scratch.release(mark);
    this.#close(map);
    return alive;
  }

  #sendRecord(start: number, end: number): boolean {
    const { host } = this.#machine;
    const { scratch } = host;
    const mark = scratch.mark();
    const header = scratch.alloc(HEADER);
    scratch.view.setBigUint64(header, BigInt(start), true);
    scratch.view.setBigUint64(header + 8, BigInt(end - start), true);
    const sent =
      this.#writeAll(scratch.address + header, HEADER) && this.#writeAll(host.memoryBase + start, end - start);
    scratch.release(mark);
    return sent;
  }

  #openPagemap(): number {
    const { host } = this.#machine;
    const mark = host.scratch.mark();
    const path = Buffer.from('self/pagemap\0', 'latin1');
    const at = host.scratch.alloc(path.length);
    host.scratch.bytes.set(path, at);
    const { procFd } = this.#process;
    const fd = whileDumpable(host, () =>
      host.syscall(host.nr['openat'] as number, procFd, host.scratch.address + at, O_CLOEXEC, 0),
    );
    host.scratch.release(mark);
    return fd;
  }

  /** False at the end. */
  #readAll(address: number, length: number): boolean {
    for (let done = 0; done < length; ) {
      const n = this.#readSome(address + done, length - done);
      if (n <= 0) return false;
      done += n;
    }
    return true;
  }

  /** Signals wait: the kernel as well holds them back while the parent of a vfork waits. */
  #readSome(address: number, length: number): number {
    const { host } = this.#machine;
    for (;;) {
      const n = host.syscall(host.nr['read'] as number, this.#read, address, length);
      if (n !== EINTR) return n;
    }
  }

  #writeAll(address: number, length: number): boolean {
    const { host } = this.#machine;
    for (let done = 0; done < length; ) {
      const n = host.syscall(
        host.nr['sendto'] as number,
        this.#write,
        address + done,
        length - done,
        MSG_NOSIGNAL,
        0,
        0,
      );
      if (n > 0) done += n;
      else if (n !== EINTR) return false;
    }
    return true;
  }

  #close(fd: number): void {
    const { host } = this.#machine;
    if (fd >= 0) host.syscall(host.nr['close'] as number, fd);
  }
}
