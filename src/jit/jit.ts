/**
 * The code cache: guest pc → table slot → translated region, and the tiers.
 *
 * Baseline regions (Liftoff, small) count; what proves hot is translated anew, larger, by TurboFan, and takes over the slot.
 * What this file decides is when: what is there is in regions.ts and slots.ts, what is worth it in tiers.ts, how it is made in
 * translator.ts, and what earlier runs left in kept-code.ts.
 */
import type { HelperEnv } from '../ir/builder.ts';
import type { Frontend } from '../ir/frontend.ts';
import { type Counted, ForkNeeds, type SharedMemory } from './fork-needs.ts';
import { KeptCode, type KeptCodeHost } from './kept-code.ts';
import * as layout from './layout.ts';
import type { CodeSource, Extent } from './reach.ts';
import { type Region, Regions } from './regions.ts';
import { makeRuntime, type Runtime } from './runtime.ts';
import { Slots } from './slots.ts';
import { Tiers } from './tiers.ts';
import { type Translated, Translator } from './translator.ts';
import { costOf, Units } from './units.ts';

export interface JitHost extends KeptCodeHost {
  readonly code: CodeSource;
  /** Serve the system call whose number and arguments are in the registers; state.pc is the next instruction. */
  syscall(): void;
  /** A guest exception `code` at state.pc. */
  trap(code: number): void;
  /** state.pc is not executable. */
  fetchFault(pc: number): void;
  /** Signals or stop requests are pending. */
  poll(): void;
  /** Another thread has changed what this one does not know of yet; and: learn it. */
  readonly behind: boolean;
  sync(): void;
  /** As HelperEnv has it. */
  compareExchange(address: number, size: number, at: number): boolean;
  readonly processor?: NonNullable<HelperEnv['processor']>;
  /** Memory that forked children share with this process; undefined: there are none. */
  readonly sharedMemory?: () => SharedMemory;
  /** So many regions were translated since the last `save`. */
  unsaved?(count: number): void;
}

/** Thrown through guest code that nothing is to be on the stack of. */
const FULL = new Error('as much translated code as there may be');
/** Of the memory for code: what is kept when it is full. */
const KEPT_PART = 0.6;

const PHASE = Object.fromEntries(layout.PHASES.map((name, k) => [name, k])) as Record<(typeof layout.PHASES)[number], number>;

/** Regions compiled at once: what V8 needs while it compiles a module grows with their number, and children would inherit it. */
const READY_BATCH = 50;

export interface JitStatistics {
  /** Regions taken from packs. */
  kept: number;
  baseline: number;
  optimised: number;
  modules: number;
  instructions: number;
  /** Bytes of WebAssembly. */
  bytes: number;
  /** Times there was too much code, and some was dropped. */
  clearings: number;
}

export class Jit {
  readonly #host: JitHost;
  /** State memory. */
  readonly #words: Int32Array;
  /** What is being done, for a profile. */
  readonly #phase: Uint8Array;
  readonly #runtime: Runtime;
  readonly #slots: Slots;
  readonly #regions = new Regions();
  readonly #tiers: Tiers;
  readonly #translator: Translator;
  readonly #kept: KeptCode;
  readonly #units: Units;
  readonly #needs: ForkNeeds | undefined;
  readonly #pcIndex: number;
  #unsaved = 0;
  readonly statistics: JitStatistics = { kept: 0, baseline: 0, optimised: 0, modules: 0, instructions: 0, bytes: 0, clearings: 0 };

  /** `guestPages`: pages of 64 KiB `memory` was made with. */
  constructor(
    frontend: Frontend,
    memory: WebAssembly.Memory,
    guestPages: number,
    state: WebAssembly.Memory,
    host: JitHost,
  ) {
    this.#host = host;
    const words = new Int32Array(state.buffer);
    this.#words = words;
    this.#phase = new Uint8Array(state.buffer, layout.PHASE, 1);
    if (frontend.constants !== undefined) new Uint8Array(state.buffer).set(frontend.constants.bytes, frontend.constants.offset);
    const at = frontend.pcOffset >> 2;
    this.#pcIndex = at;
    this.#slots = new Slots(words);
    this.#tiers = new Tiers(words, {
      isOptimised: (pc) => this.#regions.at(pc)?.optimised === true,
      counterOf: (pc) => this.#regions.at(pc)?.counter ?? this.#kept.counter(pc) ?? -1,
    });
    this.#translator = new Translator({
      frontend,
      memory,
      guestPages,
      state,
      table: this.#slots.table,
      code: host.code,
      calls: {
        syscall: () => {
          const lo = words[at];
          const hi = words[at + 1];
          this.#phase[0] = PHASE.syscall;
          host.syscall();
          this.#phase[0] = PHASE.guest;
          return words[at] !== lo || words[at + 1] !== hi || this.#regions.takeOutdated() ? 1 : 0;
        },
        trap: (code) => host.trap(code),
      },
      compareExchange: (address, size, operands) => host.compareExchange(address, size, operands),
      processor: host.processor,
      slotOf: (pc) => this.#slotOf(pc),
      newCounters: (count) => this.#tiers.newCounters(count),
      isTranslated: (pc) => this.#regions.has(pc),
      newNumber: () => this.#regions.newNumber(),
      compiling: (tier, act) => this.#during(PHASE[tier], act),
    });
    this.#kept = new KeptCode(
      host,
      guestPages,
      { slots: this.#slots, tiers: this.#tiers, regions: this.#regions, translator: this.#translator },
      (bytes) => {
        this.statistics.modules++;
        this.statistics.bytes += bytes;
      },
    );
    this.#units = new Units(this.#regions, this.#slots, this.#tiers);
    this.#runtime = makeRuntime(
      frontend,
      layout.PENDING,
      {
        memory,
        state,
        table: this.#slots.table,
        resolve: () => this.#resolve(),
        resolveIndirect: () => this.#resolveIndirect(),
        spent: () => this.#spent(),
        poll: () => host.poll(),
      },
      guestPages,
    );
    this.#slots.begin(this.#runtime);
    this.#needs = host.sharedMemory && new ForkNeeds(words, host.sharedMemory);
  }

  /** Run the guest from state.pc until something throws. */
  run(): never {
    for (;;) {
      this.#phase[0] = PHASE.guest;
      try {
        return this.#runtime.run();
      } catch (error) {
        if (error !== FULL) throw error;
        this.#clearOut();
      }
    }
  }

  /** There is more code than there is to be. No guest code is on the stack. */
  #clearOut(): void {
    const share = this.#host.codeMemory;
    const emptied = (region: Region): void => this.#gone(region);
    this.statistics.clearings++;
    // Packs whose code goes will be back, without it.
    const modules = this.#kept.moduleBytes;
    if (this.#kept.cost > share / 2) this.#kept.displace(emptied);
    const others = Math.max(modules, this.#kept.cost);
    this.#units.clearOut(Math.max(0, share * KEPT_PART - others), emptied, (slot) => this.#kept.isReserved(slot));
  }
  /** To be called where state.pc and the registers are all there is to know. */
  #makeRoom(): void {
    if (this.#units.cost + this.#kept.cost > this.#host.codeMemory) throw FULL;
  }

  get pc(): number {
    return this.#number(this.#pcIndex);
  }
  /** The i64 at word `index` of state memory. */
  #number(index: number): number {
    return ((this.#words[index] as number) >>> 0) + (this.#words[index + 1] as number) * 4294967296;
  }

  /** Everything translated from [start, end) is forgotten; optimised code that is running is left at the end of the system call or poll. */
  invalidate(start: number, end: number): void {
    const first = Math.floor(start / 4096);
    const last = Math.floor((end - 1) / 4096);
    this.#kept.invalidate(first, last);
    this.#regions.drop(first, last, (region) => this.#gone(region));
  }
  /** Everything is forgotten (a change of mode). */
  invalidateAll(): void {
    this.#kept.leaveMode((region) => this.#gone(region));
    this.#regions.drop(0, Number.MAX_SAFE_INTEGER, (region) => this.#gone(region));
  }
  #gone({ pc, slot }: Region): void {
    this.#slots.empty(slot);
    this.#kept.slots(pc, (other) => this.#slots.empty(other));
  }
  /** As new, for the next program of execve: no code of the old one is on the stack, so that nothing refers to it. */
  reset(): void {
    this.#kept.clear();
    this.#units.clear();
    this.#slots.clear();
    this.#regions.clear();
    this.#tiers.clear();
    this.#needs?.clear();
  }

  /** Before the process ends or its image goes: what was translated is kept for other runs. */
  save(): void {
    this.#unsaved = 0;
    this.#needs?.say(this.#counted());
    this.#kept.save();
  }

  *#counted(): Iterable<Counted> {
    yield* this.#kept.counted();
    yield* this.#regions.counted();
  }

  /** Before a fork: what earlier children needed is made ready for the next. True if there was something. */
  beforeFork(): boolean {
    const said = this.#needs?.beforeFork(this.#tiers.countersEnd) ?? [];
    const pcs = said.filter((pc) => this.#tiers.executed(pc) === 0);
    if (pcs.length > 0) this.#during(PHASE.baseline, () => this.#makeReady(pcs));
    return pcs.length > 0;
  }
  /** After `beforeFork`. In a child what the parent translated is the parent's to save. */
  afterFork(child: boolean): void {
    this.#needs?.afterFork(child);
    if (child) this.#kept.afterFork();
  }

  /** Have regions compiled that this process has not run. */
  #makeReady(pcs: readonly number[]): void {
    const { precise } = this.#host;
    const objects = this.#kept.objects(pcs);
    for (let k = 0; k < objects.length; k += READY_BATCH) {
      const made = this.#translator.ready(objects.slice(k, k + READY_BATCH), precise);
      this.#enter(made, false);
      for (const region of made.regions) this.#spread(region.pc, region.slot);
      this.#count('kept', made);
    }
    for (const pc of pcs) {
      if (!this.#regions.has(pc)) this.#makeBaseline(pc, 'ready');
    }
  }

  /** The guest pc of a fault, from the stack of the RuntimeError it came as; undefined if not in translated code. */
  faultPc(stack: string): number | undefined {
    // "at r12 (wasm://wasm/0123abcd:wasm-function[3]:0x1f2)"; p and a pc in packs
    const hit = /\b([rp][0-9a-f]+) \(wasm:[^)]*:wasm-function\[\d+\]:0x([0-9a-f]+)\)/.exec(stack);
    if (hit === null) return undefined;
    const name = hit[1] as string;
    const region =
      name[0] === 'r'
        ? this.#regions.numbered(Number(name.slice(1)))
        : this.#kept.placedAt(Number.parseInt(name.slice(1), 16));
    if (region === undefined) return undefined;
    const offset = Number.parseInt(hit[2] as string, 16) - region.codeOffset;
    let pc: number | undefined;
    region.sites ??= this.#translator.sites(region);
    for (const s of region.sites) {
      if (s.offset > offset) break;
      pc = s.pc;
    }
    return pc ?? region.pc;
  }

  #slotOf(pc: number): number {
    let slot = this.#slots.find(pc);
    if (slot === undefined) {
      this.#kept.slots(pc, (kept) => {
        slot ??= kept;
      });
      slot ??= this.#slots.reserve(1);
      this.#slots.assign(pc, slot);
    }
    return slot;
  }

  /** Say that `phase` is being done. The guest is at it again after whatever comes out. */
  #during<T>(phase: number, act: () => T): T {
    const before = this.#phase[0] as number;
    this.#phase[0] = phase;
    const result = act();
    this.#phase[0] = before;
    return result;
  }

  /** `miss`: the slot for state.pc, translated; −1 if state changed instead. */
  #resolve(): number {
    const pc = this.pc;
    const known = this.#regions.at(pc);
    if (known !== undefined) this.#units.use(known);
    else this.#makeRoom();
    if (known === undefined && !this.#fromPack(pc) && !this.#translateBaseline(pc)) {
      this.#host.fetchFault(pc);
      return -1;
    }
    if (this.#host.behind) {
      // It may be this very code that is no longer what it was.
      this.#host.sync();
      return -1;
    }
    const slot = this.#slotOf(pc);
    this.#spread(pc, slot);
    this.#slots.remember(pc, slot);
    return slot;
  }

  /** `missIndirect`: also learn where the jump goes. */
  #resolveIndirect(): number {
    this.#tiers.learnJump(this.#number(layout.SITE >> 2), this.pc);
    return this.#resolve();
  }

  /** `budget`: state.pc is hot; also a safe point. */
  #spent(): number {
    const pc = this.pc;
    if (this.#words[layout.STALE >> 2] !== 0) {
      this.#words[layout.STALE >> 2] = 0;
      this.invalidate(pc, pc + 1);
      return -1;
    }
    const ranOut = this.#tiers.ranOut(pc);
    this.#host.poll();
    if (this.pc !== pc || this.#regions.takeOutdated()) return -1;
    if (this.#regions.at(pc)?.optimised !== true && !this.#promote(pc, ranOut)) {
      this.#host.fetchFault(pc);
      return -1;
    }
    const slot = this.#slotOf(pc);
    this.#spread(pc, slot);
    return slot;
  }

  /**
   * Baseline code at `pc` asks for more: it is translated anew if what that costs is likely to be saved. False if nothing is
   * executable there.
   */
  #promote(pc: number, ranOut: boolean): boolean {
    this.#makeRoom();
    const { extent, repeated } = this.#tiers.optimisedExtent(pc);
    const size = this.#translator.sizeOf(pc, extent);
    if (size === 0) return false;
    if (this.#tiers.isWorthOptimising(pc, size, ranOut)) {
      return this.#during(PHASE.optimised, () => this.#translateOptimised(pc, extent, repeated));
    }
    return this.#regions.has(pc) || this.#fromPack(pc) || this.#translateBaseline(pc);
  }

  /** Packs have slots of their own for the pcs they go to: put the region at `pc` there too. */
  #spread(pc: number, slot: number): void {
    this.#kept.slots(pc, (other) => this.#slots.copy(slot, other));
  }

  #fromPack(pc: number): boolean {
    return this.#during(PHASE.packs, () => {
      const region = this.#kept.find(pc);
      if (region === undefined) return false;
      // A slot given to this pc before its pack came holds nothing yet.
      const slot = this.#slotOf(pc);
      this.#slots.copy(region.slot, slot);
      this.#regions.enter({ ...region, slot });
      this.statistics.kept++;
      return true;
    });
  }

  #translateBaseline(pc: number): boolean {
    return this.#during(PHASE.baseline, () => this.#makeBaseline(pc, 'baseline'));
  }
  #makeBaseline(pc: number, tier: 'baseline' | 'ready'): boolean {
    const made = this.#translator.baseline(pc, this.#host.precise, tier);
    if (made === undefined) return false;
    this.#enter(made, false);
    for (const object of made.objects) this.#kept.add(object);
    this.#count('baseline', made);
    this.#unsaved += made.objects.length;
    this.#host.unsaved?.(this.#unsaved);
    return true;
  }

  #translateOptimised(pc: number, extent: Extent, repeated: Extent): boolean {
    const made = this.#translator.optimised(pc, extent, repeated, this.#host.precise);
    if (made === undefined) return false;
    this.#enter(made, true);
    for (const region of made.regions) this.#spread(region.pc, region.slot);
    this.#count('optimised', made);
    return true;
  }

  #enter({ regions, slots, bytes }: Translated, optimised: boolean): void {
    for (const region of regions) this.#regions.enter(region);
    this.#units.add({ regions, slots, optimised, cost: costOf(bytes, optimised) });
  }

  #count(kind: 'kept' | 'baseline' | 'optimised', { regions, instructions, bytes }: Translated): void {
    const s = this.statistics;
    s[kind] += kind === 'optimised' ? 1 : regions.length;
    s.modules++;
    s.instructions += kind === 'kept' ? 0 : instructions;
    s.bytes += bytes;
  }

  /** The tier of the code at `pc` now. */
  tier(pc: number): 'baseline' | 'optimised' | undefined {
    const region = this.#regions.at(pc) ?? this.#kept.placedAt(pc);
    return region && (region.optimised ? 'optimised' : 'baseline');
  }

  /** How the code at `pc` is translated now, or would be: see describe-region.ts. */
  describe(pc: number): string {
    const region = this.#regions.at(pc) ?? this.#kept.placedAt(pc);
    const head = `region 0x${pc.toString(16)}: ${region === undefined ? 'not translated yet' : region.optimised ? 'optimised' : `baseline, entered ${this.#tiers.executed(pc)} times`}`;
    return `${head}\n${this.#translator.describe(pc, region, this.#host.precise)}`;
  }
}
