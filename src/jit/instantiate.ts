/** Makes instances, in the tier asked for: V8's own tier-up is off, so flags at the moment of compilation decide. */
import { withoutV8 } from '../wasm/v8-flags.ts';

/** Baseline functions are compiled by Liftoff when first called, optimised ones by TurboFan at once. */
export function instantiate(
  bytes: Uint8Array<ArrayBuffer>,
  imports: WebAssembly.Imports,
  optimised: boolean,
): WebAssembly.Instance {
  if (!optimised) return new WebAssembly.Instance(new WebAssembly.Module(bytes), imports);
  withoutV8('liftoff', true);
  withoutV8('wasm-lazy-compilation', true);
  try {
    return new WebAssembly.Instance(new WebAssembly.Module(bytes), imports);
  } finally {
    withoutV8('liftoff', false);
    withoutV8('wasm-lazy-compilation', false);
  }
}
