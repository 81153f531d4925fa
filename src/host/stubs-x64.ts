/**
 * The machine code the engine needs on an x86-64 host, as bytes. Position-independent except for the constants
 * given. Entry points, by label:
 *
 * - `syscall`               slot in rdi: system call from the slot, result into the slot. Number and arguments are
 *                           f64 (JavaScript writes each with one store, and one 64-bit load reads it without a
 *                           stall, which two 32-bit halves would cost: 50 ns a call), the result is stored as f64
 *                           and as i64.
 * - `syscall_exact`         the same with i64 arguments.
 * - `syscall_interruptible`, `syscall_interruptible_exact`  as those two, but NOT_ENTERED without entering the kernel if a signal waits in the slot. No
 *                           signal can slip in between: the handler moves a thread that it finds between the check
 *                           and the kernel (`checked` … `entered`) to that exit.
 * - `quick`                 a guest's call from its registers: quick-stub-x64.ts.
 * While a thread of several is in one of these, the word at SLOT_IN_KERNEL is 1: it touches nothing of the engine then, and if the
 * world was stopped meanwhile (`stop` holds another thread's SLOT_ID) it does not come out before it runs again.
 *
 * - `exchange`              slot in rdi: LOCK CMPXCHG of 2, 4, 8 or 16 bytes. Arguments in the slot as f64: address, address of
 *                           the operands (16 bytes expected, which become what was there, and 16 bytes replacement),
 *                           size. Result as f64: 0, or 1 if the memory cannot be written (`fault` leads there).
 * - `watch`                 slot in rdi: starts the raw thread of Host.watch. Arguments in the slot: top of its
 *                           stack, descriptor, address of the counter, buffer of 4096 bytes.
 * - `sample`                likewise the raw thread of Host.sample. Arguments: top of its stack, address of an i64, address of
 *                           the count, buffer: how long to sleep (timespec), address of a byte, 8 unused, the samples.
 * - `signal`                sigaction handler (SA_SIGINFO): siginfo into the slot's queue, flags up, all signals but
 *                           memory faults blocked until TypeScript has dealt with this one. On a thread that is not
 *                           the guest's it blocks all signals there for good and sends the signal on to the process.
 * - `fault`                 handler of SIGSEGV and SIGBUS: one of `exchange`'s ends that; else it notes code and address,
 *                           then goes on to V8's handler as a SIGSEGV, so that wasm code traps for either. One that was
 *                           sent by kill() is queued if the word at `queueFaults` says so, and kills otherwise; one that carries KICK only
 *                           raises the flags (and ends the system call it finds).
 * - `mute`                  sigaction handler (SA_SIGINFO): blocks all signals in the thread it runs on for good and
 *                           counts itself in the first slot.
 * - `restorer`              rt_sigreturn.
 *
 * Offsets in the kernel's structures: siginfo_t si_code 8, si_addr 16; ucontext_t rip 168, uc_sigmask 296.
 */

import type { CallRegisters } from '../kernel/quick-call.ts';
import { Assembler } from './assembler.ts';
import { quickStub } from './quick-stub-x64.ts';
import {
  KICK, QUEUE_ENTRIES, SLOT_COUNT, SLOT_FAULT, SLOT_FLAG_POINTER, SLOT_FULL_MASK, SLOT_HEAD, SLOT_ID, SLOT_IN_KERNEL, SLOT_MUTED,
  SLOT_OLD_MASK, SLOT_PENDING, SLOT_QUEUE, SLOT_RESULT, SLOT_RESULT_FLOAT, SLOT_SIZE, SLOT_TAIL,
} from './thread-slot.ts';

const NR = { futex: 202, nanosleep: 35, read: 0, poll: 7, rt_sigprocmask: 14, rt_sigreturn: 15, getpid: 39, clone: 56, exit: 60, rt_sigqueueinfo: 129 };
/** CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM */
const RAW_THREAD_FLAGS = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000;
const UC_RIP = 168;
const UC_SIGMASK = 296;
/** Samples that `sample` keeps: the last ones. */
export const SAMPLES = 1 << 18;
/** Result of an interruptible call that did not reach the kernel (−ERESTARTSYS, which no call returns to a program). */
export const NOT_ENTERED = -512;
/** Every signal but SIGBUS (7) and SIGSEGV (11): those are how wasm code traps. */
export const BLOCK_ALL_BUT_FAULTS = ~((1n << 6n) | (1n << 10n));

export interface StubParameters {
  /** Address of the first thread slot, a multiple of SLOT_SIZE. */
  readonly arena: number;
  /** V8's own SIGSEGV handler; 0 if it has none. */
  readonly faultHandler: number;
  /** Address of the 32-bit word that stops the world: 0, or the SLOT_ID of who stopped it. */
  readonly stop: number;
  /** Address of the 32-bit word that says whether SIGSEGV and SIGBUS that were sent go to the queue. */
  readonly queueFaults: number;
  /** Address of the 32-bit word that says whether there are other threads. */
  readonly several: number;
  readonly registers: CallRegisters;
}

/** mov eax, nr; syscall */
const kernel = (a: Assembler, nr: number): Assembler => a.bytes(0xb8).u32(nr).bytes(0x0f, 0x05);

export function x64Stubs(p: StubParameters): Assembler {
  const a = new Assembler();

  /** rbx = slot (rdi); number and arguments from it into the registers of the kernel's calling convention. */
  const begin = () => {
    a.bytes(0x53, 0x48, 0x89, 0xfb); // push rbx; mov rbx, rdi
    a.bytes(0x48, 0xb8).u64(p.several).bytes(0x83, 0x38, 0x00, 0x74, 0x0d); // mov rax, several; cmp dword [rax], 0; je over the next two
    a.bytes(0x48, 0x8b, 0x8b).u32(SLOT_IN_KERNEL).bytes(0xc7, 0x01).u32(1); // mov rcx, [rbx+…]; mov dword [rcx], 1
    return a;
  };
  const loadExact = () =>
    begin()
      .bytes(0x48, 0x8b, 0x03) // mov rax, [rbx]
      .bytes(0x48, 0x8b, 0x7b, 0x08, 0x48, 0x8b, 0x73, 0x10, 0x48, 0x8b, 0x53, 0x18) // rdi, rsi, rdx
      .bytes(0x4c, 0x8b, 0x53, 0x20, 0x4c, 0x8b, 0x43, 0x28, 0x4c, 0x8b, 0x4b, 0x30); // r10, r8, r9
  const loadFloats = () => {
    begin().bytes(0xf2, 0x48, 0x0f, 0x2c, 0x03); // cvttsd2si rax, [rbx]
    // cvttsd2si of rdi, rsi, rdx, then r10, r8, r9
    for (const [at, reg] of [[0x08, 7], [0x10, 6], [0x18, 2]] as const) a.bytes(0xf2, 0x48, 0x0f, 0x2c, 0x43 | (reg << 3), at);
    for (const [at, reg] of [[0x20, 2], [0x28, 0], [0x30, 1]] as const) a.bytes(0xf2, 0x4c, 0x0f, 0x2c, 0x43 | (reg << 3), at);
  };
  const storeResult = () =>
    a
      .bytes(0x0f, 0x57, 0xc0, 0xf2, 0x48, 0x0f, 0x2a, 0xc0) // xorps xmm0, xmm0; cvtsi2sd xmm0, rax
      .bytes(0x48, 0x89, 0x43, SLOT_RESULT, 0xf2, 0x0f, 0x11, 0x43, SLOT_RESULT_FLOAT) // mov, movsd
      .bytes(0x48, 0xb8).u64(p.several).bytes(0x83, 0x38, 0x00, 0x0f, 0x84) // mov rax, several; cmp dword [rax], 0; je
      .relative('left')
      .bytes(0xe9)
      .relative('leave');

  // Out of the kernel, unless the world stands still. The exchange is the barrier between our word and the stopper's.
  a.label('leave');
  a.bytes(0x31, 0xc9, 0x48, 0x8b, 0x83).u32(SLOT_IN_KERNEL).bytes(0x87, 0x08); // xor ecx, ecx; mov rax, [rbx+…]; xchg [rax], ecx
  a.bytes(0x48, 0xbf).u64(p.stop).bytes(0x8b, 0x17); // mov rdi, stop; mov edx, [rdi]
  a.bytes(0x85, 0xd2, 0x0f, 0x84).relative('left'); // test edx, edx; jz
  a.bytes(0x3b, 0x93).u32(SLOT_ID).bytes(0x0f, 0x84).relative('left'); // cmp edx, [rbx+id]; je
  a.bytes(0xc7, 0x00).u32(1); // mov dword [rax], 1
  a.bytes(0xbe).u32(128).bytes(0x45, 0x31, 0xd2); // esi = FUTEX_WAIT_PRIVATE; r10d = 0
  kernel(a, NR.futex).bytes(0xe9).relative('leave');
  a.label('left').bytes(0x5b, 0xc3); // pop rbx; ret

  a.label('syscall');
  loadFloats();
  a.bytes(0x0f, 0x05);
  storeResult();

  a.align(16, 0x90).label('syscall_exact');
  loadExact();
  a.bytes(0x0f, 0x05);
  storeResult();

  a.align(16, 0x90).label('syscall_interruptible');
  loadFloats();
  a.bytes(0xe9).relative('checked');

  a.align(16, 0x90).label('syscall_interruptible_exact');
  loadExact();
  a.label('checked').bytes(0x83, 0x7b, SLOT_PENDING, 0x00); // cmp dword [rbx+pending], 0
  a.bytes(0x0f, 0x85).relative('interrupted'); // jne
  a.bytes(0x0f, 0x05).label('entered');
  storeResult();
  a.label('interrupted').bytes(0x48, 0xc7, 0xc0).u32(NOT_ENTERED); // mov rax, …
  a.bytes(0xe9).relative('entered');

  quickStub(a, p.registers, p.several, NOT_ENTERED);

  a.align(16, 0x90).label('exchange');
  a.bytes(0x53, 0x48, 0x89, 0xfb); // push rbx; mov rbx, rdi
  a.bytes(0xf2, 0x4c, 0x0f, 0x2c, 0x03, 0xf2, 0x4c, 0x0f, 0x2c, 0x4b, 0x08); // cvttsd2si r8, r9: the two addresses
  a.bytes(0xf2, 0x44, 0x0f, 0x2c, 0x53, 0x10); // r10d = size
  a.bytes(0x48, 0x89, 0xdf, 0x49, 0x8b, 0x01, 0x49, 0x8b, 0x51, 0x08); // mov rdi, rbx; rax, rdx = expected
  a.bytes(0x49, 0x8b, 0x59, 0x10, 0x49, 0x8b, 0x49, 0x18); // rbx, rcx = replacement
  for (const size of [16, 8, 4]) a.bytes(0x41, 0x83, 0xfa, size, 0x0f, 0x84).relative(`exchange${size}`); // cmp r10d, size; je
  a.label('exchanging').bytes(0x66, 0xf0, 0x41, 0x0f, 0xb1, 0x18, 0xe9).relative('exchanged'); // lock cmpxchg [r8], bx; jmp
  a.label('exchange4').bytes(0xf0, 0x41, 0x0f, 0xb1, 0x18, 0xe9).relative('exchanged'); // … ebx
  a.label('exchange8').bytes(0xf0, 0x49, 0x0f, 0xb1, 0x18, 0xe9).relative('exchanged'); // … rbx
  a.label('exchange16').bytes(0xf0, 0x49, 0x0f, 0xc7, 0x08); // lock cmpxchg16b [r8]
  a.label('exchanged').bytes(0x49, 0x89, 0x01, 0x49, 0x89, 0x51, 0x08, 0x31, 0xc0); // [r9] = rax, rdx; eax = 0
  a.label('exchange_end').bytes(0x0f, 0x57, 0xc0, 0xf2, 0x0f, 0x2a, 0xc0); // xorps xmm0, xmm0; cvtsi2sd xmm0, eax
  a.bytes(0xf2, 0x0f, 0x11, 0x47, SLOT_RESULT_FLOAT, 0x5b, 0xc3); // movsd [rdi+result], xmm0; pop rbx; ret
  a.label('exchange_faulted').bytes(0xb8).u32(1).bytes(0xe9).relative('exchange_end'); // mov eax, 1

  /** slot in rdi: starts the raw thread `body` with the three arguments behind its stack in r12, r13, r14. */
  const starter = (label: string, body: string) => {
    a.align(16, 0x90).label(label);
    a.bytes(0x53, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56); // push rbx, r12, r13, r14
    a.bytes(0x48, 0x89, 0xfb); // mov rbx, rdi
    // The new thread inherits the mask of this moment: everything blocked, so no signal ever reaches it.
    a.bytes(0xbf).u32(2).bytes(0x48, 0x8d, 0xb3).u32(SLOT_FULL_MASK); // edi = SIG_SETMASK; rsi = &full
    a.bytes(0x48, 0x8d, 0x93).u32(SLOT_OLD_MASK).bytes(0x41, 0xba).u32(8); // rdx = &old; r10d = 8
    kernel(a, NR.rt_sigprocmask);
    a.bytes(0x4c, 0x8b, 0x63, 0x10, 0x4c, 0x8b, 0x6b, 0x18, 0x4c, 0x8b, 0x73, 0x20); // r12 = fd, r13 = counter, r14 = buffer
    a.bytes(0xbf).u32(RAW_THREAD_FLAGS).bytes(0x48, 0x8b, 0x73, 0x08); // edi = flags; rsi = stack
    a.bytes(0x31, 0xd2, 0x45, 0x31, 0xd2, 0x45, 0x31, 0xc0); // edx = r10d = r8d = 0
    kernel(a, NR.clone);
    a.bytes(0x48, 0x85, 0xc0, 0x0f, 0x84).relative(body); // test rax, rax; jz
    a.bytes(0x48, 0x89, 0x43, SLOT_RESULT);
    a.bytes(0xbf).u32(2).bytes(0x48, 0x8d, 0xb3).u32(SLOT_OLD_MASK).bytes(0x31, 0xd2, 0x41, 0xba).u32(8);
    kernel(a, NR.rt_sigprocmask);
    a.bytes(0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5b, 0xc3); // pop r14, r13, r12, rbx; ret
  };
  starter('watch', 'watcher');
  starter('sample', 'sampler');

  a.label('sampler');
  a.bytes(0x4c, 0x89, 0xf7, 0x31, 0xf6); // rdi = r14; esi = 0
  kernel(a, NR.nanosleep);
  a.bytes(0x49, 0x8b, 0x04, 0x24, 0x49, 0x8b, 0x56, 0x10, 0x0f, 0xb6, 0x12); // rax = [r12]; rdx = [r14+16]; edx = byte [rdx]
  a.bytes(0x48, 0xc1, 0xe2, 0x38, 0x48, 0x09, 0xd0); // shl rdx, 56; or rax, rdx
  a.bytes(0x41, 0x8b, 0x4d, 0x00, 0x89, 0xca, 0x81, 0xe2).u32(SAMPLES - 1); // ecx = [r13]; edx = ecx & (samples - 1)
  a.bytes(0x49, 0x89, 0x44, 0xd6, 0x20, 0xff, 0xc1, 0x41, 0x89, 0x4d, 0x00); // [r14+rdx*8+32] = rax; inc ecx; [r13] = ecx
  a.bytes(0xe9).relative('sampler');

  a.label('watcher');
  a.bytes(0x44, 0x89, 0xe7, 0x4c, 0x89, 0xf6, 0xba).u32(4096); // edi = r12d; rsi = r14; edx = 4096
  kernel(a, NR.read);
  a.bytes(0x48, 0x85, 0xc0, 0x0f, 0x8f).relative('changed'); // test rax, rax; jg
  a.bytes(0x48, 0x83, 0xf8, 0xfc, 0x0f, 0x84).relative('watcher'); // cmp rax, -EINTR; je
  a.bytes(0x48, 0x83, 0xf8, 0xf5, 0x0f, 0x84).relative('wait'); // cmp rax, -EAGAIN; je
  a.bytes(0x31, 0xff);
  kernel(a, NR.exit);
  a.label('changed').bytes(0xf0, 0x41, 0xff, 0x45, 0x00); // lock inc dword [r13]
  a.bytes(0xe9).relative('watcher');
  a.label('wait');
  a.bytes(0x45, 0x89, 0x26, 0x41, 0xc7, 0x46, 0x04).u32(1); // pollfd at r14: fd, POLLIN
  a.bytes(0x4c, 0x89, 0xf7, 0xbe).u32(1).bytes(0x48, 0xc7, 0xc2).u32(-1); // rdi = r14; esi = 1; rdx = -1
  kernel(a, NR.poll);
  a.bytes(0xe9).relative('watcher');

  /** rax = slot of this thread, or jump to `otherwise`. Clobbers rcx. */
  const findSlot = (otherwise: string) =>
    a
      .bytes(0x48, 0x89, 0xe0, 0x48, 0xb9).u64(p.arena) // mov rax, rsp; mov rcx, arena
      .bytes(0x48, 0x29, 0xc8, 0x48, 0x3d).u32(SLOT_COUNT * SLOT_SIZE) // sub rax, rcx; cmp rax, size
      .bytes(0x0f, 0x83).relative(otherwise) // jae
      .bytes(0x48, 0x89, 0xe0, 0x48, 0x25).u32(-SLOT_SIZE); // mov rax, rsp; and rax, -SLOT_SIZE

  a.align(16, 0x90).label('signal');
  findSlot('foreign');
  a.bytes(0x8b, 0x48, SLOT_HEAD, 0x41, 0x89, 0xc8, 0x44, 0x2b, 0x40, SLOT_TAIL); // ecx = head; r8d = ecx - tail
  a.bytes(0x41, 0x83, 0xf8, QUEUE_ENTRIES, 0x0f, 0x83).relative('full'); // cmp r8d, entries; jae
  a.bytes(0x41, 0x89, 0xc8, 0x41, 0x83, 0xe0, QUEUE_ENTRIES - 1); // r8d = ecx & (entries - 1)
  a.bytes(0x49, 0xc1, 0xe0, 0x07, 0x4e, 0x8d, 0x84, 0x00).u32(SLOT_QUEUE); // shl r8, 7; lea r8, [rax+r8+queue]
  for (let i = 0; i < 8; i++) a.bytes(0x0f, 0x10, 0x46, i * 16, 0x41, 0x0f, 0x11, 0x40, i * 16); // movups via xmm0
  a.bytes(0xff, 0xc1, 0x89, 0x48, SLOT_HEAD); // inc ecx; mov [rax+head], ecx
  a.label('full');
  a.bytes(0x49, 0xb8).u64(BLOCK_ALL_BUT_FAULTS).bytes(0x4c, 0x09, 0x82).u32(UC_SIGMASK); // or [rdx+mask], r8
  a.label('kicked');
  a.bytes(0xc7, 0x40, SLOT_PENDING).u32(1); // mov dword [rax+pending], 1
  a.bytes(0x4c, 0x8b, 0x40, SLOT_FLAG_POINTER, 0x41, 0xc7, 0x00).u32(1); // mov r8, [rax+pointer]; mov dword [r8], 1
  for (const [k, prefix] of ['', 'quick_'].entries()) {
    a.bytes(0x4c, 0x8b, 0x82).u32(UC_RIP); // mov r8, [rdx+rip]
    a.bytes(0x4c, 0x8d, 0x0d).relative(`${prefix}checked`).bytes(0x4d, 0x29, 0xc8); // lea r9, checked; sub r8, r9
    a.bytes(0x49, 0x81, 0xf8).u32(a.labelOffset(`${prefix}entered`) - a.labelOffset(`${prefix}checked`)); // cmp r8, length
    a.bytes(0x0f, 0x83).relative(`elsewhere${k}`); // jae
    a.bytes(0x4c, 0x8d, 0x0d).relative(`${prefix}interrupted`).bytes(0x4c, 0x89, 0x8a).u32(UC_RIP).bytes(0xc3); // rip = interrupted; ret
    a.label(`elsewhere${k}`);
  }
  a.bytes(0xc3);

  a.label('foreign');
  a.bytes(0x49, 0xb8).u64(BLOCK_ALL_BUT_FAULTS).bytes(0x4c, 0x89, 0x82).u32(UC_SIGMASK); // mov [rdx+mask], r8
  a.bytes(0x57, 0x56); // push rdi; push rsi
  kernel(a, NR.getpid);
  a.bytes(0x5a, 0x5e, 0x89, 0xc7); // pop rdx (siginfo); pop rsi (signal); mov edi, eax
  kernel(a, NR.rt_sigqueueinfo).bytes(0xc3);

  a.align(16, 0x90).label('fault');
  findSlot('elsewhere');
  a.bytes(0x83, 0x7e, 0x08, 0x00, 0x0f, 0x8e).relative('sent'); // cmp dword [rsi+si_code], 0; jle
  a.bytes(0x48, 0x8b, 0x8a).u32(UC_RIP).bytes(0x4c, 0x8d, 0x05).relative('exchanging'); // mov rcx, [rdx+rip]; lea r8, exchanging
  a.bytes(0x4c, 0x29, 0xc1, 0x48, 0x81, 0xf9).u32(a.labelOffset('exchanged') - a.labelOffset('exchanging')); // sub rcx, r8; cmp
  a.bytes(0x0f, 0x83).relative('noted'); // jae
  a.bytes(0x4c, 0x8d, 0x05).relative('exchange_faulted').bytes(0x4c, 0x89, 0x82).u32(UC_RIP).bytes(0xc3); // rip = …; ret
  a.label('noted').bytes(0x89, 0x78, SLOT_FAULT, 0x8b, 0x4e, 0x08, 0x89, 0x48, SLOT_FAULT + 4); // signal, si_code
  a.bytes(0x48, 0x8b, 0x4e, 0x10, 0x48, 0x89, 0x48, SLOT_FAULT + 8, 0xff, 0x40, SLOT_FAULT + 16); // si_addr, count
  a.bytes(0xbf).u32(11).label('trap').bytes(0x48, 0xb8).u64(p.faultHandler).bytes(0xff, 0xe0); // edi = SIGSEGV; jmp rax
  a.label('sent').bytes(0x49, 0xb8).u64(KICK).bytes(0x4c, 0x39, 0x46, 0x18, 0x0f, 0x84).relative('kicked'); // mov r8, KICK; cmp [rsi+si_value], r8; je
  a.bytes(0x49, 0xb8).u64(p.queueFaults).bytes(0x41, 0x83, 0x38, 0x00, 0x0f, 0x85).relative('signal'); // mov r8, …; cmp dword [r8], 0; jne
  a.bytes(0xe9).relative('trap'); // V8's handler finds that it is not a trap, and dies of it
  a.label('elsewhere').bytes(0x83, 0x7e, 0x08, 0x00, 0x0f, 0x8e).relative('foreign'); // jle
  a.bytes(0xe9).relative('trap');

  a.align(16, 0x90).label('mute');
  a.bytes(0x49, 0xb8).u64(BLOCK_ALL_BUT_FAULTS).bytes(0x4c, 0x89, 0x82).u32(UC_SIGMASK); // mov [rdx+mask], r8
  a.bytes(0x48, 0xb8).u64(p.arena).bytes(0xf0, 0xff, 0x80).u32(SLOT_MUTED).bytes(0xc3); // lock inc dword [arena+…]

  a.align(16, 0x90).label('restorer');
  kernel(a, NR.rt_sigreturn);
  return a;
}

/** The per-thread way in: loads the slot and goes on to a shared stub. */
export function x64Thunk(slot: number, target: number): Uint8Array {
  return new Assembler().bytes(0x48, 0xbf).u64(slot).bytes(0x48, 0xb8).u64(target).bytes(0xff, 0xe0).finish();
}
