/** The x86-64 side of the translator: decoding, emission and what is known of the flags from block to block. */
import type { Block, Helper } from '../../ir/builder.ts';
import type { Frontend, RegionContext } from '../../ir/frontend.ts';
import { CC_A, CC_B, CC_C, CC_OP, HOT_PARAMS, HOT_RESULTS, STATE, VARS } from './cpu-state.ts';
import { type CpuModel, cpuModel } from './cpuid.ts';
import { Decoder } from './decode.ts';
import type { Encoding } from './declare.ts';
import { Emitter } from './emitter.ts';
import { CC_CARRY, CC_FLAGS } from './flags.ts';
import { formatInsn } from './format.ts';
import type { Insn } from './insn.ts';
import { EXCHANGE_16 } from './instructions/arithmetic.ts';
import { CRC32C } from './instructions/bit.ts';
import { PDEP, PEXT } from './instructions/bmi.ts';
import './instructions/index.ts';
import { DIVIDE_128 } from './instructions/multiply.ts';
import { CPUID, RANDOM, TIME_STAMP, TSC_AUX } from './instructions/system.ts';
import { wait } from './x87/instruction.ts';
import { isStmxcsr, readsControlOnly, readsFlags } from './mxcsr-use.ts';
import { AES_ROUNDS } from './simd/aes.ts';
import { CLMUL } from './simd/clmul.ts';
import { constantPool } from './simd/constants.ts';
import { FMA_HELPERS } from './simd/fma.ts';
import { APPROXIMATIONS } from './simd/approximation.ts';
import { CONVERSION_HELPERS } from './simd/exact-convert.ts';
import { VECTOR_HELPERS } from './simd/exact-vector.ts';
import { SHA1_ROUNDS, SHA256_ROUNDS } from './simd/sha.ts';

/** Decoders by what they decode: the default one is part of the start-up snapshot. */
const decoders = new Map<string, Decoder>();
function decoderOf(model: CpuModel): Decoder {
  let decoder = decoders.get(model.key);
  if (decoder === undefined) {
    decoder = new Decoder((feature) => model.has(feature));
    decoders.set(model.key, decoder);
  }
  return decoder;
}
decoderOf(cpuModel);

/** The commonest instructions that set all status flags whatever their operands and read none; that neither set nor read any. */
const SETS_ALL_FLAGS: ReadonlySet<string> = new Set(['add', 'sub', 'cmp', 'and', 'or', 'xor', 'test', 'neg', 'ucomisd', 'comisd', 'ucomiss', 'comiss']);
const LEAVES_FLAGS: ReadonlySet<string> = new Set(['mov', 'movzx', 'movsx', 'movsxd', 'lea', 'push', 'pop', 'nop', 'endbr64', 'not', 'leave', 'cdqe', 'cqo', 'movaps', 'movups', 'movapd', 'movdqa', 'movdqu', 'movss', 'movsd', 'movd', 'movq', 'pxor', 'xorps', 'xchg', 'bswap']);
/** How far ahead to look for either. */
const FLAGS_SOUGHT = 6;

export class X86Frontend implements Frontend<Insn> {
  readonly name = 'x86_64';
  readonly vars = VARS;
  readonly pcOffset = STATE.rip;
  readonly hotParams = HOT_PARAMS;
  readonly hotResults = HOT_RESULTS;
  readonly flagVars = [CC_OP, CC_A, CC_B, CC_C];
  readonly maxInstructionLength = 15;
  readonly constants = constantPool;
  readonly helpers: readonly Helper[] = [CC_FLAGS, CC_CARRY, EXCHANGE_16, DIVIDE_128, CRC32C, PDEP, PEXT, CPUID, TIME_STAMP, TSC_AUX, RANDOM, ...FMA_HELPERS, ...Object.values(AES_ROUNDS), CLMUL, SHA256_ROUNDS, ...SHA1_ROUNDS, ...APPROXIMATIONS, ...VECTOR_HELPERS, ...CONVERSION_HELPERS];
  readonly #decoder: Decoder;
  readonly #emitter = new Emitter();
  /** cc_op where a block ended, by block id; undefined or -1: not known. */
  #ccAtEnd: number[] = [];
  #block: Block | undefined = undefined;

  /** What `model` has is decoded; default: all that is declared. */
  constructor(model?: CpuModel) {
    this.#decoder = model === undefined ? new Decoder() : decoderOf(model);
  }

  /** Whether floating point is translated to follow MXCSR exactly (simd/float-environment.ts). */
  get exactFloat(): boolean {
    return this.#emitter.float.exact;
  }
  set exactFloat(exact: boolean) {
    this.#emitter.float.exact = exact;
  }

  /** Whether single instructions are translated, to be executed under TF or AC. */
  set stepping(stepping: boolean) {
    this.#emitter.stepping = stepping;
  }

  decode(bytes: Uint8Array, at: number, pc: number): Insn | undefined {
    const insn = this.#decoder.decode(bytes, at, pc);
    if (insn !== undefined && isStmxcsr(insn)) insn.controlOnly = readsControlOnly(this.#plainDecode, bytes, at + insn.length, pc + insn.length, insn);
    return insn;
  }
  #plainDecode = (bytes: Uint8Array, at: number, pc: number): Insn | undefined => this.#decoder.decode(bytes, at, pc);
  /** Whether machine code seems to read the exception flags in MXCSR. */
  readsFloatFlags(code: Uint8Array): boolean {
    return readsFlags(this.#plainDecode, code);
  }
  flagsDead(bytes: Uint8Array, at: number, pc: number): boolean {
    for (let k = 0; k < FLAGS_SOUGHT; k++) {
      if (at + this.maxInstructionLength > bytes.length) return false;
      const insn = this.#decoder.decode(bytes, at, pc);
      if (insn === undefined) return false;
      const { mnemonic } = insn.enc;
      if (SETS_ALL_FLAGS.has(mnemonic)) return true;
      if (!LEAVES_FLAGS.has(mnemonic)) return false;
      at += insn.length;
      pc += insn.length;
    }
    return false;
  }
  beginRegion(ctx: RegionContext): void {
    this.#emitter.beginRegion(ctx);
    this.#ccAtEnd = [];
    this.#block = undefined;
  }
  beginBlock(_ctx: RegionContext, block: Block, from: Block | undefined): void {
    this.#emitter.flags.known = from === undefined ? -1 : (this.#ccAtEnd[from.id] ?? -1);
    this.#block = block;
  }
  emit(_ctx: RegionContext, insn: Insn): void {
    const x = this.#emitter;
    x.begin(insn);
    const { enc } = insn;
    if (enc.mmx) wait(x);
    const o = enc.operands;
    enc.emit(x, o[0] as (typeof o)[number], o[1] as (typeof o)[number], o[2] as (typeof o)[number], o[3] as (typeof o)[number]);
    if (this.#block !== undefined) this.#ccAtEnd[this.#block.id] = x.flags.known;
  }
  format(insn: Insn): string {
    return formatInsn(insn);
  }
  /** The row of an instruction, for tools. */
  row(insn: Insn): Encoding {
    return insn.enc;
  }
}
