/** The host's LOCK CMPXCHG as a helper: for what WebAssembly has no atomic operation for. */
import type { Helper } from './builder.ts';

/** Address, size, place of the operands in state memory (HelperEnv.compareExchange) → 0 if the memory cannot be written. */
export const COMPARE_EXCHANGE: Helper = {
  name: 'compare_exchange',
  params: ['f64', 'i32', 'i32'],
  results: ['i32'],
  effect: 'state',
  js: (env, address, size, at) => (env.compareExchange(Number(address), Number(size), Number(at)) ? 1 : 0),
};
