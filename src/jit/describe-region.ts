/** A region as text, stage by stage: guest code, IR, IR that is left of it, WebAssembly. For whoever wants to know why it is slow. */
import type { Builder } from '../ir/builder.ts';
import type { Frontend } from '../ir/frontend.ts';
import { printOperation, printRegion, printTerminator } from '../ir/printer.ts';
import { Analysis } from './analysis.ts';
import type { Lowering, RegionOptions } from './lower.ts';
import type { CodeSource, Extent } from './reach.ts';
import { buildRegion } from './region.ts';
import { printBody } from './wasm-text.ts';

export function describeRegion(
  ir: Builder,
  frontend: Frontend,
  code: CodeSource,
  pc: number,
  extent: Extent,
  lowering: Lowering,
  options: RegionOptions,
): string {
  const guest: string[] = [];
  const region = buildRegion(ir, frontend, code, pc, extent);
  if (region === undefined) return 'nothing is executable there\n';
  for (const at of ir.marks) {
    const window = code.window(at);
    const insn = window && frontend.decode(window.bytes, window.at, at);
    if (insn !== undefined) guest.push(`  ${at.toString(16)}: ${frontend.format(insn)}`);
  }
  const before = printRegion(ir);
  const { hotParams, hotResults, isaVars, precise, sync, flagVars } = options;
  const analysis = new Analysis();
  analysis.run(ir, region.entry, hotParams, hotResults, isaVars, precise, sync, flagVars);
  const after: string[] = [];
  for (const block of analysis.order) {
    after.push(`block ${block.id}${block.pc >= 0 ? ` (pc 0x${block.pc.toString(16)})` : ''}:`);
    for (let v = block.start; v < block.end; v++)
      if (analysis.needed[v] === 1) after.push(`  ${printOperation(ir, v)}`);
    after.push(`  ${block.term === undefined ? '(open)' : printTerminator(block.term)}`);
  }
  const helpers: string[] = [];
  const index = (name: string): number => (helpers.includes(name) ? helpers.indexOf(name) : helpers.push(name) - 1);
  const imports = { regionType: 0, helper: (h: { name: string }) => index(h.name), runtime: index };
  const { body, locals } = lowering.region(ir, region.entry, imports, options);
  return [
    `${region.instructions} instructions; ${ir.count} operations; ${body.length} bytes of WebAssembly, ${locals.length} locals`,
    `\n; guest code\n${guest.join('\n')}`,
    `\n; IR before passes\n${before}`,
    `; IR after passes, blocks in order\n${after.join('\n')}`,
    `\n; WebAssembly (locals 0, 1, 2: depth and the hot parameters${helpers.length === 0 ? '' : `; functions: ${helpers.map((h, k) => `${k} ${h}`).join(', ')}`})`,
    printBody(body),
    '',
  ].join('\n');
}
