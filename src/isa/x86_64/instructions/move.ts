/** MOV and its kin: MOVZX MOVSX MOVSXD MOVBE BSWAP XCHG CMOVcc SETcc LEA XLAT, conversions of the accumulator. */
import type { Value } from '../../../ir/builder.ts';
import { RAX, RBX } from '../cpu-state.ts';
import { enc, instruction } from '../declare.ts';
import type { Emitter } from '../emitter.ts';
import { CONDITIONS } from '../flags.ts';
import { AL, Cq, Dq, Eb, Ed, Ev, Ew, Gb, Gv, Ib, Iv, Iz, M, Mv, Ob, type Operand, Ov, r, rAX, Rq, rw, w, Zb, Zv } from '../operands.ts';
import { TRAP } from '../traps.ts';

instruction(
  'mov',
  {},
  [
    enc('88 /r', w(Eb), r(Gb)),
    enc('89 /r', w(Ev), r(Gv)),
    enc('8A /r', w(Gb), r(Eb)),
    enc('8B /r', w(Gv), r(Ev)),
    enc('A0 io', w(AL), r(Ob)),
    enc('A1 io', w(rAX), r(Ov)),
    enc('A2 io', w(Ob), r(AL)),
    enc('A3 io', w(Ov), r(rAX)),
    enc('B0+r ib', w(Zb), r(Ib)),
    enc('B8+r iv', w(Zv), r(Iv)),
    enc('C6 /0 ib', w(Eb), r(Ib)),
    enc('C7 /0 iz', w(Ev), r(Iz)),
  ],
  (x, dst, src) => x.write(dst, x.read(src)),
);

/** Privileged; a register that does not exist is #UD before that. */
function systemRegister(place: 'cr' | 'dr', opcode: string, first: Operand, second: Operand): void {
  const exists = place === 'cr' ? [0, 2, 3, 4, 8] : [0, 1, 2, 3, 4, 5, 6, 7];
  instruction('mov', { flow: 'stop' }, [enc(`${opcode} /r`, first, second)], (x) => x.trap(exists.includes(x.insn.reg) ? TRAP.protection : TRAP.undefined));
}
systemRegister('cr', '0F 20', w(Rq), r(Cq));
systemRegister('dr', '0F 21', w(Rq), r(Dq));
systemRegister('cr', '0F 22', w(Cq), r(Rq));
systemRegister('dr', '0F 23', w(Dq), r(Rq));

instruction('movzx', {}, [enc('0F B6 /r', w(Gv), r(Eb)), enc('0F B7 /r', w(Gv), r(Ew))], (x, dst, src) => x.write(dst, x.extend(x.read(src), x.bits(src), x.size)));
instruction('movsx', {}, [enc('0F BE /r', w(Gv), r(Eb)), enc('0F BF /r', w(Gv), r(Ew))], (x, dst, src) => x.write(dst, x.extend(x.read(src), x.bits(src), x.size, true)));
// Without REX.W it is a plain move of the operand size.
instruction('movsxd', {}, [enc('REX.W 63 /r', w(Gv), r(Ed)), enc('63 /r', w(Gv), r(Ev))], (x, dst, src) => x.write(dst, x.extend(x.read(src), x.bits(src), x.size, true)));

/** Bytes reversed. */
function swapped(x: Emitter, v: Value, size: number): Value {
  const { ir } = x;
  const { i32, i64 } = ir;
  if (size === 64) {
    const step = (value: Value, shift: number, mask: bigint): Value => {
      const m = ir.const64(mask);
      return i64.or(i64.and(i64.shr_u(value, ir.const64(shift)), m), i64.shl(i64.and(value, m), ir.const64(shift)));
    };
    return i64.rotl(step(step(v, 8, 0x00ff00ff00ff00ffn), 16, 0x0000ffff0000ffffn), ir.const64(32));
  }
  const m = ir.const32(0x00ff00ff);
  const pairs = i32.or(i32.and(i32.shr_u(v, ir.const32(8)), m), i32.shl(i32.and(v, m), ir.const32(8)));
  return size === 16 ? pairs : i32.rotl(pairs, ir.const32(16));
}
instruction('movbe', { cpuid: 'movbe' }, [enc('0F 38 F0 /r', w(Gv), r(Mv)), enc('0F 38 F1 /r', w(Mv), r(Gv))], (x, dst, src) => x.write(dst, swapped(x, x.read(src), x.size)));
// 16 bits: undefined by the manual; 0 on Intel and AMD.
instruction('bswap', {}, [enc('0F C8+r', rw(Zv))], (x, dst) => x.write(dst, x.size === 16 ? x.const(0) : swapped(x, x.read(dst), x.size)));

instruction('xchg', { lock: true }, [enc('86 /r', rw(Eb), rw(Gb)), enc('87 /r', rw(Ev), rw(Gv)), enc('90+r', rw(rAX), rw(Zv))], (x, dst, src) => {
  const b = x.read(src);
  if (x.isMemory(dst)) {
    x.write(src, x.atomicRmw(dst, 'xchg', b)); // locked with or without the prefix
    return;
  }
  const a = x.read(dst);
  x.write(dst, b);
  x.write(src, a);
});

for (let cc = 0; cc < 16; cc++) {
  instruction(`cmov${CONDITIONS[cc]}`, { reads: 'oszapc', cpuid: 'cmov' }, [enc(`0F 4${cc.toString(16).toUpperCase()} /r`, rw(Gv), r(Ev))], (x, dst, src) => {
    const v = x.read(src); // read, and may fault, whatever the condition
    x.write(dst, x.ir.select(x.flags.condition(cc), v, x.read(dst)));
  });
}
for (let cc = 0; cc < 16; cc++) {
  instruction(`set${CONDITIONS[cc]}`, { reads: 'oszapc' }, [enc(`0F 9${cc.toString(16).toUpperCase()} /r`, w(Eb))], (x, dst) => x.write(dst, x.flags.condition(cc)));
}

instruction('lea', {}, [enc('8D /r', w(Gv), M)], (x, dst, src) => {
  const address = x.effectiveAddress(src);
  x.write(dst, x.narrow(address, 64, x.size));
});
instruction('xlatb', {}, [enc('D7')], (x) => {
  const { ir } = x;
  let address = ir.i64.add(ir.get(RBX), ir.i64.and(ir.get(RAX), ir.const64(0xff)));
  if (x.insn.addrSize === 32) address = ir.i64.and(address, ir.const64(0xffffffff));
  x.setGpr(0, ir.load('i32.load8_u', x.withSegment(address)), 8);
});

instruction('cbw', { sized: ['cbw', 'cwde', 'cdqe'] }, [enc('98')], (x) => {
  const half = x.size >> 1;
  x.setGpr(0, x.extend(x.gpr(0, half), half, x.size, true), x.size);
});
instruction('cwd', { sized: ['cwd', 'cdq', 'cqo'] }, [enc('99')], (x) => {
  const { n, size } = x;
  const bits = size === 64 ? 64 : 32;
  x.setGpr(2, n.shr_s(x.signed(x.gpr(0, size)), x.const(bits - 1, bits)), size);
});

