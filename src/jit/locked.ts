/**
 * Atomic operations as functions, for every alignment. Translated code calls them where it cannot do the operation itself:
 *
 * - V8 turns a page fault of an atomic operation into a trap only in TurboFan's code, and of these only cmpxchg and xchg on
 *   pages that cannot be written. Everything else would end the process, so that CAS, which is always compiled by TurboFan,
 *   is all that baseline code has, and optimised code adds by compare and exchange too (docs/decisions/atomics.md).
 * - At an address that is no multiple of the size WebAssembly's operations trap. Within eight aligned bytes these are
 *   exchanged as a whole; across such a border ("split lock") the host's processor does it.
 *
 * In every case nothing comes between, neither other atomic operations nor stores. Values are 64 bits wide,
 * zero-extended; `what` is `c` of the IR's operation. Faults name the address a processor names: the operand's, or that of
 * the second page.
 */
import type { Builder, Helper, Value } from '../ir/builder.ts';
import { COMPARE_EXCHANGE } from '../ir/exchange.ts';
import { ATOMIC_KINDS } from '../ir/ops.ts';
import * as layout from './layout.ts';

/** Compare and exchange at a multiple of the size (1, 2, 4, 8): address, expected, replacement, size → what was there. */
export const CAS: Helper = {
  name: 'cas',
  params: ['i64', 'i64', 'i64', 'i32'],
  results: ['i64'],
  effect: 'state',
  optimised: true,
  build(ir, addr, expected, replacement, size) {
    if (addr === undefined || expected === undefined || replacement === undefined || size === undefined) return;
    const { i32, i64 } = ir;
    for (const n of [8, 4, 2] as const) {
      const isSize = ir.newBlock();
      const otherSize = ir.newBlock();
      ir.branch(i32.eq(size, ir.const32(n)), isSize, otherSize);
      ir.begin(isSize);
      if (n === 8) ir.ret([ir.atomicCmpxchg(8, addr, expected, replacement, true)]);
      else ir.ret([i64.extend_i32_u(ir.atomicCmpxchg(n, addr, i32.wrap_i64(expected), i32.wrap_i64(replacement), true))]);
      ir.begin(otherSize);
    }
    ir.ret([i64.extend_i32_u(ir.atomicCmpxchg(1, addr, i32.wrap_i64(expected), i32.wrap_i64(replacement), true))]);
  },
};
const cas = (ir: Builder, addr: Value, expected: Value, replacement: Value, size: Value): Value =>
  ir.call(CAS, [addr, expected, replacement, size])[0] as Value;
/** Faults if the byte cannot be written. */
const probe = (ir: Builder, addr: Value): void => {
  cas(ir, addr, ir.const64(0), ir.const64(0), ir.const32(1));
};

/** Replace the operand at `addr` by `next` of what it is, until nobody came between; ends in `ret` of the old value. */
function replace(ir: Builder, addr: Value, what: Value, next: (old: Value) => Value): void {
  const { i32, i64 } = ir;
  const size = i32.and(what, ir.const32(0xff));
  const bits = i64.extend_i32_u(i32.shl(size, ir.const32(3)));
  const mask = i64.shr_u(ir.const64(-1), i64.sub(ir.const64(64), bits));
  const place = i32.and(i32.wrap_i64(addr), ir.const32(7));
  const old = ir.temp('i64');
  /** `exchange` gives what was there. */
  const untilAlone = (exchange: (expected: Value, replacement: Value) => Value): void => {
    ir.set(old, exchange(ir.const64(0), ir.const64(0)));
    ir.loop(() => {
      const expected = ir.get(old);
      const found = exchange(expected, i64.and(next(expected), mask));
      ir.set(old, found);
      return i64.ne(found, expected);
    });
  };
  const aligned = i32.eqz(i32.and(place, i32.sub(size, ir.const32(1))));
  const inside = i32.le_u(i32.add(place, size), ir.const32(8));
  ir.if(
    aligned,
    () => untilAlone((expected, replacement) => cas(ir, addr, expected, replacement, size)),
    () => {
      const word = i64.and(addr, ir.const64(-8));
      probe(ir, addr);
      ir.if(
        inside,
        () => {
          const shift = i64.extend_i32_u(i32.shl(place, ir.const32(3)));
          const rest = i64.xor(i64.shl(mask, shift), ir.const64(-1));
          const seen = ir.temp('i64');
          ir.set(seen, ir.load('i64.load', word));
          ir.loop(() => {
            const whole = ir.get(seen);
            const part = i64.and(i64.shr_u(whole, shift), mask);
            ir.set(old, part);
            const replaced = i64.or(i64.and(whole, rest), i64.shl(i64.and(next(part), mask), shift));
            const found = cas(ir, word, whole, replaced, ir.const32(8));
            ir.set(seen, found);
            return i64.ne(found, whole);
          });
        },
        () =>
          untilAlone((expected, replacement) => {
            // If the memory goes away after the probes, those of the next turn fault.
            ir.loop(() => {
              probe(ir, addr);
              probe(ir, i64.add(word, ir.const64(8)));
              ir.stateStore('i64.store', layout.EXCHANGE, expected);
              ir.stateStore('i64.store', layout.EXCHANGE + 16, replacement);
              const at = ir.const32(layout.EXCHANGE);
              return i32.eqz(ir.call(COMPARE_EXCHANGE, [ir.f64.convert_i64_u(addr), size, at])[0] as Value);
            });
            return i64.and(ir.stateLoad('i64.load', layout.EXCHANGE), mask);
          }),
      );
    },
  );
  ir.ret([ir.get(old)]);
}

/** Address, operand, what → old value. */
export const LOCKED_RMW: Helper = {
  name: 'locked_rmw',
  params: ['i64', 'i64', 'i32'],
  results: ['i64'],
  effect: 'state',
  build(ir, addr, operand, what) {
    if (addr === undefined || operand === undefined || what === undefined) return;
    const { i32, i64 } = ir;
    const kind = i32.and(i32.shr_u(what, ir.const32(8)), ir.const32(0xff));
    replace(ir, addr, what, (old) => {
      const results = {
        add: i64.add(old, operand),
        sub: i64.sub(old, operand),
        and: i64.and(old, operand),
        or: i64.or(old, operand),
        xor: i64.xor(old, operand),
        xchg: operand,
      };
      return ATOMIC_KINDS.reduce(
        (chosen, name, k) => ir.select(i32.eq(kind, ir.const32(k)), results[name], chosen),
        operand,
      );
    });
  },
};

/** Address, expected, replacement, what → old value. */
export const LOCKED_CMPXCHG: Helper = {
  name: 'locked_cmpxchg',
  params: ['i64', 'i64', 'i64', 'i32'],
  results: ['i64'],
  effect: 'state',
  build(ir, addr, expected, replacement, what) {
    if (addr === undefined || expected === undefined || replacement === undefined || what === undefined) return;
    replace(ir, addr, what, (old) => ir.select(ir.i64.eq(old, expected), replacement, old));
  },
};

export const LOCKED_HELPERS: readonly Helper[] = [CAS, LOCKED_RMW, LOCKED_CMPXCHG];
