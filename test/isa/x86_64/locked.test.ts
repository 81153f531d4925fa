/** LOCK-prefixed instructions of two threads on the same memory: no update is lost, none is half seen. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { DATA, endThreads, runThreads, sharedData } from './guest-thread.ts';
import { nativeAvailable } from './native-executor.ts';

const options = { skip: nativeAvailable ? false : 'needs an x86-64 Linux host' };
const ROUNDS = 20_000;
/** For what is quick. */
const MANY = 200_000;
after(endThreads);

/** DATA filled with `filler`; read and write it in any size. */
function fresh(filler = 0): DataView {
  const bytes = sharedData();
  bytes.fill(filler, 0, 0x40000);
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
const read = (view: DataView, at: number, size: number): bigint => {
  let v = 0n;
  for (let k = size - 1; k >= 0; k--) v = (v << 8n) | BigInt(view.getUint8(at + k));
  return v;
};
const NAME: Record<number, string> = { 1: 'byte', 2: 'word', 4: 'dword', 8: 'qword' };
const looped = (body: string, rounds = ROUNDS): string => `mov r15d, ${rounds}; again:; ${body}; sub r15d, 1; jne again; int3`;
const both = (source: string): Promise<Record<string, bigint>[]> => runThreads([1, 2].map((rcx) => ({ source, registers: { rdi: DATA, rcx } })));

/** Aligned, within eight bytes, across eight, across a cache line, across a page. */
const places = (size: number): number[] => (size === 1 ? [0x83] : [0x100, 0x201, 0x300 + 9 - size, 0x440 - 1, 0x1000 - size / 2].filter((at) => size !== 8 || at !== 0x201));

test('counters of every size, wherever they lie', options, async () => {
  for (const size of [1, 2, 4, 8]) {
    const slots = places(size);
    const at = (place: number): string => `${NAME[size]} ptr [rdi+${place}]`;
    const one = { 1: 'r9b', 2: 'r9w', 4: 'r9d', 8: 'r9' }[size] as string;
    // each adds 1: by two's complement, by the carry, by what was there
    const adds = [(m: string) => `lock inc ${m}`, (m: string) => `lock add ${m}, 1`, (m: string) => `mov r9d, 1; lock xadd ${m}, ${one}`, (m: string) => `stc; lock adc ${m}, 0`, (m: string) => `mov r9d, 0; sub r9, 1; lock sub ${m}, ${one}`, (m: string) => `mov r9d, 0; sub r9, 2; stc; lock sbb ${m}, ${one}`, (m: string) => `lock dec ${m}; lock add ${m}, 2`];
    const view = fresh(0xa5);
    const before = slots.map((place) => read(view, place, size));
    await both(looped(slots.map((place, k) => adds.map((add, n) => (n % 2 === k % 2 || n === 2 ? add(at(place)) : '')).join(';')).join(';'), ROUNDS / 4));
    slots.forEach((place, k) => {
      const adders = adds.filter((_, n) => n % 2 === k % 2 || n === 2).length;
      assert.equal(read(view, place, size), BigInt.asUintN(8 * size, (before[k] as bigint) + BigInt((2 * adders * ROUNDS) / 4)), `${size} bytes at ${place.toString(16)}`);
      for (const beside of [place - 1, place + size]) assert.equal(view.getUint8(beside), 0xa5, 'a neighbour changed');
    });
  }
});

const TICKETS = 40_000;
test('tickets of XADD are given out once', options, async () => {
  for (const place of [0x100, 0x10d, 0x13e]) {
    const view = fresh();
    const ends = await both(looped(`mov eax, 1; lock xadd dword ptr [rdi+${place}], eax; add r8, rax; lea r9, [rdi+rax*4+0x1000]; lock inc dword ptr [r9]`, TICKETS / 2));
    assert.equal(ends.reduce((sum, r) => sum + (r['r8'] as bigint), 0n), BigInt((TICKETS * (TICKETS - 1)) / 2));
    for (let ticket = 0; ticket < TICKETS; ticket++) assert.equal(view.getUint32(0x1000 + 4 * ticket, true), 1, `ticket ${ticket} at ${place}`);
  }
});

test('compare and exchange in a loop: 8 to 64 bits, CMPXCHG8B', options, async () => {
  for (const size of [1, 2, 4, 8]) {
    for (const place of places(size)) {
      const [acc, next] = { 1: ['al', 'bl'], 2: ['ax', 'bx'], 4: ['eax', 'ebx'], 8: ['rax', 'rbx'] }[size] as [string, string];
      const view = fresh();
      await both(looped(`mov ${acc}, ${NAME[size]} ptr [rdi+${place}]; retry:; lea rbx, [rax+3]; lock cmpxchg ${NAME[size]} ptr [rdi+${place}], ${next}; jne retry`, ROUNDS / 2));
      assert.equal(read(view, place, size), BigInt.asUintN(8 * size, BigInt(3 * ROUNDS)), `${size} bytes at ${place.toString(16)}`);
    }
  }
  for (const place of [0x100, 0x104, 0x13d]) {
    const view = fresh();
    view.setUint32(place, 0xffff_0000, true);
    const body = `retry:; mov ebx, eax; mov ecx, edx; add ebx, 1; adc ecx, 0; lock cmpxchg8b qword ptr [rdi+${place}]; jne retry`;
    await both(looped(body));
    assert.equal(read(view, place, 8), 0xffff_0000n + BigInt(2 * ROUNDS));
  }
});

test('bits: each thread has its own, in a word both change', options, async () => {
  const view = fresh();
  // thread rcx has bit rcx, set and cleared in turns, and looks that it is as left
  const body = (place: number): string => `
    lock bts dword ptr [rdi+${place}], ecx; setb al; movzx eax, al; add r8, rax
    mov eax, 1; shl eax, cl; mov r9d, eax; not r9d
    lock and dword ptr [rdi+${place}], r9d; mov edx, dword ptr [rdi+${place}]; and edx, eax; add r8, rdx
    lock or dword ptr [rdi+${place}], eax; mov edx, dword ptr [rdi+${place}]; and edx, eax; cmp edx, eax; setne dl; movzx edx, dl; add r8, rdx
    lock btr dword ptr [rdi+${place}], ecx; setae al; movzx eax, al; add r8, rax
    lock btc dword ptr [rdi+${place}], ecx; setb al; movzx eax, al; add r8, rax
    lock btc dword ptr [rdi+${place}], ecx; setae al; movzx eax, al; add r8, rax`;
  for (const place of [0x100, 0x201, 0x33e]) {
    const ends = await both(looped(body(place), place === 0x33e ? ROUNDS / 4 : MANY / 4));
    assert.deepEqual(ends.map((r) => r['r8']), [0n, 0n], `a bit was not as it was left, at ${place.toString(16)}`);
    assert.equal(view.getUint32(place, true), 0);
  }
});

test('NEG and NOT: an even number of each changes nothing', options, async () => {
  for (const size of [1, 2, 4, 8]) {
    const view = fresh();
    const slots = places(size);
    slots.forEach((place) => view.setUint8(place, 0x35));
    await both(looped(slots.map((place) => `lock neg ${NAME[size]} ptr [rdi+${place}]`).join(';')));
    slots.forEach((place) => assert.equal(read(view, place, size), 0x35n));
    await both(looped(slots.map((place) => `lock not ${NAME[size]} ptr [rdi+${place}]`).join(';')));
    slots.forEach((place) => assert.equal(read(view, place, size), 0x35n));
  }
});

test('spin locks by XCHG, BTS and CMPXCHG protect plain code', options, async () => {
  const locks: Record<string, string> = {
    xchg: 'take:; mov eax, 1; xchg dword ptr [rdi], eax; test eax, eax; je taken; pause; jmp take',
    bts: 'take:; lock bts dword ptr [rdi], 5; jae taken; pause; jmp take',
    cmpxchg: 'take:; xor eax, eax; mov edx, 1; lock cmpxchg dword ptr [rdi], edx; je taken; pause; jmp take',
  };
  for (const [name, take] of Object.entries(locks)) {
    const view = fresh();
    await both(looped(`${take}; taken:; mov rax, qword ptr [rdi+0x80]; add rax, 1; mov qword ptr [rdi+0x80], rax; add dword ptr [rdi+0x101], 3; mov dword ptr [rdi], 0`, MANY / 4));
    assert.equal(read(view, 0x80, 8), BigInt(MANY / 2), name);
    assert.equal(read(view, 0x101, 4), BigInt(1.5 * MANY), name);
  }
});

test('plain stores beside a misaligned operand are not lost', options, async () => {
  // one thread counts, the other stores and looks in the bytes around the counter
  for (const [counter, beside] of [[0x101, 0x100], [0x101, 0x105], [0x20e, 0x20d], [0x20e, 0x212], [0x33d, 0x33c]] as const) {
    const rounds = counter % 8 > 4 ? ROUNDS : MANY;
    const view = fresh();
    const [, ends] = await runThreads([
      { source: looped(`lock inc dword ptr [rdi+${counter}]`, rounds), registers: { rdi: DATA } },
      { source: looped(`mov byte ptr [rdi+${beside}], r15b; mov al, byte ptr [rdi+${beside}]; cmp al, r15b; setne al; movzx eax, al; add r8, rax`, rounds), registers: { rdi: DATA } },
    ]);
    assert.equal(ends?.r8, 0n, `store at ${beside.toString(16)}`);
    assert.equal(read(view, counter, 4), BigInt(rounds));
  }
});

test('CMPXCHG16B: a stack of nodes, and plain stores to one half', options, async () => {
  const NODES = 5;
  const view = fresh();
  for (let k = 0; k < NODES; k++) view.setBigUint64(0x100 + 64 * k, k + 1 < NODES ? BigInt(DATA + 0x100 + 64 * (k + 1)) : 0n, true);
  view.setBigUint64(0, BigInt(DATA + 0x100), true);
  const pop = 'pop:; mov rax, qword ptr [rdi]; mov rdx, qword ptr [rdi+8]; test rax, rax; je pop; mov rbx, qword ptr [rax]; lea rcx, [rdx+1]; lock cmpxchg16b xmmword ptr [rdi]; jne pop';
  const push = 'mov rsi, rax; add qword ptr [rsi+8], 1; mov rax, qword ptr [rdi]; mov rdx, qword ptr [rdi+8]; push:; mov qword ptr [rsi], rax; mov rbx, rsi; lea rcx, [rdx+1]; lock cmpxchg16b xmmword ptr [rdi]; jne push';
  await both(looped(`${pop}; ${push}`, MANY));
  assert.equal(read(view, 8, 8), BigInt(4 * MANY), 'every change of the head is counted');
  let uses = 0n;
  let nodes = 0;
  for (let at = read(view, 0, 8); at !== 0n; at = read(view, Number(at) - DATA, 8), nodes++) uses += read(view, Number(at) - DATA + 8, 8);
  assert.equal(nodes, NODES);
  assert.equal(uses, BigInt(2 * MANY));

  fresh();
  const [, ends] = await runThreads([
    { source: looped('retry:; mov rbx, rax; mov rcx, rdx; add rbx, 1; lock cmpxchg16b xmmword ptr [rdi]; jne retry', MANY), registers: { rdi: DATA } },
    { source: looped('mov qword ptr [rdi+8], r15; mov rax, qword ptr [rdi+8]; cmp rax, r15; setne al; movzx eax, al; add r8, rax', 2 * MANY), registers: { rdi: DATA } },
  ]);
  assert.equal(ends?.r8, 0n, 'a plain store was lost');
  assert.equal(read(view, 0, 8), BigInt(MANY));
});
