/** A guest with signals and memory limits, and an x86-64 register file without a translator. */

import { HostSignals } from '../../src/host/signals.ts';
import type { LinuxHost } from '../../src/host/linux-host.ts';
import type { SignalFrames } from '../../src/kernel/signals.ts';
import { Signals } from '../../src/kernel/signals.ts';
import { order, x86SignalFrames } from '../../src/isa/x86_64/signal-frame.ts';
import { spaceLimits } from '../../src/syscalls/scheduling.ts';
import { syscallByNumber } from '../../src/syscalls/table.ts';
import { FakeCpu, Guest } from './guest.ts';

/** Little-endian 64-bit words. */
export function words(...values: (number | bigint)[]): Uint8Array {
  const out = Buffer.alloc(8 * values.length);
  values.forEach((v, k) => out.writeBigUInt64LE(BigInt.asUintN(64, BigInt(v)), 8 * k));
  return out;
}

export function ints(...values: number[]): Uint8Array {
  const out = Buffer.alloc(4 * values.length);
  values.forEach((v, k) => out.writeInt32LE(v | 0, 4 * k));
  return out;
}

/** Registers of an x86-64, without meaning beside the system-call convention. */
export class RegisterCpu extends FakeCpu {
  readonly registers = new Map<string, bigint>([['eflags', 0x246n]]);
  readonly fpu = new Uint8Array(512);
  override getRegister(name: string): bigint | undefined {
    if (name === 'rip') return BigInt(this.pc);
    if (name === 'rsp') return BigInt(this.sp);
    if (name === 'rax') return this.result;
    return this.registers.get(name) ?? 0n;
  }
  override setRegister(name?: string, value?: bigint): boolean {
    if (name === undefined || value === undefined) return false;
    if (name === 'rip') this.pc = Number(value);
    else if (name === 'rsp') this.sp = Number(value);
    else if (name === 'rax') this.result = value;
    else this.registers.set(name, value);
    return true;
  }
  /** No XSAVE. */
  readonly extendedState = 0;
  readonly floatingSize = 512;
  saveFloating(image: DataView): void {
    new Uint8Array(image.buffer).set(this.fpu);
  }
  restoreExtended(): boolean {
    return false;
  }
  restoreLegacy(image: DataView): void {
    this.fpu.set(new Uint8Array(image.buffer, 0, 512));
  }
  get eflags(): number {
    return Number(this.getRegister('eflags'));
  }
  set eflags(value: number) {
    this.registers.set('eflags', BigInt(value));
  }
  setArguments(...values: number[]): void {
    ['rdi', 'rsi', 'rdx'].forEach((name, k) => this.setRegister(name, BigInt(values[k] as number)));
    this.result = 0n;
  }
  saveRegisters(words: Int32Array, at: number): void {
    const target = new BigUint64Array(words.buffer, 4 * at, order.length);
    order.forEach((name, k) => {
      target[k] = this.getRegister(name) ?? 0n;
    });
  }
  loadRegisters(words: Int32Array, at: number): void {
    const from = new BigUint64Array(words.buffer, 4 * at, order.length);
    order.forEach((name, k) => this.setRegister(name, from[k]));
  }
  resetFloating(): void {
    this.fpu.fill(0);
  }
}

export class SystemGuest extends Guest {
  override readonly cpu: RegisterCpu = new RegisterCpu();
  readonly signals: Signals;

  constructor(frames: SignalFrames = x86SignalFrames) {
    super();
    // The base class made its task with its own cpu: this one's takes its place.
    (this as { task: unknown }).task = this.process.createTask(this.cpu);
    const port = new HostSignals(this.process.host as LinuxHost);
    this.signals = new Signals(this.process, port, frames, (nr) => syscallByNumber(nr)?.interrupted === 'restart');
    this.process.signals = this.signals;
    this.process.space.setLimits(spaceLimits(this.process));
    this.cpu.sp = this.alloc(65536) + 65536;
  }

  int(addr: number): number {
    return this.task.memory.i32(addr);
  }
  long(addr: number): bigint {
    return BigInt.asIntN(64, this.task.memory.u64(addr));
  }

  /** A system call as the run loop performs it: dispatch, then delivery of signals. True if a handler was entered. */
  step(name: string, ...args: (number | bigint | string | Uint8Array)[]): boolean {
    this.sys64(name, ...args);
    return this.signals.deliverPending(this.task);
  }
}
