import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { generateSeed, SttEndpoint } from '@seigr/stt';
import { expect, onTestFinished, test } from 'vitest';
import { message } from './children.ts';

const LIMIT = 30_000;

test.skipIf(process.platform === 'win32')(
  'no descriptor is left for a name: 0x0603 with EMFILE, and the same connect succeeds once there is',
  { timeout: 2 * LIMIT },
  async () => {
    const sharedSeed = Buffer.from(generateSeed()).toString('hex');
    const server = await SttEndpoint.create({ sharedSeed, host: '127.0.0.1' });
    onTestFinished(() => server.destroy());
    server.serve(() => {});
    const path = fileURLToPath(new URL('./processes/hungry.mjs', import.meta.url));
    const child = spawn('sh', ['-c', 'ulimit -n 128; exec "$0" "$1"', process.execPath, path], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    child.send({ options: { sharedSeed }, port: server.address.port });
    const told = await message<{ starved: unknown; fed: unknown }>(child, 'starved', LIMIT);
    expect(told.starved).toMatchObject({
      error: {
        code: 0x0603,
        codeName: 'RESOURCE_EXHAUSTED',
        systemCode: 'EMFILE',
        message: expect.stringContaining('ulimit'),
      },
    });
    expect(told.fed).toMatchObject({ session: expect.any(String) });
  },
);
