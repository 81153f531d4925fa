/** struct termios as strace prints it: the flag words, with the speed and the fields that are no single bits first. */

import { u32 } from './call.ts';
import { flagsText } from './constants.ts';

interface BitField {
  readonly mask: number;
  readonly names: readonly string[];
  readonly shift: number;
}

/** Fields of c_oflag: delays. */
const delays: readonly BitField[] = [
  { mask: 0o400, shift: 8, names: ['NL0', 'NL1'] },
  { mask: 0o3000, shift: 9, names: ['CR0', 'CR1', 'CR2', 'CR3'] },
  { mask: 0o14000, shift: 11, names: ['TAB0', 'TAB1', 'TAB2', 'TAB3'] },
  { mask: 0o20000, shift: 13, names: ['BS0', 'BS1'] },
  { mask: 0o40000, shift: 14, names: ['VT0', 'VT1'] },
  { mask: 0o100000, shift: 15, names: ['FF0', 'FF1'] },
];
const characterSize: BitField = { mask: 0o60, shift: 4, names: ['CS5', 'CS6', 'CS7', 'CS8'] };

const CBAUD = 0o010017;
const FAST = 0o010000;
const speeds = [
  'B0',
  'B50',
  'B75',
  'B110',
  'B134',
  'B150',
  'B200',
  'B300',
  'B600',
  'B1200',
  'B1800',
  'B2400',
  'B4800',
  'B9600',
  'B19200',
  'B38400',
];
const fastSpeeds = [
  'BOTHER',
  'B57600',
  'B115200',
  'B230400',
  'B460800',
  'B500000',
  'B576000',
  'B921600',
  'B1000000',
  'B1152000',
  'B1500000',
  'B2000000',
  'B2500000',
  'B3000000',
  'B3500000',
  'B4000000',
];

function field(word: number, { mask, shift, names }: BitField): string {
  return names[(word & mask) >>> shift] as string;
}

/** Names of the fields, then of the single bits that are set. */
function flagWord(set: string, word: number, first: readonly string[], mask: number): string {
  const rest = (word & ~mask) >>> 0;
  return rest === 0 && first.length > 0 ? first.join('|') : [...first, flagsText(set, rest)].join('|');
}

export function termios(view: DataView): string {
  const output = u32(view, 4);
  const control = u32(view, 8);
  const speed = (control & FAST) === 0 ? speeds[control & 0o17] : fastSpeeds[control & 0o17];
  const delayMask = delays.reduce((mask, d) => mask | d.mask, 0);
  return (
    `{c_iflag=${flagsText('termios_iflag', u32(view, 0))}, c_oflag=${flagWord(
      'termios_oflag',
      output,
      delays.map((d) => field(output, d)),
      delayMask,
    )}, ` +
    `c_cflag=${flagWord('termios_cflag', control, [speed as string, field(control, characterSize)], CBAUD | characterSize.mask)}, ` +
    `c_lflag=${flagsText('termios_lflag', u32(view, 12))}, ...}`
  );
}
