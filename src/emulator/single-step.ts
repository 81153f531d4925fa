/**
 * A guest under TF or AC: its instructions are interpreted, one at a time (isa/x86_64/stepping.ts). TF: SIGTRAP after each
 * instruction that began with it set, but system calls, as Linux has it. AC: an access whose address is no multiple of its
 * size is SIGBUS.
 *
 * Some microseconds an instruction; nobody who does not set these flags pays anything.
 */
import type { Machine } from '../host/machine.ts';
import type { LinuxHost } from '../host/linux-host.ts';
import { Builder } from '../ir/builder.ts';
import { interpret, type InterpreterMemory, MemoryFault } from '../ir/interpreter.ts';
import { RFLAGS } from '../isa/x86_64/cpu-state.ts';
import type { X86Cpu } from '../isa/x86_64/cpu.ts';
import type { X86Frontend } from '../isa/x86_64/frontend.ts';
import type { Insn } from '../isa/x86_64/insn.ts';
import { STEP_SIGNAL, type TrapSignal } from '../isa/x86_64/linux.ts';
import { buildOne, checksAlignment, Repetition } from '../isa/x86_64/stepping.ts';
import { TRAP } from '../isa/x86_64/traps.ts';
import type { CodePages } from '../jit/code-pages.ts';
import * as layout from '../jit/layout.ts';
import { GuestFault } from '../kernel/ports.ts';

/** What an instruction may come to besides its effect on registers and memory. Each with the guest's pc set. */
export interface Events {
  syscall(): void;
  trap(code: number): void;
  signal(t: TrapSignal): void;
  /** The instruction cannot be fetched. */
  fetchFault(pc: number): void;
  /** It met memory that it may not access; `wild`: beyond the guest's space, so that the host did not see it. */
  memoryFault(pc: number, wild: boolean): void;
}

class Unaligned extends Error {}

const PROT_WRITE = 2;

export class SingleStep {
  readonly #host: LinuxHost;
  readonly #frontend: X86Frontend;
  readonly #cpu: X86Cpu;
  readonly #code: CodePages;
  readonly #events: Events;
  readonly #ir: Builder;
  readonly #memory: StepMemory;
  readonly #state: Uint8Array;

  constructor(machine: Machine, frontend: X86Frontend, cpu: X86Cpu, code: CodePages, events: Events) {
    this.#host = machine.host;
    this.#frontend = frontend;
    this.#cpu = cpu;
    this.#code = code;
    this.#events = events;
    this.#ir = new Builder(frontend.vars);
    this.#memory = new StepMemory(machine);
    this.#state = new Uint8Array(machine.stateMemory.buffer);
  }

  /** Execute the instruction at pc, and tell what it came to. @throws what the events throw. */
  run(): void {
    const cpu = this.#cpu;
    const { pc } = cpu;
    const before = cpu.stepFlags;
    const insn = this.#decode(pc);
    if (insn === undefined) return this.#events.fetchFault(pc);
    const next = pc + insn.length;
    const repetition = Repetition.of(insn, cpu);
    if (repetition?.done === true) cpu.pc = next;
    else {
      this.#memory.aligned = (before & RFLAGS.AC) !== 0 && checksAlignment(insn);
      const exit = this.#interpret(insn);
      switch (exit.kind) {
        case 'unaligned':
          return this.#events.trap(TRAP.alignment);
        case 'fault':
          return this.#events.memoryFault(pc, this.#memory.beyond(exit.address));
        case 'trap':
          cpu.pc = Number(exit.pc);
          return this.#events.trap(exit.code);
        case 'syscall':
          cpu.pc = next;
          return this.#events.syscall();
        default:
          cpu.setRegister('rip', exit.pc);
      }
      if (repetition !== undefined) cpu.pc = repetition.count() ? next : pc;
    }
    if ((before & RFLAGS.TF) !== 0) this.#events.signal(STEP_SIGNAL);
  }

  #decode(pc: number): Insn | undefined {
    const window = this.#code.window(pc);
    return window === undefined ? undefined : this.#frontend.decode(window.bytes, window.at, pc);
  }

  #interpret(insn: Insn): ReturnType<typeof interpret> | { readonly kind: 'unaligned' } {
    const entry = buildOne(this.#ir, this.#frontend, insn);
    try {
      return interpret(this.#ir, entry, { state: this.#state, memory: this.#memory, processor: () => this.#host.processor() });
    } catch (error) {
      if (error instanceof Unaligned) return { kind: 'unaligned' };
      throw error;
    }
  }
}

/** The guest's memory, with one access for each that the instruction makes. */
class StepMemory implements InterpreterMemory {
  readonly #machine: Machine;
  readonly #view = new DataView(new ArrayBuffer(16));
  /** Only multiples of an access's size will do. */
  aligned = false;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  beyond(addr: bigint): boolean {
    return addr >= BigInt(this.#machine.guestMemory.size);
  }

  load(addr: bigint, target: Uint8Array): void {
    const memory = this.#machine.guestMemory;
    this.#reach(addr, target.length, false, (at) => {
      const view = this.#view;
      switch (target.length) {
        case 1:
          view.setUint8(0, memory.u8(at));
          break;
        case 2:
          view.setUint16(0, memory.u16(at), true);
          break;
        case 4:
          view.setUint32(0, memory.u32(at), true);
          break;
        case 8:
          view.setBigUint64(0, memory.u64(at), true);
          break;
        default:
          memory.readInto(at, target);
          return;
      }
      target.set(new Uint8Array(view.buffer, 0, target.length));
    });
  }

  store(addr: bigint, source: Uint8Array): void {
    const memory = this.#machine.guestMemory;
    this.#reach(addr, source.length, true, (at) => {
      const view = new DataView(source.buffer, source.byteOffset, source.length);
      switch (source.length) {
        case 1:
          return memory.setU8(at, view.getUint8(0));
        case 2:
          return memory.setU16(at, view.getUint16(0, true));
        case 4:
          return memory.setU32(at, view.getUint32(0, true));
        case 8:
          return memory.setU64(at, view.getBigUint64(0, true));
        default:
          // All or nothing: where the second page cannot be written, nothing is.
          this.#mustBeWritable(at + source.length - 1);
          return memory.write(at, source);
      }
    });
  }

  compareExchange(addr: bigint, expected: Uint8Array, replacement: Uint8Array): Uint8Array {
    const { host, stateAddress, guestMemory } = this.#machine;
    const size = expected.length;
    const old = new Uint8Array(size);
    this.#reach(addr, size, true, (at) => {
      // The host's processor has none of one byte here: two then, of which the other stays.
      const start = size === 1 ? at - (at % 2) : at;
      const shift = at - start;
      const length = Math.max(2, size);
      this.#mustBeWritable(start);
      this.#mustBeWritable(start + length - 1);
      const operands = this.#operands;
      for (;;) {
        if (size === 1) {
          const pair = guestMemory.read(start, 2);
          operands.set(pair);
          operands.set(pair, 16);
        }
        operands.set(expected, shift);
        operands.set(replacement, 16 + shift);
        const wanted = operands.slice(0, length);
        if (!host.compareExchange(start, length, stateAddress + layout.EXCHANGE)) throw new GuestFault(at);
        old.set(operands.subarray(shift, shift + size));
        const same = wanted.every((byte, k) => byte === operands[k]);
        if (same || old.some((byte, k) => byte !== expected[k])) return;
      }
    });
    return old;
  }

  get #operands(): Uint8Array {
    return new Uint8Array(this.#machine.stateMemory.buffer, layout.EXCHANGE, 32);
  }

  /** Makes the host fault if it cannot. */
  #mustBeWritable(at: number): void {
    const { space, guestMemory } = this.#machine;
    if ((space.protAt(at) & PROT_WRITE) === 0) guestMemory.setU8(at, guestMemory.u8(at));
  }

  #reach(addr: bigint, size: number, write: boolean, access: (at: number) => void): void {
    if (this.aligned && addr % BigInt(size) !== 0n) throw new Unaligned();
    if (this.beyond(addr)) throw new MemoryFault(addr, write);
    try {
      access(Number(addr));
    } catch (error) {
      throw error instanceof GuestFault ? new MemoryFault(addr, write) : error;
    }
  }
}
