/**
 * A further thread for threads.test.ts: attaches to the hooks of the process and makes system calls of a fake kernel.
 * `read` of descriptor n blocks until word n of the gate is raised; `exit` leaves by an exception, as in a guest.
 */

import { parentPort, workerData } from 'node:worker_threads';
import { declaredSyscalls } from '../../src/hooks/declared.ts';
import { attachHookEngine } from '../../src/hooks/engine.ts';
import type { HookShare } from '../../src/hooks/hook-share.ts';
import { type HostShare, LinuxHost } from '../../src/host/linux-host.ts';
import { InterceptorSet } from '../../src/kernel/interceptor.ts';
import { SyscallFrame } from '../../src/kernel/ports.ts';
import type { Task } from '../../src/kernel/task.ts';
import { WasmGuestMemory } from '../../src/memory/guest-memory.ts';

export interface ThreadData {
  readonly hooks: HookShare;
  readonly host: HostShare;
  readonly memory: WebAssembly.Memory;
  readonly slot: number;
  readonly gate: Int32Array<SharedArrayBuffer>;
  /** Calls to make: name, first argument, how often. */
  readonly calls: readonly (readonly [string, number, number?])[];
  /** Give back what the thread has of the Lua state at its end. */
  readonly detach: boolean;
}

export interface ThreadResult {
  /** Of each entry of `calls`: the last result, and the sum of all. */
  readonly last: readonly bigint[];
  readonly sum: readonly bigint[];
  readonly exits: number;
}

/** What the gate's words mean: below 16, descriptors that can be read. */
export const ARRIVED = 16;
export const ORIGINALS = 17;

class Exit extends Error {}

const numbers: Readonly<Record<string, number>> = { read: 0, write: 1, getpid: 39, exit: 60, getppid: 110, gettid: 186 };

function runThread(data: ThreadData): ThreadResult {
  const { gate } = data;
  const host = new LinuxHost(data.host, data.slot);
  const memory = new WasmGuestMemory(data.memory, host.memoryBase, host.memorySize);
  const base = 0x2000000 + data.slot * 0x100000;
  let mapped = 0;
  const engine = attachHookEngine(data.hooks, {
    host,
    syscalls: declaredSyscalls,
    mapGuest: (bytes) => {
      const addr = base + mapped;
      mapped += bytes;
      const result = host.syscall(host.nr['mmap'] as number, host.memoryBase + addr, bytes, 3, 0x32, -1, 0);
      return result < 0 ? result : addr;
    },
    unmapGuest: () => {},
  });
  const interceptors = new InterceptorSet();
  engine.attach(interceptors);
  const process = { pid: 1, image: { path: '/p', argv: [] } };
  const task = { memory, host, process, tid: 1000 + data.slot, comm: Buffer.from('t'), cpu: { pc: 0 } } as unknown as Task;
  const kernel = (frame: SyscallFrame): bigint => {
    if (frame.nr === 60) throw new Exit();
    if (frame.nr === 0) {
      const fd = Number(frame.i64[0]);
      Atomics.add(gate, ARRIVED, 1);
      Atomics.notify(gate, ARRIVED);
      while (Atomics.load(gate, fd) === 0) Atomics.wait(gate, fd, 0);
      return 7n;
    }
    if (frame.nr === 1) return BigInt(memory.readCString(frame.unsigned(1), 100).bytes[0] as number);
    if (frame.nr === 186) return BigInt(1000 + data.slot);
    Atomics.add(gate, ORIGINALS, 1);
    return BigInt(frame.nr) + 1000n;
  };
  let exits = 0;
  const last: bigint[] = [];
  const sum: bigint[] = [];
  for (const [name, first, times = 1] of data.calls) {
    let total = 0n;
    let result = 0n;
    for (let k = 0; k < times; k++) {
      const frame = new SyscallFrame();
      frame.nr = numbers[name] as number;
      frame.i64[0] = BigInt(first);
      if (engine.changeCell[0] !== engine.seenCell[0]) engine.poll();
      try {
        result = interceptors.run(task, frame, kernel);
      } catch (error) {
        if (!(error instanceof Exit)) throw error;
        exits++;
      }
      total += result;
    }
    last.push(result);
    sum.push(total);
  }
  if (data.detach) engine.detach();
  return { last, sum, exits };
}

if (parentPort !== null) parentPort.postMessage(runThread(workerData as ThreadData));
