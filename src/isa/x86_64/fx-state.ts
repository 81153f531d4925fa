/**
 * The FXSAVE64 and XSAVE64 images of the guest's x87, SSE and AVX registers, read from and written to state memory by
 * TypeScript: what signal frames and core dumps hold. The instructions of the same names have their own meaning in
 * instructions/sse-state.ts and xsave.ts; the layout is the manual's (SDM volume 1, table 10-2 and section 13.4).
 */

import { INITIAL, STATE } from './cpu-state.ts';

export const FXSAVE_SIZE = 512;
const AREA = { control: 0, status: 2, tag: 4, opcode: 6, ip: 8, dp: 16, mxcsr: 24, mxcsrMask: 28, st: 32, xmm: 160 } as const;
/** MXCSR bits that exist, DAZ included. */
const MXCSR_MASK = 0xffff;
const TOP = 0x3800;

/** Write 512 bytes into `image`; bytes the processor leaves alone (464 …) become 0. */
export function fxsaveState(state: DataView, image: Uint8Array): void {
  const out = new DataView(image.buffer, image.byteOffset, FXSAVE_SIZE);
  image.fill(0, 0, FXSAVE_SIZE);
  const top = state.getUint32(STATE.x87Top, true) & 7;
  out.setUint16(AREA.control, state.getUint32(STATE.x87Control, true), true);
  out.setUint16(AREA.status, (state.getUint32(STATE.x87Status, true) & ~TOP) | (top << 11), true);
  out.setUint8(AREA.tag, state.getUint32(STATE.x87Tag, true));
  // the last instruction only while an exception is pending, as in instructions/sse-state.ts
  if ((state.getUint32(STATE.x87Status, true) & 0x80) !== 0) {
    out.setUint16(AREA.opcode, state.getUint32(STATE.x87Opcode, true), true);
    out.setBigUint64(AREA.ip, state.getBigUint64(STATE.x87Ip, true), true);
    out.setBigUint64(AREA.dp, state.getBigUint64(STATE.x87Dp, true), true);
  }
  out.setUint32(AREA.mxcsr, state.getUint32(STATE.mxcsr, true), true);
  out.setUint32(AREA.mxcsrMask, MXCSR_MASK, true);
  for (let i = 0; i < 8; i++) {
    const from = STATE.x87 + 16 * ((top + i) & 7);
    out.setBigUint64(AREA.st + 16 * i, state.getBigUint64(from, true), true);
    out.setUint16(AREA.st + 16 * i + 8, state.getUint16(from + 8, true), true);
  }
  for (let k = 0; k < 256; k += 8) out.setBigUint64(AREA.xmm + k, state.getBigUint64(STATE.xmm + k, true), true);
}

/** Load the registers from `image`. MXCSR bits that do not exist are dropped, as the kernel does for a user's frame. */
export function fxrstorState(state: DataView, image: Uint8Array): void {
  const from = new DataView(image.buffer, image.byteOffset, FXSAVE_SIZE);
  const status = from.getUint16(AREA.status, true);
  const top = (status & TOP) >> 11;
  const control = (from.getUint16(AREA.control, true) & 0x1f7f) | 0x40;
  // ES and B say whether an exception is pending, whatever stands in the image
  const pending = (status & ~control & 0x3f) !== 0 ? 0x8080 : 0;
  state.setUint32(STATE.x87Control, control, true);
  state.setUint32(STATE.x87Status, (status & 0x477f) | pending, true);
  state.setUint32(STATE.x87Top, top, true);
  state.setUint32(STATE.x87Tag, from.getUint8(AREA.tag), true);
  state.setUint32(STATE.x87Opcode, from.getUint16(AREA.opcode, true) & 0x7ff, true);
  state.setBigUint64(STATE.x87Ip, from.getBigUint64(AREA.ip, true), true);
  state.setBigUint64(STATE.x87Dp, from.getBigUint64(AREA.dp, true), true);
  state.setUint32(STATE.mxcsr, from.getUint32(AREA.mxcsr, true) & MXCSR_MASK, true);
  for (let i = 0; i < 8; i++) {
    const to = STATE.x87 + 16 * ((top + i) & 7);
    state.setBigUint64(to, from.getBigUint64(AREA.st + 16 * i, true), true);
    state.setUint16(to + 8, from.getUint16(AREA.st + 16 * i + 8, true), true);
  }
  for (let k = 0; k < 256; k += 8) state.setBigUint64(STATE.xmm + k, from.getBigUint64(AREA.xmm + k, true), true);
}

// ---- XSAVE, standard form ----

const HEADER = 512;
const HEADER_SIZE = 64;
const UPPER_HALVES = HEADER + HEADER_SIZE;
const UPPER_SIZE = 256;
const X87 = 1, SSE = 2, AVX = 4;

/** Bytes of an area that holds the components of `xcr0`. */
export const xsaveSize = (xcr0: number): number => ((xcr0 & AVX) !== 0 ? UPPER_HALVES + UPPER_SIZE : UPPER_HALVES);

/** Write `xsaveSize(xcr0)` bytes into `image`; all components of `xcr0` are marked as present. */
export function xsaveState(state: DataView, image: Uint8Array, xcr0: number): void {
  fxsaveState(state, image);
  const out = new DataView(image.buffer, image.byteOffset, xsaveSize(xcr0));
  image.fill(0, HEADER, UPPER_HALVES);
  out.setUint32(HEADER, xcr0, true);
  if ((xcr0 & AVX) !== 0) for (let k = 0; k < UPPER_SIZE; k += 8) out.setBigUint64(UPPER_HALVES + k, state.getBigUint64(STATE.ymmHigh + k, true), true);
}

/**
 * Load the components of `wanted` from `image`, which holds those of `xcr0`; what its header lacks, and what is not
 * wanted, becomes initial. False, and nothing changed, if XRSTOR would refuse the header.
 */
export function xrstorState(state: DataView, image: Uint8Array, xcr0: number, wanted: number): boolean {
  const from = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const present = from.getUint32(HEADER, true);
  if ((present & ~xcr0) !== 0 || image.subarray(HEADER + 4, HEADER + 24).some((b) => b !== 0)) return false;
  const use = present & wanted;
  const mxcsr = (wanted & (SSE | AVX)) !== 0 ? from.getUint32(AREA.mxcsr, true) & MXCSR_MASK : INITIAL.mxcsr;
  const legacy = legacyScratch;
  legacy.set(image.subarray(0, FXSAVE_SIZE));
  const initial = initialImage;
  if ((use & X87) === 0) for (const [start, end] of [[0, AREA.mxcsr], [AREA.st, AREA.xmm]] as const) legacy.set(initial.subarray(start, end), start);
  if ((use & SSE) === 0) legacy.fill(0, AREA.xmm, AREA.xmm + 256);
  fxrstorState(state, legacy);
  state.setUint32(STATE.mxcsr, mxcsr, true);
  for (let k = 0; k < UPPER_SIZE; k += 8) state.setBigUint64(STATE.ymmHigh + k, (use & AVX) !== 0 ? from.getBigUint64(UPPER_HALVES + k, true) : 0n, true);
  return true;
}

/** Made once: an array of this size is memory of malloc's, which would be most of what a signal costs. */
const legacyScratch = new Uint8Array(FXSAVE_SIZE);
/** The FXSAVE image of x87 and SSE as a program starts. */
const initialImage = new Uint8Array(FXSAVE_SIZE);
new DataView(initialImage.buffer).setUint16(AREA.control, INITIAL.x87Control, true);
new DataView(initialImage.buffer).setUint32(AREA.mxcsr, INITIAL.mxcsr, true);
/** x87, SSE and AVX as a program, or a signal handler, starts. */
export function initialState(state: DataView): void {
  fxrstorState(state, initialImage);
  for (let k = 0; k < UPPER_SIZE; k += 8) state.setBigUint64(STATE.ymmHigh + k, 0n, true);
}
