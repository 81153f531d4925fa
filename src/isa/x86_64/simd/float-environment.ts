/**
 * The floating-point environment of the vector instructions while code is translated: MXCSR's bits, and the two modes.
 *
 * - *plain*: translated for MXCSR's default control (round to nearest, nothing flushed, all exceptions masked); operations
 *   are WebAssembly's own and raise no flags. Programs that leave MXCSR alone run so.
 * - *exact*: every operation follows MXCSR as it is when it runs and raises the flags the processor raises.
 *   docs/decisions/fp-environment.md says when a process changes from one to the other.
 *
 * Functions over vectors (float.ts, convert.ts, …) see the builder only, so the context is found through it. In exact
 * mode they note the flags they raise with `raise`; the emitter commits them before the instruction's first write: MXCSR
 * takes them, and an unmasked one raises #XM with the destination as it was.
 */
import type { Builder, Value } from '../../../ir/builder.ts';
import { INITIAL, MXCSR } from '../cpu-state.ts';

/** Exception flags; their masks are seven bits further up. */
export const EXCEPTION = { invalid: 1, denormal: 2, zeroDivide: 4, overflow: 8, underflow: 16, precision: 32 } as const;
export const ALL_EXCEPTIONS = 0x3f;
/** Found from the operands alone: unmasked, they keep the operation from being done, and so from raising the others. */
export const PRE_COMPUTATION = EXCEPTION.invalid | EXCEPTION.denormal | EXCEPTION.zeroDivide;
export const CONTROL = { denormalsAreZero: 0x40, masks: 0x1f80, rounding: 0x6000, flushToZero: 0x8000 } as const;
export const MASK_SHIFT = 7;
export const ROUNDING_SHIFT = 13;

/** Whether code must be exact for this MXCSR. */
export const needsExact = (mxcsr: number): boolean => (mxcsr & ~ALL_EXCEPTIONS) !== INITIAL.mxcsr;

export class FloatContext {
  /** The mode instructions are translated in. */
  exact = false;
  #ir!: Builder;
  /** Step of an instruction that computes in several (dot products): a later one is not done if an earlier one traps. */
  step = 0;
  /** What was raised, by step. */
  #flags: (Value | undefined)[] = [];

  begin(ir: Builder): void {
    this.#ir = ir;
    this.#flags = [];
    this.step = 0;
    contexts.set(ir, this);
  }
  /** The instruction being emitted raises `flags` (i32, bits of EXCEPTION), if it gets as far as its first write. */
  raise(flags: Value): void {
    const before = this.#flags[this.step];
    this.#flags[this.step] = before === undefined ? flags : this.#ir.i32.or(before, flags);
  }
  /** Put what was raised into MXCSR; `trap` ends the block with #XM. Nothing is emitted if nothing was raised. */
  commit(trap: (condition: Value) => void): void {
    const steps = this.#flags;
    if (steps.length === 0) return;
    this.#flags = [];
    this.step = 0;
    const ir = this.#ir;
    const { i32 } = ir;
    const any = steps.filter((v) => v !== undefined).reduce((a, b) => i32.or(a, b));
    const update = (): void => this.#update(steps, trap);
    if (ir.constantOf(any) !== 0n) ir.if(any, update);
  }
  #update(steps: readonly (Value | undefined)[], trap: (condition: Value) => void): void {
    const ir = this.#ir;
    const { i32 } = ir;
    const control = ir.get(MXCSR);
    const masks = i32.xor(i32.shr_u(control, ir.const32(MASK_SHIFT)), ir.const32(ALL_EXCEPTIONS));
    let flags: Value | undefined;
    let unmasked: Value | undefined;
    for (const raised of steps) {
      if (raised === undefined) continue;
      const early = i32.and(i32.and(raised, masks), ir.const32(PRE_COMPUTATION));
      const done = i32.and(raised, ir.select(early, ir.const32(PRE_COMPUTATION), ir.const32(ALL_EXCEPTIONS)));
      flags = flags === undefined ? done : i32.or(flags, ir.select(unmasked as Value, ir.const32(0), done));
      unmasked = i32.and(flags, masks);
    }
    ir.set(MXCSR, i32.or(control, flags as Value));
    trap(unmasked as Value);
  }
}
const contexts = new WeakMap<Builder, FloatContext>();

/** The context of the instruction being emitted if its region is exact; undefined in plain mode. */
export function exactContext(ir: Builder): FloatContext | undefined {
  const context = contexts.get(ir);
  return context?.exact === true ? context : undefined;
}
