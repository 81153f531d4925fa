/** PUSH POP, PUSHF POPF, LAHF SAHF, ENTER LEAVE, flag bits (CLC STC CMC CLD STD). */
import type { Value } from '../../../ir/builder.ts';
import { DF, FIXED_FLAGS, REST_FLAGS, RBP, RFLAGS, RFLAGS_REST, RSP, STATE, STATUS_FLAGS, STEP_FLAGS } from '../cpu-state.ts';
import { enc, instruction } from '../declare.ts';
import type { Emitter } from '../emitter.ts';
import { Ev, FS, GS, Ib, Ibs, Iw, Iz, r, w, Zv } from '../operands.ts';
import { TRAP } from '../traps.ts';
import { loadSegment } from './segment.ts';

instruction('push', { d64: true }, [enc('50+r', r(Zv)), enc('FF /6', r(Ev))], (x, src) => x.push(x.read(src), x.size));
instruction('push', { d64: true }, [enc('6A ib', r(Ibs)), enc('68 iz', r(Iz))], (x, src) => {
  x.setSize(x.insn.opSize);
  x.push(x.read(src), x.size);
});
instruction('push', { d64: true, untestable: 'segment registers hold what the kernel put there' }, [enc('0F A0', r(FS)), enc('0F A8', r(GS))], (x, src) => {
  const size = x.insn.opSize;
  x.push(x.extend(x.ir.stateLoad('i32.load', STATE.selectors + 4 * src.index), 32, size), size);
});
instruction('pop', { d64: true }, [enc('58+r', w(Zv)), enc('8F /0', w(Ev))], (x, dst) => {
  const { ir } = x;
  const bytes = x.size >> 3;
  const sp = ir.get(RSP);
  const v = x.loadInt(sp, x.size);
  const after = ir.i64.add(sp, ir.const64(bytes));
  if (x.isMemory(dst)) {
    // An address based on rsp is computed after the pop.
    const address = x.insn.base === 4 || x.insn.index === 4 ? ir.i64.add(x.address(dst), ir.const64(bytes)) : x.address(dst);
    x.storeInt(x.insn.addrSize === 32 && x.insn.base === 4 ? ir.i64.and(address, ir.const64(0xffffffff)) : address, v, x.size);
    ir.set(RSP, after);
  } else {
    ir.set(RSP, after);
    x.write(dst, v);
  }
});
instruction('pop', { d64: true, untestable: 'segment registers hold what the kernel put there' }, [enc('0F A1', w(FS)), enc('0F A9', w(GS))], (x, dst) => {
  const { ir } = x;
  const size = x.insn.opSize;
  const sp = ir.get(RSP);
  loadSegment(x, dst.index, x.loadInt(sp, 16));
  ir.set(RSP, ir.i64.add(sp, ir.const64(size >> 3)));
});

/** RFLAGS as PUSHF stores them and SYSCALL puts them in r11: i32. */
export function readRflags(x: Emitter): Value {
  const { ir } = x;
  const { i32 } = ir;
  const df = i32.shl(ir.get(DF), ir.const32(10));
  return i32.or(i32.or(x.flags.all(), df), i32.or(ir.get(RFLAGS_REST), ir.const32(FIXED_FLAGS)));
}
/** POPF and IRET, before they change anything: translated code knows neither TF nor AC. `v`: the flags to come. */
export function beforeRflags(x: Emitter, v: Value, size: number): void {
  if (x.stepping) return;
  x.trapIf(x.ir.i32.and(v, x.ir.const32(size === 16 ? STEP_FLAGS & 0xffff : STEP_FLAGS)), TRAP.stepping);
}
/** POPF and IRET: what user mode may change; `size` 16 leaves the upper half alone. */
export function writeRflags(x: Emitter, v: Value, size: number): void {
  const { ir } = x;
  const { i32 } = ir;
  const restMask = size === 16 ? REST_FLAGS & 0xffff : REST_FLAGS;
  const kept = size === 16 ? i32.and(ir.get(RFLAGS_REST), ir.const32(~0xffff)) : ir.const32(0);
  ir.set(RFLAGS_REST, i32.or(i32.and(v, ir.const32(restMask)), kept));
  ir.set(DF, i32.and(i32.shr_u(v, ir.const32(10)), ir.const32(1)));
  x.flags.explicit(i32.and(v, ir.const32(STATUS_FLAGS)));
}
instruction('pushf', { d64: true, reads: 'oszapc', sized: ['pushf', 'pushfd', 'pushfq'] }, [enc('9C')], (x) => {
  const size = x.insn.opSize;
  x.push(x.extend(x.trunc(readRflags(x), size), size === 16 ? 16 : 32, size), size);
});
instruction('popf', { d64: true, flags: 'oszapc', sized: ['popf', 'popfd', 'popfq'] }, [enc('9D')], (x) => {
  const { ir } = x;
  const size = x.insn.opSize;
  const sp = ir.get(RSP);
  const popped = x.loadInt(sp, size);
  const v = size === 64 ? ir.i32.wrap_i64(popped) : popped;
  beforeRflags(x, v, size);
  ir.set(RSP, ir.i64.add(sp, ir.const64(size >> 3)));
  writeRflags(x, v, size);
});
instruction('lahf', { reads: 'szapc', cpuid: 'lahf' }, [enc('9F')], (x) => {
  const { ir } = x;
  const low = ir.i32.or(ir.i32.and(x.flags.all(), ir.const32(0xd5)), ir.const32(2));
  x.setGpr(0, ir.i32.or(x.gpr(0, 8), ir.i32.shl(low, ir.const32(8))), 16);
});
instruction('sahf', { flags: 'szapc', cpuid: 'lahf' }, [enc('9E')], (x) => {
  const { ir } = x;
  x.flags.replace(0xd5, ir.i32.and(ir.i32.shr_u(x.gpr(0, 16), ir.const32(8)), ir.const32(0xd5)));
});

instruction('leave', { d64: true }, [enc('C9')], (x) => {
  const { ir } = x;
  const size = x.insn.opSize;
  const frame = ir.get(RBP);
  const v = x.loadInt(frame, size);
  ir.set(RSP, ir.i64.add(frame, ir.const64(size >> 3)));
  x.setGpr(5, v, size);
});
instruction('enter', { d64: true }, [enc('C8 iw ib', r(Iw), r(Ib))], (x) => {
  const { ir, insn } = x;
  const { i64 } = ir;
  const size = insn.opSize;
  const bytes = size >> 3;
  const level = insn.imm2 & 31;
  const frame = i64.sub(ir.get(RSP), ir.const64(bytes));
  x.storeInt(frame, x.gpr(5, size), size);
  let sp = frame;
  for (let k = 1; k < level; k++) {
    sp = i64.sub(sp, ir.const64(bytes));
    x.storeInt(sp, x.loadInt(i64.sub(ir.get(RBP), ir.const64(k * bytes)), size), size);
  }
  if (level > 0) {
    sp = i64.sub(sp, ir.const64(bytes));
    x.storeInt(sp, x.narrow(frame, 64, size), size);
  }
  const top = i64.sub(sp, ir.const64(insn.imm));
  // The processor makes sure that the new top of the stack can be written; an OR with 0 changes nothing.
  if (insn.imm !== 0) ir.set(ir.temp('i32'), ir.atomicRmw('or', 1, top, ir.const32(0)));
  x.setGpr(5, x.narrow(frame, 64, size), size);
  ir.set(RSP, top);
});

instruction('clc', { flags: 'c' }, [enc('F8')], (x) => x.flags.replace(RFLAGS.CF, x.ir.const32(0)));
instruction('stc', { flags: 'c' }, [enc('F9')], (x) => x.flags.replace(RFLAGS.CF, x.ir.const32(1)));
instruction('cmc', { flags: 'c', reads: 'c' }, [enc('F5')], (x) => x.flags.replace(RFLAGS.CF, x.ir.i32.eqz(x.flags.carry())));
instruction('cld', {}, [enc('FC')], (x) => x.ir.set(DF, x.ir.const32(0)));
instruction('std', {}, [enc('FD')], (x) => x.ir.set(DF, x.ir.const32(1)));
