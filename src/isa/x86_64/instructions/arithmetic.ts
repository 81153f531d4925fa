/** ADD OR ADC SBB AND SUB XOR CMP TEST, INC DEC NEG NOT, XADD, CMPXCHG and its 8- and 16-byte forms. */
import type { Value } from '../../../ir/builder.ts';
import { RAX, RBX, RCX, RDX, RFLAGS } from '../cpu-state.ts';
import { enc, type Encoding, encWith, instruction, type InstructionOptions } from '../declare.ts';
import type { Emitter } from '../emitter.ts';
import { AL, Eb, Ev, Gb, Gv, Ib, Ibs, Iz, Mdq, Mq, type Operand, r, rAX, rw } from '../operands.ts';
import { TRAP } from '../traps.ts';

/** The eight classic operations share one pattern of encodings; `n` is their number in it. */
function classic(n: number, access: (o: Operand) => Operand): Encoding[] {
  const op = (low: number): string => (8 * n + low).toString(16).toUpperCase().padStart(2, '0');
  return [
    enc(`${op(0)} /r`, access(Eb), r(Gb)),
    enc(`${op(1)} /r`, access(Ev), r(Gv)),
    encWith(NO_LOCK, `${op(2)} /r`, access(Gb), r(Eb)),
    encWith(NO_LOCK, `${op(3)} /r`, access(Gv), r(Ev)),
    encWith(NO_LOCK, `${op(4)} ib`, access(AL), r(Ib)),
    encWith(NO_LOCK, `${op(5)} iz`, access(rAX), r(Iz)),
    enc(`80 /${n} ib`, access(Eb), r(Ib)),
    enc(`81 /${n} iz`, access(Ev), r(Iz)),
    enc(`83 /${n} ib`, access(Ev), r(Ibs)),
  ];
}
const NO_LOCK: InstructionOptions = { lock: false };

/** Old value of a destination, replaced by `atomic` under LOCK; otherwise the caller writes. */
const fetch = (x: Emitter, dst: Operand, kind: 'add' | 'sub' | 'and' | 'or' | 'xor', v: Value): Value => (x.locked(dst) ? x.atomicRmw(dst, kind, v) : x.read(dst));
const put = (x: Emitter, dst: Operand, v: Value): void => {
  if (!x.locked(dst)) x.write(dst, v);
};

instruction('add', { flags: 'oszapc', lock: true }, classic(0, rw), (x, dst, src) => {
  const b = x.read(src);
  const a = fetch(x, dst, 'add', b);
  const res = x.trunc(x.n.add(a, b));
  put(x, dst, res);
  x.flags.add(x.size, res, b);
});
