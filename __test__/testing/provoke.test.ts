import { ERROR_TABLE, SttError } from '@seigr/stt';
import type { ProvokableCodeName } from '@seigr/stt/testing';
import { provoke } from '@seigr/stt/testing';
import '@seigr/stt/testing/vitest';
import { describe, expect, test } from 'vitest';

const WITHOUT = ['WEBSOCKET_CLOSED', 'WEBSOCKET_HANDSHAKE_FAILED', 'TLS_ERROR'];

describe('every error of the table, by its true cause and without rights', () => {
  const names = ERROR_TABLE.map((info) => info.codeName);
  test.for(names.filter((name) => !WITHOUT.includes(name)))('%s', async (name) => {
    const error = await provoke(name as ProvokableCodeName);
    expect(error).toBeInstanceOf(SttError);
    expect(error).toBeSttError(name);
  });

  test.for(WITHOUT)('%s waits, and says so', async (name) => {
    await expect(provoke(name as ProvokableCodeName)).rejects.toThrow(/no way to raise it/);
  });
});
