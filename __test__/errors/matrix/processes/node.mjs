// A node of its own process: does what the matrix tells it over IPC, through the public API, and reports
// the errors that it gets as they come.
import { inspect } from 'node:util';
import { isSttError, logTo, SttEndpoint } from '@seigr/stt';

const endpoints = new Map();
const sessions = new Map();
let made = 0;

const operations = {
  async create(options) {
    const endpoint = await SttEndpoint.create(options);
    made += 1;
    const key = String(made);
    endpoints.set(key, endpoint);
    endpoint.on('handshakeError', ({ error }) => note('handshakeError', error));
    endpoint.on('resourceWarning', (event) => process.send({ event: 'resourceWarning', ...event }));
    return { endpoint: key, port: endpoint.address.port, nodeId: endpoint.nodeId };
  },
  async destroy({ endpoint }) {
    endpoints.get(endpoint).destroy();
    endpoints.delete(endpoint);
  },
  async serve({ endpoint, options }) {
    const handler = async (session) => {
      keep(session);
      for await (const stream of session.incomingBidirectionalStreams) void echo(stream);
    };
    const listener = endpoints.get(endpoint).serve(handler, {
      ...options,
      onError: () => undefined,
    });
    await listener.ready;
    return { port: listener.websocketAddress?.port };
  },
  async log() {
    logTo((level, record, message) =>
      process.send({ event: 'log', record: { ...record, level, message } }),
    );
  },
  async connect({ endpoint, address, options }) {
    const started = performance.now();
    const session = await endpoints.get(endpoint).connect(address, options);
    return { session: keep(session), ms: performance.now() - started };
  },
  async exchange({ session, bytes = 1_000, timeout = 30_000 }) {
    const stream = await sessions.get(session).createBidirectionalStream({ timeout });
    const read = stream.bytes({ timeout });
    await stream.write(Buffer.alloc(bytes, 'payload-of-the-matrix.'), { timeout });
    await stream.end({ timeout });
    return { bytes: (await read).length };
  },
  async write({ session, bytes, timeout }) {
    const stream = await sessions.get(session).createUnidirectionalStream({ timeout });
    await stream.write(Buffer.alloc(bytes), { timeout });
  },
  async ping({ session, timeout = 30_000 }) {
    return { rtt: await sessions.get(session).ping({ timeout }) };
  },
  async settled({ session }) {
    const { reason } = await sessions.get(session).settled;
    return { reason };
  },
  async stats({ endpoint }) {
    return endpoints.get(endpoint).stats();
  },
};

process.on('message', async ({ id, operation, argument }) => {
  try {
    process.send({ id, value: await operations[operation](argument) });
  } catch (error) {
    process.send({ id, error: describe(error) });
  }
});

function keep(session) {
  made += 1;
  const key = String(made);
  sessions.set(key, session);
  session.closed.catch((error) => note('closed', error));
  session.on('frameError', ({ error }) => note('frameError', error));
  session.on('sendError', ({ error }) => note('sendError', error));
  return key;
}

async function echo(stream) {
  try {
    await stream.write(await stream.bytes());
    await stream.end();
  } catch {
    // The other side sees why.
  }
}

function note(how, error) {
  process.send({ event: 'error', how, report: describe(error) });
}

function describe(error) {
  if (!isSttError(error)) {
    return { code: 0, codeName: error?.name ?? 'unknown', message: String(error?.stack ?? error) };
  }
  const { code, codeName, subcode, reason, origin, message, recoverable, recovery } = error;
  const { cause, context } = error;
  return {
    code,
    codeName,
    subcode,
    reason,
    origin,
    message,
    recoverable,
    recovery,
    ...(isSttError(cause) ? { cause: cause.code } : {}),
    facts: factsOf(context),
    // Whatever may end up in a log, to be searched for what must not.
    text: `${JSON.stringify(error)} ${inspect(error, { depth: 9 })}`,
  };
}

function factsOf({ transport, httpStatus, closeCode, tlsReason, ...rest }) {
  const { certificateValidFrom, certificateValidTo } = rest;
  const all = { transport, httpStatus, closeCode, tlsReason };
  const dated = { ...all, certificateValidFrom, certificateValidTo };
  return Object.fromEntries(Object.entries(dated).filter(([, value]) => value !== undefined));
}
