/**
 * IR of what was reached (reach.ts): blocks, and what leads from one to the next.
 *
 * Code that may change without a system call (a page that is writable as well, shared memory) is compared with what was decoded
 * each time a block of it is entered; where it differs the region ends, and is forgotten. So a change counts from the next
 * branch on, which is the jump that the manual asks of programs before they run what they wrote (SDM volume 3, 10.1.3).
 */
import type { Block, Builder, Terminator, Value } from '../ir/builder.ts';
import type { Frontend, Instruction, RegionContext } from '../ir/frontend.ts';
import * as layout from './layout.ts';
import type { CodeSource, Reach, Run } from './reach.ts';

/** Emits the region's own code, and functions that are taken in, each time with blocks of their own. */
export class Emission {
  /** Pages (pc >> 12) the region depends on. */
  readonly pages = new Set<number>();
  /** Targets of direct calls. */
  readonly calls = new Set<number>();
  instructions = 0;
  volatile = false;
  readonly ir: Builder;
  readonly frontend: Frontend;
  readonly code: CodeSource;

  constructor(ir: Builder, frontend: Frontend, code: CodeSource) {
    this.ir = ir;
    this.frontend = frontend;
    this.code = code;
  }

  /** Whether the code at `to` sets all flags before it reads any; the region then depends on the code there. */
  flagsDead(to: number): boolean {
    const { frontend } = this;
    const win = this.code.window(to);
    if (win === undefined || win.volatile === true || !frontend.flagsDead(win.bytes, win.at, to)) return false;
    this.pages.add(Math.floor(to / 4096)).add(Math.floor((to + 6 * frontend.maxInstructionLength) / 4096));
    return true;
  }

  blocksFor(runs: ReadonlyMap<number, Run>): Map<number, Block> {
    const blocks = new Map<number, Block>();
    for (const r of runs.values()) blocks.set(r.pc, this.ir.newBlock(r.pc));
    return blocks;
  }

  /** `leave`: how control goes on to code that is not among the runs. Returns where it does so. `after` each run. */
  emit(
    runs: ReadonlyMap<number, Run>,
    blocks: ReadonlyMap<number, Block>,
    { decoded, bytes, pages }: Reach,
    leave: (to: number) => Terminator,
    after: () => void,
  ): number[] {
    const { ir, frontend, code } = this;
    for (const p of pages) this.pages.add(p);
    this.instructions += decoded.size;
    if (bytes.size > 0) this.volatile = true;
    const exits = new Map<number, Block>();
    const ctx: RegionContext = {
      ir,
      block(to) {
        let b = blocks.get(to) ?? exits.get(to);
        if (b === undefined) {
          b = ir.newBlock(to);
          exits.set(to, b);
        }
        return b;
      },
    };
    frontend.beginRegion(ctx);
    /** By pc of a run: where its instructions are, if that is not the block it is entered by. */
    const bodies = new Map<number, Block>();
    const emitted = new Set<number>();
    for (const r of runs.values()) {
      emitted.add(r.pc);
      let block = blocks.get(r.pc) as Block;
      ir.begin(block);
      if (bytes.size > 0 && r.insns.some((insn) => bytes.has(insn.pc))) {
        block = checkCode(ir, r.pc, Buffer.concat(r.insns.map((insn) => bytes.get(insn.pc) ?? codeOf(code, insn))));
        bodies.set(r.pc, block);
        ir.begin(block);
      }
      const known = r.preds === 1 && r.from >= 0 && emitted.has(r.from);
      frontend.beginBlock(ctx, block, known ? (bodies.get(r.from) ?? blocks.get(r.from)) : undefined);
      for (const insn of r.insns) {
        ir.insn(insn.pc);
        frontend.emit(ctx, insn);
      }
      after();
      const last = r.insns[r.insns.length - 1] as Instruction;
      if (last.flow === 'call') this.calls.add(last.target);
      if (last.flow === 'next' && ir.open) ir.goto(ctx.block(last.pc + last.length));
      if (ir.open) throw new Error(`${frontend.format(last)} at 0x${last.pc.toString(16)} ended no block`);
    }
    for (const [to, b] of exits) {
      ir.begin(b);
      ir.end(leave(to));
    }
    return [...exits.keys()];
  }
}

function codeOf(code: CodeSource, { pc, length }: Instruction): Uint8Array {
  const window = code.window(pc);
  return window?.bytes.slice(window.at, window.at + length) ?? new Uint8Array(length);
}

/** End the open block with a comparison of the code at `pc` with `bytes`; the block to go on in if it is the same. */
function checkCode(ir: Builder, pc: number, bytes: Uint8Array): Block {
  const { i32, i64 } = ir;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  ir.insn(pc);
  let differs: Value | undefined;
  const add = (value: Value): void => {
    differs = differs === undefined ? value : i64.or(differs, value);
  };
  const word = (at: number): void => add(i64.xor(ir.load('i64.load', ir.const64(pc + at)), ir.const64(view.getBigInt64(at, true))));
  const { length } = bytes;
  let at = 0;
  for (; at + 8 <= length; at += 8) word(at);
  // The rest: once more with bytes that were compared already, or in smaller pieces.
  if (at < length && length > 8) word(length - 8);
  else {
    for (; at + 4 <= length; at += 4) add(i64.extend_i32_u(i32.xor(ir.load('i32.load', ir.const64(pc + at)), ir.const32(view.getInt32(at, true)))));
    for (; at < length; at++) add(i64.extend_i32_u(i32.xor(ir.load('i32.load8_u', ir.const64(pc + at)), ir.const32(bytes[at] as number))));
  }
  const same = ir.newBlock();
  const stale = ir.newBlock();
  ir.branch(i64.eqz(differs as Value), same, stale);
  ir.begin(stale);
  ir.stateStore('i32.store', layout.STALE, ir.const32(1));
  ir.end({ kind: 'jumpIndirect', pc: ir.const64(pc), spent: true });
  return same;
}
