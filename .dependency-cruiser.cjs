// Who may import whom (see docs). A folder may import itself and what stands behind it here; kernel/ports.ts, the
// ports that host, memory and jit implement, may be imported by all.
const allowed = {
  abi: [],
  elf: [],
  wasm: [],
  ir: [],
  // The signal frame of an ISA implements the interface in kernel/signals.ts, which speaks of the task.
  isa: ['ir', 'abi', 'kernel/signals', 'kernel/task'],
  jit: ['ir', 'wasm'],
  memory: ['abi'],
  host: ['memory', 'abi'],
  kernel: ['abi', 'memory'],
  loader: ['elf', 'abi', 'memory'],
  syscalls: ['abi', 'memory', 'kernel'],
  trace: ['abi', 'syscalls', 'kernel'],
  hooks: ['abi', 'syscalls', 'kernel', 'memory', 'api'],
  // What programs use: it runs on their node and must not load the engine.
  api: ['abi'],
  debug: ['elf', 'kernel', 'memory', 'ir', 'isa'],
};

const rules = Object.entries(allowed).map(([folder, others]) => ({
  name: `${folder}-imports`,
  comment: `src/${folder} may import only ${['itself', ...others].join(', ')} and kernel/ports.ts`,
  severity: 'error',
  from: { path: `^src/${folder}/` },
  to: { path: '^src/', pathNot: [folder, ...others].map((f) => `^src/${f}(/|\\.ts$)`).concat('^src/kernel/ports\\.ts$') },
}));

module.exports = {
  forbidden: [
    ...rules,
    {
      name: 'no-cycles', severity: 'error', from: {}, to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'ffi-only-in-host', comment: 'only src/host may use the foreign-function package', severity: 'error',
      from: { pathNot: '^src/host/' }, to: { path: 'node_modules/(koffi|@koromix)' },
    },
    {
      name: 'cli-imports', comment: 'src/cli reaches the engine through src/emulator.ts only', severity: 'error',
      from: { path: '^src/cli/' }, to: { path: '^src/(isa|jit|ir|wasm|memory|kernel|hooks|trace|debug|host)/', pathNot: '^src/kernel/ports\\.ts$' },
    },
    {
      name: 'only-cli-imports-the-emulator', severity: 'error',
      from: { path: '^src/', pathNot: '^src/(cli/|index\\.ts$|emulator\\.ts$)' }, to: { path: '^src/emulator\\.ts$' },
    },
    { name: 'no-unresolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node'], extensions: ['.ts', '.js', '.json'] },
  },
};
