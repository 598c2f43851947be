import { readFileSync } from 'node:fs';
import type { ValidateFunction } from 'ajv';
import { Ajv } from 'ajv';

const URL_OF_SCHEMA = new URL('../../docs/cli.schema.json', import.meta.url);

/** The schema of docs/cli.schema.json. */
export const schema = JSON.parse(readFileSync(URL_OF_SCHEMA, 'utf8')) as {
  readonly definitions: Readonly<Record<string, object>>;
};

const validators = new Map<string, ValidateFunction>();
const ajv = new Ajv({ allErrors: true, allowUnionTypes: true });

/** What is wrong with a line of `--json`; nothing if it is as the schema says. */
export function problemsOf(record: { readonly event: string }): string[] {
  const { event } = record;
  const definition = schema.definitions[event];
  if (definition === undefined) return [`event ${event} is not in docs/cli.schema.json`];
  let validate = validators.get(event);
  if (validate === undefined) {
    validate = ajv.compile(definition);
    validators.set(event, validate);
  }
  if (validate(record)) return [];
  return (validate.errors ?? []).map(
    ({ instancePath, message, params }) =>
      `${event}${instancePath}: ${message} ${JSON.stringify(params)}`,
  );
}
