/** Every row against the host CPU: random cases of each, as many as slice.ts says. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { ENCODINGS, type Encoding } from '../../../src/isa/x86_64/declare.ts';
import { generateCase, type GenerateOptions } from './generate.ts';
import { judgedAlone } from './judges.ts';
import { nativeAvailable, sameApproximations } from './native-executor.ts';
import { Random } from './random.ts';
import { CASES, inSlice, SEED, tell, type Work } from './slice.ts';
import { compare, type CompareOptions, decodeAll, describeCase, runInterpreted, runNative, runWasm } from './semantics.ts';

const SHOWN = 3;
/** One case in so many also runs as WebAssembly, by turns from V8's two compilers. */
const WASM_EVERY = Number(process.env['LUNAGATE_WASM_EVERY'] ?? 6);

const FLAG_BITS: Readonly<Record<string, number>> = { o: 0x800, s: 0x80, z: 0x40, a: 0x10, p: 4, c: 1 };
const flagBits = (letters = ''): number => [...letters].reduce((bits, f) => bits | (FLAG_BITS[f] ?? 0), 0);

/** Flags the manual leaves undefined are set as AMD's processors set them; on another host they cannot be judged. */
const CPU_INFO = readFileSync('/proc/cpuinfo', 'utf8');
const UNDEFINED_AS_AMD = CPU_INFO.includes('AuthenticAMD');
/** Whether Linux answers SGDT and its like instead of the processor. */
const UMIP = /^flags.* umip\b/m.test(CPU_INFO);

/** All MXCSR rounding modes, for what rounds to integers. */
const ROUNDING = [0x1f80, 0x3f80, 0x5f80, 0x7f80];
function optionsFor(row: Encoding): { generate: GenerateOptions; compare: CompareOptions } {
  const name = row.mnemonic;
  return {
    generate: {
      // the kernel, which does these, writes what it can before it faults
      faults: row.options.group !== 'umip',
      mxcsr: /^v?(round|cvt[sp][sd]2(si|dq|pi|ph))/.test(name) ? ROUNDING : [0x1f80],
    },
    compare: { ignoreFlags: UNDEFINED_AS_AMD ? 0 : flagBits(row.options.undefinedFlags), mxcsrMask: /^f?xsave/.test(name), ...(/^v?r(sqrt|cp)[ps]s$/.test(name) && !sameApproximations ? { tolerance: 1.5 / 4096 } : {}) },
  };
}

const empty = (): Work & { milliseconds: number } => ({ encodings: 0, cases: 0, mismatches: 0, milliseconds: 0 });

test('every row against the host CPU', { skip: nativeAvailable ? false : 'needs an x86-64 Linux host' }, (t) => {
  const failures: string[] = [];
  /** All rows, and those of two groups by themselves. */
  const work = { all: empty(), x87: empty(), fma: empty() };
  const started = performance.now();
  let cases = 0;
  let compiled = 0;
  for (const row of ENCODINGS) {
    if (!judgedAlone(row) || (row.options.group === 'umip' && !UMIP)) continue;
    if (!inSlice(row)) continue;
    const begun = performance.now();
    const casesBefore = cases;
    const failuresBefore = failures.length;
    const options = optionsFor(row);
    const random = new Random(SEED * 1_000_003 + row.id * 7919);
    let failed = 0;
    let own = 0;
    for (let n = 0; n < CASES && failed < SHOWN; n++) {
      const c = generateCase(row, random, options.generate);
      cases++;
      let text: string | undefined;
      try {
        const insns = decodeAll(c.bytes);
        const insn = insns[0];
        if (insn?.enc !== row) continue; // another row's bytes, e.g. nop for xchg eax, eax
        own++;
        // 16-bit double shifts by more than 16: the manual leaves the result open, and processors differ
        if (/^sh[lr]d$/.test(row.mnemonic) && insn.opSize === 16 && ((row.text.endsWith('ib') ? insn.imm : Number((c.state.gpr[1] as bigint) & 31n)) & 31) > 16) continue;
        const native = runNative(c);
        // AMD has one more MXCSR bit, which Intel refuses
        if ((native.state.fx[26] as number) & 2) continue;
        const interpreted = runInterpreted(c, insns);
        // Intel wants the memory operand of SHA instructions aligned, AMD and we do not
        if (row.options.cpuid === 'sha' && native.exception === 13 && interpreted.exception < 0) continue;
        // AMD reads the outer stack before it looks at the selector
        if (row.mnemonic === 'retf' && native.exception === 14 && interpreted.exception === 13) continue;
        // the segment whose limit tells the CPU it runs on: 0 with us
        if (row.mnemonic === 'lsl' && (interpreted.state.rflags & 0x40n) !== 0n && Number((interpreted.state.gpr[insn.reg] as bigint) & 0xffffn) === 0) continue;
        let differences = compare(native, interpreted, options.compare);
        if (differences.length === 0 && n % WASM_EVERY === row.id % WASM_EVERY && interpreted.fault !== true) {
          compiled++;
          setFlagsFromString(compiled & 1 ? '--liftoff' : '--no-liftoff');
          differences = compare(native, runWasm(c, insns), options.compare).map((d) => `WebAssembly (${compiled & 1 ? 'Liftoff' : 'TurboFan'}): ${d}`);
        }
        if (differences.length > 0) text = `${describeCase(c, insns)}\n  ${differences.join('\n  ')}`;
      } catch (e) {
        text = `${[...c.bytes].map((b) => b.toString(16).padStart(2, '0')).join(' ')}: ${(e as Error).stack}`;
      }
      if (text !== undefined) {
        failed++;
        failures.push(`${row.mnemonic} "${row.text}" case ${n}\n${text}`);
      }
    }
    const kinds = [work.all, ...(row.options.group === 'x87' ? [work.x87] : row.options.cpuid === 'fma' ? [work.fma] : [])];
    for (const kind of kinds) {
      kind.encodings++;
      kind.cases += cases - casesBefore;
      kind.mismatches += failures.length - failuresBefore;
      kind.milliseconds += performance.now() - begun;
    }
    if (own === 0 && failed === 0) failures.push(`${row.mnemonic} "${row.text}": no case decodes as this row`);
  }
  for (const [name, kind] of Object.entries(work)) tell(t, name, kind, name === 'all' ? started : performance.now() - kind.milliseconds);
  assert.ok(cases > 0, 'no row matches');
  assert.equal(failures.length, 0, `${failures.length} of ${cases} cases differ:\n\n${failures.slice(0, 40).join('\n\n')}`);
});
