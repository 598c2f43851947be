// "Two machines, no code" of the README, as somebody would do it who has just installed stt on both; and whether
// what they see is what the README shows, in words and in its picture.
// `UPDATE_PICTURE=1 npm run test:kernel -- two-machines` writes both anew.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { content } from '../cli/stage.ts';
import { makeLan } from './lan.ts';
import { obstacle } from './network.ts';
import { draw, linesOf } from './picture.ts';
import { LIMIT, MIB } from './transfer.ts';

const README = fileURLToPath(new URL('../../README.md', import.meta.url));
const PICTURE = fileURLToPath(new URL('../../docs/two-machines.svg', import.meta.url));
const missing = obstacle();
const title =
  missing === undefined ? 'two machines, no code' : `two machines (skipped: ${missing})`;

/** What is another each time: secrets, node ids, and how long it took. */
function normalized(text: string): string {
  return text
    .replace(/^( {2}[a-z]+( [a-z]+){5}\n){2}/m, '  WORDS\n')
    .replace(/stt-pair:[\w-]+@/, 'stt-pair:TICKET@')
    .replace(/[0-9a-f]{64}/g, 'HEX')
    .replace(/in \d+\.\d\d s/g, 'in TIME')
    .replace(/\d+\.\d .?B\/s/g, 'RATE')
    .replace(/RATE +\d:\d\d/g, 'RATE LEFT')
    .replace(/ +$/gm, '');
}

// kernel.test.ts fails where namespaces are required and cannot be had.
describe.skipIf(missing !== undefined)(title, { timeout: 3 * LIMIT }, () => {
  test('are paired and send files as the README shows', async () => {
    const [desk, laptop] = await makeLan('desk', 'laptop', onTestFinished);
    await writeFile(join(laptop.home, 'film.mkv'), content(1, 40 * MIB));
    await mkdir(join(laptop.home, 'photos'));
    for (const n of [1, 2, 3])
      await writeFile(join(laptop.home, 'photos', `${n}.jpg`), content(n, 3 * MIB));
    await writeFile(join(laptop.home, 'notes.txt'), 'buy milk\n');

    const shown = desk.types('stt pair');
    const [, first = '', second = ''] = await shown.shows(/words:\n\n {2}(.+)\n {2}(.+)\n/);
    const joined = laptop.types('stt pair 192.168.1.7 --as desk');
    await joined.shows(/The twelve words, or the ticket:/);
    joined.type(`${first} ${second}\r`);
    await laptop.ends('stt pair 192.168.1.7 --as desk', joined);
    await desk.ends('stt pair', shown);

    for (const sent of ['film.mkv', 'photos notes.txt']) {
      const taken = desk.types('stt recv ./inbox');
      await taken.shows(/listening on/);
      await laptop.ends(`stt send ${sent} desk`, laptop.types(`stt send ${sent} desk`));
      await desk.ends('stt recv ./inbox', taken);
    }
    for (const path of ['film.mkv', 'photos/1.jpg', 'photos/2.jpg', 'photos/3.jpg', 'notes.txt'])
      expect(
        (await readFile(join(desk.home, 'inbox', path))).equals(
          await readFile(join(laptop.home, path)),
        ),
      ).toBe(true);

    const session = [desk, laptop].map(({ said }) => `${said.join('\n')}\n`);
    const readme = await readFile(README, 'utf8');
    const block = (from: string): RegExp =>
      new RegExp(`(<!-- ${from} -->\n\`\`\`\n)[^\`]*(\`\`\`\n)`);
    if (process.env['UPDATE_PICTURE'] === '1') {
      let text = readme;
      for (const [n, said] of session.entries())
        text = text.replace(
          block(`shown by ${n === 0 ? 'desk' : 'laptop'}`),
          (_all, before: string, after: string) => before + said.replace(/ +$/gm, '') + after,
        );
      await writeFile(README, text);
      await writeFile(PICTURE, draw(session, ['desk, 192.168.1.7', 'laptop, 192.168.1.20']));
    }
    const [there, picture] = [await readFile(README, 'utf8'), await readFile(PICTURE, 'utf8')];
    for (const [n, said] of session.entries()) {
      const [found = ''] = block(`shown by ${n === 0 ? 'desk' : 'laptop'}`).exec(there) ?? [];
      expect(normalized(found.split('```\n')[1] ?? '')).toBe(normalized(said));
      expect(normalized(linesOf(picture, n))).toBe(normalized(said));
    }
  });
});
