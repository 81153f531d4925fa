/** What children of forks say: which child is asked, what it says, and when that is forgotten. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Counted, ForkNeeds } from '../../src/jit/fork-needs.ts';
import * as layout from '../../src/jit/layout.ts';

const at = (k: number): number => layout.COUNTERS + 4 * k;
const REGIONS: readonly Counted[] = [
  [0x1000, at(0)],
  [0x2000, at(1)],
  [0x3000, at(2)],
  [0x4000, -1],
];

/** Parent and child are copies of each other, save for the memory they share. */
class Guest {
  readonly words = new Int32Array(layout.STATE_PAGES * 16384).fill(layout.BASELINE_ENTRIES);
  readonly needs: ForkNeeds;
  renewed = 0;

  constructor(buffer: ArrayBuffer) {
    this.needs = new ForkNeeds(this.words, () => ({
      buffer,
      renew: () => {
        this.renewed++;
      },
    }));
  }
  enter(k: number): void {
    (this.words[at(k) >> 2] as number)--;
  }
}

/** A parent that forks, in its own process's copy and in the child's: what it learns before, and the child. */
function fork(parent: Guest, buffer: ArrayBuffer, forksBefore: number, countersEnd = at(3)): { learnt: number[]; child: Guest } {
  const child = new Guest(buffer);
  child.words.set(parent.words);
  for (let k = 0; k < forksBefore; k++) {
    child.needs.beforeFork(countersEnd);
    child.needs.afterFork(false);
  }
  child.needs.beforeFork(countersEnd);
  child.needs.afterFork(true);
  const learnt = parent.needs.beforeFork(countersEnd);
  parent.needs.afterFork(false);
  return { learnt, child };
}

test('a child says what it was the first to enter, and the parent learns it once', () => {
  const buffer = new ArrayBuffer(1024);
  const parent = new Guest(buffer);
  parent.enter(0);
  const { learnt, child } = fork(parent, buffer, 0);
  assert.deepEqual(learnt, []);
  child.enter(0);
  child.enter(2);
  child.needs.say(REGIONS);
  assert.deepEqual(fork(parent, buffer, 1).learnt, [0x3000]);
  assert.deepEqual(fork(parent, buffer, 2).learnt, []);
});

test('regions that came after the fork count as not entered before it', () => {
  const buffer = new ArrayBuffer(1024);
  const parent = new Guest(buffer);
  const { child } = fork(parent, buffer, 0, at(1));
  child.enter(1);
  child.needs.say(REGIONS);
  assert.deepEqual(fork(parent, buffer, 1).learnt, [0x2000]);
});

test('the children of the 1st, 2nd, 4th, 8th … fork are asked', () => {
  const buffer = new ArrayBuffer(4096);
  const parent = new Guest(buffer);
  const asked: number[] = [];
  for (let k = 1; k <= 20; k++) {
    const { child } = fork(parent, buffer, k - 1);
    child.enter(1);
    const before = new Int32Array(buffer)[0];
    child.needs.say(REGIONS);
    if (new Int32Array(buffer)[0] !== before) asked.push(k);
  }
  assert.deepEqual(asked, [1, 2, 4, 8, 16]);
});

test('a child that forks itself still says what it needed; it says so once', () => {
  const buffer = new ArrayBuffer(1024);
  const parent = new Guest(buffer);
  const { child } = fork(parent, buffer, 0);
  child.enter(1);
  child.needs.beforeFork(at(3));
  child.needs.afterFork(false);
  child.needs.say(REGIONS);
  child.needs.say(REGIONS);
  assert.deepEqual(fork(parent, buffer, 1).learnt, [0x2000]);
  assert.equal(new Int32Array(buffer)[0], 1);
});

test('what does not fit is left out', () => {
  const buffer = new ArrayBuffer(24);
  const parent = new Guest(buffer);
  const { child } = fork(parent, buffer, 0);
  for (const k of [0, 1, 2]) child.enter(k);
  child.needs.say(REGIONS);
  assert.deepEqual(fork(parent, buffer, 1).learnt, []);
});

test('another program is told nothing of the old one', () => {
  const buffer = new ArrayBuffer(1024);
  const parent = new Guest(buffer);
  const { child } = fork(parent, buffer, 0);
  child.enter(1);
  child.needs.clear();
  assert.equal(child.renewed, 1);
  child.needs.say(REGIONS);
  assert.deepEqual(fork(parent, buffer, 1).learnt, []);
});
