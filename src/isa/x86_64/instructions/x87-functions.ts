/** The transcendental instructions of the x87. */
import type { Helper } from '../../../ir/builder.ts';
import { enc, instruction, type InstructionOptions } from '../declare.ts';
import { note, wait } from '../x87/instruction.ts';
import { ATAN2_ST, COS_ST, EXP2M1_ST, SIN_COS_ST, SIN_ST, TAN_ST, Y_LOG2_ST, Y_LOG2P1_ST } from '../x87/transcendental.ts';

/** Processors differ in the last bit of these, so they have a test of their own with that tolerance. */
const OPTIONS: InstructionOptions = { group: 'x87', untestable: 'the last bit differs from processor to processor: see x87-functions.test.ts' };

const ROWS: readonly (readonly [string, string, Helper])[] = [
  ['f2xm1', 'D9 F0', EXP2M1_ST],
  ['fyl2x', 'D9 F1', Y_LOG2_ST],
  ['fptan', 'D9 F2', TAN_ST],
  ['fpatan', 'D9 F3', ATAN2_ST],
  ['fyl2xp1', 'D9 F9', Y_LOG2P1_ST],
  ['fsincos', 'D9 FB', SIN_COS_ST],
  ['fsin', 'D9 FE', SIN_ST],
  ['fcos', 'D9 FF', COS_ST],
];
for (const [name, opcode, helper] of ROWS) {
  instruction(name, OPTIONS, [enc(opcode)], (x) => {
    wait(x);
    note(x);
    x.ir.call(helper, []);
  });
}
