// Sessions as such: how fast they are made, and what they cost while nothing happens.

/** How many are made at a time where they are only to be there. */
const AT_ONCE = 32;
const WARM_UP = 32;

export const sessionActions = (side) => ({
  /** Makes sessions and ends them, so many at a time, for so long. */
  async connects({ atOnce, milliseconds }) {
    for (let index = 0; index < WARM_UP; index += 1) await side().session().then(destroy);
    const started = performance.now();
    const end = started + milliseconds;
    let count = 0;
    const worker = async () => {
      while (performance.now() < end) {
        destroy(await side().session());
        count += 1;
      }
    };
    await Promise.all(Array.from({ length: atOnce }, worker));
    return { count, seconds: (performance.now() - started) / 1_000 };
  },
  /** Makes sessions until there are `count`, and keeps them. */
  async hold({ count }) {
    held ??= [];
    const started = performance.now();
    const missing = count - held.length;
    let begun = 0;
    const worker = async () => {
      while (begun < missing) {
        begun += 1;
        held.push(await side().session());
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    return { count: held.length, seconds: (performance.now() - started) / 1_000 };
  },
  /** How many of them are still there. */
  holding: () => held.filter((session) => session.alive()).length,
  setups: ({ count, early }) => side().setups(count, early),
  moves: ({ count, end }) => side().moves(count, end),
});

let held;

function destroy(session) {
  session.destroy();
}
