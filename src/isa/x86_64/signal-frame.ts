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
  saveFloating(image: Uint8Array): void;
  /** False: the image is not valid, nothing is changed. */
  restoreExtended(image: Uint8Array, wanted: number): boolean;
  restoreLegacy(image: Uint8Array): void;
  resetFloating(): void;
}

const RED_ZONE = 128;
const UCONTEXT = 8;
const STACK = UCONTEXT + 16;
const MCONTEXT = UCONTEXT + 40;
const SIGMASK = MCONTEXT + 256;
const SIGINFO = SIGMASK + 8;
const FRAME_SIZE = SIGINFO + 128;
/** UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS: the frame holds a right ss; UC_FP_XSTATE: and an XSAVE area. */
const UC_FLAGS = 6n;
const UC_FP_XSTATE = 1n;
/** struct _fpx_sw_bytes and the number behind the area. */
const SOFTWARE = { magic1: 464, extendedSize: 468, features: 472, size: 480 } as const;
const MAGIC1 = 0x46505853;
const MAGIC2 = 0x46505845;
/** The least area there is: FXSAVE image and header. */
const XSAVE_MIN = 576;
const SYSCALL_LENGTH = 2;

/** General registers in the order of struct sigcontext_64. */
const registers = ['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15', 'rdi', 'rsi', 'rbp', 'rbx', 'rdx', 'rax', 'rcx', 'rsp', 'rip'] as const;
const EFLAGS = MCONTEXT + registers.length * 8;
const SEGMENTS = EFLAGS + 8;
const FPSTATE = SEGMENTS + 8 + 4 * 8;
const CS = 0x33n;
const SS = 0x2bn;
/** Flags user code may set: AC OF DF TF SF ZF AF PF CF (and RF). */
const USER_FLAGS = 0x50dd5n;
/** Cleared for the handler: DF, RF, TF. */
const HANDLER_CLEARS = 0x10500n;

/**
 * Where frames are made and read, one at a time. Made once: arrays of these sizes are memory of malloc's, which would be most of
 * what a signal costs.
 */
const frameBytes = new Uint8Array(FRAME_SIZE);
const frameView = new DataView(frameBytes.buffer);
const floatingBytes = new Uint8Array(1024);
const floatingView = new DataView(floatingBytes.buffer);

export const x86SignalFrames: SignalFrames = {
  push(task: Task, delivery: Delivery): void {
    const cpu = task.cpu as X86SignalCpu;
    const { action, info, signal } = delivery;
    // Without a restorer there is nowhere to return to: the kernel answers with SIGSEGV.
    if ((action.flags & sa.SA_RESTORER) === 0) throw new GuestFault(action.restorer);
    const top = delivery.stackTop ?? cpu.sp - RED_ZONE;
    const extended = cpu.extendedState;
    const image = floatingBytes.subarray(0, cpu.floatingSize + (extended === 0 ? 0 : 4));
    const fpstate = down(top - image.length, 64);
    const frame = down(fpstate - FRAME_SIZE, 16) - 8;
    if (frame < 0) throw new GuestFault(frame);

    cpu.saveFloating(image);
    if (extended !== 0) {
      const area = floatingView;
      area.setUint32(SOFTWARE.magic1, MAGIC1, true);
      area.setUint32(SOFTWARE.extendedSize, image.length, true);
      area.setBigUint64(SOFTWARE.features, BigInt(extended), true);
      area.setUint32(SOFTWARE.size, cpu.floatingSize, true);
      area.setUint32(cpu.floatingSize, MAGIC2, true);
    }
    const bytes = frameBytes.fill(0);
    const view = frameView;
    view.setBigUint64(0, BigInt(action.restorer), true);
    view.setBigUint64(UCONTEXT, extended === 0 ? UC_FLAGS : UC_FLAGS | UC_FP_XSTATE, true);
    view.setBigUint64(STACK, BigInt(delivery.altstack.sp), true);
    view.setUint32(STACK + 8, delivery.altstack.flags >>> 0, true);
    view.setBigUint64(STACK + 16, BigInt(delivery.altstack.size), true);
    registers.forEach((name, k) => {
      const value = name === 'rip' ? BigInt(cpu.pc) : (cpu.getRegister(name) ?? 0n);
      view.setBigUint64(MCONTEXT + 8 * k, BigInt.asUintN(64, value), true);
    });
    view.setBigUint64(EFLAGS, BigInt.asUintN(64, cpu.getRegister('eflags') ?? 0x202n), true);
    view.setBigUint64(SEGMENTS, CS | (SS << 48n), true);
    view.setBigUint64(MCONTEXT + 168, delivery.savedMask, true);
    // si_addr of a fault is what the processor left in cr2.
    const fault = signal === 11 || signal === 7;
    if (fault) view.setBigUint64(MCONTEXT + 176, new DataView(info.buffer, info.byteOffset).getBigUint64(16, true), true);
    if (fault) view.setBigUint64(MCONTEXT + 160, 14n, true);
    view.setBigUint64(FPSTATE, BigInt(fpstate), true);
    view.setBigUint64(SIGMASK, delivery.savedMask, true);
    bytes.set(info, SIGINFO);
    task.memory.write(fpstate, image);
    task.memory.write(frame, bytes);

    // A handler starts with the floating-point state of a new program.
    cpu.resetFloating();
    const flags = (cpu.getRegister('eflags') ?? 0x202n) & ~HANDLER_CLEARS;
    cpu.setRegister('eflags', flags);
    cpu.setRegister('rdi', BigInt(signal));
    cpu.setRegister('rsi', BigInt(frame + SIGINFO));
    cpu.setRegister('rdx', BigInt(frame + UCONTEXT));
    cpu.setRegister('rax', 0n);
    cpu.setRegister('rsp', BigInt(frame));
    cpu.pc = action.handler;
  },

  pop(task: Task): Restored {
    const cpu = task.cpu as X86SignalCpu;
    // The handler's ret took pretcode off the stack.
    const frame = cpu.sp - 8;
    task.memory.readInto(frame, frameBytes.subarray(0, SIGINFO));
    const view = frameView;
    const fpstate = view.getBigUint64(FPSTATE, true);
    const restoreFloating = readFloating(task, cpu, Number(fpstate));
    registers.forEach((name, k) => {
      if (name !== 'rip') cpu.setRegister(name, view.getBigUint64(MCONTEXT + 8 * k, true));
    });
    cpu.pc = Number(view.getBigUint64(MCONTEXT + 8 * registers.indexOf('rip'), true));
    const kept = (cpu.getRegister('eflags') ?? 0x202n) & ~USER_FLAGS;
    cpu.setRegister('eflags', kept | (view.getBigUint64(EFLAGS, true) & USER_FLAGS));
    restoreFloating();
    return {
      mask: view.getBigUint64(SIGMASK, true),
      altstack: {
        sp: Number(view.getBigUint64(STACK, true)),
        flags: view.getUint32(STACK + 8, true),
        size: Number(view.getBigUint64(STACK + 16, true)),
      },
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
  const area = floatingBytes.subarray(0, cpu.floatingSize);
  const legacy = area.subarray(0, FXSAVE_SIZE);
  task.memory.readInto(fpstate, legacy);
  const view = floatingView;
  const size = view.getUint32(SOFTWARE.size, true);
  const whole = cpu.extendedState !== 0 && view.getUint32(SOFTWARE.magic1, true) === MAGIC1 && size >= XSAVE_MIN && size <= cpu.floatingSize && size <= view.getUint32(SOFTWARE.extendedSize, true);
  if (!whole || task.memory.u32(fpstate + size) !== MAGIC2) return () => cpu.restoreLegacy(legacy);
  task.memory.readInto(fpstate, area.fill(0).subarray(0, size));
  const wanted = Number(view.getBigUint64(SOFTWARE.features, true) & BigInt(cpu.extendedState));
  return () => {
    if (!cpu.restoreExtended(area, wanted)) throw new GuestFault(fpstate);
  };
}

function down(address: number, alignment: number): number {
  return Math.floor(address / alignment) * alignment;
}
