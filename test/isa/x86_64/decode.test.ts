/**
 * The decoder against iced-x86, an independent one: every row with random fields, and random bytes. Length, mnemonic
 * and operands must agree; where they rightly do not, the reason stands in `excused` below. How many: slice.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Code, CpuidFeature, Decoder as Iced, DecoderOptions, Formatter, FormatterSyntax, type Instruction as IcedInstruction, MemorySizeOptions, Mnemonic } from 'iced-x86';
import { Decoder, TOO_LONG, UNDEFINED } from '../../../src/isa/x86_64/decode.ts';
import { ENCODINGS } from '../../../src/isa/x86_64/declare.ts';
import { formatInsn, mnemonic } from '../../../src/isa/x86_64/format.ts';
import type { Insn } from '../../../src/isa/x86_64/insn.ts';
import '../../../src/isa/x86_64/instructions/index.ts';
import { encodeRandom, randomState } from './generate.ts';
import { Random } from './random.ts';
import { CASES, inSlice, partSeed, SEED, share, tell } from './slice.ts';

const PC = 0x1000_0000;
const decoder = new Decoder();
const hex = (b: Uint8Array): string => Array.from(b, (v) => v.toString(16).padStart(2, '0')).join(' ');

/** What iced calls an instruction where that is only another name. */
const SAME_NAME: Readonly<Record<string, readonly string[]>> = {
  nop: ['reservednop', 'prefetchit0', 'prefetchit1', 'cldemote'],
  jrcxz: ['jecxz'],
  wbinvd: ['wbnoinvd'],
  pcmpestri: ['pcmpestri64'],
  pcmpestrm: ['pcmpestrm64'],
  vpcmpestri: ['vpcmpestri64'],
  vpcmpestrm: ['vpcmpestrm64'],
};
/** Why a difference is right, or undefined. */
function excused(ours: Insn, theirs: Oracle): string | undefined {
  const name = mnemonic(ours);
  if (name === 'mov' && !theirs.valid && ours.enc.operands.some((o) => o.place === 'S')) return 'a segment register that does not exist: we decode it, and raise #UD';
  if (name === 'mov' && !theirs.valid && ours.enc.options.flow === 'stop') return 'a control or debug register that does not exist: we decode it, and raise #UD';
  if (theirs.name === 'pause' && name === 'xchg') return 'F3 41 90 exchanges with r8 on the processor (semantics.test.ts)';
  return undefined;
}

// ---- operands, as both print them ----

const formatter = new Formatter(FormatterSyntax.Intel);
formatter.memorySizeOptions = MemorySizeOptions.Never;
formatter.hexPrefix = '0x';
formatter.hexSuffix = '';
formatter.uppercaseHex = false;
formatter.addLeadingZeroToHexNumbers = false;
formatter.smallHexNumbersInDecimal = false;
formatter.branchLeadingZeros = false;
formatter.ripRelativeAddresses = true;
formatter.spaceAfterOperandSeparator = true;
formatter.usePseudoOps = false;

const PREFIX = /^(?:(?:lock|rep|repe|repne|xacquire|xrelease|bnd|notrack|data16|data64|addr32|hint-taken|hint-not-taken|[c-g]s) )*(\S+) ?/;
/** Operands that only iced spells out. */
const IMPLICIT = /^((movs|stos|lods|scas|cmps|ins|outs)[bwdq]|xlatb?|retf|nop)$/;
/** Without sizes, segments that do not matter, factors of one, and the x87's own first operand. */
function operandTexts(text: string): string[] {
  const name = PREFIX.exec(text)?.[1] ?? '';
  const list = text
    .replace(PREFIX, '')
    .replace(/\b(byte|word|dword|qword|tbyte|xmmword|ymmword|fword)? ?ptr /g, '')
    .replace(/\b(near|short|far)\b ?/g, '')
    .replace(/\b([fg])s:\[/g, '[$1s:')
    .replace(/\b[cdes]s:\[/g, '[')
    .replace(/\*1\b/g, '')
    .replace(/\*0x/g, '*')
    .replace(/st\(0\)/g, 'st')
    .split(/, ?/)
    .filter((o) => o !== '' && !(name.startsWith('f') && o === 'st'));
  return name === 'xchg' ? list.sort() : list;
}
const NUMBER = /[+-]?0x[0-9a-f]+|(?<![a-z0-9(])[+-]?\d+\b/g;
/** Numbers may differ in how their sign is shown: by a power of 2^8, 2^16, 2^32 or 2^64. */
function sameText(a: string, b: string): boolean {
  if (a === b) return true;
  if (a.replace(NUMBER, '#') !== b.replace(NUMBER, '#')) return false;
  const value = (text: string): bigint => (text.startsWith('-') ? -BigInt(text.slice(1)) : BigInt(text.replace('+', '')));
  const others = b.match(NUMBER) ?? [];
  return (a.match(NUMBER) ?? []).every((text, k) => {
    const difference = value(text) - value(others[k] as string);
    return difference === 0n || [8n, 16n, 32n, 64n].some((bits) => difference === 1n << bits || -difference === 1n << bits);
  });
}
function operandsAgree(ours: Insn, theirs: Oracle): boolean {
  const name = mnemonic(ours);
  if (IMPLICIT.test(name)) return true;
  if (name === 'lar' || name === 'lsl') return true; // the source is 16 bits of any register: iced names it in the operand size
  let a = operandTexts(formatInsn(ours));
  const b = operandTexts(theirs.text);
  if (b.length === 0 && name.startsWith('f')) a = a.filter((o) => o !== 'st(1)'); // the default
  // iced leaves out an implied XMM0, and the first of two equal operands of IMUL
  if (a.length === b.length + 1 && a.at(-1) === 'xmm0') a.pop();
  if (name.includes('maskmov') && /^[fg]s$/.test(b.at(-1) ?? '')) b.pop(); // the segment of rdi
  if (name === 'imul' && a.length === 3 && b.length === 2 && a[0] === a[1]) a.shift();
  return a.length === b.length && a.every((text, k) => sameText(text, b[k] as string));
}

interface Oracle {
  /** As iced prints it. */
  readonly text: string;
  readonly length: number;
  readonly name: string;
  readonly valid: boolean;
  readonly features: readonly string[];
}
function icedDecode(bytes: Uint8Array): Oracle {
  const iced = new Iced(64, bytes, DecoderOptions.None);
  let insn: IcedInstruction | undefined;
  try {
    iced.ip = BigInt(PC);
    insn = iced.decode();
    return { text: formatter.format(insn), length: insn.length, name: Mnemonic[insn.mnemonic]?.toLowerCase() ?? '?', valid: insn.code !== Code.INVALID, features: Array.from(insn.cpuidFeatures(), (f) => CpuidFeature[f] ?? '?') };
  } finally {
    insn?.free();
    iced.free();
  }
}
const agree = (ours: Insn, theirs: Oracle): boolean => theirs.valid && ours.length === theirs.length && (mnemonic(ours) === theirs.name || (SAME_NAME[mnemonic(ours)]?.includes(theirs.name) ?? false)) && operandsAgree(ours, theirs);

test('every row decodes as iced-x86 decodes it', (t) => {
  const started = performance.now();
  const work = { encodings: 0, cases: 0, mismatches: 0 };
  const problems: string[] = [];
  for (const row of ENCODINGS) {
    if (!inSlice(row)) continue;
    work.encodings++;
    work.cases += CASES;
    const random = new Random(SEED * 7919 + row.id);
    for (let n = 0; n < CASES; n++) {
      const { bytes } = encodeRandom(row, random, randomState(random));
      const ours = decoder.decode(bytes, 0, PC);
      const theirs = icedDecode(bytes);
      if (ours === undefined) problems.push(`${row.mnemonic} "${row.text}" ${hex(bytes)}: incomplete`);
      else if ((ours.enc === UNDEFINED || ours.enc === TOO_LONG) && !theirs.valid) continue; // a gather whose registers coincide; all prefixes at once
      else if (!agree(ours, theirs) && excused(ours, theirs) === undefined) problems.push(`${row.mnemonic} "${row.text}" ${hex(bytes)}: ${formatInsn(ours)} (${ours.length}), iced ${theirs.valid ? theirs.text : 'invalid'} (${theirs.length})`);
    }
  }
  tell(t, 'decoder', { ...work, mismatches: problems.length }, started);
  assert.equal(problems.length, 0, `${problems.length} differences:\n${problems.slice(0, Number(process.env['LUNAGATE_SHOWN'] ?? 60)).join('\n')}`);
});

/** Instruction sets we declare, in iced's names: of these, what iced knows we must know. */
const DECLARED = new Set(
  `INTEL8086 INTEL186 INTEL286 INTEL386 INTEL486 X64 CX8 CMPXCHG16B BMI1 BMI2 LZCNT POPCNT ADX MOVBE CMOV SYSCALL CPUID TSC RDTSCP RDPID RDRAND
  RDSEED FSGSBASE MULTIBYTENOP PAUSE CET_IBT PREFETCHW PREFETCHWT1 CLFSH CLFLUSHOPT CLWB MSR RDPMC FXSR
  FPU FPU287 FPU387 MMX SSE SSE2 SSE3 SSSE3 SSE4_1 SSE4_2 AVX AVX2 FMA F16C AES PCLMULQDQ SHA VAES VPCLMULQDQ XSAVE XSAVEC XSAVEOPT XSAVES`.split(/\s+/),
);
/** Not for user mode in 64-bit Linux, and #UD there or on AMD: bytes we need not know. */
const UNDECLARED: Readonly<Record<string, string>> = {
  sysenter: 'the 32-bit ABI\'s; #UD on AMD in 64-bit mode',
  sysexit: 'privileged',
  rsm: 'of system management mode',
  reservednop: '0F 0D with a register, #UD on AMD; the others we know as nop',
};
/** MOV to and from control registers ignores mod; iced reads on, we call mod ≠ 3 undefined: a signal either way. */
const SYSTEM_MOVE = /^(66 |67 |f2 |f3 |2e |36 |3e |26 |64 |65 |4[0-9a-f] )*0f 2[0-3] [0-9ab]/;

test('random bytes: length and mnemonic agree with iced-x86, nothing crashes', (t) => {
  const started = performance.now();
  const differences = new Map<string, string>();
  const byte = fc.oneof({ weight: 3, arbitrary: fc.nat(255) }, { weight: 2, arbitrary: fc.constantFrom(0x0f, 0x66, 0xf2, 0xf3, 0x48, 0x41, 0xc4, 0xc5, 0x38, 0x3a, 0xd9, 0xdd) });
  fc.assert(
    fc.property(fc.array(byte, { minLength: 1, maxLength: 20 }), (list) => {
      const bytes = Uint8Array.from(list);
      const ours = decoder.decode(bytes, 0, PC);
      const theirs = icedDecode(bytes);
      if (ours === undefined || ours.enc === UNDEFINED || ours.enc === TOO_LONG) {
        if (theirs.valid && theirs.features.every((f) => DECLARED.has(f)) && UNDECLARED[theirs.name] === undefined && !SYSTEM_MOVE.test(hex(bytes))) differences.set(`${theirs.name} is missing`, hex(bytes));
      } else if (!agree(ours, theirs) && excused(ours, theirs) === undefined) differences.set(`${mnemonic(ours)} (${ours.length}) for ${theirs.valid ? theirs.name : 'invalid'} (${theirs.length})`, `${hex(bytes)}: ${formatInsn(ours)} for ${theirs.text}`);
      if (ours !== undefined) formatInsn(ours);
    }),
    { numRuns: share(1000 * CASES), seed: partSeed },
  );
  tell(t, 'decoder on random bytes', { encodings: 0, cases: share(1000 * CASES), mismatches: differences.size }, started);
  assert.deepEqual([...differences].map(([k, v]) => `${k}: ${v}`), []);
});

test('LEA has no segment', () => {
  // fs and a REX that another prefix makes void
  const bytes = Uint8Array.of(0x64, 0x47, 0x48, 0x66, 0x8d, 0x66, 0x67);
  assert.ok(agree(decoder.decode(bytes, 0, PC) as Insn, icedDecode(bytes)));
});

test('bytes that end too early, and instructions beyond 15 bytes', () => {
  const random = new Random(SEED);
  for (const row of ENCODINGS) {
    const { bytes } = encodeRandom(row, random, randomState(random));
    const whole = decoder.decode(bytes, 0, PC);
    for (let n = 0; n < bytes.length; n++) assert.equal(decoder.decode(bytes.subarray(0, n), 0, PC), undefined, `${hex(bytes)} cut at ${n}`);
    assert.equal(whole?.length, bytes.length);
    const long = new Uint8Array(24).fill(0x2e);
    long.set(bytes, 16 - bytes.length);
    assert.equal(decoder.decode(long, 0, PC)?.enc, TOO_LONG);
    assert.notEqual(decoder.decode(long, 1, PC)?.enc, TOO_LONG);
  }
});

test('LOCK is refused where the manual forbids it', () => {
  for (const [bytes, valid] of [
    [[0xf0, 0x01, 0x03], true],
    [[0xf0, 0x01, 0xc3], false],
    [[0xf0, 0x03, 0x03], false],
    [[0xf0, 0x8b, 0x03], false],
    [[0xf0, 0x87, 0x03], true],
    [[0xf0, 0x0f, 0xba, 0x23, 1], false],
    [[0xf0, 0x0f, 0xba, 0x2b, 1], true],
    [[0xf0, 0x90], false],
  ] as const) {
    assert.equal(decoder.decode(Uint8Array.from(bytes), 0, PC)?.enc !== UNDEFINED, valid, hex(Uint8Array.from(bytes)));
  }
});
