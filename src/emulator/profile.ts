/**
 * `--profile`: where the time of the first process's first thread goes. A thread that consists of machine code notes each
 * millisecond which of its phases the engine is in, and the guest's pc as translated code last wrote it to state memory: at
 * each call, return and jump between regions, so that it tells the function, not the instruction. The guest sees nothing
 * of it but one more entry in /proc/self/task. Time is the clock's: waiting in a system call counts.
 */
import type { Backtracer } from '../debug/backtrace.ts';
import type { Machine } from '../host/machine.ts';
import type { Jit } from '../jit/jit.ts';
import * as layout from '../jit/layout.ts';

const MILLISECOND = 1_000_000;
/** Functions listed. */
const MOST = 25;

/** What a phase is, for people. */
const TITLES: Record<(typeof layout.PHASES)[number], string> = {
  guest: "guest code, with V8's lazy compilation of baseline code",
  baseline: 'translation: baseline',
  optimised: 'translation: optimised, until V8 has it',
  'baseline V8': 'V8: modules of baseline code',
  'optimised V8': 'V8: TurboFan',
  packs: 'kept translations: reading and linking',
  syscall: 'system calls',
  intercepted: 'system calls with rules, hooks or logs',
};

export class Profile {
  readonly #samples: BigInt64Array;
  readonly #count: Int32Array;
  readonly #jit: Jit;
  readonly #names: Backtracer;

  constructor(machine: Machine, pcOffset: number, jit: Jit, names: Backtracer) {
    const at = machine.stateAddress;
    const { count, samples } = machine.host.sample(at + pcOffset, at + layout.PHASE, MILLISECOND);
    this.#count = count;
    this.#samples = samples;
    this.#jit = jit;
    this.#names = names;
  }

  report(): string {
    const taken = this.#count[0] as number;
    const n = Math.min(taken, this.#samples.length);
    const phases = new Float64Array(layout.PHASES.length);
    const functions = new Map<string, { all: number; optimised: number }>();
    const known = new Map<number, { name: string; optimised: boolean }>();
    for (let k = 0; k < n; k++) {
      const sample = this.#samples[k] as bigint;
      const phase = Number(BigInt.asUintN(8, sample >> 56n));
      phases[phase] = (phases[phase] ?? 0) + 1;
      if (layout.PHASES[phase] !== 'guest') continue;
      const pc = Number(BigInt.asUintN(56, sample));
      let place = known.get(pc);
      if (place === undefined) {
        place = { name: this.#name(pc), optimised: this.#jit.tier(pc) === 'optimised' };
        known.set(pc, place);
      }
      const f = functions.get(place.name) ?? { all: 0, optimised: 0 };
      f.all++;
      if (place.optimised) f.optimised++;
      functions.set(place.name, f);
    }
    const s = this.#jit.statistics;
    const percent = (x: number): string => `${((100 * x) / Math.max(1, n)).toFixed(1).padStart(5)} %`;
    const lines = [`profile: ${taken} samples, one a millisecond${n < taken ? `; the last ${n} count` : ''}`];
    layout.PHASES.forEach((name, k) => {
      if ((phases[k] as number) > 0) lines.push(`${percent(phases[k] as number)}  ${TITLES[name]}`);
    });
    lines.push(
      `translated: ${s.baseline} baseline and ${s.optimised} optimised regions (${s.instructions} instructions), ${s.kept} kept ones taken, ` +
        `${s.modules} modules of ${s.bytes} bytes, cleared out ${s.clearings} times`,
      'guest code by function (in brackets: how much of it in optimised regions)',
    );
    const sorted = [...functions].sort((a, b) => b[1].all - a[1].all);
    for (const [name, f] of sorted.slice(0, MOST))
      lines.push(`${percent(f.all)}  ${name} (${Math.round((100 * f.optimised) / f.all)} %)`);
    return `${lines.join('\n')}\n`;
  }

  #name(pc: number): string {
    const { symbol, file } = this.#names.name(pc);
    const where = file === undefined ? 'no file' : file.slice(file.lastIndexOf('/') + 1);
    return symbol === undefined ? `0x${(pc - (pc % 4096)).toString(16)}… in ${where}` : `${symbol} in ${where}`;
  }
}
