/** Symbolic values: constant sets of src/abi printed as strace prints them. */

import { type ConstantSet, constantSets } from '../abi/constant-set.ts';
import '../abi/linux.ts';
import { straceViews } from '../abi/strace-order.ts';

interface Printable {
  readonly set: ConstantSet;
  /** Flags in printing order, or values. */
  readonly order: readonly (readonly [name: string, value: bigint])[];
  readonly byValue: ReadonlyMap<bigint, string>;
  readonly unknown: string;
  readonly zero: string;
}

const printables = new Map<string, Printable>();

function printable(name: string): Printable | undefined {
  const known = printables.get(name);
  if (known !== undefined) return known;
  const set = constantSets().find((s) => s.name === name);
  if (set === undefined) return undefined;
  const made = prepare(set);
  printables.set(name, made);
  return made;
}

function prepare(set: ConstantSet): Printable {
  const view = straceViews[set.name] ?? {};
  const place = (name: string): number => {
    const first = view.order?.indexOf(name) ?? -1;
    if (first >= 0) return first;
    const last = view.last?.indexOf(name) ?? -1;
    return last >= 0 ? 2000 + last : 1000;
  };
  const order = set.order
    .map(([name, value]) => [name, BigInt.asUintN(64, BigInt(value))] as const)
    .toSorted(
      (a, b) => place(a[0]) - place(b[0]) || (set.kind === 'values' || a[1] === b[1] ? 0 : a[1] < b[1] ? -1 : 1),
    )
    .map(([name, value]) => [view.rename?.[name] ?? name, value] as const);
  const byValue = new Map<bigint, string>();
  for (const [name, value] of order) if (!byValue.has(value)) byValue.set(value, name);
  return {
    set,
    order,
    byValue,
    unknown: `${view.unknown ?? commonPrefix(set)}???`,
    zero: view.zero ?? byValue.get(0n) ?? '0',
  };
}

/** Longest common beginning of the names up to an underscore. */
function commonPrefix(set: ConstantSet): string {
  const names = set.order.map(([name]) => name);
  let prefix = names[0] ?? '';
  for (const name of names) while (!name.startsWith(prefix)) prefix = prefix.slice(0, -1);
  return prefix.slice(0, prefix.lastIndexOf('_') + 1);
}

export function hasSet(name: string): boolean {
  return printable(name) !== undefined;
}

/** One of several values: its name, or `0x2a /* SEEK_??? *\/`. */
export function choiceText(setName: string, value: number | bigint): string {
  const p = printable(setName);
  if (p === undefined) return String(value);
  const word = BigInt.asUintN(64, BigInt(value));
  return p.byValue.get(word) ?? `${hexWord(BigInt.asUintN(32, word))} /* ${p.unknown} */`;
}

/** The name of a value, if it has one. */
export function choiceName(setName: string, value: number | bigint): string | undefined {
  return printable(setName)?.byValue.get(BigInt.asUintN(64, BigInt(value)));
}

/** Or-ed bits: `O_RDWR|O_CREAT`, unknown ones at the end. */
export function flagsText(setName: string, value: number | bigint, bits = 32): string {
  const p = printable(setName);
  let rest = BigInt.asUintN(bits, BigInt(value));
  if (p === undefined) return hexWord(rest);
  const names: string[] = [];
  for (const field of p.set.fields) {
    const part = rest & BigInt(field.mask);
    const name = Object.entries(field.values).find(([, v]) => BigInt(v) === part)?.[0];
    if (name === undefined) continue;
    names.push(name);
    rest &= ~BigInt(field.mask);
  }
  // A wider flag takes its bits before the narrower ones it includes, wherever it is printed.
  const found = new Set<string>();
  for (const [name, flag] of p.order.toSorted((a, b) => bitCount(b[1]) - bitCount(a[1])))
    if (flag !== 0n && (rest & flag) === flag) {
      found.add(name);
      rest &= ~flag;
    }
  for (const [name] of p.order) if (found.has(name)) names.push(name);
  if (names.length === 0) return rest === 0n ? p.zero : `${hexWord(rest)} /* ${p.unknown} */`;
  if (rest !== 0n) names.push(hexWord(rest));
  return names.join('|');
}

function bitCount(value: bigint): number {
  let n = 0;
  for (let v = value; v > 0n; v &= v - 1n) n++;
  return n;
}

function hexWord(value: bigint): string {
  return value === 0n ? '0' : `0x${value.toString(16)}`;
}
