// Errors of one copy of the package are recognised by another, whatever module system each was built for.

import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { inspect } from 'node:util';
import * as esm from '@seigr/stt';
import ts from 'typescript';
import { expect, onTestFinished, test } from 'vitest';

const SOURCE = new URL('../../ts/', import.meta.url);
const { ERROR_TABLE } = esm;

/** The modules that the classes and the guard are made of, as a bundler for CommonJS makes them. */
async function commonJsCopy(): Promise<typeof esm> {
  const folder = await mkdtemp(join(tmpdir(), 'stt-copy-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const entry = join(folder, 'index.cjs');
  const done = new Set<string>();
  const copy = async (path: string): Promise<void> => {
    if (done.has(path)) return;
    done.add(path);
    const source = await readFile(new URL(path, SOURCE), 'utf8');
    const compilerOptions = {
      module: ts.ModuleKind.CommonJS,
      target: ts.ScriptTarget.ES2022,
      esModuleInterop: true,
    };
    const { outputText } = ts.transpileModule(source, { compilerOptions });
    const imports = [...outputText.matchAll(/require\("(\.[^"]*)\.ts"\)/g)];
    const target = join(folder, path.replace(/\.ts$/, '.cjs'));
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, outputText.replaceAll(/(require\("\.[^"]*)\.ts"\)/g, '$1.cjs")'));
    for (const [, to] of imports) await copy(join(dirname(path), `${to}.ts`));
  };
  for (const path of ['errors/classes.ts', 'errors/create.ts', 'errors/guard.ts']) await copy(path);
  const parts = ['classes', 'guard', 'error'].map((name) => `...require('./errors/${name}.cjs')`);
  await writeFile(entry, `module.exports = { ${parts.join(', ')} };`);
  return createRequire(import.meta.url)(entry);
}

test('every class of an ESM and of a CommonJS copy knows the errors of the other', async () => {
  const cjs = await commonJsCopy();
  expect(cjs.SttError).not.toBe(esm.SttError);
  for (const { className, codeName } of ERROR_TABLE) {
    const details = { reason: 'error', context: { peer: '192.0.2.1:7788' } } as const;
    for (const [from, to] of [
      [cjs, esm],
      [esm, cjs],
    ] as const) {
      const error: unknown = new from[className]('words', details);
      expect(error).toBeInstanceOf(to[className]);
      expect(error).toBeInstanceOf(to.SttError);
      expect(to.isSttError(error, codeName)).toBe(true);
      // Of all the classes, that one only.
      const others = ERROR_TABLE.filter((row) => row.className !== className);
      expect(others.filter((row) => (error as object) instanceof to[row.className])).toEqual([]);
      expect(inspect(error)).toContain(`codeName: '${codeName}'`);
      expect(JSON.parse(JSON.stringify({ cause: error })).cause.codeName).toBe(codeName);
    }
  }
});

test('a cause from the other copy is told whole', async () => {
  const cjs = await commonJsCopy();
  const cause = new cjs.HandshakeError('inner', { subcode: 3 });
  const error = new esm.AuthenticationError('outer', { subcode: 3, cause });
  expect(error.toJSON()).toMatchObject({
    cause: { code: '0x0405', subcodeName: 'CHALLENGE_DECRYPT_FAILED', message: 'inner' },
  });
});
