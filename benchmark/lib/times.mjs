// How long each workload measures, in milliseconds, and how much where it counts.

/** About ten minutes in all. */
export const FULL = {
  warmUp: 300,
  bulk: 1_500,
  pings: 500,
  messages: 700,
  connects: 1_000,
  setups: 100,
  moves: 20,
  rustBytes: 1_000_000_000,
  rustConnects: 1_500,
  linkWarmUp: 2_000,
  link: 8_000,
};

/** Under three. */
export const QUICK = {
  ...FULL,
  warmUp: 200,
  bulk: 700,
  pings: 400,
  messages: 400,
  connects: 600,
  setups: 50,
  moves: 15,
  rustBytes: 500_000_000,
  rustConnects: 500,
  link: 2_000,
};

/** Whether it runs at all, with peers that need nothing installed. */
export const SMOKE = { ...QUICK, warmUp: 20, bulk: 50, pings: 50, messages: 50, connects: 50 };
export const SMOKE_PEERS = ['stt', 'net'];
