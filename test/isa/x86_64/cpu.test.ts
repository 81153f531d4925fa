/** GuestCpu over state memory, and what CPUID tells. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { X86Cpu } from '../../../src/isa/x86_64/cpu.ts';
import { STATE } from '../../../src/isa/x86_64/cpu-state.ts';
import { CpuModel, CpuModelError, cpuHelp, cpuModel, FEATURES, LEVELS, parseCpuModel } from '../../../src/isa/x86_64/cpuid.ts';
import { Decoder } from '../../../src/isa/x86_64/decode.ts';
import { ENCODINGS } from '../../../src/isa/x86_64/declare.ts';
import { CC } from '../../../src/isa/x86_64/flags.ts';
import '../../../src/isa/x86_64/instructions/index.ts';
import { SyscallFrame } from '../../../src/kernel/ports.ts';

function cpu(): { cpu: X86Cpu; view: DataView } {
  const buffer = new ArrayBuffer(65536);
  const made = new X86Cpu(buffer);
  made.reset();
  return { cpu: made, view: new DataView(buffer) };
}

test('every listed register can be read and written', () => {
  const { cpu: c } = cpu();
  for (const name of c.registerNames) {
    const value = name === 'eflags' ? 0x202n : name === 'fcw' ? 0x37fn : 0x12n;
    assert.equal(c.setRegister(name, value), true, name);
    assert.equal(c.getRegister(name), name === 'eflags' ? 0x202n : value, name);
  }
  assert.equal(c.getRegister('xyz'), undefined);
  assert.equal(c.setRegister('xyz', 1n), false);
});

test('64-bit values are exact, negative ones wrap', () => {
  const { cpu: c } = cpu();
  c.setRegister('r15', -1n);
  assert.equal(c.getRegister('r15'), 0xffff_ffff_ffff_ffffn);
  c.setSyscallResult(-38);
  assert.equal(c.getRegister('rax'), BigInt.asUintN(64, -38n));
  c.setSyscallResult(0x1234_5678_9abc_def0n);
  assert.equal(c.getRegister('rax'), 0x1234_5678_9abc_def0n);
  c.setSyscallResult(2 ** 40 + 7);
  assert.equal(c.getRegister('rax'), 2n ** 40n + 7n);
  c.pc = 0x3_1234_5678;
  assert.equal(c.getRegister('rip'), 0x3_1234_5678n);
  c.sp = 0x2_ffff_fff0;
  assert.equal(c.getRegister('rsp'), 0x2_ffff_fff0n);
});

test('flags come from what was recorded, and what is written is read back', () => {
  const { cpu: c, view } = cpu();
  view.setInt32(STATE.ccOp, CC.sub + 2, true); // cmp of 32 bits: 1 with 2
  view.setBigUint64(STATE.ccA, 1n, true);
  view.setBigUint64(STATE.ccB, 2n, true);
  assert.equal(c.eflags, 0x202 | 0x1 | 0x4 | 0x10 | 0x80); // CF PF AF SF
  c.eflags = 0x7fffff;
  assert.equal(c.eflags, 0x202 | 0x8d5 | 0x400 | 0x100 | 0x4000 | 0x40000 | 0x200000);
  c.eflags = 0;
  assert.equal(c.eflags, 0x202);
});

test('system-call arguments in the order of the ABI', () => {
  const { cpu: c } = cpu();
  ['rdi', 'rsi', 'rdx', 'r10', 'r8', 'r9'].forEach((name, k) => c.setRegister(name, BigInt(k + 1) | (0xf0n << 56n)));
  c.setRegister('rax', 0xffff_ffff_0000_0101n);
  const frame = new SyscallFrame();
  c.loadSyscall(frame);
  assert.equal(frame.nr, 257); // the kernel looks at eax
  assert.deepEqual([...frame.u64], [1n, 2n, 3n, 4n, 5n, 6n].map((n) => n | (0xf0n << 56n)).concat([0n, 0n]));
});

test('vector registers', () => {
  const { cpu: c } = cpu();
  const bytes = Uint8Array.from({ length: 16 }, (_, k) => k + 1);
  c.setVector(3, bytes);
  c.setVector(3, bytes.toReversed(), true);
  assert.deepEqual([...c.getVector(3)], [...bytes]);
  assert.deepEqual([...c.getVector(3, true)], [...bytes.toReversed()]);
  assert.throws(() => c.getVector(16), /no vector register 16/);
});

test('CPUID claims exactly the features of the model', () => {
  const v3 = new CpuModel(LEVELS['x86-64-v3'] as readonly string[]);
  const v2 = new CpuModel(LEVELS['x86-64-v2'] as readonly string[]);
  const AVX2 = 1 << 5;
  assert.notEqual(v3.leaf(7, 0)[1] & AVX2, 0);
  assert.equal(v2.leaf(7, 0)[1] & AVX2, 0);
  assert.equal(v2.leaf(1, 0)[2] & (1 << 27), 0, 'OSXSAVE');
  // SSE3 SSSE3 CX16 SSE4.1 SSE4.2 POPCNT, and nothing more
  assert.equal(v2.leaf(1, 0)[2] >>> 0, (1 | (1 << 9) | (1 << 13) | (1 << 19) | (1 << 20) | (1 << 23)) >>> 0);
  assert.throws(() => new CpuModel(['avx1024']), /unknown CPU feature "avx1024"/);
  assert.equal(cpuModel.leaf(0, 0)[0], 13);
  const brand = [2, 3, 4].flatMap((k) => cpuModel.leaf(0x80000000 + k, 0).flatMap((w) => [w & 255, (w >> 8) & 255, (w >> 16) & 255, (w >> 24) & 255]));
  assert.match(String.fromCharCode(...brand), /^lunagate/);
});

test('-cpu: levels, features with what they need, names of other tools', () => {
  const has = (text: string, ...features: string[]): boolean[] => features.map((f) => parseCpuModel(text).has(f));
  assert.deepEqual(has('x86-64-v1', 'sse2', 'sse3'), [true, false]);
  assert.deepEqual(has('x86-64-v2,+aes,-popcnt', 'aes', 'popcnt', 'sse4.2', 'avx'), [true, false, true, false]);
  assert.deepEqual(has('x86-64-v2,+avx2', 'avx2', 'avx', 'xsave', 'osxsave', 'fma'), [true, true, true, true, false]);
  assert.deepEqual(has('x86-64-v3,-avx', 'avx', 'avx2', 'fma', 'f16c', 'xsave', 'bmi2'), [false, false, false, false, true, true]);
  assert.deepEqual(has('x86-64-v3,xsave=off', 'xsave', 'osxsave', 'avx2', 'movbe'), [false, false, false, true]);
  assert.deepEqual(has('max,-sse4_1', 'sse4.1', 'sse4.2', 'ssse3', 'avx', 'adx'), [false, false, true, false, true]);
  assert.deepEqual(has('X86-64-v1, sha-ni=on,+abm', 'sha', 'lzcnt'), [true, true]);
  assert.equal(parseCpuModel('max').key, new CpuModel(Object.keys(FEATURES)).key);
  for (const [text, message] of [
    ['x86-64-v4', /there is no AVX-512; the highest level is x86-64-v3/], ['pentium', /no CPU "pentium"; there are x86-64-v1, x86-64-v2, x86-64-v3, max/],
    ['max,+avx512f', /no feature "avx512f"; -cpu help lists them/], ['max,aes', /"aes" is not \+FEATURE/], ['max,-sse2', /every x86-64 processor has sse2/],
  ] as const) assert.throws(() => parseCpuModel(text), (e) => e instanceof CpuModelError && e.exitStatus === 125 && message.test(e.message));
  for (const name of [...Object.keys(LEVELS), 'aes', 'vpclmulqdq']) assert.match(cpuHelp(), new RegExp(`\\b${name}\\b`));
});

test('XSAVE area as CPUID describes it: 576 bytes, with AVX 832', () => {
  const v3 = parseCpuModel('x86-64-v3,+xsavec');
  assert.deepEqual([v3.xcr0, ...v3.leaf(13, 0)], [7, 7, 832, 832, 0]);
  assert.deepEqual(v3.leaf(13, 1).slice(0, 2), [2, 832]);
  assert.deepEqual(v3.leaf(13, 2), [256, 576, 0, 0]);
  assert.deepEqual(parseCpuModel('x86-64-v2,+xsave').leaf(13, 0), [3, 576, 576, 0]);
  assert.deepEqual(parseCpuModel('x86-64-v2').leaf(13, 0), [0, 0, 0, 0]);
});

test('every row that asks for a CPU feature names a known one', () => {
  const unknown = ENCODINGS.filter((row) => [row.options.cpuid, row.options.needs].some((f) => f !== undefined && FEATURES[f] === undefined));
  assert.deepEqual(unknown.map((row) => `${row.mnemonic}: ${row.options.cpuid}`), []);
});

test('a row whose feature is off does not decode: TZCNT is then BSF with an ignored prefix', () => {
  const bytes = Uint8Array.from([0xf3, 0x0f, 0xbc, 0xc3]);
  const v2 = new CpuModel(LEVELS['x86-64-v2'] as readonly string[]);
  assert.equal(new Decoder().decode(bytes, 0, 0)?.enc.mnemonic, 'tzcnt');
  assert.equal(new Decoder((f) => v2.has(f)).decode(bytes, 0, 0)?.enc.mnemonic, 'bsf');
});
