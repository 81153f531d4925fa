/**
 * The second half of exec(2): the address space is empty, the prepared program is mapped into it with its
 * interpreter and stack. What comes back says where to start and what /proc shows.
 */

import { ET_DYN, PF_X, PT_GNU_STACK } from '../elf/constants.ts';
import type { ElfFile } from '../elf/elf-file.ts';
import { type AuxEntry, auxType } from './auxv.ts';
import { display, ExecError, errnoSentence } from './exec-error.ts';
import type { Layout } from './layout.ts';
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_NORESERVE,
  MAP_PRIVATE,
  MAP_STACK,
  type MappedImage,
  mapImage,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
  up,
} from './map-image.ts';
import type { PreparedExec } from './prepare.ts';
import { buildStack } from './stack.ts';
import type { LoaderIsa, LoadTarget } from './types.ts';

export interface Credentials {
  readonly uid: number;
  readonly euid: number;
  readonly gid: number;
  readonly egid: number;
}

export interface LoadRequest {
  readonly isa: LoaderIsa;
  readonly layout: Layout;
  readonly credentials: Credentials;
  /** The 16 bytes AT_RANDOM points to. */
  readonly random: Uint8Array;
}

/** One ELF file in memory, for naming addresses. */
export interface Module {
  readonly path: Uint8Array;
  readonly elf: ElfFile;
  readonly bias: number;
  readonly start: number;
  readonly end: number;
}

export interface LoadedImage {
  /** Where execution starts: the interpreter's entry if there is one. */
  readonly entry: number;
  readonly sp: number;
  readonly main: Module;
  readonly interpreter: Module | undefined;
  readonly argv: readonly Uint8Array[];
  readonly envp: readonly Uint8Array[];
  readonly auxv: Uint8Array;
  readonly comm: Uint8Array;
  readonly startStack: number;
  readonly argStart: number;
  readonly argEnd: number;
  readonly envStart: number;
  readonly envEnd: number;
  readonly startCode: number;
  readonly endCode: number;
  readonly startData: number;
  readonly endData: number;
  /** First address of the heap. */
  readonly startBrk: number;
}

/** Linux's USER_HZ, the same on every architecture served here. */
const CLOCK_TICKS = 100;

/** Maps everything. The prepared program's descriptors stay open: its owner closes them when symbols are no longer wanted. */
export function loadImage(target: LoadTarget, prepared: PreparedExec, request: LoadRequest): LoadedImage {
  const { isa, layout } = request;
  const page = isa.pageSize;
  const { main, interpreter } = prepared;
  target.space.setMmapTop(layout.mmapTop);
  mapStack(target, prepared, request);

  // A relocatable image without an interpreter (static PIE, or ld.so run by hand) goes to the mmap area: so the
  // heap at the PIE base never collides with a program that it is about to load.
  const relocatable = main.elf.header.type === ET_DYN;
  const mainMap = mapImage(target, main, page, relocatable && interpreter !== undefined ? layout.pieBase : undefined);
  const interpreterMap = interpreter === undefined ? undefined : mapImage(target, interpreter, page, undefined);
  const imageEnd = relocatable && interpreter === undefined ? layout.pieBase : mainMap.brk;
  const startBrk = up(imageEnd, page) + layout.brkShift;
  target.space.setBrk(startBrk);

  const stack = buildStack({
    top: layout.stackTop,
    wordSize: isa.is64 ? 8 : 4,
    littleEndian: isa.littleEndian,
    execfn: prepared.execfn,
    argv: prepared.argv,
    envp: prepared.envp,
    platform: isa.platform,
    random: request.random,
    shift: layout.stackShift,
    auxv: auxiliaryVector(main.elf, mainMap, interpreterMap, request),
  });
  target.memory.write(stack.sp, stack.bytes);

  const module = (image: typeof main, map: MappedImage): Module => ({
    path: image.file.path,
    elf: image.elf,
    bias: map.bias,
    start: map.start,
    end: map.end,
  });
  return {
    entry: (interpreterMap ?? mainMap).entry,
    sp: stack.sp,
    main: module(main, mainMap),
    interpreter:
      interpreter === undefined || interpreterMap === undefined ? undefined : module(interpreter, interpreterMap),
    argv: prepared.argv,
    envp: prepared.envp,
    auxv: stack.auxv,
    comm: prepared.comm,
    startStack: stack.sp,
    argStart: stack.argStart,
    argEnd: stack.argEnd,
    envStart: stack.envStart,
    envEnd: stack.envEnd,
    startCode: mainMap.startCode,
    endCode: mainMap.endCode,
    startData: mainMap.startData,
    endData: mainMap.endData,
    startBrk,
  };
}

/**
 * The whole stack at once, without reservation: pages come into being when touched, and what lies below is
 * never mapped by the layout, so an overflow faults.
 */
function mapStack(target: LoadTarget, prepared: PreparedExec, { isa, layout }: LoadRequest): void {
  const header = prepared.main.elf.segment(PT_GNU_STACK);
  const executable = header === undefined ? isa.execStackByDefault : (header.flags & PF_X) !== 0;
  const prot = PROT_READ | PROT_WRITE | (executable ? PROT_EXEC : 0);
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE | MAP_STACK;
  const bottom = layout.stackTop - layout.stackSize;
  const result = target.space.mmap(bottom, layout.stackSize, prot, flags, -1, 0);
  if (result < 0)
    throw new ExecError(
      -result,
      display(prepared.execfn),
      `a stack of ${layout.stackSize} bytes cannot be mapped: ${errnoSentence(-result)}`,
      true,
    );
  target.space.setName(bottom, layout.stackTop, '[stack]');
}

function auxiliaryVector(
  elf: ElfFile,
  main: MappedImage,
  interpreter: MappedImage | undefined,
  request: LoadRequest,
): AuxEntry[] {
  const { isa, credentials: c } = request;
  const t = auxType;
  const { header } = elf;
  const phdr = programHeaders(elf);
  // The kernel's order (ARCH_DLINFO first). No AT_SYSINFO_EHDR: without a vDSO every clock read is a system call.
  return [
    [t.AT_MINSIGSTKSZ, isa.minSignalStack],
    [t.AT_HWCAP, isa.hwcap],
    [t.AT_PAGESZ, isa.pageSize],
    [t.AT_CLKTCK, CLOCK_TICKS],
    [t.AT_PHDR, phdr === undefined ? 0 : phdr + main.bias],
    [t.AT_PHENT, header.is64 ? 56 : 32],
    [t.AT_PHNUM, header.phnum],
    [t.AT_BASE, interpreter?.bias ?? 0],
    [t.AT_FLAGS, 0],
    [t.AT_ENTRY, main.entry],
    [t.AT_UID, c.uid],
    [t.AT_EUID, c.euid],
    [t.AT_GID, c.gid],
    [t.AT_EGID, c.egid],
    [t.AT_SECURE, c.uid !== c.euid || c.gid !== c.egid ? 1 : 0],
    [t.AT_RANDOM, 0],
    [t.AT_HWCAP2, isa.hwcap2],
    [t.AT_EXECFN, 0],
    [t.AT_PLATFORM, 0],
  ];
}

/** Link-time address of the program header table: where the segment that holds its file offset puts it. */
function programHeaders(elf: ElfFile): number | undefined {
  const { phoff } = elf.header;
  for (const s of elf.segments)
    if (s.type === 1 && phoff >= s.offset && phoff < s.offset + s.filesz) return phoff - s.offset + s.vaddr;
  return undefined;
}
