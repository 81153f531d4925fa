/** Executable guest bytes for the decoder: pages copied once, dropped when the address space says they changed. */
import type { GuestMemory } from '../kernel/ports.ts';
import type { CodeSource } from './reach.ts';

const PAGE = 4096;
/** Bytes of the next page that belong to a window, so that an instruction across the border is whole. */
const OVERLAP = 16;
const PROT_EXEC = 4;
/** Pages that are held at most: 16 MiB. */
const MOST = 4096;

export class CodePages implements CodeSource {
  readonly #memory: GuestMemory;
  readonly #protAt: (addr: number) => number;
  readonly #isVolatile: (addr: number) => boolean;
  readonly #pages = new Map<number, Uint8Array>();

  /**
   * `protAt`: the guest's PROT_ bits of an address, 0 if unmapped. `isVolatile`: code there may change without a system
   * call, because it can be written where it is or through another mapping.
   */
  constructor(memory: GuestMemory, protAt: (addr: number) => number, isVolatile: (addr: number) => boolean) {
    this.#memory = memory;
    this.#protAt = protAt;
    this.#isVolatile = isVolatile;
  }

  window(pc: number): { bytes: Uint8Array; at: number; volatile: boolean } | undefined {
    if (!(pc >= 0 && pc < this.#memory.size)) return undefined;
    const page = Math.floor(pc / PAGE);
    const at = pc - page * PAGE;
    let bytes = this.#pages.get(page);
    let volatile = false;
    if (bytes === undefined) {
      const prot = this.#protAt(pc);
      if ((prot & PROT_EXEC) === 0) return undefined;
      const next = (page + 1) * PAGE;
      const more = next < this.#memory.size && (this.#protAt(next) & PROT_EXEC) !== 0 ? OVERLAP : 0;
      bytes = this.#memory.readPartial(page * PAGE, PAGE + more);
      if (bytes.length === 0) return undefined;
      volatile = this.#isVolatile(pc) || (more > 0 && this.#isVolatile(next));
      if (!volatile) {
        if (this.#pages.size >= MOST) this.#pages.clear();
        this.#pages.set(page, bytes);
      }
    }
    return { bytes, at, volatile };
  }

  /** Forget what lies in [start, end), and the page before, whose window reaches into it. */
  drop(start: number, end: number): void {
    const first = Math.floor(start / PAGE) - 1;
    const last = Math.floor((end - 1) / PAGE);
    if (last - first < this.#pages.size) for (let p = first; p <= last; p++) this.#pages.delete(p);
    else for (const p of [...this.#pages.keys()]) if (p >= first && p <= last) this.#pages.delete(p);
  }
  clear(): void {
    this.#pages.clear();
  }
}
