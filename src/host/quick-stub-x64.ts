/**
 * The stub `quick` of an x86-64 host: makes a quick call (kernel/quick-call.ts) from the guest's registers, in nothing but
 * machine code. rdi = slot. The outcome goes into the slot, the result into the guest's register.
 *
 * As in `syscall_interruptible` no signal can slip in between the look at the slot and the kernel: the signal handler
 * moves a thread that it finds between `quick_checked` and `quick_entered` to `quick_interrupted`. The word at
 * SLOT_IN_KERNEL is 1 meanwhile, but in a process with one thread there is nobody to look at it.
 *
 * Registers: rbx slot, r12 where the guest's registers are, rcx the plan, rax and r11 for the work in between; the six
 * arguments where the kernel wants them.
 */

import { FD_TABLE } from '../kernel/fd-table.ts';
import { type CallRegisters, QUICK_ARGUMENT, QUICK_COUNT, QUICK_NUMBERS, QUICK_OUTCOME } from '../kernel/quick-call.ts';
import type { Assembler } from './assembler.ts';
import {
  SLOT_DESCRIPTORS, SLOT_IN_KERNEL, SLOT_MEMORY_BASE, SLOT_MEMORY_SIZE, SLOT_OUTCOME, SLOT_PENDING, SLOT_PLANS, SLOT_POINTER_LIMIT,
  SLOT_REGISTERS, SLOT_RESULT,
} from './thread-slot.ts';

/** rdi, rsi, rdx, r10, r8, r9 as instructions number them. */
const ARGUMENTS = [7, 6, 2, 10, 8, 9] as const;
const RAX = 0;
const RCX = 1;
const RBX = 3;
const R11 = 11;
const R12 = 12;
const EINTR = 4;

/** ModRM with a register and a register. */
const pair = (reg: number, rm: number): number => 0xc0 | ((reg & 7) << 3) | (rm & 7);
/** REX for `reg` in ModRM.reg and `rm` in ModRM.rm; `wide`: 64 bits. */
const rex = (wide: boolean, reg: number, rm: number): number => 0x40 | (wide ? 8 : 0) | (reg >= 8 ? 4 : 0) | (rm >= 8 ? 1 : 0);

/** `several`: address of the word that says whether there are other threads. `notEntered`: result where a signal waits. */
export function quickStub(a: Assembler, registers: CallRegisters, several: number, notEntered: number): void {
  /** op reg, [rbx + at] with 64 bits. */
  const slot = (op: number, reg: number, at: number) => a.bytes(rex(true, reg, RBX), op, 0x80 | ((reg & 7) << 3) | RBX).u32(at);
  /** The same of [r12 + at]. */
  const guest = (op: number, reg: number, at: number, wide = true) => a.bytes(rex(wide, reg, R12), op, 0x84 | ((reg & 7) << 3), 0x24).u32(at);
  /** op rm, reg between registers. */
  const between = (op: number, rm: number, reg: number, wide = true) => a.bytes(rex(wide, reg, rm), op, pair(reg, rm));
  const MOV = 0x89;
  const LOAD = 0x8b;
  const TEST = 0x85;
  const CMP = 0x39;
  const jump = (condition: number, label: string) => a.bytes(0x0f, condition).relative(label);
  const [JB, JAE, JE, JNE, JA, JS, JLE] = [0x82, 0x83, 0x84, 0x85, 0x87, 0x88, 0x8e];
  const declinedIf = (condition: number) => jump(condition, 'quick_declined');
  const testSeveral = () => a.bytes(0x49, 0xbb).u64(several).bytes(0x41, 0x83, 0x3b, 0x00); // mov r11, several; cmp dword [r11], 0

  a.align(16, 0x90).label('quick');
  a.bytes(0x41, 0x54, 0x53, 0x48, 0x89, 0xfb); // push r12; push rbx; mov rbx, rdi
  slot(LOAD, R12, SLOT_REGISTERS);
  guest(LOAD, RAX, registers.number, false); // mov eax, […]: the kernel looks at 32 bits
  a.bytes(0x3d).u32(QUICK_NUMBERS); // cmp eax, …
  declinedIf(JAE);
  a.bytes(0x48, 0x8b, 0x8c, 0xc3).u32(SLOT_PLANS); // mov rcx, [rbx+rax*8+plans]
  a.bytes(0x85, 0xc9); // test ecx, ecx
  declinedIf(JE);
  ARGUMENTS.forEach((register, k) => guest(LOAD, register, registers.arguments[k] as number));
  a.bytes(0x89, 0x83).u32(SLOT_OUTCOME + 4); // mov [rbx+outcome+4], eax
  a.bytes(0xf7, 0xc1).u32(0x3ffff); // test ecx, all arguments
  jump(JNE, 'quick_translate');

  a.label('quick_translated');
  testSeveral();
  jump(JNE, 'quick_announce');
  a.label('quick_enter').bytes(0x8b, 0x83).u32(SLOT_OUTCOME + 4); // mov eax, [rbx+outcome+4]
  a.label('quick_checked').bytes(0x83, 0x7b, SLOT_PENDING, 0x00); // cmp dword [rbx+pending], 0
  jump(JNE, 'quick_interrupted');
  a.bytes(0x0f, 0x05).label('quick_entered');
  testSeveral();
  jump(JNE, 'quick_shared');
  a.label('quick_out');
  a.bytes(0x48, 0x3d).u32(-EINTR); // cmp rax, -EINTR
  jump(JE, 'quick_eintr');
  a.bytes(0x48, 0x3d).u32(notEntered);
  jump(JE, 'quick_not_entered');
  a.bytes(0x31, 0xc9); // xor ecx, ecx
  a.label('quick_end');
  guest(MOV, RAX, registers.result);
  a.label('quick_leave').bytes(0x89, 0x8b).u32(SLOT_OUTCOME).bytes(0x5b, 0x41, 0x5c, 0xc3); // mov [rbx+outcome], ecx; pop rbx; pop r12; ret

  const outcome = (value: number) => a.bytes(0xb9).u32(value).bytes(0xe9); // mov ecx, …; jmp
  a.label('quick_eintr');
  outcome(QUICK_OUTCOME.interrupted).relative('quick_end');
  a.label('quick_not_entered').bytes(0x48, 0xc7, 0xc0).u32(-EINTR); // mov rax, -EINTR
  outcome(QUICK_OUTCOME.notEntered).relative('quick_end');
  a.label('quick_declined');
  outcome(QUICK_OUTCOME.declined).relative('quick_leave');
  a.label('quick_interrupted').bytes(0x48, 0xc7, 0xc0).u32(notEntered).bytes(0xe9).relative('quick_entered');

  a.label('quick_announce');
  slot(LOAD, R11, SLOT_IN_KERNEL);
  a.bytes(0x41, 0xc7, 0x03).u32(1).bytes(0xe9).relative('quick_enter'); // mov dword [r11], 1; jmp
  a.label('quick_shared');
  slot(MOV, RAX, SLOT_RESULT);
  a.bytes(0xe8).relative('quick_wait'); // call
  slot(LOAD, RAX, SLOT_RESULT);
  a.bytes(0xe9).relative('quick_out');
  a.label('quick_wait').bytes(0x53, 0xe9).relative('leave'); // push rbx; jmp leave, which pops it and returns

  a.label('quick_translate');
  ARGUMENTS.forEach((register, k) => {
    const next = `quick_argument${k + 1}`;
    const to = (kind: number) => `quick_kind${kind}_${k}`;
    a.label(`quick_argument${k}`);
    a.bytes(0x41, 0x89, 0xcb, 0x41, 0x81, 0xe3).u32(7 << (3 * k)); // mov r11d, ecx; and r11d, …
    jump(JE, next);
    const kinds = Object.values(QUICK_ARGUMENT).filter((kind) => kind !== QUICK_ARGUMENT.plain && (k < 5 || (kind !== QUICK_ARGUMENT.buffer && kind !== QUICK_ARGUMENT.array)));
    for (const kind of kinds) {
      a.bytes(0x41, 0x81, 0xfb).u32(kind << (3 * k)); // cmp r11d, …
      jump(JE, to(kind));
    }
    a.bytes(0xe9).relative('quick_declined');

    a.label(to(QUICK_ARGUMENT.descriptor));
    between(0x63, register, register); // movsxd
    between(TEST, register, register);
    jump(JS, next);
    slot(LOAD, RAX, SLOT_DESCRIPTORS);
    a.bytes(rex(false, register, RAX), 0x3b, 0x40 | ((register & 7) << 3), FD_TABLE.capacity); // cmp register, [rax+capacity]
    declinedIf(JAE);
    a.bytes(register >= 8 ? 0x42 : 0x40, 0x8b, 0x44, 0x80 | ((register & 7) << 3), FD_TABLE.slots); // mov eax, [rax+register*4+slots]
    a.bytes(0x85, 0xc0); // test eax, eax
    declinedIf(JLE);
    a.bytes(0xa8, FD_TABLE.special); // test al, special
    declinedIf(JNE);
    a.bytes(0xc1, 0xe8, FD_TABLE.shift, 0xff, 0xc8); // shr eax, shift; dec eax
    between(MOV, register, RAX, false);
    a.bytes(0xe9).relative(next);

    a.label(to(QUICK_ARGUMENT.pointer));
    between(TEST, register, register);
    jump(JE, next);
    slot(CMP, register, SLOT_POINTER_LIMIT + 0); // cmp [rbx+limit], register
    declinedIf(JB);
    slot(0x03, register, SLOT_MEMORY_BASE); // add register, base
    a.bytes(0xe9).relative(next);

    const count = ARGUMENTS[k + 1];
    if (count !== undefined) {
      a.label(to(QUICK_ARGUMENT.array));
      between(MOV, RAX, count, false); // mov eax, count
      a.bytes(0x85, 0xc0); // test eax, eax
      declinedIf(JLE);
      a.bytes(0x3d).u32(QUICK_COUNT); // cmp eax, …
      declinedIf(JA);
      between(MOV, R11, RCX);
      a.bytes(0x49, 0xc1, 0xeb, 0x20, 0x49, 0x0f, 0xaf, 0xc3); // shr r11, 32; imul rax, r11
      a.bytes(0xe9).relative(`quick_room${k}`);
      a.label(to(QUICK_ARGUMENT.buffer));
      between(MOV, RAX, count);
      a.label(`quick_room${k}`);
      slot(LOAD, R11, SLOT_MEMORY_SIZE);
      between(CMP, RAX, R11);
      declinedIf(JA);
      between(0x29, R11, RAX); // sub r11, rax
      between(CMP, register, R11);
      declinedIf(JA);
      between(TEST, register, register);
      jump(JE, next);
      slot(0x03, register, SLOT_MEMORY_BASE);
      a.bytes(0xe9).relative(next);
    }

    a.label(to(QUICK_ARGUMENT.absent));
    between(TEST, register, register);
    declinedIf(JNE);
    a.bytes(0xe9).relative(next);

    a.label(to(QUICK_ARGUMENT.operation));
    between(MOV, RAX, register, false);
    a.bytes(0x83, 0xe0, 0x7f, 0x83, 0xf8, 0x20); // and eax, 7fh; cmp eax, 32
    declinedIf(JAE);
    between(MOV, R11, RCX);
    a.bytes(0x49, 0xc1, 0xeb, 0x20, 0x41, 0x0f, 0xa3, 0xc3); // shr r11, 32; bt r11d, eax
    declinedIf(JAE);
    a.bytes(0xe9).relative(next);
  });
  a.label('quick_argument6').bytes(0xe9).relative('quick_translated');
}
