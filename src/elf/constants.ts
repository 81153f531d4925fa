/** Numbers of the ELF format that the reader and the loader use (gABI, psABI supplements). Pure data. */

export const ELFCLASS32 = 1;
export const ELFCLASS64 = 2;
export const ELFDATA2LSB = 1;
export const ELFDATA2MSB = 2;

export const ET_REL = 1;
export const ET_EXEC = 2;
export const ET_DYN = 3;
export const ET_CORE = 4;

export const PT_NULL = 0;
export const PT_LOAD = 1;
export const PT_DYNAMIC = 2;
export const PT_INTERP = 3;
export const PT_NOTE = 4;
export const PT_PHDR = 6;
export const PT_TLS = 7;
export const PT_GNU_EH_FRAME = 0x6474e550;
export const PT_GNU_STACK = 0x6474e551;
export const PT_GNU_RELRO = 0x6474e552;
export const PT_GNU_PROPERTY = 0x6474e553;

export const PF_X = 1;
export const PF_W = 2;
export const PF_R = 4;

export const SHT_SYMTAB = 2;
export const SHT_DYNSYM = 11;
export const SHT_NOBITS = 8;

export const DT_NULL = 0;
export const DT_NEEDED = 1;
export const DT_HASH = 4;
export const DT_STRTAB = 5;
export const DT_SYMTAB = 6;
export const DT_STRSZ = 10;
export const DT_SYMENT = 11;
export const DT_SONAME = 14;
export const DT_RPATH = 15;
export const DT_RUNPATH = 29;
export const DT_GNU_HASH = 0x6ffffef5;

export const STT_NOTYPE = 0;
export const STT_OBJECT = 1;
export const STT_FUNC = 2;
export const STT_GNU_IFUNC = 10;
export const STB_LOCAL = 0;
export const STB_GLOBAL = 1;
export const STB_WEAK = 2;
export const SHN_UNDEF = 0;
export const SHN_ABS = 0xfff1;

export const NT_GNU_ABI_TAG = 1;
export const NT_GNU_BUILD_ID = 3;
export const NT_GNU_PROPERTY_TYPE_0 = 5;

/** e_machine values by the name users know them under. */
export const machines = {
  i386: 3,
  mips: 8,
  ppc: 20,
  ppc64: 21,
  s390x: 22,
  arm: 40,
  sparc64: 43,
  x86_64: 62,
  aarch64: 183,
  riscv: 243,
  loongarch: 258,
} as const;

const machineNames = new Map<number, string>([
  [2, 'SPARC'],
  [machines.i386, 'Intel 80386'],
  [4, 'Motorola 68000'],
  [machines.mips, 'MIPS'],
  [15, 'PA-RISC'],
  [machines.ppc, 'PowerPC'],
  [machines.ppc64, '64-bit PowerPC'],
  [machines.s390x, 'IBM S/390'],
  [machines.arm, 'ARM'],
  [42, 'SuperH'],
  [machines.sparc64, 'SPARC V9'],
  [50, 'IA-64'],
  [machines.x86_64, 'x86-64'],
  [94, 'Xtensa'],
  [machines.aarch64, 'AArch64'],
  [machines.riscv, 'RISC-V'],
  [247, 'BPF'],
  [machines.loongarch, 'LoongArch'],
  [0x9026, 'Alpha'],
]);

/** `AArch64`, or `machine 1234` where the number has no well-known name. */
export function machineName(machine: number): string {
  return machineNames.get(machine) ?? `machine ${machine}`;
}

const typeNames = ['no file type', 'a relocatable object file', 'an executable', 'a shared object', 'a core dump'];

export function typeName(type: number): string {
  return typeNames[type] ?? `file type ${type}`;
}
