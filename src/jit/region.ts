/**
 * Which instructions make a region, and its IR: everything direct jumps reach from the entry up to a limit, in blocks.
 *
 * Code that may change without a system call (a page that is writable as well, shared memory) is compared with what was decoded
 * each time a block of it is entered; where it differs the region ends, and is forgotten. So a change counts from the next
 * branch on, which is the jump that the manual asks of programs before they run what they wrote (SDM volume 3, 10.1.3).
 */
import type { Block, Builder, Value, Var } from '../ir/builder.ts';
import type { Frontend, Instruction, RegionContext } from '../ir/frontend.ts';
import * as layout from './layout.ts';
import { makeReducible } from './reducible.ts';

/** Guest code bytes for decoding. */
export interface CodeSource {
  /** A window of executable bytes with `bytes[at]` at `pc`; undefined if pc is not executable. Valid until the next call. */
  window(pc: number): { readonly bytes: Uint8Array; readonly at: number; /** It may change without a system call. */ readonly volatile?: boolean } | undefined;
}

export interface BuiltRegion {
  readonly entry: Block;
  /** Pages (pc >> 12) the instructions lie in. */
  readonly pages: ReadonlySet<number>;
  readonly instructions: number;
  /** Guest pcs besides its own at which the region may be entered, by way of layout.ENTRY. */
  readonly entries: readonly number[];
  /** Direct calls and jumps that leave the region. */
  readonly exits: readonly number[];
  /** Some of the code may change without a system call. */
  readonly volatile: boolean;
}

interface Run {
  readonly pc: number;
  readonly insns: Instruction[];
  /** Number of edges from within the region; the entry has one more. */
  preds: number;
  from: number;
}

/**
 * How far a region reaches. It is made of straight *runs*: a conditional branch is taken to fall through, jumps are
 * followed, calls are taken to return. Where else a branch goes to is in the region only if a run comes by there as well.
 */
export interface Extent {
  /** Instructions of the region, and of a run, at most. */
  readonly limit: number;
  readonly run: number;
  /**
   * How much it is worth to join on a run at `pc`, which a run branches or would go on to; 0: leave the region there.
   * Undefined: one run is all.
   */
  readonly worth?: (pc: number) => number;
  /** Calls of the region's own entry, and returns from them, are jumps in the region. */
  readonly recursion?: boolean;
  /** Where the indirect jump at `site` has gone so far; such targets become part of the region. */
  readonly jumps?: (site: number) => readonly number[];
}

/** What is reached from an entry. */
interface Reach {
  readonly decoded: Map<number, Instruction>;
  /** The bytes of those that may change without a system call. */
  readonly bytes: Map<number, Uint8Array>;
  /** First pcs of runs, in the order they were decoded. */
  readonly order: number[];
  /** Where blocks begin. */
  readonly leaders: Set<number>;
  /** Pages (pc >> 12) of the instructions. */
  readonly pages: Set<number>;
  /** Reached by indirect jumps, or by jumps backward: where a region of several entries may be entered. */
  readonly inner: Set<number>;
  /** An indirect jump whose targets are in the region; -1 if there is none. */
  readonly firstSite: number;
  /** It calls its own entry, and that is to be a jump. */
  readonly recursive: boolean;
}

function reach(frontend: Frontend, code: CodeSource, pc: number, extent: Extent): Reach {
  const { run, worth, recursion, jumps } = extent;
  let { limit } = extent;
  const decoded = new Map<number, Instruction>();
  const bytes = new Map<number, Uint8Array>();
  const leaders = new Set<number>([pc]);
  const pages = new Set<number>();
  const order: number[] = [];
  const inner = new Set<number>();
  let firstSite = -1;
  let recursive = false;
  /** Where a run may begin, and how much it is worth. */
  const candidates = new Map<number, number>([[pc, 1]]);
  const offer = (at: number): void => {
    if (worth === undefined || decoded.has(at) || candidates.has(at)) return;
    const value = worth(at);
    if (value > 0) candidates.set(at, value);
  };
  while (candidates.size > 0 && decoded.size < limit) {
    let at = -1;
    let best = 0;
    for (const [candidate, value] of candidates)
      if (value > best) {
        at = candidate;
        best = value;
      }
    candidates.delete(at);
    if (decoded.has(at)) continue;
    order.push(at);
    const end = Math.min(limit, decoded.size + run);
    let win = code.window(at);
    let base = at;
    for (;;) {
      if (decoded.has(at)) {
        leaders.add(at);
        break;
      }
      if (decoded.size >= end) {
        offer(at);
        leaders.add(at);
        break;
      }
      if (win === undefined) break;
      let offset = win.at + (at - base);
      if (offset < 0 || offset + frontend.maxInstructionLength > win.bytes.length) {
        win = code.window(at);
        if (win === undefined) break;
        base = at;
        offset = win.at;
      }
      const insn = frontend.decode(win.bytes, offset, at);
      if (insn === undefined) break;
      decoded.set(at, insn);
      if (win.volatile === true) bytes.set(at, win.bytes.slice(offset, offset + insn.length));
      pages.add(Math.floor(at / 4096));
      pages.add(Math.floor((at + insn.length - 1) / 4096));
      const { flow, target } = insn;
      const next = at + insn.length;
      if ((flow === 'branch' || flow === 'jump') && target <= at) inner.add(target);
      if (flow === 'next') at = next;
      else if (flow === 'branch') {
        leaders.add(next).add(target);
        offer(target);
        at = next;
      } else if (flow === 'jump') {
        leaders.add(target);
        at = target;
      } else if (flow === 'call' || flow === 'callIndirect' || flow === 'syscall') {
        leaders.add(next);
        if (flow === 'call' && target === pc && recursion === true) recursive = true;
        at = next;
      } else {
        if (flow === 'indirect' && jumps !== undefined)
          for (const to of jumps(insn.pc)) {
            if (firstSite < 0) firstSite = insn.pc;
            leaders.add(to);
            inner.add(to);
            if (!decoded.has(to)) candidates.set(to, Math.max(1, candidates.get(to) ?? 0));
          }
        break;
      }
    }
    if (firstSite >= 0) limit = Math.min(limit, DISPATCH_LIMIT);
  }
  return { decoded, bytes, order, leaders, pages, inner, firstSite, recursive };
}

/** Instructions of the region at `pc`. */
export function regionSize(frontend: Frontend, code: CodeSource, pc: number, extent: Extent): number {
  return reach(frontend, code, pc, extent).decoded.size;
}

/** Build the region at `pc` in `ir` (reset first); undefined if nothing is executable there. */
export function buildRegion(
  ir: Builder,
  frontend: Frontend,
  code: CodeSource,
  pc: number,
  extent: Extent,
): BuiltRegion | undefined {
  // 1. Decode what is reached.
  const { decoded, bytes, order, leaders, pages, inner, firstSite, recursive } = reach(frontend, code, pc, extent);
  if (!decoded.has(pc)) return undefined;
  // A large interpreter takes V8 too long to compile in one piece, again for each handler that becomes hot.
  if (firstSite >= 0 && inner.size > MOST_TARGETS) {
    const { jumps: _, ...rest } = extent;
    return buildRegion(ir, frontend, code, pc, rest);
  }

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
    runs.set(start, {
      pc: start,
      insns,
      preds: start === pc || (firstSite >= 0 && inner.has(start)) ? 2 : 0,
      from: -1,
    });
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
  const flagsDead = (to: number): boolean => {
    const win = code.window(to);
    if (win === undefined || win.volatile === true || !frontend.flagsDead(win.bytes, win.at, to)) return false;
    // The region then depends on the code there.
    pages.add(Math.floor(to / 4096)).add(Math.floor((to + 6 * frontend.maxInstructionLength) / 4096));
    return true;
  };
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
  const dispatch =
    firstSite >= 0
      ? new Dispatch(
          ir,
          pc,
          firstSite,
          [...inner].filter((t) => t !== pc && runs.has(t)),
          blocks,
        )
      : undefined;
  /** By pc of a run: where its instructions are, if that is not the block it is entered by. */
  const bodies = new Map<number, Block>();
  const emitted = new Set<number>();
  const emitRun = (r: Run): void => {
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
    dispatch?.redirect(ir);
    const last = r.insns[r.insns.length - 1] as Instruction;
    if (last.flow === 'call') calls.add(last.target);
    if (last.flow === 'next' && ir.open) ir.goto(ctx.block(last.pc + last.length));
    if (ir.open) throw new Error(`${frontend.format(last)} at 0x${last.pc.toString(16)} ended no block`);
  };
  for (const r of runs.values()) emitRun(r);
  for (const [to, b] of exits) {
    ir.begin(b);
    ir.end({ kind: 'jump', pc: to, flagsDead: flagsDead(to) });
  }
  if (recursive) callWithin(ir, pc, blocks.get(pc) as Block);
  for (const b of ir.blocks)
    if (b.term?.kind === 'call' && flagsDead(b.term.pc)) b.term = { ...b.term, flagsDead: true };
  dispatch?.emit(ir);
  return {
    entry: makeReducible(ir, dispatch?.entry ?? (blocks.get(pc) as Block)),
    entries: dispatch?.targets ?? [],
    pages,
    instructions: decoded.size,
    exits: [...calls, ...exits.keys()],
    volatile: bytes.size > 0,
  };
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

/**
 * Calls of the function at `pc`, the region's own, become jumps to its block, and returns jumps to where those calls return, if
 * that is where they go. No frame of WebAssembly is made then, and registers stay in locals. A return that goes elsewhere
 * leaves the region as always.
 */
function callWithin(ir: Builder, pc: number, to: Block): void {
  const returns = new Map<number, Block>();
  for (const b of ir.blocks) {
    const t = b.term;
    if (t?.kind !== 'call' || t.pc !== pc || (returns.size >= MOST_RETURNS && !returns.has(t.returnPc))) continue;
    returns.set(t.returnPc, t.next);
    b.term = { kind: 'goto', to };
  }
  if (returns.size === 0) return;
  for (const b of [...ir.blocks]) {
    const t = b.term;
    if (t?.kind !== 'ret') continue;
    const first = ir.newBlock();
    b.term = { kind: 'goto', to: first };
    ir.begin(first);
    for (const [at, next] of returns) {
      const other = ir.newBlock();
      ir.branch(ir.i64.eq(t.pc, ir.const64(at)), next, other);
      ir.begin(other);
    }
    ir.end({ kind: 'ret', pc: t.pc });
  }
}

/** Places that calls within a region return to, at most: each return looks for its own among them. */
const MOST_RETURNS = 8;

/**
 * Indirect jumps whose targets lie in the region stay in it: one block switches over the targets, registers remain in
 * locals. It is also how such a region is entered anywhere but at its first instruction, so that everything in it is
 * dominated by the switch and stays structured.
 */
class Dispatch {
  readonly entry: Block;
  readonly targets: readonly number[];
  readonly #pc: number;
  /** Any of the jumps: what `unknown` targets are learned for. */
  readonly #site: number;
  readonly #head: Block;
  readonly #goal: Var;
  readonly #fuel: Var;
  readonly #blocks: ReadonlyMap<number, Block>;

  constructor(ir: Builder, pc: number, site: number, targets: readonly number[], blocks: ReadonlyMap<number, Block>) {
    this.#pc = pc;
    this.#site = site;
    this.targets = targets;
    this.#blocks = blocks;
    this.entry = ir.newBlock();
    this.#head = ir.newBlock();
    this.#goal = ir.temp('i64');
    this.#fuel = ir.temp('i32');
  }

  /** Send the indirect jump that was emitted last, if one was, to the switch. */
  redirect(ir: Builder): void {
    for (let k = ir.blocks.length - 1; k >= 0; k--) {
      const b = ir.blocks[k] as Block;
      if (b.term?.kind !== 'jumpIndirect' || b.end !== ir.count || b.start < 0 || ir.open) continue;
      const { pc } = b.term;
      ir.reopen(b);
      ir.set(this.#goal, pc);
      ir.goto(this.#head);
      return;
    }
  }

  emit(ir: Builder): void {
    const { i32, i64 } = ir;
    ir.begin(this.entry);
    const asked = ir.stateLoad('i64.load', layout.ENTRY);
    ir.set(this.#goal, ir.select(i64.eqz(asked), ir.const64(this.#pc), asked));
    ir.stateStore('i64.store', layout.ENTRY, ir.const64(0));
    ir.goto(this.#head);

    ir.begin(this.#head);
    const spent = ir.newBlock();
    const pick = ir.newBlock();
    const unknown = ir.newBlock();
    // Counts from zero downward: locals begin as zero.
    const left = i32.sub(ir.get(this.#fuel), ir.const32(1));
    ir.set(this.#fuel, left);
    ir.branch(i32.and(left, ir.const32(FUEL_MASK)), pick, spent);
    ir.begin(spent);
    ir.end({ kind: 'jumpIndirect', pc: ir.get(this.#goal), spent: true });

    ir.begin(pick);
    const goals = [this.#pc, ...this.targets];
    const { bits, factor } = hashFor(goals);
    const slots = new Array<Block>(1 << bits).fill(unknown);
    const checks = goals.map((t) => {
      const check = ir.newBlock();
      slots[hash(t, factor, bits)] = check;
      return { t, check };
    });
    const key = i32.wrap_i64(ir.get(this.#goal));
    ir.switch(i32.shr_u(i32.mul(key, ir.const32(factor)), ir.const32(32 - bits)), slots, unknown);
    for (const { t, check } of checks) {
      ir.begin(check);
      ir.branch(i64.eq(ir.get(this.#goal), ir.const64(t)), this.#blocks.get(t) as Block, unknown);
    }
    ir.begin(unknown);
    ir.insn(this.#site);
    ir.end({ kind: 'jumpIndirect', pc: ir.get(this.#goal) });
  }
}

/** Instructions of a region that switches over its indirect jumps: more than this and compiling it takes too long. */
const DISPATCH_LIMIT = 1500;
/** More targets than this: the jumps leave the region as in baseline code. */
const MOST_TARGETS = 100;
/** Every so many dispatches a region looks whether anything is pending. */
const FUEL_MASK = 0x3fff;

const hash = (pc: number, factor: number, bits: number): number => Math.imul(pc | 0, factor) >>> (32 - bits);

/** A multiplicative hash without collisions among `goals`. */
function hashFor(goals: readonly number[]): { bits: number; factor: number } {
  for (let bits = Math.max(1, Math.ceil(Math.log2(goals.length))); ; bits++) {
    let factor = 0x9e3779b1;
    for (let k = 0; k < 200; k++) {
      factor = (Math.imul(factor, 0x2c1b3c6d) ^ (factor >>> 13)) | 1;
      if (new Set(goals.map((t) => hash(t, factor, bits))).size === goals.length) return { bits, factor };
    }
  }
}
