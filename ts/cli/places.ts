import { join } from 'node:path';
import envPaths from 'env-paths';

/**
 * The folder of what the user decides: the seed, the peers. On Linux `$XDG_CONFIG_HOME/stt` (XDG Base Directory
 * Specification), elsewhere where the system keeps such things.
 */
export function configFolder(): string {
  return envPaths('stt', { suffix: '' }).config;
}

/** The folder of what the program itself keeps from run to run: on Linux `$XDG_STATE_HOME/stt`. */
export function stateFolder(): string {
  // The library has no name for state, and gives its place on Linux to logs.
  return envPaths('stt', { suffix: '' }).log;
}

/** The file of this user's peers. */
export function peersFile(): string {
  return join(configFolder(), 'peers.json');
}
