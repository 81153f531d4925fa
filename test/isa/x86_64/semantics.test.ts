/**
 * Every row against the host CPU: a seeded slice of random cases each. LUNAGATE_CASES=n runs n cases a row (2000 for the
 * nightly form), LUNAGATE_SEED=n another seed, LUNAGATE_ROWS=regex only the rows whose mnemonic or opcode matches.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { ENCODINGS, type Encoding } from '../../../src/isa/x86_64/declare.ts';
import { generateCase, type GenerateOptions } from './generate.ts';
import { nativeAvailable, sameApproximations } from './native-executor.ts';
import { Random } from './random.ts';
import { compare, type CompareOptions, decodeAll, describeCase, runInterpreted, runNative, runWasm } from './semantics.ts';

const CASES = Number(process.env['LUNAGATE_CASES'] ?? 12);
const SEED = Number(process.env['LUNAGATE_SEED'] ?? 1);
const ROWS = new RegExp(process.env['LUNAGATE_ROWS'] ?? '');
const SHOWN = 3;
/** One case in so many also runs as WebAssembly, by turns from V8's two compilers. */
const WASM_EVERY = Number(process.env['LUNAGATE_WASM_EVERY'] ?? 6);

const FLAG_BITS: Readonly<Record<string, number>> = { o: 0x800, s: 0x80, z: 0x40, a: 0x10, p: 4, c: 1 };
const flagBits = (letters = ''): number => [...letters].reduce((bits, f) => bits | (FLAG_BITS[f] ?? 0), 0);

/** Flags the manual leaves undefined are set as AMD's processors set them; on another host they cannot be judged. */
const UNDEFINED_AS_AMD = readFileSync('/proc/cpuinfo', 'utf8').includes('AuthenticAMD');

/** All MXCSR rounding modes, for what rounds to integers. */
const ROUNDING = [0x1f80, 0x3f80, 0x5f80, 0x7f80];
function optionsFor(row: Encoding): { generate: GenerateOptions; compare: CompareOptions } {
  const name = row.mnemonic;
  return {
    generate: { mxcsr: /^v?(round|cvt[sp][sd]2(si|dq|pi|ph))/.test(name) ? ROUNDING : [0x1f80] },
    compare: { ignoreFlags: UNDEFINED_AS_AMD ? 0 : flagBits(row.options.undefinedFlags), mxcsrMask: /^f?xsave/.test(name), ...(/^v?r(sqrt|cp)[ps]s$/.test(name) && !sameApproximations ? { tolerance: 1.5 / 4096 } : {}) },
  };
}

test('every row against the host CPU', { skip: nativeAvailable ? false : 'needs an x86-64 Linux host' }, () => {
  const failures: string[] = [];
  let cases = 0;
  let compiled = 0;
  for (const row of ENCODINGS) {
    // near calls and returns are comparable after all: their targets are in the int3 filler
    const transfers = row.options.untestable === 'transfers control' && ['call', 'callIndirect', 'indirect', 'ret'].includes(row.options.flow ?? '') && /^(FF \/[24]|E8 cz|C3|C2 iw)$/.test(row.text);
    if (row.options.untestable !== undefined && !transfers) continue;
    if (row.mnemonic === 'int1') continue; // hypervisors report the address before or after it
    if (!ROWS.test(`${row.mnemonic} ${row.text}`)) continue;
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
    if (own === 0 && failed === 0) failures.push(`${row.mnemonic} "${row.text}": no case decodes as this row`);
  }
  assert.ok(cases > 0, 'no row matches');
  assert.equal(failures.length, 0, `${failures.length} of ${cases} cases differ:\n\n${failures.slice(0, 40).join('\n\n')}`);
});
