import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { PT_LOAD } from '../../src/elf/constants.ts';
import { ElfFile } from '../../src/elf/elf-file.ts';
import { ElfError, type ElfErrorCode } from '../../src/elf/errors.ts';
import { bytesSource, type ByteSource } from '../../src/elf/source.ts';
import { buildElf64 } from './build-elf.ts';

const x86 = { is64: true, littleEndian: true, machine: 62, types: [2, 3] };
const limits = { pageSize: 4096, addressLimit: 2 ** 34 };
const program = readFileSync('/bin/true');

function fails(bytes: Uint8Array, code: ElfErrorCode, message: RegExp): void {
  assert.throws(
    () => ElfFile.open(bytesSource(bytes), x86).checkLoadable(limits),
    (error) => {
      assert.ok(error instanceof ElfError, String(error));
      assert.equal(error.code, code);
      assert.match(error.message, message);
      return true;
    },
  );
}

describe('a real program', () => {
  const file = ElfFile.open(bytesSource(program), x86);

  test('segments are what readelf prints', () => {
    const lines = execFileSync('readelf', ['-lW', '/bin/true'], { encoding: 'utf8' }).split('\n');
    const expected = lines.flatMap((line) => {
      const m = /^ {2}LOAD +(0x\w+) (0x\w+) 0x\w+ (0x\w+) (0x\w+) (...) (0x\w+)/.exec(line);
      return m === null ? [] : [[1, 2, 3, 4, 6].map((k) => Number(m[k]))];
    });
    assert.ok(expected.length > 1);
    const found = file.segments
      .filter((s) => s.type === PT_LOAD)
      .map((s) => [s.offset, s.vaddr, s.filesz, s.memsz, s.align]);
    assert.deepEqual(found, expected);
  });

  test('build-id, interpreter and needed libraries are what readelf prints', () => {
    const notes = execFileSync('readelf', ['-nW', '/bin/true'], { encoding: 'utf8' });
    assert.equal(Buffer.from(file.buildId ?? []).toString('hex'), /Build ID: (\w+)/.exec(notes)?.[1]);
    assert.equal(Buffer.from(file.interpreter() ?? []).toString(), '/lib64/ld-linux-x86-64.so.2');
    const dynamic = execFileSync('readelf', ['-dW', '/bin/true'], { encoding: 'utf8' });
    const needed = [...dynamic.matchAll(/Shared library: \[(.*?)\]/g)].map((m) => m[1]);
    assert.deepEqual(file.dynamicStrings.needed, needed);
    assert.ok(needed.length > 0);
  });

  test('GNU properties carry the x86 ISA level', () => {
    assert.ok(file.gnuProperties.some((p) => p.type === 0xc0008002 && p.data[0] === 1));
  });
});

describe('symbols', () => {
  const libc = '/lib/x86_64-linux-gnu/libc.so.6';
  const nm = execFileSync('nm', ['-D', '-S', '--defined-only', libc], { encoding: 'utf8' });
  const functions = [...nm.matchAll(/^(\w{16}) (\w{16}) [TWi] (\w+)@/gm)].map((m) => ({
    start: Number.parseInt(m[1] as string, 16),
    size: Number.parseInt(m[2] as string, 16),
    name: m[3] as string,
  }));
  const bytes = readFileSync(libc);

  /** A source without section headers, as a stripped file has it. */
  const sectionless = new Uint8Array(bytes);
  sectionless.fill(0, 40, 48);
  sectionless.fill(0, 60, 64);

  for (const [title, content] of [
    ['by section headers', bytes],
    ['by PT_DYNAMIC alone', sectionless],
  ] as const)
    test(`every function nm lists is found, ${title}`, () => {
      assert.ok(functions.length > 1000);
      const file = ElfFile.open(bytesSource(content), x86);
      for (const f of functions) {
        const found = file.symbolize(f.start + f.size - 1);
        assert.equal(found?.start, f.start, f.name);
        assert.equal(found?.offset, f.size - 1);
        assert.equal(found?.inside, true);
        // Several names share an address; one of them is given.
        assert.ok(
          functions.some((g) => g.start === f.start && g.name === found?.name),
          `${f.name}: ${found?.name}`,
        );
      }
    });

  test('an address before the first symbol has none; one after the last is marked as outside', () => {
    const file = ElfFile.open(bytesSource(bytes), x86);
    assert.equal(file.symbolize(0), undefined);
    assert.equal(file.symbolize(2 ** 33)?.inside, false);
  });

  test('lookup by name', () => {
    const file = ElfFile.open(bytesSource(bytes), x86);
    const malloc = functions.find((f) => f.name === 'malloc');
    assert.equal(file.symbols.lookup('malloc')?.start, malloc?.start);
    assert.equal(file.symbols.lookup('no_such_function'), undefined);
  });

  test('opening and one symbol read only parts of the file', () => {
    let read = 0;
    const source: ByteSource = {
      size: bytes.length,
      read(offset, length) {
        read += length;
        return bytes.subarray(offset, offset + length);
      },
    };
    const file = ElfFile.open(source, x86);
    file.checkLoadable(limits);
    assert.ok(read < 4096, `${read} bytes for the headers`);
    file.symbolize(functions[0]?.start ?? 0);
    assert.ok(read < bytes.length / 4, `${read} bytes for the symbols`);
  });
});

describe('what cannot be run is refused with the reason', () => {
  test('not ELF', () => {
    fails(new Uint8Array(0), 'not-elf', /the file is empty/);
    fails(Buffer.from('hello, world, this is no program'), 'not-elf', /not an ELF file/);
    fails(Buffer.from('MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0', 'latin1'), 'not-elf', /Windows/);
    fails(Buffer.from('\x7fE', 'latin1'), 'not-elf', /inside the ELF magic/);
  });
  test('another machine, class, byte order or type', () => {
    fails(buildElf64({ machine: 183 }), 'wrong-machine', /a program for AArch64, not for x86-64/);
    fails(buildElf64({ machine: 12345 }), 'wrong-machine', /machine 12345/);
    const narrow = buildElf64({});
    narrow[4] = 1;
    fails(narrow, 'wrong-class', /32-bit file, not a 64-bit/);
    const big = buildElf64({});
    big[5] = 2;
    big.set([0, 3, 0, 62], 16);
    fails(big, 'wrong-endianness', /big-endian/);
    fails(buildElf64({ type: 1 }), 'wrong-type', /a relocatable object file/);
    const noClass = buildElf64({});
    noClass[4] = 7;
    fails(noClass, 'malformed', /class byte is 7/);
  });
  test('truncated at each length', () => {
    for (let length = 4; length < 64; length++)
      fails(program.subarray(0, length), 'truncated', new RegExp(`ends after ${length} bytes`));
    fails(program.subarray(0, 100), 'truncated', /inside the program header table/);
    fails(program.subarray(0, 0x2000), 'truncated', /segment 3 is cut off/);
  });
  test('bad program headers', () => {
    fails(buildElf64({ phentsize: 32 }), 'malformed', /32 bytes each/);
    fails(buildElf64({ phnum: 65535 }), 'too-large', /65535 program headers/);
    fails(buildElf64({ phnum: 0 }), 'malformed', /no program headers/);
    fails(buildElf64({ segments: [{ type: 4, filesz: 0 }] }), 'malformed', /no PT_LOAD/);
    fails(
      buildElf64({ segments: [{ filesz: 0x800, memsz: 0x400 }] }),
      'malformed',
      /0x800 bytes in the file but only 0x400/,
    );
    fails(
      buildElf64({ segments: [{ filesz: 0x1000, memsz: 2 ** 40 }] }),
      'too-large',
      /address space ends at 0x400000000/,
    );
    fails(
      buildElf64({ segments: [{ offset: 0x10, vaddr: 0x1020, filesz: 0x100 }] }),
      'malformed',
      /differ within the page/,
    );
    fails(
      buildElf64({ segments: [{ offset: 0x4000, filesz: 0x1000 }] }),
      'truncated',
      /needs the file up to byte 20480, the file has 4096/,
    );
  });
  test('a bad interpreter name', () => {
    const open = (filesz: number, content: string): ElfFile =>
      ElfFile.open(
        bytesSource(
          buildElf64({ segments: [{ type: 3, offset: 0x200, filesz }], content: [[0x200, Buffer.from(content)]] }),
        ),
        x86,
      );
    assert.equal(Buffer.from(open(6, '/ld.s\0').interpreter() ?? []).toString(), '/ld.s');
    assert.throws(() => open(5, '/ld.so').interpreter(), /does not end with a NUL/);
    assert.throws(() => open(5000, '').interpreter(), /5000 bytes long/);
    assert.throws(() => open(1, '').interpreter(), ElfError);
  });
});

/** Everything the reader can be asked, of any bytes: an answer or an ElfError. */
function interrogate(bytes: Uint8Array, expected: typeof x86 | undefined): void {
  const ask = (question: () => unknown): void => {
    try {
      question();
    } catch (error) {
      if (!(error instanceof ElfError)) throw error;
      assert.ok(error.message.length > 0);
    }
  };
  let file: ElfFile | undefined;
  ask(() => {
    file = ElfFile.open(bytesSource(bytes), expected);
  });
  if (file === undefined) return;
  const f = file;
  ask(() => f.checkLoadable(limits));
  ask(() => f.interpreter());
  ask(() => f.buildId);
  ask(() => f.gnuProperties);
  ask(() => f.dynamicStrings);
  ask(() => f.symbolize(f.header.entry));
  ask(() => f.symbols.lookup('main'));
}

describe('any bytes give an answer or an ElfError', () => {
  test('random bytes after the magic', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), fc.boolean(), (tail, wide, little) => {
        interrogate(Uint8Array.from([0x7f, 0x45, 0x4c, 0x46, wide ? 2 : 1, little ? 1 : 2, 1, ...tail]), undefined);
      }),
      { numRuns: 2000 },
    );
  });
  test('a real program, cut anywhere', () => {
    fc.assert(
      fc.property(fc.nat({ max: program.length }), (length) => interrogate(program.subarray(0, length), x86)),
      { numRuns: 300 },
    );
  });
  test('a real program with damaged fields', () => {
    const interesting = fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.nat({ max: 255 }));
    // Headers, dynamic section and section headers are where a byte changes what the reader does.
    const place = fc.oneof(
      fc.nat({ max: 0x360 }),
      fc.nat({ max: program.length - 1 }),
      fc.integer({ min: 0x7dd8, max: 0x7f98 }),
      fc.integer({ min: program.length - 31 * 64, max: program.length - 1 }),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(place, interesting), { minLength: 1, maxLength: 12 }), (changes) => {
        const bytes = new Uint8Array(program);
        for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
        interrogate(bytes, undefined);
      }),
      { numRuns: 1500 },
    );
  });
});
