/** Which rows can stand in a random program of several instructions. */
import type { Encoding } from '../../../src/isa/x86_64/declare.ts';
import { sameApproximations } from './native-executor.ts';

/** Why a row cannot stand in a program, or undefined. `exactFloat`: the program is translated in exact mode. */
export function unfit(row: Encoding, exactFloat = false): string | undefined {
  const { options, mnemonic } = row;
  if (options.untestable !== undefined) return options.untestable;
  if ((options.flow ?? 'next') !== 'next') return 'transfers control';
  if (options.rep !== undefined || /^(v?maskmov(q|dqu)|xlat|leave|enter)/.test(mnemonic)) return 'memory through registers that earlier instructions change';
  if (row.operands.some((o) => o.place === 'vsib')) return 'memory through a vector register';
  if (/^bt[src]?$/.test(mnemonic) && row.opcode.digit < 0) return 'its bit number chooses the address';
  if (/^(popf|v?ldmxcsr|fxrstor|xrstor|frstor|fldenv|fldcw)/.test(mnemonic)) return 'unmasks exceptions or sets TF';
  if (!sameApproximations && /^v?(rcp|rsqrt)/.test(mnemonic)) return 'approximate';
  if (/^(sh[lr]d|bextr)/.test(mnemonic)) return 'results the manual leaves open';
  if (/^(f?xsave|fnstenv|fnsave)/.test(mnemonic)) return 'stores what is not compared (instruction pointers, MXCSR mask)';
  if (mnemonic === 'lsl') return 'may tell which CPU it runs on';
  if (options.group === 'umip') return 'done by the kernel where the processor has UMIP';
  if (!exactFloat && /^v?stmxcsr$/.test(mnemonic)) return 'sticky flags are not kept';
  if (/^(pop|push)$/.test(mnemonic) && row.operands.some((o) => o.place === 'seg')) return 'segment registers';
  return undefined;
}
