/**
 * What CPUID tells: one table of features, the sets that the x86-64 levels ask for, and the leaves made from them.
 * `CpuModel.has` also decides which rows decode (`cpuid` of a row).
 */
/** Where a feature bit is: leaf 1 (ecx, edx), leaf 7 subleaf 0 (ebx, ecx, edx), leaf 0x80000001 (ecx, edx), leaf 13 subleaf 1 (eax). */
type Word = '1.ecx' | '1.edx' | '7.ebx' | '7.ecx' | '7.edx' | '81.ecx' | '81.edx' | '13.eax';
export const FEATURES: Readonly<Record<string, readonly (readonly [Word, number])[]>> = {
  fpu: [['1.edx', 0], ['81.edx', 0]],
  tsc: [['1.edx', 4], ['81.edx', 4]],
  cx8: [['1.edx', 8], ['81.edx', 8]],
  cmov: [['1.edx', 15], ['81.edx', 15]],
  clflush: [['1.edx', 19]],
  mmx: [['1.edx', 23], ['81.edx', 23]],
  fxsr: [['1.edx', 24], ['81.edx', 24]],
  sse: [['1.edx', 25]],
  sse2: [['1.edx', 26]],
  sse3: [['1.ecx', 0]],
  pclmulqdq: [['1.ecx', 1]],
  ssse3: [['1.ecx', 9]],
  fma: [['1.ecx', 12]],
  cx16: [['1.ecx', 13]],
  'sse4.1': [['1.ecx', 19]],
  'sse4.2': [['1.ecx', 20]],
  movbe: [['1.ecx', 22]],
  popcnt: [['1.ecx', 23]],
  aes: [['1.ecx', 25]],
  xsave: [['1.ecx', 26]],
  osxsave: [['1.ecx', 27]],
  avx: [['1.ecx', 28]],
  f16c: [['1.ecx', 29]],
  rdrand: [['1.ecx', 30]],
  fsgsbase: [['7.ebx', 0]],
  bmi1: [['7.ebx', 3]],
  avx2: [['7.ebx', 5]],
  bmi2: [['7.ebx', 8]],
  rdseed: [['7.ebx', 18]],
  adx: [['7.ebx', 19]],
  clflushopt: [['7.ebx', 23]],
  clwb: [['7.ebx', 24]],
  sha: [['7.ebx', 29]],
  vaes: [['7.ecx', 9]],
  vpclmulqdq: [['7.ecx', 10]],
  rdpid: [['7.ecx', 22]],
  lahf: [['81.ecx', 0]],
  lzcnt: [['81.ecx', 5]],
  prefetchw: [['81.ecx', 8]],
  syscall: [['81.edx', 11]],
  nx: [['81.edx', 20]],
  rdtscp: [['81.edx', 27]],
  lm: [['81.edx', 29]],
  xsaveopt: [['13.eax', 0]],
  xsavec: [['13.eax', 1]],
  xgetbv1: [['13.eax', 2]],
};
const V1 = ['fpu', 'tsc', 'cx8', 'cmov', 'clflush', 'mmx', 'fxsr', 'sse', 'sse2', 'syscall', 'nx', 'lm'];
const V2 = [...V1, 'sse3', 'ssse3', 'sse4.1', 'sse4.2', 'popcnt', 'cx16', 'lahf'];
const V3 = [...V2, 'avx', 'avx2', 'bmi1', 'bmi2', 'f16c', 'fma', 'lzcnt', 'movbe', 'xsave', 'osxsave'];
/** Features by the names that -cpu takes: the levels of the ABI, and all there is. */
export const LEVELS: Readonly<Record<string, readonly string[]>> = { 'x86-64-v1': V1, 'x86-64-v2': V2, 'x86-64-v3': V3, max: Object.keys(FEATURES) };
/** What a feature cannot be without. */
const NEEDS: Readonly<Record<string, readonly string[]>> = {
  sse: ['fxsr'], sse2: ['sse'], sse3: ['sse2'], ssse3: ['sse3'], 'sse4.1': ['ssse3'], 'sse4.2': ['sse4.1'], aes: ['sse2'], pclmulqdq: ['sse2'], sha: ['sse2'],
  osxsave: ['xsave'], xsave: ['osxsave', 'fxsr'], xsaveopt: ['xsave'], xsavec: ['xsave'], xgetbv1: ['xsave'],
  avx: ['sse4.2', 'xsave'], avx2: ['avx'], fma: ['avx'], f16c: ['avx'], vaes: ['avx', 'aes'], vpclmulqdq: ['avx', 'pclmulqdq'],
};
/** Other names, mostly qemu's and the kernel's. */
const ALIASES: Readonly<Record<string, string>> = {
  pni: 'sse3', 'sse4-1': 'sse4.1', sse41: 'sse4.1', 'sse4-2': 'sse4.2', sse42: 'sse4.2', abm: 'lzcnt', 'lahf-lm': 'lahf', 'sha-ni': 'sha', '3dnowprefetch': 'prefetchw', clfsh: 'clflush', pclmul: 'pclmulqdq', 'aes-ni': 'aes', 'x86-64': 'x86-64-v1',
};

/** What the user asked for cannot be. */
export class CpuModelError extends Error {
  override readonly name = 'CpuModelError';
  readonly exitStatus = 125;
}

/**
 * The value of -cpu: a level, then features added or taken away in order: `x86-64-v2,+aes,-popcnt,avx2=on`. What a feature
 * needs comes with it, what needs it goes with it.
 */
export function parseCpuModel(text: string): CpuModel {
  const [level = '', ...changes] = text.toLowerCase().split(',').map((part) => part.trim());
  const named = LEVELS[ALIASES[level] ?? level];
  if (level === 'x86-64-v4') throw new CpuModelError(`-cpu ${text}: there is no AVX-512; the highest level is x86-64-v3`);
  if (named === undefined) throw new CpuModelError(`-cpu ${text}: no CPU "${level}"; there are ${Object.keys(LEVELS).join(', ')}`);
  const on = new Set(named);
  const add = (feature: string): void => {
    if (on.has(feature)) return;
    on.add(feature);
    for (const needed of NEEDS[feature] ?? []) add(needed);
  };
  const remove = (feature: string): void => {
    if (!on.delete(feature)) return;
    for (const [dependent, needed] of Object.entries(NEEDS)) if (needed.includes(feature)) remove(dependent);
  };
  for (const change of changes) {
    const parts = /^(?:([+-])([^=]+)|([^=]+)=(on|off))$/.exec(change);
    if (parts === null) throw new CpuModelError(`-cpu ${text}: "${change}" is not +FEATURE, -FEATURE, FEATURE=on or FEATURE=off`);
    const written = (parts[2] ?? parts[3] ?? '').replaceAll('_', '-');
    const feature = ALIASES[written] ?? written;
    if (FEATURES[feature] === undefined) throw new CpuModelError(`-cpu ${text}: no feature "${parts[2] ?? parts[3]}"; -cpu help lists them`);
    if (parts[1] === '+' || parts[4] === 'on') add(feature);
    else if (V1.includes(feature)) throw new CpuModelError(`-cpu ${text}: every x86-64 processor has ${feature}`);
    else remove(feature);
  }
  return new CpuModel(on);
}
/** The text of -cpu help. */
export function cpuHelp(): string {
  const wrap = (names: readonly string[]): string => names.join(' ').replace(/(.{1,96})(?: |$)/g, '  $1\n');
  return [
    'CPUs: a level, then features to add or take away: x86-64-v2,+aes,-popcnt (or aes=on, popcnt=off).',
    '',
    ...Object.keys(LEVELS).map((name) => `  ${name}${name === DEFAULT_LEVEL ? ' (default)' : ''}`),
    '',
    'Features:',
    wrap(Object.keys(FEATURES).filter((f) => !V1.includes(f))),
  ].join('\n');
}

type Leaf = readonly [eax: number, ebx: number, ecx: number, edx: number];

export class CpuModel {
  readonly features: ReadonlySet<string>;
  readonly #words = new Map<Word, number>();
  /** XCR0: which state XSAVE covers. */
  readonly xcr0: number;
  constructor(features: Iterable<string>) {
    this.features = new Set(features);
    for (const name of this.features) {
      const bits = FEATURES[name];
      if (bits === undefined) throw new CpuModelError(`unknown CPU feature "${name}"; known are: ${Object.keys(FEATURES).join(' ')}`);
      for (const [word, bit] of bits) this.#words.set(word, (this.#words.get(word) ?? 0) | (1 << bit));
    }
    this.xcr0 = this.has('avx') ? 7 : 3;
  }
  has(feature: string): boolean {
    return this.features.has(feature);
  }
  /** The same text for the same features, and only for them. */
  get key(): string {
    return [...this.features].sort().join();
  }
  /** CPUID.1:EDX, which Linux passes as AT_HWCAP. */
  get hwcap(): number {
    return this.#word('1.edx') >>> 0;
  }
  #word(w: Word): number {
    return this.#words.get(w) ?? 0;
  }

  /** The four registers CPUID leaves for eax, ecx; unsigned or signed, 32 bits. */
  leaf(eax: number, ecx: number): Leaf {
    const leaf = eax >>> 0;
    const subleaf = ecx >>> 0;
    switch (leaf) {
      case 0: {
        const [b, d, c] = words('GenuineIntel', 3) as [number, number, number];
        return [13, b, c, d];
      }
      case 1:
        // Family 6, model 0x3c, stepping 3; CLFLUSH line 64 bytes, one logical processor.
        return [0x000306c3, 0x00010800, this.#word('1.ecx'), this.#word('1.edx')];
      case 2:
        // No descriptors: leaf 4 has the caches.
        return [1, 0xff, 0, 0];
      case 4:
        return CACHES[subleaf] ?? [0, 0, 0, 0];
      case 7:
        return subleaf === 0 ? [0, this.#word('7.ebx'), this.#word('7.ecx'), this.#word('7.edx')] : [0, 0, 0, 0];
      case 11:
        // One thread, one core.
        return subleaf === 0 ? [0, 1, 0x100, 0] : subleaf === 1 ? [0, 1, 0x201, 0] : [0, 0, subleaf, 0];
      case 13:
        return this.#xsaveLeaf(subleaf);
      case 0x80000000:
        return [0x80000008 | 0, 0, 0, 0];
      case 0x80000001:
        return [0, 0, this.#word('81.ecx'), this.#word('81.edx')];
      case 0x80000002: case 0x80000003: case 0x80000004:
        return words(BRAND.slice(16 * (leaf - 0x80000002), 16 * (leaf - 0x80000001)), 4) as unknown as Leaf;
      case 0x80000006:
        return [0, 0, 0x01006040, 0]; // L2: 256 KiB, 8-way, 64-byte lines
      case 0x80000008:
        return [0x302e, 0, 0, 0]; // 46 physical, 48 linear address bits
      default:
        return [0, 0, 0, 0];
    }
  }
  #xsaveLeaf(subleaf: number): Leaf {
    if (!this.has('xsave')) return [0, 0, 0, 0];
    const size = this.has('avx') ? 832 : 576;
    if (subleaf === 0) return [this.xcr0, size, size, 0];
    if (subleaf === 1) return [this.#word('13.eax'), size, 0, 0];
    if (subleaf === 2 && this.has('avx')) return [256, 576, 0, 0];
    return [0, 0, 0, 0];
  }
}
/** Deterministic cache parameters: L1d and L1i 32 KiB 8-way, L2 256 KiB 8-way, L3 8 MiB 16-way. */
const cache = (type: number, level: number, ways: number, sets: number): Leaf => [type | (level << 5) | (1 << 8), 63 | ((ways - 1) << 22), sets - 1, 0];
const CACHES: readonly Leaf[] = [cache(1, 1, 8, 64), cache(2, 1, 8, 64), cache(3, 2, 8, 512), cache(3, 3, 16, 8192)];
const BRAND = 'lunagate x86-64 user-mode processor'.padEnd(48, '\0');

/** `count` little-endian words of an ASCII text. */
function words(text: string, count: number): number[] {
  return Array.from({ length: count }, (_, k) => [0, 1, 2, 3].reduce((n, j) => n | ((text.charCodeAt(4 * k + j) || 0) << (8 * j)), 0));
}

const DEFAULT_LEVEL = 'x86-64-v3';
/** The model in use. Set once before any guest code runs. */
export let cpuModel = new CpuModel([...V3, 'rdtscp', 'fsgsbase', 'rdrand', 'rdseed']);
export function setCpuModel(model: CpuModel): void {
  cpuModel = model;
}
