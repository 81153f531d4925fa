/**
 * What the processor and Linux make of an access beyond the guest's address space, which the host's page tables never
 * saw: the address comes from the instruction and its registers once more. Only for code that kept them (precise mode).
 *
 * A canonical address is a page fault like any other. One that is not is #GP, or #SS if the access goes through the
 * stack segment, as those with rsp or rbp as their base do; neither tells the address.
 */
import type { TrapSignal } from './linux.ts';
import { trapSignal } from './linux.ts';
import { BASE_RIP, type Insn } from './insn.ts';
import { TRAP } from './traps.ts';

/** Registers by name, as GuestCpu has them. */
export type ReadRegister = (name: string) => bigint;
const NAMES = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'];
const RSP = 4;
const RBP = 5;
const SIGSEGV = 11;
const SEGV_MAPERR = 1;
const NO_FLOAT = { mxcsr: 0, x87Control: 0, x87Status: 0 };

interface Access {
  readonly address: bigint;
  readonly stack: boolean;
}
const wrap = (v: bigint): bigint => BigInt.asUintN(64, v);

/** The addresses an instruction may access, explicit operand first. */
function accesses(insn: Insn, register: ReadRegister): Access[] {
  const list: Access[] = [];
  const value = (n: number): bigint => register(NAMES[n] as string);
  const segment = insn.segment === 4 ? register('fs_base') : insn.segment === 5 ? register('gs_base') : 0n;
  const add = (address: bigint, stack: boolean): void => {
    const effective = insn.addrSize === 32 ? BigInt.asUintN(32, address) : address;
    list.push({ address: wrap(effective + segment), stack: stack && insn.segment < 0 });
  };
  const { mnemonic } = insn.enc;
  if (insn.memory && !insn.enc.operands.some((o) => o.place === 'vsib')) {
    let address = BigInt(insn.disp);
    if (insn.base === BASE_RIP) address += BigInt(insn.pc + insn.length);
    else if (insn.base >= 0) address += value(insn.base);
    if (insn.index >= 0) address += value(insn.index) << BigInt(insn.scale);
    add(wrap(address), insn.base === RSP || insn.base === RBP);
  }
  for (const o of insn.enc.operands) if (o.place === 'O') add((BigInt(insn.immHigh) << 32n) | BigInt(insn.imm >>> 0), false);
  // MOVSD and CMPSD are vector instructions too, with a ModRM byte
  const string = insn.modrm < 0;
  if (string && /^(movs|cmps|lods)[bwdq]?$/.test(mnemonic)) add(value(6), false);
  if (string && /^(movs|cmps|stos|scas)[bwdq]?$/.test(mnemonic)) list.push({ address: insn.addrSize === 32 ? BigInt.asUintN(32, value(7)) : value(7), stack: false });
  if (/^(push|call|enter)/.test(mnemonic)) list.push({ address: wrap(value(RSP) - 8n), stack: true });
  if (/^(pop|ret)/.test(mnemonic)) list.push({ address: value(RSP), stack: true });
  if (mnemonic === 'leave') list.push({ address: value(RBP), stack: true });
  return list;
}

/** Signal and si_addr of the access by `insn` that lies at or beyond `limit`; undefined if none is found. */
export function wildAccess(insn: Insn, register: ReadRegister, limit: number): { signal: TrapSignal; address: bigint } | undefined {
  // an access may begin below the limit and end beyond
  const wild = accesses(insn, register).find((a) => a.address > BigInt(limit) - 64n);
  if (wild === undefined) return undefined;
  const high = BigInt.asIntN(64, wild.address) >> 47n;
  if (high === 0n || high === -1n) return { signal: { signal: SIGSEGV, code: SEGV_MAPERR, address: true }, address: wild.address };
  return { signal: trapSignal(wild.stack ? TRAP.stack : TRAP.protection, NO_FLOAT), address: 0n };
}
