/**
 * Test cases from instruction rows: the bytes of one instruction with random registers, prefixes, addressing and
 * immediates, and a register file and memory in which its memory operand mostly lies in the native executor's DATA.
 */
import type { Encoding } from '../../../src/isa/x86_64/declare.ts';
import { MAP_VEX } from '../../../src/isa/x86_64/opcode.ts';
import { CODE, DATA, DATA_SIZE, GS_BASE, type NativeState, newState, XMM } from './native-executor.ts';
import { fillVector, fillVectors, integer64, type Random } from './random.ts';

/** Where the bytes under test go in the CODE page. */
export const CODE_AT = 0x800;

export interface Case {
  readonly bytes: Uint8Array;
  readonly state: NativeState;
  /** Contents of DATA and the read-only page behind it. */
  readonly data: Uint8Array;
}
export interface GenerateOptions {
  /** Let memory operands sometimes be misaligned, cross into the read-only page or be unmapped. Default true. */
  readonly faults?: boolean;
  /** MXCSR values to choose from. Default: 0x1f80 only. */
  readonly mxcsr?: readonly number[];
  /** The bytes become part of a longer program: memory by absolute address only, rsp not named, no register prepared. */
  readonly sequence?: boolean;
}

export function generateCase(row: Encoding, random: Random, options: GenerateOptions = {}): Case {
  const state = randomState(random, options);
  const data = randomData(random);
  const [rax, rdx] = [state.gpr[0], state.gpr[2]];
  const { bytes, operand } = encodeRandom(row, random, state, options);
  if (/^x(save|rstor)/.test(row.mnemonic)) {
    // edx:eax say what is saved: nothing that only the host has
    if (state.gpr[0] !== rax || state.gpr[2] !== rdx) return generateCase(row, random, options);
    state.gpr[0] = (BigInt(random.u32()) << 32n) | BigInt(random.below(8));
    state.gpr[2] = BigInt(random.u32()) << 32n;
    fillXsaveHeader(random, data, operand.address - DATA);
  }
  if (row.options.flow === 'ret' || row.options.flow === 'indirect' || row.options.flow === 'callIndirect') {
    // wherever the target comes from, it is in the int3 filler
    const target = BigInt(CODE + 0x900 + random.below(256));
    const view = new DataView(data.buffer);
    if (row.options.flow === 'ret') view.setBigUint64(Number(state.gpr[4]) - DATA, target, true);
    else if (operand.register === 4) return generateCase(row, random, options);
    else if (operand.register >= 0) state.gpr[operand.register] = target;
    else if (operand.address >= DATA && operand.address <= DATA + data.length - 8) view.setBigUint64(operand.address - DATA, target, true);
  }
  return { bytes, state, data };
}

/**
 * Registers that `mnemonic` uses as a pointer without saying so. They always get a good address: the native run is in this
 * very process, and a random one may hit its memory. `base`: of the segment that replaces DS.
 */
function implicitPointers(mnemonic: string, random: Random, state: NativeState, base: number): void {
  const pointer = (n: number, at: number, segment = 0): void => {
    state.gpr[n] = BigInt(DATA + at + random.below(256) - segment);
  };
  if (/^(movs|cmps|lods|outs)[bwdq]?$/.test(mnemonic)) pointer(6, 0x1000, base);
  if (/^(movs|cmps|stos|scas|ins)[bwdq]?$/.test(mnemonic)) pointer(7, 0x1400);
  if (/^v?maskmov(q|dqu)/.test(mnemonic)) pointer(7, 0x1400, base);
  if (mnemonic === 'leave' || mnemonic === 'enter') pointer(5, 0x2400);
  if (mnemonic.startsWith('xlat')) pointer(3, 0x1000, base);
}

export function randomData(random: Random): Uint8Array {
  const data = new Uint8Array(DATA_SIZE + 0x1000);
  fillVectors(random, data.subarray(0x1000), 16);
  fillVectors(random, data.subarray(DATA_SIZE - 128), 16);
  return data;
}

export function randomState(random: Random, options: GenerateOptions = {}): NativeState {
  const state = newState();
  for (let k = 0; k < 16; k++) state.gpr[k] = integer64(random);
  state.gpr[4] = BigInt(DATA + 0x2000 + 8 * random.below(64));
  state.rflags = 0x202n | (BigInt(random.u32()) & 0x8d5n) | (random.chance(0.1) ? 0x400n : 0n);
  fillVectors(random, state.fx.subarray(XMM), 16);
  fillVectors(random, state.high, 16);
  const view = new DataView(state.fx.buffer);
  view.setUint32(24, random.pick(options.mxcsr ?? [0x1f80]), true);
  // MMX registers are the significands; exponent all ones as MMX instructions leave it
  for (let k = 0; k < 8; k++) {
    fillVector(random, state.fx.subarray(32 + 16 * k, 48 + 16 * k));
    view.setUint16(32 + 16 * k + 8, 0xffff, true);
    state.fx.fill(0, 32 + 16 * k + 10, 48 + 16 * k);
  }
  view.setUint8(4, random.u32());
  view.setUint16(2, random.below(8) << 11, true);
  return state;
}

/** A header that XRSTOR mostly accepts. */
function fillXsaveHeader(random: Random, data: Uint8Array, at: number): void {
  if (at < 0 || at + 576 > data.length) return;
  const view = new DataView(data.buffer, at, 576);
  if (random.chance(0.8)) view.setUint32(24, random.pick([0x1f80, 0x3f80, 0x9fff]), true);
  for (let k = 512; k < 576; k += 8) view.setBigUint64(k, random.chance(0.01) ? 1n << BigInt(random.below(64)) : 0n, true);
  const present = random.below(8);
  const compacted = random.chance(0.3);
  view.setBigUint64(512, BigInt(random.chance(0.05) ? random.u32() : present), true);
  if (compacted) view.setBigUint64(520, (1n << 63n) | BigInt(random.chance(0.7) ? present | random.below(8) : random.below(8)), true);
}

/** Indices of a gather: small, seldom far away. */
function fillIndices(random: Random, state: NativeState, register: number, size: 4 | 8, scale: number, faults: boolean): void {
  for (const half of [state.fx.subarray(XMM + 16 * register, XMM + 16 * register + 16), state.high.subarray(16 * register, 16 * register + 16)]) {
    const view = new DataView(half.buffer, half.byteOffset, 16);
    for (let k = 0; k < 16; k += size) {
      const index = BigInt(faults && random.chance(0.03) ? 0x10_0000 : random.below(256) - 64) >> BigInt(scale);
      if (size === 4) view.setInt32(k, Number(index), true);
      else view.setBigInt64(k, index, true);
    }
  }
}

const le = (n: number | bigint, bytes: number): number[] => Array.from({ length: bytes }, (_, k) => Number((BigInt.asUintN(64, BigInt(n)) >> BigInt(8 * k)) & 255n));

export interface Encoded {
  readonly bytes: Uint8Array;
  /** What ModRM.rm names: a register, or (register -1) memory at `address`, which may be off by a few bytes. */
  readonly operand: { readonly register: number; readonly address: number };
}
/** Encode `row` with random fields; registers in `state` are set so that a memory operand has a good address. */
export function encodeRandom(row: Encoding, random: Random, state: NativeState, options: GenerateOptions = {}): Encoded {
  // what GS replaces DS or SS by
  const segment = random.chance(0.06) ? GS_BASE : 0;
  if (options.sequence !== true) implicitPointers(row.mnemonic, random, state, segment);
  let operand = { register: -1, address: -1 };
  const { opcode, operands, options: rowOptions } = row;
  const vex = opcode.map >= MAP_VEX;
  const vsib = operands.find((o) => o.place === 'vsib');
  let vvvv = vex && operands.some((o) => o.place === 'H' || o.place === 'B') ? random.below(16) : 0;
  let rexW = opcode.w === 1;
  // far pointers with 64-bit offsets are Intel's only: an AMD processor reads six bytes whatever REX.W is
  const far = opcode.byte === 0xff && opcode.map === 0 && (opcode.digit === 3 || opcode.digit === 5);
  let prefix66 = opcode.prefix === 1;
  const sized = operands.some((o) => o.width === 'v' || o.width === 'z' || o.width === 'y') || rowOptions.sized !== undefined;
  if (!vex && !far && opcode.w < 0 && random.chance(sized ? 0.4 : 0.05)) rexW = true;
  if (!vex && opcode.prefix < 0 && sized && !rowOptions.f64 && random.chance(0.25)) prefix66 = true;
  const opSize = rexW || rowOptions.f64 ? 64 : prefix66 && opcode.prefix < 0 ? 16 : rowOptions.d64 ? 64 : 32;
  let rex = (rexW ? 8 : 0) | (random.chance(0.5) ? random.below(8) : 0);
  let rexNeeded = rex !== 0 || random.chance(0.2);
  const out: number[] = [];
  const sequence = options.sequence === true;
  const anyRegister = (): number => (sequence ? random.pick([0, 1, 2, 3, 5, 6, 7]) : random.below(8));
  if (opcode.plusR) rex &= ~6;

  const tail: number[] = [];
  let address32 = false;
  let ripFix = -1;
  if (opcode.modrm) {
    let reg = opcode.digit >= 0 ? opcode.digit : anyRegister();
    if (operands.some((o) => o.place === 'S')) reg = random.pick([0, 3, 4, 5]);
    const memory = opcode.mod === 'memory' || (opcode.mod === 'any' && random.chance(0.5));
    if (!memory) {
      const rm = opcode.rm >= 0 ? opcode.rm : anyRegister();
      tail.push(0xc0 | (reg << 3) | rm);
      operand = { register: rm | ((rex & 1) << 3), address: -1 };
    } else {
      const wide = operands.some((o) => ['dq', 'x', 'state', 'env', 'qq'].includes(o.width));
      let target = DATA + 0x1000 + 16 * random.below(16);
      const kind = random.below(20);
      if (options.faults !== false) {
        if (kind < 5) target += random.below(16);
        else if (kind === 5) target = DATA + DATA_SIZE - random.below(20); // across into the read-only page
        else if (kind === 6) target = DATA + DATA_SIZE + 0x1000 - random.below(20); // across its end
        else if (kind === 7) target = random.pick([0x123456, 0x7fff_f000, DATA - 4]);
      } else if (!wide && kind < 8) target += random.below(16);
      if (operands.some((o) => o.width === 'state') && random.chance(0.7)) target -= target % 64;
      operand = { register: -1, address: target };
      target -= segment;
      const at = BigInt(target);
      address32 = random.chance(0.08);
      const noise = (v: bigint): bigint => (address32 && random.chance(0.5) ? v | (random.u64() << 32n) : v) & 0xffff_ffff_ffff_ffffn;
      const form = sequence ? 1 : random.below(8);
      if (vsib !== undefined) {
        const base = random.pick([0, 1, 2, 3, 6, 7]) | ((rex & 1) << 3);
        const index = random.below(8) | ((rex & 2) << 2);
        // destination, indices and mask must differ, or else (seldom) it is #UD
        const dst = (): number => reg | ((rex & 4) << 1);
        if (!random.chance(0.02)) {
          while (dst() === index) reg = random.below(8);
          while (vvvv === index || vvvv === dst()) vvvv = random.below(16);
        }
        const scale = random.below(4);
        const disp = random.pick([0, (random.u32() << 24) >> 24, random.u32() | 0]);
        const short = disp === (disp << 24) >> 24;
        tail.push(((short ? 1 : 2) << 6) | (reg << 3) | 4, (scale << 6) | ((index & 7) << 3) | (base & 7), ...le(disp, short ? 1 : 4));
        state.gpr[base] = noise(BigInt.asUintN(64, at - BigInt(disp)));
        fillIndices(random, state, index, vsib.code.startsWith('vm32') ? 4 : 8, scale, options.faults !== false);
      } else if (form === 0) {
        tail.push((reg << 3) | 5, 0, 0, 0, 0);
        ripFix = target;
      } else if (form === 1) {
        // SIB without base or index: disp32
        tail.push((reg << 3) | 4, 0x25, ...le(target, 4));
        rex &= ~2;
      } else {
        const base = random.below(8) | ((rex & 1) << 3);
        const mod = random.below(3);
        let disp = mod === 0 && (base & 7) !== 5 ? 0n : mod === 1 || mod === 0 ? BigInt((random.u32() << 24) >> 24) : BigInt(random.u32() | 0);
        // What pushes as well would push anywhere, on the host into whatever this process has there.
        if (base === 4 && mod === 2) disp = BigInt((random.u32() << 20) >> 20);
        const usedMod = disp === 0n && (base & 7) !== 5 && mod === 0 ? 0 : mod === 2 ? 2 : 1;
        const dispBytes = usedMod === 0 ? [] : le(disp, usedMod === 1 ? 1 : 4);
        if ((base & 7) === 4 || form >= 6) {
          const index = random.below(8) | ((rex & 2) << 2);
          const scale = random.below(4);
          tail.push((usedMod << 6) | (reg << 3) | 4, (scale << 6) | ((index & 7) << 3) | (base & 7), ...dispBytes);
          let offset = 0n;
          if (index !== 4 && index !== base) {
            state.gpr[index] = BigInt(random.below(0x100));
            offset = (state.gpr[index] as bigint) << BigInt(scale);
          } else if (index === base && index !== 4) {
            // base * (1 + 2^scale): solve approximately; the address may then be anywhere below the target
            const factor = 1n + (1n << BigInt(scale));
            state.gpr[base] = (at - disp) / factor;
            offset = -1n;
          }
          if (offset >= 0n) state.gpr[base] = noise(BigInt.asUintN(64, at - disp - offset));
        } else {
          tail.push((usedMod << 6) | (reg << 3) | (base & 7), ...dispBytes);
          state.gpr[base] = noise(BigInt.asUintN(64, at - disp));
        }
      }
    }
  }
  for (const imm of opcode.immediates) {
    switch (imm) {
      case 'ib':
        tail.push(random.pick([random.u32() & 255, random.below(32), random.below(256)]));
        break;
      case 'iw':
        tail.push(...le(random.u32(), 2));
        break;
      case 'id':
        tail.push(...le(integer64(random), 4));
        break;
      case 'iz':
        tail.push(...le(integer64(random), opSize === 16 ? 2 : 4));
        break;
      case 'iv':
        tail.push(...le(integer64(random), opSize / 8));
        break;
      case 'io':
        tail.push(...le(DATA + 0x1000 + random.below(256) - segment, 8));
        break;
      case 'cb':
        tail.push(random.pick([8, 16, 0xf0, 0x7f, 0x80]));
        break;
      case 'cz':
        tail.push(...le(random.pick([16, 64, 0x400, -0x200]), opSize === 16 ? 2 : 4));
        break;
      case 'is4':
        tail.push(random.below(256));
        break;
    }
  }
  // LOCK needs a memory destination
  const isMemory = opcode.modrm && (tail[0] as number) < 0xc0;
  if (rowOptions.lock === true && isMemory && random.chance(0.3)) out.push(0xf0);
  if (address32) out.push(0x67);
  // Those without effect may stand on either side; but where Linux stands in for the processor (UMIP), it takes no two.
  const several = rowOptions.group !== 'umip';
  if (several && random.chance(0.03)) out.push(random.pick([0x2e, 0x36, 0x3e, 0x26]));
  if (segment !== 0) out.push(0x65);
  if (several && random.chance(0.01)) out.push(random.pick([0x2e, 0x36, 0x3e, 0x26]));
  if (rowOptions.rep !== undefined && random.chance(0.6)) {
    out.push(random.pick(rowOptions.rep === 'repe' ? [0xf3, 0xf2] : [0xf3]));
    state.gpr[1] = BigInt(random.below(12));
  }
  if (vex) {
    const l = opcode.l >= 0 ? opcode.l : random.below(2);
    const last = ((~vvvv & 15) << 3) | (l << 2) | Math.max(0, opcode.prefix);
    const w = opcode.w === 1 || (opcode.w < 0 && (rexW || random.chance(0.2)));
    if (opcode.map === MAP_VEX + 1 && !w && (rex & 3) === 0 && random.chance(0.6)) out.push(0xc5, ((~rex & 4) << 5) | last);
    else out.push(0xc4, ((~rex & 7) << 5) | (opcode.map - MAP_VEX), (w ? 0x80 : 0) | last);
  } else {
    if (prefix66) out.push(0x66);
    if (opcode.prefix === 2) out.push(0xf3);
    if (opcode.prefix === 3) out.push(0xf2);
    rexNeeded ||= rex !== 0;
    if (rexNeeded) out.push(0x40 | rex);
    if (opcode.map >= 1) out.push(0x0f);
    if (opcode.map === 2) out.push(0x38);
    if (opcode.map === 3) out.push(0x3a);
  }
  out.push(opcode.byte + (opcode.plusR ? anyRegister() : 0), ...tail);
  if (ripFix >= 0) {
    const modrmAt = out.length - tail.length;
    const disp = ripFix - (CODE + CODE_AT + out.length);
    out.splice(modrmAt + 1, 4, ...le(disp, 4));
  }
  if (/^bt[src]?$/.test(row.mnemonic) && isMemory && opcode.digit < 0) {
    // the bit number also chooses the address: keep it near, and out of the address registers
    const reg = (((tail[0] as number) >> 3) & 7) | ((rex & 4) << 1);
    const before = state.gpr[reg] as bigint;
    state.gpr[reg] = BigInt.asUintN(64, BigInt(random.below(2048) - 1024));
    const base = ((tail[0] as number) & 7) === 4 ? (tail[1] as number) & 7 : (tail[0] as number) & 7;
    const index = ((tail[0] as number) & 7) === 4 ? ((tail[1] as number) >> 3) & 7 : -1;
    if (reg === (base | ((rex & 1) << 3)) || (index >= 0 && reg === (index | ((rex & 2) << 2)))) {
      state.gpr[reg] = before;
      return encodeRandom(row, random, state, options);
    }
  }
  // all prefixes at once can make 16 bytes, which is no instruction
  if (out.length > 15) return encodeRandom(row, random, state, options);
  return { bytes: Uint8Array.from(out), operand };
}
