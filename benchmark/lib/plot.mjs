// A run as a drawing: goodput and CPU time of one stream, and round trips, each peer a row. Logarithmic, as peers differ by
// factors of hundreds: dots, since a bar has no length there.

import { parse, View } from 'vega';
import { compile } from 'vega-lite';

const WIDTH = 300;
const ROW = 20;
const COLOURS = ['#1b6ca8', '#c4572d'];

/** What of a run is drawn; what did not run is left out. */
const CHARTS = [
  {
    workload: 'bulk',
    title: 'One stream, MB/s (more is better)',
    figures: { 'MB/s': 'goodput' },
    order: 'descending',
  },
  {
    workload: 'bulk',
    title: 'One stream, CPU s/GB (less is better)',
    figures: { 'CPU s/GB send': 'send', 'CPU s/GB receive': 'receive' },
    order: 'ascending',
  },
  {
    workload: 'ping-pong',
    title: 'Round trip of 64 B, us (less is better)',
    figures: { 'p50 us, 64 B': 'p50', 'p99 us, 64 B': 'p99' },
    order: 'ascending',
  },
  {
    workload: 'messages',
    title: 'Messages of 100 B a second (more is better)',
    figures: {
      'messages/s, a call each': 'a call each',
      'messages/s, a call for many': 'for many',
    },
    order: 'descending',
  },
];

/** An SVG document, or undefined where nothing of it ran. */
export async function draw(results) {
  const charts = CHARTS.filter(({ workload }) => results[workload] !== undefined).map((chart) =>
    chartOf(chart, results[chart.workload]),
  );
  if (charts.length === 0) return undefined;
  const { spec } = compile({
    background: 'white',
    columns: 2,
    spacing: 30,
    concat: charts,
    resolve: { scale: { color: 'independent', y: 'independent', x: 'independent' } },
    config: { view: { stroke: null }, font: 'sans-serif', axis: { grid: true } },
  });
  return new View(parse(spec), { renderer: 'none' }).toSVG();
}

function chartOf({ title, figures, order }, peers) {
  const values = Object.entries(peers).flatMap(([peer, measured]) =>
    Object.entries(figures)
      .filter(([figure]) => measured[figure] !== undefined)
      .map(([figure, what]) => {
        const { median, min, max } = measured[figure];
        return { peer, what, median, min, max };
      }),
  );
  const sign = order === 'ascending' ? 1 : -1;
  const [first] = Object.values(figures);
  const rows = values
    .filter(({ what }) => what === first)
    .sort((a, b) => sign * (a.median - b.median))
    .map(({ peer }) => peer);
  const x = { type: 'quantitative', scale: { type: 'log' }, title: null };
  const y = { field: 'peer', type: 'nominal', sort: rows, title: null };
  const colour = {
    field: 'what',
    type: 'nominal',
    title: null,
    scale: { domain: Object.values(figures), range: COLOURS },
    ...(Object.keys(figures).length === 1 ? { legend: null } : {}),
  };
  return {
    title,
    width: WIDTH,
    height: ROW * rows.length,
    data: { values },
    layer: [
      {
        mark: { type: 'rule', strokeWidth: 2, opacity: 0.4 },
        encoding: { x: { field: 'min', ...x }, x2: { field: 'max' }, y, color: colour },
      },
      {
        mark: { type: 'circle', size: 70, opacity: 1 },
        encoding: { x: { field: 'median', ...x }, y, color: colour },
      },
    ],
  };
}
