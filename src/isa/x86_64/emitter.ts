/**
 * What instruction semantics see as `x`: the IR builder plus operand access of the instruction being emitted. One
 * Emitter serves all instructions of a region; operands are the static specs of the row, resolved against `x.insn`.
 *
 * Rules for semantics:
 * - Integer values: 8, 16, 32 bits are i32, zero-extended; 64 bits are i64. `x.size` is the size in bits of the first
 *   operand (or the operand size, if that is no integer), `x.n` the matching half of the builder.
 * - Anything that can fault (loads, stores, traps) comes before the first write of a register or flag, so that a fault
 *   leaves the architectural state as it was.
 */
import type { Builder, Value } from '../../ir/builder.ts';
import type { RegionContext } from '../../ir/frontend.ts';
import { type AtomicKind, LOADS, type LoadName, type Numeric, OP, type StoreName } from '../../ir/ops.ts';
import { FS_BASE, GPR, GS_BASE, RSP, STATE, XMM, YMM_HIGH } from './cpu-state.ts';
import { Flags } from './flags.ts';
import { BASE_RIP, type Insn } from './insn.ts';
import { KIND, type Operand } from './operands.ts';
import { FloatContext } from './simd/float-environment.ts';
import { TRAP, type TrapCode } from './traps.ts';

/** What i32 and i64 have in common: `x.n`. */
export type Int = Pick<Numeric['i64'], 'eqz' | 'eq' | 'ne' | 'lt_s' | 'lt_u' | 'gt_s' | 'gt_u' | 'le_s' | 'le_u' | 'ge_s' | 'ge_u' | 'clz' | 'ctz' | 'popcnt' | 'add' | 'sub' | 'mul' | 'div_s' | 'div_u' | 'rem_s' | 'rem_u' | 'and' | 'or' | 'xor' | 'shl' | 'shr_s' | 'shr_u' | 'rotl' | 'rotr'>;

const LOAD_EXTEND: Readonly<Record<number, LoadName>> = { 8: 'i32.load8_u', 16: 'i32.load16_u', 32: 'i32.load', 64: 'i64.load' };
const STORE_SIZE: Readonly<Record<number, StoreName>> = { 8: 'i32.store8', 16: 'i32.store16', 32: 'i32.store', 64: 'i64.store' };

export class Emitter {
  readonly flags = new Flags();
  /** Mode of floating point, and the exceptions of the instruction; committed before its first write. */
  readonly float = new FloatContext();
  /** What is emitted is one instruction for stepping.ts: POPF and IRET may set TF and AC. */
  stepping = false;
  ir!: Builder;
  ctx!: RegionContext;
  insn!: Insn;
  /** Bits of the first operand if it is an integer, else the operand size. */
  size = 32;
  /** `ir.i64` if `size` is 64, else `ir.i32`. */
  n!: Int;
  #memoryReady = false;
  #memoryBase = -1 as Value;
  #memoryOffset = 0;

  beginRegion(ctx: RegionContext): void {
    this.ctx = ctx;
    this.ir = ctx.ir;
    this.flags.begin(ctx.ir);
    this.float.begin(ctx.ir);
  }
  /** Called by the frontend before the semantics of `insn`. */
  begin(insn: Insn): void {
    this.insn = insn;
    this.#memoryReady = false;
    const first = insn.enc.operands[0];
    let size = first === undefined ? insn.opSize : this.bits(first);
    if (size === 0 || size > 64) size = insn.opSize;
    this.setSize(size);
  }
  /** Change `size` and `n` for the rest of the instruction. */
  setSize(size: number): void {
    this.size = size;
    this.n = size === 64 ? this.ir.i64 : this.ir.i32;
  }

  // ---- facts about operands ----

  /** Size in bits of the operand of this instruction. */
  bits(o: Operand): number {
    if (o.fixedBits !== 0) return o.fixedBits;
    switch (o.width) {
      case 'v': return this.insn.opSize;
      case 'z': return this.insn.opSize === 16 ? 16 : 32;
      case 'y': return this.insn.w ? 64 : 32;
      case 'x': return this.insn.vexL === 1 ? 256 : 128;
      case 'a': return this.insn.opSize;
      default: return 0;
    }
  }
  isMemory(o: Operand): boolean {
    return this.insn.memory && (o.kind === KIND.E || o.kind === KIND.W || o.kind === KIND.Q || o.kind === KIND.M);
  }
  /** Register number of a register operand (0…15; mmx and x87: 0…7). */
  register(o: Operand): number {
    const { insn } = this;
    switch (o.kind) {
      case KIND.E: case KIND.W: case KIND.R: case KIND.U:
        return insn.rm;
      case KIND.G: case KIND.V:
        return insn.reg;
      case KIND.B: case KIND.H:
        return insn.vvvv;
      case KIND.Z:
        return insn.opcodeReg;
      case KIND.P:
        return insn.reg & 7;
      case KIND.Q: case KIND.N: case KIND.T:
        return insn.rm & 7;
      case KIND.S: case KIND.C: case KIND.D:
        return insn.reg;
      case KIND.L:
        return insn.imm2 >> 4;
      default:
        return o.index;
    }
  }
  /** pc of the following instruction. */
  get nextPc(): number {
    return this.insn.pc + this.insn.length;
  }
  /** True if encoded with VEX: 128-bit results then clear the upper half of the ymm register. */
  get vex(): boolean {
    return this.insn.enc.opcode.map >= 4;
  }

  // ---- integers ----

  /** A constant of `size` bits (default: x.size), truncated to it. */
  const(n: number | bigint, size = this.size): Value {
    if (size === 64) return this.ir.const64(n);
    const k = typeof n === 'bigint' ? Number(BigInt.asIntN(32, n)) : n | 0;
    return this.ir.const32(size === 8 ? k & 0xff : size === 16 ? k & 0xffff : k);
  }
  /** Cut a value of arithmetic back to 8 or 16 bits; 32 and 64 bits need nothing. */
  trunc(v: Value, size = this.size): Value {
    if (size >= 32) return v;
    const { ir } = this;
    if (fits(ir, v, size)) return v;
    return ir.i32.and(v, ir.const32(size === 8 ? 0xff : 0xffff));
  }
  /** Sign-extend an 8- or 16-bit value within i32; 32 and 64 bits are left alone. */
  signed(v: Value, size = this.size): Value {
    if (size >= 32) return v;
    const k = this.ir.constantOf(v);
    if (k !== undefined) return this.ir.const32((Number(k) << (32 - size)) >> (32 - size));
    return size === 8 ? this.ir.i32.extend8_s(v) : this.ir.i32.extend16_s(v);
  }
  /** Zero- or sign-extend a `from`-bit value to the representation of `to` ≥ `from` bits. */
  extend(v: Value, from: number, to: number, signed = false): Value {
    const { ir } = this;
    if (signed) {
      const s = this.signed(v, from);
      if (to === 64) return from === 64 ? s : ir.i64.extend_i32_s(s);
      return to === from ? v : this.trunc(s, to);
    }
    return to === 64 && from !== 64 ? ir.i64.extend_i32_u(v) : v;
  }
  /** The low `to` bits of a `from`-bit value. */
  narrow(v: Value, from: number, to: number): Value {
    if (from === to) return v;
    return this.trunc(from === 64 ? this.ir.i32.wrap_i64(v) : v, to);
  }
  /** Lowest bit to i32 0/1 tests: is `v` (x.size bits) zero? */
  isZero(v: Value, size = this.size): Value {
    return size === 64 ? this.ir.i64.eqz(v) : this.ir.i32.eqz(v);
  }
  /** The top bit of a `size`-bit value, as i32 0 or 1. */
  topBit(v: Value, size = this.size): Value {
    const { ir } = this;
    if (size === 64) return ir.i32.wrap_i64(ir.i64.shr_u(v, ir.const64(63)));
    return ir.i32.and(ir.i32.shr_u(v, ir.const32(size - 1)), ir.const32(1));
  }

  /** General register `n`, low `size` bits (never ah…bh). */
  gpr(n: number, size = 64): Value {
    const { ir } = this;
    const v = ir.get(GPR[n] as (typeof GPR)[number]);
    if (size === 64) return v;
    return this.trunc(ir.i32.wrap_i64(v), size);
  }
  /** Write `size` bits of register `n`: 32 clears the upper half, 8 and 16 leave the rest. Excess bits of `v` are ignored. */
  setGpr(n: number, v: Value, size = 64): void {
    const { ir } = this;
    const reg = GPR[n] as (typeof GPR)[number];
    if (size === 64) ir.set(reg, v);
    else if (size === 32) ir.set(reg, ir.i64.extend_i32_u(v));
    else {
      const keep = ir.i64.and(ir.get(reg), ir.const64(size === 16 ? -0x10000 : -0x100));
      ir.set(reg, ir.i64.or(keep, ir.i64.extend_i32_u(this.trunc(v, size))));
    }
  }
  #readByteRegister(n: number): Value {
    const { ir } = this;
    if (this.insn.rex !== 0 || n < 4) return this.gpr(n, 8);
    return ir.i32.and(ir.i32.shr_u(ir.i32.wrap_i64(ir.get(GPR[n - 4] as (typeof GPR)[number])), ir.const32(8)), ir.const32(0xff));
  }
  #writeByteRegister(n: number, v: Value): void {
    const { ir } = this;
    if (this.insn.rex !== 0 || n < 4) {
      this.setGpr(n, v, 8);
      return;
    }
    const reg = GPR[n - 4] as (typeof GPR)[number];
    const keep = ir.i64.and(ir.get(reg), ir.const64(-0xff01));
    ir.set(reg, ir.i64.or(keep, ir.i64.extend_i32_u(ir.i32.shl(this.trunc(v, 8), ir.const32(8)))));
  }

  /** Read an integer operand of 8 … 64 bits. Signed immediates come extended to x.size. */
  read(o: Operand): Value {
    switch (o.kind) {
      case KIND.E: case KIND.M: {
        const size = this.bits(o);
        if (this.insn.memory) return this.load(o, LOAD_EXTEND[size] as LoadName);
        return size === 8 ? this.#readByteRegister(this.insn.rm) : this.gpr(this.insn.rm, size);
      }
      case KIND.I:
        if (o.signed) return this.size === 64 && o.width === 'v' ? this.ir.const64((BigInt(this.insn.immHigh) << 32n) | BigInt(this.insn.imm >>> 0)) : this.const(this.insn.imm);
        return this.const(this.insn.imm, this.bits(o));
      case KIND.O:
        return this.load(o, LOAD_EXTEND[this.bits(o)] as LoadName);
      case KIND.one:
        return this.ir.const32(1);
      default: {
        const size = this.bits(o);
        const n = this.register(o);
        return size === 8 && o.kind !== KIND.gpr ? this.#readByteRegister(n) : this.gpr(n, size);
      }
    }
  }
  /**
   * The exceptions this instruction's operations have raised go into MXCSR, an unmasked one traps. The writes below do
   * it themselves; whatever else changes state before them calls it first.
   */
  commitFloat(): void {
    this.float.commit((unmasked) => this.trapIf(unmasked, TRAP.simd));
  }
  /** Write an integer operand. */
  write(o: Operand, v: Value): void {
    this.commitFloat();
    const size = this.bits(o);
    if (o.kind === KIND.O || (this.insn.memory && (o.kind === KIND.E || o.kind === KIND.M))) {
      this.store(o, STORE_SIZE[size] as StoreName, v);
      return;
    }
    const n = this.register(o);
    if (size === 8 && o.kind !== KIND.gpr) this.#writeByteRegister(n, v);
    else this.setGpr(n, v, size);
  }

  /** Write a register operand (16 bits and more) only where the i32 `condition` is not zero; else all 64 bits stay. */
  writeIf(o: Operand, condition: Value, v: Value): void {
    const { ir } = this;
    const reg = GPR[this.register(o)] as (typeof GPR)[number];
    const before = ir.get(reg);
    this.setGpr(this.register(o), v, this.bits(o));
    ir.set(reg, ir.select(condition, ir.get(reg), before));
  }

  // ---- memory ----

  #resolve(): void {
    if (this.#memoryReady) return;
    const { ir, insn } = this;
    const { i64 } = ir;
    let base: Value;
    let offset = 0;
    if (insn.base === BASE_RIP) {
      let target = insn.pc + insn.length + insn.disp;
      if (insn.addrSize === 32) target = target >>> 0;
      base = ir.const64(target);
    } else {
      base = -1 as Value;
      if (insn.base >= 0) base = ir.get(GPR[insn.base] as (typeof GPR)[number]);
      if (insn.index >= 0) {
        const index = ir.get(GPR[insn.index] as (typeof GPR)[number]);
        const scaled = insn.scale === 0 ? index : i64.shl(index, ir.const64(insn.scale));
        base = base < 0 ? scaled : i64.add(base, scaled);
      }
      if (base < 0) base = ir.const64(insn.addrSize === 32 ? insn.disp >>> 0 : insn.disp);
      else if (insn.addrSize === 32) {
        if (insn.disp !== 0) base = i64.add(base, ir.const64(insn.disp));
        base = i64.extend_i32_u(ir.i32.wrap_i64(base));
      } else if (insn.disp > 0 && insn.disp < 0x8000) offset = insn.disp;
      else if (insn.disp !== 0) base = i64.add(base, ir.const64(insn.disp));
    }
    this.#memoryBase = this.withSegment(base);
    this.#memoryOffset = offset;
    this.#memoryReady = true;
  }
  /** Linear address of a memory operand: i64, segment base included. */
  address(o: Operand): Value {
    if (o.kind === KIND.O) return this.#moffs();
    this.#resolve();
    const { ir } = this;
    return this.#memoryOffset === 0 ? this.#memoryBase : ir.i64.add(this.#memoryBase, ir.const64(this.#memoryOffset));
  }
  #moffs(): Value {
    const { ir, insn } = this;
    return this.withSegment(ir.const64((BigInt(insn.immHigh) << 32n) | BigInt(insn.imm >>> 0)));
  }
  /** An effective address made linear: plus the base of the FS or GS override, if there is one. */
  withSegment(address: Value): Value {
    const { segment } = this.insn;
    return segment < 0 ? address : this.ir.i64.add(address, this.ir.get(segment === 4 ? FS_BASE : GS_BASE));
  }
  /** Address of a memory operand without the segment base (LEA, the data pointer of x87). */
  effectiveAddress(o: Operand): Value {
    const { insn } = this;
    const { segment } = insn;
    if (segment < 0) return this.address(o);
    insn.segment = -1;
    this.#memoryReady = false;
    const address = this.address(o);
    insn.segment = segment;
    this.#memoryReady = false;
    return address;
  }
  /** Load from the memory operand plus `offset` bytes. */
  load(o: Operand, name: LoadName, offset = 0): Value {
    if (o.kind === KIND.O) return this.ir.load(name, this.#moffs(), offset);
    this.#resolve();
    return this.ir.load(name, this.#memoryBase, this.#memoryOffset + offset);
  }
  store(o: Operand, name: StoreName, v: Value, offset = 0): void {
    if (o.kind === KIND.O) this.ir.store(name, this.#moffs(), v, offset);
    else {
      this.#resolve();
      this.ir.store(name, this.#memoryBase, v, this.#memoryOffset + offset);
    }
  }
  /** Fault now if `size` bytes of the memory operand cannot all be written. */
  probeWrite(o: Operand, size: number): void {
    if (o.kind === KIND.O) this.ir.probeWrite(this.#moffs(), size);
    else {
      this.#resolve();
      this.ir.probeWrite(this.#memoryBase, size, this.#memoryOffset);
    }
  }
  /** Load or store `size` bits at an address: integers as `read` gives them. */
  loadInt(address: Value, size: number, offset = 0): Value {
    return this.ir.load(LOAD_EXTEND[size] as LoadName, address, offset);
  }
  storeInt(address: Value, v: Value, size: number, offset = 0): void {
    this.ir.store(STORE_SIZE[size] as StoreName, address, v, offset);
  }
  /** #GP unless the memory operand's address is a multiple of `bytes` (a power of two). */
  checkAligned(o: Operand, bytes: number): void {
    const { ir } = this;
    this.trapIf(ir.i32.and(ir.i32.wrap_i64(this.address(o)), ir.const32(bytes - 1)), TRAP.protection);
  }
  /** True if this is the LOCK form (or implicitly locked XCHG) with a memory destination. */
  locked(o: Operand): boolean {
    return this.insn.lock && this.isMemory(o);
  }
  /** Atomic read-modify-write of the destination, x.size bits; the old value. */
  atomicRmw(o: Operand, kind: AtomicKind, v: Value): Value {
    return this.ir.atomicRmw(kind, (this.size >> 3) as 1 | 2 | 4 | 8, this.address(o), v);
  }
  atomicCmpxchg(o: Operand, expected: Value, replacement: Value): Value {
    return this.ir.atomicCmpxchg((this.size >> 3) as 1 | 2 | 4 | 8, this.address(o), expected, replacement);
  }
  /** Push `size` bits (64 or 16): store first, then rsp. */
  push(v: Value, size = 64): void {
    const { ir } = this;
    const sp = ir.i64.sub(ir.get(RSP), ir.const64(size >> 3));
    this.storeInt(sp, v, size);
    ir.set(RSP, sp);
  }

  // ---- vectors ----

  /** The low 128 bits of vector register `n`. */
  xmm(n: number): Value {
    return this.ir.get(XMM[n] as (typeof XMM)[number]);
  }
  /** Set the low 128 bits; with a VEX encoding also clear the upper half. */
  setXmm(n: number, v: Value): void {
    this.commitFloat();
    this.ir.set(XMM[n] as (typeof XMM)[number], v);
    if (this.vex) this.clearYmmHigh(n);
  }
  ymmHigh(n: number): Value {
    return this.ir.get(YMM_HIGH[n] as (typeof XMM)[number]);
  }
  setYmmHigh(n: number, v: Value): void {
    this.ir.set(YMM_HIGH[n] as (typeof XMM)[number], v);
  }
  /** Nothing is emitted where the upper half is known to be zero already, as in a run of VEX.128 instructions. */
  clearYmmHigh(n: number): void {
    const { ir } = this;
    const known = ir.known(YMM_HIGH[n] as (typeof XMM)[number]);
    if (known !== undefined && ir.op[known] === OP.const128 && (ir.vectors[ir.a[known] as number] as Uint8Array).every((b) => b === 0)) return;
    this.setYmmHigh(n, ir.const128(ZERO16));
  }
  /**
   * A vector operand as v128. A register: all of it. Memory: as many bytes as the operand is wide (Wss 4, Wsd 8, Ww 2,
   * Wb 1), zeros above; a full 16 bytes must be aligned (#GP) unless the encoding is VEX.
   */
  readVector(o: Operand): Value {
    if (this.isMemory(o) && !this.vex && this.bits(o) === 128) this.checkAligned(o, 16);
    return this.readVectorUnaligned(o);
  }
  readVectorUnaligned(o: Operand): Value {
    if (!this.isMemory(o)) return this.xmm(this.register(o));
    const { ir } = this;
    switch (this.bits(o)) {
      case 64: return this.load(o, 'v128.load64_zero');
      case 32: return this.load(o, 'v128.load32_zero');
      case 16: return ir.i32x4.replace_lane(ir.const128(ZERO16), 0, this.load(o, 'i32.load16_u'));
      case 8: return ir.i32x4.replace_lane(ir.const128(ZERO16), 0, this.load(o, 'i32.load8_u'));
      default: return this.load(o, 'v128.load');
    }
  }
  /** Write a vector operand: a whole xmm register, or the operand's width of memory (16 bytes: aligned unless VEX). */
  writeVector(o: Operand, v: Value): void {
    if (this.isMemory(o) && !this.vex && this.bits(o) === 128) this.checkAligned(o, 16);
    this.writeVectorUnaligned(o, v);
  }
  writeVectorUnaligned(o: Operand, v: Value): void {
    this.commitFloat();
    if (!this.isMemory(o)) {
      this.setXmm(this.register(o), v);
      return;
    }
    const { ir } = this;
    switch (this.bits(o)) {
      case 64: this.store(o, 'i64.store', ir.i64x2.extract_lane(v, 0)); break;
      case 32: this.store(o, 'i32.store', ir.i32x4.extract_lane(v, 0)); break;
      case 16: this.store(o, 'i32.store16', ir.i32x4.extract_lane(v, 0)); break;
      case 8: this.store(o, 'i32.store8', ir.i32x4.extract_lane(v, 0)); break;
      default: this.store(o, 'v128.store', v);
    }
  }
  /** Is this the 256-bit form? */
  get wide(): boolean {
    return this.insn.vexL === 1;
  }
  /** The upper 128 bits of a 256-bit operand. */
  readVectorHigh(o: Operand): Value {
    return this.isMemory(o) ? this.load(o, 'v128.load', 16) : this.ymmHigh(this.register(o));
  }
  /** Write a 256-bit operand: both halves of a register, or 32 bytes of memory, all or (where a page is forbidden) none. */
  writeWide(o: Operand, low: Value, high: Value): void {
    const { ir } = this;
    this.commitFloat();
    if (this.isMemory(o)) {
      this.probeWrite(o, 32);
      this.store(o, 'v128.store', low);
      this.store(o, 'v128.store', high, 16);
      return;
    }
    const n = this.register(o);
    ir.set(XMM[n] as (typeof XMM)[number], low);
    this.setYmmHigh(n, high);
  }
  /** Linear address of an element of a VSIB operand, from its index as i64. */
  elementAddress(index: Value): Value {
    const { ir, insn } = this;
    let address = insn.scale === 0 ? index : ir.i64.shl(index, ir.const64(insn.scale));
    if (insn.base >= 0) address = ir.i64.add(address, ir.get(GPR[insn.base] as (typeof GPR)[number]));
    address = ir.i64.add(address, ir.const64(insn.disp));
    if (insn.addrSize === 32) address = ir.i64.extend_i32_u(ir.i32.wrap_i64(address));
    return this.withSegment(address);
  }
  /** Low f32 / f64 of a vector operand (register or memory). */
  readF32(o: Operand): Value {
    return this.isMemory(o) ? this.load(o, 'f32.load') : this.ir.f32x4.extract_lane(this.xmm(this.register(o)), 0);
  }
  readF64(o: Operand): Value {
    return this.isMemory(o) ? this.load(o, 'f64.load') : this.ir.f64x2.extract_lane(this.xmm(this.register(o)), 0);
  }
  /** An MMX operand as i64 (a 32-bit memory operand zero-extended). The switch to MMX state is x87's (enterMmx there). */
  readMmx(o: Operand): Value {
    if (this.isMemory(o)) return this.load(o, this.bits(o) === 32 ? 'i64.load32_u' : 'i64.load');
    return this.ir.stateLoad('i64.load', STATE.x87 + 16 * this.register(o));
  }
  /** Write an MMX operand: a register also gets sign and exponent all ones, as the processor does. */
  writeMmx(o: Operand, v: Value): void {
    const { ir } = this;
    this.commitFloat();
    if (this.isMemory(o)) this.store(o, this.bits(o) === 32 ? 'i64.store32' : 'i64.store', v);
    else {
      const at = STATE.x87 + 16 * this.register(o);
      ir.stateStore('i64.store', at, v);
      ir.stateStore('i32.store16', at + 8, ir.const32(0xffff));
    }
  }

  // ---- traps and control ----

  /** Raise an exception: ends the block. rip stays at this instruction unless `pc` says otherwise. */
  trap(code: TrapCode, pc = this.insn.pc): void {
    this.ir.trap(pc, code);
  }
  /** Raise an exception where the i32 `condition` is not zero. */
  trapIf(condition: Value, code: TrapCode): void {
    const k = this.ir.constantOf(condition);
    if (k === 0n) return;
    this.ir.if(condition, () => this.ir.trap(this.insn.pc, code));
  }
  /** End the block at a direct target. */
  jump(pc: number): void {
    this.ir.goto(this.ctx.block(pc));
  }
}
const ZERO16 = new Uint8Array(16);

/** Is the i32 `v` known to need no cut to `size` bits? */
function fits(ir: Builder, v: Value, size: number): boolean {
  const op = ir.op[v] as number;
  if (op === LOADS['i32.load8_u'][0]) return true;
  if (op === LOADS['i32.load16_u'][0]) return size === 16;
  const limit = size === 8 ? 0xff : 0xffff;
  if (op === OP.const32) return (ir.a[v] as number) >>> 0 <= limit;
  if (op >= 0x45 && op <= 0x66) return true; // comparisons
  if (op === I32_AND) {
    const k = ir.constantOf(ir.b[v] as Value);
    return k !== undefined && k <= BigInt(limit);
  }
  return false;
}
const I32_AND = 0x71;
