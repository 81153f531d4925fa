/**
 * Random programs with forward branches, a counted loop and a called function, natively and through the real translator
 * (regions, linking, both tiers): what is carried across blocks, back edges and calls is judged here.
 * How many: slice.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Jit } from '../../../src/jit/jit.ts';
import * as layout from '../../../src/jit/layout.ts';
import { ENCODINGS, type Encoding } from '../../../src/isa/x86_64/declare.ts';
import { STATE } from '../../../src/isa/x86_64/cpu-state.ts';
import { X86Frontend } from '../../../src/isa/x86_64/frontend.ts';
import { type Case, CODE_AT, encodeRandom, randomData, randomState } from './generate.ts';
import { CODE, DATA, DATA_SIZE, nativeAvailable } from './native-executor.ts';
import { Random } from './random.ts';
import { compare, decodeAll, describeCase, loadState, type Outcome, outcomeOf, runNative } from './semantics.ts';
import { unfit } from './sequences.ts';
import { unsharedExchange } from '../../jit/run-region.ts';
import { CASES, partSeed, share, tell } from './slice.ts';

const PROGRAMS = share(CASES * 8);
const START = CODE + CODE_AT;

// ---- programs ----

/** Code made of pieces; a piece is the bytes of one instruction. r12 counts the loop: encodeRandom never names it. */
interface Program {
  readonly body: readonly Piece[];
  readonly callee: readonly Piece[];
  readonly iterations: number;
  readonly start: Omit<Case, 'bytes'>;
}
type Piece = { readonly bytes: Uint8Array } | { readonly branch: number; readonly over: number } | { readonly call: true };

const le32 = (n: number): number[] => [n & 255, (n >> 8) & 255, (n >> 16) & 255, (n >> 24) & 255];
function assemble(p: Program): Uint8Array {
  const size = (piece: Piece): number => ('bytes' in piece ? piece.bytes.length : 'call' in piece ? 5 : 6);
  const lay = (pieces: readonly Piece[], at: number, callee: number): number[] => {
    const offsets: number[] = [];
    let end = at;
    for (const piece of pieces) {
      offsets.push(end);
      end += size(piece);
    }
    return pieces.flatMap((piece, k) => {
      if ('bytes' in piece) return [...piece.bytes];
      const from = (offsets[k] as number) + size(piece);
      if ('call' in piece) return [0xe8, ...le32(callee - from)];
      return [0x0f, 0x80 | piece.branch, ...le32((offsets[k + 1 + piece.over] ?? end) - from)];
    });
  };
  const calleeAt = 5;
  const callee = [...lay(p.callee, calleeAt, 0), 0xc3];
  const loopAt = calleeAt + callee.length + 6;
  const body = lay(p.body, loopAt, calleeAt);
  const back = loopAt - (loopAt + body.length + 3 + 6);
  return Uint8Array.from([
    0xe9, ...le32(callee.length), // jmp over the function
    ...callee,
    0x41, 0xbc, ...le32(p.iterations), // mov r12d, n
    ...body,
    0x41, 0xff, 0xcc, 0x0f, 0x85, ...le32(back), // dec r12d; jnz
  ]);
}

function generate(random: Random, rows: Record<'all' | 'integer' | 'reading', readonly Encoding[]>): Program {
  const state = randomState(random);
  const flags = random.chance(0.6);
  const piece = (calls: boolean): Piece => {
    if (random.chance(0.2)) return { branch: random.below(16), over: random.below(4) };
    if (calls && random.chance(0.08)) return { call: true };
    const row = flags ? random.pick(random.chance(0.4) ? rows.reading : rows.integer) : random.pick(rows.all);
    return { bytes: encodeRandom(row, random, state, { sequence: true, faults: false }).bytes };
  };
  const body = Array.from({ length: 4 + random.below(20) }, () => piece(true));
  const callee = Array.from({ length: 1 + random.below(6) }, () => piece(false));
  return { body, callee, iterations: random.pick([1, 2, 3, 10, 3000]), start: { state, data: randomData(random) } };
}

// ---- the translator ----

class Ended {
  readonly exception: number;
  constructor(exception: number) {
    this.exception = exception;
  }
}
const PAGES = Math.ceil((DATA + DATA_SIZE + 0x1000) / 65536);
const frontend = new X86Frontend();
let shared: { memory: WebAssembly.Memory; data: Uint8Array } | undefined;

function runTranslated(c: Case): Outcome {
  if (shared === undefined) {
    const memory = new WebAssembly.Memory({ address: 'i64', initial: BigInt(PAGES), maximum: BigInt(PAGES), shared: true });
    shared = { memory, data: new Uint8Array(memory.buffer, DATA, DATA_SIZE + 0x1000) };
  }
  const stateMemory = new WebAssembly.Memory({ initial: layout.STATE_PAGES, maximum: layout.STATE_PAGES });
  const state = new Uint8Array(stateMemory.buffer);
  const jit = new Jit(frontend, shared.memory, PAGES, stateMemory, {
    code: { window: (pc) => (pc >= START && pc < START + c.bytes.length ? { bytes: c.bytes, at: pc - START } : undefined) },
    syscall: () => assert.fail('no program has a syscall'),
    trap: (code) => {
      throw new Ended(code);
    },
    fetchFault: () => {
      throw new Ended(-1);
    },
    behind: false, sync: () => {}, poll: () => {},
    precise: false, codeFile: () => undefined, codePage: () => undefined, packs: undefined, model: '', codeMemory: 1 << 28, compareExchange: unsharedExchange(shared.memory, state),
  });
  shared.data.set(c.data);
  loadState(state.subarray(0, STATE.end), c.state);
  new DataView(stateMemory.buffer).setBigUint64(STATE.rip, BigInt(START), true);
  let exception = -1;
  try {
    jit.run();
  } catch (e) {
    if (!(e instanceof Ended)) throw e;
    exception = e.exception;
  }
  const pc = BigInt(jit.pc);
  const kept = state.slice(0, STATE.end);
  return outcomeOf(exception >= 0 ? { kind: 'trap', pc, code: exception } : { kind: 'jump', pc }, kept, shared.data.slice());
}

function differences(p: Program): string[] {
  const c: Case = { ...p.start, bytes: assemble(p) };
  try {
    return compare(runNative(c), runTranslated(c));
  } catch (e) {
    return [`translator: ${(e as Error).stack}`];
  }
}
function shrink(p: Program): Program {
  for (let again = true; again; ) {
    again = false;
    for (const part of ['body', 'callee'] as const) {
      for (let k = 0; k < p[part].length; k++) {
        const fewer = { ...p, [part]: p[part].toSpliced(k, 1) };
        if (differences(fewer).length === 0) continue;
        p = fewer;
        again = true;
        k--;
      }
    }
    for (const iterations of [1, 2, 3, 10]) {
      if (iterations < p.iterations && differences({ ...p, iterations }).length > 0) {
        p = { ...p, iterations };
        break;
      }
    }
  }
  return p;
}

test('random programs with branches, a loop and calls', { skip: nativeAvailable ? false : 'needs an x86-64 Linux host' }, (t) => {
  const started = performance.now();
  // no push or pop: a long loop would run the stack out of DATA
  const all = ENCODINGS.filter((row) => unfit(row) === undefined && row.opcode.map < 4 && !/^(push|pop)(f|fq|$)/.test(row.mnemonic));
  const rows = {
    all,
    integer: all.filter((row) => row.operands.every((o) => 'EGRMZIOgprone'.includes(o.place)) && row.options.flags !== undefined),
    reading: all.filter((row) => row.options.reads !== undefined),
  };
  const failures: string[] = [];
  for (let n = 0; n < PROGRAMS && failures.length < 3; n++) {
    const program = generate(new Random(partSeed * 15_485_863 + n * 32_452_843), rows);
    if (differences(program).length === 0) continue;
    const shortest = shrink(program);
    const c: Case = { ...shortest.start, bytes: assemble(shortest) };
    failures.push(`program ${n}\n${describeCase(c, decodeAll(c.bytes))}\n  ${differences(shortest).join('\n  ')}`);
  }
  tell(t, 'programs with branches, loops and calls', { encodings: all.length, cases: PROGRAMS, mismatches: failures.length }, started);
  assert.equal(failures.length, 0, failures.join('\n\n'));
});
