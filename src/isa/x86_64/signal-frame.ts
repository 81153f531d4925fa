/**
 * The x86-64 signal frame as the kernel writes it: return address, ucontext, siginfo, FXSAVE image; and the way
 * back in rt_sigreturn. Sources: the System V ABI's red zone, the kernel's asm/sigcontext.h and asm/ucontext.h.
 *
 *   rsp → pretcode (8) | ucontext (304) | siginfo (128) | … | fpstate (512, 64-aligned) | … | red zone (128)
 */

import { sa } from '../../abi/signals.ts';
import { type GuestCpu, GuestFault } from '../../kernel/ports.ts';
import type { Delivery, Restored, SignalFrames } from '../../kernel/signals.ts';
import type { Task } from '../../kernel/task.ts';
import { FXSAVE_SIZE } from './fx-state.ts';

/** What the frame needs of the x86-64 cpu beside its named registers. */
export interface X86SignalCpu extends GuestCpu {
  /** Write the 512 bytes FXSAVE64 would write. */
  fxsave(image: Uint8Array): void;
  /** Load them back as FXRSTOR64 does. */
  fxrstor(image: Uint8Array): void;
}

const RED_ZONE = 128;
const UCONTEXT = 8;
const STACK = UCONTEXT + 16;
const MCONTEXT = UCONTEXT + 40;
const SIGMASK = MCONTEXT + 256;
const SIGINFO = SIGMASK + 8;
const FRAME_SIZE = SIGINFO + 128;
/** UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS: the frame holds a right ss. */
const UC_FLAGS = 6n;
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

export const x86SignalFrames: SignalFrames = {
  push(task: Task, delivery: Delivery): void {
    const cpu = task.cpu as X86SignalCpu;
    const { action, info, signal } = delivery;
    // Without a restorer there is nowhere to return to: the kernel answers with SIGSEGV.
    if ((action.flags & sa.SA_RESTORER) === 0) throw new GuestFault(action.restorer);
    const top = delivery.stackTop ?? cpu.sp - RED_ZONE;
    const fpstate = down(top - FXSAVE_SIZE, 64);
    const frame = down(fpstate - FRAME_SIZE, 16) - 8;
    if (frame < 0) throw new GuestFault(frame);

    const image = new Uint8Array(FXSAVE_SIZE);
    cpu.fxsave(image);
    const bytes = new Uint8Array(FRAME_SIZE);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, BigInt(action.restorer), true);
    view.setBigUint64(UCONTEXT, UC_FLAGS, true);
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
    const bytes = task.memory.read(frame, SIGINFO);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const fpstate = view.getBigUint64(FPSTATE, true);
    const image = fpstate === 0n ? undefined : task.memory.read(Number(fpstate), FXSAVE_SIZE);
    registers.forEach((name, k) => {
      if (name !== 'rip') cpu.setRegister(name, view.getBigUint64(MCONTEXT + 8 * k, true));
    });
    cpu.pc = Number(view.getBigUint64(MCONTEXT + 8 * registers.indexOf('rip'), true));
    const kept = (cpu.getRegister('eflags') ?? 0x202n) & ~USER_FLAGS;
    cpu.setRegister('eflags', kept | (view.getBigUint64(EFLAGS, true) & USER_FLAGS));
    if (image !== undefined) cpu.fxrstor(image);
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

function down(address: number, alignment: number): number {
  return Math.floor(address / alignment) * alignment;
}
