// Fails if a generated file that is committed differs from what the generators make now.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { staleErrorFiles } from './generate-errors.mjs';
import { staleManual } from './generate-man.mjs';
import { inRoot, root, stateDir } from './lib/paths.mjs';
import { main, run, say } from './lib/process.mjs';
import { buildNative } from './lib/steps.mjs';
import { setup } from './setup.mjs';

await main(async () => {
  await setup();
  const problems = [
    ...(await staleBinding()),
    ...(await stalePackages()),
    ...staleErrorFiles(),
    ...(await staleManual()),
  ];
  for (const problem of problems) say(problem);
  if (problems.length === 0) say('generated files: as committed');
  return problems.length === 0 ? 0 : 1;
});

/** The loader and its types, which every build writes anew. */
async function staleBinding() {
  const files = ['ts/native/binding.cjs', 'ts/native/binding.d.cts'];
  // A build that came from a stamp has written nothing; cargo makes the repetition cheap.
  if (process.env.STT_PREBUILT !== '1') await buildNative([]);
  const changed = execFileSync('git', ['status', '--porcelain', '--', ...files], { cwd: root });
  return changed
    .toString()
    .split('\n')
    .filter(Boolean)
    .map((line) => `${line.slice(3)} is not what the build makes: commit the new one`);
}

/** `npm/`, made anew elsewhere, in a folder inside of the checkout because napi refuses others. */
async function stalePackages() {
  const scratch = join(stateDir, `npm-dirs-${process.pid}`);
  try {
    const cli = 'node_modules/@napi-rs/cli/dist/cli.js';
    const code = await run(process.execPath, [cli, 'create-npm-dirs', '--npm-dir', scratch]);
    if (code !== 0) return [`napi create-npm-dirs ended with exit code ${code}`];
    const [fresh, committed] = [contents(scratch), contents(inRoot('npm'))];
    return [...new Set([...fresh.keys(), ...committed.keys()])]
      .filter((file) => fresh.get(file) !== committed.get(file))
      .map((file) => `npm/${file} is not what napi create-npm-dirs makes: run it and commit`);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function contents(folder) {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.node'))
    .map((entry) => join(entry.parentPath, entry.name));
  return new Map(files.map((file) => [relative(folder, file), readFileSync(file, 'utf8')]));
}
