/** Makes instances, in the tier asked for: V8's own tier-up is off, so flags at the moment of compilation decide. */
import { withoutV8 } from '../wasm/v8-flags.ts';

/** Functions are compiled by Liftoff when first called (`baseline`) or at once (`ready`), or by TurboFan at once (`optimised`). */
export function instantiate(
  bytes: Uint8Array<ArrayBuffer>,
  imports: WebAssembly.Imports,
  tier: 'baseline' | 'ready' | 'optimised',
): WebAssembly.Instance {
  if (tier === 'baseline') return new WebAssembly.Instance(new WebAssembly.Module(bytes), imports);
  if (tier === 'optimised') withoutV8('liftoff', true);
  withoutV8('wasm-lazy-compilation', true);
  try {
    return new WebAssembly.Instance(new WebAssembly.Module(bytes), imports);
  } finally {
    if (tier === 'optimised') withoutV8('liftoff', false);
    withoutV8('wasm-lazy-compilation', false);
  }
}
