import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { HostPort, Lookup } from '../../address.ts';
import { resolveHosts } from '../../address.ts';
import { NetworkUnreachableError } from '../../index.ts';
import type { CheckResult } from './report.ts';

/** The addresses of a name, in the order in which they are tried. */
export interface Named {
  readonly result: CheckResult;
  readonly addresses: readonly string[];
}

/** Whether a name has addresses, by the resolver that a connect asks. */
export async function checkName(target: HostPort, lookup?: Lookup): Promise<Named> {
  const started = performance.now();
  const ms = (): number => performance.now() - started;
  try {
    const found = await resolveHosts(target, 0, {}, lookup);
    const addresses = found.map(({ address }) => address);
    const detail =
      isIP(target.host.split('%')[0] ?? '') === 0
        ? `${target.host} is ${addresses.join(', ')}`
        : `${target.host} is an address`;
    return { addresses, result: { status: 'passed', ms: ms(), detail, facts: { addresses } } };
  } catch (error) {
    return { addresses: [], result: { status: 'failed', ms: ms(), error } };
  }
}

/** Whether the system knows a way to one of them. Nothing is sent: a datagram socket that is connected only asks for the route. */
export async function checkRoute(
  addresses: readonly string[],
  { host, port }: HostPort,
): Promise<CheckResult> {
  const started = performance.now();
  const routes: { to: string; from: string; interface: string | null }[] = [];
  let failure: NodeJS.ErrnoException | undefined;
  for (const to of addresses) {
    try {
      const from = await sourceFor(to, port);
      routes.push({ to, from, interface: interfaceOf(from) });
    } catch (error) {
      failure ??= error as NodeJS.ErrnoException;
    }
  }
  const ms = performance.now() - started;
  if (routes.length === 0) {
    const code = failure?.code ?? 'UNKNOWN';
    const error = new NetworkUnreachableError(
      `This machine has no route to ${addresses.join(', ')} (${code}). Look at its interfaces and routes.`,
      {
        origin: 'path',
        context: { peer: `${host}:${port}` },
        cause: failure,
        system: { code, errno: failure?.errno ?? 0 },
      },
    );
    return { status: 'failed', ms, error };
  }
  const several = addresses.length > 1;
  const words = routes.map(
    ({ to, from, interface: by }) =>
      `${several ? `${to} ` : ''}from ${from}${by === null ? '' : ` by ${by}`}`,
  );
  const without = addresses.length - routes.length;
  const rest = without === 0 ? '' : `; none to ${without} more`;
  return { status: 'passed', ms, detail: `${words.join(', ')}${rest}`, facts: { routes } };
}

/** The address of this machine that the system would send from. */
async function sourceFor(to: string, port: number): Promise<string> {
  const socket = createSocket(isIP(to.split('%')[0] ?? to) === 6 ? 'udp6' : 'udp4');
  try {
    const connected = once(socket, 'connect');
    socket.connect(port, to);
    await connected;
    return socket.address().address;
  } finally {
    socket.close();
  }
}

function interfaceOf(address: string): string | null {
  for (const [name, addresses] of Object.entries(networkInterfaces())) {
    if (addresses?.some((one) => one.address === address.split('%')[0])) return name;
  }
  return null;
}
