import { Ajv } from 'ajv';
import { expect, test } from 'vitest';
import { problemsOf, schema } from './schema.ts';
import { stt } from './stt.ts';

// Every line of every other test of the command line is held against the schema as it is read (stt.ts).

test('the schema is one, and takes a real line as a whole', async () => {
  const validate = new Ajv({ allowUnionTypes: true }).compile(schema);
  const { records } = await stt(['explain', '0x0405_03', '--json']);
  expect(records).toHaveLength(1);
  expect([validate(records[0]), validate.errors]).toEqual([true, null]);
  expect(validate({ ...records[0], event: 'no such event' })).toBe(false);
});

test('it notices a field too many, one too few, and one of another kind', () => {
  const line = { schema: 1, event: 'resumed', name: 'a', offset: 5 };
  expect(problemsOf(line)).toEqual([]);
  expect(problemsOf({ ...line, more: 1 } as never)).toHaveLength(1);
  expect(problemsOf({ ...line, offset: '5' } as never)).toHaveLength(1);
  const { offset: _, ...less } = line;
  expect(problemsOf(less)).toHaveLength(1);
  expect(problemsOf({ event: 'unheard of' })).toHaveLength(1);
});
