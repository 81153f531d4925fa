/**
 * Vectors that translated code reads from state memory instead of carrying them as constants: the engine makes a constant
 * of sixteen different bytes in registers, four instructions each, but reads one as an operand of the instruction that
 * needs it.
 *
 * Invariant: a vector has its place as soon as the modules are loaded, so the places are the same in every process of one
 * build (kept translations rely on that).
 */
import type { Builder, Value } from '../../../ir/builder.ts';
import { STATE } from '../cpu-state.ts';

const bytes = new Uint8Array(STATE.constantsSize);
const places = new Map<string, number>();

/** The place of a vector: an offset in state memory for `pooled`. */
export function pool(vector: ArrayLike<number>): number {
  const key = Array.from(vector).join();
  let at = places.get(key);
  if (at === undefined) {
    at = 16 * places.size;
    if (at + 16 > bytes.length) throw new Error('the area for vector constants is full');
    bytes.set(Array.from(vector), at);
    places.set(key, at);
  }
  return STATE.constants + at;
}
export const pooled = (ir: Builder, place: number): Value => ir.stateLoad('v128.load', place);

/** What state memory holds at STATE.constants. */
export const constantPool: { readonly offset: number; readonly bytes: Uint8Array } = { offset: STATE.constants, bytes };
