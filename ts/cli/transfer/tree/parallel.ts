/** Runs `act` on all of them, so many at a time. */
export async function inParallel<T>(
  items: readonly T[],
  width: number,
  act: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < items.length) {
      const at = next;
      next += 1;
      await act(items[at] as T);
    }
  };
  const all = Array.from({ length: Math.min(width, items.length) }, () =>
    work().catch((error: unknown) => {
      next = items.length;
      throw error;
    }),
  );
  await Promise.allSettled(all);
  await Promise.all(all);
}
