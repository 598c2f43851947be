import { setMaxListeners } from 'node:events';

/** The end of something that each of many connections waits for: that there are many listeners is no leak. */
export function endingOfMany(): AbortController {
  const ending = new AbortController();
  setMaxListeners(0, ending.signal);
  return ending;
}
