/**
 * What random operands seldom reach, against the host CPU: repeated string instructions over page ends, overlapping and
 * backwards, 67h on implicit pointers, division near its limits, descriptors, bit strings.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assembleAll } from '../../../src/isa/x86_64/encode.ts';
import { CODE_AT, randomData, randomState } from './generate.ts';
import { CODE, DATA, DATA_SIZE, nativeAvailable, type NativeState } from './native-executor.ts';
import { integer64, Random } from './random.ts';
import { compare, decodeAll, describeCase, runInterpreted, runNative } from './semantics.ts';

const skip = nativeAvailable ? false : 'needs an x86-64 Linux host';
const SEED = Number(process.env['LUNAGATE_SEED'] ?? 1);
const CASES = Number(process.env['LUNAGATE_CASES'] ?? 12);
const [RAX, RCX, RDX, RBX, RSI, RDI] = [0, 1, 2, 3, 6, 7] as const;

function judge(bytes: Uint8Array, random: Random, prepare: (s: NativeState) => void): void {
  const state = randomState(random);
  prepare(state);
  const c = { bytes, state, data: randomData(random) };
  const insns = decodeAll(bytes);
  const differences = compare(runNative(c), runInterpreted(c, insns));
  assert.deepEqual(differences, [], describeCase(c, insns));
}

test('REP MOVS and STOS: overlap, direction, page ends, 67h', { skip }, () => {
  const random = new Random(SEED);
  const end = DATA + DATA_SIZE;
  for (let n = 0; n < CASES * 20; n++) {
    const what = random.pick(['movsb', 'movsw', 'movsd', 'movsq', 'stosb', 'stosw', 'stosd', 'stosq']);
    const size = { b: 1, w: 2, d: 4, q: 8 }[what.at(-1) as 'b'];
    const backwards = random.chance(0.25);
    const narrow = random.chance(0.2);
    const bytes = Uint8Array.from([...(narrow ? [0x67] : []), ...assembleAll(`rep ${what}`)]);
    judge(bytes, random, (s) => {
      const count = random.below(80);
      s.rflags = (s.rflags & ~0x400n) | (backwards ? 0x400n : 0n);
      s.gpr[RCX] = BigInt(count);
      const near = random.chance(0.4) ? end - random.below(count * size + 40) : DATA + 0x1000 + random.below(64);
      s.gpr[RDI] = BigInt(near);
      // a source close to the destination, on either side, or at the end of what can be read
      s.gpr[RSI] = BigInt(random.chance(0.7) ? near + random.below(80) - 40 : DATA + DATA_SIZE + 0x1000 - random.below(count * size + 40));
      if (narrow) for (const r of [RCX, RSI, RDI]) s.gpr[r] = (s.gpr[r] as bigint) | (BigInt(random.u32()) << 32n);
    });
  }
});

test('REPE/REPNE CMPS and SCAS: equal stretches, page ends, count 0, 67h', { skip }, () => {
  const random = new Random(SEED + 1);
  for (let n = 0; n < CASES * 20; n++) {
    const what = random.pick(['cmpsb', 'cmpsw', 'cmpsd', 'cmpsq', 'scasb', 'scasw', 'scasd', 'scasq']);
    const narrow = random.chance(0.2);
    const bytes = Uint8Array.from([...(narrow ? [0x67] : []), ...assembleAll(`${random.pick(['repe', 'repne'])} ${what}`)]);
    judge(bytes, random, (s) => {
      s.gpr[RCX] = BigInt(random.below(40));
      s.gpr[RDI] = BigInt(random.chance(0.3) ? DATA + DATA_SIZE + 0x1000 - random.below(100) : DATA + 0x800 + random.below(0x900));
      s.gpr[RSI] = random.chance(0.5) ? (s.gpr[RDI] as bigint) : BigInt(DATA + 0x800 + random.below(0x900));
      if (random.chance(0.5)) s.gpr[RAX] = 0n;
      if (narrow) for (const r of [RCX, RSI, RDI]) s.gpr[r] = (s.gpr[r] as bigint) | (BigInt(random.u32()) << 32n);
    });
  }
});

test('DIV and IDIV of 128 bits near their limits', { skip }, () => {
  const random = new Random(SEED + 2);
  const mask = (1n << 64n) - 1n;
  for (let n = 0; n < CASES * 100; n++) {
    const signed = random.chance(0.5);
    const divisor = integer64(random);
    const quotient = signed ? BigInt.asIntN(64, integer64(random)) : integer64(random);
    const d = signed ? BigInt.asIntN(64, divisor) : divisor;
    const size = d < 0n ? -d : d;
    // a remainder that fits mostly, so that the quotient is at or one beyond the limits it was drawn from
    const rest = size === 0n ? 0n : (random.u64() % size) * (quotient * d < 0n ? -1n : 1n);
    const dividend = quotient * d + rest + (random.chance(0.2) ? BigInt(random.below(3) - 1) : 0n);
    judge(assembleAll(signed ? 'idiv rbx' : 'div rbx'), random, (s) => {
      s.gpr[RAX] = dividend & mask;
      s.gpr[RDX] = (dividend >> 64n) & mask;
      s.gpr[RBX] = divisor;
    });
  }
});

test('LAR LSL VERR VERW and segment loads for every selector Linux has', { skip }, () => {
  const random = new Random(SEED + 3);
  for (let selector = 0; selector < 0x90; selector++) {
    for (const text of ['lar rax, bx', 'lsl eax, bx', 'lar ax, bx', 'verr bx', 'verw bx', 'mov ds, bx', 'mov es, bx']) {
      // the node and CPU number in the limit of selector 78h is the host's own
      if (text.startsWith('lsl') && (selector & 0xf8) === 0x78) continue;
      judge(assembleAll(text), random, (s) => {
        s.gpr[RBX] = BigInt(selector) | 0x1234_0000n;
      });
    }
  }
});

test('bit strings reach before and behind their operand', { skip }, () => {
  const random = new Random(SEED + 4);
  for (let n = 0; n < CASES * 20; n++) {
    const [size, register] = random.pick([['word', 'cx'], ['dword', 'ecx'], ['qword', 'rcx']] as const);
    const lock = random.chance(0.3) ? 'lock ' : '';
    const op = random.pick(['bt', 'bts', 'btr', 'btc']);
    judge(assembleAll(`${op === 'bt' ? '' : lock}${op} ${size} ptr [rbx+0x10], ${register}`), random, (s) => {
      s.gpr[RBX] = BigInt(DATA + 0x1800);
      s.gpr[RCX] = BigInt.asUintN(64, BigInt(random.below(0x8000) - 0x4000)); // ±2 KiB
    });
  }
});

test('flags carried over several instructions and a branch', { skip }, () => {
  const random = new Random(SEED + 5);
  const setters = ['add rax, rbx', 'sub ecx, edx', 'cmp al, bl', 'and cx, dx', 'inc rax', 'dec bl', 'shl ebx, cl', 'sar rdx, 0x3', 'neg cx', 'adc rax, rdx', 'sbb bl, dl', 'ror rax, cl', 'bt rax, rcx', 'xor edx, edx', 'imul rbx, rcx', 'stc', 'cmc'];
  const readers = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'];
  for (let n = 0; n < CASES * 20; n++) {
    const lines = [random.pick(setters), random.pick(setters), `set${random.pick(readers)} sil`, `cmov${random.pick(readers)} rdi, rbx`, random.pick(setters)];
    const body = assembleAll(lines.join(';'));
    // both ways of the branch leave the bytes: to their end, or 0x40 further
    const at = CODE + CODE_AT + body.length;
    const bytes = Uint8Array.from([...body, ...assembleAll(`j${random.pick(readers)} ${at + 0x40}`, at)]);
    judge(bytes, random, () => {});
  }
});

test('HLE prefixes (XACQUIRE, XRELEASE) mean nothing', { skip }, () => {
  const random = new Random(SEED * 89);
  for (const prefix of [0xf2, 0xf3]) {
    for (const text of ['lock add dword ptr [rdi], eax', 'lock cmpxchg qword ptr [rdi], rbx', 'xchg byte ptr [rdi], cl', 'mov dword ptr [rdi], 0x12345678', 'lock xadd word ptr [rdi], dx', 'lock not byte ptr [rdi]', 'lock bts dword ptr [rdi], 5', 'lock cmpxchg8b qword ptr [rdi]']) {
      for (let n = 0; n < CASES; n++) judge(Uint8Array.from([prefix, ...assembleAll(text)]), random, (s) => void (s.gpr[RDI] = BigInt(DATA + 0x1000 + random.below(64))));
    }
  }
});
