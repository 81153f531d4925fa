/**
 * Segment registers and descriptors as a 64-bit Linux program sees them: MOV to and from segment registers, LFS LGS LSS,
 * LAR LSL VERR VERW. Linux's descriptor table has four segments that user mode can name.
 */
import type { Value } from '../../../ir/builder.ts';
import { FS_BASE, GS_BASE, RFLAGS, STATE } from '../cpu-state.ts';
import { enc, instruction } from '../declare.ts';
import type { Emitter } from '../emitter.ts';
import { Ev, Ew, Gv, Mp, r, Sw, w } from '../operands.ts';
import { TRAP } from '../traps.ts';

/** By selector without RPL: access rights as LAR gives them, limit as LSL does. All have DPL 3. */
const DESCRIPTORS = [
  { selector: 0x20, rights: 0xcffb00, limit: -1, writable: false }, // 32-bit code
  { selector: 0x28, rights: 0xcff300, limit: -1, writable: true }, // data and stack
  { selector: 0x30, rights: 0xaffb00, limit: -1, writable: false }, // 64-bit code
  { selector: 0x78, rights: 0x40f500, limit: 0, writable: false }, // CPU and node number in its limit: CPU 0 of node 0
] as const;
const SS = 2;

const withoutRpl = (x: Emitter, selector: Value): Value => x.ir.i32.and(selector, x.ir.const32(0xfffc));
/** Is the selector (16 bits) one of those? i32. */
function known(x: Emitter, selector: Value, which: (d: (typeof DESCRIPTORS)[number]) => boolean = () => true): Value {
  const { ir } = x;
  const index = withoutRpl(x, selector);
  return DESCRIPTORS.filter(which).reduce((any, d) => ir.i32.or(any, ir.i32.eq(index, ir.const32(d.selector))), ir.const32(0));
}

/** Load segment register `n`: FS and GS take the descriptor's base, which is 0. */
export function loadSegment(x: Emitter, n: number, selector: Value): void {
  const { ir } = x;
  const { i32 } = ir;
  if (n === 1 || n > 5) {
    x.trap(TRAP.undefined); // CS, or no such register
    return;
  }
  if (n === SS) x.trapIf(i32.ne(selector, ir.const32(0x2b)), TRAP.protection);
  else x.trapIf(i32.eqz(i32.or(i32.le_u(selector, ir.const32(3)), known(x, selector))), TRAP.protection);
  ir.stateStore('i32.store', STATE.selectors + 4 * n, selector);
  if (n === 4) ir.set(FS_BASE, ir.const64(0));
  if (n === 5) ir.set(GS_BASE, ir.const64(0));
}

const KERNEL = 'segment registers hold what the kernel put there';
instruction('mov', { untestable: KERNEL }, [enc('8C /r', w(Ev), r(Sw))], (x, dst, src) => {
  const n = x.register(src) & 7;
  if (n > 5) {
    x.trap(TRAP.undefined);
    return;
  }
  const selector = x.ir.stateLoad('i32.load', STATE.selectors + 4 * n);
  if (x.isMemory(dst)) x.store(dst, 'i32.store16', selector);
  else x.write(dst, x.extend(selector, 32, x.size));
});
instruction('mov', { untestable: KERNEL }, [enc('8E /r', w(Sw), r(Ew))], (x, dst, src) => loadSegment(x, x.register(dst) & 7, x.read(src)));

for (const [name, opcode, n] of [['lss', 'B2', 2], ['lfs', 'B4', 4], ['lgs', 'B5', 5]] as const) {
  instruction(name, { untestable: KERNEL }, [enc(`0F ${opcode} /r`, w(Gv), r(Mp))], (x, dst, src) => {
    const { size } = x;
    const offset = x.load(src, size === 64 ? 'i64.load' : size === 32 ? 'i32.load' : 'i32.load16_u');
    loadSegment(x, n, x.load(src, 'i32.load16_u', size >> 3));
    x.write(dst, offset);
  });
}

/** LAR, LSL: the descriptor's value and ZF = 1, or nothing and ZF = 0. */
function descriptor(name: string, opcode: string, of: (d: (typeof DESCRIPTORS)[number]) => number): void {
  instruction(name, { flags: 'z' }, [enc(`0F ${opcode} /r`, w(Gv), r(Ew))], (x, dst, src) => {
    const { ir } = x;
    const selector = x.read(src);
    const index = withoutRpl(x, selector);
    const found = known(x, selector);
    const value = DESCRIPTORS.reduce((v, d) => ir.select(ir.i32.eq(index, ir.const32(d.selector)), ir.const32(of(d)), v), ir.const32(0));
    x.writeIf(dst, found, x.size === 64 ? ir.i64.extend_i32_u(value) : value);
    x.flags.replace(RFLAGS.ZF, ir.i32.shl(found, ir.const32(6)));
  });
}
descriptor('lar', '02', (d) => d.rights);
descriptor('lsl', '03', (d) => d.limit);
for (const [name, digit] of [['verr', 4], ['verw', 5]] as const) {
  instruction(name, { flags: 'z' }, [enc(`0F 00 /${digit}`, r(Ew))], (x, src) => {
    const found = known(x, x.read(src), name === 'verw' ? (d) => d.writable : undefined);
    x.flags.replace(RFLAGS.ZF, x.ir.i32.shl(found, x.ir.const32(6)));
  });
}
