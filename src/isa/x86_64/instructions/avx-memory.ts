/**
 * AVX and AVX2 accesses element by element: masked loads and stores, gathers. An element whose mask bit (the top bit of
 * its lane in the mask register) is clear is not touched, whatever its address.
 *
 * A masked store writes all its elements or, where one of them is forbidden, none. A gather that faults keeps what it has
 * loaded: those elements are in the destination and their mask bits are clear, so that it can be taken up again.
 */
import type { Value } from '../../../ir/builder.ts';
import { XMM, YMM_HIGH } from '../cpu-state.ts';
import { type Encoding, instruction, type Semantics } from '../declare.ts';
import type { Emitter } from '../emitter.ts';
import { Hdq, Hx, Mx, type Operand, r, rw, VM32d, VM32q, VM64d, VM64q, Vdq, Vx, w } from '../operands.ts';
import { zero } from '../simd/integer.ts';
import { AVX, AVX2, both, readHalves, writeHalves } from '../simd/vex.ts';

type ElementSize = 4 | 8;
const shapeOf = (size: ElementSize): 'i32x4' | 'i64x2' => (size === 4 ? 'i32x4' : 'i64x2');

/** One bit an element, lowest first. */
function maskBits({ ir }: Emitter, size: ElementSize, low: Value, high: Value | undefined): Value {
  const shape = shapeOf(size);
  const bits = ir[shape].bitmask(low);
  return high === undefined ? bits : ir.i32.or(bits, ir.i32.shl(ir[shape].bitmask(high), ir.const32(16 / size)));
}

// ---- masked moves ----

const maskedLoad = (size: ElementSize): Semantics => (x, d, mask, m) => {
  const { ir } = x;
  const bits = maskBits(x, size, ...readHalves(x, mask));
  const perHalf = 16 / size;
  const count = x.wide ? 2 * perHalf : perHalf;
  const low = ir.temp('v128');
  const high = ir.temp('v128');
  const address = x.address(m);
  ir.if(
    ir.i32.eq(bits, ir.const32((1 << count) - 1)),
    () => {
      ir.set(low, ir.load('v128.load', address));
      if (x.wide) ir.set(high, ir.load('v128.load', address, 16));
    },
    () => {
      ir.set(low, zero(ir));
      ir.set(high, zero(ir));
      for (let k = 0; k < count; k++) {
        const half = k < perHalf ? low : high;
        ir.if(ir.i32.and(bits, ir.const32(1 << k)), () => {
          const lane = k % perHalf;
          if (size === 4) ir.set(half, ir.i32x4.replace_lane(ir.get(half), lane, ir.load('i32.load', address, size * k)));
          else ir.set(half, ir.i64x2.replace_lane(ir.get(half), lane, ir.load('i64.load', address, size * k)));
        });
      }
    },
  );
  writeHalves(x, d, ir.get(low), x.wide ? ir.get(high) : undefined);
};
const maskedStore = (size: ElementSize): Semantics => (x, m, mask, s) => {
  const { ir } = x;
  const bits = maskBits(x, size, ...readHalves(x, mask));
  const [low, high] = readHalves(x, s);
  const perHalf = 16 / size;
  const count = x.wide ? 2 * perHalf : perHalf;
  const address = x.address(m);
  ir.if(bits, () => {
    // the outermost two decide, for no more than two pages are involved
    const last = ir.i32.shl(ir.i32.sub(ir.const32(31), ir.i32.clz(bits)), ir.const32(Math.log2(size)));
    const first = ir.i32.shl(ir.i32.ctz(bits), ir.const32(Math.log2(size)));
    ir.probeWrite(ir.i64.add(address, ir.i64.extend_i32_u(first)), 1);
    ir.probeWrite(ir.i64.add(address, ir.i64.extend_i32_u(last)), 1, size - 1);
    for (let k = 0; k < count; k++) {
      ir.if(ir.i32.and(bits, ir.const32(1 << k)), () => {
        const half = (k < perHalf ? low : high) as Value;
        const lane = k % perHalf;
        if (size === 4) ir.store('i32.store', address, ir.i32x4.extract_lane(half, lane), size * k);
        else ir.store('i64.store', address, ir.i64x2.extract_lane(half, lane), size * k);
      });
    }
  });
};
for (const [name, options, fields, loadOpcode, storeOpcode, size] of [
  ['vmaskmovps', AVX, '66.0F38.W0', '2C', '2E', 4], ['vmaskmovpd', AVX, '66.0F38.W0', '2D', '2F', 8],
  ['vpmaskmovd', AVX2, '66.0F38.W0', '8C', '8E', 4], ['vpmaskmovq', AVX2, '66.0F38.W1', '8C', '8E', 8],
] as const) {
  instruction(name, options, both(undefined, `${fields} ${loadOpcode} /r`, w(Vx), r(Hx), r(Mx)), maskedLoad(size));
  instruction(name, options, both(undefined, `${fields} ${storeOpcode} /r`, w(Mx), r(Hx), r(Vx)), maskedStore(size));
}

// ---- gathers ----

/** `index`: bytes of an index, `size`: of an element. With 64-bit indices of dwords half of the registers is used. */
const gather = (index: ElementSize, size: ElementSize): Semantics => (x, d, _m, mask) => {
  const { ir, insn } = x;
  const count = (x.wide ? 32 : 16) / Math.max(index, size);
  const perHalf = 16 / size;
  const two = count > perHalf;
  const dst = x.register(d);
  const maskRegister = x.register(mask);
  const shape = shapeOf(size);
  const masks = [x.xmm(maskRegister), x.ymmHigh(maskRegister)] as const;
  const bits = maskBits(x, size, masks[0], two ? masks[1] : undefined);
  const indices = [x.xmm(insn.index), x.ymmHigh(insn.index)] as const;
  const indicesPerHalf = 16 / index;
  const halves = (n: number): readonly [(typeof XMM)[number], (typeof XMM)[number]] => [XMM[n] as (typeof XMM)[number], YMM_HIGH[n] as (typeof XMM)[number]];
  for (let k = 0; k < count; k++) {
    const lane = k % perHalf;
    const half = k < perHalf ? 0 : 1;
    ir.if(ir.i32.and(bits, ir.const32(1 << k)), () => {
      const from = indices[k < indicesPerHalf ? 0 : 1];
      const i = index === 4 ? ir.i64.extend_i32_s(ir.i32x4.extract_lane(from, k % indicesPerHalf)) : ir.i64x2.extract_lane(from, k % indicesPerHalf);
      const address = x.elementAddress(i);
      const to = halves(dst)[half];
      const v = ir.load(size === 4 ? 'i32.load' : 'i64.load', address);
      ir.set(to, ir[shape].replace_lane(ir.get(to), lane, v));
    });
    // lanes that are done, or were not asked for, read as zero if a later element faults; AMD leaves the others as they are
    const left = ir.const128(Array.from({ length: 16 }, (_, at) => (Math.floor(at / size) > lane ? 255 : 0)));
    ir.set(halves(maskRegister)[half], ir.v128.and(masks[half], left));
  }
  x.setXmm(maskRegister, zero(ir));
  const low = ir.get(halves(dst)[0]);
  if (!two) x.setXmm(dst, count < perHalf ? ir.i64x2.replace_lane(low, 1, ir.const64(0)) : low);
};
for (const [name, opcode, w1, memory, index, size] of [
  ['vpgatherdd', '90', 0, VM32d, 4, 4], ['vpgatherdq', '90', 1, VM32q, 4, 8], ['vpgatherqd', '91', 0, VM64d, 8, 4], ['vpgatherqq', '91', 1, VM64q, 8, 8],
  ['vgatherdps', '92', 0, VM32d, 4, 4], ['vgatherdpd', '92', 1, VM32q, 4, 8], ['vgatherqps', '93', 0, VM64d, 8, 4], ['vgatherqpd', '93', 1, VM64q, 8, 8],
] as const) {
  const [v, h] = index > size ? [Vdq, Hdq] : [Vx, Hx];
  const rows: Encoding[] = both(undefined, `66.0F38.W${w1} ${opcode} /r`, rw(v), memory as Operand, rw(h));
  instruction(name, AVX2, rows, gather(index, size));
}
