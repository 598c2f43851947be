/** One sample of an exposition. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** One family of samples. */
export interface Family {
  readonly name: string;
  readonly type: string;
  readonly unit: string | undefined;
  readonly help: string | undefined;
  readonly samples: readonly Sample[];
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const LABEL = '[a-zA-Z_][a-zA-Z0-9_]*';
const NUMBER = '[+-]?(?:\\d+(?:\\.\\d*)?|\\.\\d+)(?:[eE][+-]?\\d+)?|[+-]?Inf|NaN';
const SAMPLE = new RegExp(`^(${NAME})(\\{.*\\})? (${NUMBER})$`);
const PAIR = new RegExp(`^(${LABEL})="((?:[^"\\\\\\n]|\\\\[\\\\n"])*)"(,|$)`);

/** Suffixes that the samples of a type have (OpenMetrics 1.0, section 5). */
const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  counter: ['_total', '_created'],
  gauge: [''],
  summary: ['', '_count', '_sum', '_created'],
};

/**
 * Reads OpenMetrics text as strictly as the specification (1.0.0, sections 4 and 5) has it for the types
 * that are used here, and throws at what it does not allow.
 */
export function parseOpenMetrics(text: string): readonly Family[] {
  if (!text.endsWith('# EOF\n'))
    throw new Error('the exposition does not end in "# EOF" and a newline');
  const families: (Omit<Family, 'samples'> & { samples: Sample[] })[] = [];
  const names = new Set<string>();
  const seen = new Set<string>();
  for (const line of text.slice(0, -'# EOF\n'.length).split('\n').slice(0, -1)) {
    const meta = /^# (TYPE|UNIT|HELP) (\S+) (.+)$/.exec(line);
    if (meta !== null) {
      const [, kind, name = '', value = ''] = meta;
      if (!new RegExp(`^${NAME}$`).test(name)) throw new Error(`no name of a family: ${line}`);
      if (kind === 'TYPE') {
        if (names.has(name)) throw new Error(`a second family ${name}`);
        if (!(value in SUFFIXES)) throw new Error(`no type: ${line}`);
        names.add(name);
        families.push({ name, type: value, unit: undefined, help: undefined, samples: [] });
        continue;
      }
      const family = families.at(-1);
      if (family?.name !== name) throw new Error(`${kind} outside its family: ${line}`);
      if (family.samples.length > 0) throw new Error(`${kind} behind samples: ${line}`);
      if (kind === 'UNIT' && !name.endsWith(`_${value}`)) throw new Error(`not its unit: ${line}`);
      families[families.length - 1] = {
        ...family,
        ...(kind === 'UNIT' ? { unit: value } : { help: value }),
      };
      continue;
    }
    const match = SAMPLE.exec(line);
    const family = families.at(-1);
    if (match === null || family === undefined)
      throw new Error(`neither sample nor metadata: ${line}`);
    const [, name = '', set, number = ''] = match;
    const suffixes = SUFFIXES[family.type] ?? [];
    if (!suffixes.some((suffix) => name === family.name + suffix)) {
      throw new Error(`a sample of another family than ${family.name}: ${line}`);
    }
    const labels = parseLabels(set);
    const value = number === 'NaN' ? Number.NaN : Number(number.replace('Inf', 'Infinity'));
    if (family.type === 'counter' && !(value >= 0)) throw new Error(`no count: ${line}`);
    if (family.type === 'summary' && name === family.name) {
      const quantile = Number(labels.quantile);
      if (!(quantile >= 0 && quantile <= 1)) throw new Error(`no quantile: ${line}`);
    } else if ('quantile' in labels) {
      throw new Error(`a quantile where none can be: ${line}`);
    }
    const key = `${name} ${JSON.stringify(Object.entries(labels).sort())}`;
    if (seen.has(key)) throw new Error(`twice: ${line}`);
    seen.add(key);
    family.samples.push({ name, labels, value });
  }
  return families;
}

function parseLabels(set: string | undefined): Record<string, string> {
  const labels: Record<string, string> = {};
  let rest = set === undefined ? '' : set.slice(1, -1);
  while (rest !== '') {
    const match = PAIR.exec(rest);
    if (match === null) throw new Error(`no labels: ${set}`);
    const [whole, name = '', value = '', comma] = match;
    if (name in labels) throw new Error(`a label twice: ${set}`);
    labels[name] = value.replace(/\\(.)/g, (_, escaped) => (escaped === 'n' ? '\n' : escaped));
    rest = rest.slice(whole.length);
    if (comma === ',' && rest === '') throw new Error(`a comma at the end: ${set}`);
  }
  return labels;
}
