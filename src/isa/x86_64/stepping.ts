/**
 * One instruction at a time, for a guest that sets TF (a trap after each instruction) or AC (no unaligned access): the
 * instruction alone as IR, to be interpreted. Translated code knows nothing of either flag; POPF and IRET, the only
 * instructions that set them, trap there (TRAP.stepping).
 *
 * A repeated string instruction is many: each element counts as one, with rip staying where it is until the last.
 */
import type { Block, Builder } from '../../ir/builder.ts';
import type { RegionContext } from '../../ir/frontend.ts';
import { RFLAGS } from './cpu-state.ts';
import type { X86Cpu } from './cpu.ts';
import type { X86Frontend } from './frontend.ts';
import type { Insn } from './insn.ts';

/** `insn` in `ir`, and where it begins; of a repeated string instruction one element. Every way out is an exit. */
export function buildOne(ir: Builder, frontend: X86Frontend, insn: Insn): Block {
  if (isRepeated(insn)) insn.rep = 0;
  ir.reset();
  const exits = new Map<number, Block>();
  const ctx: RegionContext = {
    ir,
    block(pc) {
      let block = exits.get(pc);
      if (block === undefined) {
        block = ir.newBlock(pc);
        exits.set(pc, block);
      }
      return block;
    },
  };
  const entry = ir.newBlock(insn.pc);
  frontend.stepping = true;
  try {
    frontend.beginRegion(ctx);
    ir.begin(entry);
    frontend.beginBlock(ctx, entry, undefined);
    ir.insn(insn.pc);
    frontend.emit(ctx, insn);
  } finally {
    frontend.stepping = false;
  }
  if (ir.open) ir.goto(ctx.block(insn.pc + insn.length));
  for (const [pc, block] of exits) {
    ir.begin(block);
    ir.end({ kind: 'jump', pc });
  }
  return entry;
}

const isRepeated = (insn: Insn): boolean => insn.rep !== 0 && insn.enc.options.rep !== undefined && insn.flow === 'next';

/** A string instruction that is repeated: its count and its end. */
export class Repetition {
  readonly #insn: Insn;
  readonly #cpu: X86Cpu;
  readonly #prefix: number;
  /** Undefined if `insn` is not repeated. */
  static of(insn: Insn, cpu: X86Cpu): Repetition | undefined {
    return isRepeated(insn) ? new Repetition(insn, cpu) : undefined;
  }
  private constructor(insn: Insn, cpu: X86Cpu) {
    this.#insn = insn;
    this.#cpu = cpu;
    this.#prefix = insn.rep;
  }
  get #left(): bigint {
    return BigInt.asUintN(this.#insn.addrSize, this.#cpu.getRegister('rcx') as bigint);
  }
  get done(): boolean {
    return this.#left === 0n;
  }
  /** One element is done. Whether that was the last. */
  count(): boolean {
    this.#cpu.setRegister('rcx', this.#left - 1n);
    if (this.done) return true;
    return this.#insn.enc.options.rep === 'repe' && (this.#prefix === 0xf3) !== ((this.#cpu.eflags & RFLAGS.ZF) !== 0);
  }
}

/**
 * Whether AC concerns the accesses of `insn`, each with its own size: those under a mask are exempt (the manual says so of
 * VMASKMOV, an AMD EPYC of gathers too). Of 256 bits each half is an access of its own there.
 */
export const checksAlignment = (insn: Insn): boolean => !/^vp?(maskmov|gather)/.test(insn.enc.mnemonic);
