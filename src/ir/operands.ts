/** Which values an operation or terminator reads, with the types they must have, and where a terminator leads. */
import type { Block, Builder, Helper, Terminator, Var } from './builder.ts';
import { OP, OPS, type OpInfo, type Type, type Value } from './ops.ts';

/** Calls `use(value, type)` for each value that operation `v` reads; type undefined: any that has a value. */
export function forEachOperand(ir: Builder, v: number, use: (value: Value, type: Type | undefined) => void): void {
  const a = ir.a[v] as Value;
  const b = ir.b[v] as Value;
  const c = ir.c[v] as Value;
  const op = ir.op[v] as number;
  const info = OPS[op];
  if (info === undefined) throw new Error(`v${v}: unknown operation ${op}`);
  if (info.kind !== 'special') {
    const { args } = info;
    use(a, args[0]);
    if (args.length > 1) use(b, args[1]);
    if (args.length > 2) use(c, args[2]);
    return;
  }
  switch (op) {
    case OP.set:
      use(b, (ir.vars[a] as Var | undefined)?.type);
      return;
    case OP.select:
      use(a, 'i32');
      use(b, undefined);
      use(c, ir.typeOf(b));
      return;
    case OP.shuffle:
      use(a, 'v128');
      use(b, 'v128');
      return;
    case OP.stateLoad:
      if (a >= 0) use(a, 'i32');
      return;
    case OP.stateStore:
      if (a >= 0) use(a, 'i32');
      use(b, (OPS[c >>> 20] as OpInfo | undefined)?.args[1]);
      return;
    case OP.call: {
      const params = (ir.helpers[a] as Helper | undefined)?.params ?? [];
      for (let k = 0; k < c; k++) use(ir.args[b + k] as Value, params[k]);
      return;
    }
    case OP.result:
      use(a, undefined);
      return;
    case OP.mulHiU:
    case OP.mulHiS:
      use(a, 'i64');
      use(b, 'i64');
      return;
    case OP.atomicRmw:
      use(a, 'i64');
      use(b, (c & 0xff) === 8 ? 'i64' : 'i32');
      return;
    case OP.probeWrite:
      use(a, 'i64');
      return;
    case OP.atomicCmpxchg:
      use(a, 'i64');
      use(ir.args[b] as Value, (c & 0xff) === 8 ? 'i64' : 'i32');
      use(ir.args[b + 1] as Value, (c & 0xff) === 8 ? 'i64' : 'i32');
      return;
  }
}

/** Values a terminator reads. */
export function terminatorOperands(term: Terminator): { readonly value: Value; readonly type: Type | undefined }[] {
  switch (term.kind) {
    case 'branch':
      return [{ value: term.cond, type: 'i32' }];
    case 'switch':
      return [{ value: term.index, type: 'i32' }];
    case 'jumpIndirect':
    case 'callIndirect':
    case 'ret':
      return [{ value: term.pc, type: 'i64' }];
    case 'return':
      return term.values.map((value) => ({ value, type: undefined }));
    default:
      return [];
  }
}

/** Blocks control may go to inside the region, in the terminator's order. */
export function successors(term: Terminator): readonly Block[] {
  switch (term.kind) {
    case 'goto':
      return [term.to];
    case 'branch':
      return [term.then, term.else];
    case 'switch':
      return [...term.targets, term.otherwise];
    case 'call':
    case 'callIndirect':
    case 'syscall':
      return [term.next];
    default:
      return [];
  }
}
