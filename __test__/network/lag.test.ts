import { readFile } from 'node:fs/promises';
import { expect, onTestFinished, test } from 'vitest';
import { message, startProcess } from './children.ts';

interface Late {
  readonly warning: {
    readonly resource: string;
    readonly wanted: number;
    readonly granted: number;
  };
}

const LIMIT_MS = 60_000;
/** How long the process gets no processor. */
const STOPPED_MS = 700;

test.runIf(process.platform === 'linux')(
  'an engine that got no processor in time says so by resourceWarning, and its sessions live',
  async () => {
    const child = startProcess('late', onTestFinished);
    // From the start: on a busy machine it may be late before it is stopped, and says so once in ten seconds.
    const late = message<Late>(child, 'warning', LIMIT_MS);
    await message(child, 'ready', LIMIT_MS);
    child.kill('SIGSTOP');
    await expect.poll(() => stateOf(child.pid ?? 0), { timeout: LIMIT_MS }).toBe('T');
    await new Promise((resolve) => setTimeout(resolve, STOPPED_MS));
    child.kill('SIGCONT');
    const { warning } = await late;
    // `wanted` is what is borne, `granted` by how much it was late, both in milliseconds.
    expect(warning).toMatchObject({ resource: 'engineLag', wanted: 200 });
    expect(warning.granted).toBeGreaterThanOrEqual(200);
    child.send('are you there?');
    expect(await message(child, 'answered', LIMIT_MS)).toEqual({ answered: true });
  },
);

/** One letter of proc(5): T is stopped. */
async function stateOf(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2)[0];
}
