/** Makes instances, in the tier asked for: V8's own tier-up is off, so flags at the moment of compilation decide. */
import { setFlagsFromString } from 'node:v8';

/** Baseline functions are compiled by Liftoff when first called, optimised ones by TurboFan at once. */
export function instantiate(
  bytes: Uint8Array<ArrayBuffer>,
  imports: WebAssembly.Imports,
  optimised: boolean,
): WebAssembly.Instance {
  if (!optimised) return new WebAssembly.Instance(new WebAssembly.Module(bytes), imports);
  setFlagsFromString('--no-liftoff');
  setFlagsFromString('--no-wasm-lazy-compilation');
  try {
    return new WebAssembly.Instance(new WebAssembly.Module(bytes), imports);
  } finally {
    setFlagsFromString('--liftoff');
    setFlagsFromString('--wasm-lazy-compilation');
  }
}
