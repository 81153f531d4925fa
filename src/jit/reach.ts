/**
 * Which instructions belong together: what direct control flow reaches from an entry, up to a limit, as straight runs.
 */
import type { Frontend, Instruction } from '../ir/frontend.ts';

/** Guest code bytes for decoding. */
export interface CodeSource {
  /** A window of executable bytes with `bytes[at]` at `pc`; undefined if pc is not executable. Valid until the next call. */
  window(pc: number): { readonly bytes: Uint8Array; readonly at: number; /** It may change without a system call. */ readonly volatile?: boolean } | undefined;
}

export interface Run {
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
  /** Small functions that the region calls become part of it (callees.ts). Where the indirect call or jump at `site` went. */
  readonly called?: (site: number) => readonly number[];
}

/** What is reached from an entry. */
export interface Reach {
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

export function reach(frontend: Frontend, code: CodeSource, pc: number, extent: Extent): Reach {
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

/** Cut what is reached into runs at leaders, and count edges. `entered`: control comes to a run from elsewhere as well. */
export function cutRuns({ decoded, order, leaders }: Reach, entered: (pc: number) => boolean): Map<number, Run> {
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
    runs.set(start, { pc: start, insns, preds: entered(start) ? 2 : 0, from: -1 });
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
  return runs;
}

/** Instructions of a region that switches over its indirect jumps: more than this and compiling it takes too long. */
const DISPATCH_LIMIT = 1500;
