// Listens and does nothing else, until it is killed.
import { SttEndpoint } from '@seigr/stt';

process.once('message', async ({ options }) => {
  const endpoint = await SttEndpoint.create({ ...options, host: '127.0.0.1' });
  endpoint.serve(() => {});
  process.send({ address: endpoint.address });
});
