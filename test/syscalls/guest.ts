/** A guest without a translator: real host, real 16 GiB of memory, registers as plain fields. System calls by name. */

import { createMachine } from '../../src/host/machine.ts';
import type { GuestCpu, SyscallFrame } from '../../src/kernel/ports.ts';
import { type Image, Process, type ProcessOptions } from '../../src/kernel/process.ts';
import type { Task } from '../../src/kernel/task.ts';
import { dispatch } from '../../src/syscalls/dispatch.ts';
import { syscallNumber } from '../../src/syscalls/table.ts';

export class FakeCpu implements GuestCpu {
  readonly registerNames = ['rax'];
  pc = 0x1000;
  sp = 0;
  tls = 0n;
  nr = 0;
  args: bigint[] = [];
  result = 0n;
  getRegister(name: string): bigint | undefined {
    return name === 'rax' ? this.result : undefined;
  }
  setRegister(): boolean {
    return false;
  }
  loadSyscall(frame: SyscallFrame): void {
    frame.nr = this.nr;
    for (let k = 0; k < 8; k++) frame.i64[k] = BigInt.asIntN(64, this.args[k] ?? 0n);
  }
  setSyscallResult(value: number | bigint): void {
    this.result = BigInt(value);
  }
}

export type GuestArg = number | bigint | string | Uint8Array;

const HEAP = 0x10_0000;
const HEAP_SIZE = 64 << 20;
export const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS_FIXED = 0x32;

export class Guest {
  readonly cpu = new FakeCpu();
  readonly process: Process;
  readonly task: Task;
  #top = HEAP;

  constructor(options: ProcessOptions = {}, image: Partial<Image> = {}) {
    const machine = createMachine();
    this.process = new Process(machine.host, machine.guestMemory, machine.space, options);
    this.task = this.process.createTask(this.cpu);
    const got = machine.space.mmap(HEAP, HEAP_SIZE, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS_FIXED);
    if (got !== HEAP) throw new Error(`guest heap: ${got}`);
    this.process.setImage({ ...this.process.image, ...image });
    this.task.comm = Buffer.from(this.process.image.path.replace(/^.*\//, ''));
  }

  /** `n` bytes of fresh guest memory, zero. */
  alloc(n: number): number {
    const at = this.#top;
    this.#top += (n + 15) & ~15;
    this.task.memory.write(at, new Uint8Array(n));
    return at;
  }

  bytes(data: Uint8Array | string): number {
    const raw = typeof data === 'string' ? Buffer.from(`${data}\0`) : data;
    const at = this.alloc(raw.length);
    this.task.memory.write(at, raw);
    return at;
  }

  /** One system call. Strings become NUL-terminated guest strings, byte arrays guest buffers. */
  sys(name: string, ...args: GuestArg[]): number {
    return Number(this.sys64(name, ...args));
  }

  sys64(name: string, ...args: GuestArg[]): bigint {
    const nr = syscallNumber(name);
    if (nr === undefined) throw new Error(`no system call ${name}`);
    return this.raw(nr, ...args);
  }

  raw(nr: number, ...args: GuestArg[]): bigint {
    this.cpu.nr = nr;
    this.cpu.args = args.map((a) => (typeof a === 'object' || typeof a === 'string' ? BigInt(this.bytes(a)) : BigInt(a)));
    dispatch(this.task);
    return this.cpu.result;
  }

  read(addr: number, n: number): Buffer {
    return Buffer.from(this.task.memory.read(addr, n));
  }

  string(addr: number): string {
    return Buffer.from(this.task.memory.readCString(addr, 65536).bytes).toString();
  }

  /** All that a guest descriptor gives from its position on. */
  readAll(fd: number): Buffer {
    const room = 4096;
    const at = this.alloc(room);
    const parts: Buffer[] = [];
    for (;;) {
      const got = this.sys('read', fd, at, room);
      if (got < 0) throw new Error(`read: ${got}`);
      if (got === 0) return Buffer.concat(parts);
      parts.push(this.read(at, got));
    }
  }

  readFile(path: string): Buffer {
    const fd = this.sys('open', path, 0, 0);
    if (fd < 0) throw new Error(`open ${path}: ${fd}`);
    const text = this.readAll(fd);
    this.sys('close', fd);
    return text;
  }
}

export const AT_FDCWD = -100;
