import { ERROR_TABLE, SttError } from '@seigr/stt';
import type { ProvokableCodeName } from '@seigr/stt/testing';
import { provoke } from '@seigr/stt/testing';
import '@seigr/stt/testing/vitest';
import { describe, expect, test } from 'vitest';

describe('every error of the table, by its true cause and without rights', () => {
  const names = ERROR_TABLE.map((info) => info.codeName);
  test.for(names)('%s', async (name) => {
    const error = await provoke(name as ProvokableCodeName);
    expect(error).toBeInstanceOf(SttError);
    expect(error).toBeSttError(name);
  });

  test('no error has another name', async () => {
    await expect(provoke('NONE' as ProvokableCodeName)).rejects.toThrow(/no error named NONE/);
  });
});
