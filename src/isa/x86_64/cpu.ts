/** The guest's registers as the kernel layer, the hooks and the debugger see them: GuestCpu over state memory. */
import type { GuestCpu, SyscallFrame } from '../../kernel/ports.ts';
import type { CallRegisters } from '../../kernel/quick-call.ts';
import { FIXED_FLAGS, GPR_NAMES, INITIAL, REST_FLAGS, RFLAGS, STATE, STATUS_FLAGS, STEP_FLAGS } from './cpu-state.ts';
import { cpuModel } from './cpuid.ts';
import { statusFlags } from './flags.ts';
import type { FloatStatus } from './linux.ts';
import { needsExact } from './simd/float-environment.ts';
import { fxrstorState, FXSAVE_SIZE, fxsaveState, initialState, xrstorState, xsaveSize, xsaveState } from './fx-state.ts';

/** 64-bit registers by name; everything else has a case of its own. */
const WORDS = new Map<string, number>([...GPR_NAMES.map((name, k) => [name, STATE.gpr + 8 * k] as const), ['rip', STATE.rip], ['fs_base', STATE.fsBase], ['gs_base', STATE.gsBase]]);
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];
const argument = (n: number): number => STATE.gpr + 8 * n;
/** System-call arguments: rdi rsi rdx r10 r8 r9. */
const ARGUMENTS = [argument(7), argument(6), argument(2), argument(10), argument(8), argument(9)] as const;
const RAX = STATE.gpr;
/** The same for who makes calls from state memory itself. */
export const callRegisters: CallRegisters = { number: RAX, arguments: ARGUMENTS, result: RAX };
/** Words of r8 … r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp and rip. */
const SIGNAL_ORDER = [...[8, 9, 10, 11, 12, 13, 14, 15, 7, 6, 5, 3, 2, 0, 1, 4].map((n) => (STATE.gpr + 8 * n) >> 2), STATE.rip >> 2];
const RSP = STATE.gpr + 32;
/** RF cannot be seen by the guest; it is accepted and forgotten. */
const WRITABLE = STATUS_FLAGS | REST_FLAGS | RFLAGS.DF;

export class X86Cpu implements GuestCpu {
  /** CPUID.1:EDX, for AT_HWCAP. */
  static get hwcap(): number {
    return cpuModel.hwcap;
  }
  /** AT_HWCAP2: bit 1 says that programs may use RDFSBASE and its like. */
  static get hwcap2(): number {
    return cpuModel.has('fsgsbase') ? 2 : 0;
  }
  /** AT_MINSIGSTKSZ: the state in a signal frame and what stands around it (measured of Linux 6.x: 932 bytes and a magic number). */
  static get minSignalStack(): number {
    const state = cpuModel.has('xsave') ? xsaveSize(cpuModel.xcr0) + 4 : FXSAVE_SIZE;
    return Math.ceil((state + 932) / 16) * 16;
  }
  readonly registerNames: readonly string[] = [...GPR_NAMES, 'rip', 'eflags', ...SEGMENTS, 'fs_base', 'gs_base', 'mxcsr', 'fcw', 'fsw', 'ftw'];
  readonly #state: DataView;
  readonly #words: Int32Array;
  /** Told when MXCSR was given from outside of translated code what plain floating point does not do. */
  onFloatControl: (() => void) | undefined;

  /** Told when TF or AC was set from outside of translated code. */
  onStepping: (() => void) | undefined;

  constructor(state: ArrayBufferLike) {
    this.#state = new DataView(state);
    this.#words = new Int32Array(state, 0, STATE.end >> 2);
  }

  /** Registers as Linux gives them to a new program: everything zero but the control words and segments. */
  reset(): void {
    const s = this.#state;
    for (let at = 0; at < STATE.end; at += 8) s.setBigUint64(at, 0n, true);
    s.setInt32(STATE.mxcsr, INITIAL.mxcsr, true);
    s.setInt32(STATE.x87Control, INITIAL.x87Control, true);
    s.setInt32(STATE.selectors + 4, INITIAL.cs, true);
    s.setInt32(STATE.selectors + 8, INITIAL.ss, true);
  }

  getRegister(name: string): bigint | undefined {
    const s = this.#state;
    const at = WORDS.get(name);
    if (at !== undefined) return s.getBigUint64(at, true);
    switch (name) {
      case 'eflags': case 'rflags':
        return BigInt(this.eflags);
      case 'mxcsr':
        return BigInt(s.getUint32(STATE.mxcsr, true));
      case 'fcw':
        return BigInt(s.getUint32(STATE.x87Control, true));
      case 'fsw':
        return BigInt(s.getUint32(STATE.x87Status, true) | ((s.getUint32(STATE.x87Top, true) & 7) << 11));
      case 'ftw':
        return BigInt(s.getUint32(STATE.x87Tag, true));
      default: {
        const segment = SEGMENTS.indexOf(name);
        return segment < 0 ? undefined : BigInt(s.getUint32(STATE.selectors + 4 * segment, true));
      }
    }
  }
  setRegister(name: string, value: bigint): boolean {
    const s = this.#state;
    const at = WORDS.get(name);
    if (at !== undefined) {
      s.setBigUint64(at, BigInt.asUintN(64, value), true);
      return true;
    }
    const low = Number(BigInt.asIntN(32, value));
    switch (name) {
      case 'eflags': case 'rflags':
        this.eflags = low;
        return true;
      case 'mxcsr':
        s.setInt32(STATE.mxcsr, low & 0xffff, true);
        this.#checkFloat();
        return true;
      case 'fcw':
        s.setInt32(STATE.x87Control, (low & 0x1f7f) | 0x40, true);
        return true;
      case 'fsw':
        s.setInt32(STATE.x87Status, low & 0xc7ff, true);
        s.setInt32(STATE.x87Top, (low >> 11) & 7, true);
        return true;
      case 'ftw':
        s.setInt32(STATE.x87Tag, low & 0xff, true);
        return true;
      default: {
        const segment = SEGMENTS.indexOf(name);
        if (segment < 0) return false;
        s.setInt32(STATE.selectors + 4 * segment, low & 0xffff, true);
        return true;
      }
    }
  }

  /** r8 … rip in the order of struct sigcontext_64, as words from `at` on. */
  saveRegisters(words: Int32Array, at: number): void {
    const state = this.#words;
    for (let k = 0; k < SIGNAL_ORDER.length; k++) {
      const from = SIGNAL_ORDER[k] as number;
      words[at + 2 * k] = state[from] as number;
      words[at + 2 * k + 1] = state[from + 1] as number;
    }
  }
  loadRegisters(words: Int32Array, at: number): void {
    const state = this.#words;
    for (let k = 0; k < SIGNAL_ORDER.length; k++) {
      const to = SIGNAL_ORDER[k] as number;
      state[to] = words[at + 2 * k] as number;
      state[to + 1] = words[at + 2 * k + 1] as number;
    }
  }

  setArguments(a: number, b: number, c: number): void {
    this.#setWord(ARGUMENTS[0], a);
    this.#setWord(ARGUMENTS[1], b);
    this.#setWord(ARGUMENTS[2], c);
    this.#setWord(RAX, 0);
  }

  /** RFLAGS, computed from what the last instructions recorded. */
  get eflags(): number {
    const s = this.#state;
    const status = statusFlags(s.getInt32(STATE.ccOp, true), s.getBigUint64(STATE.ccA, true), s.getBigUint64(STATE.ccB, true), s.getBigUint64(STATE.ccC, true));
    return status | (s.getInt32(STATE.df, true) !== 0 ? RFLAGS.DF : 0) | s.getInt32(STATE.rflagsRest, true) | FIXED_FLAGS;
  }
  set eflags(value: number) {
    const s = this.#state;
    const v = value & WRITABLE;
    s.setInt32(STATE.ccOp, 0, true);
    s.setInt32(STATE.ccA, v & STATUS_FLAGS, true);
    s.setInt32(STATE.ccA + 4, 0, true);
    s.setInt32(STATE.df, (v & RFLAGS.DF) !== 0 ? 1 : 0, true);
    s.setInt32(STATE.rflagsRest, v & REST_FLAGS, true);
    if ((v & STEP_FLAGS) !== 0) this.onStepping?.();
  }
  /** The trap flag and the alignment-check flag, in place. */
  get stepFlags(): number {
    return this.#state.getInt32(STATE.rflagsRest, true) & STEP_FLAGS;
  }

  get pc(): number {
    return this.#word(STATE.rip);
  }
  set pc(value: number) {
    this.#setWord(STATE.rip, value);
  }
  get sp(): number {
    return this.#word(RSP);
  }
  set sp(value: number) {
    this.#setWord(RSP, value);
  }
  get tls(): bigint {
    return this.#state.getBigUint64(STATE.fsBase, true);
  }
  set tls(value: bigint) {
    this.#state.setBigUint64(STATE.fsBase, BigInt.asUintN(64, value), true);
  }

  loadSyscall(frame: SyscallFrame): void {
    const s = this.#state;
    frame.nr = s.getInt32(RAX, true); // the kernel looks at eax
    for (let k = 0; k < 6; k++) {
      const at = ARGUMENTS[k] as number;
      frame.u32[2 * k] = s.getUint32(at, true);
      frame.u32[2 * k + 1] = s.getUint32(at + 4, true);
    }
    frame.i64[6] = 0n;
    frame.i64[7] = 0n;
  }
  setSyscallResult(value: number | bigint): void {
    if (typeof value === 'bigint') this.#state.setBigInt64(RAX, BigInt.asIntN(64, value), true);
    else this.#setWord(RAX, value);
  }

  /** 16 bytes of xmm0…15 (`high`: of the upper half of ymm0…15), a copy. */
  getVector(n: number, high = false): Uint8Array {
    const at = this.#vector(n, high);
    return new Uint8Array(this.#state.buffer.slice(at, at + 16));
  }
  setVector(n: number, bytes: Uint8Array, high = false): void {
    if (bytes.length !== 16) throw new RangeError(`a vector register takes 16 bytes, not ${bytes.length}`);
    new Uint8Array(this.#state.buffer, this.#state.byteOffset + this.#vector(n, high), 16).set(bytes);
  }
  #vector(n: number, high: boolean): number {
    if (!(n >= 0 && n < 16)) throw new RangeError(`no vector register ${n}`);
    return (high ? STATE.ymmHigh : STATE.xmm) + 16 * n;
  }

  /** Components XSAVE covers, 0 without XSAVE; and the bytes its area, or else FXSAVE's, takes. */
  get extendedState(): number {
    return cpuModel.has('xsave') ? cpuModel.xcr0 : 0;
  }
  get floatingSize(): number {
    return this.extendedState === 0 ? FXSAVE_SIZE : xsaveSize(this.extendedState);
  }
  /** The XSAVE image, or without XSAVE the FXSAVE image: `floatingSize` bytes, for signal frames. */
  saveFloating(image: DataView): void {
    if (this.extendedState === 0) fxsaveState(this.#state, image);
    else xsaveState(this.#state, image, this.extendedState);
  }
  /** Load the components of `wanted` from an XSAVE image, the others become initial; false if the image is not valid. */
  restoreExtended(image: DataView, wanted: number): boolean {
    const done = xrstorState(this.#state, image, this.extendedState, wanted);
    this.#checkFloat();
    return done;
  }
  /** Load an FXSAVE image; the upper halves of the vector registers become zero. */
  restoreLegacy(image: DataView): void {
    initialState(this.#state);
    fxrstorState(this.#state, image);
    this.#checkFloat();
  }
  /** x87, SSE and AVX as at the start. */
  resetFloating(): void {
    initialState(this.#state);
  }

  #checkFloat(): void {
    if (needsExact(this.#state.getInt32(STATE.mxcsr, true))) this.onFloatControl?.();
  }
  /** Control and status words of both floating-point units. */
  get floatStatus(): FloatStatus {
    const s = this.#state;
    return { mxcsr: s.getUint32(STATE.mxcsr, true), x87Control: s.getUint32(STATE.x87Control, true), x87Status: s.getUint32(STATE.x87Status, true) };
  }

  #word(at: number): number {
    return this.#state.getUint32(at, true) + this.#state.getUint32(at + 4, true) * 4294967296;
  }
  #setWord(at: number, value: number): void {
    this.#state.setInt32(at, value | 0, true);
    this.#state.setInt32(at + 4, Math.floor(value / 4294967296) | 0, true);
  }
}
