/** F16C: VCVTPH2PS and VCVTPS2PH. */
import { enc, instruction, type InstructionOptions } from '../declare.ts';
import { Ib, r, Vps, w, Wdq, Wq } from '../operands.ts';
import { roundingOf } from '../simd/float.ts';
import { floatsToHalves, halvesToFloats } from '../simd/half.ts';
import { constants, WIDE } from '../simd/integer.ts';

const F16C: InstructionOptions = { group: 'f16c', cpuid: 'f16c' };

instruction('vcvtph2ps', F16C, [enc('VEX.128.66.0F38.W0 13 /r', w(Vps), r(Wq)), enc('VEX.256.66.0F38.W0 13 /r', w(Vps), r(Wdq))], (x, d, s) => {
  const { ir } = x;
  const v = x.readVectorUnaligned(s);
  if (!x.wide) x.writeVector(d, halvesToFloats(ir, v));
  else x.writeWide(d, halvesToFloats(ir, v), halvesToFloats(ir, ir.shuffle(v, v, constants.lanes(8, 1, 1))));
});
instruction('vcvtps2ph', F16C, [enc('VEX.128.66.0F3A.W0 1D /r ib', w(Wq), r(Vps), r(Ib)), enc('VEX.256.66.0F3A.W0 1D /r ib', w(Wdq), r(Vps), r(Ib))], (x, d, s) => {
  const { ir } = x;
  const mode = roundingOf(x.insn.imm);
  const low = floatsToHalves(ir, x.readVector(s), mode);
  x.writeVectorUnaligned(d, x.wide ? WIDE.punpcklqdq(ir, low, floatsToHalves(ir, x.readVectorHigh(s), mode)) : low);
});
