/** CPUID, time stamp, random numbers, FS/GS base, XGETBV, hints and fences, cache control, and what user mode may not do. */
import type { Helper, Value } from '../../../ir/builder.ts';
import { FS_BASE, GS_BASE, RAX, RBX, RCX, RDX, RFLAGS, STATE } from '../cpu-state.ts';
import { cpuModel } from '../cpuid.ts';
import { enc, encWith, instruction } from '../declare.ts';
import type { Emitter } from '../emitter.ts';
import { AL, DX, eAX, Ev, Ew, Ib, Mb, Mp, r, Rq, Rv, Ry, w } from '../operands.ts';
import { TRAP } from '../traps.ts';

export const CPUID: Helper = {
  name: 'cpuid',
  params: ['i32', 'i32'],
  results: [],
  effect: 'state',
  js(env, eax, ecx) {
    cpuModel.leaf(Number(eax), Number(ecx)).forEach((v, k) => env.state.setInt32(STATE.scratch + 4 * k, v | 0, true));
    return undefined;
  },
};
instruction('cpuid', { untestable: 'tells about us, not the host' }, [enc('0F A2')], (x) => {
  const { ir } = x;
  ir.call(CPUID, [x.gpr(0, 32), x.gpr(1, 32)]);
  [RAX, RBX, RCX, RDX].forEach((v, k) => ir.set(v, ir.stateLoad('i64.load32_u', STATE.scratch + 4 * k)));
});

/** Nanoseconds as a time-stamp counter of 1 GHz. */
export const TIME_STAMP: Helper = {
  name: 'time_stamp',
  params: [],
  results: ['i64'],
  effect: 'state',
  js: () => process.hrtime.bigint(),
};
function readTimeStamp(x: Emitter): void {
  const { ir } = x;
  const t = ir.call(TIME_STAMP, [])[0] as Value;
  ir.set(RAX, ir.i64.and(t, ir.const64(0xffffffff)));
  ir.set(RDX, ir.i64.shr_u(t, ir.const64(32)));
}
const TIME = 'time';
instruction('rdtsc', { untestable: TIME }, [enc('0F 31')], readTimeStamp);
/** IA32_TSC_AUX as Linux sets it: the node from bit 12 on, the processor below. */
export const TSC_AUX: Helper = {
  name: 'tsc_aux',
  params: [],
  results: ['i64'],
  effect: 'state',
  js(env) {
    const { cpu, node } = env.processor?.() ?? { cpu: 0, node: 0 };
    return (BigInt(node) << 12n) | BigInt(cpu);
  },
};
const tscAux = (x: Emitter): Value => x.ir.call(TSC_AUX, [])[0] as Value;
instruction('rdtscp', { untestable: TIME, cpuid: 'rdtscp' }, [enc('0F 01 F9')], (x) => {
  readTimeStamp(x);
  x.ir.set(RCX, tscAux(x));
});
instruction('rdpid', { untestable: 'which CPU it runs on', cpuid: 'rdpid' }, [encWith({ f64: true }, 'F3 0F C7 /7', w(Rq))], (x, dst) => x.write(dst, tscAux(x)));

const randomWords = new BigUint64Array(1);
export const RANDOM: Helper = {
  name: 'random',
  params: [],
  results: ['i64'],
  effect: 'state',
  js() {
    crypto.getRandomValues(randomWords);
    return randomWords[0];
  },
};
for (const [name, digit] of [['rdrand', 6], ['rdseed', 7]] as const) {
  instruction(name, { flags: 'oszapc', untestable: 'random', cpuid: name }, [enc(`NFx 0F C7 /${digit}`, w(Rv))], (x, dst) => {
    const v = x.ir.call(RANDOM, [])[0] as Value;
    x.write(dst, x.narrow(v, 64, x.size));
    x.flags.explicit(x.ir.const32(RFLAGS.CF)); // always successful
  });
}

const BASES = [['rdfsbase', 0, FS_BASE], ['rdgsbase', 1, GS_BASE], ['wrfsbase', 2, FS_BASE], ['wrgsbase', 3, GS_BASE]] as const;
for (const [name, digit, base] of BASES) {
  const write = digit >= 2;
  instruction(name, { cpuid: 'fsgsbase', untestable: 'the host thread needs its own FS and GS' }, [enc(`F3 0F AE /${digit}`, write ? r(Ry) : w(Ry))], (x, operand) => {
    const { ir } = x;
    if (!write) {
      const v = ir.get(base);
      x.write(operand, x.size === 64 ? v : ir.i32.wrap_i64(v));
      return;
    }
    const v = x.read(operand);
    if (x.size === 64) {
      // Non-canonical: #GP.
      x.trapIf(ir.i64.ne(ir.i64.shr_s(ir.i64.shl(v, ir.const64(16)), ir.const64(16)), v), TRAP.protection);
      ir.set(base, v);
    } else ir.set(base, ir.i64.extend_i32_u(v));
  });
}

// ---- no effect ----

const nothing = (): void => {};
const fence = (x: Emitter): void => x.ir.fence();
instruction('nop', {}, [enc('90'), enc('0F 1F /r', Ev), ...[0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e].map((b) => enc(`0F ${b.toString(16).toUpperCase()} /r`, Ev)), enc('0F 18 /4', Ev), enc('0F 18 /5', Ev), enc('0F 18 /6', Ev), enc('0F 18 /7', Ev)], nothing);
instruction('pause', {}, [enc('F3 90')], nothing);
instruction('endbr64', {}, [enc('F3 0F 1E FA')], nothing);
instruction('endbr32', {}, [enc('F3 0F 1E FB')], nothing);
for (const [name, row] of [['prefetchnta', '0F 18 /0'], ['prefetcht0', '0F 18 /1'], ['prefetcht1', '0F 18 /2'], ['prefetcht2', '0F 18 /3'], ['prefetch', '0F 0D /0'], ['prefetchw', '0F 0D /1'], ['prefetchwt1', '0F 0D /2'], ['prefetchw', '0F 0D /3'], ['prefetch', '0F 0D /4'], ['prefetch', '0F 0D /5'], ['prefetch', '0F 0D /6'], ['prefetch', '0F 0D /7']] as const) instruction(name, {}, [enc(row, Mb)], nothing);
// 0F 18 /0 … /3 on a register is a NOP too.
instruction('nop', {}, [0, 1, 2, 3].map((d) => enc(`0F 18 /${d}`, Rv)), nothing);
instruction('lfence', {}, [enc('NP 0F AE E8+i')], fence);
instruction('mfence', {}, [enc('NP 0F AE F0+i')], fence);
instruction('sfence', {}, [enc('NP 0F AE F8+i')], fence);
/** A cache line write-back touches the byte: it faults as a load does. */
const touch = (x: Emitter, m: typeof Mb): void => {
  x.ir.set(x.ir.temp('i32'), x.load(m, 'i32.load8_u'));
};
instruction('clflush', {}, [enc('NP 0F AE /7', r(Mb))], touch);
instruction('clflushopt', { cpuid: 'clflushopt' }, [enc('66 0F AE /7', r(Mb))], touch);
instruction('clwb', { cpuid: 'clwb' }, [enc('66 0F AE /6', r(Mb))], touch);

// ---- not for user mode: #GP ----

const PRIVILEGED = { flow: 'stop' } as const;
const denied = (x: Emitter): void => x.trap(TRAP.protection);
instruction('hlt', PRIVILEGED, [enc('F4')], denied);
instruction('cli', PRIVILEGED, [enc('FA')], denied);
instruction('sti', PRIVILEGED, [enc('FB')], denied);
instruction('in', PRIVILEGED, [enc('E4 ib', w(AL), r(Ib)), enc('E5 ib', w(eAX), r(Ib)), enc('EC', w(AL), r(DX)), enc('ED', w(eAX), r(DX))], denied);
instruction('out', PRIVILEGED, [enc('E6 ib', r(Ib), r(AL)), enc('E7 ib', r(Ib), r(eAX)), enc('EE', r(DX), r(AL)), enc('EF', r(DX), r(eAX))], denied);
instruction('ins', PRIVILEGED, [encWith({ rep: 'rep', sized: ['insb', 'insb', 'insb'] }, '6C'), encWith({ rep: 'rep', sized: ['insw', 'insd', 'insd'] }, '6D')], denied);
instruction('outs', PRIVILEGED, [encWith({ rep: 'rep', sized: ['outsb', 'outsb', 'outsb'] }, '6E'), encWith({ rep: 'rep', sized: ['outsw', 'outsd', 'outsd'] }, '6F')], denied);
instruction('invd', PRIVILEGED, [enc('0F 08')], denied);
instruction('wbinvd', PRIVILEGED, [enc('0F 09')], denied);
instruction('clts', PRIVILEGED, [enc('0F 06')], denied);
instruction('sysret', { ...PRIVILEGED, sized: ['sysret', 'sysret', 'sysretq'] }, [enc('0F 07')], denied);
instruction('wrmsr', PRIVILEGED, [enc('0F 30')], denied);
instruction('rdmsr', PRIVILEGED, [enc('0F 32')], denied);
instruction('rdpmc', PRIVILEGED, [enc('0F 33')], denied);
instruction('swapgs', PRIVILEGED, [enc('0F 01 F8')], denied);
instruction('invlpg', PRIVILEGED, [enc('0F 01 /7', Mb)], denied);
instruction('lgdt', PRIVILEGED, [enc('0F 01 /2', Mp)], denied);
instruction('lidt', PRIVILEGED, [enc('0F 01 /3', Mp)], denied);
instruction('lmsw', PRIVILEGED, [enc('0F 01 /6', r(Ew))], denied);
instruction('xsetbv', { ...PRIVILEGED, cpuid: 'osxsave' }, [enc('NP 0F 01 D1')], denied);
instruction('lldt', PRIVILEGED, [enc('0F 00 /2', r(Ew))], denied);
instruction('ltr', PRIVILEGED, [enc('0F 00 /3', r(Ew))], denied);
// Where the processor keeps these from user mode (UMIP), Linux stores values of its own in their stead (arch/x86/kernel/umip.c).
const UMIP = { group: 'umip' } as const;
for (const [name, digit, base] of [['sgdt', 0, 0xffff_ffff_fffe_0000n], ['sidt', 1, 0xffff_ffff_ffff_0000n]] as const) {
  instruction(name, UMIP, [enc(`0F 01 /${digit}`, w(Mp))], (x, dst) => {
    x.probeWrite(dst, 10);
    x.store(dst, 'i32.store16', x.ir.const32(0)); // limit
    x.store(dst, 'i64.store', x.ir.const64(base), 2);
  });
}
for (const [name, row, value] of [['smsw', '0F 01 /4', 0x8005_0033], ['sldt', '0F 00 /0', 0], ['str', '0F 00 /1', 0x40]] as const) {
  instruction(name, UMIP, [enc(row, w(Ev))], (x, dst) => {
    const { ir } = x;
    if (x.isMemory(dst)) x.store(dst, 'i32.store16', ir.const32(value));
    else if (x.size !== 32) x.write(dst, x.const(value));
    else {
      // the kernel copies four bytes into the saved register: the upper half stays
      const n = x.register(dst);
      x.setGpr(n, ir.i64.or(ir.i64.and(x.gpr(n), ir.const64(0xffffffff_00000000n)), ir.const64(value)));
    }
  });
}
