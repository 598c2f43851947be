import type { ConnectOptions, ListenOptions, SttEndpoint, SttSession } from '@seigr/stt';
import { SttEndpoint as Endpoint, generateSeed } from '@seigr/stt';
import { describe, expect, onTestFinished, test } from 'vitest';
import { closedPort, endpoint, isPending } from './pair.ts';

const early = new TextEncoder().encode('what is new?');

interface Home {
  readonly server: SttEndpoint;
  readonly client: SttEndpoint;
  readonly accepted: AsyncIterator<SttSession>;
  /** Connects, and gives both sides. */
  readonly meet: (options?: Partial<ConnectOptions>) => Promise<[SttSession, SttSession]>;
}

async function home(listen: ListenOptions = {}): Promise<Home> {
  const sharedSeed = generateSeed();
  const server = await endpoint({ sharedSeed });
  const client = await endpoint({ sharedSeed });
  const accepted = server.listen(listen)[Symbol.asyncIterator]();
  const meet: Home['meet'] = async (options = {}) => {
    const [session, { value }] = await Promise.all([
      client.connect(server.address, { peerNodeId: server.nodeId, ...options }),
      accepted.next(),
    ]);
    return [session, value as SttSession];
  };
  return { server, client, accepted, meet };
}

/** A ticket of a session that is over. */
async function ticketOf({ meet }: Home): Promise<Uint8Array> {
  const [session] = await meet();
  const ticket = session.resumptionTicket;
  if (ticket === undefined) throw new Error('no ticket came with the session');
  await session.close();
  return ticket;
}

describe('resumption', () => {
  test('a ticket brings the peer back as whom it was, and the session has a ticket again', async () => {
    const place = await home();
    let ticket = await ticketOf(place);
    for (let turn = 0; turn < 3; turn++) {
      // As it comes back from wherever an application kept it.
      const resume = Uint8Array.from(Buffer.from(Buffer.from(ticket).toString('hex'), 'hex'));
      const [session, accepted] = await place.meet({ resume });
      expect([session.resumed, accepted.resumed]).toEqual([true, true]);
      expect(session.id).toBe(accepted.id);
      expect(session.peerNodeId).toBe(place.server.nodeId);
      expect(accepted.peerNodeId).toBe(place.client.nodeId);
      expect([session.earlyDataStatus, accepted.earlyData]).toEqual([undefined, undefined]);
      const stream = await session.createBidirectionalStream();
      await stream.write(early);
      await stream.end();
      expect(session.resumptionTicket).toBeInstanceOf(Uint8Array);
      expect(session.resumptionTicket).not.toEqual(ticket);
      expect(accepted.resumptionTicket).toBeUndefined();
      ticket = session.resumptionTicket as Uint8Array;
      await session.close();
    }
  });

  test('a first session is not a resumed one', async () => {
    const [session, accepted] = await (await home()).meet();
    expect([session.resumed, accepted.resumed]).toEqual([false, false]);
  });

  test('a ticket serves once; its second use is a whole handshake', async () => {
    const place = await home({ acceptEarlyData: true });
    const resume = await ticketOf(place);
    const [first, taken] = await place.meet({ resume, earlyData: early });
    expect([first.resumed, first.earlyDataStatus]).toEqual([true, 'accepted']);
    expect(taken.earlyData).toEqual(early);
    const [second, other] = await place.meet({ resume, earlyData: early });
    expect([second.resumed, second.earlyDataStatus]).toEqual([false, 'rejected']);
    expect([other.resumed, other.earlyData]).toEqual([false, undefined]);
  });

  test('early data is for listeners that ask for it', async () => {
    const place = await home();
    const resume = await ticketOf(place);
    const [session, accepted] = await place.meet({ resume, earlyData: early });
    expect([session.resumed, session.earlyDataStatus]).toEqual([true, 'rejected']);
    expect(accepted.earlyData).toBeUndefined();
  });

  test('a restarted peer is met by a whole handshake', async () => {
    const sharedSeed = generateSeed();
    const nodeSeed = generateSeed();
    const server = await endpoint({ sharedSeed, nodeSeed, port: await closedPort() });
    server.serve(() => {});
    const client = await endpoint({ sharedSeed });
    const { address } = server;
    const before = await client.connect(address, { peerNodeId: server.nodeId });
    const resume = before.resumptionTicket as Uint8Array;
    await server.close();
    const again = await Endpoint.create({
      sharedSeed,
      nodeSeed,
      host: '127.0.0.1',
      port: address.port,
    });
    onTestFinished(() => again.destroy());
    again.serve(() => {});
    const session = await client.connect(address, { peerNodeId: again.nodeId, resume });
    expect(session.resumed).toBe(false);
  });

  test('a node seed lets a ticket outlive the process that got it', async () => {
    const sharedSeed = generateSeed();
    const nodeSeed = generateSeed();
    const server = await endpoint({ sharedSeed });
    server.serve(() => {});
    const connect = async (seed: Uint8Array | string, resume?: Uint8Array): Promise<SttSession> => {
      const client = await Endpoint.create({ sharedSeed, nodeSeed: seed, host: '127.0.0.1' });
      onTestFinished(() => client.destroy());
      const options = resume === undefined ? {} : { resume };
      return client.connect(server.address, { peerNodeId: server.nodeId, ...options });
    };
    const resume = (await connect(nodeSeed)).resumptionTicket as Uint8Array;
    // Another node cannot use it.
    expect((await connect(generateSeed(), resume)).resumed).toBe(false);
    expect((await connect(nodeSeed, resume)).resumed).toBe(true);
  });

  test('authorize is asked again, and a refusal holds', async () => {
    const asked: string[] = [];
    let admits = true;
    const place = await home({
      authorize: ({ nodeId }) => {
        asked.push(nodeId);
        return admits;
      },
    });
    const resume = await ticketOf(place);
    admits = false;
    const { server, client } = place;
    const connect = client.connect(server.address, { peerNodeId: server.nodeId, resume });
    await expect(connect).rejects.toMatchObject({ code: 0x0103 });
    expect(asked).toEqual([client.nodeId, client.nodeId]);
  });

  test('a revoked node is refused whatever it holds', async () => {
    const place = await home();
    const resume = await ticketOf(place);
    const { server, client } = place;
    server.revoke(client.nodeId);
    const connect = client.connect(server.address, { peerNodeId: server.nodeId, resume });
    await expect(connect).rejects.toMatchObject({ code: 0x0103 });
  });

  test('no tickets with a lifetime of 0', async () => {
    const [session] = await (await home({ ticketLifetime: 0 })).meet();
    await session.ping();
    expect(session.resumptionTicket).toBeUndefined();
  });

  test('what cannot be is refused by name', async () => {
    const place = await home();
    const resume = await ticketOf(place);
    const { server, client } = place;
    const connect = (options: object): Promise<unknown> =>
      client.connect(server.address, { peerNodeId: server.nodeId, ...options });
    const refusal = (option: string) => ({ name: 'SttOptionError', option });
    for (const bad of [new Uint8Array(0), resume.subarray(0, 105), 'ticket', resume.map(() => 9)]) {
      await expect(connect({ resume: bad })).rejects.toMatchObject(refusal('resume'));
    }
    await expect(connect({ earlyData: early })).rejects.toMatchObject(refusal('earlyData'));
    const most = 1_004 - (resume.length - 105);
    const long = new Uint8Array(most + 1);
    await expect(connect({ resume, earlyData: long })).rejects.toMatchObject(refusal('earlyData'));
    await expect(connect({ early: 1 })).rejects.toMatchObject(refusal('early'));
    // None of that used the ticket up, and the most that fits does fit.
    const session = await connect({ resume, earlyData: long.subarray(1) });
    expect(session).toMatchObject({ resumed: true, earlyDataStatus: 'rejected' });
    const listen = (options: object) => () => client.listen(options);
    expect(listen({ ticketLifetime: -1 })).toThrow(
      expect.objectContaining(refusal('ticketLifetime')),
    );
    expect(listen({ acceptEarlyData: 1 })).toThrow(
      expect.objectContaining(refusal('acceptEarlyData')),
    );
  });
});

describe('early: true', () => {
  test('resolves before authorize has decided, and the session works once it has', async () => {
    let admit: (value: boolean) => void = () => {};
    const verdict = new Promise<boolean>((resolve) => {
      admit = resolve;
    });
    const { server, client, accepted } = await home({ authorize: () => verdict });
    const options = { peerNodeId: server.nodeId };
    const late = client.connect(server.address, options);
    const session = await client.connect(server.address, { ...options, early: true });
    const stream = await session.createBidirectionalStream();
    await stream.write(early);
    expect(session.resumptionTicket).toBeUndefined();
    expect(await isPending(late)).toBe(true);
    const ticket = new Promise((resolve) => session.once('resumptionTicket', resolve));
    admit(true);
    expect(await ticket).toBe(session.resumptionTicket);
    await late;
    const ids = [(await accepted.next()).value.id, (await accepted.next()).value.id];
    expect(ids).toContain(session.id);
    await stream.end();
  });

  test('a refusal ends the session with 0x0103', async () => {
    const { server, client } = await home({ authorize: () => false });
    const session = await client.connect(server.address, {
      peerNodeId: server.nodeId,
      early: true,
    });
    await expect(session.closed).rejects.toMatchObject({ code: 0x0103 });
  });
});
