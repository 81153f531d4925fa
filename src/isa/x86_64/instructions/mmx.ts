/** MMX moves and EMMS. The MMX forms of vector operations stand with their XMM forms in sse-integer.ts. */
import { STATE } from '../cpu-state.ts';
import { enc, encWith, instruction, type InstructionOptions } from '../declare.ts';
import { Ed, Eq, Pd, Pq, Qq, r, w } from '../operands.ts';
import { enterMmx } from '../simd/forms.ts';

const MMX: InstructionOptions = { group: 'mmx', cpuid: 'mmx' };

instruction('movd', MMX, [enc('NP REX.W0 0F 6E /r', w(Pd), r(Ed))], (x, d, s) => {
  const v = x.ir.i64.extend_i32_u(x.read(s));
  enterMmx(x);
  x.writeMmx(d, v);
});
instruction('movq', MMX, [enc('NP REX.W 0F 6E /r', w(Pq), r(Eq))], (x, d, s) => {
  const v = x.read(s);
  enterMmx(x);
  x.writeMmx(d, v);
});
instruction('movd', MMX, [enc('NP REX.W0 0F 7E /r', w(Ed), r(Pd))], (x, d, s) => {
  x.write(d, x.ir.i32.wrap_i64(x.readMmx(s)));
  enterMmx(x);
});
instruction('movq', MMX, [enc('NP REX.W 0F 7E /r', w(Eq), r(Pq))], (x, d, s) => {
  x.write(d, x.readMmx(s));
  enterMmx(x);
});
instruction('movq', MMX, [enc('NP 0F 6F /r', w(Pq), r(Qq)), enc('NP 0F 7F /r', w(Qq), r(Pq))], (x, d, s) => {
  const v = x.readMmx(s);
  if (x.isMemory(d)) {
    x.writeMmx(d, v);
    enterMmx(x);
  } else {
    enterMmx(x);
    x.writeMmx(d, v);
  }
});
instruction('emms', MMX, [encWith({ mmx: true }, 'NP 0F 77')], (x) => {
  enterMmx(x);
  x.ir.stateStore('i32.store', STATE.x87Tag, x.ir.const32(0));
});
