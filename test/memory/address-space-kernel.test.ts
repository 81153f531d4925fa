/**
 * The address space against the kernel: random sequences of memory calls are made on the guest's space and, with
 * real addresses, on a region of this process; every result, the contents of every page and the lines of
 * /proc/self/maps must agree.
 */

import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createMachine } from '../../src/host/machine.ts';
import { permissions } from '../../src/memory/mapping.ts';
import { kernelMaps, type MapLine, NATIVE_BASE, PAGE, readNative, writeNative } from './native-region.ts';

const { host, guestMemory, space } = createMachine();
const PAGES = 24;
const BYTES = PAGES * PAGE;
const GUEST_BASE = 0x1000_0000;
const directory = mkdtempSync(join(tmpdir(), 'lunagate-space-'));
const openFile = (name: string): number => {
  const fd = openSync(join(directory, name), 'w+');
  for (let page = 0; page < 6; page++) writeSync(fd, Buffer.alloc(PAGE, 0x41 + page));
  ftruncateSync(fd, 6 * PAGE);
  return fd;
};
// Each side has its own file of the same content: a shared mapping of one must not show through the other.
const guestFile = openFile('guest');
const nativeFile = openFile('native');
const readOnly = openSync(join(directory, 'guest'), 'r');
const readOnlyNative = openSync(join(directory, 'native'), 'r');
after(() => {
  for (const fd of [guestFile, nativeFile, readOnly, readOnlyNative]) closeSync(fd);
  rmSync(directory, { recursive: true });
});

function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 4294967296) * below);
  };
}

const native = (name: string, ...args: number[]): number => host.syscall(host.nr[name]!, ...(args as [number]));
const relative = (result: number, base: number): number => (result >= base ? result - base : result);

interface Step {
  text: string;
  guest: number;
  native: number;
}

function step(pick: (below: number) => number): Step {
  const page = pick(PAGES);
  const count = 1 + pick(Math.min(6, PAGES - page));
  // Now and then an odd address or length, to see the errors agree.
  const odd = pick(25);
  const at = page * PAGE + (odd === 0 ? 8 : 0);
  const length = odd === 1 ? 0 : count * PAGE - (odd === 2 ? 100 : 0);
  const g = GUEST_BASE + at;
  const n = NATIVE_BASE + at;
  const prot = [0, 1, 3, 5, 7, 1, 3][pick(7)]!;
  switch (pick(12)) {
    case 0: case 1: {
      const flags = [0x32, 0x32, 0x31, 0x100022, 0x4032][pick(5)]!;
      return {
        text: `mmap ${at / PAGE}+${count} prot ${prot} flags ${flags.toString(16)}`,
        guest: relative(space.mmap(g, length, prot, flags), GUEST_BASE),
        native: relative(native('mmap', n, length, prot, flags, -1, 0), NATIVE_BASE),
      };
    }
    case 2: case 3: {
      const flags = [0x12, 0x11, 0x13][pick(3)]!;
      const offset = pick(4) * PAGE + (pick(30) === 0 ? 1 : 0);
      const writable = pick(4) > 0;
      return {
        text: `mmap ${at / PAGE}+${count} prot ${prot} flags ${flags.toString(16)} file at ${offset} ${writable ? 'rw' : 'ro'}`,
        guest: relative(space.mmap(g, length, prot, flags, writable ? guestFile : readOnly, offset), GUEST_BASE),
        native: relative(native('mmap', n, length, prot, flags, writable ? nativeFile : readOnlyNative, offset), NATIVE_BASE),
      };
    }
    case 4: case 5:
      return { text: `munmap ${at / PAGE} ${length}`, guest: space.munmap(g, length), native: native('munmap', n, length) };
    case 6: case 7: {
      const bits = pick(30) === 0 ? 0x40 : prot;
      return {
        text: `mprotect ${at / PAGE} ${length} ${bits}`,
        guest: space.mprotect(g, length, bits), native: native('mprotect', n, length, bits),
      };
    }
    case 8: case 9: {
      const target = pick(PAGES);
      const newLength = (pick(6) + (pick(20) === 0 ? 0 : 1)) * PAGE;
      const room = (PAGES - target) * PAGE;
      const flags = [3, 3, 7, 0, 2, 5, 8][pick(7)]!;
      // Without MREMAP_FIXED the kernel might move it out of the region: only in-place growth is asked for then.
      const old = flags === 7 ? newLength : pick(12) === 0 ? 0 : length;
      if ((flags === 5 || flags === 7) && old !== newLength) break;
      if (flags === 5) break;
      if (flags === 0 && page * PAGE + newLength > BYTES) break;
      if (newLength > room) break;
      return {
        text: `mremap ${at / PAGE} ${old} -> ${newLength} flags ${flags} to ${target}`,
        guest: relative(space.mremap(g, old, newLength, flags, GUEST_BASE + target * PAGE), GUEST_BASE),
        native: relative(native('mremap', n, old, newLength, flags, NATIVE_BASE + target * PAGE), NATIVE_BASE),
      };
    }
    case 10: {
      const advice = [0, 1, 3, 4, 8, 9, 14, 16, 17, 22, 23, 99][pick(12)]!;
      return {
        text: `madvise ${at / PAGE} ${length} ${advice}`,
        guest: space.madvise(g, length, advice), native: native('madvise', n, length, advice),
      };
    }
    case 11: {
      const flags = [1, 2, 4, 5, 6, 8][pick(6)]!;
      const vector = host.scratch.address;
      if (pick(2) === 0) {
        return { text: `msync ${at / PAGE} ${length} ${flags}`, guest: space.msync(g, length, flags), native: native('msync', n, length, flags) };
      }
      return {
        text: `mincore ${at / PAGE} ${length}`,
        guest: space.mincore(g, length, vector), native: native('mincore', n, length, vector),
      };
    }
  }
  return { text: 'nothing', guest: 0, native: 0 };
}

/** Neighbouring lines of one file or of none that continue each other, joined: when the kernel joins is its own affair. */
function joined(lines: MapLine[]): MapLine[] {
  const out: MapLine[] = [];
  for (const line of lines) {
    const last = out[out.length - 1];
    if (
      last !== undefined && last.end === line.start && last.permissions === line.permissions && last.inode === line.inode &&
      (line.inode === 0 || last.offset + (last.end - last.start) === line.offset)
    ) last.end = line.end;
    else out.push({ ...line, inode: line.inode });
  }
  return out;
}

function guestMaps(): MapLine[] {
  return space.entries().map((m) => ({
    start: m.start - GUEST_BASE, end: m.end - GUEST_BASE, permissions: permissions(m),
    offset: m.offset, inode: m.backing === undefined ? 0 : 1,
  }));
}

/** Stamp every writable page, the same on both sides. */
function stamp(value: number): string[] {
  const differences: string[] = [];
  const bytes = Uint8Array.of(value, value ^ 0x5a);
  for (let page = 0; page < PAGES; page += 1) {
    let guest = true;
    try {
      guestMemory.write(GUEST_BASE + page * PAGE + 16, bytes);
    } catch {
      guest = false;
    }
    if (guest !== writeNative(host, NATIVE_BASE + page * PAGE + 16, bytes)) differences.push(`page ${page} writable: guest ${guest}`);
  }
  return differences;
}

function contents(): string[] {
  const differences: string[] = [];
  for (let page = 0; page < PAGES; page++) {
    const there = readNative(host, NATIVE_BASE + page * PAGE, PAGE);
    const here = guestMemory.readPartial(GUEST_BASE + page * PAGE, PAGE);
    if (there === undefined ? here.length > 0 : Buffer.compare(there, here) !== 0) {
      differences.push(`page ${page}: native ${there?.slice(14, 20) ?? 'unreadable'}, guest ${here.length > 0 ? here.slice(14, 20) : 'unreadable'}`);
    }
  }
  return differences;
}

for (let seed = 1; seed <= (Number(process.env['LUNAGATE_TEST_ROUNDS']) || 40); seed++) {
  test(`random memory calls agree with the kernel, sequence ${seed}`, () => {
    const pick = random(seed * 7919);
    space.reset();
    native('munmap', NATIVE_BASE, BYTES);
    const log: string[] = [];
    for (let i = 0; i < 60; i++) {
      const s = step(pick);
      log.push(`${s.text} = ${s.native}`);
      assert.equal(s.guest, s.native, `result differs:\n${log.join('\n')}`);
      if (i % 3 === 0) assert.deepEqual(stamp(i + 1), [], `write access differs:\n${log.join('\n')}`);
      assert.deepEqual(contents(), [], `contents differ:\n${log.join('\n')}`);
      const kernel = joined(kernelMaps(NATIVE_BASE, BYTES).map((l) => ({ ...l, inode: l.inode === 0 ? 0 : 1 })));
      assert.deepEqual(joined(guestMaps()), kernel, `mappings differ:\n${log.join('\n')}`);
    }
  });
}
