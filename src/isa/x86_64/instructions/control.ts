/** Jumps, calls, returns, loops, SYSCALL, software interrupts, UD. */
import type { Value } from '../../../ir/builder.ts';
import { RCX, RSP, R11 } from '../cpu-state.ts';
import { enc, instruction } from '../declare.ts';
import type { Emitter } from '../emitter.ts';
import { CONDITIONS } from '../flags.ts';
import { Ev, Ib, Iw, Jb, Jz, Gv, Mp, r } from '../operands.ts';
import { TRAP } from '../traps.ts';
import { beforeRflags, readRflags, writeRflags } from './stack.ts';

const TRANSFER = 'transfers control';
const USER_CODE = 0x33;

for (let cc = 0; cc < 16; cc++) {
  const hex = cc.toString(16).toUpperCase();
  instruction(`j${CONDITIONS[cc]}`, { flow: 'branch', f64: true, reads: 'oszapc' }, [enc(`7${hex} cb`, r(Jb)), enc(`0F 8${hex} cz`, r(Jz))], (x) => branch(x, x.flags.condition(cc)));
}
function branch(x: Emitter, condition: Value): void {
  x.ir.branch(condition, x.ctx.block(x.insn.target), x.ctx.block(x.nextPc));
}
const count = (x: Emitter): Value => (x.insn.addrSize === 64 ? x.ir.get(RCX) : x.ir.i64.and(x.ir.get(RCX), x.ir.const64(0xffffffff)));
instruction('jrcxz', { flow: 'branch', f64: true }, [enc('E3 cb', r(Jb))], (x) => branch(x, x.ir.i64.eqz(count(x))));
/** rcx (67h: ecx) less one, written; whether it is not 0. */
function countDown(x: Emitter): Value {
  const { ir } = x;
  const left = ir.i64.sub(ir.get(RCX), ir.const64(1));
  if (x.insn.addrSize === 64) ir.set(RCX, left);
  else ir.set(RCX, ir.i64.and(left, ir.const64(0xffffffff)));
  return ir.i64.ne(ir.get(RCX), ir.const64(0));
}
instruction('loop', { flow: 'branch', f64: true }, [enc('E2 cb', r(Jb))], (x) => branch(x, countDown(x)));
instruction('loope', { flow: 'branch', f64: true, reads: 'z' }, [enc('E1 cb', r(Jb))], (x) => branch(x, x.ir.i32.and(countDown(x), x.flags.condition(4))));
instruction('loopne', { flow: 'branch', f64: true, reads: 'z' }, [enc('E0 cb', r(Jb))], (x) => branch(x, x.ir.i32.and(countDown(x), x.flags.condition(5))));

instruction('jmp', { flow: 'jump', f64: true }, [enc('EB cb', r(Jb)), enc('E9 cz', r(Jz))], (x) => x.jump(x.insn.target));
instruction('jmp', { flow: 'indirect', f64: true, untestable: TRANSFER }, [enc('FF /4', r(Ev))], (x, target) => x.ir.end({ kind: 'jumpIndirect', pc: x.read(target) }));

instruction('call', { flow: 'call', f64: true, untestable: TRANSFER }, [enc('E8 cz', r(Jz))], (x) => {
  const next = x.nextPc;
  x.push(x.ir.const64(next));
  x.ir.end({ kind: 'call', pc: x.insn.target, returnPc: next, next: x.ctx.block(next) });
});
instruction('call', { flow: 'callIndirect', f64: true, untestable: TRANSFER }, [enc('FF /2', r(Ev))], (x, target) => {
  const pc = x.read(target);
  const next = x.nextPc;
  x.push(x.ir.const64(next));
  x.ir.end({ kind: 'callIndirect', pc, returnPc: next, next: x.ctx.block(next) });
});
instruction('ret', { flow: 'ret', f64: true, untestable: TRANSFER }, [enc('C3'), enc('C2 iw', r(Iw))], (x) => {
  const { ir } = x;
  const sp = ir.get(RSP);
  const pc = ir.load('i64.load', sp);
  ir.set(RSP, ir.i64.add(sp, ir.const64(8 + x.insn.imm)));
  ir.end({ kind: 'ret', pc });
});

// Far transfers: Linux gives a 64-bit program one code segment; others (32-bit code) are not offered here.
const checkUserCode = (x: Emitter, selector: Value): void => x.trapIf(x.ir.i32.ne(x.ir.i32.and(selector, x.ir.const32(0xffff)), x.ir.const32(USER_CODE)), TRAP.protection);
/** Offset and selector of a far pointer in memory. */
function farPointer(x: Emitter, target: typeof Mp): Value {
  const { ir } = x;
  const size = x.insn.opSize;
  const offset = x.load(target, size === 64 ? 'i64.load' : size === 32 ? 'i64.load32_u' : 'i64.load16_u');
  checkUserCode(x, x.load(target, 'i32.load16_u', size >> 3));
  return ir.i64.or(offset, ir.const64(0));
}
instruction('jmp', { flow: 'indirect', untestable: TRANSFER }, [enc('FF /5', r(Mp))], (x, target) => x.ir.end({ kind: 'jumpIndirect', pc: farPointer(x, target) }));
instruction('call', { flow: 'indirect', untestable: TRANSFER }, [enc('FF /3', r(Mp))], (x, target) => {
  const { ir } = x;
  const pc = farPointer(x, target);
  const size = x.insn.opSize;
  const sp = ir.get(RSP);
  const bytes = size >> 3;
  x.storeInt(ir.i64.sub(sp, ir.const64(bytes)), size === 64 ? ir.const64(USER_CODE) : ir.const32(USER_CODE), size);
  const next = ir.const64(x.nextPc);
  const low = ir.i64.sub(sp, ir.const64(2 * bytes));
  x.storeInt(low, x.narrow(next, 64, size), size);
  ir.set(RSP, low);
  ir.end({ kind: 'jumpIndirect', pc });
});
instruction('retf', { flow: 'indirect', untestable: TRANSFER }, [enc('CB'), enc('CA iw', r(Iw))], (x) => {
  const { ir } = x;
  const size = x.insn.opSize;
  const bytes = size >> 3;
  const sp = ir.get(RSP);
  const pc = x.extend(x.loadInt(sp, size), size, 64);
  checkUserCode(x, x.loadInt(sp, 16, bytes));
  ir.set(RSP, ir.i64.add(sp, ir.const64(2 * bytes + x.insn.imm)));
  ir.end({ kind: 'jumpIndirect', pc });
});
instruction('iret', { flow: 'indirect', flags: 'oszapc', sized: ['iret', 'iretd', 'iretq'], untestable: TRANSFER }, [enc('CF')], (x) => {
  const { ir } = x;
  const size = x.insn.opSize;
  const bytes = size >> 3;
  const sp = ir.get(RSP);
  const pc = x.extend(x.loadInt(sp, size), size, 64);
  checkUserCode(x, x.loadInt(sp, 16, bytes));
  const popped = x.loadInt(sp, size, 2 * bytes);
  const flags = size === 64 ? ir.i32.wrap_i64(popped) : popped;
  const newSp = x.extend(x.loadInt(sp, size, 3 * bytes), size, 64);
  const ss = x.loadInt(sp, 16, 4 * bytes);
  x.trapIf(ir.i32.ne(ss, ir.const32(0x2b)), TRAP.protection);
  beforeRflags(x, flags, size);
  ir.set(RSP, newSp);
  writeRflags(x, flags, size);
  ir.end({ kind: 'jumpIndirect', pc });
});

instruction('syscall', { flow: 'syscall', untestable: 'enters the kernel' }, [enc('0F 05')], (x) => {
  const { ir } = x;
  const flags = readRflags(x);
  const next = x.nextPc;
  ir.set(RCX, ir.const64(next));
  ir.set(R11, ir.i64.extend_i32_u(flags));
  ir.end({ kind: 'syscall', nextPc: next, next: x.ctx.block(next) });
});
// Vectors Linux lets a program call: 3 (INT3's) and 4; every other one is #GP (0x80, the 32-bit ABI, is not offered).
instruction('int3', { flow: 'stop' }, [enc('CC')], (x) => x.trap(TRAP.breakpoint, x.nextPc));
instruction('int', { flow: 'stop', untestable: '0x80 enters the kernel' }, [enc('CD ib', r(Ib))], (x) => {
  if (x.insn.imm === 3) x.trap(TRAP.breakpoint, x.nextPc);
  else if (x.insn.imm === 4) x.trap(TRAP.overflow, x.nextPc);
  else x.trap(TRAP.protection);
});
instruction('int1', { flow: 'stop', untestable: 'hypervisors disagree about the rip reported' }, [enc('F1')], (x) => x.trap(TRAP.debug, x.nextPc));
instruction('ud2', { flow: 'stop' }, [enc('0F 0B')], (x) => x.trap(TRAP.undefined));
instruction('ud1', { flow: 'stop' }, [enc('0F B9 /r', r(Gv), r(Ev))], (x) => x.trap(TRAP.undefined));
instruction('ud0', { flow: 'stop' }, [enc('0F FF /r', r(Gv), r(Ev))], (x) => x.trap(TRAP.undefined));
