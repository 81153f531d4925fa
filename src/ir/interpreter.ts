/**
 * The reference executor: runs built IR one operation at a time over a state buffer and a guest-memory interface.
 * What the tests compare translated code with, and what executes single instructions where a program asks for that (the trap
 * flag, emulator/single-step.ts); it is slow, precise and shares nothing with the lowering in jit/.
 *
 * Numeric operations, loads and stores are executed by WebAssembly functions of one operation each (KERNELS), so their
 * meaning, NaN payloads included, is the engine's own. Everything else (variables, control, helpers, state, atomics)
 * is executed here.
 *
 * Invariants:
 * - Values and temporaries live in 16-byte slots of the kernels' memory, never as JavaScript floats, so that no NaN is
 *   changed on the way.
 * - ISA variables live in the state buffer at their offset: at a fault the state is what had been set until then.
 */
import { type Block, Builder, type Helper, type HelperEnv, type Var } from './builder.ts';
import { ATOMIC_KINDS, LOADS, OP, OPS, type OpInfo, STORES, type Type, type Value } from './ops.ts';

/** Guest memory as the interpreter needs it. An access that is not allowed throws MemoryFault and writes nothing. */
export interface InterpreterMemory {
  load(addr: bigint, target: Uint8Array): void;
  store(addr: bigint, source: Uint8Array): void;
  /**
   * If the bytes at `addr` are `expected`, make them `replacement`, with nothing in between; what was there. Where others
   * use the memory at the same time; without it, loads and stores do.
   */
  compareExchange?(addr: bigint, expected: Uint8Array, replacement: Uint8Array): Uint8Array;
}

/** A guest access that the mappings forbid. */
export class MemoryFault extends Error {
  readonly address: bigint;
  readonly write: boolean;
  constructor(address: bigint, write: boolean) {
    super(`guest ${write ? 'write' : 'read'} at 0x${address.toString(16)} is not allowed`);
    this.address = address;
    this.write = write;
  }
}

/** How a run ended. `pc` of a trap or fault is that of the guest instruction. */
export type Exit =
  | { readonly kind: 'jump' | 'jumpIndirect' | 'ret' | 'syscall'; readonly pc: bigint }
  | { readonly kind: 'call' | 'callIndirect'; readonly pc: bigint; readonly returnPc: bigint }
  | { readonly kind: 'trap'; readonly pc: bigint; readonly code: number }
  | { readonly kind: 'fault'; readonly pc: bigint; readonly address: bigint; readonly write: boolean };

export interface InterpretOptions {
  /** State memory: ISA variables at their offsets, and what `stateLoad`/`stateStore` and helpers use. */
  readonly state: Uint8Array;
  readonly memory: InterpreterMemory;
  readonly processor?: HelperEnv['processor'];
  /** Operations executed before the run is given up with an Error (default 1e6). */
  readonly limit?: number;
}

const SLOT = 16;
/** First slot: bytes on their way to or from memory. */
const SCRATCH = 0;
const ZERO = new Uint8Array(16);

/** Made when first needed: the start-up snapshot cannot hold one. */
let wasmMemory: WebAssembly.Memory | undefined;
let bytes = new Uint8Array(0);
let view = new DataView(bytes.buffer);

function reserve(end: number): void {
  if (end <= bytes.length) return;
  wasmMemory ??= new WebAssembly.Memory({ initial: 0 });
  wasmMemory.grow(Math.max(16, Math.ceil((end - bytes.length) / 65536)));
  bytes = new Uint8Array(wasmMemory.buffer);
  view = new DataView(wasmMemory.buffer);
}

// ---- kernels: one WebAssembly function an operation ----

type Kernel = (target: number, a: number, b: number, c: number) => void;
const LOAD_OP: Record<Type, number[]> = { i32: [0x28], i64: [0x29], f32: [0x2a], f64: [0x2b], v128: [0xfd, 0] };
const STORE_OP: Record<Type, number[]> = { i32: [0x36], i64: [0x37], f32: [0x38], f64: [0x39], v128: [0xfd, 11] };
const SIZE: Record<Type, number> = { i32: 4, i64: 8, f32: 4, f64: 8, v128: 16 };

const leb = (n: number): number[] => (n < 128 ? [n] : [(n & 127) | 128, ...leb(n >>> 7)]);
const section = (id: number, content: number[]): number[] => [id, ...leb(content.length), ...content];
const opcode = (id: number): number[] => (id < 0x100 ? [id] : [id >= 0x200 ? 0xfd : 0xfc, ...leb(id >= 0x200 ? id - 0x200 : id - 0x100)]);

/** Body for one operation: operands are loaded from the slots at parameters 1…3, the result stored at parameter 0. */
function kernelBody(info: OpInfo, lane: number): number[] {
  const code: number[] = [];
  const memarg = [0, 0];
  if (info.kind === 'load') {
    code.push(0x20, 0, 0x20, 1, ...opcode(info.id), ...memarg, ...STORE_OP[info.result as Type], ...memarg);
  } else if (info.kind === 'store') {
    const type = info.args[1] as Type;
    code.push(0x20, 0, 0x20, 1, ...LOAD_OP[type], ...memarg, ...opcode(info.id), ...memarg);
  } else {
    code.push(0x20, 0);
    info.args.forEach((type, k) => code.push(0x20, k + 1, ...LOAD_OP[type], ...memarg));
    code.push(...opcode(info.id));
    if (info.kind === 'lane') code.push(lane);
    code.push(...STORE_OP[info.result as Type], ...memarg);
  }
  return [0, ...code, 0x0b];
}
const lanesOf = (info: OpInfo): number => Number(/x(\d+)\./.exec(info.name)?.[1]);

function compileKernels(): Map<number, Kernel[]> {
  const list: { id: number; body: number[] }[] = [];
  for (const info of OPS) {
    if (info === undefined || info.kind === 'special') continue;
    const lanes = info.kind === 'lane' ? lanesOf(info) : 1;
    for (let lane = 0; lane < lanes; lane++) list.push({ id: info.id, body: kernelBody(info, lane) });
  }
  const name = [...new TextEncoder().encode('m')];
  const module = [
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, [1, 0x60, 4, 0x7f, 0x7f, 0x7f, 0x7f, 0]),
    ...section(2, [1, 1, ...name, 1, ...name, 2, 0, 1]),
    ...section(3, [...leb(list.length), ...list.map(() => 0)]),
    ...section(7, [...leb(list.length), ...list.flatMap((_, k) => { const n = [...new TextEncoder().encode(String(k))]; return [n.length, ...n, 0, ...leb(k)]; })]),
    ...section(10, [...leb(list.length), ...list.flatMap((k) => [...leb(k.body.length), ...k.body])]),
  ];
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(module)), { m: { m: wasmMemory } });
  const kernels = new Map<number, Kernel[]>();
  list.forEach(({ id }, k) => {
    const lanes = kernels.get(id);
    const f = exports[k] as Kernel;
    if (lanes === undefined) kernels.set(id, [f]);
    else lanes.push(f);
  });
  return kernels;
}
let kernels: Map<number, Kernel[]> | undefined;
const kernel = (id: number, lane = 0): Kernel => {
  kernels ??= compileKernels();
  const f = kernels.get(id)?.[lane];
  if (f === undefined) throw new Error(`interpreter: operation ${OPS[id]?.name ?? id} (lane ${lane}) does not exist`);
  return f;
};

// ---- helpers ----

interface BuiltHelper {
  readonly ir: Builder;
  readonly params: readonly Var[];
  readonly entry: Block;
}
const builtHelpers = new WeakMap<Helper, BuiltHelper>();

/** Build a helper's body: its parameters are the first temporaries. */
export function buildHelper(helper: Helper): BuiltHelper {
  const known = builtHelpers.get(helper);
  if (known !== undefined) return known;
  if (helper.build === undefined) throw new Error(`helper ${helper.name} has no IR body`);
  const ir = new Builder([]);
  const params = helper.params.map((type) => ir.temp(type));
  const entry = ir.newBlock();
  ir.begin(entry);
  helper.build(ir, ...params.map((v) => ir.get(v)));
  if (ir.open) throw new Error(`helper ${helper.name}: a path does not end with ret`);
  const built = { ir, params, entry };
  builtHelpers.set(helper, built);
  return built;
}

// ---- execution ----

interface Machine {
  readonly state: Uint8Array;
  readonly memory: InterpreterMemory;
  readonly env: HelperEnv;
  left: number;
  /** Guest pc of the instruction being executed. */
  pc: number;
  /** First free byte of the kernels' memory. */
  top: number;
}

/** Run `ir` from `entry` until control leaves it. */
export function interpret(ir: Builder, entry: Block, options: InterpretOptions): Exit {
  const { state } = options;
  const stateView = new DataView(state.buffer, state.byteOffset, state.byteLength);
  const machine: Machine = {
    state,
    memory: options.memory,
    env: {
      state: stateView,
      compareExchange: (address, size, at) => {
        const operands = state.subarray(at, at + 32);
        operands.set(exchangeBytes(options.memory, BigInt(address), operands.slice(0, size), operands.slice(16, 16 + size)));
        return true;
      },
      ...(options.processor === undefined ? {} : { processor: options.processor }),
    },
    left: options.limit ?? 1e6,
    pc: entry.pc,
    top: SLOT,
  };
  try {
    const exit = new Frame(machine, ir).run(entry);
    if (exit.kind === 'return') throw new Error('interpreter: a region ended in return');
    return exit;
  } catch (e) {
    if (e instanceof MemoryFault) return { kind: 'fault', pc: BigInt(machine.pc), address: e.address, write: e.write };
    throw e;
  }
}

class Frame {
  readonly #machine: Machine;
  readonly #ir: Builder;
  readonly #base: number;
  readonly #temps: number;
  constructor(machine: Machine, ir: Builder) {
    this.#machine = machine;
    this.#ir = ir;
    this.#base = machine.top;
    this.#temps = this.#base + ir.count * SLOT;
    machine.top = this.#temps + ir.vars.length * SLOT;
    reserve(machine.top);
  }
  slot(v: number): number {
    return this.#base + v * SLOT;
  }
  setVar(v: Var, source: number): void {
    const size = SIZE[v.type];
    if (v.offset >= 0) this.#machine.state.set(bytes.subarray(source, source + size), v.offset);
    else bytes.copyWithin(this.#temps + v.index * SLOT, source, source + size);
  }

  run(entry: Block): Exit | { readonly kind: 'return'; readonly values: readonly Value[] } {
    const ir = this.#ir;
    const m = this.#machine;
    for (let block = entry; ; ) {
      if (block.term === undefined) throw new Error(`interpreter: block ${block.id} was never built`);
      for (let v = block.start; v < block.end; v++) {
        if (--m.left < 0) throw new Error('interpreter: operation limit reached');
        this.#step(v);
      }
      const t = block.term;
      switch (t.kind) {
        case 'goto':
          block = t.to;
          break;
        case 'branch':
          block = view.getInt32(this.slot(t.cond), true) !== 0 ? t.then : t.else;
          break;
        case 'switch':
          block = t.targets[view.getUint32(this.slot(t.index), true)] ?? t.otherwise;
          break;
        case 'jump':
          return { kind: 'jump', pc: BigInt(t.pc) };
        case 'jumpIndirect':
        case 'ret':
          return { kind: t.kind, pc: view.getBigUint64(this.slot(t.pc), true) };
        case 'call':
          return { kind: 'call', pc: BigInt(t.pc), returnPc: BigInt(t.returnPc) };
        case 'callIndirect':
          return { kind: 'callIndirect', pc: view.getBigUint64(this.slot(t.pc), true), returnPc: BigInt(t.returnPc) };
        case 'syscall':
          return { kind: 'syscall', pc: BigInt(t.nextPc) };
        case 'trap':
          return { kind: 'trap', pc: BigInt(t.pc), code: t.code };
        case 'return':
          return t;
      }
      if (ir.blocks[block.id] !== block) throw new Error(`interpreter: block ${block.id} belongs to another builder`);
      if (--m.left < 0) throw new Error('interpreter: operation limit reached (loop)');
    }
  }

  #step(v: number): void {
    const ir = this.#ir;
    const m = this.#machine;
    const op = ir.op[v] as number;
    const a = ir.a[v] as number;
    const b = ir.b[v] as number;
    const c = ir.c[v] as number;
    const target = this.slot(v);
    const info = OPS[op] as OpInfo;
    switch (info.kind) {
      case 'pure':
      case 'div':
        kernel(op)(target, this.slot(a), this.slot(b), this.slot(c));
        return;
      case 'lane':
        kernel(op, c)(target, this.slot(a), this.slot(b), 0);
        return;
      case 'load': {
        const size = accessSize(info);
        m.memory.load(BigInt.asUintN(64, view.getBigInt64(this.slot(a), true) + BigInt(c)), bytes.subarray(SCRATCH, SCRATCH + size));
        kernel(op)(target, SCRATCH, 0, 0);
        return;
      }
      case 'store':
        kernel(op)(SCRATCH, this.slot(b), 0, 0);
        m.memory.store(BigInt.asUintN(64, view.getBigInt64(this.slot(a), true) + BigInt(c)), bytes.subarray(SCRATCH, SCRATCH + accessSize(info)));
        return;
      case 'special':
    }
    switch (op) {
      case OP.const32:
      case OP.constf32:
        view.setInt32(target, a, true);
        return;
      case OP.const64:
      case OP.constf64:
        view.setInt32(target, a, true);
        view.setInt32(target + 4, b, true);
        return;
      case OP.const128:
        bytes.set(ir.vectors[a] as Uint8Array, target);
        return;
      case OP.get: {
        const variable = ir.vars[a] as Var;
        const size = SIZE[variable.type];
        if (variable.offset >= 0) bytes.set(m.state.subarray(variable.offset, variable.offset + size), target);
        else bytes.copyWithin(target, this.#temps + a * SLOT, this.#temps + a * SLOT + size);
        return;
      }
      case OP.set:
        this.setVar(ir.vars[a] as Var, this.slot(b));
        return;
      case OP.select: {
        const source = this.slot(view.getInt32(this.slot(a), true) !== 0 ? b : c);
        bytes.copyWithin(target, source, source + SLOT);
        return;
      }
      case OP.shuffle: {
        const lanes = ir.vectors[c] as Uint8Array;
        for (let k = 0; k < 16; k++) {
          const lane = lanes[k] as number;
          bytes[target + k] = bytes[lane < 16 ? this.slot(a) + lane : this.slot(b) + lane - 16] as number;
        }
        return;
      }
      case OP.stateLoad: {
        const at = b + (a < 0 ? 0 : view.getUint32(this.slot(a), true));
        const size = accessSize(OPS[c] as OpInfo);
        bytes.set(stateRange(m.state, at, size), SCRATCH);
        kernel(c)(target, SCRATCH, 0, 0);
        return;
      }
      case OP.stateStore: {
        const store = c >>> 20;
        const at = (c & 0xfffff) + (a < 0 ? 0 : view.getUint32(this.slot(a), true));
        const size = accessSize(OPS[store] as OpInfo);
        kernel(store)(SCRATCH, this.slot(b), 0, 0);
        stateRange(m.state, at, size).set(bytes.subarray(SCRATCH, SCRATCH + size));
        return;
      }
      case OP.call:
        this.#call(v, ir.helpers[a] as Helper, ir.args.slice(b, b + c));
        return;
      case OP.result:
        return; // written by its call
      case OP.insn:
        m.pc = ir.marks[a] as number;
        return;
      case OP.fence:
        return;
      case OP.mulHiU:
        view.setBigUint64(target, (view.getBigUint64(this.slot(a), true) * view.getBigUint64(this.slot(b), true)) >> 64n, true);
        return;
      case OP.mulHiS:
        view.setBigInt64(target, (view.getBigInt64(this.slot(a), true) * view.getBigInt64(this.slot(b), true)) >> 64n, true);
        return;
      case OP.atomicRmw: {
        const size = c & 0xff;
        const addr = view.getBigUint64(this.slot(a), true);
        const operand = this.#integer(b, size);
        const kind = ATOMIC_KINDS[(c >> 8) & 0xff] as 'add';
        for (let old = this.#loadInteger(addr, size); ; ) {
          const value = { add: old + operand, sub: old - operand, and: old & operand, or: old | operand, xor: old ^ operand, xchg: operand }[kind];
          const found = this.#exchange(addr, size, old, value);
          if (found === old) {
            this.#setInteger(v, size, old);
            return;
          }
          old = found;
        }
      }
      case OP.probeWrite: {
        const addr = view.getBigUint64(this.slot(a), true) + BigInt(b);
        for (const at of [addr, addr + BigInt(c - 1)].map((n) => BigInt.asUintN(64, n))) this.#storeInteger(at, 1, this.#loadInteger(at, 1));
        return;
      }
      case OP.atomicCmpxchg: {
        const addr = view.getBigUint64(this.slot(a), true);
        const size = c & 0xff;
        const old = this.#exchange(addr, size, this.#integer(ir.args[b] as number, size), this.#integer(ir.args[b + 1] as number, size));
        this.#setInteger(v, size, old);
        return;
      }
      default:
        throw new Error(`interpreter: unknown operation ${op}`);
    }
  }

  #integer(v: number, size: number): bigint {
    return BigInt.asUintN(size * 8, size === 8 ? view.getBigUint64(this.slot(v), true) : BigInt(view.getUint32(this.slot(v), true)));
  }
  #setInteger(v: number, size: number, value: bigint): void {
    if (size === 8) view.setBigUint64(this.slot(v), value, true);
    else view.setUint32(this.slot(v), Number(value), true);
  }
  #loadInteger(addr: bigint, size: number): bigint {
    bytes.set(ZERO, SCRATCH);
    this.#machine.memory.load(addr, bytes.subarray(SCRATCH, SCRATCH + size));
    return view.getBigUint64(SCRATCH, true);
  }
  #storeInteger(addr: bigint, size: number, value: bigint): void {
    view.setBigUint64(SCRATCH, BigInt.asUintN(64, value), true);
    this.#machine.memory.store(addr, bytes.subarray(SCRATCH, SCRATCH + size));
  }

  #exchange(addr: bigint, size: number, expected: bigint, value: bigint): bigint {
    const old = exchangeBytes(this.#machine.memory, addr, littleEndian(expected, size), littleEndian(value, size));
    return old.reduceRight((n, byte) => (n << 8n) | BigInt(byte), 0n);
  }

  #call(v: number, helper: Helper, args: readonly Value[]): void {
    const results = this.#resultSlots(v);
    if (helper.js !== undefined) {
      const values = args.map((arg, k) => readNumber(helper.params[k] as Type, this.slot(arg)));
      const out = helper.js(this.#machine.env, ...values);
      if (helper.results.length > 1) throw new Error(`helper ${helper.name}: JavaScript returns one result at most`);
      if (helper.results.length === 1) writeNumber(helper.results[0] as Type, this.slot(v), out as number | bigint);
      return;
    }
    const built = buildHelper(helper);
    const top = this.#machine.top;
    const frame = new Frame(this.#machine, built.ir);
    built.params.forEach((p, k) => frame.setVar(p, this.slot(args[k] as Value)));
    const exit = frame.run(built.entry);
    if (exit.kind !== 'return') throw new Error(`helper ${helper.name} ended in ${exit.kind}`);
    exit.values.forEach((value, k) => {
      for (const slot of results(k)) bytes.copyWithin(slot, frame.slot(value), frame.slot(value) + SLOT);
    });
    this.#machine.top = top;
  }
  /** Where result `k` of the call at `v` goes: the call itself, or the `result` operations after it. */
  #resultSlots(v: number): (k: number) => number[] {
    return (k) => {
      if (k === 0) return [this.slot(v)];
      const slots: number[] = [];
      for (let r = v + 1; this.#ir.op[r] === OP.result && r < this.#ir.count; r++) if (this.#ir.a[r] === v && this.#ir.b[r] === k) slots.push(this.slot(r));
      return slots;
    };
  }
}

const SIZES = new Map<number, number>([...Object.values(LOADS), ...Object.values(STORES)].map(([id, , size]) => [id, size]));
const accessSize = (info: OpInfo): number => SIZES.get(info.id) as number;

/** Like the hardware, write in any case: a read-only page faults even if the comparison fails. */
function exchangeBytes(memory: InterpreterMemory, addr: bigint, expected: Uint8Array, replacement: Uint8Array): Uint8Array {
  if (memory.compareExchange !== undefined) return memory.compareExchange(addr, expected, replacement);
  const old = new Uint8Array(expected.length);
  memory.load(addr, old);
  memory.store(addr, old.every((byte, k) => byte === expected[k]) ? replacement : old);
  return old;
}
function littleEndian(value: bigint, size: number): Uint8Array {
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigUint64(0, BigInt.asUintN(64, value), true);
  return out.subarray(0, size);
}
function stateRange(state: Uint8Array, at: number, size: number): Uint8Array {
  if (at + size > state.length) throw new Error(`interpreter: state access at ${at} past the end of the state (${state.length} bytes)`);
  return state.subarray(at, at + size);
}
function readNumber(type: Type, slot: number): number | bigint {
  switch (type) {
    case 'i32':
      return view.getInt32(slot, true);
    case 'i64':
      return view.getBigInt64(slot, true);
    case 'f32':
      return view.getFloat32(slot, true);
    case 'f64':
      return view.getFloat64(slot, true);
    case 'v128':
      throw new Error('interpreter: v128 cannot be passed to JavaScript');
  }
}
function writeNumber(type: Type, slot: number, value: number | bigint): void {
  switch (type) {
    case 'i32':
      view.setInt32(slot, Number(value) | 0, true);
      return;
    case 'i64':
      if (typeof value !== 'bigint') throw new Error('interpreter: an i64 result of JavaScript must be a bigint');
      view.setBigInt64(slot, BigInt.asIntN(64, value), true);
      return;
    case 'f32':
      view.setFloat32(slot, Number(value), true);
      return;
    case 'f64':
      view.setFloat64(slot, Number(value), true);
      return;
    case 'v128':
      throw new Error('interpreter: v128 cannot come from JavaScript');
  }
}
