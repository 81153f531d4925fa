/** RCPPS and RSQRTPS against the host CPU, if it is of the kind ours are taken from: every entry of the tables, and what is special. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Case } from './generate.ts';
import { DATA, DATA_SIZE, nativeAvailable, newState, sameApproximations } from './native-executor.ts';
import { compare, decodeAll, runNative, runWasm } from './semantics.ts';

const SPECIAL = [
  0, 0x80000000, 1, 0x80000001, 0x7fffff, 0x800000, 0x80800000, 0x7f800000, 0xff800000, 0x7f7fffff, 0xff7fffff, 0x7e800000, 0x7e800001, 0x7e7fffff, 0xfe800000,
  0x7f800001, 0x7fc12345, 0xffc00001, 0xff800001, 0x3f800000, 0x40000000, 0xbf800000, 0x3f7fffff, 0x00ffffff,
];
const ROOM = DATA_SIZE / 4;
const skip = !nativeAvailable ? 'needs an x86-64 Linux host' : !sameApproximations ? 'this processor has other digits' : false;

for (const [name, opcode] of [['rcpps', 0x53], ['rsqrtps', 0x52]] as const)
  test(name, { skip }, () => {
    // both parities of the exponent, the whole fraction, the lower bits of it now and then
    const inputs = [...SPECIAL];
    for (let k = 0; k < 8192; k++) inputs.push((((k & 4096) === 0 ? 0x3f800000 : 0x40000000) | ((k & 4095) << 11) | ((k * 2654435761) >>> 21)) >>> 0);
    for (let e = 0; e < 256; e++) inputs.push(((e << 23) | ((e * 40503) & 0x7fffff)) >>> 0);
    while (inputs.length % 4 !== 0) inputs.push(0);
    const all = inputs.length;
    for (let at = 0; at < all; at += 400) {
      const part = inputs.slice(at, at + 400);
      const data = new Uint8Array(DATA_SIZE + 0x1000);
      const view = new DataView(data.buffer);
      part.forEach((v, k) => view.setUint32(4 * k, v, true));
      const bytes: number[] = [];
      for (let k = 0; k < part.length; k += 4) {
        const address = DATA + 4 * k;
        const absolute = [0x04, 0x25, address & 255, (address >> 8) & 255, (address >> 16) & 255, address >>> 24];
        bytes.push(0x0f, opcode, ...absolute, 0x0f, 0x29, ...absolute); // OP xmm0, [..]; movaps [..], xmm0
      }
      assert.ok(part.length <= ROOM);
      const c: Case = { bytes: Uint8Array.from(bytes), state: newState(), data };
      assert.deepEqual(compare(runNative(c), runWasm(c, decodeAll(c.bytes))), [], `inputs ${at} …`);
    }
  });
