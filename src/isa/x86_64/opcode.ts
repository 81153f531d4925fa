/** Reads the opcode strings of declare.ts into fields. */
import type { Operand } from './operands.ts';

/** Opcode maps: 0 one-byte, 1 0F, 2 0F38, 3 0F3A; VEX maps add 4. */
export const MAP_VEX = 4;
export type Immediate = 'ib' | 'iw' | 'id' | 'iz' | 'iv' | 'io' | 'cb' | 'cz' | 'is4';

export interface Opcode {
  readonly map: number;
  readonly byte: number;
  /** Low three bits of the opcode are a register. */
  readonly plusR: boolean;
  /** Mandatory prefix: 0 NP, 1 66, 2 F3, 3 F2; -1: not a matter of this row. */
  readonly prefix: number;
  /** NFx: not with F2 or F3, which others ignore. */
  readonly noRep: boolean;
  /** REX.W / VEX.W: 0, 1, or -1 for either. */
  readonly w: number;
  /** VEX.L: 0, 1, or -1. */
  readonly l: number;
  readonly modrm: boolean;
  /** Required ModRM.reg, or -1. */
  readonly digit: number;
  /** Required mod: 'memory', 'register' or either. */
  readonly mod: 'memory' | 'register' | 'any';
  /** Required ModRM.rm, or -1 (only with mod register). */
  readonly rm: number;
  readonly immediates: readonly Immediate[];
}

const PREFIXES = ['NP', '66', 'F3', 'F2'];
const IMMEDIATES: ReadonlySet<string> = new Set<Immediate>(['ib', 'iw', 'id', 'iz', 'iv', 'io', 'cb', 'cz', 'is4']);
const HEX = /^[0-9A-F]{2}$/;

export function parseOpcode(text: string, operands: readonly Operand[]): Opcode {
  const bad = (why: string): never => {
    throw new Error(`instruction row "${text}": ${why}`);
  };
  const tokens = text.split(' ');
  let at = 0;
  let prefix = -1;
  let noRep = false;
  let w = -1;
  let l = -1;
  let map = 0;
  let token = tokens[0] as string;
  if (token.startsWith('VEX.')) {
    map = -1;
    prefix = 0;
    for (const field of token.split('.').slice(1)) {
      const p = PREFIXES.indexOf(field);
      if (p >= 0) prefix = p;
      else if (field === '128' || field === 'L0' || field === 'LZ') l = 0;
      else if (field === '256' || field === 'L1') l = 1;
      else if (field === '0F') map = MAP_VEX + 1;
      else if (field === '0F38') map = MAP_VEX + 2;
      else if (field === '0F3A') map = MAP_VEX + 3;
      else if (field === 'W0') w = 0;
      else if (field === 'W1') w = 1;
      else if (field !== 'WIG' && field !== 'LIG') bad(`unknown VEX field ${field}`);
    }
    if (map < 0) bad('VEX without a map');
    at = 1;
  } else {
    if (PREFIXES.includes(token) && tokens.length > 1) {
      prefix = PREFIXES.indexOf(token);
      token = tokens[++at] as string;
    }
    if (token === 'NFx') {
      noRep = true;
      token = tokens[++at] as string;
    }
    if (token === 'REX.W' || token === 'REX.W0') {
      w = token === 'REX.W' ? 1 : 0;
      token = tokens[++at] as string;
    }
    if (token === '0F') {
      map = 1;
      at++;
      if (tokens[at] === '38' || tokens[at] === '3A') map = tokens[at++] === '38' ? 2 : 3;
    }
  }
  let opcodeToken = tokens[at++] ?? bad('no opcode byte');
  const plusR = opcodeToken.endsWith('+r');
  if (plusR) opcodeToken = opcodeToken.slice(0, -2);
  if (!HEX.test(opcodeToken)) bad(`${opcodeToken} is no opcode byte`);
  const byte = Number.parseInt(opcodeToken, 16);
  let modrm = false;
  let digit = -1;
  let mod: Opcode['mod'] = 'any';
  let rm = -1;
  const immediates: Immediate[] = [];
  for (; at < tokens.length; at++) {
    const t = tokens[at] as string;
    if (t === '/r') modrm = true;
    else if (t.length === 2 && t[0] === '/' && (t[1] as string) >= '0' && (t[1] as string) <= '7') {
      modrm = true;
      digit = Number(t[1]);
    } else if (IMMEDIATES.has(t)) immediates.push(t as Immediate);
    else {
      const plusI = t.endsWith('+i');
      const hex = plusI ? t.slice(0, -2) : t;
      const value = HEX.test(hex) ? Number.parseInt(hex, 16) : -1;
      if (value < 0xc0) bad(`unknown token ${t}`);
      modrm = true;
      mod = 'register';
      digit = (value >> 3) & 7;
      rm = plusI ? -1 : value & 7;
    }
  }
  for (const o of operands) {
    if (o.place === 'M' || o.place === 'vsib') mod = 'memory';
    else if (o.place === 'R' || o.place === 'U' || o.place === 'N') mod = 'register';
    if (('EGRMSCDVWUPQN'.includes(o.place) || o.place === 'vsib') && !modrm) bad(`operand ${o.code} needs a ModRM byte (/r or a digit)`);
    if (o.place === 'Z' && !plusR) bad(`operand ${o.code} needs +r`);
    if ('BH'.includes(o.place) && map < MAP_VEX) bad(`operand ${o.code} needs VEX`);
    if ((o.place === 'I' || o.place === 'J' || o.place === 'O' || o.place === 'L') && immediates.length === 0) bad(`operand ${o.code} needs an immediate`);
  }
  return { map, byte, plusR, prefix, noRep, w, l, modrm, digit, mod, rm, immediates };
}
