// All rows, and what no row can show yet.

import type { AnyRow } from '../row.ts';
import { applicationRows } from './application.ts';
import { connectionRows } from './connection.ts';
import { hostileRows } from './hostile.ts';
import { networkRows } from './network.ts';
import { protocolRows } from './protocol.ts';
import { sendRows } from './sends.ts';
import { sessionRows } from './session.ts';
import { streamRows } from './stream.ts';

export const ROWS: readonly AnyRow[] = [
  ...connectionRows,
  ...sessionRows,
  ...streamRows,
  ...protocolRows,
  ...hostileRows,
  ...networkRows,
  ...sendRows,
  ...applicationRows,
];

/** What needs the WebSocket carrier: its codes, and the lines that lead to it. */
export const PENDING_CODES: readonly number[] = [0x0502, 0x0503, 0x0504];
export const PENDING_LINES: readonly string[] = [
  '0x0101/4',
  ...PENDING_CODES.flatMap((code) => [1, 2, 3].map((line) => `0x0${code.toString(16)}/${line}`)),
];

/** What no row shows yet. */
export const OPEN_CODES: readonly number[] = [];
export const OPEN_LINES: readonly string[] = ['0x0501/3', '0x0603/3'];
