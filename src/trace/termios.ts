/** struct termios in strace 6.1's short form: speed, then the settings that stty names, those off with a dash. */

import { u32 } from './call.ts';

const CBAUD = 0o010017;
const OPOST = 1;
const ISIG = 1;
const ICANON = 2;
const ECHO = 0o10;

const speeds = [
  'B0', 'B50', 'B75', 'B110', 'B134', 'B150', 'B200', 'B300', 'B600', 'B1200', 'B1800', 'B2400', 'B4800', 'B9600', 'B19200', 'B38400',
];
const fastSpeeds = [
  'BOTHER', 'B57600', 'B115200', 'B230400', 'B460800', 'B500000', 'B576000', 'B921600', 'B1000000', 'B1152000', 'B1500000', 'B2000000',
  'B2500000', 'B3000000', 'B3500000', 'B4000000',
];

export function termios(view: DataView): string {
  const output = u32(view, 4);
  const control = u32(view, 8);
  const local = u32(view, 12);
  const speed = control & CBAUD;
  const name = (speed & 0o010000) === 0 ? speeds[speed] : fastSpeeds[speed & 0o17];
  const on = (word: number, bit: number, text: string): string => ((word & bit) !== 0 ? text : `-${text}`);
  return `{${name} ${on(output, OPOST, 'opost')} ${on(local, ISIG, 'isig')} ${on(local, ICANON, 'icanon')} ${on(local, ECHO, 'echo')} ...}`;
}

