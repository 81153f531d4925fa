/** How an argument is printed when all that is known of it is its declared type. */

import type { Syscall, ValueType } from '../syscalls/declare.ts';
import { array, buffer, device, dirfd, id, path, sigsetAt, signal, string, stringList } from './basics.ts';
import { address, type Call, hex, octal, type Text } from './call.ts';
import { quoteCut, STRING_LIMIT } from './quote.ts';
import { iovecs, sockaddr } from './sockets.ts';
import { structPrinter, symbolic } from './structures.ts';

export function argumentText(call: Call, k: number): Text {
  const { type } = call.syscall.args[k] as Syscall['args'][number];
  return type.pointer ? pointerText(call, k, type) : plainText(call, k, type);
}

function plainText(call: Call, k: number, type: ValueType): string {
  switch (type.kind) {
    case 'dirfd':
      return dirfd(call.int(k));
    case 'fd':
    case 'int':
    case 'pid':
    case 'errno-status':
      return String(call.int(k));
    case 'uint':
      return String(call.uint(k));
    case 'hex':
      return hex(call.uint(k));
    case 'uid':
    case 'gid':
      return id(call.uint(k));
    case 'mode':
      return octal(call.uint(k) & 0xffff);
    case 'dev':
      return device(BigInt(call.uint(k)));
    case 'signal':
      return signal(call.int(k));
    case 'flags':
    case 'enum':
      return symbolic(type.set ?? '', type.kind === 'enum' ? BigInt(call.int(k)) : call.ulong(k), 32);
    case 'address':
      return address(call.ulong(k));
    case 'long':
    case 'offset':
    case 'time':
      return String(call.long(k));
    default:
      return String(call.ulong(k));
  }
}

/** The value of the argument that counts this one's elements; undefined if none does. */
function countOf(call: Call, type: ValueType): number | undefined {
  const k = call.syscall.args.findIndex((a) => a.name === type.count);
  if (k < 0) return undefined;
  if (!type.countIsPointer) return call.syscall.args[k]?.type.kind === 'int' ? call.int(k) : call.at(k);
  return call.view(call.at(k), 4)?.getInt32(0, true);
}

function pointerText(call: Call, k: number, type: ValueType): Text {
  const addr = call.at(k);
  const count = countOf(call, type) ?? 0;
  switch (type.kind) {
    case 'path':
      return path(call, addr);
    case 'string':
      return string(call, addr);
    case 'string-list':
      return stringList(call, addr);
    case 'buffer':
      return type.direction === 'in' ? buffer(call, addr, count) : bufferOut(call, addr, type);
    case 'struct':
      return structText(call, addr, type);
    case 'array':
      return arrayText(call, addr, type, count);
    case 'iovec':
      return type.direction === 'in' ? iovecs(call, addr, count, () => true) : iovecsOut(call, addr, count);
    case 'sockaddr':
      return type.direction === 'in'
        ? sockaddr(call, addr, count)
        : () => (call.failed ? address(addr) : sockaddr(call, addr, countOf(call, type) ?? 0));
    case 'sigset':
      return type.direction === 'in'
        ? sigsetAt(call, addr, count)
        : () => (call.failed ? address(addr) : sigsetAt(call, addr, count));
    default:
      return address(addr);
  }
}

/** What the call wrote: as many bytes as it says. */
function bufferOut(call: Call, addr: number, type: ValueType): Text {
  if (addr === 0) return 'NULL';
  return () => {
    if (call.failed) return address(addr);
    const length = type.countIsPointer ? (countOf(call, type) ?? 0) : Number(call.result);
    const bytes = call.bytes(addr, Math.min(length, STRING_LIMIT + 1));
    return bytes === undefined ? address(addr) : quoteCut(bytes);
  };
}

function iovecsOut(call: Call, addr: number, count: number): Text {
  return () => {
    if (call.failed) return iovecs(call, addr, count, () => false);
    let left = Number(call.result);
    return iovecs(call, addr, count, (length) => {
      const here = Math.min(left, length);
      left -= here;
      return here;
    });
  };
}

function structText(call: Call, addr: number, type: ValueType): Text {
  const print = structPrinter(type.set ?? '');
  if (print === undefined || type.size === 0) return address(addr);
  const render = (view: DataView): string => print(view, call);
  if (type.direction === 'out') return call.derefOut(addr, type.size, render);
  const before = call.deref(addr, type.size, render);
  if (type.direction === 'in' || addr === 0) return before;
  return () => {
    const after = call.failed ? before : call.deref(addr, type.size, render);
    return after === before ? before : `${before} => ${after}`;
  };
}

function arrayText(call: Call, addr: number, type: ValueType, count: number): Text {
  const print = structPrinter(type.set ?? '');
  if (print === undefined || type.size === 0) return address(addr);
  // A scalar's printer puts it in brackets of its own.
  const one = (view: DataView): string => print(view, call).replace(/^\[(.*)\]$/, '$1');
  const all = (n: number): string => array(call, addr, n, type.size, one);
  if (type.elements > 0)
    return type.direction === 'out' ? () => (call.failed ? address(addr) : all(type.elements)) : all(type.elements);
  if (type.direction !== 'out') return all(count);
  return () => (call.failed ? address(addr) : all(Math.min(count, Number(call.result))));
}
