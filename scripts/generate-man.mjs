// Writes man/stt.1 from the commands of dist/; `staleManual` only tells whether it would change.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { pathToFileURL } from 'node:url';
import { inRoot } from './lib/paths.mjs';

const FILE = inRoot('man', 'stt.1');

async function manual() {
  const [{ createProgram }, { describeCommand }, { manualPage }] = await Promise.all(
    ['program.js', 'help/tree.js', 'help/manual.js'].map(
      (file) => import(pathToFileURL(inRoot('dist', 'cli', file)).href),
    ),
  );
  return manualPage(describeCommand(createProgram({ version: '', signals: {}, onOutput() {} })));
}

export async function staleManual() {
  let committed = '';
  try {
    committed = readFileSync(FILE, 'utf8');
  } catch {
    // Said below.
  }
  const fresh = committed === (await manual());
  return fresh ? [] : ['man/stt.1 is not what the commands say: node scripts/generate-man.mjs'];
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  mkdirSync(dirname(FILE), { recursive: true });
  writeFileSync(FILE, await manual());
}
