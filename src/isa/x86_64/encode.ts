/**
 * An assembler for tests and tools: Intel syntax as format.ts prints it, to bytes. It tries the rows of the mnemonic and
 * takes the shortest encoding that decodes back to the same text, so it cannot disagree with decoder and formatter.
 * Not for speed. Explicit sizes are needed on memory operands (`dword ptr [rax]`).
 */
import { Decoder } from './decode.ts';
import { ENCODINGS, type Encoding } from './declare.ts';
import { formatInsn, gprName } from './format.ts';
import './instructions/index.ts';
import { MAP_VEX } from './opcode.ts';
import { KIND, type Operand } from './operands.ts';

interface Register {
  readonly kind: 'gpr' | 'xmm' | 'ymm' | 'mm' | 'st' | 'seg' | 'cr' | 'dr';
  readonly n: number;
  readonly size: number;
  /** ah ch dh bh. */
  readonly high: boolean;
}
interface Memory {
  readonly kind: 'memory';
  readonly base: number;
  readonly index: number;
  readonly scale: number;
  readonly disp: bigint;
  readonly rip: boolean;
  readonly address32: boolean;
  readonly segment: number;
}
interface Immediate {
  readonly kind: 'immediate';
  readonly value: bigint;
}
type Parsed = Register | Memory | Immediate;

const REGISTERS = new Map<string, Register>();
for (let n = 0; n < 16; n++) {
  for (const size of [8, 16, 32, 64]) REGISTERS.set(gprName(n, size), { kind: 'gpr', n, size, high: false });
  if (n >= 4 && n < 8) REGISTERS.set(gprName(n, 8, false), { kind: 'gpr', n, size: 8, high: true });
  REGISTERS.set(`xmm${n}`, { kind: 'xmm', n, size: 128, high: false });
  REGISTERS.set(`ymm${n}`, { kind: 'ymm', n, size: 256, high: false });
  REGISTERS.set(`cr${n}`, { kind: 'cr', n, size: 64, high: false });
  REGISTERS.set(`dr${n}`, { kind: 'dr', n, size: 64, high: false });
  if (n < 8) {
    REGISTERS.set(`mm${n}`, { kind: 'mm', n, size: 64, high: false });
    REGISTERS.set(`st(${n})`, { kind: 'st', n, size: 80, high: false });
  }
}
REGISTERS.set('st', { kind: 'st', n: 0, size: 80, high: false });
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];
SEGMENTS.forEach((name, n) => REGISTERS.set(name, { kind: 'seg', n, size: 16, high: false }));

const number = (text: string): bigint | undefined => (/^-?(0x[0-9a-f]+|\d+)$/.test(text) ? (text.startsWith('-') ? -BigInt(text.slice(1)) : BigInt(text)) : undefined);

function parseOperand(text: string): Parsed | undefined {
  const register = REGISTERS.get(text);
  if (register !== undefined) return register;
  const value = number(text);
  if (value !== undefined) return { kind: 'immediate', value };
  const m = /^(?:[a-z]+ ptr )?\[(?:(fs|gs):)?(.+)\]$/.exec(text);
  if (m === null) return undefined;
  const out = { kind: 'memory' as const, base: -1, index: -1, scale: 0, disp: 0n, rip: false, address32: false, segment: m[1] === undefined ? -1 : SEGMENTS.indexOf(m[1]) };
  for (const part of (m[2] as string).replaceAll('-', '+-').split('+')) {
    if (part === '') continue;
    const disp = number(part);
    if (disp !== undefined) {
      out.disp += disp;
      continue;
    }
    if (part === 'rip' || part === 'eip') {
      out.rip = true;
      out.address32 = part === 'eip';
      continue;
    }
    const [name, factor] = part.split('*') as [string, string | undefined];
    const r = REGISTERS.get(name);
    const vector = r?.kind === 'xmm' || r?.kind === 'ymm';
    if (r === undefined || (!vector && (r.kind !== 'gpr' || r.size < 32))) return undefined;
    if (!vector) out.address32 = r.size === 32;
    if (factor === undefined && out.base < 0) out.base = r.n;
    else {
      out.index = r.n;
      out.scale = [1, 2, 4, 8].indexOf(Number(factor ?? 1));
      if (out.scale < 0) return undefined;
    }
  }
  return out;
}

const little = (value: bigint, bytes: number): number[] => Array.from({ length: bytes }, (_, k) => Number((BigInt.asUintN(64, value) >> BigInt(8 * k)) & 255n));

/** ModRM, SIB and displacement with the given size of displacement, or undefined if that size cannot be. */
function modrm(reg: number, rm: Register | Memory, dispBytes: 0 | 1 | 4): number[] | undefined {
  const r = (reg & 7) << 3;
  if (rm.kind !== 'memory') return dispBytes === 0 ? [0xc0 | r | (rm.n & 7)] : undefined;
  const { disp } = rm;
  if (dispBytes === 0 && disp !== 0n) return undefined;
  if (dispBytes === 1 && BigInt.asIntN(8, disp) !== disp) return undefined;
  const mod = dispBytes === 0 ? 0 : dispBytes === 1 ? 0x40 : 0x80;
  if (rm.rip) return dispBytes === 4 ? [r | 5, ...little(disp, 4)] : undefined;
  if (rm.base < 0) return dispBytes === 4 ? [r | 4, (rm.scale << 6) | (rm.index < 0 ? 0x25 : ((rm.index & 7) << 3) | 5), ...little(disp, 4)] : undefined;
  if (dispBytes === 0 && (rm.base & 7) === 5) return undefined;
  const tail = little(disp, dispBytes);
  if (rm.index < 0 && (rm.base & 7) !== 4) return [mod | r | (rm.base & 7), ...tail];
  return [mod | r | 4, (rm.scale << 6) | ((rm.index < 0 ? 4 : rm.index & 7) << 3) | (rm.base & 7), ...tail];
}

const decoder = new Decoder();
let byMnemonic: Map<string, Encoding[]> | undefined;
function rowsOf(name: string): readonly Encoding[] {
  if (byMnemonic === undefined) {
    byMnemonic = new Map();
    for (const row of ENCODINGS) for (const n of new Set([row.mnemonic, ...(row.options.sized ?? [])])) byMnemonic.set(n, [...(byMnemonic.get(n) ?? []), row]);
  }
  return byMnemonic.get(name) ?? [];
}

/** One instruction at `pc`. Throws an Error that names the text if no row takes it. */
export function assemble(text: string, pc = 0): Uint8Array {
  const wanted = text.trim().toLowerCase().replace(/\s+/g, ' ').replace(/ ?, ?/g, ', ');
  const m = /^((?:lock |rep |repe |repne )*)(\S+)(?: (.*))?$/.exec(wanted);
  const fail = (why: string): never => {
    throw new Error(`cannot assemble "${text}": ${why}`);
  };
  if (m === null) return fail('no mnemonic');
  const prefixes: number[] = [];
  for (const p of (m[1] as string).split(' ')) {
    if (p === 'lock') prefixes.push(0xf0);
    else if (p === 'repne') prefixes.push(0xf2);
    else if (p !== '') prefixes.push(0xf3);
  }
  const rows = rowsOf(m[2] as string);
  if (rows.length === 0) fail(`unknown mnemonic ${m[2]}`);
  const operands = m[3] === undefined ? [] : m[3].split(', ').map((t) => parseOperand(t) ?? fail(`operand "${t}"`));
  const normal = normalise(wanted);
  let best: number[] | undefined;
  for (const row of rows) {
    if (row.operands.length !== operands.length) continue;
    for (const bytes of encodings(row, operands, prefixes, pc)) {
      if (best !== undefined && bytes.length >= best.length) continue;
      const insn = decoder.decode(Uint8Array.from(bytes), 0, pc);
      if (insn !== undefined && insn.length === bytes.length && normalise(formatInsn(insn)) === normal) best = bytes;
    }
  }
  return best === undefined ? fail('no encoding takes these operands') : Uint8Array.from(best);
}
/** Numbers in one notation. */
const normalise = (text: string): string => text.replace(/(?<![a-z0-9(])\d+(?![a-z0-9*)])/g, (n) => `0x${BigInt(n).toString(16)}`);

/** Everything `row` could be with these operands; most of it is not what is meant, which decoding tells. */
function* encodings(row: Encoding, operands: readonly Parsed[], prefixes: readonly number[], pc: number): Generator<number[]> {
  const { opcode } = row;
  const vex = opcode.map >= MAP_VEX;
  let reg = opcode.digit < 0 ? 0 : opcode.digit;
  let rm: Register | Memory | undefined = opcode.mod === 'register' ? { kind: 'st', n: Math.max(0, opcode.rm), size: 0, high: false } : undefined;
  let plus = 0;
  let vvvv = 0;
  let is4 = 0;
  let rexNeeded = false;
  let segment = -1;
  let address32 = false;
  const immediates: bigint[] = [];
  for (const [k, parsed] of operands.entries()) {
    const o = row.operands[k] as Operand;
    if (parsed.kind === 'gpr' && parsed.size === 8 && parsed.n >= 4 && !parsed.high) rexNeeded = true;
    if (parsed.kind === 'memory') {
      segment = parsed.segment;
      address32 = parsed.address32;
    }
    switch (o.kind) {
      case KIND.E: case KIND.R: case KIND.M: case KIND.W: case KIND.U: case KIND.Q: case KIND.N: case KIND.T: case KIND.vsib:
        if (parsed.kind === 'immediate') return;
        rm = parsed;
        // an address alone from 2 GiB to 4: the displacement is sign-extended, but not to more than 32 bits with 67h
        if (parsed.kind === 'memory' && parsed.base < 0 && parsed.index < 0 && parsed.disp >= 0x8000_0000n && parsed.disp <= 0xffff_ffffn) address32 = true;
        break;
      case KIND.G: case KIND.V: case KIND.P: case KIND.S: case KIND.C: case KIND.D:
        if (parsed.kind === 'immediate' || parsed.kind === 'memory') return;
        reg = parsed.n;
        break;
      case KIND.B: case KIND.H:
        if (parsed.kind === 'immediate' || parsed.kind === 'memory') return;
        vvvv = parsed.n;
        break;
      case KIND.L:
        if (parsed.kind === 'immediate' || parsed.kind === 'memory') return;
        is4 = parsed.n << 4;
        break;
      case KIND.Z:
        if (parsed.kind === 'immediate' || parsed.kind === 'memory') return;
        plus = parsed.n;
        break;
      case KIND.I: case KIND.J:
        if (parsed.kind !== 'immediate') return;
        immediates.push(parsed.value);
        break;
      case KIND.O:
        if (parsed.kind !== 'memory') return;
        immediates.push(parsed.disp);
        break;
      default: // fixed registers: the text decides
    }
  }
  if (opcode.modrm && rm === undefined) return;
  const memory = rm?.kind === 'memory' ? rm : undefined;
  const b = opcode.plusR ? plus : rm === undefined ? 0 : rm.kind === 'memory' ? Math.max(0, rm.base) : rm.n;
  const x = memory === undefined ? 0 : Math.max(0, memory.index);
  const extension = (b >= 8 ? 1 : 0) | (x >= 8 ? 2 : 0) | (reg >= 8 ? 4 : 0);
  for (const w of opcode.w >= 0 ? [opcode.w] : [0, 1]) {
    for (const size16 of vex || opcode.prefix >= 0 && opcode.prefix < 2 ? [false] : [false, true]) {
      for (const l of vex ? (opcode.l >= 0 ? [opcode.l] : [0, 1]) : [0]) {
        const head = [...prefixes];
        if (segment >= 0) head.push(segment === 4 ? 0x64 : 0x65);
        if (address32) head.push(0x67);
        if (size16) head.push(0x66);
        if (vex) head.push(0xc4, ((~extension & 4) << 5) | ((~extension & 2) << 5) | ((~extension & 1) << 5) | (opcode.map - MAP_VEX), (w << 7) | ((~vvvv & 15) << 3) | (l << 2) | Math.max(0, opcode.prefix));
        else {
          if (opcode.prefix > 0) head.push([0, 0x66, 0xf3, 0xf2][opcode.prefix] as number);
          if (extension !== 0 || w === 1 || rexNeeded) head.push(0x40 | extension | (w << 3));
          if (opcode.map >= 1) head.push(0x0f);
          if (opcode.map >= 2) head.push(opcode.map === 2 ? 0x38 : 0x3a);
        }
        head.push(opcode.byte | (plus & 7));
        for (const dispBytes of memory === undefined ? [0 as const] : [0 as const, 1 as const, 4 as const]) {
          const middle = opcode.modrm ? modrm(reg, rm as Register | Memory, dispBytes) : dispBytes === 0 ? [] : undefined;
          if (middle === undefined) continue;
          const bytes = [...head, ...middle];
          let next = 0;
          for (const kind of opcode.immediates) {
            const value = kind === 'is4' ? BigInt(is4) : (immediates[next++] ?? 0n);
            const opBytes = w === 1 ? 8 : size16 ? 2 : row.options.d64 === true ? 8 : 4;
            const n = { ib: 1, iw: 2, id: 4, iz: row.options.f64 === true || !size16 || w === 1 ? 4 : 2, iv: opBytes, io: address32 ? 4 : 8, cb: 1, cz: 4, is4: 1 }[kind];
            const relative = kind === 'cb' || kind === 'cz';
            bytes.push(...little(relative ? value - BigInt(pc + bytes.length + n) : value, n));
          }
          yield bytes;
        }
      }
    }
  }
}

/** Several instructions, one a line or apart by `;`. */
export function assembleAll(source: string, pc = 0): Uint8Array {
  const out: number[] = [];
  for (const line of source.split(/[;\n]/)) if (line.trim() !== '') out.push(...assemble(line, pc + out.length));
  return Uint8Array.from(out);
}
