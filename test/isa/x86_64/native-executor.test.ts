import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODE, DATA, DATA_READ_ONLY, nativeAvailable, nativeExecutor, newState, XMM } from './native-executor.ts';

const skip = nativeAvailable ? false : 'needs an x86-64 Linux host';
const hex = (s: string): Uint8Array => Uint8Array.from(s.split(' ').map((b) => Number.parseInt(b, 16)));

test('every register goes in and comes out', { skip }, () => {
  const native = nativeExecutor();
  const input = newState();
  for (let k = 0; k < 16; k++) input.gpr[k] = 0x1111_2222_3333_0000n + BigInt(k);
  input.rflags = 0x8d5n | 0x202n;
  for (let k = XMM; k < XMM + 256; k++) input.fx[k] = k & 255;
  for (let k = 0; k < 256; k++) input.high[k] = 255 - k;
  const out = native.run(hex('90'), input);
  assert.equal(out.signal, 0);
  assert.deepEqual(out.gpr, input.gpr);
  assert.equal(out.rflags, input.rflags);
  assert.deepEqual(out.fx.slice(XMM, XMM + 256), input.fx.slice(XMM, XMM + 256));
  if (native.hasAvx) assert.deepEqual(out.high, input.high);
});

test('an instruction works on registers, flags, vectors and memory', { skip }, () => {
  const native = nativeExecutor();
  const input = newState();
  input.gpr[0] = 0xffff_ffff_ffff_ffffn;
  input.gpr[3] = BigInt(DATA + 16);
  native.data[16] = 1;
  native.data.fill(0, 17, 32);
  const add = native.run(hex('48 03 03'), input); // add rax, [rbx]
  assert.equal(add.gpr[0], 0n);
  assert.equal(add.rflags & 0x8d5n, 0x55n);
  input.fx.fill(0x7f, XMM, XMM + 32);
  const paddb = native.run(hex('66 0f fc c1'), input); // paddb xmm0, xmm1
  assert.equal(paddb.fx[XMM], 0xfe);
  assert.equal(paddb.rip, CODE + 0x804);
});

test('faults are reported, not died of', { skip }, () => {
  const native = nativeExecutor();
  const input = newState();
  input.gpr[3] = 0x500n;
  input.gpr[1] = 7n;
  const segv = native.run(hex('ff c1 48 8b 03'), input); // inc ecx; mov rax, [rbx]
  assert.deepEqual([segv.signal, segv.trapNumber, segv.siAddr, segv.rip, segv.gpr[1]], [11, 14, 0x500n, CODE + 0x802, 8n]);
  const ill = native.run(hex('0f 0b'), input);
  assert.deepEqual([ill.signal, ill.rip], [4, CODE + 0x800]);
  const fpe = native.run(hex('31 c9 f7 f1'), input); // xor ecx, ecx; div ecx
  assert.deepEqual([fpe.signal, fpe.trapNumber, fpe.rip], [8, 0, CODE + 0x802]);
  const trap = native.run(hex('cc'), input);
  assert.deepEqual([trap.signal, trap.rip], [5, CODE + 0x801]);
  input.gpr[3] = BigInt(DATA_READ_ONLY);
  const readOnly = native.run(hex('48 89 03'), input); // mov [rbx], rax
  assert.deepEqual([readOnly.signal, readOnly.siAddr], [11, BigInt(DATA_READ_ONLY)]);
  input.gpr[3] = BigInt(DATA + 1);
  const unaligned = native.run(hex('0f 28 03'), input); // movaps xmm0, [rbx]
  assert.deepEqual([unaligned.signal, unaligned.trapNumber], [11, 13]);
  input.gpr[4] = 3n; // no stack at all
  assert.equal(native.run(hex('50'), input).signal, 11);
});

test("V8's own traps still work after the handler is installed", { skip }, () => {
  nativeExecutor();
  // (module (memory 1) (func (export "f") (result i32) i32.const -4 i32.load))
  const module = hex('00 61 73 6d 01 00 00 00 01 05 01 60 00 01 7f 03 02 01 00 05 03 01 00 01 07 05 01 01 66 00 00 0a 09 01 07 00 41 7c 28 02 00 0b');
  const { f } = new WebAssembly.Instance(new WebAssembly.Module(module as Uint8Array<ArrayBuffer>)).exports as { f: () => number };
  assert.throws(() => f(), /memory access out of bounds/);
});
