/** Makes instances, in the tier asked for: V8's own tier-up is off, so flags at the moment of compilation decide. */
import { setV8Flag } from '../wasm/v8-flags.ts';

/** Baseline functions are compiled by Liftoff when first called, optimised ones by TurboFan at once. */
export function instantiate(
  bytes: Uint8Array<ArrayBuffer>,
  imports: WebAssembly.Imports,
  optimised: boolean,
): WebAssembly.Instance {
  if (!optimised) return new WebAssembly.Instance(new WebAssembly.Module(bytes), imports);
  setV8Flag('--no-liftoff');
  setV8Flag('--no-wasm-lazy-compilation');
  try {
    return new WebAssembly.Instance(new WebAssembly.Module(bytes), imports);
  } finally {
    setV8Flag('--liftoff');
    setV8Flag('--wasm-lazy-compilation');
  }
}
