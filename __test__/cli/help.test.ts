import { execFile, spawnSync } from 'node:child_process';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { addPeer } from '../../ts/cli/peers/book.ts';
import { MAIN, stt, temporaryFolder } from './stt.ts';

const run = promisify(execFile);
const MANUAL = fileURLToPath(new URL('../../man/stt.1', import.meta.url));
const has = (command: string): boolean => spawnSync(command, ['--version']).error === undefined;

/** A shell's script in a file, as a user would have it. */
async function script(shell: string): Promise<string> {
  const { code, stdout } = await stt(['completion', shell]);
  expect(code).toBe(0);
  const path = join(await temporaryFolder(), `stt.${shell}`);
  await writeFile(path, stdout);
  return path;
}

describe('completion', () => {
  test.runIf(has('bash'))('bash offers commands, options, choices and files', async () => {
    const path = await script('bash');
    const ask = async (...words: string[]): Promise<string[]> => {
      const body = `source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _stt; printf '%s\\n' "\${COMPREPLY[@]}"`;
      const { stdout } = await run('bash', ['-c', body, path, 'stt', ...words]);
      return stdout.split('\n').filter((line) => line !== '');
    };
    expect(await ask('p')).toEqual(['pair', 'peers', 'ping']);
    expect(await ask('peers', '')).toEqual(['rm']);
    expect(await ask('send', '--tr')).toEqual(['--transport']);
    expect(await ask('send', '--transport', '')).toEqual(['auto', 'udp', 'websocket']);
    // As readline cuts --transport=u into words.
    expect(await ask('send', '--transport', '=')).toEqual(['auto', 'udp', 'websocket']);
    expect(await ask('send', '--transport', '=', 'u')).toEqual(['udp']);
    expect(await ask('send', '--verbose', path.slice(0, -3))).toEqual([path]);
    expect(await ask('completion', '')).toEqual(['bash', 'zsh', 'fish']);
    expect(await ask('peers', 'rm', '--q')).toEqual(['--quiet']);
    expect(await ask('explain', '0x0101')).toEqual(['0x0101']);
    expect(await ask('explain', 'CONNECTION_')).toEqual([
      'CONNECTION_TIMEOUT',
      'CONNECTION_REFUSED',
    ]);
    const here = path.slice(0, -3);
    for (const words of [['send'], ['send', 'x'], ['recv'], ['ping', '--seed-file']])
      expect([words, await ask(...words, here)]).toEqual([words, [path]]);
    expect(await ask('ping', '--count', here)).toEqual([]);
  });

  test.runIf(has('bash'))('bash offers the names of peers where one is called', async () => {
    const path = await script('bash');
    const [home, bin] = [await temporaryFolder(), await temporaryFolder()];
    const hosts = ['192.0.2.1'];
    const file = join(home, 'stt', 'peers.json');
    for (const [name, digit] of [
      ['desk', 'a'],
      ['den', 'b'],
    ] as const)
      await addPeer({ name, nodeId: digit.repeat(64), hosts, port: 7788, pairedAt: 0 }, file);
    await writeFile(join(bin, 'stt'), `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`);
    await chmod(join(bin, 'stt'), 0o755);
    const env = { ...process.env, XDG_CONFIG_HOME: home, PATH: `${bin}:${process.env['PATH']}` };
    const body = `source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _stt; printf '%s\\n' "\${COMPREPLY[@]}"`;
    for (const words of [
      ['ping'],
      ['doctor', '--json'],
      ['send', 'a'],
      ['bench'],
      ['peers', 'rm'],
      ['tunnel', '8080'],
    ]) {
      const { stdout } = await run('bash', ['-c', body, path, 'stt', ...words, 'de'], {
        env,
        cwd: bin,
      });
      expect([words, stdout.trim().split('\n').sort()]).toEqual([words, ['den', 'desk']]);
    }
  });

  test.runIf(has('zsh'))('zsh takes the script', async () => {
    const path = await script('zsh');
    await run('zsh', ['-n', path]);
    const loaded = `autoload -U compinit; compinit -D; source ${path}; print $_comps[stt]`;
    expect((await run('zsh', ['-fc', loaded])).stdout.trim()).toBe('_stt');
    // What the shell's own functions are given, said by others in their place.
    const body = `compdef() { }; source "$0"
      compadd() { print -l -- "\${@:#--}" }; _files() { print FILES }
      _describe() { print -l -- "\${(@P)@[-1]%%:*}" }; stt() { print peer-names }
      words=("$@"); CURRENT=$#; _stt`;
    const ask = async (...words: string[]): Promise<string[]> => {
      const { stdout } = await run('zsh', ['-fc', body, path, 'stt', ...words]);
      return stdout.split('\n').filter((line) => line !== '');
    };
    expect(await ask('p')).toEqual(expect.arrayContaining(['pair', 'peers', 'ping', 'send']));
    expect(await ask('peers', 'rm', '')).toEqual(['peer-names']);
    expect(await ask('send', 'a', '')).toEqual(['peer-names', 'FILES']);
    expect(await ask('send', '--transport', '')).toEqual(['auto', 'udp', 'websocket']);
    expect(await ask('ping', '--seed-file', '')).toEqual(['FILES']);
    expect(await ask('ping', '--count', '')).toEqual([]);
    expect(await ask('ping', '--tr')).toContain('--transport');
    expect(await ask('explain', '')).toEqual(expect.arrayContaining(['0x0101', 'TLS_ERROR']));
  });

  test.runIf(has('fish'))('fish offers commands, options and choices', async () => {
    const path = await script('fish');
    const ask = async (line: string): Promise<string[]> => {
      const { stdout } = await run('fish', ['-c', `source ${path}; complete -C "${line}"`]);
      return stdout.split('\n').flatMap((row) => (row === '' ? [] : [row.split('\t')[0] ?? '']));
    };
    expect(await ask('stt p')).toEqual(['pair', 'peers', 'ping']);
    expect(await ask('stt send --tr')).toEqual(['--transport']);
    expect(await ask('stt send --transport ')).toEqual(['auto', 'udp', 'websocket']);
    expect(await ask('stt explain 0x010')).toEqual(expect.arrayContaining(['0x0101', '0x0105']));
  });

  test('another shell is a mistake of usage', async () => {
    expect(await stt(['completion', 'csh'])).toMatchObject({ code: 2 });
  });
});

describe('the manual page', () => {
  test('has every command and every exit code', async () => {
    const page = await readFile(MANUAL, 'utf8');
    const { stdout } = await stt(['--help']);
    const commands = [...stdout.matchAll(/^ {2}([a-z]+) /gm)].map(([, name]) => name);
    expect(commands).toContain('pair');
    for (const name of commands)
      if (name !== 'help') expect(page).toMatch(new RegExp(`^\\.SS "stt ${name}`, 'm'));
    for (const code of [0, 1, 2, 3, 4, 5, 6, 7, 8, 130, 143])
      expect(page).toMatch(new RegExp(`^\\.B ${code}$`, 'm'));
  });

  test.runIf(has('mandoc'))('is what a formatter takes without a warning', async () => {
    const { stdout, stderr } = await run('mandoc', ['-Tlint', '-Werror', MANUAL]);
    expect([stdout, stderr]).toEqual(['', '']);
  });
});
