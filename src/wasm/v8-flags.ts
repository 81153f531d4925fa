/**
 * Choosing V8's compiler while it runs, by its flags. They are the process's, whichever thread sets them: each is in force as
 * long as any thread holds it, or one thread's end would take it from another that compiles.
 *
 * Not imported from node:v8: that module loads Node's streams, which costs start-up time, and a start-up snapshot that
 * holds them cannot start Workers.
 */

let setter = (flag: string): void => process.getBuiltinModule('node:v8').setFlagsFromString(flag);

const HOLDABLE = ['liftoff', 'wasm-lazy-compilation'] as const;
/** A spin lock, then the number of holders of each. */
let words = new Int32Array(1 + HOLDABLE.length);
let first = 0;

/** The engine has a quicker way (host/ffi.ts). */
export function setV8FlagsBy(set: (flag: string) => void): void {
  setter = set;
}
/** Count holders in `shared` from word `at` on. */
export function shareV8Flags(shared: Int32Array, at: number): void {
  words = shared as typeof words;
  first = at;
}

/** Switch a feature of V8 off, or leave it to the other threads again, for what is compiled from now on. */
export function withoutV8(feature: (typeof HOLDABLE)[number], hold: boolean): void {
  const count = first + 1 + HOLDABLE.indexOf(feature);
  // Held for a microsecond, and no thread is stopped here.
  while (Atomics.compareExchange(words, first, 0, 1) !== 0);
  const holders = (words[count] as number) + (hold ? 1 : -1);
  words[count] = holders;
  if (holders === (hold ? 1 : 0)) setter(hold ? `--no-${feature}` : `--${feature}`);
  Atomics.store(words, first, 0);
}
