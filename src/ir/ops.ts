/**
 * The operations of the IR. Pure numeric operations are WebAssembly's own, by name and meaning, so that lowering is
 * one byte and the interpreter has one specification to follow; the rest (guest variables, state memory, helpers,
 * control) are listed in OP.
 *
 * Operation ids: a one-byte wasm opcode is its own id; prefix 0xfc is 0x100 + n, prefix 0xfd (SIMD) 0x200 + n.
 */
export type Type = 'i32' | 'i64' | 'f32' | 'f64' | 'v128';
export const TYPES: readonly Type[] = ['i32', 'i64', 'f32', 'f64', 'v128'];

/** Non-numeric operations. Ids below 0x28 are free in the numeric space used here. */
export const OP = {
  const32: 0x01, // a = value
  const64: 0x02, // a = low word, b = high word
  constf32: 0x03, // a = bits
  constf64: 0x04, // a = low word, b = high word of the bits
  const128: 0x05, // a = index in vectors
  get: 0x06, // a = var
  set: 0x07, // a = var, b = value
  select: 0x08, // a = condition, b = if non-zero, c = if zero
  shuffle: 0x09, // a, b = vectors, c = index in vectors (the 16 lane numbers)
  stateLoad: 0x0a, // a = i32 address or -1, b = offset, c = load op
  stateStore: 0x0b, // a = i32 address or -1, b = value, c = offset | (store op << 20)
  call: 0x0c, // a = helper, b = first argument in args, c = count
  result: 0x0d, // a = call, b = which (≥ 1; the call itself is result 0)
  insn: 0x0e, // a = index in marks: guest instruction starts here
  fence: 0x0f,
  mulHiU: 0x10, // a, b = i64: high 64 bits of the unsigned product
  mulHiS: 0x11,
  atomicRmw: 0x12, // a = address, b = value, c = (size | kind << 8 | ALIGNED); old value
  atomicCmpxchg: 0x13, // a = address, b = index in args (expected, replacement), c = (size | ALIGNED); old value
  probeWrite: 0x14, // a = address, b = offset, c = size: writes nothing, but faults if the bytes cannot be written
} as const;

const I32_TEST = { eqz: 0x45 } as const;
const I32_CMP = {
  eq: 0x46,
  ne: 0x47,
  lt_s: 0x48,
  lt_u: 0x49,
  gt_s: 0x4a,
  gt_u: 0x4b,
  le_s: 0x4c,
  le_u: 0x4d,
  ge_s: 0x4e,
  ge_u: 0x4f,
} as const;
const I64_TEST = { eqz: 0x50 } as const;
const I64_CMP = {
  eq: 0x51,
  ne: 0x52,
  lt_s: 0x53,
  lt_u: 0x54,
  gt_s: 0x55,
  gt_u: 0x56,
  le_s: 0x57,
  le_u: 0x58,
  ge_s: 0x59,
  ge_u: 0x5a,
} as const;
const F32_CMP = { eq: 0x5b, ne: 0x5c, lt: 0x5d, gt: 0x5e, le: 0x5f, ge: 0x60 } as const;
const F64_CMP = { eq: 0x61, ne: 0x62, lt: 0x63, gt: 0x64, le: 0x65, ge: 0x66 } as const;
const I32_UN = { clz: 0x67, ctz: 0x68, popcnt: 0x69, extend8_s: 0xc0, extend16_s: 0xc1 } as const;
const I32_BIN = {
  add: 0x6a,
  sub: 0x6b,
  mul: 0x6c,
  div_s: 0x6d,
  div_u: 0x6e,
  rem_s: 0x6f,
  rem_u: 0x70,
  and: 0x71,
  or: 0x72,
  xor: 0x73,
  shl: 0x74,
  shr_s: 0x75,
  shr_u: 0x76,
  rotl: 0x77,
  rotr: 0x78,
} as const;
const I64_UN = { clz: 0x79, ctz: 0x7a, popcnt: 0x7b, extend8_s: 0xc2, extend16_s: 0xc3, extend32_s: 0xc4 } as const;
const I64_BIN = {
  add: 0x7c,
  sub: 0x7d,
  mul: 0x7e,
  div_s: 0x7f,
  div_u: 0x80,
  rem_s: 0x81,
  rem_u: 0x82,
  and: 0x83,
  or: 0x84,
  xor: 0x85,
  shl: 0x86,
  shr_s: 0x87,
  shr_u: 0x88,
  rotl: 0x89,
  rotr: 0x8a,
} as const;
const F32_UN = { abs: 0x8b, neg: 0x8c, ceil: 0x8d, floor: 0x8e, trunc: 0x8f, nearest: 0x90, sqrt: 0x91 } as const;
const F32_BIN = { add: 0x92, sub: 0x93, mul: 0x94, div: 0x95, min: 0x96, max: 0x97, copysign: 0x98 } as const;
const F64_UN = { abs: 0x99, neg: 0x9a, ceil: 0x9b, floor: 0x9c, trunc: 0x9d, nearest: 0x9e, sqrt: 0x9f } as const;
const F64_BIN = { add: 0xa0, sub: 0xa1, mul: 0xa2, div: 0xa3, min: 0xa4, max: 0xa5, copysign: 0xa6 } as const;
/** Conversions: [id, from, to]. */
const CONVERT = {
  'i32.wrap_i64': [0xa7, 'i64', 'i32'],
  'i64.extend_i32_s': [0xac, 'i32', 'i64'],
  'i64.extend_i32_u': [0xad, 'i32', 'i64'],
  'f32.convert_i32_s': [0xb2, 'i32', 'f32'],
  'f32.convert_i32_u': [0xb3, 'i32', 'f32'],
  'f32.convert_i64_s': [0xb4, 'i64', 'f32'],
  'f32.convert_i64_u': [0xb5, 'i64', 'f32'],
  'f32.demote_f64': [0xb6, 'f64', 'f32'],
  'f64.convert_i32_s': [0xb7, 'i32', 'f64'],
  'f64.convert_i32_u': [0xb8, 'i32', 'f64'],
  'f64.convert_i64_s': [0xb9, 'i64', 'f64'],
  'f64.convert_i64_u': [0xba, 'i64', 'f64'],
  'f64.promote_f32': [0xbb, 'f32', 'f64'],
  'i32.reinterpret_f32': [0xbc, 'f32', 'i32'],
  'i64.reinterpret_f64': [0xbd, 'f64', 'i64'],
  'f32.reinterpret_i32': [0xbe, 'i32', 'f32'],
  'f64.reinterpret_i64': [0xbf, 'i64', 'f64'],
  'i32.trunc_sat_f32_s': [0x100, 'f32', 'i32'],
  'i32.trunc_sat_f32_u': [0x101, 'f32', 'i32'],
  'i32.trunc_sat_f64_s': [0x102, 'f64', 'i32'],
  'i32.trunc_sat_f64_u': [0x103, 'f64', 'i32'],
  'i64.trunc_sat_f32_s': [0x104, 'f32', 'i64'],
  'i64.trunc_sat_f32_u': [0x105, 'f32', 'i64'],
  'i64.trunc_sat_f64_s': [0x106, 'f64', 'i64'],
  'i64.trunc_sat_f64_u': [0x107, 'f64', 'i64'],
} as const;

// SIMD, by shape of signature. Numbers are the spec's (0xfd n).
const V_UN = {
  v128: { not: 0x4d },
  i8x16: { abs: 0x60, neg: 0x61, popcnt: 0x62 },
  i16x8: {
    extadd_pairwise_i8x16_s: 0x7c,
    extadd_pairwise_i8x16_u: 0x7d,
    abs: 0x80,
    neg: 0x81,
    extend_low_i8x16_s: 0x87,
    extend_high_i8x16_s: 0x88,
    extend_low_i8x16_u: 0x89,
    extend_high_i8x16_u: 0x8a,
  },
  i32x4: {
    extadd_pairwise_i16x8_s: 0x7e,
    extadd_pairwise_i16x8_u: 0x7f,
    abs: 0xa0,
    neg: 0xa1,
    extend_low_i16x8_s: 0xa7,
    extend_high_i16x8_s: 0xa8,
    extend_low_i16x8_u: 0xa9,
    extend_high_i16x8_u: 0xaa,
    trunc_sat_f32x4_s: 0xf8,
    trunc_sat_f32x4_u: 0xf9,
    trunc_sat_f64x2_s_zero: 0xfc,
    trunc_sat_f64x2_u_zero: 0xfd,
  },
  i64x2: {
    abs: 0xc0,
    neg: 0xc1,
    extend_low_i32x4_s: 0xc7,
    extend_high_i32x4_s: 0xc8,
    extend_low_i32x4_u: 0xc9,
    extend_high_i32x4_u: 0xca,
  },
  f32x4: {
    demote_f64x2_zero: 0x5e,
    ceil: 0x67,
    floor: 0x68,
    trunc: 0x69,
    nearest: 0x6a,
    abs: 0xe0,
    neg: 0xe1,
    sqrt: 0xe3,
    convert_i32x4_s: 0xfa,
    convert_i32x4_u: 0xfb,
  },
  f64x2: {
    promote_low_f32x4: 0x5f,
    ceil: 0x74,
    floor: 0x75,
    trunc: 0x7a,
    nearest: 0x94,
    abs: 0xec,
    neg: 0xed,
    sqrt: 0xef,
    convert_low_i32x4_s: 0xfe,
    convert_low_i32x4_u: 0xff,
  },
} as const;
const V_BIN = {
  v128: { and: 0x4e, andnot: 0x4f, or: 0x50, xor: 0x51 },
  i8x16: {
    swizzle: 0x0e,
    relaxed_swizzle: 0x100,
    eq: 0x23,
    ne: 0x24,
    lt_s: 0x25,
    lt_u: 0x26,
    gt_s: 0x27,
    gt_u: 0x28,
    le_s: 0x29,
    le_u: 0x2a,
    ge_s: 0x2b,
    ge_u: 0x2c,
    narrow_i16x8_s: 0x65,
    narrow_i16x8_u: 0x66,
    add: 0x6e,
    add_sat_s: 0x6f,
    add_sat_u: 0x70,
    sub: 0x71,
    sub_sat_s: 0x72,
    sub_sat_u: 0x73,
    min_s: 0x76,
    min_u: 0x77,
    max_s: 0x78,
    max_u: 0x79,
    avgr_u: 0x7b,
  },
  i16x8: {
    eq: 0x2d,
    ne: 0x2e,
    lt_s: 0x2f,
    lt_u: 0x30,
    gt_s: 0x31,
    gt_u: 0x32,
    le_s: 0x33,
    le_u: 0x34,
    ge_s: 0x35,
    ge_u: 0x36,
    q15mulr_sat_s: 0x82,
    narrow_i32x4_s: 0x85,
    narrow_i32x4_u: 0x86,
    add: 0x8e,
    add_sat_s: 0x8f,
    add_sat_u: 0x90,
    sub: 0x91,
    sub_sat_s: 0x92,
    sub_sat_u: 0x93,
    mul: 0x95,
    min_s: 0x96,
    min_u: 0x97,
    max_s: 0x98,
    max_u: 0x99,
    avgr_u: 0x9b,
    extmul_low_i8x16_s: 0x9c,
    extmul_high_i8x16_s: 0x9d,
    extmul_low_i8x16_u: 0x9e,
    extmul_high_i8x16_u: 0x9f,
  },
  i32x4: {
    eq: 0x37,
    ne: 0x38,
    lt_s: 0x39,
    lt_u: 0x3a,
    gt_s: 0x3b,
    gt_u: 0x3c,
    le_s: 0x3d,
    le_u: 0x3e,
    ge_s: 0x3f,
    ge_u: 0x40,
    add: 0xae,
    sub: 0xb1,
    mul: 0xb5,
    min_s: 0xb6,
    min_u: 0xb7,
    max_s: 0xb8,
    max_u: 0xb9,
    dot_i16x8_s: 0xba,
    extmul_low_i16x8_s: 0xbc,
    extmul_high_i16x8_s: 0xbd,
    extmul_low_i16x8_u: 0xbe,
    extmul_high_i16x8_u: 0xbf,
  },
  i64x2: {
    add: 0xce,
    sub: 0xd1,
    mul: 0xd5,
    eq: 0xd6,
    ne: 0xd7,
    lt_s: 0xd8,
    gt_s: 0xd9,
    le_s: 0xda,
    ge_s: 0xdb,
    extmul_low_i32x4_s: 0xdc,
    extmul_high_i32x4_s: 0xdd,
    extmul_low_i32x4_u: 0xde,
    extmul_high_i32x4_u: 0xdf,
  },
  f32x4: {
    eq: 0x41,
    ne: 0x42,
    lt: 0x43,
    gt: 0x44,
    le: 0x45,
    ge: 0x46,
    add: 0xe4,
    sub: 0xe5,
    mul: 0xe6,
    div: 0xe7,
    min: 0xe8,
    max: 0xe9,
    pmin: 0xea,
    pmax: 0xeb,
  },
  f64x2: {
    eq: 0x47,
    ne: 0x48,
    lt: 0x49,
    gt: 0x4a,
    le: 0x4b,
    ge: 0x4c,
    add: 0xf0,
    sub: 0xf1,
    mul: 0xf2,
    div: 0xf3,
    min: 0xf4,
    max: 0xf5,
    pmin: 0xf6,
    pmax: 0xf7,
  },
} as const;
/**
 * Relaxed: madd rounds once or twice, as relaxed.ts finds out; which of several NaN operands comes out is not defined.
 * relaxed_swizzle is exact for indices below 16 and from 128 on.
 */
const V_TERNARY = {
  f32x4: { relaxed_madd: 0x105, relaxed_nmadd: 0x106 },
  f64x2: { relaxed_madd: 0x107, relaxed_nmadd: 0x108 },
} as const;
const V_SHIFT = {
  i8x16: { shl: 0x6b, shr_s: 0x6c, shr_u: 0x6d },
  i16x8: { shl: 0x8b, shr_s: 0x8c, shr_u: 0x8d },
  i32x4: { shl: 0xab, shr_s: 0xac, shr_u: 0xad },
  i64x2: { shl: 0xcb, shr_s: 0xcc, shr_u: 0xcd },
} as const;
/** Vector to i32. */
const V_TEST = {
  v128: { any_true: 0x53 },
  i8x16: { all_true: 0x63, bitmask: 0x64 },
  i16x8: { all_true: 0x83, bitmask: 0x84 },
  i32x4: { all_true: 0xa3, bitmask: 0xa4 },
  i64x2: { all_true: 0xc3, bitmask: 0xc4 },
} as const;
const V_SPLAT = {
  i8x16: [0x0f, 'i32'],
  i16x8: [0x10, 'i32'],
  i32x4: [0x11, 'i32'],
  i64x2: [0x12, 'i64'],
  f32x4: [0x13, 'f32'],
  f64x2: [0x14, 'f64'],
} as const;
const V_EXTRACT = {
  i8x16: { extract_lane_s: [0x15, 'i32'], extract_lane_u: [0x16, 'i32'] },
  i16x8: { extract_lane_s: [0x18, 'i32'], extract_lane_u: [0x19, 'i32'] },
  i32x4: { extract_lane: [0x1b, 'i32'] },
  i64x2: { extract_lane: [0x1d, 'i64'] },
  f32x4: { extract_lane: [0x1f, 'f32'] },
  f64x2: { extract_lane: [0x21, 'f64'] },
} as const;
const V_REPLACE = {
  i8x16: [0x17, 'i32'],
  i16x8: [0x1a, 'i32'],
  i32x4: [0x1c, 'i32'],
  i64x2: [0x1e, 'i64'],
  f32x4: [0x20, 'f32'],
  f64x2: [0x22, 'f64'],
} as const;
const BITSELECT = 0x52;

/** Loads from guest or state memory: [id, result, bytes]. */
export const LOADS = {
  'i32.load': [0x28, 'i32', 4],
  'i64.load': [0x29, 'i64', 8],
  'f32.load': [0x2a, 'f32', 4],
  'f64.load': [0x2b, 'f64', 8],
  'i32.load8_s': [0x2c, 'i32', 1],
  'i32.load8_u': [0x2d, 'i32', 1],
  'i32.load16_s': [0x2e, 'i32', 2],
  'i32.load16_u': [0x2f, 'i32', 2],
  'i64.load8_s': [0x30, 'i64', 1],
  'i64.load8_u': [0x31, 'i64', 1],
  'i64.load16_s': [0x32, 'i64', 2],
  'i64.load16_u': [0x33, 'i64', 2],
  'i64.load32_s': [0x34, 'i64', 4],
  'i64.load32_u': [0x35, 'i64', 4],
  'v128.load': [0x200, 'v128', 16],
  'v128.load8x8_s': [0x201, 'v128', 8],
  'v128.load8x8_u': [0x202, 'v128', 8],
  'v128.load16x4_s': [0x203, 'v128', 8],
  'v128.load16x4_u': [0x204, 'v128', 8],
  'v128.load32x2_s': [0x205, 'v128', 8],
  'v128.load32x2_u': [0x206, 'v128', 8],
  'v128.load8_splat': [0x207, 'v128', 1],
  'v128.load16_splat': [0x208, 'v128', 2],
  'v128.load32_splat': [0x209, 'v128', 4],
  'v128.load64_splat': [0x20a, 'v128', 8],
  'v128.load32_zero': [0x25c, 'v128', 4],
  'v128.load64_zero': [0x25d, 'v128', 8],
} as const satisfies Record<string, readonly [number, Type, number]>;
/** Stores: [id, value, bytes]. */
export const STORES = {
  'i32.store': [0x36, 'i32', 4],
  'i64.store': [0x37, 'i64', 8],
  'f32.store': [0x38, 'f32', 4],
  'f64.store': [0x39, 'f64', 8],
  'i32.store8': [0x3a, 'i32', 1],
  'i32.store16': [0x3b, 'i32', 2],
  'i64.store8': [0x3c, 'i64', 1],
  'i64.store16': [0x3d, 'i64', 2],
  'i64.store32': [0x3e, 'i64', 4],
  'v128.store': [0x20b, 'v128', 16],
} as const satisfies Record<string, readonly [number, Type, number]>;
export type LoadName = keyof typeof LOADS;
export type StoreName = keyof typeof STORES;
export const ATOMIC_KINDS = ['add', 'sub', 'and', 'or', 'xor', 'xchg'] as const;
export type AtomicKind = (typeof ATOMIC_KINDS)[number];
/** In `c` of an atomic operation: its address is known to be a multiple of its size. */
export const ALIGNED = 0x10000;

export interface OpInfo {
  readonly id: number;
  readonly name: string;
  readonly args: readonly Type[];
  readonly result: Type | undefined;
  /** 'pure': no effect and no trap. 'div': may trap on bad operands (the frontend must have excluded them). */
  readonly kind: 'pure' | 'div' | 'lane' | 'load' | 'store' | 'special';
}

const MAX = 0x320;
/** By id; undefined where there is none. */
export const OPS: (OpInfo | undefined)[] = new Array<OpInfo | undefined>(MAX).fill(undefined);
const add = (
  id: number,
  name: string,
  args: readonly Type[],
  result: Type | undefined,
  kind: OpInfo['kind'] = 'pure',
): void => {
  OPS[id] = { id, name, args, result, kind };
};
const addAll = (
  prefix: string,
  group: Readonly<Record<string, number>>,
  args: readonly Type[],
  result: Type,
  base = 0,
): void => {
  for (const [name, id] of Object.entries(group))
    add(base + id, `${prefix}.${name}`, args, result, /^(div|rem)_/.test(name) ? 'div' : 'pure');
};
addAll('i32', I32_TEST, ['i32'], 'i32');
addAll('i32', I32_CMP, ['i32', 'i32'], 'i32');
addAll('i64', I64_TEST, ['i64'], 'i32');
addAll('i64', I64_CMP, ['i64', 'i64'], 'i32');
addAll('f32', F32_CMP, ['f32', 'f32'], 'i32');
addAll('f64', F64_CMP, ['f64', 'f64'], 'i32');
addAll('i32', I32_UN, ['i32'], 'i32');
addAll('i32', I32_BIN, ['i32', 'i32'], 'i32');
addAll('i64', I64_UN, ['i64'], 'i64');
addAll('i64', I64_BIN, ['i64', 'i64'], 'i64');
addAll('f32', F32_UN, ['f32'], 'f32');
addAll('f32', F32_BIN, ['f32', 'f32'], 'f32');
addAll('f64', F64_UN, ['f64'], 'f64');
addAll('f64', F64_BIN, ['f64', 'f64'], 'f64');
for (const [name, [id, from, to]] of Object.entries(CONVERT)) add(id, name, [from], to);
for (const [p, g] of Object.entries(V_UN)) addAll(p, g, ['v128'], 'v128', 0x200);
for (const [p, g] of Object.entries(V_BIN)) addAll(p, g, ['v128', 'v128'], 'v128', 0x200);
for (const [p, g] of Object.entries(V_TERNARY)) addAll(p, g, ['v128', 'v128', 'v128'], 'v128', 0x200);
for (const [p, g] of Object.entries(V_SHIFT)) addAll(p, g, ['v128', 'i32'], 'v128', 0x200);
for (const [p, g] of Object.entries(V_TEST)) addAll(p, g, ['v128'], 'i32', 0x200);
for (const [p, [id, t]] of Object.entries(V_SPLAT)) add(0x200 + id, `${p}.splat`, [t], 'v128');
for (const [p, g] of Object.entries(V_EXTRACT))
  for (const [n, [id, t]] of Object.entries(g)) add(0x200 + id, `${p}.${n}`, ['v128'], t, 'lane');
for (const [p, [id, t]] of Object.entries(V_REPLACE)) add(0x200 + id, `${p}.replace_lane`, ['v128', t], 'v128', 'lane');
add(0x200 + BITSELECT, 'v128.bitselect', ['v128', 'v128', 'v128'], 'v128');
for (const [name, [id, t]] of Object.entries(LOADS)) add(id, name, ['i64'], t, 'load');
for (const [name, [id, t]] of Object.entries(STORES)) add(id, name, ['i64', t], undefined, 'store');
for (const [name, id] of Object.entries(OP)) add(id, name, [], undefined, 'special');

/** A value of the region being built: an index, valid in the block that made it only. */
export type Value = number & { readonly __value: unique symbol };
type Un = (a: Value) => Value;
type Bin = (a: Value, b: Value) => Value;
type Shift = (a: Value, count: Value) => Value;
type Ternary = (a: Value, b: Value, c: Value) => Value;
type Extract = (a: Value, lane: number) => Value;
type Replace = (a: Value, lane: number, v: Value) => Value;
type All<G, F> = { readonly [K in keyof G]: F };
type Conv<P extends string> = { readonly [K in keyof typeof CONVERT as K extends `${P}.${infer N}` ? N : never]: Un };
type Vec<P extends keyof typeof V_EXTRACT> = All<(typeof V_UN)[P], Un> &
  All<(typeof V_BIN)[P], Bin> &
  All<(typeof V_EXTRACT)[P], Extract> & { readonly splat: Un; readonly replace_lane: Replace };
type IntVec<P extends keyof typeof V_SHIFT> = Vec<P> & All<(typeof V_SHIFT)[P], Shift> & All<(typeof V_TEST)[P], Un>;

/** `ir.i64.add(a, b)`: one method per numeric operation, in WebAssembly's names. */
export interface Numeric {
  readonly i32: All<typeof I32_TEST, Un> &
    All<typeof I32_CMP, Bin> &
    All<typeof I32_UN, Un> &
    All<typeof I32_BIN, Bin> &
    Conv<'i32'>;
  readonly i64: All<typeof I64_TEST, Un> &
    All<typeof I64_CMP, Bin> &
    All<typeof I64_UN, Un> &
    All<typeof I64_BIN, Bin> &
    Conv<'i64'>;
  readonly f32: All<typeof F32_CMP, Bin> & All<typeof F32_UN, Un> & All<typeof F32_BIN, Bin> & Conv<'f32'>;
  readonly f64: All<typeof F64_CMP, Bin> & All<typeof F64_UN, Un> & All<typeof F64_BIN, Bin> & Conv<'f64'>;
  readonly v128: All<(typeof V_UN)['v128'], Un> &
    All<(typeof V_BIN)['v128'], Bin> &
    All<(typeof V_TEST)['v128'], Un> & { readonly bitselect: (onOnes: Value, onZeros: Value, mask: Value) => Value };
  readonly i8x16: IntVec<'i8x16'>;
  readonly i16x8: IntVec<'i16x8'>;
  readonly i32x4: IntVec<'i32x4'>;
  readonly i64x2: IntVec<'i64x2'>;
  readonly f32x4: Vec<'f32x4'> & All<(typeof V_TERNARY)['f32x4'], Ternary>;
  readonly f64x2: Vec<'f64x2'> & All<(typeof V_TERNARY)['f64x2'], Ternary>;
}

/** Build the `Numeric` methods over `emit(op, a, b, c)`. */
export function numericMethods(emit: (op: number, a: number, b: number, c: number) => Value): Numeric {
  const out: Record<string, Record<string, unknown>> = {};
  for (const info of OPS) {
    if (info === undefined || (info.kind !== 'pure' && info.kind !== 'div' && info.kind !== 'lane')) continue;
    const [space, name] = info.name.split('.') as [string, string];
    out[space] ??= {};
    const { id } = info;
    let f: unknown;
    if (info.kind === 'lane')
      f =
        info.args.length === 1
          ? (a: number, lane: number) => emit(id, a, -1, lane)
          : (a: number, lane: number, v: number) => emit(id, a, v, lane);
    else if (info.args.length === 1) f = (a: number) => emit(id, a, -1, -1);
    else if (info.args.length === 2) f = (a: number, b: number) => emit(id, a, b, -1);
    else f = (a: number, b: number, c: number) => emit(id, a, b, c);
    out[space][name] = f;
  }
  return out as unknown as Numeric;
}
