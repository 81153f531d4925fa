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

/** `bytes`, a multiple of 4, from one place to another. In words: 64 bits at a time would be BigInts. */
function copy(from: DataView, at: number, to: DataView, target: number, bytes: number): void {
  for (let k = 0; k < bytes; k += 4) to.setInt32(target + k, from.getInt32(at + k, true), true);
}
function clear(to: DataView, target: number, bytes: number): void {
  for (let k = 0; k < bytes; k += 4) to.setInt32(target + k, 0, true);
}

/** Write 512 bytes into `out`; bytes the processor leaves alone (464 …) become 0. */
export function fxsaveState(state: DataView, out: DataView): void {
  clear(out, 0, AREA.st);
  clear(out, AREA.xmm + 256, FXSAVE_SIZE - AREA.xmm - 256);
  const top = state.getUint32(STATE.x87Top, true) & 7;
  out.setUint16(AREA.control, state.getUint32(STATE.x87Control, true), true);
  out.setUint16(AREA.status, (state.getUint32(STATE.x87Status, true) & ~TOP) | (top << 11), true);
  out.setUint8(AREA.tag, state.getUint32(STATE.x87Tag, true));
  // the last instruction only while an exception is pending, as in instructions/sse-state.ts
  if ((state.getUint32(STATE.x87Status, true) & 0x80) !== 0) {
    out.setUint16(AREA.opcode, state.getUint32(STATE.x87Opcode, true), true);
    copy(state, STATE.x87Ip, out, AREA.ip, 8);
    copy(state, STATE.x87Dp, out, AREA.dp, 8);
  }
  out.setUint32(AREA.mxcsr, state.getUint32(STATE.mxcsr, true), true);
  out.setUint32(AREA.mxcsrMask, MXCSR_MASK, true);
  for (let i = 0; i < 8; i++) {
    const from = STATE.x87 + 16 * ((top + i) & 7);
    copy(state, from, out, AREA.st + 16 * i, 8);
    out.setUint32(AREA.st + 16 * i + 8, state.getUint16(from + 8, true), true);
    out.setUint32(AREA.st + 16 * i + 12, 0, true);
  }
  copy(state, STATE.xmm, out, AREA.xmm, 256);
}

/** Load the registers from `from`. MXCSR bits that do not exist are dropped, as the kernel does for a user's frame. */
export function fxrstorState(state: DataView, from: DataView): void {
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
  copy(from, AREA.ip, state, STATE.x87Ip, 8);
  copy(from, AREA.dp, state, STATE.x87Dp, 8);
  state.setUint32(STATE.mxcsr, from.getUint32(AREA.mxcsr, true) & MXCSR_MASK, true);
  for (let i = 0; i < 8; i++) {
    const to = STATE.x87 + 16 * ((top + i) & 7);
    copy(from, AREA.st + 16 * i, state, to, 8);
    state.setUint16(to + 8, from.getUint16(AREA.st + 16 * i + 8, true), true);
  }
  copy(from, AREA.xmm, state, STATE.xmm, 256);
}

// ---- XSAVE, standard form ----

const HEADER = 512;
const HEADER_SIZE = 64;
const UPPER_HALVES = HEADER + HEADER_SIZE;
const UPPER_SIZE = 256;
const X87 = 1, SSE = 2, AVX = 4;

/** Bytes of an area that holds the components of `xcr0`. */
export const xsaveSize = (xcr0: number): number => ((xcr0 & AVX) !== 0 ? UPPER_HALVES + UPPER_SIZE : UPPER_HALVES);

/** Write `xsaveSize(xcr0)` bytes into `out`; all components of `xcr0` are marked as present. */
export function xsaveState(state: DataView, out: DataView, xcr0: number): void {
  fxsaveState(state, out);
  clear(out, HEADER, HEADER_SIZE);
  out.setUint32(HEADER, xcr0, true);
  if ((xcr0 & AVX) !== 0) copy(state, STATE.ymmHigh, out, UPPER_HALVES, UPPER_SIZE);
}

/**
 * Load the components of `wanted` from `from`, which holds those of `xcr0`; what its header lacks, and what is not
 * wanted, becomes initial. False, and nothing changed, if XRSTOR would refuse the header.
 */
export function xrstorState(state: DataView, from: DataView, xcr0: number, wanted: number): boolean {
  const present = from.getUint32(HEADER, true);
  if ((present & ~xcr0) !== 0) return false;
  for (let k = HEADER + 4; k < HEADER + 24; k += 4) if (from.getInt32(k, true) !== 0) return false;
  const use = present & wanted;
  const mxcsr = (wanted & (SSE | AVX)) !== 0 ? from.getUint32(AREA.mxcsr, true) & MXCSR_MASK : INITIAL.mxcsr;
  if ((use & (X87 | SSE)) === (X87 | SSE)) fxrstorState(state, from);
  else {
    copy((use & X87) === 0 ? initialImage : from, 0, legacyScratch, 0, AREA.xmm);
    if ((use & SSE) === 0) clear(legacyScratch, AREA.xmm, 256);
    else copy(from, AREA.xmm, legacyScratch, AREA.xmm, 256);
    fxrstorState(state, legacyScratch);
  }
  state.setUint32(STATE.mxcsr, mxcsr, true);
  if ((use & AVX) !== 0) copy(from, UPPER_HALVES, state, STATE.ymmHigh, UPPER_SIZE);
  else clear(state, STATE.ymmHigh, UPPER_SIZE);
  return true;
}

/** Made once: an array of this size is memory of malloc's, which would be most of what a signal costs. */
const legacyScratch = new DataView(new ArrayBuffer(FXSAVE_SIZE));
/** The FXSAVE image of x87 and SSE as a program starts. */
const initialImage = new DataView(new ArrayBuffer(FXSAVE_SIZE));
initialImage.setUint16(AREA.control, INITIAL.x87Control, true);
initialImage.setUint32(AREA.mxcsr, INITIAL.mxcsr, true);
/** x87, SSE and AVX as a program, or a signal handler, starts. */
export function initialState(state: DataView): void {
  fxrstorState(state, initialImage);
  clear(state, STATE.ymmHigh, UPPER_SIZE);
}
