/** Readable text of built IR, one operation a line; deterministic, so that tests may hold it as golden text. */
import type { Block, Builder, Helper, Terminator, Var } from './builder.ts';
import { ATOMIC_KINDS, OP, OPS, type Value } from './ops.ts';

const hex = (n: number | bigint): string => `0x${n.toString(16)}`;
const bytesText = (bytes: Uint8Array | undefined): string => (bytes === undefined ? '?' : [...bytes].map((n) => n.toString(16).padStart(2, '0')).join(' '));
const list = (values: readonly number[]): string => values.map((v) => `v${v}`).join(', ');
const name = (ir: Builder, v: number): string => (ir.vars[v] as Var | undefined)?.name ?? `var${v}?`;

/** All blocks that were begun, in the order they were made. */
export function printRegion(ir: Builder): string {
  return ir.blocks.filter((block) => block.start >= 0).map((block) => printBlock(ir, block)).join('\n');
}

export function printBlock(ir: Builder, block: Block): string {
  const lines = [`block ${block.id}${block.pc >= 0 ? ` (pc ${hex(block.pc)})` : ''}:`];
  const end = block.end >= 0 ? block.end : ir.count;
  for (let v = block.start; v < end; v++) lines.push(`  ${printOperation(ir, v)}`);
  lines.push(`  ${block.term === undefined ? '(open)' : printTerminator(block.term)}`);
  return `${lines.join('\n')}\n`;
}

export function printOperation(ir: Builder, v: number): string {
  const type = ir.typeOf(v as Value);
  const text = operationText(ir, v);
  return type === undefined ? text : `v${v}: ${type} = ${text}`;
}

function operationText(ir: Builder, v: number): string {
  const op = ir.op[v] as number;
  const a = ir.a[v] as number;
  const b = ir.b[v] as number;
  const c = ir.c[v] as number;
  const info = OPS[op];
  if (info === undefined) return `op${op}? ${a} ${b} ${c}`;
  const offset = (n: number): string => (n === 0 ? '' : ` + ${n}`);
  if (info.kind === 'load') return `${info.name} [v${a}${offset(c)}]`;
  if (info.kind === 'store') return `${info.name} [v${a}${offset(c)}], v${b}`;
  if (info.kind === 'lane') return `${info.name} ${c}, ${list(info.args.length === 1 ? [a] : [a, b])}`;
  if (info.kind !== 'special') return `${info.name} ${list([a, b, c].slice(0, info.args.length))}`;
  switch (op) {
    case OP.const32:
      return `const ${a}`;
    case OP.const64:
      return `const ${hex((BigInt(b >>> 0) << 32n) | BigInt(a >>> 0))}`;
    case OP.constf32:
      return `const bits ${hex(a >>> 0)}`;
    case OP.constf64:
      return `const bits ${hex((BigInt(b >>> 0) << 32n) | BigInt(a >>> 0))}`;
    case OP.const128:
      return `const ${bytesText(ir.vectors[a])}`;
    case OP.get:
      return `get ${name(ir, a)}`;
    case OP.set:
      return `set ${name(ir, a)}, v${b}`;
    case OP.select:
      return `select v${a} ? v${b} : v${c}`;
    case OP.shuffle:
      return `shuffle v${a}, v${b}, ${bytesText(ir.vectors[c])}`;
    case OP.stateLoad:
      return `state ${OPS[c]?.name} [${a < 0 ? '' : `v${a} + `}${b}]`;
    case OP.stateStore:
      return `state ${OPS[c >>> 20]?.name} [${a < 0 ? '' : `v${a} + `}${c & 0xfffff}], v${b}`;
    case OP.call:
      return `call ${(ir.helpers[a] as Helper | undefined)?.name ?? `helper${a}?`}(${list(ir.args.slice(b, b + c))})`;
    case OP.result:
      return `result ${b} of v${a}`;
    case OP.insn:
      return `-- ${hex(ir.marks[a] as number)}`;
    case OP.mulHiU:
    case OP.mulHiS:
      return `${info.name} v${a}, v${b}`;
    case OP.atomicRmw:
      return `atomic.${ATOMIC_KINDS[(c >> 8) & 0xff]}${(c & 0xff) * 8} [v${a}], v${b}`;
    case OP.probeWrite:
      return `probe write ${c} [v${a}${offset(b)}]`;
    case OP.atomicCmpxchg:
      return `atomic.cmpxchg${(c & 0xff) * 8} [v${a}], v${ir.args[b]}, v${ir.args[b + 1]}`;
    default:
      return info.name;
  }
}

export function printTerminator(t: Terminator): string {
  switch (t.kind) {
    case 'goto':
      return `goto ${t.to.id}`;
    case 'branch':
      return `branch v${t.cond} ? ${t.then.id} : ${t.else.id}`;
    case 'switch':
      return `switch v${t.index} [${t.targets.map((b) => b.id).join(', ')}] else ${t.otherwise.id}`;
    case 'jump':
      return `jump ${hex(t.pc)}`;
    case 'jumpIndirect':
      return `jump v${t.pc}${t.likely === undefined ? '' : `, likely ${hex(t.likely)}`}`;
    case 'call':
      return `call ${hex(t.pc)}, returns to ${hex(t.returnPc)}, then ${t.next.id}`;
    case 'callIndirect':
      return `call v${t.pc}${t.likely === undefined ? '' : `, likely ${hex(t.likely)}`}, returns to ${hex(t.returnPc)}, then ${t.next.id}`;
    case 'ret':
      return `ret v${t.pc}`;
    case 'syscall':
      return `syscall, next ${hex(t.nextPc)}, then ${t.next.id}`;
    case 'trap':
      return `trap ${t.code} at ${hex(t.pc)}`;
    case 'return':
      return `return (${list(t.values)})`;
  }
}
