/**
 * The WebAssembly module through which TypeScript touches guest memory, written out by hand. Memory 0 is the guest's
 * (shared, memory64), memory 1 a private bounce buffer of BOUNCE_SIZE that JavaScript may see as a typed array.
 *
 * Loops of plain loads and stores, never memory.copy or memory.fill: V8 runs those in C, where a page fault kills
 * the process; at a wasm load it is a trap that can be caught. Addresses come as f64, which costs no BigInt; the
 * saturating conversion sends negative ones to page zero and huge ones past the end, where both trap.
 */

/** Bytes per bulk transfer. */
export const BOUNCE_SIZE = 0x10000;

/** The module's exports. All trap (WebAssembly.RuntimeError) at the first inaccessible byte. */
export interface Accessors {
  u8(addr: number): number;
  u16(addr: number): number;
  i32(addr: number): number;
  u64(addr: number): bigint;
  u64n(addr: number): number;
  set8(addr: number, value: number): void;
  set16(addr: number, value: number): void;
  set32(addr: number, value: number): void;
  set64(addr: number, value: bigint): void;
  set64n(addr: number, value: number): void;
  /** Guest → bounce buffer, `length` ≤ BOUNCE_SIZE bytes. */
  copyOut(addr: number, length: number): void;
  /** Bounce buffer → guest. */
  copyIn(addr: number, length: number): void;
  fill(addr: number, length: number, value: number): void;
  /** Guest → bounce buffer up to the first NUL or `max` bytes; returns the count copied. */
  copyString(addr: number, max: number): number;
}

const I32 = 0x7f;
const I64 = 0x7e;
const F64 = 0x7c;
const V128 = 0x7b;
const EMPTY = 0x40;

const get = (local: number) => [0x20, local];
const set = (local: number) => [0x21, local];
const tee = (local: number) => [0x22, local];
const i32 = (value: number) => [0x41, ...signedLeb(value)];
const i64 = (value: number) => [0x42, ...signedLeb(value)];
/** f64 parameter → address. */
const address = (local: number) => [...get(local), 0xfc, 0x07];
/** Operand of a memory access: no alignment claimed, offset 0. */
const guest = [0x00, 0x00];
const bounce = [0x40, 0x01, 0x00];
const add32 = 0x6a;
const sub32 = 0x6b;
const add64 = 0x7c;
const END = 0x0b;
const block = [0x02, EMPTY];
const loop = [0x03, EMPTY];
const br = (depth: number) => [0x0c, depth];
const brIf = (depth: number) => [0x0d, depth];

const v128Load = [0xfd, 0x00];
const v128Store = [0xfd, 0x0b];

function signedLeb(value: number): number[] {
  const bytes: number[] = [];
  for (;;) {
    const low = value & 0x7f;
    value >>= 7;
    if ((value === 0 && !(low & 0x40)) || (value === -1 && low & 0x40)) return [...bytes, low];
    bytes.push(low | 0x80);
  }
}

function leb(value: number): number[] {
  const bytes: number[] = [];
  do {
    const low = value % 128;
    value = Math.floor(value / 128);
    bytes.push(value > 0 ? low | 0x80 : low);
  } while (value > 0);
  return bytes;
}

const vector = (items: readonly (readonly number[])[]) => [...leb(items.length), ...items.flat()];
const section = (id: number, content: readonly number[]) => [id, ...leb(content.length), ...content];
const text = (name: string) => [...leb(name.length), ...new TextEncoder().encode(name)];

interface Definition {
  name: keyof Accessors;
  params: number[];
  results: number[];
  locals?: number[];
  body: number[];
}

/**
 * Sixteen bytes a turn while they last, then one at a time. Locals: 0 the f64 address, 1 the length, `a` the guest
 * address, `p` the count done.
 */
function transfer(a: number, p: number, wide: number[], narrow: number[]): number[] {
  const advance = (n: number) => [...get(a), ...i64(n), add64, ...set(a), ...get(p), ...i32(n), add32, ...set(p)];
  return [
    ...address(0), ...set(a),
    ...block, ...loop,
    ...get(1), ...get(p), sub32, ...i32(16), 0x49, ...brIf(1), // i32.lt_u
    ...wide, ...advance(16), ...br(0),
    END, END,
    ...block, ...loop,
    ...get(p), ...get(1), 0x46, ...brIf(1), // i32.eq
    ...narrow, ...advance(1), ...br(0),
    END, END,
  ];
}

const definitions: Definition[] = [
  { name: 'u8', params: [F64], results: [I32], body: [...address(0), 0x2d, ...guest] },
  { name: 'u16', params: [F64], results: [I32], body: [...address(0), 0x2f, ...guest] },
  { name: 'i32', params: [F64], results: [I32], body: [...address(0), 0x28, ...guest] },
  { name: 'u64', params: [F64], results: [I64], body: [...address(0), 0x29, ...guest] },
  { name: 'u64n', params: [F64], results: [F64], body: [...address(0), 0x29, ...guest, 0xba] }, // f64.convert_i64_u
  { name: 'set8', params: [F64, I32], results: [], body: [...address(0), ...get(1), 0x3a, ...guest] },
  { name: 'set16', params: [F64, I32], results: [], body: [...address(0), ...get(1), 0x3b, ...guest] },
  { name: 'set32', params: [F64, I32], results: [], body: [...address(0), ...get(1), 0x36, ...guest] },
  { name: 'set64', params: [F64, I64], results: [], body: [...address(0), ...get(1), 0x37, ...guest] },
  {
    name: 'set64n', params: [F64, F64], results: [],
    // Negative numbers as two's complement, others as unsigned.
    body: [
      ...address(0), ...get(1), 0xfc, 0x06, ...get(1), 0xfc, 0x07,
      ...get(1), 0x44, 0, 0, 0, 0, 0, 0, 0, 0, 0x63, // f64.lt 0
      0x1b, 0x37, ...guest, // select, i64.store
    ],
  },
  {
    name: 'copyOut', params: [F64, I32], results: [], locals: [I64, I32],
    body: transfer(2, 3,
      [...get(3), ...get(2), ...v128Load, ...guest, ...v128Store, ...bounce],
      [...get(3), ...get(2), 0x2d, ...guest, 0x3a, ...bounce]),
  },
  {
    name: 'copyIn', params: [F64, I32], results: [], locals: [I64, I32],
    body: transfer(2, 3,
      [...get(2), ...get(3), ...v128Load, ...bounce, ...v128Store, ...guest],
      [...get(2), ...get(3), 0x2d, ...bounce, 0x3a, ...guest]),
  },
  {
    name: 'fill', params: [F64, I32, I32], results: [], locals: [I64, I32, V128],
    body: [
      ...get(2), 0xfd, 0x0f, ...set(5), // i8x16.splat
      ...transfer(3, 4,
        [...get(3), ...get(5), ...v128Store, ...guest],
        [...get(3), ...get(2), 0x3a, ...guest]),
    ],
  },
  {
    name: 'copyString', params: [F64, I32], results: [I32], locals: [I64, I32, V128, I32],
    // An aligned 16-byte load never reaches into a page that a byte before the NUL is not in.
    body: [
      ...address(0), ...set(2),
      ...block, ...loop,
      ...get(3), ...get(1), 0x46, ...brIf(1),
      ...block, // left when the next 16 bytes cannot be taken at once
      ...get(2), 0xa7, ...i32(15), 0x71, ...brIf(0), // i32.wrap_i64, i32.and
      ...get(1), ...get(3), sub32, ...i32(16), 0x49, ...brIf(0),
      ...get(2), ...v128Load, ...guest, ...tee(4), 0xfd, 0x63, 0x45, ...brIf(0), // i8x16.all_true, i32.eqz
      ...get(3), ...get(4), ...v128Store, ...bounce,
      ...get(2), ...i64(16), add64, ...set(2), ...get(3), ...i32(16), add32, ...set(3), ...br(1),
      END,
      ...get(2), 0x2d, ...guest, ...tee(5), 0x45, ...brIf(1),
      ...get(3), ...get(5), 0x3a, ...bounce,
      ...get(2), ...i64(1), add64, ...set(2), ...get(3), ...i32(1), add32, ...set(3), ...br(0),
      END, END,
      ...get(3),
    ],
  },
];

function moduleBytes(pages: number): Uint8Array<ArrayBuffer> {
  const types = definitions.map((d) => [0x60, ...vector(d.params.map((t) => [t])), ...vector(d.results.map((t) => [t]))]);
  const limits = [...leb(pages), ...leb(pages)];
  const imports = [
    [...text('e'), ...text('guest'), 0x02, 0x07, ...limits], // shared, 64-bit, with maximum
    [...text('e'), ...text('bounce'), 0x02, 0x01, 0x01, 0x01],
  ];
  const code = definitions.map((d) => {
    const body = [...vector((d.locals ?? []).map((t) => [1, t])), ...d.body, END];
    return [...leb(body.length), ...body];
  });
  return Uint8Array.from([
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00,
    ...section(1, vector(types)),
    ...section(2, vector(imports)),
    ...section(3, vector(definitions.map((_, i) => leb(i)))),
    ...section(7, vector(definitions.map((d, i) => [...text(d.name), 0x00, ...leb(i)]))),
    ...section(10, vector(code)),
  ]);
}

/** The accessors over `memory`, and the bounce buffer they share. One instance per thread. */
export function instantiateAccessors(memory: WebAssembly.Memory, pages: number): { calls: Accessors; bounce: Uint8Array } {
  const bounceMemory = new WebAssembly.Memory({ initial: BOUNCE_SIZE / 0x10000, maximum: BOUNCE_SIZE / 0x10000 });
  const module = new WebAssembly.Module(moduleBytes(pages));
  const instance = new WebAssembly.Instance(module, { e: { guest: memory, bounce: bounceMemory } });
  return { calls: instance.exports as unknown as Accessors, bounce: new Uint8Array(bounceMemory.buffer) };
}
