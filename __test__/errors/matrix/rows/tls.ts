// 0x0504: certificates that are none, are over, are another's, are signed by nobody known; and TLS that does not come to be.

import { strict as assert } from 'node:assert';
import { createServer } from 'node:https';
import type { SecureContextOptions } from 'node:tls';
import type { ConnectOptions } from '@seigr/stt';
import { SHORT_TIMINGS } from '@seigr/stt/testing';
import type { Certificates } from '../../../websocket/certificates.ts';
import { type Carried, carrier, connectsAnew } from '../carried.ts';
import { buildClock } from '../clock.ts';
import { type Context, serveEcho } from '../context.ts';
import { connectionsOf, listening } from '../gateway.ts';
import { certificates } from '../needs.ts';
import { NodeProcess } from '../node.ts';
import { type AnyRow, type Recovery, row } from '../row.ts';

interface Secured extends Carried {
  readonly certificates: Certificates;
  /** What the server shows from now on. */
  shows(identity: SecureContextOptions): void;
}

/** An endpoint behind an https server whose certificate can be replaced. */
async function secured(context: Context): Promise<Secured> {
  const identities = certificates();
  const web = createServer(identities.good, (_, response) => response.end());
  connectionsOf(context, web);
  const port = await listening(context, web);
  const both = await carrier(context, { websocket: { server: web }, port });
  const shows = (identity: SecureContextOptions): void => web.setSecureContext(identity);
  return { ...both, certificates: identities, shows };
}

type Tls = NonNullable<ConnectOptions['tls']>;

interface Bad {
  readonly title: string;
  readonly fault: string;
  readonly identity: (certificates: Certificates) => SecureContextOptions;
  readonly tls?: () => Tls;
  readonly reason: string;
  readonly says: RegExp;
  readonly recovery: Readonly<Record<string, Recovery<Secured>>>;
}

/** A row for one bad certificate: what the error says of it, and what mends it, on the same server. */
function certificateRow({ title, fault, identity, tls, reason, says, recovery }: Bad): AnyRow {
  return row({
    id: '0x0504',
    title,
    fault,
    needs: ['openssl'],
    async setup(context) {
      const state = await secured(context);
      const { ca } = state.certificates;
      return { ...state, tls: { ca } as Tls };
    },
    async baseline(state) {
      await connectsAnew(state, { tls: state.tls });
    },
    async inject(state) {
      state.shows(identity(state.certificates));
      state.tls = tls === undefined ? state.tls : tls();
    },
    async act({ connect, tls: given }, context) {
      await context.watch('client', 'connect', connect({ tls: given }));
    },
    expect: [
      {
        side: 'client',
        how: 'connect',
        code: 0x0504,
        facts: { transport: 'websocket', tlsReason: reason },
        says,
      },
    ],
    recovery: Object.fromEntries(
      Object.entries(recovery).map(([line, show]) => [
        line,
        async (state: Secured, context: Context) => {
          // Whatever it is, the dates that the certificate has are told: for whoever has to check them.
          const { certificateValidFrom, certificateValidTo } =
            context.last('client', 'connect').facts ?? {};
          assert(Date.parse(certificateValidFrom ?? '') < Date.now());
          assert(Number.isFinite(Date.parse(certificateValidTo ?? '')));
          await show(state, context);
        },
      ]),
    ),
  });
}

export const tlsRows: readonly AnyRow[] = [
  certificateRow({
    title: 'a certificate that is over',
    fault: 'setSecureContext() with a certificate that expired yesterday',
    identity: ({ expired }) => expired,
    reason: 'CERT_HAS_EXPIRED',
    says: /from .* to .*Renew the server's certificate/,
    recovery: {
      async '0x0504/1'(state, context) {
        const { facts } = context.last('client', 'connect');
        assert(Date.parse(facts?.certificateValidTo ?? '') < Date.now());
        state.shows(state.certificates.good);
        await connectsAnew(state, { tls: { ca: state.certificates.ca } });
      },
    },
  }),

  certificateRow({
    title: 'a certificate for another name',
    fault: 'setSecureContext() with a certificate for elsewhere.example',
    identity: ({ wrongHost }) => wrongHost,
    reason: 'ERR_TLS_CERT_ALTNAME_INVALID',
    says: /is for DNS:elsewhere\.example.*tls\.servername/,
    recovery: {
      async '0x0504/1'(state) {
        const { ca, good } = state.certificates;
        // By the name that it has; or with one for this name.
        await connectsAnew(state, { tls: { ca, servername: 'elsewhere.example' } });
        state.shows(good);
        await connectsAnew(state, { tls: { ca } });
      },
    },
  }),

  certificateRow({
    title: 'a certificate that nobody but itself has signed',
    fault: 'setSecureContext() with a self-signed certificate',
    identity: ({ selfSigned }) => selfSigned,
    reason: 'DEPTH_ZERO_SELF_SIGNED_CERT',
    says: /It is self-signed: give it.*as tls\.ca/,
    recovery: {
      async '0x0504/3'(state) {
        await connectsAnew(state, { tls: { ca: state.certificates.selfSigned.cert } });
      },
    },
  }),

  certificateRow({
    title: 'a certificate of an authority that is not known here',
    fault: 'connect({ tls: true }): only the authorities that Node knows are trusted',
    identity: ({ good }) => good,
    tls: () => true,
    reason: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    says: /Its authority is not known here: give it as tls\.ca/,
    recovery: {
      async '0x0504/3'(state) {
        await connectsAnew(state, { tls: { ca: state.certificates.ca } });
      },
    },
  }),

  certificateRow({
    title: 'a certificate whose signature is wrong',
    fault:
      'setSecureContext() with the good certificate, the last bit of its signature turned over',
    identity: ({ altered }) => altered,
    reason: 'CERT_SIGNATURE_FAILURE',
    says: /CERT_SIGNATURE_FAILURE/,
    recovery: {
      async '0x0504/1'(state) {
        state.shows(state.certificates.good);
        await connectsAnew(state, { tls: { ca: state.certificates.ca } });
      },
    },
  }),

  row({
    id: '0x0504',
    title: 'TLS that does not come to be: an alert, and no TLS at all',
    fault:
      'setSecureContext({ maxVersion: TLSv1.2 }) for a client from TLSv1.3 on; wss to a port without TLS',
    needs: ['openssl'],
    async setup(context) {
      const state = await secured(context);
      const plain = await withoutTls(context);
      const tls = { ca: state.certificates.ca, minVersion: 'TLSv1.3' } as const;
      return { ...state, tls, plain, port: state.gateway.port };
    },
    async baseline(state) {
      await connectsAnew(state, { tls: state.tls });
    },
    async inject(state) {
      state.shows({ ...state.certificates.good, maxVersion: 'TLSv1.2' });
      state.port = state.plain;
    },
    async act({ connect, tls, port }, context) {
      await context.watch('client', 'connect', connect({ tls }));
      await context.watch('client', 'connect plain', connect({ tls }, port));
    },
    expect: [
      {
        side: 'client',
        how: 'connect',
        code: 0x0504,
        facts: { tlsReason: 'tlsv1 alert protocol version' },
        says: /alert protocol version.*which versions/,
      },
      {
        side: 'client',
        how: 'connect plain',
        code: 0x0504,
        facts: { tlsReason: 'wrong version number' },
        says: /that the server speaks TLS/,
      },
    ],
    recovery: {
      async '0x0504/1'(state) {
        state.shows(state.certificates.good);
        await connectsAnew(state, { tls: state.tls });
      },
    },
  }),

  row({
    id: '0x0504',
    title: "this machine's clock is a year ahead, or behind",
    fault: 'LD_PRELOAD=clock.so STT_CLOCK_OFFSET=±31536000, for the process of the client',
    needs: ['openssl', 'cc'],
    async setup(context) {
      const state = await secured(context);
      const clock = await buildClock(context);
      /** Connects from a process whose clock is so many seconds off. */
      const from = async (offset: number, how: string): Promise<void> => {
        const environment: Record<string, string> =
          offset === 0 ? {} : { LD_PRELOAD: clock, STT_CLOCK_OFFSET: String(offset) };
        const node = new NodeProcess(context, 'client', { environment });
        const { sharedSeed } = context.network;
        const own = await node.create({ sharedSeed, host: '127.0.0.1', ...SHORT_TIMINGS });
        const options = {
          peerNodeId: state.server.nodeId,
          transport: 'websocket',
          proxy: false,
          tls: { ca: state.certificates.ca },
        } as const;
        const address = `localhost:${state.gateway.port}`;
        await node.tryConnect(own, address, options, how);
        await node.kill();
      };
      return { ...state, from, offset: 0 };
    },
    async baseline({ from }, context) {
      await from(0, 'connect');
      assert.deepEqual(context.seen, []);
    },
    async inject(state) {
      state.offset = YEAR;
    },
    async act({ from, offset }) {
      await Promise.all([from(offset, 'connect ahead'), from(-offset, 'connect behind')]);
    },
    expect: [
      {
        side: 'client',
        how: 'connect ahead',
        code: 0x0504,
        facts: { tlsReason: 'CERT_HAS_EXPIRED' },
        says: /check the clocks/,
      },
      {
        side: 'client',
        how: 'connect behind',
        code: 0x0504,
        facts: { tlsReason: 'CERT_NOT_YET_VALID' },
        says: /Check the clocks/,
      },
    ],
    recovery: {
      async '0x0504/2'({ from }, context) {
        // Of the same certificate, by a clock that is right.
        await from(0, 'connect again');
        assert(!context.seen.some(({ how }) => how === 'connect again'));
      },
    },
  }),
];

/** Seconds; the certificates are good for a month. */
const YEAR = 31_536_000;

/** The port of an endpoint that takes WebSockets without TLS. */
async function withoutTls(context: Context): Promise<number> {
  const server = await context.network.endpoint();
  const listener = serveEcho(server, undefined, { websocket: { port: 0 } });
  await listener.ready;
  return listener.websocketAddress?.port ?? 0;
}
