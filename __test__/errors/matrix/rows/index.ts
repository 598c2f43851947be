// All rows, and what none of them shows yet.

import type { AnyRow } from '../row.ts';
import { applicationRows } from './application.ts';
import { connectionRows } from './connection.ts';
import { hostileRows } from './hostile.ts';
import { memoryRows } from './memory.ts';
import { networkRows } from './network.ts';
import { protocolRows } from './protocol.ts';
import { sendRows } from './sends.ts';
import { sessionRows } from './session.ts';
import { streamRows } from './stream.ts';
import { tlsRows } from './tls.ts';
import { upgradeRows } from './upgrade.ts';
import { websocketRows } from './websocket.ts';

export const ROWS: readonly AnyRow[] = [
  ...connectionRows,
  ...sessionRows,
  ...streamRows,
  ...protocolRows,
  ...hostileRows,
  ...networkRows,
  ...sendRows,
  ...applicationRows,
  ...memoryRows,
  ...websocketRows,
  ...upgradeRows,
  ...tlsRows,
];

/** Lines of the reference that no row shows yet. */
export const OPEN_LINES: readonly string[] = [];
