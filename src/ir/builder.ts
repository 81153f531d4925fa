/**
 * Builds the IR of one region (or one helper): blocks of operations in typed arrays, folded as they are made.
 *
 * Invariants (checked by verifier.ts):
 * - A value is an index into the arrays; it is used only where its definition dominates.
 * - Guest variables are the only state that survives a block border implicitly; `get`/`set` name them.
 * - The values of one block are contiguous: [block.start, block.end).
 * - Every reachable block ends in exactly one terminator.
 */
import {
  ALIGNED,
  ATOMIC_KINDS,
  type AtomicKind,
  LOADS,
  type LoadName,
  type Numeric,
  numericMethods,
  OP,
  OPS,
  STORES,
  type StoreName,
  type Type,
  type Value,
} from './ops.ts';

export type { Value } from './ops.ts';

/** A guest register, flag component or temporary. */
export interface Var {
  readonly index: number;
  readonly name: string;
  readonly type: Type;
  /** Where it lives in state memory at region borders; -1 for a temporary, which has no life there. */
  readonly offset: number;
}

/** A function outside the region that operations may call: IR of its own, or JavaScript. */
export interface Helper {
  readonly name: string;
  readonly params: readonly Type[];
  readonly results: readonly Type[];
  /** 'pure': depends on its arguments only; 'state': may read or write state memory (not variables) or guest memory. */
  readonly effect: 'pure' | 'state';
  /** Compiled by the optimising compiler whoever calls it. */
  readonly optimised?: boolean;
  /** Emits the body: end every path with `ir.ret([...])`. */
  readonly build?: (ir: Builder, ...params: Value[]) => void;
  /** JavaScript body; i64 arguments and results are bigint; no v128. */
  readonly js?: (env: HelperEnv, ...args: (number | bigint)[]) => number | bigint | undefined;
}
/** What a JavaScript helper may use. */
export interface HelperEnv {
  /** State memory of the running guest thread. */
  readonly state: DataView;
  /**
   * LOCK CMPXCHG of 2, 4, 8 or 16 bytes by the host's processor, for what WebAssembly has no atomic operation for:
   * any alignment up to 8 bytes, a multiple of 16 for 16. In state memory at `at`: 16 bytes expected, 16 bytes
   * replacement; the former become what was there. False: the memory cannot be written, and nothing was done.
   */
  compareExchange(address: number, size: number, at: number): boolean;
  /** The processor the thread runs on, and its node, as the operating system tells them; absent: the first of one. */
  processor?(): { readonly cpu: number; readonly node: number };
}

export type Terminator =
  | { readonly kind: 'goto'; readonly to: Block }
  | { readonly kind: 'branch'; readonly cond: Value; readonly then: Block; readonly else: Block }
  | { readonly kind: 'switch'; readonly index: Value; readonly targets: readonly Block[]; readonly otherwise: Block }
  /** To guest code outside the region. `flagsDead` here and below: which does not read the flags it begins with. */
  | { readonly kind: 'jump'; readonly pc: number; readonly flagsDead?: boolean }
  /** `spent`: have somebody look whether anything is pending on the way. `likely`, here and below: where it goes as a rule. */
  | { readonly kind: 'jumpIndirect'; readonly pc: Value; readonly spent?: boolean; readonly likely?: number }
  /** The frontend has stored the return address where the ISA keeps it; control comes back at `next`. */
  | {
      readonly kind: 'call';
      readonly pc: number;
      readonly returnPc: number;
      readonly next: Block;
      readonly flagsDead?: boolean;
    }
  | { readonly kind: 'callIndirect'; readonly pc: Value; readonly returnPc: number; readonly next: Block; readonly likely?: number }
  | { readonly kind: 'ret'; readonly pc: Value }
  | { readonly kind: 'syscall'; readonly nextPc: number; readonly next: Block }
  /** A guest exception at `pc`; `code` is the ISA's, `info` an address or 0. Registers are as they were before the instruction. */
  | { readonly kind: 'trap'; readonly pc: number; readonly code: number }
  | { readonly kind: 'return'; readonly values: readonly Value[] };

export class Block {
  readonly id: number;
  /** Guest pc of its first instruction, or -1 inside an instruction. */
  readonly pc: number;
  start = -1;
  end = -1;
  term: Terminator | undefined = undefined;
  /** It leads back into a loop whose head is no guest instruction: where going round is counted, as at the head of others. */
  leadsBack = false;
  constructor(id: number, pc: number) {
    this.id = id;
    this.pc = pc;
  }
}

const INITIAL = 4096;

export class Builder implements Numeric {
  readonly i32: Numeric['i32'];
  readonly i64: Numeric['i64'];
  readonly f32: Numeric['f32'];
  readonly f64: Numeric['f64'];
  readonly v128: Numeric['v128'];
  readonly i8x16: Numeric['i8x16'];
  readonly i16x8: Numeric['i16x8'];
  readonly i32x4: Numeric['i32x4'];
  readonly i64x2: Numeric['i64x2'];
  readonly f32x4: Numeric['f32x4'];
  readonly f64x2: Numeric['f64x2'];

  /** Number of values; arrays are valid below it. */
  count = 0;
  op = new Uint16Array(INITIAL);
  a = new Int32Array(INITIAL);
  b = new Int32Array(INITIAL);
  c = new Int32Array(INITIAL);
  /** Result type of `call` and `result` and memory-less specials, by value, where the op does not tell. */
  readonly types = new Map<number, Type>();
  readonly vectors: Uint8Array[] = [];
  /** Arguments of calls and operands beyond three. */
  readonly args: Value[] = [];
  /** Guest pc of each `insn` mark. */
  readonly marks: number[] = [];
  readonly helpers: Helper[] = [];
  readonly blocks: Block[] = [];
  /** ISA variables first, then temporaries. */
  readonly vars: Var[];
  readonly #isaVars: number;
  #block: Block | undefined = undefined;
  /** The value each variable is known to hold here, or -1. */
  #known: Int32Array;

  constructor(isaVars: readonly Var[]) {
    this.vars = [...isaVars];
    this.#isaVars = isaVars.length;
    this.#known = new Int32Array(isaVars.length + 64).fill(-1);
    const n = numericMethods((op, a, b, c) => this.#numeric(op, a, b, c));
    this.i32 = n.i32;
    this.i64 = n.i64;
    this.f32 = n.f32;
    this.f64 = n.f64;
    this.v128 = n.v128;
    this.i8x16 = n.i8x16;
    this.i16x8 = n.i16x8;
    this.i32x4 = n.i32x4;
    this.i64x2 = n.i64x2;
    this.f32x4 = n.f32x4;
    this.f64x2 = n.f64x2;
  }

  /** Forget everything and build another region with the same arrays. */
  reset(): void {
    this.count = 0;
    this.types.clear();
    this.vectors.length = 0;
    this.args.length = 0;
    this.marks.length = 0;
    this.helpers.length = 0;
    this.blocks.length = 0;
    this.vars.length = this.#isaVars;
    this.#block = undefined;
  }

  // ---- blocks ----

  newBlock(pc = -1): Block {
    const block = new Block(this.blocks.length, pc);
    this.blocks.push(block);
    return block;
  }
  /** Operations from here on belong to `block`. */
  begin(block: Block): void {
    if (this.#block !== undefined) throw new Error(`block ${this.#block.id} has no terminator`);
    if (block.start >= 0) throw new Error(`block ${block.id} is begun twice`);
    block.start = this.count;
    this.#block = block;
    this.#known.fill(-1);
  }
  /** True between `begin` and a terminator. */
  get open(): boolean {
    return this.#block !== undefined;
  }
  end(term: Terminator): void {
    const block = this.#block;
    if (block === undefined) throw new Error(`terminator ${term.kind} outside a block`);
    block.end = this.count;
    block.term = term;
    this.#block = undefined;
  }
  /** Take back the terminator of the block ended last, to go on with it. */
  reopen(block: Block): void {
    if (this.#block !== undefined || block.end !== this.count)
      throw new Error(`block ${block.id} cannot be gone on with`);
    block.term = undefined;
    this.#block = block;
  }
  goto(to: Block): void {
    this.end({ kind: 'goto', to });
  }
  /** `cond` is an i32; non-zero goes to `then`. */
  branch(cond: Value, then: Block, otherwise: Block): void {
    const k = this.constantOf(cond);
    if (k !== undefined) this.goto(k !== 0n ? then : otherwise);
    else this.end({ kind: 'branch', cond, then, else: otherwise });
  }
  switch(index: Value, targets: readonly Block[], otherwise: Block): void {
    this.end({ kind: 'switch', index, targets, otherwise });
  }
  /** Return from a helper. */
  ret(values: readonly Value[]): void {
    this.end({ kind: 'return', values });
  }
  trap(pc: number, code: number): void {
    this.end({ kind: 'trap', pc, code });
  }
  /** `if (cond) body()`; for a body that must not run otherwise. Values made in it are its own. */
  if(cond: Value, body: () => void, otherwise?: () => void): void {
    const then = this.newBlock();
    const after = this.newBlock();
    const no = otherwise === undefined ? after : this.newBlock();
    this.branch(cond, then, no);
    this.begin(then);
    body();
    if (this.open) this.goto(after);
    if (otherwise !== undefined) {
      this.begin(no);
      otherwise();
      if (this.open) this.goto(after);
    }
    this.begin(after);
  }
  /** Repeats `body` while the i32 it returns is non-zero (at least once). */
  loop(body: () => Value): void {
    const head = this.newBlock();
    const after = this.newBlock();
    this.goto(head);
    this.begin(head);
    const again = body();
    this.end({ kind: 'branch', cond: again, then: head, else: after });
    this.begin(after);
  }

  // ---- variables ----

  /** A temporary that may be read and written across blocks. Its value before the first `set` is undefined. */
  temp(type: Type): Var {
    const v: Var = { index: this.vars.length, name: `t${this.vars.length}`, type, offset: -1 };
    this.vars.push(v);
    if (v.index >= this.#known.length) {
      const bigger = new Int32Array(this.#known.length * 2).fill(-1);
      bigger.set(this.#known);
      this.#known = bigger;
    }
    this.#known[v.index] = -1;
    return v;
  }
  get(v: Var): Value {
    const known = this.#known[v.index] as number;
    if (known >= 0) return known as Value;
    const value = this.#push(OP.get, v.index, -1, -1);
    this.#known[v.index] = value;
    return value;
  }
  /** The value `v` is known to hold here without looking, or undefined. */
  known(v: Var): Value | undefined {
    const known = this.#known[v.index] as number;
    return known >= 0 ? (known as Value) : undefined;
  }
  set(v: Var, value: Value): void {
    if (this.#known[v.index] === value) return;
    this.#push(OP.set, v.index, value, -1);
    this.#known[v.index] = value;
  }

  // ---- constants ----

  const32(n: number): Value {
    return this.#push(OP.const32, n | 0, -1, -1);
  }
  /** An integer in ±2^53 or any bigint; taken modulo 2^64. */
  const64(n: number | bigint): Value {
    if (typeof n === 'bigint') {
      const lo = Number(BigInt.asIntN(32, n));
      return this.#push(OP.const64, lo, Number(BigInt.asIntN(32, n >> 32n)), -1);
    }
    return this.#push(OP.const64, n | 0, Math.floor(n / 4294967296) | 0, -1);
  }
  constF32(bits: number): Value {
    return this.#push(OP.constf32, bits | 0, -1, -1);
  }
  constF64(bits: bigint): Value {
    return this.#push(OP.constf64, Number(BigInt.asIntN(32, bits)), Number(BigInt.asIntN(32, bits >> 32n)), -1);
  }
  /** 16 bytes, lane 0 first. */
  const128(bytes: ArrayLike<number>): Value {
    this.vectors.push(Uint8Array.from(bytes));
    return this.#push(OP.const128, this.vectors.length - 1, -1, -1);
  }
  /** The unsigned integer a value is known to be, if it is a constant integer. */
  constantOf(v: Value): bigint | undefined {
    const op = this.op[v];
    if (op === OP.const32) return BigInt((this.a[v] as number) >>> 0);
    if (op === OP.const64) return BigInt((this.a[v] as number) >>> 0) | (BigInt((this.b[v] as number) >>> 0) << 32n);
    return undefined;
  }

  // ---- memory ----

  /** Guest memory at `addr` + `offset` modulo 2^64. Any alignment. */
  load(name: LoadName, addr: Value, offset = 0): Value {
    if (offset < 0 || offset >= 65536)
      return this.#push(LOADS[name][0], this.i64.add(addr, this.const64(offset)), -1, 0);
    return this.#push(LOADS[name][0], addr, -1, offset);
  }
  store(name: StoreName, addr: Value, value: Value, offset = 0): void {
    if (offset < 0 || offset >= 65536) this.#push(STORES[name][0], this.i64.add(addr, this.const64(offset)), value, 0);
    else this.#push(STORES[name][0], addr, value, offset);
  }
  /** State memory at `offset` (+ the i32 `addr`). Must not overlap a variable's slot. */
  stateLoad(name: LoadName, offset: number, addr?: Value): Value {
    return this.#push(OP.stateLoad, addr ?? -1, offset, LOADS[name][0]);
  }
  stateStore(name: StoreName, offset: number, value: Value, addr?: Value): void {
    this.#push(OP.stateStore, addr ?? -1, value, offset | (STORES[name][0] << 20));
  }
  /** Atomic read-modify-write of `size` bytes (1, 2, 4: i32; 8: i64), any alignment; the old value, zero-extended. */
  atomicRmw(kind: AtomicKind, size: 1 | 2 | 4 | 8, addr: Value, value: Value): Value {
    return this.#push(OP.atomicRmw, addr, value, size | (ATOMIC_KINDS.indexOf(kind) << 8));
  }
  /** `aligned`: the address is known to be a multiple of `size`. */
  atomicCmpxchg(size: 1 | 2 | 4 | 8, addr: Value, expected: Value, replacement: Value, aligned = false): Value {
    this.args.push(expected, replacement);
    return this.#push(OP.atomicCmpxchg, addr, this.args.length - 2, aligned ? size | ALIGNED : size);
  }
  /**
   * Writes nothing, but faults before anything after it if one of `size` ≤ 4096 bytes at `addr` + `offset` cannot be
   * written. To stand before stores that must be made all or none; 0 ≤ offset < 65536.
   */
  probeWrite(addr: Value, size: number, offset = 0): void {
    this.#push(OP.probeWrite, addr, offset, size);
  }
  fence(): void {
    this.#push(OP.fence, -1, -1, -1);
  }

  // ---- the rest ----

  select(cond: Value, ifNonZero: Value, ifZero: Value): Value {
    if (ifNonZero === ifZero) return ifZero;
    const k = this.constantOf(cond);
    if (k !== undefined) return k !== 0n ? ifNonZero : ifZero;
    return this.#push(OP.select, cond, ifNonZero, ifZero);
  }
  /** Lanes 0–15 of `a`, 16–31 of `b`. */
  shuffle(a: Value, b: Value, lanes: ArrayLike<number>): Value {
    this.vectors.push(Uint8Array.from(lanes));
    return this.#push(OP.shuffle, a, b, this.vectors.length - 1);
  }
  /** High 64 bits of the 128-bit product. */
  mulHiU(a: Value, b: Value): Value {
    return this.#push(OP.mulHiU, a, b, -1);
  }
  mulHiS(a: Value, b: Value): Value {
    return this.#push(OP.mulHiS, a, b, -1);
  }
  /** Call a helper; its results in order (none: empty). */
  call(helper: Helper, args: readonly Value[]): Value[] {
    let index = this.helpers.indexOf(helper);
    if (index < 0) index = this.helpers.push(helper) - 1;
    const first = this.args.length;
    for (const v of args) this.args.push(v);
    const v = this.#push(OP.call, index, first, args.length);
    return helper.results.map((_, k) => (k === 0 ? v : this.#push(OP.result, v, k, -1)));
  }
  /** A guest instruction begins here. */
  insn(pc: number): void {
    this.marks.push(pc);
    this.#push(OP.insn, this.marks.length - 1, -1, -1);
  }

  /** Type of a value (undefined: it has none). */
  typeOf(v: Value): Type | undefined {
    const op = this.op[v] as number;
    switch (op) {
      case OP.const32:
        return 'i32';
      case OP.const64:
      case OP.mulHiS:
      case OP.mulHiU:
        return 'i64';
      case OP.constf32:
        return 'f32';
      case OP.constf64:
        return 'f64';
      case OP.const128:
      case OP.shuffle:
        return 'v128';
      case OP.get:
        return (this.vars[this.a[v] as number] as Var).type;
      case OP.select:
        return this.typeOf(this.b[v] as Value);
      case OP.stateLoad:
        return OPS[this.c[v] as number]?.result;
      case OP.call:
        return (this.helpers[this.a[v] as number] as Helper).results[0];
      case OP.result:
        return (this.helpers[this.a[this.a[v] as number] as number] as Helper).results[this.b[v] as number];
      case OP.atomicRmw:
        return ((this.c[v] as number) & 0xff) === 8 ? 'i64' : 'i32';
      case OP.atomicCmpxchg:
        return ((this.c[v] as number) & 0xff) === 8 ? 'i64' : 'i32';
      default:
        return OPS[op]?.result;
    }
  }

  #push(op: number, a: number, b: number, c: number): Value {
    if (this.#block === undefined) throw new Error('operation outside a block');
    const v = this.count++;
    if (v === this.op.length) this.#grow();
    this.op[v] = op;
    this.a[v] = a;
    this.b[v] = b;
    this.c[v] = c;
    return v as Value;
  }
  #grow(): void {
    const n = this.op.length * 2;
    const op = new Uint16Array(n);
    op.set(this.op);
    this.op = op;
    for (const k of ['a', 'b', 'c'] as const) {
      const bigger = new Int32Array(n);
      bigger.set(this[k]);
      this[k] = bigger;
    }
  }

  /** A numeric operation, folded where its operands are constants or it changes nothing. */
  #numeric(op: number, a: number, b: number, c: number): Value {
    const folded = fold(this, op, a, b);
    return folded >= 0 ? (folded as Value) : this.#push(op, a, b, c);
  }
}

/** The value an integer operation comes to without an operation, or -1. */
function fold(ir: Builder, op: number, a: number, b: number): number {
  const opA = ir.op[a] as number;
  if (b < 0) {
    // i32.wrap_i64, i64.extend_i32_*: see through each other and constants
    if (op === 0xa7) {
      if (opA === OP.const64) return ir.const32(ir.a[a] as number);
      if (opA === 0xac || opA === 0xad) return ir.a[a] as number;
    } else if (op === 0xad) {
      if (opA === OP.const32) return ir.const64((ir.a[a] as number) >>> 0);
    } else if (op === 0xac) {
      if (opA === OP.const32) return ir.const64(ir.a[a] as number);
    } else if (op === 0x45 && opA === OP.const32) return ir.const32(ir.a[a] === 0 ? 1 : 0);
    else if (op === 0xbe && opA === 0xbc) return ir.a[a] as number;
    else if (op === 0xbf && opA === 0xbd) return ir.a[a] as number;
    return -1;
  }
  const opB = ir.op[b] as number;
  if (op >= 0x6a && op <= 0x78) {
    if (opB !== OP.const32) return -1;
    const y = ir.a[b] as number;
    if (opA === OP.const32) {
      const x = ir.a[a] as number;
      switch (op) {
        case 0x6a:
          return ir.const32((x + y) | 0);
        case 0x6b:
          return ir.const32((x - y) | 0);
        case 0x6c:
          return ir.const32(Math.imul(x, y));
        case 0x71:
          return ir.const32(x & y);
        case 0x72:
          return ir.const32(x | y);
        case 0x73:
          return ir.const32(x ^ y);
        case 0x74:
          return ir.const32(x << (y & 31));
        case 0x75:
          return ir.const32(x >> (y & 31));
        case 0x76:
          return ir.const32((x >>> (y & 31)) | 0);
        default:
          return -1;
      }
    }
    if (y === 0) return op === 0x6a || op === 0x6b || (op >= 0x72 && op <= 0x78) ? a : op === 0x71 ? ir.const32(0) : -1;
    if (y === -1 && op === 0x71) return a;
    return -1;
  }
  if (op >= 0x7c && op <= 0x8a) {
    if (opB !== OP.const64) return -1;
    const lo = ir.a[b] as number;
    const hi = ir.b[b] as number;
    if (opA === OP.const64) {
      const x = ir.constantOf(a as Value) as bigint;
      const y = ir.constantOf(b as Value) as bigint;
      switch (op) {
        case 0x7c:
          return ir.const64(x + y);
        case 0x7d:
          return ir.const64(x - y);
        case 0x7e:
          return ir.const64(x * y);
        case 0x83:
          return ir.const64(x & y);
        case 0x84:
          return ir.const64(x | y);
        case 0x85:
          return ir.const64(x ^ y);
        case 0x86:
          return ir.const64(x << (y & 63n));
        case 0x88:
          return ir.const64(x >> (y & 63n));
        default:
          return -1;
      }
    }
    if (lo === 0 && hi === 0)
      return op === 0x7c || op === 0x7d || (op >= 0x84 && op <= 0x8a) ? a : op === 0x83 ? ir.const64(0) : -1;
    if (lo === -1 && hi === -1 && op === 0x83) return a;
    // (x + c1) + c2
    if (op === 0x7c && opA === 0x7c && ir.op[ir.b[a] as number] === OP.const64) {
      const sum = (ir.constantOf(ir.b[a] as Value) as bigint) + (ir.constantOf(b as Value) as bigint);
      return ir.i64.add(ir.a[a] as Value, ir.const64(sum));
    }
    return -1;
  }
  return -1;
}
