/**
 * What the threads of a process share about its hooks, and how one thread gives it to another: Lua's state lies in
 * shared memory as it is; what TypeScript knows (which scripts there are, what is loaded, what was reported) each
 * thread has a copy of, and who changes it publishes it.
 *
 * Invariants: the published state is changed and read under the lock only; a thread that has taken the lock has the
 * state that was published last before it does anything.
 */

import type { Host } from '../kernel/ports.ts';
import { HookLock, type SharedWords, word } from './hook-lock.ts';
import type { CommonOptions } from './hook-options.ts';
import type { LuaShare } from './lua-vm.ts';
import type { Rules, RulesState } from './rules.ts';

/** Everything a further thread needs. Can be handed to it. */
export interface HookShare {
  /** What was said at the start and counts for all threads. */
  readonly options: CommonOptions;
  readonly words: SharedWords;
  readonly published: SharedArrayBuffer;
  readonly statistics: SharedArrayBuffer;
  readonly counts: SharedArrayBuffer;
  readonly lua: LuaShare;
  /** Statistics are being kept. */
  readonly counting: boolean;
}

/** One thread's way in to what is shared. Until `begin` there is one thread, and nothing of this costs anything. */
export class Sharing {
  /** There are, or have been, several threads. */
  on = false;
  readonly words: SharedWords;
  readonly lock: HookLock;
  /** Called whenever the lock has been taken. */
  onEnter = (): void => {};
  /** Called when another thread has changed what is known of the rules. */
  onNews = (): void => {};
  readonly #rules: Rules;
  #publication: Publication | undefined;

  /** `published`: what another thread publishes in. */
  constructor(host: Host, words: SharedWords, rules: Rules, published?: SharedArrayBuffer) {
    this.words = words;
    this.lock = new HookLock(words, host);
    this.#rules = rules;
    if (published === undefined) return;
    this.#publication = new Publication(words, published);
    this.on = true;
  }

  /** There will be further threads: from now on everything is published, in the memory returned. */
  begin(): SharedArrayBuffer {
    const publication = (this.#publication ??= new Publication(this.words));
    if (!this.on) publication.publish(this.#rules.state);
    this.#rules.changed = false;
    this.on = true;
    return publication.memory;
  }

  /** There are no other threads any more, whatever they were doing. */
  end(): void {
    this.on = false;
    this.lock.reset();
  }

  /** Take the lock, and know what the others know. */
  enter(): void {
    this.lock.take();
    this.#learn();
  }

  /** As `enter`, but give up after some milliseconds. */
  tryEnter(milliseconds: number): boolean {
    if (!this.lock.tryTake(milliseconds)) return false;
    this.#learn();
    return true;
  }

  /** Let the others know what changed, and give the lock up. */
  leave(): void {
    if (this.#rules.changed) {
      this.#rules.changed = false;
      this.#publication?.publish(this.#rules.state);
      this.lock.wake(word.generation, SLEEPERS);
      // As if a file had changed and that had been taken account of: the others look before their next call, hooked or not.
      Atomics.add(this.words, word.changed, 1);
      this.words[word.taken] = (this.words[word.taken] as number) + 1;
    }
    this.lock.release();
  }

  /** Give the lock up until another thread publishes something, or for a while. */
  awaitNews(milliseconds: number): void {
    const generation = this.words[word.generation] as number;
    this.leave();
    this.lock.sleep(word.generation, generation, milliseconds);
    this.enter();
  }

  #learn(): void {
    this.onEnter();
    const news = this.#publication?.news();
    if (news === undefined) return;
    this.#rules.copy(news);
    this.onNews();
  }
}

const SLEEPERS = 0x7fff_ffff;
/** Address space for the published state, most of which are the scripts' texts. */
const MOST = 256 << 20;

/** Not imported: it loads much that a start-up snapshot cannot hold and that one thread does not need. */
const v8 = (): typeof import('node:v8') => process.getBuiltinModule('node:v8');

export class Publication {
  readonly memory: SharedArrayBuffer;
  readonly #words: SharedWords;
  /** Which generation this thread has. */
  #generation = 0;

  constructor(words: SharedWords, memory?: SharedArrayBuffer) {
    this.#words = words;
    this.memory = memory ?? new SharedArrayBuffer(65536, { maxByteLength: MOST });
  }

  /** @throws RangeError when the scripts are larger than that in all. */
  publish(state: RulesState): void {
    const bytes = v8().serialize(state);
    if (bytes.length > this.memory.byteLength) this.memory.grow(Math.min(MOST, Math.max(bytes.length, 2 * this.memory.byteLength)));
    new Uint8Array(this.memory).set(bytes);
    this.#words[word.length] = bytes.length;
    this.#generation = Atomics.add(this.#words, word.generation, 1) + 1;
  }

  /** The state, if it is another than this thread has. */
  news(): RulesState | undefined {
    const now = this.#words[word.generation] as number;
    if (now === this.#generation) return undefined;
    this.#generation = now;
    return v8().deserialize(Buffer.from(new Uint8Array(this.memory, 0, this.#words[word.length]))) as RulesState;
  }
}
