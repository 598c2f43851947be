// A test of an application's own recovery, with node:test and no rights: it asks a server something, and asks again
// over a new session when the one before has died.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSttError } from '@seigr/stt';
import { assertSttError, TestNetwork } from '@seigr/stt/testing';

/** The application: a question that survives the loss of its session. */
async function ask(endpoint, address, options, session) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      session ??= await endpoint.connect(address, options);
      const stream = await session.createBidirectionalStream();
      await stream.write('what time is it?');
      await stream.end();
      return { answer: await stream.text(), session, attempt };
    } catch (error) {
      if (!isSttError(error) || !error.recoverable || attempt === 5) throw error;
      session = undefined;
    }
  }
}

test('the question is answered after a partition', async () => {
  const network = new TestNetwork();
  try {
    const server = await network.endpoint();
    server.serve(async (session) => {
      for await (const stream of session.incomingBidirectionalStreams) {
        await stream.text();
        await stream.write('late');
        await stream.end();
      }
    });
    const faults = await network.link(server);
    const client = await network.endpoint();
    const options = { peerNodeId: server.nodeId };

    const first = await ask(client, faults.address, options);
    assert.equal(first.attempt, 1);

    await faults.partition();
    await assert.rejects(first.session.closed, (error) => assertSttError(error, 'SESSION_TIMEOUT'));
    await faults.heal();

    const second = await ask(client, faults.address, options, first.session);
    assert.deepEqual([second.answer, second.attempt], ['late', 2]);
  } finally {
    await network[Symbol.asyncDispose]();
  }
});
