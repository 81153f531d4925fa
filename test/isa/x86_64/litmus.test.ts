/**
 * Litmus tests of x86-TSO (Sewell et al., "x86-TSO: a rigorous and usable programmer's model", CACM 2010): what two threads of
 * translated code may never see of each other.
 *
 * Both go through their rounds without waiting for the other; round i stores the number i, so that what was read tells the
 * round it comes from and each pair of rounds that met can be judged. Outcomes are only counted: how often threads meet
 * changes what is seen, not what is allowed.
 */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { DATA, endThreads, runThreads, sharedData } from './guest-thread.ts';
import { nativeAvailable } from './native-executor.ts';

const options = { skip: nativeAvailable ? false : 'needs an x86-64 Linux host' };
after(endThreads);

const ROUNDS = 1_000_000;
const TOGETHER = 25_000;
const [X, Y] = ['dword ptr [rdi]', 'dword ptr [rdi+0x40]'] as const;
/** What the threads read: eax and ebx of each round. */
const SEEN = [0x10_0000, 0x100_0000] as const;

/**
 * `body` runs with the number of the round in r12d and leaves what it read in eax and ebx; r10 and rbp are not its. First some
 * rounds in memory of its own, until the code is translated for good, then all in the memory both share. Now and then the
 * threads meet, so that on a busy machine too they run at the same time for a while.
 */
const thread = (body: string, own: number): string => `
  mov r14, rdi; lea rdi, [rdi+${own}]
  begin:; mov r12d, 0; mov ebp, ${TOGETHER}
  again:; add r12d, 1
  ${body}
  mov dword ptr [r8+r12*8], eax; mov dword ptr [r8+r12*8+0x4], ebx
  cmp r12d, ebp; jne again
  cmp rdi, r14; jne warm; cmp r12d, ${ROUNDS}; je end
  add ebp, ${TOGETHER}; add r10d, 2
  lock inc dword ptr [rsi]; meet:; cmp dword ptr [rsi], r10d; jb meet; jmp again
  warm:; mov rdi, r14; add r10d, 2
  lock inc dword ptr [rsi]; ready:; cmp dword ptr [rsi], r10d; jb ready; jmp begin
  end:; int3`;

interface Log {
  /** By round, from 1 on. */
  readonly a: (round: number) => number;
  readonly b: (round: number) => number;
}
async function run(first: string, second: string): Promise<[Log, Log]> {
  const bytes = sharedData();
  bytes.fill(0, 0, 0x1000);
  await runThreads([first, second].map((body, k) => ({ source: thread(body, 0x400 * (k + 1)), registers: { rdi: DATA, rsi: DATA + 0x200, r8: DATA + (SEEN[k] as number) } })));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const log = (k: 0 | 1): Log => ({ a: (round) => view.getUint32(SEEN[k] + 8 * round, true), b: (round) => view.getUint32(SEEN[k] + 8 * round + 4, true) });
  return [log(0), log(1)];
}
/** Rounds of the first thread for which `seen` holds. */
async function count(first: string, second: string, seen: (round: number, first: Log, second: Log) => boolean): Promise<number> {
  const logs = await run(first, second);
  let n = 0;
  for (let round = 1; round <= ROUNDS; round++) if (seen(round, ...logs)) n++;
  return n;
}
const never = async (name: string, ...what: Parameters<typeof count>): Promise<void> => assert.equal(await count(...what), 0, name);

test('store buffering: not with MFENCE, LOCK or XCHG between', options, async (t) => {
  // x = i; read y | y = j; read x: one must see the other
  const store = (place: string): string => `mov ${place}, r12d`;
  const both = (between: string, own = store): [string, string] => [`${own(X)}; ${between} mov eax, ${Y}`, `${own(Y)}; ${between} mov eax, ${X}`];
  const neither = (i: number, first: Log, second: Log): boolean => {
    const j = first.a(i) + 1; // the first store to y that round i did not see
    return j <= ROUNDS && second.a(j) < i;
  };
  await never('mfence', ...both('mfence;'), neither);
  await never('lock add', ...both('lock add dword ptr [r8], 0;'), neither);
  await never('lock or', ...both('lock or dword ptr [r8], 0;'), neither);
  await never('lock inc across eight bytes', ...both('lock inc dword ptr [r8+0x5];'), neither);
  await never('lock cmpxchg16b', ...both('lock cmpxchg16b xmmword ptr [r8-0x100];'), neither);
  await never('xchg', ...both('', (place) => `mov ecx, r12d; xchg ${place}, ecx`), neither);
  t.diagnostic(`without any, which is allowed: ${await count(...both(''), neither)} of ${ROUNDS}`);
});

test('message passing: flag seen, data seen', options, async (t) => {
  const writer = `mov ${X}, r12d; mov ${Y}, r12d`;
  // the reader's flag y is never newer than its data x, which it reads later
  const wrong = (_: number, first: Log, second: Log): boolean => first.b(_) < first.a(_) || second.b(_) < second.a(_);
  const reader = async (name: string, body: string): Promise<void> => never(name, body, `${writer}; mov eax, 0; mov ebx, 0`, wrong);
  await reader('plain', `mov eax, ${Y}; mov ebx, ${X}`);
  // the flag is needed later than the data
  await reader('used after other arithmetic', `mov ecx, ${Y}; mov ebx, ${X}; mov edx, ebx; imul edx, edx; add edx, ecx; mov eax, ecx; mov ecx, edx`);
  await reader('flags of a comparison', `mov r9d, r12d; cmp ${Y}, r13d; mov ebx, ${X}; setae al; movzx eax, al; imul eax, r13d; mov r13d, ebx; add r13d, 1`);
  await reader('by vectors', `movd xmm0, ${Y}; movd xmm1, ${X}; movd ebx, xmm1; movd eax, xmm0`);
  await reader('through a sum', `mov ecx, ${Y}; sub ecx, 3; mov ebx, ${X}; lea eax, [rcx+3]; mov ecx, 0`);
  t.diagnostic(`different numbers seen: ${await count(`mov eax, ${Y}; mov ebx, ${X}`, `${writer}; mov eax, 0; mov ebx, 0`, (i, first) => first.b(i) !== first.a(i))} of ${ROUNDS}`);
});

test('load buffering: no load sees what comes of a later store', options, async () => {
  // read x; y = i | read y; x = j
  const both = (i: number, first: Log, second: Log): boolean => first.a(i) > 0 && second.a(first.a(i)) >= i;
  await never('plain', `mov eax, ${X}; mov ${Y}, r12d`, `mov eax, ${Y}; mov ${X}, r12d`, both);
  await never('used last', `mov ecx, ${X}; mov ${Y}, r12d; mov eax, ecx`, `mov ecx, ${Y}; sub ecx, 1; mov ${X}, r12d; lea eax, [rcx+1]`, both);
});

test('S: a store is not seen before what precedes it', options, async () => {
  // x = 2i; y = i | read y; x = 2j+1; read x: the second's own store is not behind one that was made before the flag it saw
  await never('S', `lea ecx, [r12*2]; mov ${X}, ecx; mov ${Y}, r12d; mov eax, 0`, `mov eax, ${Y}; lea ecx, [r12*2+1]; mov ${X}, ecx; mov ebx, ${X}`, (j, _, second) => second.b(j) % 2 === 0 && second.b(j) <= 2 * second.a(j));
});

test('coherence: a place never goes back, and a waiting loop sees it change', options, async () => {
  await never('two loads', `mov ecx, ${X}; mov ebx, ${X}; mov eax, ecx`, `mov ${X}, r12d; mov eax, 0; mov ebx, 0`, (i, first) => first.b(i) < first.a(i));
  sharedData().fill(0, 0, 0x1000);
  const registers = { rdi: DATA };
  const turn = (from: number, to: number): string => `wait:; cmp ${X}, ${from}; jne wait; mov ${X}, ${to}; int3`;
  await runThreads([{ source: turn(0, 1), registers }, { source: turn(1, 2), registers }]);
  assert.equal(sharedData()[0], 2);
});
