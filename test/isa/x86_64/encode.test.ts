/** Assembler and formatter are each other's inverse: over random encodings of every row, and some by hand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Decoder, UNDEFINED } from '../../../src/isa/x86_64/decode.ts';
import { ENCODINGS } from '../../../src/isa/x86_64/declare.ts';
import { assemble, assembleAll } from '../../../src/isa/x86_64/encode.ts';
import { formatInsn, hexBytes } from '../../../src/isa/x86_64/format.ts';
import '../../../src/isa/x86_64/instructions/index.ts';
import { encodeRandom, randomState } from './generate.ts';
import { Random } from './random.ts';

const PC = 0x1000_0000;
const SEED = Number(process.env['LUNAGATE_SEED'] ?? 1);
const CASES = Math.ceil(Number(process.env['LUNAGATE_CASES'] ?? 12) / 4);

test('bytes as the manual and other assemblers give them', () => {
  for (const [text, bytes] of [
    ['mov rax, qword ptr [rsp+0x8]', '48 8b 44 24 08'],
    ['add eax, 1', '83 c0 01'],
    ['lock cmpxchg dword ptr [rdi], esi', 'f0 0f b1 37'],
    ['movzx eax, ah', '0f b6 c4'],
    ['mov sil, 5', '40 b6 05'],
    ['rep movsb', 'f3 a4'],
    ['mov rax, qword ptr [fs:0x28]', '64 48 8b 04 25 28 00 00 00'],
    ['mov r10, 0x1122334455667788', '49 ba 88 77 66 55 44 33 22 11'],
    ['push rbx', '53'],
    ['imul ax, word ptr [rbx+r9*2-0x10], 0x1234', '66 42 69 44 4b f0 34 12'],
    ['jne 0x10000010', '75 0e'],
    ['mov eax, dword ptr [gs:0xfeeeeef6]', '65 67 8b 04 25 f6 ee ee fe'],
    ['call 0x10001000', 'e8 fb 0f 00 00'],
    ['pxor xmm1, xmm9', '66 41 0f ef c9'],
    ['andn rax, rbx, rcx', 'c4 e2 e0 f2 c1'],
    ['fadd st, st(3)', 'd8 c3'],
  ] as const) {
    assert.equal(hexBytes(assemble(text, PC)), bytes, text);
  }
  assert.equal(hexBytes(assembleAll('xor eax, eax; ret')), '31 c0 c3');
  assert.throws(() => assemble('mov eax, rbx'), /cannot assemble "mov eax, rbx": no encoding/);
  assert.throws(() => assemble('frobnicate eax'), /unknown mnemonic frobnicate/);
});

test('every row: text to bytes and back', () => {
  const decoder = new Decoder();
  const problems: string[] = [];
  for (const row of ENCODINGS) {
    const random = new Random(SEED * 104729 + row.id);
    for (let n = 0; n < CASES; n++) {
      const { bytes } = encodeRandom(row, random, randomState(random));
      const insn = decoder.decode(bytes, 0, PC);
      if (insn === undefined || insn.enc === UNDEFINED) continue;
      const text = formatInsn(insn);
      try {
        const again = decoder.decode(assemble(text, PC), 0, PC);
        assert.equal(again === undefined ? undefined : formatInsn(again), text);
      } catch (e) {
        problems.push(`${row.mnemonic} "${row.text}" ${hexBytes(bytes)}: ${(e as Error).message}`);
      }
    }
  }
  assert.equal(problems.length, 0, `${problems.length} problems:\n${problems.slice(0, Number(process.env['LUNAGATE_SHOWN'] ?? 60)).join('\n')}`);
});
