/**
 * The hooks' side of one guest thread's stream: takes calls, runs their hooks, carries questions and answers.
 *
 * Invariants: questions are answered in the order they were asked; nothing is asked for a call that is over; an error
 * of a hook's ends its call and nothing else.
 */

import type { Socket } from 'node:net';
import { CallView, GuestError, type Port } from './call.ts';
import { ask, encodeFrame, type Frame, FrameReader, kind } from './protocol.ts';
import type { Answer, Hook, HookResult, SyscallName } from './types.ts';

/** What connections share. */
export interface Service {
  /** The first frame of every stream, answering `hello`. */
  readonly configuration: Uint8Array;
  hook(nr: number): Hook | undefined;
  /** Milliseconds that a hook may take; undefined: for ever. */
  readonly timeout: number | undefined;
  failed(call: CallView<SyscallName, 'async'>, error: unknown, description: string, ran: boolean): void;
}

interface Question {
  decode(answer: Frame): unknown;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** One call in a hook's hands. */
class Active implements Port<'async'> {
  readonly #send: (frame: Uint8Array) => void;
  readonly #questions: Question[] = [];
  over = false;
  /** The original call was made. */
  ran = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(send: (frame: Uint8Array) => void) {
    this.#send = send;
  }

  ask<T>(question: number, ints: readonly bigint[], bytes: Uint8Array | undefined, decode: (answer: Frame) => T): Answer<'async', T> {
    if (this.over) return Promise.reject(new Error('the call is over: its hook has returned'));
    this.#send(encodeFrame(question, ints, bytes));
    const answer = new Promise<T>((resolve, reject) => {
      this.#questions.push({ decode, resolve: resolve as Question['resolve'], reject });
    });
    this.#last = answer;
    return answer;
  }

  /** All questions have been answered, also those that the hook did not wait for. */
  async idle(): Promise<void> {
    while (this.#questions.length > 0) await this.#last.catch(() => {});
  }

  answer(frame: Frame): void {
    const question = this.#questions.shift();
    if (question === undefined) return;
    try {
      if (frame.kind === kind.refused) throw new GuestError(Number(frame.ints[0]), new TextDecoder().decode(frame.bytes));
      question.resolve(question.decode(frame));
    } catch (error) {
      question.reject(error);
    }
  }
}

export class Connection {
  readonly #socket: Socket;
  readonly #service: Service;
  readonly #reader = new FrameReader();
  /** Innermost last: while an original call runs, the thread may come to another hooked one. */
  readonly #active: Active[] = [];

  constructor(socket: Socket, service: Service) {
    this.#socket = socket;
    this.#service = service;
    // Ends with the guest thread, in whatever way that ends.
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      for (const active of this.#active) active.over = true;
    });
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
  }

  #take(chunk: Uint8Array): void {
    try {
      this.#reader.push(chunk);
      for (let frame = this.#reader.next(); frame !== undefined; frame = this.#reader.next()) this.#frame(frame);
    } catch (error) {
      this.#socket.destroy(error as Error);
    }
  }

  #frame(frame: Frame): void {
    switch (frame.kind) {
      case kind.hello:
        this.#socket.write(this.#service.configuration);
        return;
      case kind.call:
        void this.#serve(frame);
        return;
      default:
        this.#active.at(-1)?.answer(frame);
    }
  }

  async #serve({ ints }: Frame): Promise<void> {
    const active = new Active((frame) => void this.#socket.write(frame));
    this.#active.push(active);
    const facts = {
      nr: Number(ints[0]),
      raw: ints.slice(1, 7).map((value) => BigInt.asUintN(64, value)),
      pid: Number(ints[7]),
      tid: Number(ints[8]),
      pc: Number(ints[9]),
    };
    const call = new CallView<SyscallName, 'async'>(
      {
        ask: (question, words, bytes, decode) =>
          active.ask(question, words, bytes, (answer) => {
            active.ran ||= words[0] === BigInt(facts.nr) && question === ask.syscall;
            return decode(answer);
          }),
      },
      facts,
    );
    let last: Uint8Array;
    try {
      const value = await within(this.#service.timeout, this.#service.hook(facts.nr)?.(call));
      last = value === undefined ? encodeFrame(kind.untouched) : encodeFrame(kind.result, [call.result(value)]);
    } catch (error) {
      if (active.over) return;
      const description = await call.describe().catch(() => '');
      this.#service.failed(call, error, description, active.ran);
      last = encodeFrame(kind.failed);
    }
    await active.idle();
    if (active.over) return;
    active.over = true;
    const at = this.#active.lastIndexOf(active);
    if (at >= 0) this.#active.splice(at, 1);
    this.#socket.write(last);
  }
}

/** `work`, or an error after so many milliseconds. */
async function within(timeout: number | undefined, work: HookResult | Promise<HookResult>): Promise<HookResult> {
  if (timeout === undefined || !(work instanceof Promise)) return work;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the hook took more than ${timeout} milliseconds`)), timeout).unref();
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
