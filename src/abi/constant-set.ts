/**
 * Owns the shape in which a family of Linux constants is written down, and how a value of that family is printed
 * as strace prints it. The printer, the hooks' `linux` table and the handlers all read these same sets. Pure data.
 *
 * Values are those of x86-64 (= asm-generic unless a note says otherwise); an ABI that differs lists only the
 * names it changes in `overrides`.
 */

/** Names that share the bits of `mask`: exactly one of them holds at a time (O_ACCMODE, S_IFMT, MAP_TYPE). */
export interface FieldOfFlags {
  readonly mask: number;
  readonly values: Readonly<Record<string, number>>;
}

export interface ConstantSet {
  readonly name: string;
  /** `flags`: bits that are or-ed. `values`: one of them. */
  readonly kind: 'flags' | 'values';
  readonly values: Readonly<Record<string, number>>;
  /** Enumerations inside a flag word, printed before the bits. */
  readonly fields: readonly FieldOfFlags[];
  /** Names in printing order: the first name of each value, wider flags before their parts. */
  readonly order: readonly (readonly [name: string, value: number])[];
}

/** A set whose keys are known to the compiler: `openFlags.values.O_CREAT`. */
export interface TypedSet<V extends Readonly<Record<string, number>>> extends ConstantSet {
  readonly values: V;
}

const registry = new Map<string, ConstantSet>();

/** A word of or-ed bits, with enumerations inside it where the kernel has them. */
export function flagSet<const V extends Readonly<Record<string, number>>>(
  name: string,
  values: V,
  fields: readonly FieldOfFlags[] = [],
): TypedSet<V> {
  return register({ name, kind: 'flags', values, fields, order: firstNames(values, true) });
}

/** A word that holds exactly one of the values. */
export function valueSet<const V extends Readonly<Record<string, number>>>(name: string, values: V): TypedSet<V> {
  return register({ name, kind: 'values', values, fields: [], order: firstNames(values, false) });
}

/** Every set declared so far (the constants modules must have been imported). */
export function constantSets(): readonly ConstantSet[] {
  return [...registry.values()];
}

function register<S extends ConstantSet>(set: S): S {
  if (registry.has(set.name)) throw new Error(`constant set ${set.name} is declared twice`);
  registry.set(set.name, set);
  return set;
}

function firstNames(values: Readonly<Record<string, number>>, flags: boolean): readonly (readonly [string, number])[] {
  const seen = new Set<number>();
  const list: [string, number][] = [];
  for (const [name, value] of Object.entries(values)) {
    if (seen.has(value)) continue;
    seen.add(value);
    list.push([name, value]);
  }
  if (!flags) return list;
  // O_SYNC holds O_DSYNC's bit and O_TMPFILE O_DIRECTORY's: the wider one is tried first, the rest keep their order.
  const wide = list.filter(([, v]) => bits(v) > 1);
  return [...wide, ...list.filter(([, v]) => bits(v) <= 1)];
}

function bits(value: number): number {
  let n = 0;
  for (let v = BigInt(value); v > 0n; v &= v - 1n) n++;
  return n;
}

/** The name of `value` in a set of values, as strace shows it: undefined if the set has none. */
export function nameOf(set: ConstantSet, value: number): string | undefined {
  for (const [name, v] of set.order) if (v === value) return name;
  return undefined;
}

/**
 * `O_WRONLY|O_CREAT`, unknown bits as one hexadecimal rest, `0` for an empty word without a name for it. A set of
 * values gives the name or the value in hexadecimal with `/* SET_??? *\/` as strace marks it.
 */
export function formatConstant(set: ConstantSet, value: number | bigint): string {
  const word = typeof value === 'bigint' ? BigInt.asUintN(64, value) : BigInt.asUintN(value < 0 ? 64 : 53, BigInt(value));
  if (set.kind === 'values') {
    const name = nameOf(set, Number(BigInt.asIntN(64, word))) ?? nameOf(set, Number(word));
    return name ?? `0x${word.toString(16)} /* ${prefixOf(set)}??? */`;
  }
  let rest = word;
  const names: string[] = [];
  for (const field of set.fields) {
    const part = Number(rest & BigInt(field.mask));
    const name = Object.entries(field.values).find(([, v]) => v === part)?.[0];
    if (name !== undefined) {
      names.push(name);
      rest &= ~BigInt(field.mask);
    }
  }
  const found: [string, number][] = [];
  for (const [name, v] of set.order) {
    const flag = BigInt(v);
    if (v === 0 || (rest & flag) !== flag) continue;
    found.push([name, v]);
    rest &= ~flag;
  }
  found.sort((a, b) => a[1] - b[1]);
  names.push(...found.map(([name]) => name));
  if (names.length === 0) {
    if (rest === 0n) return set.order.find(([, v]) => v === 0)?.[0] ?? '0';
    return `0x${rest.toString(16)} /* ${prefixOf(set)}??? */`;
  }
  if (rest !== 0n) names.push(`0x${rest.toString(16)}`);
  return names.join('|');
}

/** The longest common beginning of a set's names up to an underscore: `AF_` for the address families. */
function prefixOf(set: ConstantSet): string {
  const names = set.order.map(([name]) => name);
  let prefix = names[0] ?? '';
  for (const name of names) while (!name.startsWith(prefix)) prefix = prefix.slice(0, -1);
  const cut = prefix.lastIndexOf('_');
  return cut > 0 ? prefix.slice(0, cut + 1) : prefix;
}
