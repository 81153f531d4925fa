/**
 * Runs x86-64 instruction bytes on the host CPU with a chosen register file and reports what they left behind: the
 * oracle of all semantics tests.
 *
 * Fixed mappings (guest and host use the same addresses):
 *   DATA   read-write, then one read-only page at DATA_READ_ONLY, then nothing: operands in memory
 *   CODE   one page filled with int3; the bytes under test, followed by a jump to the exit stub; then nothing
 *   STUB   entry, exit and the signal handler; the control block BLOCK; the signal stack
 *
 * A fault (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP) while the bytes run is caught by the handler here, which records it
 * and continues at the exit stub, so the kernel itself restores the registers of the faulting moment. Faults at any other
 * time go on to the handler that was there before (V8's), or to the default action.
 */
import { readFileSync } from 'node:fs';
import koffi from 'koffi';

// Far above the heap of a node that is not position-independent, and below 2 GiB.
export const DATA = 0x7000_0000;
export const DATA_SIZE = 0x4000;
export const DATA_READ_ONLY = DATA + DATA_SIZE;
export const CODE = 0x7100_0000;
export const CODE_SIZE = 0x1000;
/** Base of GS in the thread that runs the bytes: nobody else uses it. FS is the C library's. */
export const GS_BASE = 0x0123_4560;
const STUB = 0x7200_0000;
const BLOCK = 0x7201_0000;
const SIGNAL_STACK = 0x7202_0000;
const SIGNAL_STACK_SIZE = 0x10000;

/** Offsets in the control block. */
const B = {
  gprIn: 0x000, flagsIn: 0x080, entry: 0x088,
  gprOut: 0x100, flagsOut: 0x180, rip: 0x188, signal: 0x190, code: 0x194, address: 0x198, active: 0x1a0, hostRsp: 0x1a8,
  trapNumber: 0x1b0, error: 0x1b8, exit: 0x1c0, zeros: 0x380, oldHandlers: 0x200,
  fxIn: 0x400, highIn: 0x600, fxOut: 0x800, highOut: 0xa00, fxHost: 0xc00,
} as const;
const SIGNALS = [4, 5, 7, 8, 11];

/** Register file. `fx` is the FXSAVE image (x87, MXCSR at 24, XMM0–15 at 160); `high` the upper halves of YMM0–15. */
export interface NativeState {
  /** rax rcx rdx rbx rsp rbp rsi rdi r8 … r15 */
  gpr: BigUint64Array;
  rflags: bigint;
  fx: Uint8Array;
  high: Uint8Array;
}
export interface NativeResult extends NativeState {
  /** Where execution stood at the end: after the bytes, or at (SIGTRAP by int3: after) the faulting instruction. */
  rip: number;
  /** 0: the bytes ran to their end. */
  signal: number;
  siCode: number;
  siAddr: bigint;
  /** The CPU's exception number, e.g. 13 = #GP, 14 = #PF. */
  trapNumber: number;
  error: number;
}

export const XMM = 160;
/** A register file with the processor's defaults: MXCSR 0x1f80, x87 as after FNINIT, everything else 0. */
export function newState(): NativeState {
  const fx = new Uint8Array(512);
  const view = new DataView(fx.buffer);
  view.setUint16(0, 0x37f, true);
  view.setUint32(24, 0x1f80, true);
  return { gpr: new BigUint64Array(16), rflags: 0x202n, fx, high: new Uint8Array(256) };
}
export function copyState(s: NativeState): NativeState {
  return { gpr: s.gpr.slice(), rflags: s.rflags, fx: s.fx.slice(), high: s.high.slice() };
}

export interface NativeExecutor {
  /** The DATA mapping's read-write part, plus the read-only page (writable through this view before `run`, see `fillReadOnly`). */
  readonly data: Uint8Array;
  readonly hasAvx: boolean;
  fillReadOnly(bytes: Uint8Array): void;
  /** Run `code`, placed `at` bytes into the CODE page. */
  run(code: Uint8Array, input: NativeState, at?: number): NativeResult;
}

let instance: NativeExecutor | undefined;
/** The executor of this process (mappings and handlers are made once). */
export function nativeExecutor(): NativeExecutor {
  instance ??= create();
  return instance;
}
/** Whether this host can be the oracle. */
export const nativeAvailable = process.platform === 'linux' && process.arch === 'x64';
/** Whether it gives RCPPS and RSQRTPS the digits that ours have: an AMD processor of family 1Ah. */
export const sameApproximations = isFamily1a();
function isFamily1a(): boolean {
  try {
    const info = readFileSync('/proc/cpuinfo', 'utf8');
    return info.includes('AuthenticAMD') && /^cpu family\s*: 26$/m.test(info);
  } catch {
    return false;
  }
}

function create(): NativeExecutor {
  if (!nativeAvailable) throw new Error('the native executor needs x86-64 Linux');
  const libc = koffi.load('libc.so.6');
  const syscall = libc.func('long syscall(long, long, long, long, long, long, long)') as (...a: number[]) => number | bigint;
  const sigaction = libc.func('int sigaction(int, void *, void *)') as (signal: number, act: Uint8Array | null, old: Uint8Array | null) => number;
  const sigaltstack = libc.func('int sigaltstack(void *, void *)') as (stack: Uint8Array, old: null) => number;

  const map = (address: number, size: number, protection: number): Uint8Array => {
    const flags = 0x100000 | 0x22; // MAP_FIXED_NOREPLACE | MAP_PRIVATE | MAP_ANONYMOUS
    const got = Number(syscall(9, address, size, protection, flags, -1, 0));
    if (got !== address) throw new Error(`native executor: cannot map ${size} bytes at 0x${address.toString(16)} (got ${got}); is something mapped there already?`);
    return new Uint8Array(koffi.view(BigInt(address), size));
  };
  if (Number(syscall(158, 0x1001, GS_BASE, 0, 0, 0, 0)) !== 0) throw new Error('native executor: arch_prctl(ARCH_SET_GS) failed');
  const data = map(DATA, DATA_SIZE + 0x1000, 3);
  const protectReadOnly = (protection: number): void => {
    if (Number(syscall(10, DATA_READ_ONLY, 0x1000, protection, 0, 0, 0)) !== 0) throw new Error('native executor: mprotect failed');
  };
  protectReadOnly(1);
  const code = map(CODE, CODE_SIZE, 7).fill(0xcc);
  const stub = map(STUB, 0x1000, 7);
  const block = map(BLOCK, 0x1000, 3);
  map(SIGNAL_STACK, SIGNAL_STACK_SIZE, 3);
  const view = new DataView(block.buffer);

  // AVX: CPUID by a stub of its own: push rbx; mov eax,1; xor ecx,ecx; cpuid; mov eax,ecx; pop rbx; ret
  stub.set([0x53, 0xb8, 1, 0, 0, 0, 0x31, 0xc9, 0x0f, 0xa2, 0x89, 0xc8, 0x5b, 0xc3]);
  const cpuid = koffi.decode(BigInt(STUB), koffi.proto('uint32_t', [])) as () => number;
  const hasAvx = (cpuid() & 0x18000000) === 0x18000000; // AVX and OSXSAVE

  const { bytes, exit, handler } = assembleStubs(hasAvx);
  stub.set(bytes);
  view.setBigUint64(B.exit, BigInt(STUB + exit), true);

  const stack = new Uint8Array(24);
  new DataView(stack.buffer).setBigUint64(0, BigInt(SIGNAL_STACK), true);
  new DataView(stack.buffer).setBigUint64(16, BigInt(SIGNAL_STACK_SIZE), true);
  if (sigaltstack(stack, null) !== 0) throw new Error('native executor: sigaltstack failed');
  for (const signal of SIGNALS) {
    const act = new Uint8Array(152);
    const actView = new DataView(act.buffer);
    actView.setBigUint64(0, BigInt(STUB + handler), true);
    actView.setInt32(136, 0x08000004, true); // SA_ONSTACK | SA_SIGINFO
    const old = new Uint8Array(152);
    if (sigaction(signal, act, old) !== 0) throw new Error(`native executor: sigaction(${signal}) failed`);
    block.set(old.subarray(0, 8), B.oldHandlers + signal * 8);
  }
  const enter = koffi.decode(BigInt(STUB), koffi.proto('void', [])) as () => void;

  return {
    data,
    hasAvx,
    fillReadOnly(content) {
      protectReadOnly(3);
      data.set(content, DATA_SIZE);
      protectReadOnly(1);
    },
    run(instruction, input, at = 0x800) {
      if (at + instruction.length + 7 > CODE_SIZE) throw new Error('native executor: code does not fit its page');
      code.set(instruction, at);
      code.set(jumpAbsolute(BLOCK + B.exit), at + instruction.length);
      for (let k = 0; k < 16; k++) view.setBigUint64(B.gprIn + 8 * k, input.gpr[k] as bigint, true);
      view.setBigUint64(B.flagsIn, input.rflags, true);
      view.setBigUint64(B.entry, BigInt(CODE + at), true);
      view.setBigUint64(B.rip, BigInt(CODE + at + instruction.length), true);
      block.set(input.fx, B.fxIn);
      block.set(input.high, B.highIn);
      enter();
      code.fill(0xcc); // all of it: the bytes may have written here
      const gpr = new BigUint64Array(16);
      for (let k = 0; k < 16; k++) gpr[k] = view.getBigUint64(B.gprOut + 8 * k, true);
      return {
        gpr,
        rflags: view.getBigUint64(B.flagsOut, true),
        fx: block.slice(B.fxOut, B.fxOut + 512),
        high: block.slice(B.highOut, B.highOut + 256),
        rip: Number(view.getBigUint64(B.rip, true)),
        signal: view.getInt32(B.signal, true),
        siCode: view.getInt32(B.code, true),
        siAddr: view.getBigUint64(B.address, true),
        trapNumber: view.getInt32(B.trapNumber, true),
        error: view.getInt32(B.error, true),
      };
    },
  };
}

const imm32 = (n: number): number[] => [n & 255, (n >> 8) & 255, (n >> 16) & 255, (n >>> 24) & 255];
/** ModRM + SIB + disp32 that address `target` absolutely, whatever the registers hold. */
const absolute = (reg: number, target: number): number[] => [0x04 | ((reg & 7) << 3), 0x25, ...imm32(target)];
const jumpAbsolute = (slot: number): number[] => [0xff, ...absolute(4, slot)];

/** Entry at 0; `exit` and `handler` are offsets. */
function assembleStubs(avx: boolean): { bytes: Uint8Array; exit: number; handler: number } {
  const out: number[] = [];
  const emit = (...b: number[]): void => void out.push(...b);
  const rex = (reg: number): number => 0x48 | ((reg & 8) >> 1);
  const loadReg = (reg: number, at: number): void => emit(rex(reg), 0x8b, ...absolute(reg, BLOCK + at));
  const storeReg = (reg: number, at: number): void => emit(rex(reg), 0x89, ...absolute(reg, BLOCK + at));
  const saved = [3, 5, 12, 13, 14, 15]; // callee-saved: rbx rbp r12–r15

  for (const r of saved) emit(...(r >= 8 ? [0x41] : []), 0x50 | (r & 7)); // push
  storeReg(4, B.hostRsp);
  emit(0x48, 0x0f, 0xae, ...absolute(0, BLOCK + B.fxHost)); // fxsave64
  emit(0x48, 0x0f, 0xae, ...absolute(1, BLOCK + B.fxIn)); // fxrstor64
  if (avx) {
    for (let k = 0; k < 16; k++) {
      // vinsertf128 ymmk, ymmk, [abs], 1
      emit(0xc4, 0x63 | (k < 8 ? 0x80 : 0), 0x05 | (((~k) & 15) << 3), 0x18, ...absolute(k, BLOCK + B.highIn + 16 * k), 1);
    }
  }
  emit(0xc7, ...absolute(0, BLOCK + B.signal), ...imm32(0)); // mov dword [signal], 0
  emit(0xc7, ...absolute(0, BLOCK + B.active), ...imm32(1));
  emit(0xff, ...absolute(6, BLOCK + B.flagsIn), 0x9d); // push [flags]; popfq
  for (let r = 0; r < 16; r++) if (r !== 4) loadReg(r, B.gprIn + 8 * r);
  loadReg(4, B.gprIn + 32);
  emit(...jumpAbsolute(BLOCK + B.entry));

  const exit = out.length;
  for (let r = 0; r < 16; r++) storeReg(r, B.gprOut + 8 * r);
  loadReg(4, B.hostRsp);
  emit(0x9c, 0x8f, ...absolute(0, BLOCK + B.flagsOut)); // pushfq; pop [flagsOut]
  emit(0x6a, 0x02, 0x9d); // push 2; popfq: direction, alignment check and trace flags clear
  emit(0xc7, ...absolute(0, BLOCK + B.active), ...imm32(0));
  emit(0x48, 0x0f, 0xae, ...absolute(0, BLOCK + B.fxOut));
  if (avx) {
    for (let k = 0; k < 16; k++) {
      // vextractf128 [abs], ymmk, 1
      emit(0xc4, 0x63 | (k < 8 ? 0x80 : 0), 0x7d, 0x19, ...absolute(k, BLOCK + B.highOut + 16 * k), 1);
    }
    emit(0xc5, 0xf8, 0x77); // vzeroupper
  }
  emit(0x48, 0x0f, 0xae, ...absolute(1, BLOCK + B.fxHost));
  for (const r of saved.toReversed()) emit(...(r >= 8 ? [0x41] : []), 0x58 | (r & 7)); // pop
  emit(0xc3);

  // handler(edi = signal, rsi = siginfo, rdx = ucontext)
  const handler = out.length;
  emit(0x83, ...absolute(7, BLOCK + B.active), 0); // cmp dword [active], 0
  emit(0x74, 0); // je foreign
  const toForeign = out.length;
  emit(0x89, ...absolute(7, BLOCK + B.signal)); // mov [signal], edi
  emit(0x8b, 0x46, 8, 0x89, ...absolute(0, BLOCK + B.code)); // si_code
  emit(0x48, 0x8b, 0x46, 16, 0x48, 0x89, ...absolute(0, BLOCK + B.address)); // si_addr
  const fromContext = (offset: number, to: number): void => emit(0x48, 0x8b, 0x82, ...imm32(offset), 0x48, 0x89, ...absolute(0, BLOCK + to));
  fromContext(0xc8, B.trapNumber);
  fromContext(0xc0, B.error);
  fromContext(0xa8, B.rip);
  emit(0x48, 0xc7, 0x82, ...imm32(0xa8), ...imm32(STUB + exit)); // ucontext.rip = exit stub
  emit(0x48, 0x81, 0xa2, ...imm32(0xb0), ...imm32(~0x100)); // ucontext.rflags &= ~TF
  emit(0xc3);
  out[toForeign - 1] = out.length - toForeign;
  // not ours: the handler before us, or the default action on return
  emit(0x89, 0xf8); // mov eax, edi
  emit(0x48, 0x8b, 0x04, 0xc5, ...imm32(BLOCK + B.oldHandlers)); // mov rax, [rax*8 + old]
  emit(0x48, 0x83, 0xf8, 1); // cmp rax, 1 (SIG_IGN)
  emit(0x74, 0x04, 0x72, 0x03); // je ret; jb default
  emit(0xff, 0xe0); // jmp rax
  emit(0xc3);
  emit(0xb8, ...imm32(13), 0xbe, ...imm32(BLOCK + B.zeros), 0x31, 0xd2, 0x41, 0xba, ...imm32(8), 0x0f, 0x05, 0xc3); // rt_sigaction(sig, default, 0, 8)
  return { bytes: Uint8Array.from(out), exit, handler };
}
