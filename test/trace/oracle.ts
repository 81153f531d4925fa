/**
 * strace(1) as the oracle. A list of calls is performed natively under strace by a small C program that records each
 * result and the memory after it; the same calls with the same memory then go through our log.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { InterceptorSet } from '../../src/kernel/interceptor.ts';
import { GuestFault, type GuestMemory, type Host, SyscallFrame } from '../../src/kernel/ports.ts';
import type { Task } from '../../src/kernel/task.ts';
import { syscallNumber } from '../../src/syscalls/table.ts';
import { createStrace } from '../../src/trace/strace.ts';

const BASE = 0x20000000;
const SIZE = 16384;

/** Bytes to be put in memory, with pointers to further bytes inside. */
export interface Blob {
  readonly bytes: Uint8Array;
  readonly pointers: ReadonlyArray<readonly [at: number, to: Blob]>;
}
export type CallArgument = number | bigint | Blob;

export interface TracedCall {
  readonly nr: number;
  readonly args: readonly CallArgument[];
  /** Forks a child instead, whose line is not compared. */
  readonly spawn?: boolean;
}

export function bytes(data: Uint8Array | readonly number[], pointers: Blob['pointers'] = []): Blob {
  return { bytes: Uint8Array.from(data), pointers };
}
/** NUL-terminated. */
export function str(text: string): Blob {
  return bytes(Buffer.from(`${text}\0`, 'latin1'));
}
/** Room for the kernel to write to. */
export function room(size: number): Blob {
  return bytes(new Uint8Array(size));
}
/** 64-bit words; a Blob becomes its address. */
export function words(...list: (number | bigint | Blob)[]): Blob {
  const data = Buffer.alloc(list.length * 8);
  const pointers: [number, Blob][] = [];
  list.forEach((w, i) => {
    if (typeof w === 'object') pointers.push([i * 8, w]);
    else data.writeBigInt64LE(BigInt.asIntN(64, BigInt(w)), i * 8);
  });
  return bytes(data, pointers);
}
/** 32-bit words. */
export function ints(...list: number[]): Blob {
  return bytes(new Uint8Array(Int32Array.from(list).buffer));
}
export function concat(...blobs: Blob[]): Blob {
  let at = 0;
  const pointers: [number, Blob][] = [];
  for (const b of blobs) {
    for (const [k, to] of b.pointers) pointers.push([at + k, to]);
    at += b.bytes.length;
  }
  return { bytes: Buffer.concat(blobs.map((b) => b.bytes)), pointers };
}

export function call(name: string, ...args: CallArgument[]): TracedCall {
  const nr = syscallNumber(name);
  if (nr === undefined) throw new Error(`no declaration of ${name}`);
  return { nr, args };
}
export function spawnChild(status: number): TracedCall {
  return { nr: 0xfffffff0, args: [status], spawn: true };
}

interface Placed {
  readonly values: bigint[];
  readonly pokes: [offset: number, bytes: Uint8Array][];
}

/** Gives every blob of a call a place in the arena. The same blob has the same place in all calls of a list. */
class Placement {
  readonly #places = new Map<Blob, number>();
  #next = 64;

  place(blob: Blob, pokes: [number, Uint8Array][]): number {
    const known = this.#places.get(blob);
    if (known !== undefined) return BASE + known;
    const at = this.#next;
    this.#places.set(blob, at);
    this.#next = (at + blob.bytes.length + 31) & ~15;
    if (this.#next > SIZE) throw new Error('the arena is full');
    const content = Buffer.from(blob.bytes);
    for (const [k, to] of blob.pointers) content.writeBigUInt64LE(BigInt(this.place(to, pokes)), k);
    pokes.push([at, content]);
    return BASE + at;
  }
  reset(): void {
    this.#next = 64;
    this.#places.clear();
  }
}

function placeAll(calls: readonly TracedCall[]): Placed[] {
  const placement = new Placement();
  return calls.map((c) => {
    const pokes: [number, Uint8Array][] = [];
    const values = c.args.map((a) =>
      typeof a === 'object' ? BigInt(placement.place(a, pokes)) : BigInt.asUintN(64, BigInt(a)),
    );
    while (values.length < 6) values.push(0n);
    return { values, pokes };
  });
}

function encode(calls: readonly TracedCall[], placed: readonly Placed[]): Buffer {
  return Buffer.concat(
    calls.map((c, i) => {
      const { values, pokes } = placed[i] as Placed;
      const head = Buffer.alloc(56);
      head.writeUInt32LE(c.nr, 0);
      head.writeUInt32LE(pokes.length, 4);
      values.forEach((v, k) => head.writeBigUInt64LE(v, 8 + 8 * k));
      const parts = pokes.flatMap(([at, data]) => {
        const poke = Buffer.alloc(8);
        poke.writeUInt32LE(at, 0);
        poke.writeUInt32LE(data.length, 4);
        return [poke, data];
      });
      return Buffer.concat([head, ...parts]);
    }),
  );
}

let replay: string | undefined;
let directory: string | undefined;
process.on('exit', () => {
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
});

function program(): { replay: string; directory: string } {
  directory ??= mkdtempSync(join(tmpdir(), 'lunagate-strace-'));
  if (replay === undefined) {
    replay = join(directory, 'replay');
    execFileSync('gcc', ['-O1', '-o', replay, fileURLToPath(new URL('replay.c', import.meta.url))]);
  }
  return { replay, directory };
}

export interface Comparison {
  readonly strace: string[];
  readonly ours: string[];
}

/** Performs the calls in one process, in order; each list starts from an arena of zeros. */
export function compare(calls: readonly TracedCall[]): Comparison {
  const { replay, directory } = program();
  const placed = placeAll(calls);
  const [script, output, log] = ['script', 'output', 'log'].map((n) => join(directory, n)) as [string, string, string];
  writeFileSync(script, encode(calls, placed));
  const run = spawnSync('strace', ['-e', 'signal=none', '-o', log, replay, script, output], {
    cwd: directory,
    encoding: 'utf8',
    env: { PATH: process.env['PATH'] },
  });
  if (run.status !== 0)
    throw new Error(`replay under strace: status ${run.status}, signal ${run.signal}, ${run.stderr}`);
  const lines = readFileSync(log, 'utf8').split('\n');
  const first = lines.findIndex((l) => l.startsWith('syscall_0x3e8('));
  const last = lines.findIndex((l) => l.startsWith('syscall_0x3e9('));
  const native = lines.slice(first + 1, last);
  const recorded = readFileSync(output);

  const arena = new Uint8Array(SIZE);
  const memory = arenaMemory(arena);
  let text = '';
  const host = {
    writeAll: (_fd: number, data: Uint8Array) => {
      text += Buffer.from(data).toString('utf8');
    },
  } as unknown as Host;
  const interceptors = new InterceptorSet();
  createStrace({ host }).attach(interceptors);
  const task = { memory, tid: 1 } as unknown as Task;
  const strace: string[] = [];
  const ours: string[] = [];
  calls.forEach((c, i) => {
    const { values, pokes } = placed[i] as Placed;
    for (const [at, data] of pokes) arena.set(data, at);
    const at = i * (8 + SIZE);
    const after = (): bigint => {
      arena.set(recorded.subarray(at + 8, at + 8 + SIZE));
      return recorded.readBigInt64LE(at);
    };
    const line = native[i] as string;
    if (c.spawn === true) {
      after();
      return;
    }
    const frame = new SyscallFrame();
    frame.nr = c.nr;
    values.forEach((v, k) => {
      frame.u64[k] = v;
    });
    text = '';
    interceptors.run(task, frame, after);
    strace.push(line);
    ours.push(text.replace(/\n$/, ''));
  });
  return { strace, ours };
}

/** Only the arena is there. */
function arenaMemory(arena: Uint8Array): GuestMemory {
  const check = (addr: number, length: number): number => {
    if (!(addr >= BASE && addr + length <= BASE + SIZE)) throw new GuestFault(addr);
    return addr - BASE;
  };
  return {
    size: 2 ** 34,
    read(addr: number, length: number): Uint8Array {
      const at = check(addr, length);
      return arena.slice(at, at + length);
    },
    readPartial(addr: number, length: number): Uint8Array {
      if (!(addr >= BASE && addr < BASE + SIZE)) return new Uint8Array(0);
      return arena.slice(addr - BASE, Math.min(SIZE, addr - BASE + length));
    },
  } as unknown as GuestMemory;
}
