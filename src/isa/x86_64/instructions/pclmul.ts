/** PCLMULQDQ, with VEX, and VPCLMULQDQ (256 bits). The immediate: [0] the quadword of the first source, [4] of the second. */
import type { Builder, Value } from '../../../ir/builder.ts';
import { enc, encWith, type InstructionOptions, instruction } from '../declare.ts';
import { Hx, Ib, r, rw, Vdq, Vx, w, Wdq, Wx } from '../operands.ts';
import { CLMUL } from '../simd/clmul.ts';
import { binaryImm } from '../simd/forms.ts';
import { constants } from '../simd/integer.ts';
import { binaryImm as vexBinaryImm } from '../simd/vex.ts';

const PCLMUL: InstructionOptions = { group: 'pclmulqdq', cpuid: 'pclmulqdq' };

const multiply = (ir: Builder, a: Value, b: Value, imm: number): Value =>
  ir.call(CLMUL, [ir.shuffle(a, b, constants.lanes(8, imm & 1, 2 + ((imm >> 4) & 1)))])[0] as Value;
instruction('pclmulqdq', PCLMUL, [enc('66 0F 3A 44 /r ib', rw(Vdq), r(Wdq), r(Ib))], binaryImm(multiply));
instruction('vpclmulqdq', { ...PCLMUL, needs: 'avx' }, [
  enc('VEX.128.66.0F3A.WIG 44 /r ib', w(Vx), r(Hx), r(Wx), r(Ib)),
  encWith({ group: 'vpclmulqdq', cpuid: 'vpclmulqdq' }, 'VEX.256.66.0F3A.WIG 44 /r ib', w(Vx), r(Hx), r(Wx), r(Ib)),
], vexBinaryImm(multiply));
