/** The SHA extensions. */
import type { Value } from '../../../ir/builder.ts';
import { enc, type InstructionOptions, instruction, type Semantics } from '../declare.ts';
import { Ib, r, rw, Vdq, Wdq, XMM0 } from '../operands.ts';
import type { Binary } from '../simd/integer.ts';
import * as sha from '../simd/sha.ts';

const SHA: InstructionOptions = { group: 'sha', cpuid: 'sha' };
// Memory need not be aligned: so it is on AMD, while Intel raises #GP; no program can want the fault.
const two = (f: Binary): Semantics => (x, d, s) => {
  const b = x.readVectorUnaligned(s);
  x.writeVector(d, f(x.ir, x.readVector(d), b));
};

for (const [name, opcode, f] of [
  ['sha1nexte', 'C8', sha.sha1NextE], ['sha1msg1', 'C9', sha.sha1Message1], ['sha1msg2', 'CA', sha.sha1Message2],
  ['sha256msg1', 'CC', sha.sha256Message1], ['sha256msg2', 'CD', sha.sha256Message2],
] as const) instruction(name, SHA, [enc(`NP 0F 38 ${opcode} /r`, rw(Vdq), r(Wdq))], two(f));
instruction('sha1rnds4', SHA, [enc('NP 0F 3A CC /r ib', rw(Vdq), r(Wdq), r(Ib))], (x, d, s) => {
  const b = x.readVectorUnaligned(s);
  x.writeVector(d, x.ir.call(sha.SHA1_ROUNDS[x.insn.imm & 3] as (typeof sha.SHA1_ROUNDS)[number], [x.readVector(d), b])[0] as Value);
});
instruction('sha256rnds2', SHA, [enc('NP 0F 38 CB /r', rw(Vdq), r(Wdq), r(XMM0))], (x, d, s, words) => {
  const b = x.readVectorUnaligned(s);
  x.writeVector(d, x.ir.call(sha.SHA256_ROUNDS, [x.readVector(d), b, x.readVector(words)])[0] as Value);
});
