/**
 * Operand specifications by the manual's opcode-map codes (SDM volume 2, appendix A.2): where an operand is encoded (first
 * letter) and how wide it is (the rest). A spec is static; together with a decoded Insn it names a register, address or
 * immediate, so semantics get specs and cost no allocation.
 */

/** Where the operand comes from. Letters are appendix A's; words are fixed registers and additions of ours. */
export type Place =
  | 'E' // ModRM.rm: general register or memory
  | 'G' // ModRM.reg: general register
  | 'R' // ModRM.rm: general register only
  | 'M' // ModRM.rm: memory only
  | 'B' // VEX.vvvv: general register
  | 'Z' // general register in the low three opcode bits (+r)
  | 'I' // immediate
  | 'J' // relative branch target
  | 'O' // moffs: 64-bit absolute address in the instruction
  | 'S' // ModRM.reg: segment register
  | 'C' // ModRM.reg: control register
  | 'D' // ModRM.reg: debug register
  | 'V' // ModRM.reg: xmm/ymm
  | 'W' // ModRM.rm: xmm/ymm or memory
  | 'U' // ModRM.rm: xmm/ymm only
  | 'H' // VEX.vvvv: xmm/ymm
  | 'L' // imm8[7:4]: xmm/ymm
  | 'P' // ModRM.reg: mmx
  | 'Q' // ModRM.rm: mmx or memory
  | 'N' // ModRM.rm: mmx only
  | 'T' // ModRM.rm: x87 ST(i)
  | 'gpr' // fixed general register `index`
  | 'xmm' // fixed xmm register `index`
  | 'st' // fixed x87 register `index`
  | 'seg' // fixed segment register `index`
  | 'one' // the constant 1
  | 'vsib'; // memory only, SIB with a vector as index: one address an element

/**
 * Width. b w d q: 8 16 32 64 bits; v: operand size (16/32/64); z: 16, or 32 for both 32 and 64; y: 32, or 64 with REX.W;
 * dq: 128; x: 128 or 256 by VEX.L; qq: 256; t: 80 (x87 extended or BCD); p: far pointer; a: size of address only (lea);
 * n: as v, but 64 in place of 32 (registers of near branches and stack operations are covered by v with d64).
 */
export type Width = 'b' | 'w' | 'd' | 'q' | 'v' | 'z' | 'y' | 'dq' | 'x' | 'qq' | 't' | 'p' | 'a' | 'env' | 'state';
export type Access = 'r' | 'w' | 'rw' | '';

export class Operand {
  /** As written in the opcode map: `Ev`, `Ibs`, `Wsd`, `AL`. */
  readonly code: string;
  readonly place: Place;
  readonly width: Width;
  /** Number of a fixed register. */
  readonly index: number;
  readonly access: Access;
  /** Immediates: sign-extended to the operand size (else zero-extended, as is). */
  readonly signed: boolean;
  /** Bits when they do not depend on prefixes; 0 otherwise. */
  readonly fixedBits: number;
  /** Small integer for switches in hot code: index of `place` in PLACES. */
  readonly kind: number;

  constructor(code: string, place: Place, width: Width, index = 0, access: Access = '', signed = false) {
    this.code = code;
    this.place = place;
    this.width = width;
    this.index = index;
    this.access = access;
    this.signed = signed;
    this.fixedBits = BITS[width];
    this.kind = PLACES.indexOf(place);
  }
}
const BITS: Readonly<Record<Width, number>> = { b: 8, w: 16, d: 32, q: 64, v: 0, z: 0, y: 0, dq: 128, x: 0, qq: 256, t: 80, p: 0, a: 0, env: 0, state: 0 };
export const PLACES: readonly Place[] = ['E', 'G', 'R', 'M', 'B', 'Z', 'I', 'J', 'O', 'S', 'C', 'D', 'V', 'W', 'U', 'H', 'L', 'P', 'Q', 'N', 'T', 'gpr', 'xmm', 'st', 'seg', 'one', 'vsib'];
/** `Operand.kind` by place, for switches. */
export const KIND = { E: 0, G: 1, R: 2, M: 3, B: 4, Z: 5, I: 6, J: 7, O: 8, S: 9, C: 10, D: 11, V: 12, W: 13, U: 14, H: 15, L: 16, P: 17, Q: 18, N: 19, T: 20, gpr: 21, xmm: 22, st: 23, seg: 24, one: 25, vsib: 26 } as const;

const made = new Map<string, Operand>();
const withAccess = (o: Operand, access: Access): Operand => {
  const key = `${o.code}:${access}`;
  let out = made.get(key);
  if (out === undefined) {
    out = new Operand(o.code, o.place, o.width, o.index, access, o.signed);
    made.set(key, out);
  }
  return out;
};
/** Read, written, both. An operand that is neither (lea's memory, a prefetch) stands bare. */
export const r = (o: Operand): Operand => withAccess(o, 'r');
export const w = (o: Operand): Operand => withAccess(o, 'w');
export const rw = (o: Operand): Operand => withAccess(o, 'rw');

const op = (code: string, place: Place, width: Width): Operand => new Operand(code, place, width);

export const Eb = op('Eb', 'E', 'b'), Ew = op('Ew', 'E', 'w'), Ed = op('Ed', 'E', 'd'), Eq = op('Eq', 'E', 'q'), Ev = op('Ev', 'E', 'v'), Ey = op('Ey', 'E', 'y');
export const Gb = op('Gb', 'G', 'b'), Gw = op('Gw', 'G', 'w'), Gd = op('Gd', 'G', 'd'), Gq = op('Gq', 'G', 'q'), Gv = op('Gv', 'G', 'v'), Gy = op('Gy', 'G', 'y'), Gz = op('Gz', 'G', 'z');
export const Rw = op('Rw', 'R', 'w'), Rd = op('Rd', 'R', 'd'), Rq = op('Rq', 'R', 'q'), Rv = op('Rv', 'R', 'v'), Ry = op('Ry', 'R', 'y');
export const By = op('By', 'B', 'y'), Bd = op('Bd', 'B', 'd'), Bq = op('Bq', 'B', 'q');
export const Zb = op('Zb', 'Z', 'b'), Zv = op('Zv', 'Z', 'v'), Zq = op('Zq', 'Z', 'q');
/** Memory only; `M` alone is an address whose size does not matter (lea, prefetch). */
export const M = op('M', 'M', 'a'), Mb = op('Mb', 'M', 'b'), Mw = op('Mw', 'M', 'w'), Md = op('Md', 'M', 'd'), Mq = op('Mq', 'M', 'q'), Mv = op('Mv', 'M', 'v'), My = op('My', 'M', 'y'), Mdq = op('Mdq', 'M', 'dq'), Mx = op('Mx', 'M', 'x'), Mqq = op('Mqq', 'M', 'qq'), Mt = op('Mt', 'M', 't'), Mp = op('Mp', 'M', 'p'), Menv = op('Menv', 'M', 'env'), Mstate = op('Mstate', 'M', 'state');
/** Immediates: Ib as is; Ibs sign-extended to the operand size; Iz 16 or 32 bits, sign-extended; Iv the full operand size. */
export const Ib = op('Ib', 'I', 'b'), Iw = op('Iw', 'I', 'w');
export const Ibs = new Operand('Ibs', 'I', 'b', 0, '', true), Iz = new Operand('Iz', 'I', 'z', 0, '', true), Iv = new Operand('Iv', 'I', 'v', 0, '', true), Id = new Operand('Id', 'I', 'd', 0, '', true);
export const Jb = op('Jb', 'J', 'b'), Jz = op('Jz', 'J', 'z');
export const Ob = op('Ob', 'O', 'b'), Ov = op('Ov', 'O', 'v');
export const Sw = op('Sw', 'S', 'w'), Cq = op('Cq', 'C', 'q'), Dq = op('Dq', 'D', 'q');

/** Vector registers (V reg, W rm or memory, U rm, H vvvv, L is4); the suffix is the size of the memory form and of what is used. */
export const Vx = op('Vx', 'V', 'x'), Vdq = op('Vdq', 'V', 'dq'), Vps = op('Vps', 'V', 'x'), Vpd = op('Vpd', 'V', 'x'), Vss = op('Vss', 'V', 'd'), Vsd = op('Vsd', 'V', 'q'), Vd = op('Vd', 'V', 'd'), Vq = op('Vq', 'V', 'q'), Vqq = op('Vqq', 'V', 'qq');
export const Wx = op('Wx', 'W', 'x'), Wdq = op('Wdq', 'W', 'dq'), Wps = op('Wps', 'W', 'x'), Wpd = op('Wpd', 'W', 'x'), Wss = op('Wss', 'W', 'd'), Wsd = op('Wsd', 'W', 'q'), Wb = op('Wb', 'W', 'b'), Ww = op('Ww', 'W', 'w'), Wd = op('Wd', 'W', 'd'), Wq = op('Wq', 'W', 'q'), Wqq = op('Wqq', 'W', 'qq');
export const Ux = op('Ux', 'U', 'x'), Udq = op('Udq', 'U', 'dq'), Ups = op('Ups', 'U', 'x'), Upd = op('Upd', 'U', 'x'), Uss = op('Uss', 'U', 'd'), Usd = op('Usd', 'U', 'q'), Uq = op('Uq', 'U', 'q');
export const Hx = op('Hx', 'H', 'x'), Hdq = op('Hdq', 'H', 'dq'), Hps = op('Hps', 'H', 'x'), Hpd = op('Hpd', 'H', 'x'), Hss = op('Hss', 'H', 'd'), Hsd = op('Hsd', 'H', 'q'), Hqq = op('Hqq', 'H', 'qq');
export const Lx = op('Lx', 'L', 'x'), Ldq = op('Ldq', 'L', 'dq');
/** Memory of a gather: indices of 32 or 64 bits, elements of 32 (d) or 64 (q). */
export const VM32d = op('vm32d', 'vsib', 'd'), VM32q = op('vm32q', 'vsib', 'q'), VM64d = op('vm64d', 'vsib', 'd'), VM64q = op('vm64q', 'vsib', 'q');
export const XMM0 = new Operand('XMM0', 'xmm', 'dq', 0);
/** MMX registers. */
export const Pq = op('Pq', 'P', 'q'), Pd = op('Pd', 'P', 'd'), Qq = op('Qq', 'Q', 'q'), Qd = op('Qd', 'Q', 'd'), Nq = op('Nq', 'N', 'q');
/** x87 stack registers. */
export const STi = op('STi', 'T', 't'), ST0 = new Operand('ST0', 'st', 't', 0), ST1 = new Operand('ST1', 'st', 't', 1);

/** Fixed registers: AL/CL/DX by name, rAX is rax at the operand size, eAX at most 32 bits. */
export const AL = new Operand('AL', 'gpr', 'b', 0), CL = new Operand('CL', 'gpr', 'b', 1), AX = new Operand('AX', 'gpr', 'w', 0), DX = new Operand('DX', 'gpr', 'w', 2), rAX = new Operand('rAX', 'gpr', 'v', 0), eAX = new Operand('eAX', 'gpr', 'z', 0), EAX = new Operand('EAX', 'gpr', 'd', 0), EDX = new Operand('EDX', 'gpr', 'd', 2);
export const FS = new Operand('FS', 'seg', 'w', 4), GS = new Operand('GS', 'seg', 'w', 5);
/** The constant 1 of `shl r/m, 1`. */
export const ONE = new Operand('1', 'one', 'b');
