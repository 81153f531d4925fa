/** Signals with the real kernel sending them; handlers are "run" by the test, which plays the processor. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errno } from '../../src/abi/errno.ts';
import { sa, sigbit, signo, ss } from '../../src/abi/signals.ts';
import type { LinuxHost } from '../../src/host/linux-host.ts';
import { faultInfo } from '../../src/kernel/signals.ts';
import { ints, SystemGuest, words } from '../syscalls/system-guest.ts';

const guest = new SystemGuest();
const { cpu, signals, task, process: self } = guest;
const host = self.host as LinuxHost;
const HANDLER = 0x7000;
const RESTORER = 0x7800;
const { SIGUSR1, SIGUSR2, SIGCHLD, SIGALRM, SIGSEGV, SIGPIPE, SIGTERM } = signo;
const SIGRT = 40;
const SIG_BLOCK = 0;
const SIG_SETMASK = 2;

signals.start(task, 0n, 0n);

function handle(signal: number, flags = 0, mask = 0n, handler = HANDLER): void {
  assert.equal(guest.sys('rt_sigaction', signal, words(handler, flags | sa.SA_RESTORER, RESTORER, mask), 0, 8), 0);
}

function ignore(signal: number, handler = 0): void {
  assert.equal(guest.sys('rt_sigaction', signal, words(handler, 0, 0, 0), 0, 8), 0);
}

function blocked(): bigint {
  const at = guest.alloc(8);
  assert.equal(guest.sys('rt_sigprocmask', SIG_BLOCK, 0, at, 8), 0);
  return task.memory.u64(at);
}

/** The handler's `ret`, then the restorer's rt_sigreturn. */
function returnFromHandler(): void {
  cpu.pc = Number(task.memory.u64(cpu.sp));
  assert.equal(cpu.pc, RESTORER);
  cpu.sp += 8;
  guest.sys('rt_sigreturn');
  signals.deliverPending(task);
}

function killSelf(signal: number): boolean {
  return guest.step('tgkill', self.pid, self.pid, signal);
}

test('a handler gets its frame and the interrupted state comes back whole', () => {
  handle(SIGUSR1, sa.SA_SIGINFO, sigbit(SIGUSR2));
  cpu.pc = 0x1234;
  cpu.fpu.forEach((_, k) => (cpu.fpu[k] = (k * 7) & 0xff));
  for (const [k, name] of ['rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'].entries()) {
    cpu.registers.set(name, 0x1111_1111_1111_1111n * BigInt(k + 1));
  }
  cpu.registers.set('eflags', 0x646n);
  const before = new Map(cpu.registers);
  const { sp } = cpu;
  const fpu = cpu.fpu.slice();

  assert.equal(killSelf(SIGUSR1), true);
  assert.equal(cpu.pc, HANDLER);
  assert.equal(cpu.sp % 16, 8);
  assert.ok(cpu.sp < sp - 128 - 512 - 440);
  assert.equal(cpu.getRegister('rdi'), BigInt(SIGUSR1));
  assert.equal((cpu.getRegister('eflags') as bigint) & 0x400n, 0n);
  const info = Number(cpu.getRegister('rsi'));
  assert.equal(guest.int(info), SIGUSR1);
  assert.equal(guest.int(info + 8), -6);
  assert.equal(guest.int(info + 16), self.pid);
  assert.equal(guest.int(info + 20), process.getuid?.());
  const uc = Number(cpu.getRegister('rdx'));
  const greg = (k: number): bigint => task.memory.u64(uc + 40 + 8 * k);
  assert.equal(greg(16), 0x1234n);
  assert.equal(greg(15), BigInt(sp));
  assert.equal(greg(13), 0n, 'the result of the system call');
  assert.equal(greg(0), before.get('r8'));
  assert.equal(greg(17), 0x646n);
  assert.equal(task.memory.u64(uc + 296), 0n, 'uc_sigmask');
  const fpstate = Number(task.memory.u64(uc + 40 + 184));
  assert.equal(fpstate % 64, 0);
  assert.deepEqual(guest.read(fpstate, 512), Buffer.from(fpu));
  assert.equal(blocked(), sigbit(SIGUSR1) | sigbit(SIGUSR2));

  // What the handler changes in the context is what execution goes on with.
  task.memory.setU64(uc + 40 + 8 * 11, 0xabcdn);
  cpu.registers.clear();
  cpu.registers.set('eflags', 0x202n);
  cpu.fpu.fill(0);
  returnFromHandler();
  assert.equal(cpu.pc, 0x1234);
  assert.equal(cpu.sp, sp);
  assert.equal(cpu.getRegister('rbx'), 0xabcdn);
  assert.equal(cpu.getRegister('r15'), before.get('r15'));
  assert.equal(cpu.getRegister('eflags'), 0x646n);
  assert.deepEqual(cpu.fpu, fpu);
  assert.equal(blocked(), 0n);
});

test('blocked signals wait in the kernel; standard ones merge, real-time ones queue in order', () => {
  handle(SIGUSR1);
  handle(SIGRT, sa.SA_SIGINFO);
  guest.sys('rt_sigprocmask', SIG_SETMASK, words(sigbit(SIGUSR1) | sigbit(SIGRT)), 0, 8);
  for (const value of [1, 2]) {
    assert.equal(killSelf(SIGUSR1), false);
    const info = Buffer.alloc(128);
    info.writeInt32LE(SIGRT, 0);
    info.writeInt32LE(-1, 8);
    info.writeInt32LE(self.pid, 16);
    info.writeBigUInt64LE(BigInt(value), 24);
    assert.equal(guest.step('rt_sigqueueinfo', self.pid, SIGRT, info), false);
    assert.equal(Number(cpu.result), 0);
  }
  const pending = guest.alloc(8);
  assert.equal(guest.sys('rt_sigpending', pending, 8), 0);
  assert.equal(task.memory.u64(pending), sigbit(SIGUSR1) | sigbit(SIGRT));

  cpu.pc = 0x2000;
  assert.equal(guest.step('rt_sigprocmask', SIG_SETMASK, words(0), 0, 8), true);
  // As the kernel stacks them: the last one pushed runs first.
  const seen: [number, bigint][] = [];
  for (let guard = 0; cpu.pc === HANDLER && guard < 10; guard++) {
    const info = Number(cpu.getRegister('rsi'));
    seen.push([Number(cpu.getRegister('rdi')), task.memory.u64(info + 24)]);
    returnFromHandler();
  }
  assert.equal(cpu.pc, 0x2000);
  assert.deepEqual(seen.filter(([s]) => s === SIGUSR1).length, 1);
  assert.deepEqual(seen.filter(([s]) => s === SIGRT).map(([, v]) => v), [1n, 2n]);
  guest.sys('rt_sigpending', pending, 8);
  assert.equal(task.memory.u64(pending), 0n);
});

test('SA_NODEFER, SA_RESETHAND, and what cannot be caught', () => {
  handle(SIGUSR1, sa.SA_NODEFER | sa.SA_RESETHAND);
  assert.equal(killSelf(SIGUSR1), true);
  assert.equal(blocked(), 0n);
  assert.equal(signals.action(SIGUSR1).handler, 0);
  returnFromHandler();
  assert.equal(guest.sys('rt_sigaction', signo.SIGKILL, words(HANDLER, 0, 0, 0), 0, 8), -errno.EINVAL);
  assert.equal(guest.sys('rt_sigaction', 65, 0, guest.alloc(32), 8), -errno.EINVAL);
  assert.equal(guest.sys('rt_sigaction', SIGUSR1, 0, 0, 7), -errno.EINVAL);
  assert.equal(guest.sys('rt_sigaction', SIGUSR1, 2 ** 40, 0, 8), -errno.EFAULT);
  // SIGKILL and SIGSTOP drop out of every mask.
  handle(SIGUSR1, 0, -1n);
  const old = guest.alloc(32);
  guest.sys('rt_sigaction', SIGUSR1, 0, old, 8);
  assert.equal(task.memory.u64(old + 24), BigInt.asUintN(64, ~(sigbit(9) | sigbit(19))));
});

test('ignored and default-ignored signals leave no trace', () => {
  ignore(SIGUSR1, 1);
  assert.equal(killSelf(SIGUSR1), false);
  ignore(SIGCHLD);
  assert.equal(killSelf(SIGCHLD), false);
  // Blocked, then ignored: discarded.
  guest.sys('rt_sigprocmask', SIG_SETMASK, words(sigbit(SIGUSR2)), 0, 8);
  handle(SIGUSR2);
  killSelf(SIGUSR2);
  ignore(SIGUSR2, 1);
  handle(SIGUSR2);
  assert.equal(guest.step('rt_sigprocmask', SIG_SETMASK, words(0), 0, 8), false);
});

test('a mask of its own: sigsuspend and ppoll deliver under it and restore the old one', () => {
  handle(SIGUSR1);
  guest.sys('rt_sigprocmask', SIG_SETMASK, words(sigbit(SIGUSR1) | sigbit(SIGTERM)), 0, 8);
  for (const call of [
    () => guest.step('rt_sigsuspend', words(0), 8),
    () => guest.step('ppoll', 0, 0, 0, words(0), 8),
    () => guest.step('pselect6', 0, 0, 0, 0, 0, words(guest.bytes(words(0)), 8)),
    () => guest.step('epoll_pwait', epoll, guest.alloc(12), 1, -1, words(0), 8),
  ]) {
    const epollNeeded = call.toString().includes('epoll');
    if (epollNeeded) epoll = guest.sys('epoll_create1', 0);
    killSelf(SIGUSR1);
    cpu.pc = 0x3000;
    assert.equal(call(), true);
    assert.equal(cpu.pc, HANDLER);
    const uc = Number(cpu.getRegister('rdx'));
    assert.equal(BigInt.asIntN(64, task.memory.u64(uc + 40 + 8 * 13)), BigInt(-errno.EINTR));
    assert.equal(task.memory.u64(uc + 296), sigbit(SIGUSR1) | sigbit(SIGTERM));
    assert.equal(blocked(), sigbit(SIGUSR1), 'the call\'s own mask holds while the handler runs');
    returnFromHandler();
    assert.equal(cpu.pc, 0x3000);
    assert.equal(blocked(), sigbit(SIGUSR1) | sigbit(SIGTERM));
  }
  guest.sys('rt_sigprocmask', SIG_SETMASK, words(0), 0, 8);
});
let epoll = -1;

test('an interrupted call starts again under SA_RESTART, and not otherwise', () => {
  const pipe = guest.alloc(8);
  guest.sys('pipe', pipe);
  const buffer = guest.alloc(8);
  const interrupted = (name: string, ...args: number[]): boolean => {
    guest.sys('setitimer', 0, words(0, 0, 0, 20_000), 0);
    cpu.pc = 0x4002;
    const entered = guest.step(name, ...args);
    guest.sys('setitimer', 0, words(0, 0, 0, 0), 0);
    assert.equal(entered, true);
    return cpu.pc === HANDLER;
  };
  handle(SIGALRM, sa.SA_RESTART);
  assert.ok(interrupted('read', guest.int(pipe), buffer, 8));
  returnFromHandler();
  assert.equal(cpu.pc, 0x4000, 'back at the instruction');
  assert.equal(cpu.getRegister('rax'), 0n, 'read\'s number');

  handle(SIGALRM, 0);
  assert.ok(interrupted('read', guest.int(pipe), buffer, 8));
  returnFromHandler();
  assert.equal(cpu.pc, 0x4002);
  assert.equal(BigInt.asIntN(64, cpu.getRegister('rax') as bigint), BigInt(-errno.EINTR));

  // poll, nanosleep and a futex with a time limit end in EINTR all the same.
  handle(SIGALRM, sa.SA_RESTART);
  const fds = guest.bytes(Buffer.concat([ints(guest.int(pipe)), Buffer.from([1, 0, 0, 0])]));
  assert.ok(interrupted('poll', fds, 1, 60_000));
  returnFromHandler();
  assert.equal(cpu.pc, 0x4002);
  const left = guest.alloc(16);
  assert.ok(interrupted('nanosleep', guest.bytes(words(60, 0)), left));
  returnFromHandler();
  assert.equal(cpu.pc, 0x4002);
  assert.ok(guest.long(left) === 59n || guest.long(left) === 60n);
  const word = guest.alloc(4);
  assert.ok(interrupted('futex', word, 0, 0, guest.bytes(words(60, 0)), 0, 0));
  returnFromHandler();
  assert.equal(cpu.pc, 0x4002);
  assert.ok(interrupted('futex', word, 0, 0, 0, 0, 0));
  returnFromHandler();
  assert.equal(cpu.pc, 0x4000);
  for (const end of [pipe, pipe + 4]) guest.sys('close', guest.int(end));
});

test('an EINTR that no signal caused stays what it is', () => {
  task.interruptedNr = 0;
  cpu.pc = 0x5000;
  assert.equal(signals.deliverPending(task), false);
  assert.equal(cpu.pc, 0x5000);
  task.interruptedNr = -1;
});

test('rt_sigtimedwait and signalfd take blocked signals', () => {
  handle(SIGUSR1);
  guest.sys('rt_sigprocmask', SIG_SETMASK, words(sigbit(SIGUSR1)), 0, 8);
  killSelf(SIGUSR1);
  const info = guest.alloc(128);
  assert.equal(guest.sys('rt_sigtimedwait', words(sigbit(SIGUSR1)), info, words(0, 0), 8), SIGUSR1);
  assert.equal(guest.int(info + 8), -6);
  assert.equal(guest.sys('rt_sigtimedwait', words(sigbit(SIGUSR1)), info, words(0, 1000), 8), -errno.EAGAIN);
  const fd = guest.sys('signalfd4', -1, words(sigbit(SIGUSR1)), 8, 0o4000);
  killSelf(SIGUSR1);
  assert.equal(guest.sys('read', fd, info, 128), 128);
  assert.equal(guest.int(info), SIGUSR1);
  assert.equal(guest.sys('read', fd, info, 128), -errno.EAGAIN);
  assert.equal(guest.sys('signalfd4', fd, words(sigbit(SIGUSR2)), 8, 0), fd);
  assert.equal(guest.sys('signalfd4', 99, words(0), 8, 0), -errno.EBADF);
  guest.sys('close', fd);
  guest.sys('rt_sigprocmask', SIG_SETMASK, words(0), 0, 8);
});

test('SIGSEGV: sent, blocked, waited for, without disturbing the engine', () => {
  handle(SIGSEGV);
  assert.equal(signals.handlesFaults, true);
  assert.equal(killSelf(SIGSEGV), true);
  returnFromHandler();
  guest.sys('rt_sigprocmask', SIG_SETMASK, words(sigbit(SIGSEGV)), 0, 8);
  assert.equal(killSelf(SIGSEGV), false);
  // The engine's own faults still work while the guest has it blocked.
  assert.throws(() => task.memory.u8(8), /not accessible/);
  const pending = guest.alloc(8);
  guest.sys('rt_sigpending', pending, 8);
  assert.equal(task.memory.u64(pending), sigbit(SIGSEGV));
  assert.equal(guest.sys('rt_sigtimedwait', words(sigbit(SIGSEGV)), 0, words(0, 0), 8), SIGSEGV);
  guest.sys('rt_sigprocmask', SIG_SETMASK, words(0), 0, 8);
});

test('a fault enters the handler with its address; told when the first fault handler comes, not when it goes', () => {
  const told: boolean[] = [];
  ignore(SIGSEGV);
  signals.exec(task);
  signals.onFaultHandlers = (wanted) => told.push(wanted);
  handle(SIGSEGV, sa.SA_SIGINFO);
  handle(SIGSEGV, sa.SA_SIGINFO);
  cpu.pc = 0x6000;
  // The host says SEGV_ACCERR: unmapped guest memory is PROT_NONE there.
  signals.raiseFault(task, SIGSEGV, faultInfo(SIGSEGV, 2, 0x2dead000));
  assert.equal(cpu.pc, HANDLER);
  const info = Number(cpu.getRegister('rsi'));
  assert.equal(guest.int(info + 8), 1);
  assert.equal(guest.long(info + 16), 0x2dead000n);
  assert.equal(task.memory.u64(Number(cpu.getRegister('rdx')) + 40 + 176), 0x2dead000n, 'cr2');
  returnFromHandler();
  assert.equal(cpu.pc, 0x6000);
  const at = guest.alloc(4096);
  signals.raiseFault(task, SIGSEGV, faultInfo(SIGSEGV, 2, at));
  assert.equal(guest.int(Number(cpu.getRegister('rsi')) + 8), 2);
  returnFromHandler();
  // A program that sets its handlers around each step (gnuplot does) is not translated anew each time.
  ignore(SIGSEGV);
  handle(SIGSEGV, sa.SA_SIGINFO);
  assert.deepEqual(told, [true]);
  ignore(SIGSEGV);
  signals.exec(task);
  assert.deepEqual(told, [true, false]);
  signals.onFaultHandlers = undefined;
});

test('the alternate stack', () => {
  const size = 16384;
  const stack = guest.alloc(size);
  const old = guest.alloc(24);
  assert.equal(guest.sys('sigaltstack', 0, old), 0);
  assert.equal(guest.int(old + 8), ss.SS_DISABLE);
  assert.equal(guest.sys('sigaltstack', words(stack, 0, 100), 0), -errno.ENOMEM);
  assert.equal(guest.sys('sigaltstack', words(stack, 9, size), 0), -errno.EINVAL);
  assert.equal(guest.sys('sigaltstack', words(stack, 0, size), 0), 0);
  handle(SIGUSR1, sa.SA_ONSTACK | sa.SA_NODEFER);
  const { sp } = cpu;
  killSelf(SIGUSR1);
  assert.ok(cpu.sp > stack && cpu.sp < stack + size);
  assert.equal(guest.sys('sigaltstack', 0, old), 0);
  assert.equal(guest.int(old + 8), ss.SS_ONSTACK);
  assert.equal(guest.sys('sigaltstack', words(stack, 0, size), 0), -errno.EPERM);
  // A second one goes below the first on the same stack.
  const first = cpu.sp;
  killSelf(SIGUSR1);
  assert.ok(cpu.sp < first && cpu.sp > stack);
  returnFromHandler();
  returnFromHandler();
  assert.equal(cpu.sp, sp);
  assert.equal(guest.sys('sigaltstack', words(0, ss.SS_DISABLE, 0), old), 0);
  assert.equal(guest.long(old), BigInt(stack));
});

test('dispositions reach the host: SIG_IGN is its SIG_IGN', () => {
  const { at, address } = task.scratch(32);
  const hostHandler = (signal: number): bigint => {
    host.syscall(host.nr['rt_sigaction'] as number, signal, 0, address, 8);
    return host.scratch.view.getBigUint64(at, true);
  };
  ignore(SIGPIPE, 1);
  assert.equal(hostHandler(SIGPIPE), 1n);
  ignore(SIGPIPE);
  assert.equal(hostHandler(SIGPIPE), 0n);
  handle(SIGPIPE);
  assert.ok(hostHandler(SIGPIPE) > 1n);
  signals.exec(task);
  assert.equal(hostHandler(SIGPIPE), 0n);
  assert.equal(signals.handlesFaults, false);
});
