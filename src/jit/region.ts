/**
 * Which instructions make a region, and its IR: everything direct jumps reach from the entry up to a limit, in blocks.
 */
import type { Block, Builder } from '../ir/builder.ts';
import type { Frontend, Instruction, RegionContext } from '../ir/frontend.ts';

/** Guest code bytes for decoding. */
export interface CodeSource {
  /** A window of executable bytes with `bytes[at]` at `pc`; undefined if pc is not executable. Valid until the next call. */
  window(pc: number): { readonly bytes: Uint8Array; readonly at: number } | undefined;
}

export interface BuiltRegion {
  readonly entry: Block;
  /** Pages (pc >> 12) the instructions lie in. */
  readonly pages: ReadonlySet<number>;
  readonly instructions: number;
  /** Direct calls and jumps that leave the region. */
  readonly exits: readonly number[];
}

interface Run {
  readonly pc: number;
  readonly insns: Instruction[];
  /** Number of edges from within the region; the entry has one more. */
  preds: number;
  from: number;
}

/** Build the region at `pc` in `ir` (reset first), at most `limit` instructions; undefined if nothing is executable there. */
export function buildRegion(
  ir: Builder,
  frontend: Frontend,
  code: CodeSource,
  pc: number,
  limit: number,
): BuiltRegion | undefined {
  // 1. Decode what is reached.
  const decoded = new Map<number, Instruction>();
  const leaders = new Set<number>([pc]);
  const pages = new Set<number>();
  const work = [pc];
  const order: number[] = [];
  for (let k = 0; k < work.length; k++) {
    let at = work[k] as number;
    if (decoded.has(at)) continue;
    order.push(at);
    let win = code.window(at);
    let base = at;
    while (decoded.size < limit) {
      if (decoded.has(at)) {
        leaders.add(at);
        break;
      }
      if (win === undefined) break;
      let offset = win.at + (at - base);
      if (offset + frontend.maxInstructionLength > win.bytes.length) {
        win = code.window(at);
        if (win === undefined) break;
        base = at;
        offset = win.at;
      }
      const insn = frontend.decode(win.bytes, offset, at);
      if (insn === undefined) break;
      decoded.set(at, insn);
      pages.add(Math.floor(at / 4096));
      pages.add(Math.floor((at + insn.length - 1) / 4096));
      const next = at + insn.length;
      if (insn.flow === 'next') {
        at = next;
        continue;
      }
      if (insn.flow === 'branch') {
        leaders.add(next).add(insn.target);
        work.push(next, insn.target);
      } else if (insn.flow === 'jump') {
        leaders.add(insn.target);
        work.push(insn.target);
      } else if (insn.flow === 'call' || insn.flow === 'callIndirect' || insn.flow === 'syscall') {
        leaders.add(next);
        work.push(next);
      }
      break;
    }
  }
  if (!decoded.has(pc)) return undefined;

  // 2. Cut into runs at leaders; count edges.
  const runs = new Map<number, Run>();
  for (const start of order.concat([...leaders])) {
    if (!decoded.has(start) || runs.has(start) || !leaders.has(start)) continue;
    const insns: Instruction[] = [];
    let at = start;
    for (;;) {
      const insn = decoded.get(at);
      if (insn === undefined) break;
      insns.push(insn);
      at += insn.length;
      if (insn.flow !== 'next' || leaders.has(at)) break;
    }
    runs.set(start, { pc: start, insns, preds: start === pc ? 1 : 0, from: -1 });
  }
  const edge = (from: Run, to: number, known: boolean): void => {
    const r = runs.get(to);
    if (r === undefined) return;
    r.preds++;
    if (known) r.from = from.pc;
    else r.preds++;
  };
  for (const r of runs.values()) {
    const last = r.insns[r.insns.length - 1] as Instruction;
    const next = last.pc + last.length;
    if (last.flow === 'next') edge(r, next, true);
    else if (last.flow === 'branch') {
      edge(r, next, true);
      edge(r, last.target, true);
    } else if (last.flow === 'jump') edge(r, last.target, true);
    else if (last.flow === 'call' || last.flow === 'callIndirect' || last.flow === 'syscall') edge(r, next, false);
  }

  // 3. Emit.
  ir.reset();
  const blocks = new Map<number, Block>();
  for (const r of runs.values()) blocks.set(r.pc, ir.newBlock(r.pc));
  const exits = new Map<number, Block>();
  const calls = new Set<number>();
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
  const emitted = new Set<number>();
  const emitRun = (r: Run): void => {
    emitted.add(r.pc);
    const block = blocks.get(r.pc) as Block;
    ir.begin(block);
    frontend.beginBlock(
      ctx,
      block,
      r.preds === 1 && r.from >= 0 && emitted.has(r.from) ? blocks.get(r.from) : undefined,
    );
    for (const insn of r.insns) {
      ir.insn(insn.pc);
      frontend.emit(ctx, insn);
    }
    const last = r.insns[r.insns.length - 1] as Instruction;
    if (last.flow === 'call') calls.add(last.target);
    if (last.flow === 'next' && ir.open) ir.goto(ctx.block(last.pc + last.length));
    if (ir.open) throw new Error(`${frontend.format(last)} at 0x${last.pc.toString(16)} ended no block`);
  };
  for (const r of runs.values()) emitRun(r);
  for (const [to, b] of exits) {
    ir.begin(b);
    ir.end({ kind: 'jump', pc: to });
  }
  return { entry: blocks.get(pc) as Block, pages, instructions: decoded.size, exits: [...calls, ...exits.keys()] };
}
