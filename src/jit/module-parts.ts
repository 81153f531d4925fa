/** What every module of translated code shares: the two memories and the type of a region. */
import type { ModuleBuilder, ValType } from '../wasm/module-builder.ts';
import * as layout from './layout.ts';

/** (depth, hot parameter 0, hot parameter 1) → (hot result 0, hot result 1) */
export const FRAME_TYPE: { readonly params: readonly ValType[]; readonly results: readonly ValType[] } = {
  params: ['i32', 'i64', 'i64'],
  results: ['i64', 'i64'],
};

/**
 * `guestPages`: pages of 64 KiB of the guest's address space. The minimum is declared as 0: V8 takes a constant address
 * below it for safe and emits an access whose fault it would not recognise as a trap, and pages may be protected.
 */
export function importMemories(m: ModuleBuilder, guestPages: number): void {
  m.importMemory({ module: 'g', name: 'm', memory64: true, shared: true, initial: 0, maximum: guestPages });
  m.importMemory({
    module: 'g',
    name: 's',
    memory64: false,
    shared: false,
    initial: layout.STATE_PAGES,
    maximum: layout.STATE_PAGES,
  });
}
