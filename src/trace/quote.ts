/** Strings as strace prints them: C escapes, octal for the rest, cut at 32 characters. */

/** strace's -s default. */
export const STRING_LIMIT = 32;

const named: Readonly<Record<number, string>> = {
  0x22: '\\"',
  0x5c: '\\\\',
  0x0c: '\\f',
  0x0a: '\\n',
  0x0d: '\\r',
  0x09: '\\t',
  0x0b: '\\v',
};

/** Escaped without the quotes. An octal escape has its three digits only where a digit follows. */
export function escape(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] as number;
    const name = named[byte];
    if (name !== undefined) text += name;
    else if (byte >= 0x20 && byte < 0x7f) text += String.fromCharCode(byte);
    else {
      const next = bytes[i + 1];
      const digits = byte.toString(8);
      text += `\\${next !== undefined && next >= 0x30 && next <= 0x37 ? digits.padStart(3, '0') : digits}`;
    }
  }
  return text;
}

/** Whole, in quotes: paths, names. */
export function quote(bytes: Uint8Array): string {
  return `"${escape(bytes)}"`;
}

/** In quotes, at most 32 bytes, then `...`. `more`: there is more than `bytes` holds. */
export function quoteCut(bytes: Uint8Array, more = false): string {
  if (bytes.length <= STRING_LIMIT && !more) return quote(bytes);
  return `${quote(bytes.subarray(0, STRING_LIMIT))}...`;
}

/** As `quoteCut`, every byte in hexadecimal: random data. */
export function quoteHex(bytes: Uint8Array): string {
  const text = [...bytes.subarray(0, STRING_LIMIT)].map((b) => `\\x${b.toString(16).padStart(2, '0')}`).join('');
  return `"${text}"${bytes.length > STRING_LIMIT ? '...' : ''}`;
}
