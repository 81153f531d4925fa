/**
 * How much the tests against the host CPU do. By default a seeded slice; `npm run nightly` sets these:
 * LUNAGATE_CASES=n cases a row, LUNAGATE_SEED=n another seed, LUNAGATE_PART=k/n every nth row from the kth on, LUNAGATE_ROWS=regex
 * only the rows whose mnemonic or opcode matches.
 */
import type { TestContext } from 'node:test';
import type { Encoding } from '../../../src/isa/x86_64/declare.ts';

export const CASES = Number(process.env['LUNAGATE_CASES'] ?? 12);
export const SEED = Number(process.env['LUNAGATE_SEED'] ?? 1);
const ROWS = new RegExp(process.env['LUNAGATE_ROWS'] ?? '');
const [part, parts] = (process.env['LUNAGATE_PART'] ?? '1/1').split('/').map(Number) as [number, number];

/** Whether the row belongs to what is asked for. */
export const inSlice = (row: Encoding): boolean => row.id % parts === part - 1 && ROWS.test(`${row.mnemonic} ${row.text}`);
/** Of `count` cases or programs, those of this part. */
export const share = (count: number): number => Math.ceil(count / parts);
/** So that parts do not do the same: a seed of its own for each. */
export const partSeed = SEED * 1000 + part - 1;

/** What scripts/nightly.ts adds up. */
export interface Work {
  encodings: number;
  cases: number;
  mismatches: number;
}
export function tell(t: TestContext, what: string, work: Work, started: number): void {
  t.diagnostic(`judged ${what}: ${work.encodings} encodings, ${work.cases} cases, ${work.mismatches} mismatches, ${((performance.now() - started) / 1000).toFixed(1)} s`);
}
