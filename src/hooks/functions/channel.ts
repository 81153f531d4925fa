/**
 * The engine's end of the talk with the program that serves hooks: one stream per guest thread, through raw calls.
 *
 * All processes of a guest inherit one descriptor, node's channel between a parent and its child. Whoever needs a
 * stream makes a pair of sockets and passes one end over that descriptor, in the form in which node hands over sockets;
 * so a stream has no name that chroot, other namespaces, other users or the guest could get at.
 *
 * Invariant: no descriptor here is one of the guest's; nothing is written that could raise SIGPIPE.
 */

import { encodeFrame, type Frame, FrameReader, kind } from '../../api/protocol.ts';
import type { Host, HostBuffer } from '../../kernel/ports.ts';

const AF_UNIX = 1;
const SOCK_STREAM_CLOEXEC = 0o2000001;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const EINTR = -4;
const BUFFER = 0x10000;
/** As node sends a socket to its parent; see `NODE_HANDLE` in its child_process. */
const HANDLE = Buffer.from(`${JSON.stringify({ cmd: 'NODE_HANDLE', type: 'net.Socket', msg: { cmd: 'lunagate' } })}\n`);

/** One guest thread's stream. Each method says whether the program at the other end is still there. */
export class Channel {
  readonly #host: Host;
  readonly #fd: number;
  readonly #buffer: HostBuffer;
  readonly #reader = new FrameReader();

  private constructor(host: Host, fd: number, buffer: HostBuffer) {
    this.#host = host;
    this.#fd = fd;
    this.#buffer = buffer;
  }

  /** A new stream, over the inherited descriptor. Undefined: there is nobody, or there are no descriptors left. */
  static open(host: Host, control: number, buffer: HostBuffer): Channel | undefined {
    const { nr, scratch } = host;
    const call = (name: string, ...args: number[]): number => host.syscall(nr[name] as number, ...args);
    const mark = scratch.mark();
    try {
      // The other side acknowledges each socket it gets: nobody waits for that, but it must not pile up.
      while (call('recvfrom', control, buffer.address, BUFFER, MSG_DONTWAIT, 0, 0) > 0);
      const pair = scratch.alloc(8);
      if (call('socketpair', AF_UNIX, SOCK_STREAM_CLOEXEC, 0, scratch.address + pair) < 0) return undefined;
      const [own, other] = [scratch.view.getInt32(pair, true), scratch.view.getInt32(pair + 4, true)];
      const data = scratch.alloc(HANDLE.length);
      scratch.bytes.set(HANDLE, data);
      const iov = scratch.alloc(16);
      const { view } = scratch;
      view.setBigUint64(iov, BigInt(scratch.address + data), true);
      view.setBigUint64(iov + 8, BigInt(HANDLE.length), true);
      const rights = scratch.alloc(24);
      view.setBigUint64(rights, 20n, true);
      view.setInt32(rights + 8, SOL_SOCKET, true);
      view.setInt32(rights + 12, SCM_RIGHTS, true);
      view.setInt32(rights + 16, other, true);
      const message = scratch.alloc(56);
      view.setBigUint64(message + 16, BigInt(scratch.address + iov), true);
      view.setBigUint64(message + 24, 1n, true);
      view.setBigUint64(message + 32, BigInt(scratch.address + rights), true);
      view.setBigUint64(message + 40, 24n, true);
      let sent: number;
      do sent = call('sendmsg', control, scratch.address + message, MSG_NOSIGNAL);
      while (sent === EINTR);
      call('close', other);
      if (sent === HANDLE.length) return new Channel(host, own, buffer);
      call('close', own);
      return undefined;
    } finally {
      scratch.release(mark);
    }
  }

  send(what: number, ints: readonly bigint[] = [], bytes?: Uint8Array): boolean {
    const frame = encodeFrame(what, ints, bytes);
    for (let done = 0; done < frame.length; ) {
      const part = frame.subarray(done, done + BUFFER);
      this.#buffer.bytes.set(part);
      const n = this.#host.syscall(this.#host.nr['sendto'] as number, this.#fd, this.#buffer.address, part.length, MSG_NOSIGNAL, 0, 0);
      if (n < 0 && n !== EINTR) return false;
      done += Math.max(0, n);
    }
    return true;
  }

  /** The next frame; `interrupted` is called when a signal came meanwhile, and may throw. Undefined when the other side is gone, or out of its mind. */
  receive(interrupted?: () => void): Frame | undefined {
    for (;;) {
      try {
        const frame = this.#reader.next();
        if (frame !== undefined) return frame;
      } catch {
        return undefined;
      }
      const n = this.#host.syscall(this.#host.nr['recvfrom'] as number, this.#fd, this.#buffer.address, BUFFER, 0, 0, 0);
      if (n === EINTR) interrupted?.();
      else if (n <= 0) return undefined;
      if (n <= 0) continue;
      this.#reader.push(this.#buffer.bytes.slice(0, n));
    }
  }

  /** Introduce oneself; what is to be hooked. Undefined: nobody is there. */
  greet(pid: number, tid: number): Frame | undefined {
    if (!this.send(kind.hello, [BigInt(pid), BigInt(tid)])) return undefined;
    const frame = this.receive();
    return frame?.kind === kind.configuration ? frame : undefined;
  }

  close(): void {
    this.#host.syscall(this.#host.nr['close'] as number, this.#fd);
  }
}
