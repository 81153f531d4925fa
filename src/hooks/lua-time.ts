/**
 * Broken-down time for Lua's os.date and os.time, in the host's time zone (JavaScript knows it) and the C locale.
 */

import type { Tm } from './lua-system.ts';

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];

/** localtime(3), or gmtime(3) with `utc`. */
export function brokenDownTime(seconds: number, utc: boolean): Tm {
  const d = new Date(seconds * 1000);
  const offset = utc ? 0 : -d.getTimezoneOffset();
  // The same instant shifted by the zone's offset, read in UTC: no local-time arithmetic.
  const local = new Date(d.getTime() + offset * 60000);
  const year = local.getUTCFullYear();
  const usual = Math.min(...[0, 6].map((month) => -new Date(year, month, 1).getTimezoneOffset()));
  return {
    sec: local.getUTCSeconds(),
    min: local.getUTCMinutes(),
    hour: local.getUTCHours(),
    mday: local.getUTCDate(),
    mon: local.getUTCMonth(),
    year: year - 1900,
    wday: local.getUTCDay(),
    yday:
      Math.round((Date.UTC(2000, local.getUTCMonth(), local.getUTCDate()) - Date.UTC(2000, 0, 1)) / 86400000) -
      leapShift(year, local.getUTCMonth()),
    isdst: !utc && offset > usual ? 1 : 0,
    gmtoff: offset * 60,
  };
}

/** 2000 was a leap year: what to take off the day of the year in a year that is not. */
function leapShift(year: number, month: number): number {
  const leap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
  return leap || month < 2 ? 0 : 1;
}

/** mktime(3): seconds since the epoch of a local time; fields may be out of range. NaN if it cannot be said. */
export function secondsOf(tm: Tm): number {
  const date = new Date(tm.year + 1900, tm.mon, tm.mday, tm.hour, tm.min, tm.sec);
  if (tm.year + 1900 >= 0 && tm.year + 1900 < 100) date.setFullYear(tm.year + 1900);
  let seconds = date.getTime() / 1000;
  // tm_isdst says which of the two readings is meant: shift when it contradicts what the zone uses then.
  if (tm.isdst >= 0 && Number.isFinite(seconds)) {
    const is = brokenDownTime(seconds, false).isdst;
    if (is !== (tm.isdst > 0 ? 1 : 0)) {
      const year = date.getFullYear();
      const [a, b] = [0, 6].map((month) => new Date(year, month, 1).getTimezoneOffset() * 60) as [number, number];
      const shift = Math.abs(a - b);
      seconds += is === 1 ? shift : -shift;
    }
  }
  return Math.floor(seconds);
}

/** strftime(3) in the C locale. */
export function formatTime(format: string, tm: Tm): string {
  return format.replace(/%([EO]?)(.)/gs, (whole, _modifier: string, letter: string) => {
    const field = conversions[letter];
    return field === undefined ? whole : field(tm);
  });
}

const pad = (value: number, width = 2, fill = '0'): string => String(value).padStart(width, fill);
const hour12 = (tm: Tm): number => tm.hour % 12 || 12;

const conversions: Readonly<Record<string, (tm: Tm) => string>> = {
  a: (t) => (DAYS[t.wday] ?? '?').slice(0, 3),
  A: (t) => DAYS[t.wday] ?? '?',
  b: (t) => (MONTHS[t.mon] ?? '?').slice(0, 3),
  B: (t) => MONTHS[t.mon] ?? '?',
  c: (t) => formatTime('%a %b %e %H:%M:%S %Y', t),
  C: (t) => pad(Math.floor((t.year + 1900) / 100)),
  d: (t) => pad(t.mday),
  D: (t) => formatTime('%m/%d/%y', t),
  e: (t) => pad(t.mday, 2, ' '),
  F: (t) => formatTime('%Y-%m-%d', t),
  g: (t) => pad(isoWeek(t).year % 100),
  G: (t) => String(isoWeek(t).year),
  h: (t) => (MONTHS[t.mon] ?? '?').slice(0, 3),
  H: (t) => pad(t.hour),
  I: (t) => pad(hour12(t)),
  j: (t) => pad(t.yday + 1, 3),
  m: (t) => pad(t.mon + 1),
  M: (t) => pad(t.min),
  n: () => '\n',
  p: (t) => (t.hour < 12 ? 'AM' : 'PM'),
  r: (t) => formatTime('%I:%M:%S %p', t),
  R: (t) => formatTime('%H:%M', t),
  s: (t) => String(secondsOf(t)),
  S: (t) => pad(t.sec),
  t: () => '\t',
  T: (t) => formatTime('%H:%M:%S', t),
  u: (t) => String(t.wday || 7),
  U: (t) => pad(Math.floor((t.yday + 7 - t.wday) / 7)),
  V: (t) => pad(isoWeek(t).week),
  w: (t) => String(t.wday),
  W: (t) => pad(Math.floor((t.yday + 7 - ((t.wday + 6) % 7)) / 7)),
  x: (t) => formatTime('%m/%d/%y', t),
  X: (t) => formatTime('%H:%M:%S', t),
  y: (t) => pad((((t.year + 1900) % 100) + 100) % 100),
  Y: (t) => String(t.year + 1900),
  z: (t) =>
    `${t.gmtoff < 0 ? '-' : '+'}${pad(Math.floor(Math.abs(t.gmtoff) / 3600))}${pad(Math.floor(Math.abs(t.gmtoff) / 60) % 60)}`,
  Z: (t) => zoneName(t),
  '%': () => '%',
};

/** ISO 8601 week number and the year it belongs to. */
function isoWeek(t: Tm): { year: number; week: number } {
  const thursday = new Date(Date.UTC(t.year + 1900, 0, 1 + t.yday + 3 - ((t.wday + 6) % 7)));
  const year = thursday.getUTCFullYear();
  const day = (thursday.getTime() - Date.UTC(year, 0, 1)) / 86400000;
  return { year, week: Math.floor(day / 7) + 1 };
}

function zoneName(t: Tm): string {
  if (t.gmtoff === 0 && new Date(secondsOf(t) * 1000).getTimezoneOffset() !== 0) return 'GMT';
  const parts = new Intl.DateTimeFormat('en-US', { timeZoneName: 'short' }).formatToParts(
    new Date(secondsOf(t) * 1000),
  );
  return parts.find((p) => p.type === 'timeZoneName')?.value ?? 'UTC';
}
