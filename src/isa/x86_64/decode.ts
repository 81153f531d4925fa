/**
 * Bytes to Insn, by tables built from the rows. Prefixes, REX, VEX, ModRM, SIB, displacement and immediates are read
 * here; which row applies is looked up by map, opcode, mandatory prefix, W, L and the ModRM byte.
 *
 * Invariants:
 * - Rows that share an opcode byte agree on having a ModRM byte, so its presence is known before the row is.
 * - The most specific row wins: mandatory prefix before none (F2 0F 38 F0 is CRC32, not MOVBE), fixed ModRM byte before
 *   memory- or register-only before digit, W given before not.
 */
import type { Flow } from '../../ir/frontend.ts';
import { ENCODINGS, type Encoding, enc, type InstructionOptions } from './declare.ts';
import { BASE_RIP, Insn } from './insn.ts';
import { type Immediate, MAP_VEX, type Opcode } from './opcode.ts';
import { KIND } from './operands.ts';
import { TRAP, type TrapCode } from './traps.ts';

/** All rows of one opcode byte. */
interface Slot {
  readonly rows: Encoding[];
  modrm: boolean;
  /** The row if it is the only one and asks for nothing more. */
  single: Encoding | undefined;
  /** Row number + 1 by key (prefix 2 bits, W, L, ModRM 8 bits); 0: not looked up yet; 255: none. */
  memo: Uint8Array | undefined;
}

/** A row that stands for bytes that are no instruction; `trap` is what executing them raises. */
function pseudo(name: string, trap: TrapCode): Encoding {
  const row = enc('0F 0B');
  const options: InstructionOptions = { flow: 'stop' };
  row.instruction = { name, options, encodings: [row], emit: (x) => x.trap(trap) };
  row.options = options;
  row.emit = row.instruction.emit;
  return row;
}
export const UNDEFINED = pseudo('(bad)', TRAP.undefined);
/** More than 15 bytes: #GP. */
export const TOO_LONG = pseudo('(too long)', TRAP.protection);

/** How the bytes after ModRM are read. */
const IMM = { none: 0, ib: 1, ibs: 2, iw: 3, iz: 4, iv: 5, id: 6, io: 7, cb: 8, cz: 9, iwib: 10, is4: 11, ibib: 12 } as const;
const P_REX = 1, P_66 = 2, P_67 = 3, P_F2 = 4, P_F3 = 5, P_LOCK = 6, P_SEGMENT = 7, P_FS = 8, P_GS = 9, P_VEX3 = 10, P_VEX2 = 11;
const PREFIX = new Uint8Array(256);
PREFIX.fill(P_REX, 0x40, 0x50);
PREFIX[0x66] = P_66;
PREFIX[0x67] = P_67;
PREFIX[0xf2] = P_F2;
PREFIX[0xf3] = P_F3;
PREFIX[0xf0] = P_LOCK;
for (const b of [0x26, 0x2e, 0x36, 0x3e]) PREFIX[b] = P_SEGMENT;
PREFIX[0x64] = P_FS;
PREFIX[0x65] = P_GS;
PREFIX[0xc4] = P_VEX3;
PREFIX[0xc5] = P_VEX2;

const F64 = 1, D64 = 2, LOCKABLE = 4, MEMORY_FIRST = 8, PREFIX_66 = 16;

export class Decoder {
  readonly #slots: (Slot | undefined)[] = new Array<Slot | undefined>(8 * 256).fill(undefined);
  /** By row id. */
  readonly #immediate: Uint8Array;
  readonly #attributes: Uint8Array;
  readonly #flow: Flow[] = [];

  /** `enabled` says which `cpuid` features decode; default: all that is declared. */
  constructor(enabled: (feature: string) => boolean = () => true, rows: readonly Encoding[] = ENCODINGS) {
    this.#immediate = new Uint8Array(rows.length);
    this.#attributes = new Uint8Array(rows.length);
    for (const row of rows) {
      const { opcode, options } = row;
      this.#immediate[row.id] = immediatePlan(row, opcode.immediates);
      this.#attributes[row.id] = attributes(row);
      this.#flow[row.id] = options.flow ?? 'next';
      if (options.cpuid !== undefined && !enabled(options.cpuid)) continue;
      if (options.needs !== undefined && !enabled(options.needs)) continue;
      for (let k = 0; k < (opcode.plusR ? 8 : 1); k++) this.#add(opcode.map * 256 + opcode.byte + k, row);
    }
    for (const slot of this.#slots) {
      if (slot === undefined) continue;
      slot.rows.sort((x, y) => specificity(y.opcode) - specificity(x.opcode) || Number(x.opcode.plusR) - Number(y.opcode.plusR));
      const only = slot.rows[0] as Encoding;
      if (slot.rows.length === 1 && specificity(only.opcode) === 0) slot.single = only;
    }
  }

  #add(at: number, row: Encoding): void {
    const slot = this.#slots[at];
    if (slot === undefined) this.#slots[at] = { rows: [row], modrm: row.opcode.modrm, single: undefined, memo: undefined };
    else {
      if (slot.modrm !== row.opcode.modrm) throw new Error(`instruction row "${row.text}" (${row.mnemonic}) and "${(slot.rows[0] as Encoding).text}" share an opcode byte but not the presence of ModRM`);
      slot.rows.push(row);
    }
  }

  #find(slot: Slot, prefix: number, w: number, l: number, modrm: number): Encoding | undefined {
    const key = (prefix << 10) | (w << 9) | (l << 8) | modrm;
    slot.memo ??= new Uint8Array(4096);
    const known = slot.memo[key] as number;
    if (known !== 0) return known === 255 ? undefined : slot.rows[known - 1];
    for (let i = 0; i < slot.rows.length; i++) {
      if (matches((slot.rows[i] as Encoding).opcode, prefix, w, l, modrm)) {
        slot.memo[key] = i + 1;
        return slot.rows[i];
      }
    }
    slot.memo[key] = 255;
    return undefined;
  }

  /**
   * The instruction at `bytes[at]`, at guest address `pc`. Bytes that are no instruction give a row that traps;
   * undefined if the instruction goes on beyond the end of `bytes`.
   */
  decode(bytes: Uint8Array, at: number, pc: number): Insn | undefined {
    const limit = at + 15;
    const end = bytes.length < limit ? bytes.length : limit;
    let p = at;
    let rex = 0;
    let operandPrefix = false;
    let addrSize = 64;
    let rep = 0;
    let lock = false;
    let segment = -1;
    let byte = 0;
    let kind = 0;
    for (;;) {
      if (p >= end) return this.#short(bytes, at, pc, limit);
      byte = bytes[p++] as number;
      kind = PREFIX[byte] as number;
      if (kind === 0 || kind >= P_VEX3) break;
      if (kind === P_REX) {
        rex = byte;
        continue;
      }
      rex = 0; // a REX that does not stand right before the opcode is ignored
      if (kind === P_66) operandPrefix = true;
      else if (kind === P_67) addrSize = 32;
      else if (kind === P_F2 || kind === P_F3) rep = byte;
      else if (kind === P_LOCK) lock = true;
      else if (kind === P_FS) segment = 4;
      else if (kind === P_GS) segment = 5;
    }
    let map = 0;
    let prefix: number;
    let l = 0;
    let vvvv = 0;
    if (kind >= P_VEX3) {
      if (rex !== 0 || operandPrefix || rep !== 0 || lock) return bad(UNDEFINED, pc, p - at);
      if (p >= end) return this.#short(bytes, at, pc, limit);
      const one = bytes[p++] as number;
      let two = one;
      if (kind === P_VEX3) {
        if (p >= end) return this.#short(bytes, at, pc, limit);
        two = bytes[p++] as number;
        map = one & 0x1f;
        rex = 0x40 | ((~one >> 5) & 7) | ((two & 0x80) >> 4);
        if (map < 1 || map > 3) return bad(UNDEFINED, pc, p - at);
      } else {
        map = 1;
        rex = 0x40 | ((~one >> 5) & 4);
      }
      map += MAP_VEX;
      vvvv = (~two >> 3) & 15;
      l = (two >> 2) & 1;
      prefix = two & 3;
      if (p >= end) return this.#short(bytes, at, pc, limit);
      byte = bytes[p++] as number;
    } else {
      if (byte === 0x0f) {
        if (p >= end) return this.#short(bytes, at, pc, limit);
        byte = bytes[p++] as number;
        map = 1;
        if (byte === 0x38 || byte === 0x3a) {
          map = byte === 0x38 ? 2 : 3;
          if (p >= end) return this.#short(bytes, at, pc, limit);
          byte = bytes[p++] as number;
        }
      }
      prefix = rep === 0xf3 ? 2 : rep === 0xf2 ? 3 : operandPrefix ? 1 : 0;
    }
    // 90h is NOP unless REX.B makes it an exchange with r8, which the rows of 91h … 97h cover.
    const slot = this.#slots[map === 0 && byte === 0x90 && (rex & 1) !== 0 ? 0x91 : map * 256 + byte];
    if (slot === undefined) return bad(UNDEFINED, pc, p - at);
    let modrm = -1;
    if (slot.modrm) {
      if (p >= end) return this.#short(bytes, at, pc, limit);
      modrm = bytes[p++] as number;
    }
    const w = (rex >> 3) & 1;
    const row = slot.single ?? this.#find(slot, prefix, w, l, modrm < 0 ? 0 : modrm);
    if (row === undefined) return bad(UNDEFINED, pc, p - at);
    const attribute = this.#attributes[row.id] as number;

    const insn = new Insn(row);
    insn.pc = pc;
    insn.flow = this.#flow[row.id] as Flow;
    insn.rex = rex;
    insn.addrSize = addrSize;
    insn.segment = segment;
    insn.rep = rep;
    insn.operandPrefix = operandPrefix;
    insn.vvvv = vvvv;
    insn.vexL = l;
    insn.opSize = (attribute & F64) !== 0 || w === 1 ? 64 : operandPrefix && (attribute & PREFIX_66) === 0 ? 16 : (attribute & D64) !== 0 ? 64 : 32;
    insn.opcodeReg = (byte & 7) | ((rex & 1) << 3);
    if (modrm >= 0) {
      insn.modrm = modrm;
      insn.reg = ((modrm >> 3) & 7) | ((rex & 4) << 1);
      const mod = modrm >> 6;
      const rm = modrm & 7;
      insn.rm = rm | ((rex & 1) << 3);
      if (mod !== 3) {
        insn.memory = true;
        let bytesOfDisp = mod === 1 ? 1 : mod === 2 ? 4 : 0;
        if (rm === 4) {
          if (p >= end) return this.#short(bytes, at, pc, limit);
          const sib = bytes[p++] as number;
          insn.scale = sib >> 6;
          const index = ((sib >> 3) & 7) | ((rex & 2) << 2);
          if (index !== 4 || (attribute & VSIB) !== 0) insn.index = index;
          if ((sib & 7) === 5 && mod === 0) bytesOfDisp = 4;
          else insn.base = (sib & 7) | ((rex & 1) << 3);
        } else if (rm === 5 && mod === 0) {
          insn.base = BASE_RIP;
          bytesOfDisp = 4;
        } else insn.base = insn.rm;
        if (bytesOfDisp === 1) {
          if (p >= end) return this.#short(bytes, at, pc, limit);
          insn.disp = ((bytes[p++] as number) << 24) >> 24;
        } else if (bytesOfDisp === 4) {
          if (p + 4 > end) return this.#short(bytes, at, pc, limit);
          insn.disp = read32(bytes, p);
          p += 4;
        }
      }
    }
    switch (this.#immediate[row.id]) {
      case IMM.none:
        break;
      case IMM.ib:
        if (p >= end) return this.#short(bytes, at, pc, limit);
        insn.imm = bytes[p++] as number;
        break;
      case IMM.ibs: case IMM.cb:
        if (p >= end) return this.#short(bytes, at, pc, limit);
        insn.imm = ((bytes[p++] as number) << 24) >> 24;
        break;
      case IMM.is4:
        if (p >= end) return this.#short(bytes, at, pc, limit);
        insn.imm2 = bytes[p++] as number;
        break;
      case IMM.ibib:
        if (p + 2 > end) return this.#short(bytes, at, pc, limit);
        insn.imm = bytes[p++] as number;
        insn.imm2 = bytes[p++] as number;
        break;
      case IMM.iwib:
        if (p + 3 > end) return this.#short(bytes, at, pc, limit);
        insn.imm = (bytes[p] as number) | ((bytes[p + 1] as number) << 8);
        insn.imm2 = bytes[p + 2] as number;
        p += 3;
        break;
      case IMM.iw:
        if (p + 2 > end) return this.#short(bytes, at, pc, limit);
        insn.imm = (bytes[p] as number) | ((bytes[p + 1] as number) << 8);
        p += 2;
        break;
      case IMM.iz: case IMM.cz:
        if (insn.opSize === 16) {
          if (p + 2 > end) return this.#short(bytes, at, pc, limit);
          insn.imm = (((bytes[p] as number) | ((bytes[p + 1] as number) << 8)) << 16) >> 16;
          p += 2;
          break;
        }
        if (p + 4 > end) return this.#short(bytes, at, pc, limit);
        insn.imm = read32(bytes, p);
        p += 4;
        break;
      case IMM.id:
        if (p + 4 > end) return this.#short(bytes, at, pc, limit);
        insn.imm = read32(bytes, p);
        p += 4;
        break;
      case IMM.iv: {
        const n = insn.opSize >> 3;
        if (p + n > end) return this.#short(bytes, at, pc, limit);
        if (n === 2) insn.imm = (bytes[p] as number) | ((bytes[p + 1] as number) << 8);
        else insn.imm = read32(bytes, p);
        if (n === 8) insn.immHigh = read32(bytes, p + 4);
        p += n;
        break;
      }
      default: { // moffs
        const n = addrSize >> 3;
        if (p + n > end) return this.#short(bytes, at, pc, limit);
        insn.imm = read32(bytes, p);
        if (n === 8) insn.immHigh = read32(bytes, p + 4);
        p += n;
      }
    }
    insn.length = p - at;
    const plan = this.#immediate[row.id];
    if (plan === IMM.cb || plan === IMM.cz) insn.target = pc + insn.length + insn.imm;
    if (lock) {
      if ((attribute & LOCKABLE) === 0 || !insn.memory) return bad(UNDEFINED, pc, insn.length);
      insn.lock = true;
    }
    // VEX.vvvv must be 1111b where the row has no operand in it.
    if (vvvv !== 0 && (attribute & USES_VVVV) === 0) return bad(UNDEFINED, pc, insn.length);
    // A gather needs its SIB, and three different registers for destination, indices and mask.
    if ((attribute & VSIB) !== 0 && (insn.index < 0 || insn.reg === insn.index || insn.reg === vvvv || vvvv === insn.index)) return bad(UNDEFINED, pc, insn.length);
    return insn;
  }

  /** Out of bytes: too long if 15 are used up, else incomplete. */
  #short(bytes: Uint8Array, at: number, pc: number, limit: number): Insn | undefined {
    return bytes.length >= limit ? bad(TOO_LONG, pc, limit - at) : undefined;
  }
}
const USES_VVVV = 32, VSIB = 64;

function bad(row: Encoding, pc: number, length: number): Insn {
  const insn = new Insn(row);
  insn.pc = pc;
  insn.length = length;
  insn.flow = 'stop';
  return insn;
}
const read32 = (b: Uint8Array, p: number): number => (b[p] as number) | ((b[p + 1] as number) << 8) | ((b[p + 2] as number) << 16) | ((b[p + 3] as number) << 24);

function specificity(o: Opcode): number {
  return (o.prefix >= 0 ? 32 : 0) + (o.rm >= 0 ? 16 : 0) + (o.mod !== 'any' ? 8 : 0) + (o.digit >= 0 ? 4 : 0) + (o.w >= 0 ? 2 : 0) + (o.l >= 0 ? 1 : 0);
}
function matches(o: Opcode, prefix: number, w: number, l: number, modrm: number): boolean {
  if ((o.prefix >= 0 && o.prefix !== prefix) || (o.noRep && prefix >= 2)) return false;
  if (o.w >= 0 && o.w !== w) return false;
  if (o.l >= 0 && o.l !== l) return false;
  if (!o.modrm) return true;
  const register = modrm >= 0xc0;
  if (o.mod === 'memory' ? register : o.mod === 'register' && !register) return false;
  if (o.digit >= 0 && o.digit !== ((modrm >> 3) & 7)) return false;
  return o.rm < 0 || o.rm === (modrm & 7);
}
function attributes(row: Encoding): number {
  const { options, opcode, operands } = row;
  const first = operands[0];
  return (
    (options.f64 === true ? F64 : 0) |
    (options.d64 === true ? D64 : 0) |
    (options.lock === true && first !== undefined && (first.kind === KIND.E || first.kind === KIND.M) ? LOCKABLE : 0) |
    (first !== undefined && first.kind === KIND.M ? MEMORY_FIRST : 0) |
    (opcode.prefix === 1 ? PREFIX_66 : 0) |
    (operands.some((o) => o.kind === KIND.B || o.kind === KIND.H) ? USES_VVVV : 0) |
    (operands.some((o) => o.kind === KIND.vsib) ? VSIB : 0)
  );
}
function immediatePlan(row: Encoding, list: readonly Immediate[]): number {
  switch (list.join(' ')) {
    case '': return IMM.none;
    case 'ib': return row.operands.some((o) => o.kind === KIND.I && o.signed) ? IMM.ibs : IMM.ib;
    case 'ib ib': return IMM.ibib;
    case 'iw ib': return IMM.iwib;
    case 'iw': return IMM.iw;
    case 'iz': return IMM.iz;
    case 'iv': return IMM.iv;
    case 'id': return IMM.id;
    case 'io': return IMM.io;
    case 'cb': return IMM.cb;
    case 'cz': return IMM.cz;
    case 'is4': return IMM.is4;
    default: throw new Error(`instruction row "${row.text}": no such combination of immediates`);
  }
}
