/**
 * The x86-64 signal frame as the kernel writes it: return address, ucontext, siginfo, XSAVE image; and the way
 * back in rt_sigreturn. Sources: the System V ABI's red zone, the kernel's asm/sigcontext.h and asm/ucontext.h.
 *
 *   rsp → pretcode (8) | ucontext (304) | siginfo (128) | … | fpstate (64-aligned) | … | red zone (128)
 *
 * fpstate is the FXSAVE image alone on a CPU without XSAVE; else the standard XSAVE area with struct _fpx_sw_bytes in
 * its bytes 464–511 and a second magic number behind it. A handler may change it, the magic numbers included: without
 * them only the FXSAVE part is loaded.
 */

import { sa } from '../../abi/signals.ts';
import { type GuestCpu, GuestFault } from '../../kernel/ports.ts';
import type { Delivery, Restored, SignalFrames } from '../../kernel/signals.ts';
import type { Task } from '../../kernel/task.ts';
import { FXSAVE_SIZE } from './fx-state.ts';

/** What the frame needs of the x86-64 cpu beside its named registers. */
export interface X86SignalCpu extends GuestCpu {
  /** Components XSAVE covers; 0: there is FXSAVE only. */
  readonly extendedState: number;
  /** Bytes `saveFloating` writes. */
  readonly floatingSize: number;
  saveFloating(image: DataView): void;
  /** False: the image is not valid, nothing is changed. */
  restoreExtended(image: DataView, wanted: number): boolean;
  restoreLegacy(image: DataView): void;
  resetFloating(): void;
  /** The registers of `order`, 64 bits each, to or from words from `at` on. */
  saveRegisters(words: Int32Array, at: number): void;
  loadRegisters(words: Int32Array, at: number): void;
  eflags: number;
  /** A function's first three arguments (rdi, rsi, rdx), with rax 0. */
  setArguments(a: number, b: number, c: number): void;
}

const RED_ZONE = 128;
const UCONTEXT = 8;
const STACK = UCONTEXT + 16;
const MCONTEXT = UCONTEXT + 40;
const SIGMASK = MCONTEXT + 256;
const SIGINFO = SIGMASK + 8;
const FRAME_SIZE = SIGINFO + 128;
/** UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS: the frame holds a right ss; UC_FP_XSTATE: and an XSAVE area. */
const UC_FLAGS = 6;
const UC_FP_XSTATE = 1;
/** struct _fpx_sw_bytes and the number behind the area. */
const SOFTWARE = { magic1: 464, extendedSize: 468, features: 472, size: 480 } as const;
const MAGIC1 = 0x46505853;
const MAGIC2 = 0x46505845;
/** The least area there is: FXSAVE image and header. */
const XSAVE_MIN = 576;
const SYSCALL_LENGTH = 2;

/** General registers in the order of struct sigcontext_64. */
export const order = ['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15', 'rdi', 'rsi', 'rbp', 'rbx', 'rdx', 'rax', 'rcx', 'rsp', 'rip'] as const;
const EFLAGS = MCONTEXT + order.length * 8;
const SEGMENTS = EFLAGS + 8;
const FPSTATE = SEGMENTS + 8 + 4 * 8;
const CS = 0x33;
const SS = 0x2b;
/** Flags user code may set: AC OF DF TF SF ZF AF PF CF (and RF). */
const USER_FLAGS = 0x50dd5;
/** Cleared for the handler: DF, RF, TF. */
const HANDLER_CLEARS = 0x10500;

/**
 * Where frames are made and read, one at a time. Made once: arrays of these sizes are memory of malloc's, which would be most of
 * what a signal costs.
 */
const frameBytes = new Uint8Array(FRAME_SIZE);
const frameView = new DataView(frameBytes.buffer);
const frameWords = new Int32Array(frameBytes.buffer);
/** What rt_sigreturn reads of it. */
const frameHead = frameBytes.subarray(0, SIGINFO);
const floatingView = new DataView(new ArrayBuffer(1024));
const legacyBytes = new Uint8Array(floatingView.buffer, 0, FXSAVE_SIZE);
let lastPart = legacyBytes;
/** The first `length` bytes of the floating-point image. */
function floatingBytes(length: number): Uint8Array {
  if (lastPart.length !== length) lastPart = new Uint8Array(floatingView.buffer, 0, length);
  return lastPart;
}

export const x86SignalFrames: SignalFrames = {
  push(task: Task, delivery: Delivery): void {
    const cpu = task.cpu as X86SignalCpu;
    const { action, info, signal } = delivery;
    // Without a restorer there is nowhere to return to: the kernel answers with SIGSEGV.
    if ((action.flags & sa.SA_RESTORER) === 0) throw new GuestFault(action.restorer);
    const top = delivery.stackTop ?? cpu.sp - RED_ZONE;
    const extended = cpu.extendedState;
    const size = cpu.floatingSize;
    const image = floatingBytes(size + (extended === 0 ? 0 : 4));
    const fpstate = down(top - image.length, 64);
    const frame = down(fpstate - FRAME_SIZE, 16) - 8;
    if (frame < 0) throw new GuestFault(frame);

    cpu.saveFloating(floatingView);
    if (extended !== 0) {
      const area = floatingView;
      area.setUint32(SOFTWARE.magic1, MAGIC1, true);
      area.setUint32(SOFTWARE.extendedSize, image.length, true);
      area.setUint32(SOFTWARE.features, extended, true);
      area.setUint32(SOFTWARE.features + 4, 0, true);
      area.setUint32(SOFTWARE.size, size, true);
      area.setUint32(size, MAGIC2, true);
    }
    frameWords.fill(0);
    const view = frameView;
    setAddress(0, action.restorer);
    view.setUint32(UCONTEXT, extended === 0 ? UC_FLAGS : UC_FLAGS | UC_FP_XSTATE, true);
    setAddress(STACK, delivery.altstack.sp);
    view.setUint32(STACK + 8, delivery.altstack.flags >>> 0, true);
    setAddress(STACK + 16, delivery.altstack.size);
    cpu.saveRegisters(frameWords, MCONTEXT >> 2);
    const { eflags } = cpu;
    view.setInt32(EFLAGS, eflags, true);
    view.setInt32(SEGMENTS, CS, true);
    view.setInt32(SEGMENTS + 4, SS << 16, true);
    view.setBigUint64(MCONTEXT + 168, delivery.savedMask, true);
    // si_addr of a fault is what the processor left in cr2.
    const fault = signal === 11 || signal === 7;
    if (fault) view.setBigUint64(MCONTEXT + 176, new DataView(info.buffer, info.byteOffset).getBigUint64(16, true), true);
    if (fault) view.setBigUint64(MCONTEXT + 160, 14n, true);
    setAddress(FPSTATE, fpstate);
    view.setBigUint64(SIGMASK, delivery.savedMask, true);
    frameBytes.set(info, SIGINFO);
    task.memory.write(fpstate, image);
    task.memory.write(frame, frameBytes);

    // A handler starts with the floating-point state of a new program.
    cpu.resetFloating();
    cpu.eflags = eflags & ~HANDLER_CLEARS;
    cpu.setArguments(signal, frame + SIGINFO, frame + UCONTEXT);
    cpu.sp = frame;
    cpu.pc = action.handler;
  },

  pop(task: Task): Restored {
    const cpu = task.cpu as X86SignalCpu;
    // The handler's ret took pretcode off the stack.
    const frame = cpu.sp - 8;
    task.memory.readInto(frame, frameHead);
    const view = frameView;
    const restoreFloating = readFloating(task, cpu, address(FPSTATE));
    cpu.loadRegisters(frameWords, MCONTEXT >> 2);
    cpu.eflags = (cpu.eflags & ~USER_FLAGS) | (view.getInt32(EFLAGS, true) & USER_FLAGS);
    restoreFloating();
    return {
      mask: view.getBigUint64(SIGMASK, true),
      altstack: { sp: address(STACK), flags: view.getUint32(STACK + 8, true), size: address(STACK + 16) },
    };
  },

  restart(task: Task, nr: number): void {
    task.cpu.pc -= SYSCALL_LENGTH;
    task.cpu.setRegister('rax', BigInt(nr));
  },
};

/** Reads the floating-point state at `fpstate`; what is returned loads it. Throws GuestFault where the kernel calls the frame bad. */
function readFloating(task: Task, cpu: X86SignalCpu, fpstate: number): () => void {
  if (fpstate === 0) return () => cpu.resetFloating();
  task.memory.readInto(fpstate, legacyBytes);
  const view = floatingView;
  const size = view.getUint32(SOFTWARE.size, true);
  const whole = cpu.extendedState !== 0 && view.getUint32(SOFTWARE.magic1, true) === MAGIC1 && size >= XSAVE_MIN && size <= cpu.floatingSize && size <= view.getUint32(SOFTWARE.extendedSize, true);
  if (!whole || task.memory.u32(fpstate + size) !== MAGIC2) return () => cpu.restoreLegacy(view);
  // The number is 4 bytes more.
  if (size < cpu.floatingSize) floatingBytes(cpu.floatingSize + 4).fill(0);
  task.memory.readInto(fpstate, floatingBytes(size === cpu.floatingSize ? size + 4 : size));
  const wanted = view.getUint32(SOFTWARE.features, true) & cpu.extendedState;
  return () => {
    if (!cpu.restoreExtended(view, wanted)) throw new GuestFault(fpstate);
  };
}

/** An address or size in the frame, as a number: exact below 2^53. */
function address(at: number): number {
  return frameView.getUint32(at, true) + frameView.getUint32(at + 4, true) * 4294967296;
}
function setAddress(at: number, value: number): void {
  frameView.setInt32(at, value | 0, true);
  frameView.setInt32(at + 4, Math.floor(value / 4294967296) | 0, true);
}

function down(address: number, alignment: number): number {
  return Math.floor(address / alignment) * alignment;
}
