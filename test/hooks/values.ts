/** Edges of a 64-bit register. */
export const MAX_I64 = (1n << 63n) - 1n;
export const MIN_I64 = -(1n << 63n);
