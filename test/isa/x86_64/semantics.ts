/**
 * The judge: one case natively, through decoder → IR → interpreter and through decoder → IR → WebAssembly, and how the
 * outcomes differ.
 */
import { Builder, type Block } from '../../../src/ir/builder.ts';
import { type Exit, interpret, type InterpreterMemory, MemoryFault } from '../../../src/ir/interpreter.ts';
import { printRegion } from '../../../src/ir/printer.ts';
import { verify } from '../../../src/ir/verifier.ts';
import { CC_A, CC_B, CC_C, CC_OP, STATE } from '../../../src/isa/x86_64/cpu-state.ts';
import { CpuModel, FEATURES, setCpuModel } from '../../../src/isa/x86_64/cpuid.ts';
import { CC_FLAGS } from '../../../src/isa/x86_64/flags.ts';
import { X86Frontend } from '../../../src/isa/x86_64/frontend.ts';
import type { Insn } from '../../../src/isa/x86_64/insn.ts';
import { constantPool } from '../../../src/isa/x86_64/simd/constants.ts';
import { TRAP } from '../../../src/isa/x86_64/traps.ts';
import { CODE, DATA, DATA_SIZE, GS_BASE, nativeExecutor, type NativeResult, type NativeState, newState, XMM } from './native-executor.ts';
import { RegionRunner } from '../../jit/run-region.ts';
import { type Case, CODE_AT } from './generate.ts';

// everything there is, as the host is taken to have it
setCpuModel(new CpuModel(Object.keys(FEATURES)));
export const frontend = new X86Frontend();
const STATE_SIZE = 0x10000;
const GPR = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'];

// ---- register file ↔ state memory ----

export function loadState(state: Uint8Array, s: NativeState): void {
  const view = new DataView(state.buffer, state.byteOffset);
  state.fill(0, 0, STATE.end);
  s.gpr.forEach((v, k) => view.setBigUint64(STATE.gpr + 8 * k, v, true));
  view.setUint32(STATE.ccA, Number(s.rflags & 0x8d5n), true);
  view.setUint32(STATE.df, Number((s.rflags >> 10n) & 1n), true);
  view.setUint32(STATE.rflagsRest, Number(s.rflags & 0x244100n), true);
  const fx = new DataView(s.fx.buffer, s.fx.byteOffset);
  view.setUint32(STATE.mxcsr, fx.getUint32(24, true), true);
  state.set(s.fx.subarray(XMM, XMM + 256), STATE.xmm);
  state.set(s.high, STATE.ymmHigh);
  const status = fx.getUint16(2, true);
  const top = (status >> 11) & 7;
  view.setUint32(STATE.x87Control, fx.getUint16(0, true), true);
  view.setUint32(STATE.x87Status, status & ~0x3800, true);
  view.setUint32(STATE.x87Top, top, true);
  view.setUint32(STATE.x87Tag, fx.getUint8(4), true);
  for (let i = 0; i < 8; i++) state.set(s.fx.subarray(32 + 16 * i, 42 + 16 * i), STATE.x87 + 16 * ((top + i) & 7));
  view.setBigUint64(STATE.gsBase, BigInt(GS_BASE), true);
  view.setUint16(STATE.selectors + 2, 0x33, true);
  view.setUint16(STATE.selectors + 4, 0x2b, true);
}
export function storeState(state: Uint8Array): NativeState {
  const view = new DataView(state.buffer, state.byteOffset);
  const s = newState();
  for (let k = 0; k < 16; k++) s.gpr[k] = view.getBigUint64(STATE.gpr + 8 * k, true);
  s.rflags = BigInt((view.getUint32(STATE.ccA, true) & 0x8d5) | 0x202 | (view.getUint32(STATE.df, true) << 10) | view.getUint32(STATE.rflagsRest, true));
  const fx = new DataView(s.fx.buffer);
  fx.setUint32(24, view.getUint32(STATE.mxcsr, true), true);
  s.fx.set(state.subarray(STATE.xmm, STATE.xmm + 256), XMM);
  s.high.set(state.subarray(STATE.ymmHigh, STATE.ymmHigh + 256));
  const top = view.getUint32(STATE.x87Top, true);
  fx.setUint16(0, view.getUint32(STATE.x87Control, true), true);
  fx.setUint16(2, view.getUint32(STATE.x87Status, true) | (top << 11), true);
  fx.setUint8(4, view.getUint32(STATE.x87Tag, true));
  for (let i = 0; i < 8; i++) s.fx.set(state.subarray(STATE.x87 + 16 * ((top + i) & 7), STATE.x87 + 16 * ((top + i) & 7) + 10), 32 + 16 * i);
  return s;
}

// ---- the emulated side ----

export interface Outcome {
  readonly state: NativeState;
  readonly data: Uint8Array;
  /** Guest pc afterwards, or of the faulting instruction. */
  readonly rip: number;
  /** CPU exception number, -1 for none. */
  readonly exception: number;
  /** Address of a page fault. */
  readonly address: bigint;
  /** Emulated only: it was a memory access that failed. */
  readonly fault?: boolean;
}

/** DATA with its read-only page; anything else faults at the first byte that is not there. */
function guestMemory(data: Uint8Array): InterpreterMemory {
  const check = (addr: bigint, size: number, write: boolean): number => {
    const end = BigInt(DATA + (write ? DATA_SIZE : data.length));
    if (addr < BigInt(DATA) || addr >= end) throw new MemoryFault(addr, write);
    if (addr + BigInt(size) > end) throw new MemoryFault(end, write);
    return Number(addr) - DATA;
  };
  return {
    load: (addr, target) => {
      const at = check(addr, target.length, false);
      target.set(data.subarray(at, at + target.length));
    },
    store: (addr, source) => data.set(source, check(addr, source.length, true)),
  };
}

const builder = new Builder(frontend.vars);
const flagsBuilder = new Builder(frontend.vars);
const flagsEntry = flagsBuilder.newBlock();
flagsBuilder.begin(flagsEntry);
flagsBuilder.set(CC_A, flagsBuilder.i64.extend_i32_u(flagsBuilder.call(CC_FLAGS, [CC_OP, CC_A, CC_B, CC_C].map((v) => flagsBuilder.get(v)))[0] as never));
flagsBuilder.end({ kind: 'jump', pc: 0 });

/** Decode all of `bytes` at the address it natively runs at. */
export function decodeAll(bytes: Uint8Array): Insn[] {
  const list: Insn[] = [];
  for (let at = 0; at < bytes.length; ) {
    const insn = frontend.decode(bytes, at, CODE + CODE_AT + at);
    if (insn === undefined) throw new Error(`decoder: ${hex(bytes)} is incomplete at byte ${at}`);
    list.push(insn);
    at += insn.length;
  }
  return list;
}
export interface Translated {
  readonly ir: Builder;
  readonly entry: Block;
}
/** IR of a straight run of instructions; every way out is a jump. The builder is reused by the next call. */
export function translate(insns: readonly Insn[]): Translated {
  const ir = builder;
  ir.reset();
  const exits = new Map<number, Block>();
  const ctx = {
    ir,
    block: (pc: number): Block => {
      let b = exits.get(pc);
      if (b === undefined) exits.set(pc, (b = ir.newBlock(pc)));
      return b;
    },
  };
  const entry = ir.newBlock((insns[0] as Insn).pc);
  ir.begin(entry);
  frontend.beginRegion(ctx);
  frontend.beginBlock(ctx, entry, undefined);
  for (const insn of insns) {
    if (!ir.open) break;
    ir.insn(insn.pc);
    frontend.emit(ctx, insn);
  }
  const last = insns[insns.length - 1] as Insn;
  if (ir.open) ir.goto(ctx.block(last.pc + last.length));
  // a block may be its own exit (rep loops jump to themselves): begin whatever is not yet begun
  for (const [pc, block] of exits) {
    if (block.start >= 0) continue;
    ir.begin(block);
    ir.end({ kind: 'jump', pc });
  }
  return { ir, entry };
}

/** Where control went, for all kinds of exit. */
export function outcomeOf(exit: Exit, state: Uint8Array, data: Uint8Array): Outcome {
  interpret(flagsBuilder, flagsEntry, { state, memory: guestMemory(data) });
  const result = storeState(state);
  let exception = -1;
  let address = 0n;
  if (exit.kind === 'trap') exception = exit.code;
  else if (exit.kind === 'fault') {
    exception = TRAP.page;
    address = exit.address;
    // no such address in the 48-bit space: the processor raises #GP (or #SS) instead
    const high = BigInt.asIntN(64, exit.address) >> 47n;
    if (high !== 0n && high !== -1n) {
      exception = TRAP.protection;
      address = 0n;
    }
  }
  return { state: result, data, rip: Number(BigInt.asUintN(64, exit.pc)), exception, address, fault: exit.kind === 'fault' };
}

const stateBuffer = new Uint8Array(STATE_SIZE);
stateBuffer.set(constantPool.bytes, constantPool.offset);
/** Plain floating point asks for exact: as the emulator does, but from the beginning of the case. */
function goOnExact(outcome: Outcome, again: () => Outcome): Outcome {
  if (outcome.exception !== TRAP.exactFloat) return outcome;
  frontend.exactFloat = true;
  try {
    return again();
  } finally {
    frontend.exactFloat = false;
  }
}

export function runInterpreted(c: Case, insns = decodeAll(c.bytes)): Outcome {
  return goOnExact(interpretCase(c, insns), () => interpretCase(c, insns));
}
function interpretCase(c: Case, insns: readonly Insn[]): Outcome {
  loadState(stateBuffer, c.state);
  const data = c.data.slice();
  let { ir, entry } = translate(insns);
  const problems = verify(ir, entry);
  if (problems.length > 0) throw new Error(`IR of ${insns.map((i) => frontend.format(i)).join('; ')}:\n${problems.join('\n')}\n${printRegion(ir)}`);
  let exit = interpret(ir, entry, { state: stateBuffer, memory: guestMemory(data) });
  // an instruction that repeats itself leaves by a jump to itself
  for (let turns = 0; exit.kind === 'jump' && exit.pc === BigInt(CODE + CODE_AT) && insns.length === 1 && insns[0]?.flow === 'next' && turns < 1000; turns++) {
    ({ ir, entry } = translate(insns));
    exit = interpret(ir, entry, { state: stateBuffer, memory: guestMemory(data) });
  }
  return outcomeOf(exit, stateBuffer, data);
}

// ---- the emulated side as WebAssembly ----

/** Guest memory up to the end of DATA; there is no read-only page and no hole in it, so cases that fault cannot be run. */
const WASM_PAGES = Math.ceil((DATA + DATA_SIZE + 0x1000) / 65536);
let wasm: { readonly runner: RegionRunner; readonly data: Uint8Array } | undefined;

/** For cases whose native outcome is no page fault. */
export function runWasm(c: Case, insns = decodeAll(c.bytes)): Outcome {
  return goOnExact(wasmCase(c, insns), () => wasmCase(c, insns));
}
function wasmCase(c: Case, insns: readonly Insn[]): Outcome {
  if (wasm === undefined) {
    const memory = new WebAssembly.Memory({ address: 'i64', initial: BigInt(WASM_PAGES), maximum: BigInt(WASM_PAGES), shared: true });
    wasm = { runner: new RegionRunner(frontend, memory, WASM_PAGES), data: new Uint8Array(memory.buffer, DATA, DATA_SIZE + 0x1000) };
  }
  const { runner, data } = wasm;
  data.set(c.data);
  loadState(runner.state.subarray(0, STATE.end), c.state);
  const start = BigInt(CODE + CODE_AT);
  let exit: ReturnType<RegionRunner['run']>;
  for (let turns = 0; ; turns++) {
    const { ir, entry } = translate(insns);
    exit = runner.run(ir, entry);
    if (exit.kind !== 'left' || exit.pc !== start || insns.length !== 1 || insns[0]?.flow !== 'next' || turns > 1000) break;
  }
  if (exit.kind === 'fault') throw new Error('WebAssembly faulted where the processor did not', { cause: exit.error });
  const state = runner.state.slice(0, STATE.end);
  const pc = exit.pc;
  return outcomeOf(exit.kind === 'trap' ? { kind: 'trap', pc, code: exit.code as number } : { kind: 'jump', pc }, state, data.slice());
}

// ---- the native side ----

export function runNative(c: Case): Outcome {
  const native = nativeExecutor();
  native.data.set(c.data.subarray(0, DATA_SIZE));
  native.fillReadOnly(c.data.subarray(DATA_SIZE));
  const result = native.run(c.bytes, c.state, CODE_AT);
  return { state: result, data: native.data.slice(), ...whereTo(result, c.bytes.length) };
}
/** Undo what the int3 filler does to a jump out of the bytes; the kernel's signals back to exception numbers. */
function whereTo(r: NativeResult, length: number): { rip: number; exception: number; address: bigint } {
  if (r.signal === 0) return { rip: r.rip, exception: -1, address: 0n };
  const inside = (pc: number): boolean => pc >= CODE + CODE_AT && pc < CODE + CODE_AT + length;
  if (r.signal === 5 && r.trapNumber === 3 && !inside(r.rip - 1)) return { rip: r.rip - 1, exception: -1, address: 0n };
  // a jump to where nothing can be executed arrived
  if (r.signal === 11 && !inside(r.rip) && (r.trapNumber === 14 ? r.siAddr === BigInt(r.rip) : true)) return { rip: r.rip, exception: -1, address: 0n };
  return { rip: r.rip, exception: r.trapNumber, address: r.trapNumber === 14 ? r.siAddr : 0n };
}

// ---- comparison ----

export interface CompareOptions {
  /** Status flags to ignore, as bits. */
  readonly ignoreFlags?: number;
  /** Compare the exception flags in MXCSR and the x87 status word. */
  readonly sticky?: boolean;
  /** FXSAVE: bits of MXCSR_MASK beyond 0xffff (AMD has one more) are ignored wherever they stand in memory. */
  readonly mxcsrMask?: boolean;
  /** Approximate instructions: XMM lanes as f32 may differ by this relative error. */
  readonly tolerance?: number;
}
const hex = (b: Uint8Array): string => [...b].map((v) => v.toString(16).padStart(2, '0')).join(' ');
const hex64 = (v: bigint): string => v.toString(16).padStart(16, '0');

/** Differences, one line each: "what: native … emulated …". */
export function compare(native: Outcome, emulated: Outcome, options: CompareOptions = {}): string[] {
  const out: string[] = [];
  const say = (what: string, a: string, b: string): void => void out.push(`${what}: native ${a}, emulated ${b}`);
  // a non-canonical address is #SS instead of #GP through the stack pointer
  const exception = native.exception === TRAP.stack && emulated.fault === true ? TRAP.protection : native.exception;
  // a jump to a non-canonical address faults at the jump; the emulated one has arrived where nothing is
  if (exception === TRAP.protection && emulated.exception < 0 && emulated.rip >= 2 ** 47) return out;
  if (exception !== emulated.exception) say('exception', String(native.exception), String(emulated.exception));
  if (native.rip !== emulated.rip) say('rip', native.rip.toString(16), emulated.rip.toString(16));
  // which byte of an access that crosses into a forbidden page is named differs between processors and instructions
  const apart = native.address - emulated.address;
  if (apart > 512n || apart < -512n) say('fault address', native.address.toString(16), emulated.address.toString(16));
  const a = native.state;
  const b = emulated.state;
  for (let k = 0; k < 16; k++) if (a.gpr[k] !== b.gpr[k]) say(GPR[k] as string, hex64(a.gpr[k] as bigint), hex64(b.gpr[k] as bigint));
  const mask = 0x240cd5n & ~BigInt(options.ignoreFlags ?? 0);
  if ((a.rflags & mask) !== (b.rflags & mask)) say('rflags', flagText(a.rflags), flagText(b.rflags));
  for (let k = 0; k < 16; k++) {
    const x = a.fx.subarray(XMM + 16 * k, XMM + 16 * k + 16);
    const y = b.fx.subarray(XMM + 16 * k, XMM + 16 * k + 16);
    if (!same(x, y) && !(options.tolerance !== undefined && close(x, y, options.tolerance))) say(`xmm${k}`, hex(x), hex(y));
    const xHigh = a.high.subarray(16 * k, 16 * k + 16);
    const yHigh = b.high.subarray(16 * k, 16 * k + 16);
    if (nativeExecutor().hasAvx && !same(xHigh, yHigh) && !(options.tolerance !== undefined && close(xHigh, yHigh, options.tolerance))) say(`ymm${k} upper half`, hex(xHigh), hex(yHigh));
    if (k < 8 && !same(a.fx.subarray(32 + 16 * k, 42 + 16 * k), b.fx.subarray(32 + 16 * k, 42 + 16 * k))) say(`st${k}`, hex(a.fx.subarray(32 + 16 * k, 42 + 16 * k)), hex(b.fx.subarray(32 + 16 * k, 42 + 16 * k)));
  }
  const word = (s: NativeState, at: number, size: number): number => (size === 4 ? new DataView(s.fx.buffer, s.fx.byteOffset).getUint32(at, true) : new DataView(s.fx.buffer, s.fx.byteOffset).getUint16(at, true));
  const field = (name: string, at: number, size: number, bits: number): void => {
    if ((word(a, at, size) & bits) !== (word(b, at, size) & bits)) say(name, word(a, at, size).toString(16), word(b, at, size).toString(16));
  };
  field('mxcsr', 24, 4, options.sticky === true ? 0xffff : 0xffc0);
  field('fcw', 0, 2, 0xffff);
  field('fsw', 2, 2, 0xffff);
  field('ftw', 4, 2, 0xff);
  if (options.mxcsrMask === true) for (let k = 0; k < native.data.length; k += 16) if (emulated.data[k + 12] === 0xff && emulated.data[k + 13] === 0xff && emulated.data[k + 14] === 0) native.data[k + 14] = 0;
  if (!same(native.data, emulated.data)) {
    for (let k = 0; k < native.data.length; k++) {
      if (native.data[k] === emulated.data[k]) continue;
      const at = k & ~15;
      say(`memory ${(DATA + at).toString(16)}`, hex(native.data.subarray(at, at + 16)), hex(emulated.data.subarray(at, at + 16)));
      k = at + 15;
    }
  }
  return out;
}
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
function close(a: Uint8Array, b: Uint8Array, tolerance: number): boolean {
  const x = new Float32Array(a.slice().buffer);
  const y = new Float32Array(b.slice().buffer);
  const xi = new Uint32Array(x.buffer);
  const yi = new Uint32Array(y.buffer);
  return x.every((v, k) => xi[k] === yi[k] || Math.abs(v - (y[k] as number)) <= tolerance * Math.abs(v));
}
const flagText = (f: bigint): string => ([['C', 0], ['P', 2], ['A', 4], ['Z', 6], ['S', 7], ['D', 10], ['O', 11]] as const).map(([n, bit]) => ((f >> BigInt(bit)) & 1n ? n : '-')).join('');

/** A case as text: assembly, bytes, and the registers and memory it starts from. */
export function describeCase(c: Case, insns: readonly Insn[]): string {
  const lines = insns.map((i) => `${i.pc.toString(16)}: ${hex(c.bytes.subarray(i.pc - CODE - CODE_AT, i.pc - CODE - CODE_AT + i.length)).padEnd(30)} ${frontend.format(i)}`);
  c.state.gpr.forEach((v, k) => (lines[lines.length - (k % 4 === 0 ? 0 : 1)] = `${k % 4 === 0 ? '' : `${lines[lines.length - 1]} `}${(GPR[k] as string).padStart(3)}=${hex64(v)}`));
  lines.push(`rflags=${flagText(c.state.rflags)} mxcsr=${new DataView(c.state.fx.buffer).getUint32(24, true).toString(16)} fsw=${new DataView(c.state.fx.buffer).getUint16(2, true).toString(16)} ftw=${c.state.fx[4]?.toString(16)}`);
  const used = new Set<number>([0]);
  for (const i of insns) for (const n of [i.reg, i.rm, i.vvvv, i.imm2 >> 4, i.index]) if (n >= 0 && n < 16) used.add(n);
  for (const n of used) lines.push(`xmm${n}=${hex(c.state.fx.subarray(XMM + 16 * n, XMM + 16 * n + 16))} upper ${hex(c.state.high.subarray(16 * n, 16 * n + 16))}`);
  for (const n of used) if (n < 8 && insns.some((i) => i.enc.operands.some((o) => 'PQN'.includes(o.place)))) lines.push(`st${n}=${hex(c.state.fx.subarray(32 + 16 * n, 42 + 16 * n))}`);
  return lines.join('\n');
}
