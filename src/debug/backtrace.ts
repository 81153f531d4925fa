/**
 * The guest's call stack with names: up by call frame information where the program has it, by frame pointers where
 * not; names from the ELF files that are mapped.
 */

import { PT_GNU_EH_FRAME, PT_LOAD } from '../elf/constants.ts';
import { ElfFile } from '../elf/elf-file.ts';
import { ElfError } from '../elf/errors.ts';
import type { ByteSource } from '../elf/source.ts';
import { type GuestCpu, GuestFault, type GuestMemory } from '../kernel/ports.ts';
import type { AddressSpace } from '../memory/address-space.ts';
import { type Registers, unwindStep } from './unwind.ts';

export interface BacktraceFrame {
  readonly pc: number;
  readonly symbol: string | undefined;
  readonly offset: number;
  readonly file: string | undefined;
}

interface Module {
  readonly elf: ElfFile;
  readonly path: string;
}

/** x86-64: the psABI's DWARF register numbers. */
const DWARF_NAMES = [
  'rax', 'rdx', 'rcx', 'rbx', 'rsi', 'rdi', 'rbp', 'rsp', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15', 'rip',
];
const RBP = 6;
const RSP = 7;
const RIP = 16;
const ABI = { stackPointer: RSP, returnAddress: RIP };

export class Backtracer {
  readonly #space: AddressSpace;
  readonly #memory: GuestMemory;
  readonly #open: (path: string) => ByteSource | undefined;
  /** By path, device and inode. */
  readonly #modules = new Map<string, Module | undefined>();

  /** `open`: the file behind a mapping, undefined if it cannot be read. */
  constructor(space: AddressSpace, memory: GuestMemory, open: (path: string) => ByteSource | undefined) {
    this.#space = space;
    this.#memory = memory;
    this.#open = open;
  }

  /** Innermost first, at most `max`. */
  frames(cpu: GuestCpu, max: number): BacktraceFrame[] {
    const result: BacktraceFrame[] = [];
    let registers: Registers = DWARF_NAMES.map((name) => cpu.getRegister(name));
    // The innermost pc is that after the system-call instruction, every other a return address: look before it.
    let before = 1;
    while (result.length < max) {
      const pc = Number(registers[RIP] ?? 0n);
      if (pc === 0) break;
      const place = this.#place(pc - before);
      result.push(this.#name(pc, pc - before, place));
      const sp = registers[RSP];
      const step = (place && this.#stepByInformation(place, pc - before, registers)) ?? this.#stepByPointer(registers);
      if (step === undefined) break;
      registers = step.registers;
      before = step.signal ? 0 : 1;
      // Outwards the stack only shrinks (a signal's may lie elsewhere).
      const next = registers[RSP];
      if (!step.signal && sp !== undefined && next !== undefined && next <= sp) break;
    }
    return result;
  }

  /** What is at `pc`, by name. */
  name(pc: number): BacktraceFrame {
    return this.#name(pc, pc, this.#place(pc));
  }

  #stepByInformation(place: { module: Module; bias: number }, pc: number, registers: Registers) {
    const header = place.module.elf.segment(PT_GNU_EH_FRAME);
    if (header === undefined) return undefined;
    return unwindStep(this.#memory, ABI, place.bias + header.vaddr, pc, registers);
  }

  #stepByPointer(registers: Registers): { registers: Registers; signal: boolean } | undefined {
    const rbp = registers[RBP];
    const rsp = registers[RSP];
    if (rbp === undefined || rsp === undefined || rbp < rsp || rbp % 8n !== 0n) return undefined;
    try {
      const next: (bigint | undefined)[] = DWARF_NAMES.map(() => undefined);
      next[RBP] = this.#memory.u64(Number(rbp));
      next[RIP] = this.#memory.u64(Number(rbp) + 8);
      next[RSP] = rbp + 16n;
      // What is no code is no return address.
      if ((this.#space.find(Number(next[RIP]))?.prot ?? 0) & 4) return { registers: next, signal: false };
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error;
    }
    return undefined;
  }

  #place(pc: number): { module: Module; bias: number } | undefined {
    const mapping = this.#space.find(pc);
    const backing = mapping?.backing;
    if (mapping === undefined || backing?.kind !== 'file') return undefined;
    const key = `${backing.dev}:${backing.inode}:${backing.path}`;
    if (!this.#modules.has(key)) this.#modules.set(key, this.#read(backing.path));
    const module = this.#modules.get(key);
    const segment = module?.elf.segments.find(
      (s) => s.type === PT_LOAD && mapping.offset >= s.offset - (s.offset % 4096) && mapping.offset < s.offset + s.filesz,
    );
    if (module === undefined || segment === undefined) return undefined;
    return { module, bias: mapping.start - mapping.offset + segment.offset - segment.vaddr };
  }

  #read(path: string): Module | undefined {
    const source = this.#open(path);
    if (source === undefined) return undefined;
    try {
      return { elf: ElfFile.open(source), path };
    } catch (error) {
      if (error instanceof ElfError) return undefined;
      throw error;
    }
  }

  #name(pc: number, inside: number, place: { module: Module; bias: number } | undefined): BacktraceFrame {
    if (place === undefined) {
      return { pc, symbol: undefined, offset: 0, file: this.#space.find(pc)?.name || undefined };
    }
    const { module, bias } = place;
    let located: { name: string; start: number; inside: boolean } | undefined;
    try {
      located = module.elf.symbolize(inside - bias);
    } catch (error) {
      if (!(error instanceof ElfError)) throw error;
    }
    if (located?.inside !== true) return { pc, symbol: undefined, offset: pc - bias, file: module.path };
    return { pc, symbol: located.name, offset: pc - bias - located.start, file: module.path };
  }
}
