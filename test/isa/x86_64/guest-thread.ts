/**
 * Guest threads for tests of what threads do to each other: Workers over one shared guest memory, each with a translator of
 * its own, that run small programs in assembly to their `int3`. This file is also what each Worker runs.
 */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { attachMachine, createMachine, type Machine } from '../../../src/host/machine.ts';
import { addressOf } from '../../../src/host/ffi.ts';
import { GPR_NAMES, STATE } from '../../../src/isa/x86_64/cpu-state.ts';
import { assemble } from '../../../src/isa/x86_64/encode.ts';
import { X86Frontend } from '../../../src/isa/x86_64/frontend.ts';
import { Jit } from '../../../src/jit/jit.ts';
import * as layout from '../../../src/jit/layout.ts';

type Registers = Partial<Record<(typeof GPR_NAMES)[number], number>>;
export interface ThreadProgram {
  /** One instruction or `label:` a line, or apart by `;`. Ends with int3. */
  readonly source: string;
  readonly registers?: Registers;
}

const CODE = 0x10_0000;
/** Where programs have their data. */
export const DATA = 0x20_0000;
export const DATA_SIZE = 0x200_0000;

/** Machine code of `source` for CODE; jumps may name labels. */
function program(source: string): Uint8Array {
  const lines = source.split(/[;\n]/).map((line) => line.trim()).filter((line) => line !== '');
  let labels = new Map<string, number>();
  for (let round = 0; round < 10; round++) {
    const found = new Map<string, number>();
    const out: number[] = [];
    for (const line of lines) {
      const label = /^(\w+):$/.exec(line)?.[1];
      if (label !== undefined) found.set(label, CODE + out.length);
      else out.push(...assemble(line.replace(/^(j\w+|call) (\w+)$/, (_, op: string, to: string) => `${op} ${labels.get(to) ?? CODE}`), CODE + out.length));
    }
    if ([...found].every(([name, at]) => labels.get(name) === at)) return Uint8Array.from(out);
    labels = found;
  }
  throw new Error('labels do not settle');
}

interface ThreadData {
  readonly share: Machine['share'];
  readonly slot: number;
}
class Ended {}

let machine: Machine | undefined;
/** The memory all threads see, from DATA on. */
export function sharedData(): Uint8Array {
  if (machine === undefined) {
    machine = createMachine();
    const { host } = machine;
    const MAP_SHARED_ANONYMOUS_FIXED = 0x31;
    host.syscall(host.nr['mmap'] as number, host.memoryBase + DATA, DATA_SIZE, 3, MAP_SHARED_ANONYMOUS_FIXED, -1, 0);
  }
  return new Uint8Array(machine.memory.buffer, DATA, DATA_SIZE);
}

const workers: Worker[] = [];
/** Run programs at the same time, each in a thread; their registers at the end. */
export async function runThreads(programs: readonly ThreadProgram[]): Promise<Record<(typeof GPR_NAMES)[number], bigint>[]> {
  sharedData();
  const { share } = machine as Machine;
  const gate = new SharedArrayBuffer(8);
  const ends = programs.map(async (p, k) => {
    const worker = (workers[k] ??= new Worker(new URL(import.meta.url), { workerData: { share, slot: k + 1 } satisfies ThreadData }));
    const registers = await new Promise<bigint[]>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
      worker.postMessage({ code: program(p.source), registers: p.registers ?? {}, gate, threads: programs.length });
    });
    worker.removeAllListeners('error');
    return Object.fromEntries(GPR_NAMES.map((name, n) => [name, registers[n]])) as never;
  });
  return Promise.all(ends);
}
export async function endThreads(): Promise<void> {
  for (const worker of workers.splice(0)) await worker.terminate();
}

function runProgram({ host, memory, pages }: Machine, code: Uint8Array, registers: Registers, whenReady: () => void): bigint[] {
  const state = new WebAssembly.Memory({ initial: layout.STATE_PAGES, maximum: layout.STATE_PAGES });
  const stateAddress = addressOf(state.buffer);
  const view = new DataView(state.buffer);
  const jit = new Jit(new X86Frontend(), memory, pages, state, {
    code: { window: (pc) => (pc >= CODE && pc < CODE + code.length ? { bytes: code, at: pc - CODE } : undefined) },
    syscall: () => {},
    trap: () => {
      throw new Ended();
    },
    fetchFault: (pc) => {
      throw new Error(`nothing to execute at ${pc.toString(16)}`);
    },
    behind: false,
    sync: () => {},
    poll: () => {},
    compareExchange: (address, size, at) => host.compareExchange(address, size, stateAddress + at),
    precise: false, codeFile: () => undefined, codePage: () => undefined, packs: undefined, model: '', codeMemory: 1 << 28,
  });
  view.setInt32(STATE.mxcsr, 0x1f80, true);
  for (const [name, value] of Object.entries(registers)) view.setBigUint64(STATE.gpr + 8 * GPR_NAMES.indexOf(name as 'rax'), BigInt(value), true);
  view.setBigUint64(STATE.rip, BigInt(CODE), true);
  whenReady();
  try {
    jit.run();
  } catch (e) {
    if (!(e instanceof Ended)) throw e;
  }
  return GPR_NAMES.map((_, n) => view.getBigUint64(STATE.gpr + 8 * n, true));
}

if (!isMainThread && parentPort !== null) {
  const port = parentPort;
  const { share, slot } = workerData as ThreadData;
  const attached = attachMachine(share, slot);
  port.on('message', ({ code, registers, gate, threads }: { code: Uint8Array; registers: Registers; gate: SharedArrayBuffer; threads: number }) => {
    const ready = new Int32Array(gate);
    port.postMessage(
      runProgram(attached, code, registers, () => {
        // all begin together
        if (Atomics.add(ready, 0, 1) + 1 === threads) Atomics.notify(ready, 0);
        else for (let seen = Atomics.load(ready, 0); seen < threads; seen = Atomics.load(ready, 0)) Atomics.wait(ready, 0, seen);
      }),
    );
  });
}
