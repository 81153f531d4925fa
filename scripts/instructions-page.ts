/**
 * Writes docs/instructions.md from the declarations and from what the tests judge: `node scripts/instructions-page.ts`. A test
 * fails when the page and these differ, or when a mnemonic has no test.
 */

import { writeFileSync } from 'node:fs';
import { ENCODINGS, type Encoding } from '../src/isa/x86_64/declare.ts';
import '../src/isa/x86_64/instructions/index.ts';
import { JUDGES, ownTests } from '../test/isa/x86_64/judges.ts';

/** Rows by mnemonic, in alphabetical order. */
export function mnemonics(): Map<string, Encoding[]> {
  const byName = Map.groupBy(ENCODINGS, (row) => row.mnemonic);
  return new Map([...byName].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** What judges a mnemonic: of how many of its encodings, by which test; tests of its own. */
export function judgedBy(mnemonic: string, rows: readonly Encoding[]): string[] {
  const judged = JUDGES.flatMap(({ name, judges }) => {
    const count = rows.filter(judges).length;
    return count === 0 ? [] : [count === rows.length ? name : `${name} (${count})`];
  });
  return [...judged, ...ownTests(mnemonic).map((file) => `[${file.replace(/^.*\//, '')}](../${file})`)];
}

function line(mnemonic: string, rows: readonly Encoding[]): string {
  const features = new Set(rows.flatMap(({ options }) => [options.cpuid, options.needs]).filter((f) => f !== undefined));
  return `| ${mnemonic} | ${rows.length} | ${[...features].join(' ')} | ${judgedBy(mnemonic, rows).join(', ')} |`;
}

/** The whole page. */
export function instructionsPage(): string {
  const all = mnemonics();
  return `# Instructions

Generated from the declarations in \`src/isa/x86_64/instructions\` by \`scripts/instructions-page.ts\`; do not edit.
${all.size} mnemonics, ${ENCODINGS.length} encodings.

Every encoding is also decoded, printed and assembled: against iced-x86
([decode.test.ts](../test/isa/x86_64/decode.test.ts)) and against each other ([encode.test.ts](../test/isa/x86_64/encode.test.ts)).
The last column tells what else judges it; a number, if not all encodings of the mnemonic:

${JUDGES.map(({ name, file, what }) => `- **${name}**: ${what} ([${file.replace(/^.*\//, '')}](../${file})).`).join('\n')}
- A file: a test made for it.

\`npm run nightly\` runs these with 2,000 cases an encoding.

| mnemonic | encodings | CPU feature | judged |
|---|---:|---|---|
${[...all].map(([mnemonic, rows]) => line(mnemonic, rows)).join('\n')}
`;
}

if (import.meta.main) {
  writeFileSync(new URL('../docs/instructions.md', import.meta.url), instructionsPage());
}
