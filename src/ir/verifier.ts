/**
 * Checks built IR against the invariants of builder.ts:
 * - every block reachable from the entry was begun and ends in one terminator; its values are [start, end), and the
 *   ranges of different blocks do not overlap;
 * - every operand exists, has the type its operation wants, and is defined where its use is dominated by it;
 * - variables, vectors, marks, helpers and lanes named by index exist; calls match their helper's signature;
 * - `result` directly follows its call (with its fellows) and asks for a result the helper has;
 * - a region does not end in `return`, a helper ends in nothing else and returns what it declares.
 */
import type { Block, Builder, Helper } from './builder.ts';
import { LOADS, OP, OPS, STORES, type Type, type Value } from './ops.ts';
import { forEachOperand, successors, terminatorOperands } from './operands.ts';

/** What is wrong, one line each naming block and value; empty: all well. `results`: `ir` is the body of a helper with these. */
export function verify(ir: Builder, entry: Block, results?: readonly Type[]): string[] {
  const problems: string[] = [];
  const order = reversePostorder(entry);
  const position = new Map(order.map((block, k) => [block, k]));
  const blockOf = new Int32Array(ir.count).fill(-1);

  for (const block of order) {
    const say = (text: string): number => problems.push(`block ${block.id}: ${text}`);
    if (ir.blocks[block.id] !== block) say('is not a block of this builder');
    if (block.term === undefined) {
      say(block.start < 0 ? 'is reachable but was never begun' : 'has no terminator');
      continue;
    }
    if (block.start < 0 || block.end < block.start || block.end > ir.count) say(`has the impossible range ${block.start}…${block.end}`);
    for (let v = block.start; v < block.end; v++) {
      if (blockOf[v] !== -1) say(`v${v} also belongs to block ${order[blockOf[v] as number]?.id}`);
      blockOf[v] = position.get(block) as number;
    }
  }
  if (problems.length > 0) return problems;

  const dominators = immediateDominators(order, position);
  const dominates = (a: number, b: number): boolean => {
    for (let k = b; ; k = dominators[k] as number) {
      if (k === a) return true;
      if (k === 0) return false;
    }
  };

  for (const block of order) {
    const here = position.get(block) as number;
    const use = (at: string, before: number, value: Value, type: Type | undefined): void => {
      if (!(value >= 0 && value < ir.count)) {
        problems.push(`block ${block.id}: ${at} uses v${value}, which does not exist`);
        return;
      }
      const from = blockOf[value] as number;
      const actual = ir.typeOf(value);
      if (from < 0) problems.push(`block ${block.id}: ${at} uses v${value} of an unreachable block`);
      else if (from === here ? value >= before : !dominates(from, here)) problems.push(`block ${block.id}: ${at} uses v${value}, whose definition does not dominate it`);
      if (actual === undefined) problems.push(`block ${block.id}: ${at} uses v${value}, which has no result`);
      else if (type !== undefined && actual !== type) problems.push(`block ${block.id}: ${at} wants ${type}, v${value} is ${actual}`);
    };
    for (let v = block.start; v < block.end; v++) {
      const wrong = checkIndices(ir, v, block);
      if (wrong !== undefined) {
        problems.push(`block ${block.id}: v${v} ${wrong}`);
        continue;
      }
      forEachOperand(ir, v, (value, type) => use(`v${v} (${OPS[ir.op[v] as number]?.name})`, v, value, type));
    }
    const term = block.term as NonNullable<Block['term']>;
    for (const { value, type } of terminatorOperands(term)) use(term.kind, block.end, value, type);
    if (term.kind === 'return') {
      if (results === undefined) problems.push(`block ${block.id}: a region ends in return`);
      else if (term.values.length !== results.length || term.values.some((value, k) => ir.typeOf(value) !== results[k])) problems.push(`block ${block.id}: returns (${term.values.map((value) => ir.typeOf(value)).join(', ')}), declared are (${results.join(', ')})`);
    } else if (results !== undefined && successors(term).length === 0) problems.push(`block ${block.id}: a helper ends in ${term.kind}`);
  }
  return problems;
}

/** What is wrong with the indices an operation carries, if anything. */
function checkIndices(ir: Builder, v: number, block: Block): string | undefined {
  const op = ir.op[v] as number;
  const a = ir.a[v] as number;
  const b = ir.b[v] as number;
  const c = ir.c[v] as number;
  const info = OPS[op];
  if (info === undefined) return `is the unknown operation ${op}`;
  if (info.kind === 'lane') {
    const lanes = Number(/x(\d+)\./.exec(info.name)?.[1]);
    return c >= 0 && c < lanes ? undefined : `has lane ${c} of ${lanes}`;
  }
  if (info.kind === 'load' || info.kind === 'store') return c >= 0 && c < 65536 ? undefined : `has the offset ${c}`;
  switch (op) {
    case OP.get:
    case OP.set:
      return ir.vars[a] === undefined ? `names variable ${a}, which does not exist` : undefined;
    case OP.const128:
      return ir.vectors[a]?.length === 16 ? undefined : `names vector ${a}, which is not 16 bytes`;
    case OP.shuffle: {
      const lanes = ir.vectors[c];
      return lanes?.length === 16 && lanes.every((n) => n < 32) ? undefined : 'has no 16 lane numbers below 32';
    }
    case OP.insn:
      return ir.marks[a] === undefined ? `names mark ${a}, which does not exist` : undefined;
    case OP.stateLoad:
      return LOAD_IDS.has(c) && b >= 0 ? undefined : `loads by ${OPS[c]?.name ?? c} at ${b}`;
    case OP.stateStore:
      return STORE_IDS.has(c >>> 20) ? undefined : `stores by ${OPS[c >>> 20]?.name ?? c >>> 20}`;
    case OP.call: {
      const helper = ir.helpers[a] as Helper | undefined;
      if (helper === undefined) return `names helper ${a}, which does not exist`;
      if ((helper.js === undefined) === (helper.build === undefined)) return `calls ${helper.name}, which must have either build or js`;
      return c === helper.params.length ? undefined : `calls ${helper.name} with ${c} arguments, it takes ${helper.params.length}`;
    }
    case OP.result: {
      for (let k = v - 1; k > a; k--) if (ir.op[k] !== OP.result || ir.a[k] !== a) return 'is away from its call';
      if (a < block.start || a >= v || ir.op[a] !== OP.call) return `is the result of v${a}, which is no call before it`;
      const count = (ir.helpers[ir.a[a] as number] as Helper | undefined)?.results.length ?? 0;
      return b >= 1 && b < count ? undefined : `is result ${b} of ${count}`;
    }
    case OP.atomicRmw:
      return [1, 2, 4, 8].includes(c & 0xff) ? undefined : `has size ${c & 0xff}`;
    case OP.probeWrite:
      return c > 0 && c <= 4096 && b >= 0 && b < 65536 ? undefined : `has size ${c} at ${b}`;
    case OP.atomicCmpxchg:
      return [1, 2, 4, 8].includes(c & 0xff) ? undefined : `has size ${c & 0xff}`;
    default:
      return undefined;
  }
}
const LOAD_IDS = new Set<number>(Object.values(LOADS).map(([id]) => id));
const STORE_IDS = new Set<number>(Object.values(STORES).map(([id]) => id));

function reversePostorder(entry: Block): Block[] {
  const order: Block[] = [];
  const seen = new Set<Block>([entry]);
  const stack: { block: Block; next: number; to: readonly Block[] }[] = [];
  const push = (block: Block): number => stack.push({ block, next: 0, to: block.term === undefined ? [] : successors(block.term) });
  push(entry);
  while (stack.length > 0) {
    const top = stack[stack.length - 1] as (typeof stack)[number];
    const to = top.to[top.next++];
    if (to === undefined) {
      order.push(top.block);
      stack.pop();
    } else if (!seen.has(to)) {
      seen.add(to);
      push(to);
    }
  }
  return order.reverse();
}

/** Cooper, Harvey, Kennedy: "A Simple, Fast Dominance Algorithm". Indices are positions in `order`. */
function immediateDominators(order: readonly Block[], position: ReadonlyMap<Block, number>): Int32Array {
  const predecessors: number[][] = order.map(() => []);
  order.forEach((block, k) => {
    for (const to of successors(block.term as NonNullable<Block['term']>)) predecessors[position.get(to) as number]?.push(k);
  });
  const idom = new Int32Array(order.length).fill(-1);
  idom[0] = 0;
  for (let changed = true; changed; ) {
    changed = false;
    for (let k = 1; k < order.length; k++) {
      let best = -1;
      for (const p of predecessors[k] as number[]) {
        if (idom[p] === -1) continue;
        if (best < 0) best = p;
        else {
          let a = p;
          let b = best;
          while (a !== b) {
            while (a > b) a = idom[a] as number;
            while (b > a) b = idom[b] as number;
          }
          best = a;
        }
      }
      if (idom[k] !== best) {
        idom[k] = best;
        changed = true;
      }
    }
  }
  return idom;
}
