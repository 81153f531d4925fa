/**
 * One step up the guest's call stack by the call frame information of its ELF files (.eh_frame, found by
 * PT_GNU_EH_FRAME as it lies in guest memory). DWARF 5 section 6.4; Linux Standard Base, "Exception Frames".
 *
 * Invariant: whatever the guest has in its memory, a step ends: with registers, or undefined.
 */

import { type GuestMemory, GuestFault } from '../kernel/ports.ts';

/** Registers by DWARF number; on x86-64 0 … 15 and 16, the return address. Undefined: not known. */
export type Registers = readonly (bigint | undefined)[];

/** Which DWARF numbers are the stack pointer and the return address. */
export interface FrameAbi {
  readonly stackPointer: number;
  readonly returnAddress: number;
}

interface Rule {
  readonly kind: 'undefined' | 'same' | 'offset' | 'valOffset' | 'register' | 'expression' | 'valExpression';
  readonly value: number;
  readonly length: number;
}
interface Row {
  cfaRegister: number;
  cfaOffset: number;
  /** Address and length of an expression; length 0: register and offset count. */
  cfaExpression: number;
  cfaLength: number;
  rules: Map<number, Rule>;
}

const MAX_OPS = 10_000;
const MAX_STACK = 64;
const OMIT = 0xff;
const INDIRECT = 0x80;

/** Reads little-endian fields of guest memory one after the other. */
class Cursor {
  readonly memory: GuestMemory;
  at: number;
  constructor(memory: GuestMemory, at: number) {
    this.memory = memory;
    this.at = at;
  }
  u8(): number {
    return this.memory.u8(this.at++);
  }
  u16(): number {
    const v = this.memory.u16(this.at);
    this.at += 2;
    return v;
  }
  u32(): number {
    const v = this.memory.u32(this.at);
    this.at += 4;
    return v;
  }
  i32(): number {
    return this.u32() | 0;
  }
  u64(): bigint {
    const v = this.memory.u64(this.at);
    this.at += 8;
    return v;
  }
  uleb(): number {
    let v = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const b = this.u8();
      v += (b & 0x7f) * 2 ** shift;
      if (b < 0x80) break;
    }
    return v;
  }
  sleb(): number {
    let v = 0n;
    for (let shift = 0n; shift < 70n; ) {
      const b = this.u8();
      v |= BigInt(b & 0x7f) << shift;
      shift += 7n;
      if (b < 0x80) return Number(BigInt.asIntN(Number(shift), v));
    }
    return Number(BigInt.asIntN(64, v));
  }
  /** A pointer in a DW_EH_PE encoding. */
  pointer(encoding: number, dataBase: number): number {
    const start = this.at;
    let v: number;
    switch (encoding & 0xf) {
      case 0: case 4: v = Number(this.u64()); break;
      case 1: v = this.uleb(); break;
      case 2: v = this.u16(); break;
      case 3: v = this.u32(); break;
      case 9: v = this.sleb(); break;
      case 10: v = (this.u16() << 16) >> 16; break;
      case 11: v = this.i32(); break;
      case 12: v = Number(BigInt.asIntN(64, this.u64())); break;
      default: throw new Malformed();
    }
    if ((encoding & 0x70) === 0x10) v += start;
    else if ((encoding & 0x70) === 0x30) v += dataBase;
    return (encoding & INDIRECT) !== 0 ? Number(this.memory.u64(v)) : v;
  }
}

class Malformed extends Error {}

interface Cie {
  readonly codeAlign: number;
  readonly dataAlign: number;
  readonly returnColumn: number;
  readonly encoding: number;
  readonly signal: boolean;
  readonly start: number;
  readonly end: number;
  readonly augmented: boolean;
}

export interface Step {
  readonly registers: Registers;
  /** The frame stepped out of was made by a signal: its caller was interrupted, not calling. */
  readonly signal: boolean;
}

/**
 * The registers of the caller. `header`: guest address of .eh_frame_hdr; `pc`: an address inside the instruction that
 * is being executed or that made the call. Undefined where the information ends.
 */
export function unwindStep(memory: GuestMemory, abi: FrameAbi, header: number, pc: number, registers: Registers): Step | undefined {
  try {
    const fde = findFde(memory, header, pc);
    if (fde === undefined) return undefined;
    const row = rowFor(memory, fde.cie, fde.at, fde.end, fde.start, pc);
    return { registers: apply(memory, abi, fde.cie, row, registers), signal: fde.cie.signal };
  } catch (error) {
    if (error instanceof GuestFault || error instanceof Malformed) return undefined;
    throw error;
  }
}

/** The description of the function at `pc`, by the sorted table in the header. */
function findFde(memory: GuestMemory, header: number, pc: number): { cie: Cie; at: number; end: number; start: number } | undefined {
  const c = new Cursor(memory, header);
  const version = c.u8();
  const frameEncoding = c.u8();
  const countEncoding = c.u8();
  const tableEncoding = c.u8();
  // 4-byte, signed, relative to the header: what every linker writes.
  if (version !== 1 || countEncoding === OMIT || tableEncoding !== 0x3b) return undefined;
  c.pointer(frameEncoding, header);
  const count = c.pointer(countEncoding, header);
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (header + (memory.u32(c.at + 8 * middle) | 0) <= pc) low = middle + 1;
    else high = middle;
  }
  if (low === 0) return undefined;
  const at = header + (memory.u32(c.at + 8 * (low - 1) + 4) | 0);
  const f = new Cursor(memory, at);
  const length = f.u32();
  if (length === 0 || length === 0xffffffff) return undefined;
  const end = f.at + length;
  const back = f.at;
  const cie = readCie(memory, back - f.u32());
  const start = f.pointer(cie.encoding, header);
  const size = f.pointer(cie.encoding & 0xf, header);
  if (pc < start || pc >= start + size) return undefined;
  if (cie.augmented) {
    const skip = f.uleb();
    f.at += skip;
  }
  return { cie, at: f.at, end, start };
}

function readCie(memory: GuestMemory, at: number): Cie {
  const c = new Cursor(memory, at);
  const length = c.u32();
  const end = c.at + length;
  if (length === 0 || length === 0xffffffff || c.u32() !== 0) throw new Malformed();
  const version = c.u8();
  let augmentation = '';
  for (let b = c.u8(); b !== 0; b = c.u8()) {
    augmentation += String.fromCharCode(b);
    if (augmentation.length > 8) throw new Malformed();
  }
  const codeAlign = c.uleb();
  const dataAlign = c.sleb();
  const returnColumn = version === 1 ? c.u8() : c.uleb();
  let encoding = 0;
  let signal = false;
  const augmented = augmentation.startsWith('z');
  let start = c.at;
  if (augmented) {
    const size = c.uleb();
    start = c.at + size;
    for (const letter of augmentation.slice(1)) {
      if (letter === 'R') encoding = c.u8();
      else if (letter === 'P') c.pointer(c.u8() & ~INDIRECT, 0);
      else if (letter === 'L') c.u8();
      else if (letter === 'S') signal = true;
      else break;
    }
  } else if (augmentation !== '') throw new Malformed();
  return { codeAlign, dataAlign, returnColumn, encoding, signal, start, end, augmented };
}

const copy = (row: Row): Row => ({ ...row, rules: new Map(row.rules) });

function rowFor(memory: GuestMemory, cie: Cie, at: number, end: number, start: number, pc: number): Row {
  const row: Row = { cfaRegister: 0, cfaOffset: 0, cfaExpression: 0, cfaLength: 0, rules: new Map() };
  execute(memory, cie, cie.start, cie.end, row, 0, Number.POSITIVE_INFINITY, undefined);
  const initial = new Map(row.rules);
  execute(memory, cie, at, end, row, start, pc, initial);
  return row;
}

/** Run call frame instructions until they speak of code beyond `pc`. */
function execute(
  memory: GuestMemory, cie: Cie, at: number, end: number, row: Row, start: number, pc: number,
  initial: ReadonlyMap<number, Rule> | undefined,
): void {
  const c = new Cursor(memory, at);
  const saved: Row[] = [];
  let location = start;
  const set = (register: number, kind: Rule['kind'], value = 0, length = 0): void => {
    row.rules.set(register, { kind, value, length });
  };
  const block = (): [number, number] => {
    const length = c.uleb();
    const where = c.at;
    c.at += length;
    return [where, length];
  };
  const cfa = (register: number, offset: number): void => {
    row.cfaRegister = register;
    row.cfaOffset = offset;
    row.cfaLength = 0;
  };
  const restore = (register: number): void => {
    const rule = initial?.get(register);
    if (rule === undefined) row.rules.delete(register);
    else row.rules.set(register, rule);
  };
  for (let n = 0; c.at < end; n++) {
    if (n > MAX_OPS) throw new Malformed();
    const byte = c.u8();
    const low = byte & 0x3f;
    let advance = 0;
    switch (byte >> 6) {
      case 1: advance = low; break;
      case 2: set(low, 'offset', c.uleb() * cie.dataAlign); break;
      case 3: restore(low); break;
      default:
        switch (low) {
          case 0x00: break;
          case 0x01: {
            const to = c.pointer(cie.encoding, 0);
            if (to > pc) return;
            location = to;
            break;
          }
          case 0x02: advance = c.u8(); break;
          case 0x03: advance = c.u16(); break;
          case 0x04: advance = c.u32(); break;
          case 0x05: set(c.uleb(), 'offset', c.uleb() * cie.dataAlign); break;
          case 0x06: restore(c.uleb()); break;
          case 0x07: set(c.uleb(), 'undefined'); break;
          case 0x08: set(c.uleb(), 'same'); break;
          case 0x09: set(c.uleb(), 'register', c.uleb()); break;
          case 0x0a:
            if (saved.length > MAX_STACK) throw new Malformed();
            saved.push(copy(row));
            break;
          case 0x0b: {
            const before = saved.pop();
            if (before === undefined) throw new Malformed();
            Object.assign(row, before);
            break;
          }
          case 0x0c: cfa(c.uleb(), c.uleb()); break;
          case 0x0d: row.cfaRegister = c.uleb(); row.cfaLength = 0; break;
          case 0x0e: row.cfaOffset = c.uleb(); break;
          case 0x0f: [row.cfaExpression, row.cfaLength] = block(); break;
          case 0x10: set(c.uleb(), 'expression', ...block()); break;
          case 0x11: set(c.uleb(), 'offset', c.sleb() * cie.dataAlign); break;
          case 0x12: cfa(c.uleb(), c.sleb() * cie.dataAlign); break;
          case 0x13: row.cfaOffset = c.sleb() * cie.dataAlign; break;
          case 0x14: set(c.uleb(), 'valOffset', c.uleb() * cie.dataAlign); break;
          case 0x15: set(c.uleb(), 'valOffset', c.sleb() * cie.dataAlign); break;
          case 0x16: set(c.uleb(), 'valExpression', ...block()); break;
          case 0x2e: c.uleb(); break; // DW_CFA_GNU_args_size
          default: throw new Malformed();
        }
    }
    if (advance !== 0) {
      location += advance * cie.codeAlign;
      if (location > pc) return;
    }
  }
}

function apply(memory: GuestMemory, abi: FrameAbi, cie: Cie, row: Row, registers: Registers): Registers {
  const base = registers[row.cfaRegister];
  if (row.cfaLength === 0 && base === undefined) throw new Malformed();
  const cfa = row.cfaLength > 0
    ? evaluate(memory, row.cfaExpression, row.cfaLength, registers, [])
    : BigInt.asUintN(64, (base as bigint) + BigInt(row.cfaOffset));
  const result = [...registers];
  result[abi.stackPointer] = cfa;
  for (const [register, rule] of row.rules) {
    switch (rule.kind) {
      case 'undefined': result[register] = undefined; break;
      case 'same': break;
      case 'offset': result[register] = memory.u64(Number(cfa) + rule.value); break;
      case 'valOffset': result[register] = BigInt.asUintN(64, cfa + BigInt(rule.value)); break;
      case 'register': result[register] = registers[rule.value]; break;
      case 'expression': result[register] = memory.u64(Number(evaluate(memory, rule.value, rule.length, registers, [cfa]))); break;
      default: result[register] = evaluate(memory, rule.value, rule.length, registers, [cfa]);
    }
  }
  result[abi.returnAddress] = result[cie.returnColumn];
  return result;
}

/** A DWARF expression, as far as call frame information uses them. */
function evaluate(memory: GuestMemory, at: number, length: number, registers: Registers, stack: bigint[]): bigint {
  const c = new Cursor(memory, at);
  const pop = (): bigint => {
    const v = stack.pop();
    if (v === undefined) throw new Malformed();
    return v;
  };
  const push = (v: bigint | number | undefined): void => {
    if (v === undefined || stack.length > MAX_STACK) throw new Malformed();
    stack.push(BigInt.asUintN(64, BigInt(v)));
  };
  const signed = (v: bigint): bigint => BigInt.asIntN(64, v);
  const binary = (f: (a: bigint, b: bigint) => bigint | boolean): void => {
    const b = pop();
    push(BigInt(f(pop(), b)));
  };
  while (c.at < at + length) {
    const op = c.u8();
    if (op >= 0x30 && op <= 0x4f) push(op - 0x30);
    else if (op >= 0x70 && op <= 0x8f) {
      const base = registers[op - 0x70];
      const offset = c.sleb();
      push(base === undefined ? undefined : base + BigInt(offset));
    } else {
      switch (op) {
        case 0x03: push(c.u64()); break;
        case 0x06: push(memory.u64(Number(pop()))); break;
        case 0x08: push(c.u8()); break;
        case 0x09: push((c.u8() << 24) >> 24); break;
        case 0x0a: push(c.u16()); break;
        case 0x0b: push((c.u16() << 16) >> 16); break;
        case 0x0c: push(c.u32()); break;
        case 0x0d: push(c.i32()); break;
        case 0x10: push(c.uleb()); break;
        case 0x11: push(c.sleb()); break;
        case 0x12: push(stack.at(-1)); break;
        case 0x13: pop(); break;
        case 0x14: push(stack.at(-2)); break;
        case 0x16: { const a = pop(); const b = pop(); push(a); push(b); break; }
        case 0x1a: binary((a, b) => a & b); break;
        case 0x1c: binary((a, b) => a - b); break;
        case 0x1e: binary((a, b) => a * b); break;
        case 0x1f: push(-pop()); break;
        case 0x20: push(~pop()); break;
        case 0x21: binary((a, b) => a | b); break;
        case 0x22: binary((a, b) => a + b); break;
        case 0x23: push(pop() + BigInt(c.uleb())); break;
        case 0x24: binary((a, b) => a << (b & 63n)); break;
        case 0x25: binary((a, b) => a >> (b & 63n)); break;
        case 0x26: binary((a, b) => signed(a) >> (b & 63n)); break;
        case 0x27: binary((a, b) => a ^ b); break;
        case 0x29: binary((a, b) => signed(a) === signed(b)); break;
        case 0x2a: binary((a, b) => signed(a) >= signed(b)); break;
        case 0x2b: binary((a, b) => signed(a) > signed(b)); break;
        case 0x2c: binary((a, b) => signed(a) <= signed(b)); break;
        case 0x2d: binary((a, b) => signed(a) < signed(b)); break;
        case 0x2e: binary((a, b) => signed(a) !== signed(b)); break;
        default: throw new Malformed();
      }
    }
  }
  return pop();
}
