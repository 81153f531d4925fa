/** SSE4.2 string comparison: PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM. */
import { enc, instruction, type InstructionOptions, type Semantics } from '../declare.ts';
import type { Emitter } from '../emitter.ts';
import type { Value } from '../../../ir/builder.ts';
import { Ib, r, Vdq, Wdq } from '../operands.ts';
import { explicitLength, implicitLength, indexOf, maskOf, stringCompare } from '../simd/string-compare.ts';

const SSE42: InstructionOptions = { group: 'sse4.2', cpuid: 'sse4.2', flags: 'oszapc' };

export const comparing = (explicit: boolean, result: 'index' | 'mask'): Semantics => (x, d, s) => {
  const { ir } = x;
  const imm = x.insn.imm & 0xff;
  const b = x.readVectorUnaligned(s); // the one SSE family without alignment check
  const a = x.readVector(d);
  // the lengths: eax/edx, or rax/rdx with REX.W
  const length = (register: number): Value => (x.insn.w ? x.gpr(register) : ir.i64.extend_i32_s(ir.i32.wrap_i64(x.gpr(register))));
  const la = explicit ? explicitLength(ir, length(0), imm) : implicitLength(ir, a, imm);
  const lb = explicit ? explicitLength(ir, length(2), imm) : implicitLength(ir, b, imm);
  const { mask, cf, zf, sf, of } = stringCompare(ir, a, b, la, lb, imm);
  if (result === 'index') x.setGpr(1, indexOf(ir, mask, imm), 32);
  else x.setXmm(0, maskOf(ir, mask, imm));
  x.flags.explicit(flagBits(x, cf, zf, sf, of));
};
function flagBits({ ir }: Emitter, cf: Value, zf: Value, sf: Value, of: Value): Value {
  const at = (v: Value, bit: number): Value => ir.i32.shl(v, ir.const32(bit));
  return ir.i32.or(ir.i32.or(cf, at(zf, 6)), ir.i32.or(at(sf, 7), at(of, 11)));
}
instruction('pcmpestrm', SSE42, [enc('66 0F 3A 60 /r ib', r(Vdq), r(Wdq), r(Ib))], comparing(true, 'mask'));
instruction('pcmpestri', SSE42, [enc('66 0F 3A 61 /r ib', r(Vdq), r(Wdq), r(Ib))], comparing(true, 'index'));
instruction('pcmpistrm', SSE42, [enc('66 0F 3A 62 /r ib', r(Vdq), r(Wdq), r(Ib))], comparing(false, 'mask'));
instruction('pcmpistri', SSE42, [enc('66 0F 3A 63 /r ib', r(Vdq), r(Wdq), r(Ib))], comparing(false, 'index'));
