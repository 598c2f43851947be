// A run as text: what RESULTS.md has.

export function render({ environment, results, targets, skipped, runs, seconds, quick, plot }) {
  return [
    '# Benchmark results',
    '',
    `Made by \`npm run bench -- --write${quick ? ' --quick' : ''}\` in ${Math.round(seconds)} s: medians, ranges in brackets; ` +
      `${runs} runs of what a target names. How it is measured, and why what is not met is not: [NOTES.md](NOTES.md).`,
    '',
    environment.text,
    '',
    ...(plot === undefined
      ? []
      : [`![Goodput, CPU time, round trips and messages, by peer](${plot})`, '']),
    '## Targets',
    '',
    '| what | figure or ratio | wanted | met | stretch |',
    '| --- | --- | --- | --- | --- |',
    ...targets.map(targetRow),
    '',
    ...Object.entries(results).flatMap(table),
    ...(skipped.length === 0 ? [] : ['## Left out', '', ...skipped.map(skippedLine), '']),
  ].join('\n');
}

function targetRow({ name, ratio, range, op, target, met, against, stretch }) {
  const who = against !== undefined && !name.endsWith(against) ? `, ${against}` : '';
  const further =
    stretch === undefined
      ? ''
      : `${stretch.ratio} (${op} ${stretch.target}${stretch.against ? `, ${stretch.against}` : ''}): ${stretch.met ? 'yes' : 'no'}`;
  return `| ${name} | ${ratio} (${range.join('-')}${who}) | ${op} ${target} | ${met ? 'yes' : '**no**'} | ${further} |`;
}

function table([workload, peers]) {
  const figures = [...new Set(Object.values(peers).flatMap((values) => Object.keys(values)))];
  return [
    `## ${workload}`,
    '',
    `| peer | ${figures.join(' | ')} |`,
    `| --- |${' --- |'.repeat(figures.length)}`,
    ...Object.entries(peers).map(
      ([peer, values]) =>
        `| ${peer} | ${figures.map((figure) => cell(values[figure])).join(' | ')} |`,
    ),
    '',
  ];
}

function cell(figure) {
  if (figure === undefined) return '-';
  const { median, min, max } = figure;
  const digits = Math.abs(median) < 10 ? 2 : Math.abs(median) < 100 ? 1 : 0;
  const text = (value) => value.toFixed(digits);
  return min === max ? text(median) : `${text(median)} (${text(min)}-${text(max)})`;
}

function skippedLine({ workload, peer, why }) {
  return `- ${workload}${peer === undefined ? '' : `, ${peer}`}: ${why}`;
}
