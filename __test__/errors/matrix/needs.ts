// What this machine has of what the rows need.

import { spawnSync } from 'node:child_process';
import { accessSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { obstacle, sweepNamespaces } from '../../kernel/network.ts';
import type { Certificates } from '../../websocket/certificates.ts';
import { makeCertificates } from '../../websocket/certificates.ts';
import type { AnyRow, Need } from './row.ts';

/** The hostile peer, as `scripts/errors.mjs` builds it. */
export const HOSTILE = fileURLToPath(
  new URL(
    `${process.env.CARGO_TARGET_DIR ? `file://${process.env.CARGO_TARGET_DIR}` : '../../../target'}/debug/stt-hostile`,
    import.meta.url,
  ),
);

const CHECKS: Readonly<Record<Need, () => string | undefined>> = {
  netns() {
    const found = obstacle();
    if (found === undefined) sweepNamespaces();
    return found;
  },
  hostile() {
    try {
      accessSync(HOSTILE);
      return undefined;
    } catch {
      return 'needs a Rust toolchain, which builds crates/stt-hostile';
    }
  },
  cc: () => program('cc', '--version'),
  prlimit: () => program('prlimit', '--version'),
  openssl() {
    const found = program('openssl', 'version');
    // Now, before anything runs that it would hold up.
    if (found === undefined) certificates();
    return found;
  },
};

/** Why a need of these rows cannot be met here, by need. */
export function obstacles(rows: readonly AnyRow[]): ReadonlyMap<Need, string> {
  const needs = new Set(rows.flatMap((row) => row.needs ?? []));
  const found = [...needs].map((need) => [need, CHECKS[need]()] as const);
  return new Map(found.filter((entry): entry is [Need, string] => entry[1] !== undefined));
}

let made: Certificates | undefined;

/** The certificates of this run. */
export function certificates(): Certificates {
  made ??= makeCertificates();
  return made;
}

/** Why a program cannot be run here, or undefined. */
export function program(name: string, argument: string): string | undefined {
  const { status } = spawnSync(name, [argument], { stdio: 'ignore' });
  return status === 0 ? undefined : `needs the program ${name}`;
}
