/** Atomic operations of a region or helper, and probes of memory that is to be written. Why as they are: locked.ts. */
import { ALIGNED, ATOMIC_KINDS, type AtomicKind, OP } from '../ir/ops.ts';
import { BLOCK, W } from '../wasm/code-writer.ts';
import type { ValType } from '../wasm/module-builder.ts';
import { CAS, LOCKED_CMPXCHG, LOCKED_RMW } from './locked.ts';
import { ValueLowering } from './lower-values.ts';

const I32_GT_U = 0x4b;
const I64_ADD = 0x7c;
const I64_AND = 0x83;
const I64_EXTEND_I32_U = 0xad;
/** Atomic opcodes (prefix 0xfe) of the i32 form; the others follow by size. */
const ATOMIC_BASE = { xchg: 0x41, cmpxchg: 0x48 } as const;
const ATOMIC_BY_SIZE: Record<number, number> = { 1: 2, 2: 3, 4: 0, 8: 1 };
const PLAIN_32 = { add: 0x6a, sub: 0x6b, and: 0x71, or: 0x72, xor: 0x73 } as const;
const PLAIN_64 = { add: 0x7c, sub: 0x7d, and: 0x83, or: 0x84, xor: 0x85 } as const;
const SIZED_LOAD: Record<number, number> = { 1: 0x2d, 2: 0x2f, 4: 0x28, 8: 0x29 };
const I32_NE = 0x47;
const I64_NE = 0x52;

export class AtomicLowering extends ValueLowering {
  /** LOCK semantics: in optimised code, and where the address is a multiple of the size, done here; else by locked.ts. */
  protected atomic(v: number): void {
    const ir = this.ir;
    const w = this.w;
    const cmpxchg = ir.op[v] === OP.atomicCmpxchg;
    const c = ir.c[v] as number;
    const size = c & 0xff;
    const type: ValType = size === 8 ? 'i64' : 'i32';
    const here = (c & ALIGNED) !== 0 || this.options?.relocatable === false;
    this.value(ir.a[v] as number);
    const addr = this.take('i64');
    w.localSet(addr);
    // The operand, or what is expected and the replacement.
    const b = ir.b[v] as number;
    const operands: number[] = [];
    for (const value of cmpxchg ? [ir.args[b] as number, ir.args[b + 1] as number] : [b]) {
      this.value(value);
      const local = this.take(type);
      w.localSet(local);
      operands.push(local);
    }
    this.flushLoads();
    if (this.options?.precise === true) this.storeStaleHere();
    const call = (): void => {
      w.localGet(addr);
      for (const local of operands) {
        w.localGet(local);
        if (type === 'i32') w.u8(I64_EXTEND_I32_U);
      }
      w.i32Const(c);
      this.site(this.pc);
      this.callImport(this.imports.helper(cmpxchg ? LOCKED_CMPXCHG : LOCKED_RMW));
      if (type === 'i32') w.u8(W.i32WrapI64);
    };
    const operate = (): void => {
      const kind = cmpxchg ? 'cmpxchg' : (ATOMIC_KINDS[(c >> 8) & 0xff] as AtomicKind);
      if (kind === 'cmpxchg' || kind === 'xchg') {
        w.localGet(addr);
        for (const local of operands) {
          w.localGet(local);
        }
        this.site(this.pc);
        w.atomic(ATOMIC_BASE[kind] + (ATOMIC_BY_SIZE[size] as number), Math.log2(size));
      } else this.exchangeLoop(addr, operands[0] as number, size, kind);
    };
    if (!here) call();
    else if (size === 1 || (c & ALIGNED) !== 0) operate();
    else {
      w.localGet(addr);
      w.u8(W.i32WrapI64);
      w.i32Const(size - 1);
      w.u8(W.i32And);
      w.if(type === 'i64' ? BLOCK.i64 : BLOCK.i32);
      call();
      w.u8(W.else);
      operate();
      w.u8(W.end);
    }
    this.epoch++;
    this.give('i64', addr);
    for (const local of operands) this.give(type, local);
    if ((this.left[v] as number) === 0) w.u8(W.drop);
    else {
      w.localSet(this.homeFor(v, type));
    }
  }

  /** Read-modify-write by compare and exchange, whose faults V8 knows; the old value on the stack. */
  protected exchangeLoop(addr: number, operand: number, size: number, kind: keyof typeof PLAIN_32): void {
    const w = this.w;
    const type: ValType = size === 8 ? 'i64' : 'i32';
    const old = this.take(type);
    const found = this.take(type);
    w.localGet(addr);
    this.site(this.pc);
    w.access(SIZED_LOAD[size] as number, 0);
    w.localSet(old);
    w.loop(BLOCK.void);
    w.localGet(addr);
    w.localGet(old);
    w.localGet(old);
    w.localGet(operand);
    w.u8((size === 8 ? PLAIN_64 : PLAIN_32)[kind]);
    this.site(this.pc);
    w.atomic(ATOMIC_BASE.cmpxchg + (ATOMIC_BY_SIZE[size] as number), Math.log2(size));
    w.localTee(found);
    w.localGet(old);
    w.localGet(found);
    w.localSet(old);
    w.u8(size === 8 ? I64_NE : I32_NE);
    w.brIf(0);
    w.u8(W.end);
    w.localGet(old);
    this.give(type, old);
    this.give(type, found);
  }

  /**
   * Only precise code can tell a store that was half made. Within one page the first store faults before it writes;
   * across two, an exchange that changes nothing touches the first byte of either. A size of 1 is asked for
   * by who knows better, and always touched.
   */
  protected probeWrite(v: number): void {
    const ir = this.ir;
    const w = this.w;
    const a = ir.a[v] as number;
    const base = ir.b[v] as number;
    const size = ir.c[v] as number;
    if (this.options?.precise !== true) {
      this.left[a] = (this.left[a] as number) - 1;
      if (this.left[a] === 0 && (this.home[a] as number) >= 0 && this.own[a] === 1)
        this.give('i64', this.home[a] as number);
      return;
    }
    this.value(a);
    if (base !== 0) {
      w.i64ConstOf(base);
      w.u8(I64_ADD);
    }
    const addr = this.take('i64');
    w.localSet(addr);
    this.storeStaleHere();
    if (size > 1) {
      w.localGet(addr);
      w.u8(W.i32WrapI64);
      w.i32Const(4095);
      w.u8(W.i32And);
      w.i32Const(4096 - size);
      w.u8(I32_GT_U);
      w.if(BLOCK.void);
    }
    for (const second of size === 1 ? [false] : [false, true]) {
      w.localGet(addr);
      if (second) {
        w.i64ConstOf(size - 1);
        w.u8(I64_ADD);
        w.i64ConstOf(-4096);
        w.u8(I64_AND);
      }
      w.i64Const(0, 0);
      w.i64Const(0, 0);
      w.i32Const(1);
      this.site(this.pc);
      this.callImport(this.imports.helper(CAS));
      w.u8(W.drop);
    }
    if (size > 1) w.u8(W.end);
    this.give('i64', addr);
  }
}
