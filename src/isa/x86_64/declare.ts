/**
 * How an instruction is declared: one call, rows that read like the manual, one meaning. Decoder, formatter, test encoder,
 * fuzz generator and coverage page read INSTRUCTIONS and nothing else.
 *
 *   instruction('add', { flags: 'oszapc', lock: true }, [
 *     enc('00 /r', rw(Eb), r(Gb)), enc('81 /0 iz', rw(Ev), r(Iz)), …
 *   ], (x, dst, src) => { … });
 *
 * The opcode string, tokens apart by a space (SDM volume 2, section 3.1.1.1):
 *   NP 66 F3 F2        first, mandatory prefix (NP: none of them). Without one, F2/F3 are ignored and 66 is operand size.
 *   NFx                neither F2 nor F3
 *   REX.W  REX.W0      only with / without REX.W
 *   VEX.128.66.0F38.W0 fields in any order: L 128|256|LZ|LIG, prefix NP|66|F3|F2, map 0F|0F38|0F3A, W0|W1|WIG
 *   0F, 0F 38, 0F 3A   map, then the opcode byte; +r: register in its low three bits
 *   a further byte     that very ModRM byte (C0…FF); +i: any of the eight registers from there
 *   /r, /0 … /7        ModRM; a digit in its reg field. Memory-only (M) or register-only (R U N STi) operands restrict mod
 *   ib iw id iz iv     immediate (iz: 16 or 32 bits by operand size; iv: full operand size); io: 64-bit address of a moffs
 *   cb cz              branch offset; is4: register in imm8[7:4]
 */
import type { Flow } from '../../ir/frontend.ts';
import type { Emitter } from './emitter.ts';
import type { Operand } from './operands.ts';
import { type Opcode, parseOpcode } from './opcode.ts';

/** What the instruction does beyond its operands. */
export interface InstructionOptions {
  /** Status flags written, of `oszapc`. */
  readonly flags?: string;
  /** Flags among them that the manual leaves undefined; how we set them is a comment at the meaning. */
  readonly undefinedFlags?: string;
  /** Status flags read. */
  readonly reads?: string;
  /** LOCK is allowed (with a memory destination). */
  readonly lock?: boolean;
  /** Feature bit that must be on for the row to decode, by its name in cpuid.ts. */
  readonly cpuid?: string;
  /** A second feature that must be on too: VEX forms of sets that are older or younger than AVX. */
  readonly needs?: string;
  /** How control leaves; default 'next'. */
  readonly flow?: Flow;
  /** Operand size 64 without REX.W; 66 makes it 16 (push, pop, …). */
  readonly d64?: boolean;
  /** Operand size always 64 (near branches). */
  readonly f64?: boolean;
  /** The mnemonic by operand size: movsw, movsd, movsq; [16, 32, 64]. */
  readonly sized?: readonly [string, string, string];
  /** REP/REPE/REPNE repeats it: how the prefix is shown. */
  readonly rep?: 'rep' | 'repe';
  /** Whether it counts as an MMX instruction; default: if it has an MMX operand. */
  readonly mmx?: boolean;
  /** Groups for the coverage page and for `x87` / `sse` state bookkeeping. */
  readonly group?: string;
  /** Cannot be compared with a native run of the same bytes (time, randomness, identity, control transfer): why. */
  readonly untestable?: string;
}

export type Semantics = (x: Emitter, a: Operand, b: Operand, c: Operand, d: Operand) => void;

/** One row. */
export class Encoding {
  /** The opcode as declared. */
  readonly text: string;
  readonly opcode: Opcode;
  readonly operands: readonly Operand[];
  readonly own: InstructionOptions;
  /** Set by `instruction`. */
  instruction!: InstructionRow;
  options!: InstructionOptions;
  emit!: Semantics;
  /** Uses the MMX registers, which are the x87's: a pending x87 exception comes first. */
  readonly mmx: boolean;
  /** Position among all rows. */
  id = -1;
  constructor(text: string, operands: readonly Operand[], own: InstructionOptions) {
    this.text = text;
    this.opcode = parseOpcode(text, operands);
    this.operands = operands;
    this.own = own;
    this.mmx = own.mmx ?? operands.some((o) => o.place === 'P' || o.place === 'Q' || o.place === 'N');
  }
  get mnemonic(): string {
    return this.instruction.name;
  }
}

export interface InstructionRow {
  readonly name: string;
  readonly options: InstructionOptions;
  readonly encodings: readonly Encoding[];
  readonly emit: Semantics;
}

/** Every declared instruction, in order of declaration. Complete once instructions/index.ts is loaded. */
export const INSTRUCTIONS: InstructionRow[] = [];
export const ENCODINGS: Encoding[] = [];

/** A row: opcode as in the manual, operands in Intel order. */
export function enc(opcode: string, ...operands: Operand[]): Encoding {
  return new Encoding(opcode, operands, NONE);
}
/** A row with options of its own, added to the instruction's. */
export function encWith(options: InstructionOptions, opcode: string, ...operands: Operand[]): Encoding {
  return new Encoding(opcode, operands, options);
}
const NONE: InstructionOptions = {};

export function instruction(name: string, options: InstructionOptions, encodings: readonly Encoding[], emit: Semantics): void {
  const row: InstructionRow = { name, options, encodings, emit };
  INSTRUCTIONS.push(row);
  for (const e of encodings) {
    e.instruction = row;
    e.options = e.own === NONE ? options : { ...options, ...e.own };
    e.emit = emit;
    e.id = ENCODINGS.push(e) - 1;
  }
}
