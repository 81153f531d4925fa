/**
 * What a guest ISA gives to the translator: its variables, its decoder and its emission of IR.
 * Below this interface nothing knows which ISA it is.
 */
import type { Block, Builder, Helper, Var } from './builder.ts';

/** How control leaves an instruction. */
export type Flow =
  | 'next' // falls through (it may trap or loop on itself inside)
  | 'branch' // conditional: `target` or the next instruction
  | 'jump' // `target`
  | 'call' // `target`, returns to the next instruction
  | 'indirect' // computed jump
  | 'callIndirect'
  | 'ret'
  | 'syscall' // then the next instruction
  | 'stop'; // always traps

export interface Instruction {
  readonly pc: number;
  /** Bytes. */
  readonly length: number;
  readonly flow: Flow;
  /** Guest pc of a direct branch, jump or call; -1 otherwise. */
  readonly target: number;
}

/** The translator's side while a region is built. */
export interface RegionContext {
  readonly ir: Builder;
  /** The block for a direct target: the region's own, or one that leaves the region. */
  block(pc: number): Block;
}

export interface Frontend<I extends Instruction = Instruction> {
  readonly name: string;
  /** Variables with a place in state memory, index = position. */
  readonly vars: readonly Var[];
  /** Offset in state memory of the i64 guest pc. */
  readonly pcOffset: number;
  /** Two i64 variables passed as parameters, and two returned as results, by every region. */
  readonly hotParams: readonly [Var, Var];
  readonly hotResults: readonly [Var, Var];
  /** The variables that hold the ISA's status flags: nearly always overwritten before somebody reads them. */
  readonly flagVars: readonly Var[];
  readonly maxInstructionLength: number;
  /** What translated code expects to find in state memory at all times. */
  readonly constants?: { readonly offset: number; readonly bytes: Uint8Array };
  /** All helpers' JavaScript and IR functions are found through the values; listed for tests. */
  readonly helpers: readonly Helper[];
  /**
   * Decode the instruction at `bytes[at]`, whose guest address is `pc`. Bytes that are no instruction give one with
   * flow 'stop' that raises the ISA's undefined-instruction trap; bytes that end too early give undefined.
   */
  decode(bytes: Uint8Array, at: number, pc: number): I | undefined;
  /** Whether the code at `bytes[at]` sets all of `flagVars` anew before it reads any, as far as can be seen in `bytes`. */
  flagsDead(bytes: Uint8Array, at: number, pc: number): boolean;
  /** A new region begins in `ir`. */
  beginRegion(ctx: RegionContext): void;
  /** Block begins; `from` is its only predecessor if that was emitted already (its final flag state is known). */
  beginBlock(ctx: RegionContext, block: Block, from: Block | undefined): void;
  /**
   * Emit one instruction. Instructions of a flow other than 'next' end the open block; 'next' leaves a block open.
   */
  emit(ctx: RegionContext, insn: I): void;
  format(insn: I): string;
}
