import { createServer } from 'node:http';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { SttOptionError } from '@seigr/stt';
import { describe, expect, onTestFinished, test } from 'vitest';
import { dial } from '../../ts/carriers/dial.ts';
import { endpoint } from '../contract/pair.ts';
import { failure, listening } from './support.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

describe('a WebSocket that does not open', () => {
  test.each([
    { what: 'a key that is none', tls: { cert: 'none', key: 'none' }, option: 'tls' },
    { what: 'ciphers that are none', tls: { ciphers: 'NONE' }, option: 'tls' },
    { what: 'a version that is none', tls: { minVersion: 'TLSv9' as 'TLSv1.3' }, option: 'tls' },
    { what: 'an authority that is none', tls: { ca: 'none' }, option: 'tls.ca' },
    { what: 'an authority in DER', tls: { ca: [Buffer.from([0x30, 0x82])] }, option: 'tls.ca' },
    {
      what: 'an authority that is cut short',
      tls: { ca: '-----BEGIN CERTIFICATE-----\nMIIB\n' },
      option: 'tls.ca',
    },
    { what: 'a name that is none', tls: { servername: 7 as never }, option: 'tls.servername' },
    {
      what: 'a judge that is none',
      tls: { checkServerIdentity: true as never },
      option: 'tls.checkServerIdentity',
    },
  ])('is told at once for options of TLS that cannot be: $what', async ({ tls, option }) => {
    const web = createServer();
    let connections = 0;
    web.on('connection', () => {
      connections += 1;
    });
    const port = await listening(web);
    const client = await endpoint();
    const to = { peerNodeId: client.nodeId, transport: 'websocket', tls } as const;
    const error = await client.connect(`127.0.0.1:${port}`, to).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(SttOptionError);
    expect(error).toMatchObject({ option });
    expect(connections).toBe(0);
  });

  test('takes what a listener is given as TLS no further either', async () => {
    const server = await endpoint();
    const tls = { cert: 'none', key: 'none' };
    expect(() => server.listen({ websocket: { port: 0, tls } })).toThrow(SttOptionError);
  });

  test.each([{ 'a name': 'x' }, { name: 'a\r\nb' }, { name: undefined }])(
    'headers that are none are told at once: %o',
    async (headers) => {
      const client = await endpoint();
      const connecting = client.connect('127.0.0.1:9', {
        peerNodeId: client.nodeId,
        websocket: { headers: headers as never },
      });
      await expect(connecting).rejects.toBeInstanceOf(SttOptionError);
    },
  );

  test('leaves no signal behind', async () => {
    const web = createServer((_request, response) => response.writeHead(404).end());
    const port = await listening(web);
    const { any } = AbortSignal;
    const made: WeakRef<AbortSignal>[] = [];
    AbortSignal.any = (signals) => {
      const signal = any.call(AbortSignal, signals);
      made.push(new WeakRef(signal));
      return signal;
    };
    onTestFinished(() => {
      AbortSignal.any = any;
    });
    const { signal } = new AbortController();
    const to = { url: new URL(`ws://127.0.0.1:${port}/stt`), tls: {}, proxy: false, headers: {} };
    const resolve = async () => [{ address: '127.0.0.1', port, family: 'IPv4' }] as const;
    for (let round = 0; round < 5; round += 1) {
      const limits = { timeout: 60_000, signal, context: {}, resolve: resolve as never };
      expect(await failure(dial(to as never, limits))).toMatchObject({ code: 0x0503 });
    }
    expect(made).toHaveLength(5);
    const kept = () => made.filter((one) => one.deref() !== undefined).length;
    for (let turn = 0; turn < 1_000 && kept() > 1; turn += 1) {
      await new Promise((next) => setTimeout(next, 10));
      collect();
    }
    // The last one may be on the stack still.
    expect(kept()).toBeLessThanOrEqual(1);
  });
});
