// Whatever server a program connects to, it is this one: connections over IPv4 go to an HTTP server in this process,
// which answers with the address that was meant. The program believes that it speaks with that address.
//
//     node examples/api/mock-server.ts curl -s http://192.0.2.1/some/path

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Call, linux, run } from 'lunagate';

const [program = '', ...args] = process.argv.slice(2);
const meant = new Map<number, string>();

// Each connection is told from the others by the port it comes from.
const server = createServer((request, response) => {
  const address = meant.get(request.socket.remotePort ?? 0) ?? 'nobody';
  response.end(`you asked ${address} for ${request.url}\n`);
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const { port } = server.address() as AddressInfo;

/** The address in a struct sockaddr_in, or undefined for anything else. */
function parse(bytes: Uint8Array): string | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 16 || view.getUint16(0, true) !== linux.AF_INET) return undefined;
  return `${bytes.subarray(4, 8).join('.')}:${view.getUint16(2)}`;
}

/** The local port of the guest's socket. */
async function localPort(call: Pick<Call, 'memory' | 'scratch' | 'syscall'>, fd: number): Promise<number> {
  const address = await call.scratch(16);
  const length = await call.scratch(Uint8Array.of(16, 0, 0, 0));
  await call.syscall('getsockname', { fd, usockaddr: address, usockaddr_len: length });
  const [high = 0, low = 0] = await call.memory.read(address + 2, 2);
  return high * 256 + low;
}

const guest = run({
  program,
  args,
  stdio: 'inherit',
  hooks: {
    async connect(call) {
      const { uservaddr, addrlen } = call.args;
      const address = parse(await call.memory.read(uservaddr, addrlen));
      if (address === undefined) return undefined;
      // Bound first, so that its port is known before the server can see the connection.
      const own = new Uint8Array(16);
      new DataView(own.buffer).setUint16(0, linux.AF_INET, true);
      own.set([127, 0, 0, 1], 4);
      await call.syscall('bind', { fd: call.args.fd, umyaddr: own, addrlen: 16 });
      meant.set(await localPort(call, call.args.fd), address);
      new DataView(own.buffer).setUint16(2, port);
      return call.original({ uservaddr: own, addrlen: 16 });
    },
    async getpeername(call) {
      const result = await call.original();
      const address = meant.get(await localPort(call, call.args.fd));
      if (result === 0 && address !== undefined) {
        const [ip = '', number = ''] = address.split(':');
        await call.memory.write(call.args.usockaddr + 2, Uint8Array.of(Number(number) >> 8, Number(number) & 255, ...ip.split('.').map(Number)));
      }
      return result;
    },
  },
});
const { status } = await guest.exited;
server.close();
process.exitCode = status ?? 1;
