/** Mapping and the initial stack. The kernel is the oracle where it can be asked. */

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { errnoName } from '../../src/abi/errno.ts';
import { auxType } from '../../src/loader/auxv.ts';
import { ExecError } from '../../src/loader/exec-error.ts';
import { BRK_RANDOM, chooseLayout, type Layout, largestStack, STACK_GUARD } from '../../src/loader/layout.ts';
import { type LoadedImage, loadImage } from '../../src/loader/load.ts';
import { type ExecRequest, prepareExec } from '../../src/loader/prepare.ts';
import { buildElf64, type TestElf } from '../elf/build-elf.ts';
import { FakeSpace, fakeHost, page, text, x86 } from './fakes.ts';

const GiB16 = 2 ** 34;
const directory = mkdtempSync(join(tmpdir(), 'lunagate-load-'));
after(() => rmSync(directory, { recursive: true }));

interface Loaded {
  image: LoadedImage;
  space: FakeSpace;
  layout: Layout;
}

function load(path: string, request: Partial<ExecRequest> = {}): Loaded {
  const { host, open } = fakeHost();
  const argv = request.argv ?? [text(path)];
  const prepared = prepareExec(host, x86, GiB16, { path: text(path), argv, envp: [], stackLimit: 8 << 20, ...request });
  const layout = chooseLayout({ memorySize: GiB16, stackSize: 8 << 20, argumentBytes: 0, random: undefined });
  const space = new FakeSpace(0);
  const image = loadImage({ space, memory: space.memory }, prepared, {
    isa: x86,
    layout,
    credentials: { uid: 1, euid: 1, gid: 2, egid: 2 },
    random: Uint8Array.from({ length: 16 }, (_, i) => i + 1),
  });
  prepared.close();
  assert.equal(open.size, 0);
  return { image, space, layout };
}

let files = 0;
function file(bytes: Uint8Array | string, mode = 0o755): string {
  const path = join(directory, `file-${files++}`);
  writeFileSync(path, bytes);
  chmodSync(path, mode);
  return path;
}

/** Machine code: write(1, from, length); exit_group(0). Position-dependent. */
function dumper(from: number, length: number): Uint8Array {
  const code = Buffer.alloc(39);
  Buffer.from('b801000000bf0100000048be', 'hex').copy(code, 0); // mov eax,1; mov edi,1; mov rsi,
  code.writeBigUInt64LE(BigInt(from), 12);
  code[20] = 0xba; // mov edx,
  code.writeUInt32LE(length, 21);
  Buffer.from('0f05b8e700000031ff0f05', 'hex').copy(code, 25); // syscall; mov eax,231; xor edi,edi; syscall
  return code.subarray(0, 36);
}

/**
 * Runs the image natively and compares the memory it prints with what the loader made. An anonymous-memory
 * interpreter-free ET_EXEC, so both sides use the same addresses.
 */
function compareWithKernel(elf: TestElf, from: number, length: number): Loaded {
  const code = dumper(from, length);
  const segments = [
    ...(elf.segments ?? []),
    { flags: 5, offset: 0x3000, vaddr: 0x700000, filesz: 0x100, memsz: 0x100 },
  ];
  const image = buildElf64({
    size: 0x6000,
    fill: 0xa5,
    ...elf,
    type: 2,
    entry: 0x700000,
    segments,
    content: [[0x3000, code], ...(elf.content ?? [])],
  });
  const path = file(image);
  const native = spawnSync(path, { encoding: 'buffer' });
  assert.equal(native.signal, null);
  assert.equal(native.status, 0);
  assert.equal(native.stdout.length, length, 'all of it is readable natively');
  const loaded = load(path);
  assert.deepEqual(Buffer.from(loaded.space.read(from, length)), native.stdout);
  return loaded;
}

describe('segments, compared with what the kernel maps', () => {
  test('bss that begins and ends within pages', () => {
    const { space } = compareWithKernel(
      { segments: [{ flags: 6, offset: 0x1000, vaddr: 0x500000, filesz: 0x123, memsz: 0x2100 }] },
      0x500000,
      0x3000,
    );
    assert.equal(space.protection(0x502000), 'rw-');
    assert.equal(space.protection(0x503000), undefined);
  });
  test('a segment that starts within a page shows the file around it', () => {
    compareWithKernel(
      { segments: [{ flags: 6, offset: 0x1234, vaddr: 0x500234, filesz: 0x800, memsz: 0x800 }] },
      0x500000,
      0x1000,
    );
  });
  test('bss only, oddly aligned, nothing in the file', () => {
    compareWithKernel(
      { segments: [{ flags: 6, offset: 0x1000, vaddr: 0x500780, filesz: 0, memsz: 0x1000 }] },
      0x500000,
      0x2000,
    );
  });
  test('a later segment overlaps an earlier one', () => {
    compareWithKernel(
      {
        segments: [
          { flags: 6, offset: 0x1000, vaddr: 0x500000, filesz: 0x3000, memsz: 0x3000 },
          { flags: 6, offset: 0x4100, vaddr: 0x501100, filesz: 0x200, memsz: 0xf00 },
        ],
        content: [[0x4000, Buffer.alloc(0x800, 0x77)]],
      },
      0x500000,
      0x3000,
    );
  });
  test('two segments share a page; the second wins all of it', () => {
    compareWithKernel(
      {
        segments: [
          { flags: 4, offset: 0x1000, vaddr: 0x500000, filesz: 0x400, memsz: 0x400 },
          { flags: 6, offset: 0x2400, vaddr: 0x500400, filesz: 0x100, memsz: 0x200 },
        ],
        content: [[0x2000, Buffer.alloc(0x1000, 0x33)]],
      },
      0x500000,
      0x1000,
    );
  });
  test('segments in descending order', () => {
    compareWithKernel(
      {
        segments: [
          { flags: 6, offset: 0x2000, vaddr: 0x502000, filesz: 0x1000, memsz: 0x1000 },
          { flags: 4, offset: 0x1000, vaddr: 0x501000, filesz: 0x1000, memsz: 0x1000 },
        ],
      },
      0x501000,
      0x2000,
    );
  });
  test('the file ends within the last page: zeros follow', () => {
    compareWithKernel(
      { size: 0x5432, segments: [{ flags: 4, offset: 0x5000, vaddr: 0x500000, filesz: 0x800, memsz: 0x800 }] },
      0x500000,
      0x1000,
    );
  });
  test('a read-only segment with bss keeps the file bytes behind it', () => {
    compareWithKernel(
      { segments: [{ flags: 4, offset: 0x1000, vaddr: 0x500000, filesz: 0x100, memsz: 0x1800 }] },
      0x500000,
      0x2000,
    );
  });
});

describe('where things go', () => {
  test('a PIE and its interpreter', () => {
    const { image, layout, space } = load('/bin/true');
    assert.equal(image.main.bias, layout.pieBase);
    assert.equal(image.main.bias, 0x1_5555_5000);
    assert.ok(image.interpreter !== undefined);
    assert.ok(image.interpreter.start >= space.top && image.interpreter.end <= layout.mmapTop);
    assert.equal(image.entry, image.interpreter.bias + image.interpreter.elf.header.entry);
    assert.ok(image.startBrk >= image.main.end && image.startBrk % page === 0);
    assert.equal(space.brk, image.startBrk);
    assert.deepEqual(space.names, [`[stack] ${8 << 20}`]);
    assert.equal(space.protection(image.main.bias), 'r--');
    assert.equal(space.protection(image.sp), 'rw-');
    assert.equal(space.protection(layout.stackTop - layout.stackSize), 'rw-');
    assert.equal(space.protection(layout.stackTop - layout.stackSize - 1), undefined);
  });
  test('a static PIE goes to the mmap area, its heap to the PIE base', () => {
    const path = file(buildElf64({ segments: [{ flags: 5, filesz: 0x1000, memsz: 0x1000 }] }));
    const { image, layout } = load(path);
    assert.equal(image.main.end, layout.mmapTop);
    assert.equal(image.startBrk, layout.pieBase);
    assert.equal(image.interpreter, undefined);
  });
  for (const align of [0x10000, 0x200000])
    test(`p_align 0x${align.toString(16)} is kept, with and without an interpreter`, () => {
      const segments = [
        { flags: 5, vaddr: 0x1000, offset: 0, filesz: 0x1000, memsz: 0x1000, align },
        { flags: 6, vaddr: 0x12000, offset: 0, filesz: 0x1000, memsz: 0x3000, align: 0x1000 },
      ];
      const alone = load(file(buildElf64({ segments })));
      assert.equal(alone.image.main.bias % align, 0);
      const mapped = [...alone.space.pages.keys()].filter((p) => p * page < alone.layout.mmapTop);
      assert.equal(mapped.length, (0x15000 - 0x1000) / page, 'nothing of the slack is left');
      const name = '/lib64/ld-linux-x86-64.so.2\0';
      const interpreter = { type: 3, offset: 0x800, filesz: name.length };
      const dynamic = load(
        file(buildElf64({ segments: [...segments, interpreter], content: [[0x800, Buffer.from(name)]] })),
      );
      assert.equal(dynamic.image.main.bias % align, 0);
      assert.equal(dynamic.image.main.start, dynamic.image.main.bias + 0x1000);
      assert.ok(dynamic.layout.pieBase - dynamic.image.main.bias < align);
    });
  test('PT_GNU_STACK decides whether the stack is executable', () => {
    const code = { flags: 5, filesz: 0x1000, memsz: 0x1000 };
    const stackOf = (segments: TestElf['segments']): string | undefined => {
      const { space, image } = load(file(buildElf64({ segments: segments ?? [] })));
      return space.protection(image.sp);
    };
    assert.equal(stackOf([code, { type: 0x6474e551, flags: 7 }]), 'rwx');
    assert.equal(stackOf([code, { type: 0x6474e551, flags: 6 }]), 'rw-');
    assert.equal(stackOf([code]), 'rw-');
  });
  test('the layout is Linux-like, fits smaller spaces, and random within bounds', () => {
    for (const memorySize of [GiB16, 2 ** 32, 2 ** 30])
      for (const stackSize of [0, 8 << 20, Number.POSITIVE_INFINITY])
        for (const random of [
          undefined,
          (n: number) => new Uint8Array(n),
          (n: number) => new Uint8Array(n).fill(0xff),
        ]) {
          const l = chooseLayout({ memorySize, stackSize, argumentBytes: 6 << 20, random });
          const low = l.stackTop - l.stackSize;
          assert.ok(l.stackTop <= memorySize - 0x10000 && l.stackTop % page === 0);
          assert.ok(l.mmapTop <= low - STACK_GUARD, 'the guard is free');
          assert.ok(
            l.pieBase >= memorySize / 4 && l.pieBase < l.mmapTop && l.pieBase % page === 0 && l.mmapTop % page === 0,
          );
          assert.ok(l.mmapTop - l.pieBase > memorySize / 4);
          assert.ok(
            l.stackSize >= (6 << 20) + (128 << 10) &&
              l.stackSize <= largestStack(memorySize) &&
              l.stackSize % page === 0,
          );
          assert.ok(l.brkShift >= 0 && l.brkShift < BRK_RANDOM && l.brkShift % page === 0);
          assert.ok(l.stackShift >= 0 && l.stackShift < 8192);
        }
  });
});

/** What a program's start code reads off the stack. */
function unwrap({ image, space }: Loaded): { argv: string[]; envp: string[]; auxv: [number, number][] } {
  const word = (at: number): number => Number(Buffer.from(space.read(at, 8)).readBigUInt64LE());
  const string = (at: number): string => {
    let end = at;
    while (space.read(end, 1)[0] !== 0) end++;
    return Buffer.from(space.read(at, end - at)).toString('latin1');
  };
  let at = image.sp;
  const argc = word(at);
  at += 8;
  const list = (): string[] => {
    const strings: string[] = [];
    for (; word(at) !== 0; at += 8) strings.push(string(word(at)));
    at += 8;
    return strings;
  };
  const argv = list();
  assert.equal(argv.length, argc);
  const envp = list();
  const auxv: [number, number][] = [];
  for (;;) {
    const type = word(at);
    const value = word(at + 8);
    at += 16;
    if (type === 0) break;
    auxv.push([type, value]);
  }
  return { argv, envp, auxv };
}

describe('the initial stack', () => {
  const bytes = Uint8Array.from([0x41, 0xff, 0xfe, 0x3d, 0x80]);
  const argv = [text('/bin/true'), text(''), bytes, text('x'.repeat(1000))];
  const envp = [text('A=1'), bytes, text('B=')];
  const loaded = load('/bin/true', { argv, envp });
  const { image, space } = loaded;
  const stack = unwrap(loaded);

  test('argc, argv and envp arrive byte for byte', () => {
    assert.deepEqual(
      stack.argv,
      argv.map((a) => Buffer.from(a).toString('latin1')),
    );
    assert.deepEqual(
      stack.envp,
      envp.map((a) => Buffer.from(a).toString('latin1')),
    );
    assert.equal(image.sp % 16, 0);
  });
  test("the auxiliary vector has the kernel's entries in the kernel's order", () => {
    // The vDSO and rseq are not there by design; so are entries newer than Linux 6.0.
    const absent = new Set([33, 27, 28, 29, 30, 51]);
    const native = execFileSync('cat', ['/proc/self/auxv']);
    const types: number[] = [];
    for (let at = 0; at < native.length; at += 16) {
      const type = Number(native.readBigUInt64LE(at));
      if (type !== 0 && !absent.has(type)) types.push(type);
    }
    assert.deepEqual(
      stack.auxv.map(([type]) => type).filter((type) => !absent.has(type)),
      types,
    );
    assert.equal(stack.auxv[0]?.[0], auxType.AT_MINSIGSTKSZ);
  });
  test('each entry says what is so', () => {
    const aux = new Map(stack.auxv);
    const string = (at: number, n: number): string => Buffer.from(space.read(at, n)).toString();
    const elf = image.main.elf;
    assert.equal(aux.get(auxType.AT_PHDR), image.main.bias + 64);
    assert.equal(aux.get(auxType.AT_PHENT), 56);
    assert.equal(aux.get(auxType.AT_PHNUM), elf.header.phnum);
    assert.equal(aux.get(auxType.AT_ENTRY), image.main.bias + elf.header.entry);
    assert.equal(aux.get(auxType.AT_BASE), image.interpreter?.bias);
    assert.deepEqual(
      [...space.read(aux.get(auxType.AT_RANDOM) ?? 0, 16)],
      Array.from({ length: 16 }, (_, i) => i + 1),
    );
    assert.equal(string(aux.get(auxType.AT_EXECFN) ?? 0, 10), '/bin/true\0');
    assert.equal(string(aux.get(auxType.AT_PLATFORM) ?? 0, 7), 'x86_64\0');
    assert.deepEqual(
      [11, 12, 13, 14, 23].map((t) => aux.get(t)),
      [1, 1, 2, 2, 0],
    );
    assert.equal(aux.get(auxType.AT_PAGESZ), 4096);
    assert.equal(aux.get(auxType.AT_CLKTCK), 100);
    assert.equal(aux.get(auxType.AT_HWCAP), 0x178bfbff);
    assert.equal(aux.get(auxType.AT_HWCAP2), 2);
    assert.equal(image.auxv.length, (stack.auxv.length + 1) * 16);
  });
  test('the bounds that /proc shows hold the strings', () => {
    const between = (from: number, to: number): string => Buffer.from(space.read(from, to - from)).toString('latin1');
    const joined = (list: Uint8Array[]): string => list.map((s) => `${Buffer.from(s).toString('latin1')}\0`).join('');
    assert.equal(between(image.argStart, image.argEnd), joined(argv));
    assert.equal(between(image.envStart, image.envEnd), joined(envp));
  });
  test('an empty argument list becomes one empty argument', () => {
    assert.deepEqual(unwrap(load('/bin/true', { argv: [] })).argv, ['']);
  });
  test('the name of the thread is the last part of the path, cut to 15 bytes', () => {
    assert.equal(Buffer.from(image.comm).toString(), 'true');
    const path = join(directory, 'a-very-long-program-name');
    writeFileSync(path, buildElf64({}), { mode: 0o755 });
    assert.equal(Buffer.from(load(path).image.comm).toString(), 'a-very-long-pro');
  });
});

describe("refusals carry the kernel's errno and a sentence", () => {
  const refusal = (path: string, request: Partial<ExecRequest> = {}): ExecError => {
    try {
      load(path, request);
    } catch (error) {
      if (error instanceof ExecError) return error;
      throw error;
    }
    assert.fail('it was loaded');
  };
  const check = (error: ExecError, code: string, status: number, message: RegExp): void => {
    assert.equal(errnoName(error.errno), code, error.message);
    assert.equal(error.exitStatus, status);
    assert.match(error.message, message);
    assert.equal(error.fatal, false);
  };

  test('the file itself', () => {
    check(refusal('/no/such/file'), 'ENOENT', 127, /^\/no\/such\/file: No such file or directory$/);
    check(refusal('/bin/true/x'), 'ENOTDIR', 126, /Not a directory/);
    check(refusal(directory), 'EACCES', 126, /is a directory/);
    check(refusal('/dev/null'), 'EACCES', 126, /not a regular file/);
    check(refusal(file(buildElf64({}), 0o644)), 'EACCES', 126, /not executable; chmod \+x/);
    check(refusal(file('')), 'ENOEXEC', 126, /the file is empty/);
    check(refusal(file('just text\n')), 'ENOEXEC', 126, /neither an ELF program nor a script/);
    check(refusal(file(buildElf64({ machine: 183 }))), 'ENOEXEC', 126, /for AArch64, not for x86-64/);
    check(refusal(file(readFileSync('/bin/true').subarray(0, 3000))), 'ENOEXEC', 126, /cut off/);
    check(
      refusal(file(buildElf64({ type: 2, segments: [{ vaddr: 0x1000, filesz: 0x1000 }] }))),
      'ENOEXEC',
      126,
      /below 0x10000/,
    );
  });
  test('the interpreter', () => {
    const wanting = (name: string): string =>
      file(
        buildElf64({
          segments: [
            { flags: 5, filesz: 0x1000 },
            { type: 3, offset: 0x800, filesz: name.length + 1 },
          ],
          content: [[0x800, Buffer.from(`${name}\0`)]],
        }),
      );
    check(
      refusal(wanting('/lib/ld-missing.so.1')),
      'ENOENT',
      127,
      /program interpreter \/lib\/ld-missing.so.1 cannot be opened: No such file/,
    );
    check(refusal(wanting(file('text'))), 'ELIBBAD', 126, /cannot be used: it is not an ELF file/);
    check(refusal(wanting(file(buildElf64({ machine: 40 })))), 'ELIBBAD', 126, /for ARM/);
    check(refusal(wanting(file(buildElf64({}), 0o600))), 'EACCES', 126, /cannot be run: Permission denied/);
  });
  test('interpreters are looked for under the sysroot first', () => {
    const sysroot = join(directory, 'sysroot');
    mkdirSync(join(sysroot, 'opt'), { recursive: true });
    const machineCode = buildElf64({ segments: [{ flags: 5, filesz: 0x1000, memsz: 0x1000 }] });
    writeFileSync(join(sysroot, 'opt/ld.so'), machineCode, { mode: 0o755 });
    const name = '/opt/ld.so\0';
    const wanting = file(
      buildElf64({
        segments: [
          { flags: 5, filesz: 0x1000 },
          { type: 3, offset: 0x800, filesz: name.length },
        ],
        content: [[0x800, Buffer.from(name)]],
      }),
    );
    check(refusal(wanting), 'ENOENT', 127, /\/opt\/ld.so cannot be opened/);
    const { image } = load(wanting, { sysroot: `${sysroot}/` });
    assert.equal(Buffer.from(image.interpreter?.path ?? []).toString(), '/opt/ld.so');
    const script = file('#!/opt/ld.so -x\n');
    assert.deepEqual(
      load(script, { sysroot }).image.argv.map((a) => Buffer.from(a).toString()),
      ['/opt/ld.so', '-x', script],
    );
    check(refusal(wanting, { sysroot: '/no/such/prefix' }), 'ENOENT', 127, /\/opt\/ld.so cannot be opened/);
  });
  test("too many or too long arguments, at the kernel's own limits", () => {
    const fits = (n: number): boolean => spawnSync('/bin/true', ['x'.repeat(n)]).error === undefined;
    assert.ok(fits(131071) && !fits(131072), 'as the kernel has it');
    load('/bin/true', { argv: [text('x'.repeat(131071))] });
    check(refusal('/bin/true', { argv: [text('x'.repeat(131072))] }), 'E2BIG', 126, /131072 bytes; at most 131071/);
    const many = (bytes: number): Uint8Array[] => Array.from({ length: bytes / 1032 }, () => text('y'.repeat(1023)));
    load('/bin/true', { argv: many(1900 << 10) });
    check(refusal('/bin/true', { argv: many(2100 << 10) }), 'E2BIG', 126, /more than the 2097152 bytes/);
    check(refusal('/bin/true', { argv: many(200 << 10), stackLimit: 65536 }), 'E2BIG', 126, /131072/);
  });
  test('memory that cannot be had is a fatal error', () => {
    const { host } = fakeHost();
    const prepared = prepareExec(host, x86, GiB16, {
      path: text('/bin/true'),
      argv: [],
      envp: [],
      stackLimit: 8 << 20,
    });
    const layout = chooseLayout({ memorySize: GiB16, stackSize: 8 << 20, argumentBytes: 0, random: undefined });
    const space = new FakeSpace(layout.mmapTop);
    space.mmap = () => -12;
    const request = { isa: x86, layout, credentials: { uid: 0, euid: 0, gid: 0, egid: 0 }, random: new Uint8Array(16) };
    assert.throws(
      () => loadImage({ space, memory: space.memory }, prepared, request),
      (e) => e instanceof ExecError && e.fatal && e.errno === 12,
    );
    prepared.close();
  });
});
