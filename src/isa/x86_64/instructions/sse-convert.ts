/** SSE and SSE2 conversions. */
import { enc, encWith, instruction, type InstructionOptions, type Semantics } from '../declare.ts';
import { Ey, Gy, Pq, Qq, r, rw, Vpd, Vps, Vq, Vsd, Vss, Vx, w, Wpd, Wps, Wq, Wsd, Wss, Wx } from '../operands.ts';
import { demote, demotePair, doublesToDwords, dwordsToFloats, floatsToDwords, fromInteger, promote, promotePair, toInteger } from '../simd/convert.ts';
import { mergeLow, type Rounding } from '../simd/float.ts';
import { wait } from '../x87/instruction.ts';
import { enterMmx, lowHalf, unary, widenMmx } from '../simd/forms.ts';

const SSE: InstructionOptions = { group: 'sse', cpuid: 'sse' };
const SSE2: InstructionOptions = { group: 'sse2', cpuid: 'sse2' };
/** As rounding modes: what MXCSR says, and toward zero. */
const CURRENT: Rounding = 4;
const TRUNCATE: Rounding = 3;

// ---- general registers ----

instruction('cvtsi2ss', SSE, [enc('F3 0F 2A /r', rw(Vss), r(Ey))], (x, d, s) => {
  const { ir } = x;
  const v = fromInteger(ir, 'f32', x.bits(s) === 64 ? 64 : 32, x.read(s));
  x.writeVector(d, ir.f32x4.replace_lane(x.readVector(d), 0, v));
});
instruction('cvtsi2sd', SSE2, [enc('F2 0F 2A /r', rw(Vsd), r(Ey))], (x, d, s) => {
  const { ir } = x;
  const v = fromInteger(ir, 'f64', x.bits(s) === 64 ? 64 : 32, x.read(s));
  x.writeVector(d, ir.f64x2.replace_lane(x.readVector(d), 0, v));
});
export const fromFloat = (from: 'f32' | 'f64', mode: Rounding): Semantics => (x, d, s) =>
  x.write(d, toInteger(x.ir, from, x.bits(d) === 64 ? 64 : 32, from === 'f32' ? x.readF32(s) : x.readF64(s), mode));
instruction('cvttss2si', SSE, [enc('F3 0F 2C /r', w(Gy), r(Wss))], fromFloat('f32', TRUNCATE));
instruction('cvtss2si', SSE, [enc('F3 0F 2D /r', w(Gy), r(Wss))], fromFloat('f32', CURRENT));
instruction('cvttsd2si', SSE2, [enc('F2 0F 2C /r', w(Gy), r(Wsd))], fromFloat('f64', TRUNCATE));
instruction('cvtsd2si', SSE2, [enc('F2 0F 2D /r', w(Gy), r(Wsd))], fromFloat('f64', CURRENT));

// ---- between f32 and f64 ----

instruction('cvtss2sd', SSE2, [enc('F3 0F 5A /r', rw(Vsd), r(Wss))], (x, d, s) => {
  const v = promote(x.ir, x.readF32(s));
  x.writeVector(d, x.ir.f64x2.replace_lane(x.readVector(d), 0, v));
});
instruction('cvtsd2ss', SSE2, [enc('F2 0F 5A /r', rw(Vss), r(Wsd))], (x, d, s) => {
  const v = demote(x.ir, x.readF64(s));
  x.writeVector(d, x.ir.f32x4.replace_lane(x.readVector(d), 0, v));
});
instruction('cvtps2pd', SSE2, [enc('NP 0F 5A /r', w(Vpd), r(Wq))], unary(promotePair));
instruction('cvtpd2ps', SSE2, [enc('66 0F 5A /r', w(Vps), r(Wpd))], unary(demotePair));

// ---- vectors of integers ----

instruction('cvtdq2ps', SSE2, [enc('NP 0F 5B /r', w(Vps), r(Wx))], unary(dwordsToFloats));
instruction('cvtps2dq', SSE2, [enc('66 0F 5B /r', w(Vx), r(Wps))], unary((ir, a) => floatsToDwords(ir, a, CURRENT)));
instruction('cvttps2dq', SSE2, [enc('F3 0F 5B /r', w(Vx), r(Wps))], unary((ir, a) => floatsToDwords(ir, a, TRUNCATE)));
instruction('cvtdq2pd', SSE2, [enc('F3 0F E6 /r', w(Vpd), r(Wq))], unary((ir, a) => ir.f64x2.convert_low_i32x4_s(a)));
instruction('cvttpd2dq', SSE2, [enc('66 0F E6 /r', w(Vx), r(Wpd))], unary((ir, a) => doublesToDwords(ir, a, TRUNCATE)));
instruction('cvtpd2dq', SSE2, [enc('F2 0F E6 /r', w(Vx), r(Wpd))], unary((ir, a) => doublesToDwords(ir, a, CURRENT)));

// ---- MMX ----

// The switch to MMX state comes before an unmasked exception, as on the host (AMD).
// no switch to MMX state when the source is memory (the manual says so of cvtpi2pd only; processors do it for both)
instruction('cvtpi2ps', SSE, [encWith({ mmx: false }, 'NP 0F 2A /r', rw(Vq), r(Qq))], (x, d, s) => {
  if (!x.isMemory(s)) wait(x);
  const v = dwordsToFloats(x.ir, widenMmx(x.ir, x.readMmx(s)));
  if (!x.isMemory(s)) enterMmx(x);
  x.writeVector(d, mergeLow(x.ir, x.readVector(d), v, 'f64x2'));
});
instruction('cvtpi2pd', SSE2, [encWith({ mmx: false }, '66 0F 2A /r', w(Vpd), r(Qq))], (x, d, s) => {
  if (!x.isMemory(s)) wait(x);
  const v = x.ir.f64x2.convert_low_i32x4_s(widenMmx(x.ir, x.readMmx(s)));
  if (!x.isMemory(s)) enterMmx(x);
  x.writeVector(d, v);
});
const toMmx = (convert: typeof floatsToDwords, mode: Rounding): Semantics => (x, d, s) => {
  const source = x.readVector(s);
  // of four floats the upper two are not converted, and raise nothing
  const v = convert(x.ir, convert === floatsToDwords ? x.ir.i64x2.replace_lane(source, 1, x.ir.const64(0)) : source, mode);
  enterMmx(x);
  x.writeMmx(d, lowHalf(x.ir, v));
};
instruction('cvttps2pi', SSE, [enc('NP 0F 2C /r', w(Pq), r(Wq))], toMmx(floatsToDwords, TRUNCATE));
instruction('cvtps2pi', SSE, [enc('NP 0F 2D /r', w(Pq), r(Wq))], toMmx(floatsToDwords, CURRENT));
instruction('cvttpd2pi', SSE2, [enc('66 0F 2C /r', w(Pq), r(Wpd))], toMmx(doublesToDwords, TRUNCATE));
instruction('cvtpd2pi', SSE2, [enc('66 0F 2D /r', w(Pq), r(Wpd))], toMmx(doublesToDwords, CURRENT));
