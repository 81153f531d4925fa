/** Writes the instructions of a function body. Operation ids are those of ir/ops.ts: 0x100 + n for prefix 0xfc, 0x200 + n for 0xfd. */
import { ByteWriter } from './byte-writer.ts';

/** Opcodes of one byte that have no operand, or that callers name themselves. */
export const W = {
  unreachable: 0x00,
  return: 0x0f,
  drop: 0x1a,
  select: 0x1b,
  else: 0x05,
  end: 0x0b,
  i32Load: 0x28,
  i64Load: 0x29,
  i32Store: 0x36,
  i64Store: 0x37,
  i32Eqz: 0x45,
  i32Eq: 0x46,
  i32LtS: 0x48,
  i64Eq: 0x51,
  i64Ne: 0x52,
  i64Sub: 0x7d,
  i64Mul: 0x7e,
  i64Or: 0x84,
  i64ShrS: 0x87,
  i64ShrU: 0x88,
  i32Sub: 0x6b,
  i32And: 0x71,
  i32Xor: 0x73,
  i32Shl: 0x74,
  i32ShrU: 0x76,
  i32WrapI64: 0xa7,
} as const;

/** Block types. */
export const BLOCK = { void: 0x40, i32: 0x7f, i64: 0x7e } as const;

export class CodeWriter extends ByteWriter {
  op(id: number): void {
    if (id < 0x100) this.u8(id);
    else if (id < 0x200) {
      this.u8(0xfc);
      this.u32(id - 0x100);
    } else {
      this.u8(0xfd);
      this.u32(id - 0x200);
    }
  }
  i32Const(n: number): void {
    this.u8(0x41);
    this.s32(n);
  }
  i64Const(lo: number, hi: number): void {
    this.u8(0x42);
    this.s64(lo, hi);
  }
  /** An integer in ±2^53. */
  i64ConstOf(n: number): void {
    this.u8(0x42);
    this.s64(n | 0, Math.floor(n / 4294967296));
  }
  localGet(local: number): void {
    this.u8(0x20);
    this.u32(local);
  }
  localSet(local: number): void {
    this.u8(0x21);
    this.u32(local);
  }
  localTee(local: number): void {
    this.u8(0x22);
    this.u32(local);
  }
  block(type: number): void {
    this.u8(0x02);
    this.u8(type);
  }
  loop(type: number): void {
    this.u8(0x03);
    this.u8(type);
  }
  if(type: number): void {
    this.u8(0x04);
    this.u8(type);
  }
  br(depth: number): void {
    this.u8(0x0c);
    this.u32(depth);
  }
  brIf(depth: number): void {
    this.u8(0x0d);
    this.u32(depth);
  }
  call(index: number): void {
    this.u8(0x10);
    this.u32(index);
  }
  callIndirect(type: number): void {
    this.u8(0x11);
    this.u32(type);
    this.u8(0);
  }
  returnCall(index: number): void {
    this.u8(0x12);
    this.u32(index);
  }
  returnCallIndirect(type: number): void {
    this.u8(0x13);
    this.u32(type);
    this.u8(0);
  }
  /** A load or store of memory 0; no alignment is promised. */
  access(id: number, offset: number): void {
    this.op(id);
    this.u8(0);
    this.u32(offset);
  }
  /** A load or store of memory 1 (bit 6 of the alignment announces a memory index). */
  stateAccess(id: number, offset: number): void {
    this.op(id);
    this.u8(0x40);
    this.u8(1);
    this.u32(offset);
  }
  /** As `stateAccess`, the offset still to be written. */
  stateAccessHead(id: number): void {
    this.op(id);
    this.u8(0x40);
    this.u8(1);
  }
  /** Room for a LEB128 number of five bytes, to be patched. */
  padded(): void {
    this.u8(0x80);
    this.u8(0x80);
    this.u8(0x80);
    this.u8(0x80);
    this.u8(0);
  }
  globalGet(index: number): void {
    this.u8(0x23);
    this.u32(index);
  }
  atomic(opcode: number, align: number): void {
    this.u8(0xfe);
    this.u32(opcode);
    this.u8(align);
    this.u8(0);
  }
  fence(): void {
    this.u8(0xfe);
    this.u8(0x03);
    this.u8(0);
  }
  /** Bits of the number. */
  f32Const(bits: number): void {
    this.u8(0x43);
    this.word(bits);
  }
  f64Const(lo: number, hi: number): void {
    this.u8(0x44);
    this.word(lo);
    this.word(hi);
  }
  v128Const(bytes: Uint8Array): void {
    this.u8(0xfd);
    this.u8(0x0c);
    this.raw(bytes);
  }
  shuffle(lanes: Uint8Array): void {
    this.u8(0xfd);
    this.u8(0x0d);
    this.raw(lanes);
  }
  selectV128(): void {
    this.u8(0x1c);
    this.u8(1);
    this.u8(0x7b);
  }
  /** `count` labels and then the default follow as u32. */
  brTable(count: number): void {
    this.u8(0x0e);
    this.u32(count);
  }
}
