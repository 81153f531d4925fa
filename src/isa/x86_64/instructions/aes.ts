/** AES-NI, with VEX, and VAES (256 bits). */
import type { Value } from '../../../ir/builder.ts';
import { enc, encWith, type InstructionOptions, instruction } from '../declare.ts';
import { Hx, Ib, r, rw, Vdq, Vx, w, Wdq, Wx } from '../operands.ts';
import { AES_ROUNDS, inverseMixColumns, keyGenAssist } from '../simd/aes.ts';
import { binary, unary, unaryImm } from '../simd/forms.ts';
import type { Binary } from '../simd/integer.ts';
import { binary as vexBinary } from '../simd/vex.ts';

const AES: InstructionOptions = { group: 'aes', cpuid: 'aes' };
/** Decoded with both AES and AVX; the CPU models that have AVX without AES have no such row. */
const VEX_AES: InstructionOptions = { group: 'aes', cpuid: 'aes', needs: 'avx' };
const VAES: InstructionOptions = { group: 'vaes', cpuid: 'vaes' };

for (const [name, opcode] of [['aesenc', 'DC'], ['aesenclast', 'DD'], ['aesdec', 'DE'], ['aesdeclast', 'DF']] as const) {
  const round: Binary = (ir, state, key) => ir.call(AES_ROUNDS[name], [state, key])[0] as Value;
  instruction(name, AES, [enc(`66 0F 38 ${opcode} /r`, rw(Vdq), r(Wdq))], binary(round));
  instruction(`v${name}`, VEX_AES, [enc(`VEX.128.66.0F38.WIG ${opcode} /r`, w(Vx), r(Hx), r(Wx)), encWith(VAES, `VEX.256.66.0F38.WIG ${opcode} /r`, w(Vx), r(Hx), r(Wx))], vexBinary(round));
}
instruction('aesimc', AES, [enc('66 0F 38 DB /r', w(Vdq), r(Wdq))], unary(inverseMixColumns));
instruction('vaesimc', VEX_AES, [enc('VEX.128.66.0F38.WIG DB /r', w(Vdq), r(Wdq))], unary(inverseMixColumns));
instruction('aeskeygenassist', AES, [enc('66 0F 3A DF /r ib', w(Vdq), r(Wdq), r(Ib))], unaryImm(keyGenAssist));
instruction('vaeskeygenassist', VEX_AES, [enc('VEX.128.66.0F3A.WIG DF /r ib', w(Vdq), r(Wdq), r(Ib))], unaryImm(keyGenAssist));
