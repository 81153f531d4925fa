/** BT BTS BTR BTC, BSF BSR, TZCNT LZCNT POPCNT, CRC32. */
import type { Helper, Value } from '../../../ir/builder.ts';
import { RFLAGS, STATUS_FLAGS } from '../cpu-state.ts';
import { enc, type Encoding, instruction } from '../declare.ts';
import type { Emitter } from '../emitter.ts';
import { Eb, Ev, Gv, Gy, Ib, KIND, type Operand, r, rw, w } from '../operands.ts';

/**
 * The bit a BT-like instruction names, as [address | undefined, number in the operand]. A register offset on a memory
 * operand reaches the whole address space: it is signed and counts from the operand's address.
 */
function bitPlace(x: Emitter, base: Operand, offset: Operand): [Value | undefined, Value] {
  const { ir } = x;
  const bit = offset.kind === KIND.I ? x.const(x.insn.imm & (x.size - 1)) : x.read(offset);
  const number = x.n.and(bit, x.const(x.size - 1));
  if (!x.isMemory(base)) return [undefined, number];
  if (offset.kind === KIND.I) return [x.address(base), number];
  const signed = x.extend(bit, x.size, 64, true);
  const log = x.size === 64 ? 6 : x.size === 32 ? 5 : 4;
  const bytes = ir.i64.shl(ir.i64.shr_s(signed, ir.const64(log)), ir.const64(log - 3));
  let address = ir.i64.add(x.address(base), bytes);
  if (x.insn.addrSize === 32 && x.insn.segment < 0) address = ir.i64.and(address, ir.const64(0xffffffff));
  return [address, number];
}
/** Only CF changes: ZF stays by the manual, the others (undefined) on AMD and Intel alike. */
function setCarry(x: Emitter, word: Value, number: Value): void {
  const bit = x.n.shr_u(word, number);
  x.flags.replace(RFLAGS.CF, x.ir.i32.and(x.size === 64 ? x.ir.i32.wrap_i64(bit) : bit, x.ir.const32(1)));
}
const forms = (opcode: string, digit: number, access: (o: Operand) => Operand): Encoding[] => [enc(`0F ${opcode} /r`, access(Ev), r(Gv)), enc(`0F BA /${digit} ib`, access(Ev), r(Ib))];

instruction('bt', { flags: 'oszapc', undefinedFlags: 'osap' }, forms('A3', 4, r), (x, base, offset) => {
  const [address, number] = bitPlace(x, base, offset);
  setCarry(x, address === undefined ? x.read(base) : x.loadInt(address, x.size), number);
});
function modify(name: string, opcode: string, digit: number, kind: 'or' | 'and' | 'xor'): void {
  instruction(name, { flags: 'oszapc', undefinedFlags: 'osap', lock: true }, forms(opcode, digit, rw), (x, base, offset) => {
    const { ir, n } = x;
    const [address, number] = bitPlace(x, base, offset);
    const mask = n.shl(x.const(1), number);
    const change = kind === 'and' ? x.trunc(n.xor(mask, x.const(-1))) : mask;
    let old: Value;
    if (address !== undefined && x.insn.lock) old = ir.atomicRmw(kind, (x.size >> 3) as 2 | 4 | 8, address, change);
    else {
      old = address === undefined ? x.read(base) : x.loadInt(address, x.size);
      const res = n[kind](old, change);
      if (address === undefined) x.write(base, res);
      else x.storeInt(address, res, x.size);
    }
    setCarry(x, old, number);
  });
}
modify('bts', 'AB', 5, 'or');
modify('btr', 'B3', 6, 'and');
modify('btc', 'BB', 7, 'xor');

/**
 * A zero source leaves the destination as it is (AMD documents it, Intel does it) and sets ZF. Of the undefined flags AMD
 * sets PF by the bit's number (0 for a zero source) and clears the rest.
 */
function scan(x: Emitter, dst: Operand, src: Operand, forward: boolean): void {
  const { ir, n, size } = x;
  const v = x.read(src);
  const zero = x.isZero(v);
  const top = size === 64 ? 63 : 31;
  const place = forward ? n.ctz(v) : n.sub(x.const(top, size === 64 ? 64 : 32), n.clz(v));
  x.writeIf(dst, ir.i32.eqz(zero), place);
  const { i32 } = ir;
  const number = ir.select(zero, ir.const32(0), size === 64 ? i32.wrap_i64(place) : place);
  const even = i32.eqz(i32.and(i32.popcnt(number), ir.const32(1)));
  x.flags.explicit(i32.or(i32.shl(zero, ir.const32(6)), i32.shl(even, ir.const32(2))));
}
const SCAN_OPTIONS = { flags: 'oszapc', undefinedFlags: 'osapc' } as const;
instruction('bsf', SCAN_OPTIONS, [enc('0F BC /r', rw(Gv), r(Ev))], (x, dst, src) => scan(x, dst, src, true));
instruction('bsr', SCAN_OPTIONS, [enc('0F BD /r', rw(Gv), r(Ev))], (x, dst, src) => scan(x, dst, src, false));

const COUNT_OPTIONS = { flags: 'oszapc', undefinedFlags: 'osap' } as const;
/** CF: the source was 0; ZF: the result is. Undefined: OF stays, SF, AF, PF are cleared (AMD). */
function countFlags(x: Emitter, v: Value, res: Value): void {
  const { ir } = x;
  x.flags.replace(STATUS_FLAGS & ~RFLAGS.OF, ir.i32.or(x.isZero(v), ir.i32.shl(x.isZero(res), ir.const32(6))));
}
instruction('tzcnt', { ...COUNT_OPTIONS, cpuid: 'bmi1' }, [enc('F3 0F BC /r', w(Gv), r(Ev))], (x, dst, src) => {
  const v = x.read(src);
  const res = x.size === 16 ? x.ir.i32.ctz(x.ir.i32.or(v, x.ir.const32(0x10000))) : x.n.ctz(v);
  x.write(dst, res);
  countFlags(x, v, res);
});
instruction('lzcnt', { ...COUNT_OPTIONS, cpuid: 'lzcnt' }, [enc('F3 0F BD /r', w(Gv), r(Ev))], (x, dst, src) => {
  const v = x.read(src);
  const res = x.size === 16 ? x.ir.i32.sub(x.ir.i32.clz(v), x.ir.const32(16)) : x.n.clz(v);
  x.write(dst, res);
  countFlags(x, v, res);
});
instruction('popcnt', { flags: 'oszapc', cpuid: 'popcnt' }, [enc('F3 0F B8 /r', w(Gv), r(Ev))], (x, dst, src) => {
  const v = x.read(src);
  x.write(dst, x.n.popcnt(v));
  x.flags.explicit(x.ir.i32.shl(x.isZero(v), x.ir.const32(6)));
});

/** CRC-32C (polynomial 11EDC6F41h, bit-reflected) of `bytes` × 8 more bits: crc, data → crc. */
export const CRC32C: Helper = {
  name: 'crc32c',
  params: ['i32', 'i64', 'i32'],
  results: ['i32'],
  effect: 'pure',
  build(ir, crc, data, bits) {
    const { i32, i64 } = ir;
    const state = ir.temp('i64');
    const left = ir.temp('i32');
    const polynomial = ir.const64(0x82f63b78);
    // Up to 64 bits at once: the crc goes into the low bits of the data, each step shifts one bit out. A crc wider than
    // the data keeps its upper part, which `high` shifts in behind.
    const mixed = i64.xor(i64.extend_i32_u(crc), data);
    ir.set(state, mixed);
    ir.set(left, bits);
    ir.loop(() => {
      const s = ir.get(state);
      const odd = i64.sub(ir.const64(0), i64.and(s, ir.const64(1)));
      ir.set(state, i64.xor(i64.shr_u(s, ir.const64(1)), i64.and(polynomial, odd)));
      const n = i32.sub(ir.get(left), ir.const32(1));
      ir.set(left, n);
      return n;
    });
    ir.ret([i32.wrap_i64(ir.get(state))]);
  },
};
instruction('crc32', { cpuid: 'sse4.2' }, [enc('F2 0F 38 F0 /r', rw(Gy), r(Eb)), enc('F2 0F 38 F1 /r', rw(Gy), r(Ev))], (x, dst, src) => {
  const { ir } = x;
  const from = x.bits(src);
  const data = x.extend(x.read(src), from, 64);
  const crc = ir.call(CRC32C, [x.gpr(x.register(dst), 32), data, ir.const32(from)])[0] as Value;
  x.setGpr(x.register(dst), crc, 32);
});
