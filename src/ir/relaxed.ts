/**
 * What this engine's relaxed SIMD does where the specification leaves a choice: does `relaxed_madd` round once (a fused
 * multiply-add) or twice? V8 takes the processor's FMA where there is one. Asked of the engine itself, once, when first
 * needed.
 */

/** (x, y, z) of f64x2 and f32x4 whose x·y + z is not 0 exactly, but is 0 when the product is rounded: (1+ε)(1−ε) − 1. */
const F64 = [1 + 2 ** -30, 1 - 2 ** -30, -1] as const;
const F32 = [1 + 2 ** -12, 1 - 2 ** -12, -1] as const;

/** A function of no parameters: memory[48] = madd(memory[0], memory[16], memory[32]), opcode 0xfd `op`. */
function kernel(op: number): number[] {
  const load = (at: number): number[] => [0x41, at, 0xfd, 0, 4, 0];
  const code = [0, 0x41, 48, ...load(0), ...load(16), ...load(32), 0xfd, op & 0x7f | 0x80, op >> 7, 0xfd, 11, 4, 0, 0x0b];
  return [code.length, ...code];
}
function probe(): boolean {
  const section = (id: number, ...content: number[]): number[] => [id, content.length, ...content];
  const module = [
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, 1, 0x60, 0, 0), ...section(3, 2, 0, 0), ...section(5, 1, 0, 1),
    ...section(7, 3, 1, 0x6d, 2, 0, 1, 0x64, 0, 0, 1, 0x73, 0, 1), ...section(10, 2, ...kernel(0x107), ...kernel(0x105)),
  ];
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(module)));
  const { m, d, s } = exports as unknown as { m: WebAssembly.Memory; d: () => void; s: () => void };
  const f64 = new Float64Array(m.buffer);
  const f32 = new Float32Array(m.buffer);
  for (const [k, v] of F64.entries()) f64.fill(v, 2 * k, 2 * k + 2);
  d();
  const doubles = f64[6] === -(2 ** -60) && f64[7] === -(2 ** -60);
  for (const [k, v] of F32.entries()) f32.fill(v, 4 * k, 4 * k + 4);
  s();
  return doubles && f32.subarray(12, 16).every((v) => v === -(2 ** -24));
}

let known: boolean | undefined;
/** True if `relaxed_madd` and `relaxed_nmadd` round once. */
export function maddIsFused(): boolean {
  known ??= probe();
  return known;
}
/** For tests: pretend it is, or is not; undefined: ask the engine again. */
export function assumeMadd(fused: boolean | undefined): void {
  known = fused;
}
