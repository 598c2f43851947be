/**
 * Milliseconds for which a place is sure among equals. A handshake takes two round trips; whoever has waited longer gives
 * way when there is no other room.
 */
const GRACE = 2_000;

/** A place among {@link Waiting}. */
export interface Place {
  readonly source: string;
  readonly since: number;
  readonly evict: () => void;
}

/**
 * Who has come and not proved itself: bounded in all and by source. Where there is no room in all, the source that has most
 * places gives its oldest to one that would have fewer, so that many sockets of few strangers keep nobody else out.
 * Among equals the oldest gives way once it has waited for two seconds: a crowd of honest peers that come back at
 * once is told to wait, and does not push itself out of handshakes under way.
 */
export class Waiting {
  readonly #most: number;
  readonly #mostOfSource: number;
  readonly #now: () => number;
  /** Each in the order of arrival. */
  readonly #all = new Set<Place>();
  readonly #bySource = new Map<string, Set<Place>>();

  /**
   * @param most places in all
   * @param mostOfSource places of one source
   * @param now milliseconds on a clock that is never set
   */
  constructor(most: number, mostOfSource: number, now: () => number = () => performance.now()) {
    this.#most = most;
    this.#mostOfSource = mostOfSource;
    this.#now = now;
  }

  get size(): number {
    return this.#all.size;
  }

  /**
   * Takes a place; undefined when there is none.
   *
   * @param evict ends whoever has the place, when somebody else needs it; the place is free by then
   */
  enter(source: string, evict: () => void): Place | undefined {
    const own = this.#bySource.get(source);
    const has = own?.size ?? 0;
    if (has >= this.#mostOfSource && !this.#evict(own, GRACE)) return undefined;
    if (this.#all.size >= this.#most) {
      const largest = this.#largest();
      const unfair = (largest?.size ?? 0) > has + 1;
      if (!(unfair ? this.#evict(largest, 0) : this.#evict(this.#all, GRACE))) return undefined;
    }
    const place = { source, since: this.#now(), evict };
    this.#all.add(place);
    const places = this.#bySource.get(source);
    if (places === undefined) this.#bySource.set(source, new Set([place]));
    else places.add(place);
    return place;
  }

  /** Gives a place back; it may have been given to another already. */
  leave(place: Place): void {
    this.#all.delete(place);
    const places = this.#bySource.get(place.source);
    places?.delete(place);
    if (places?.size === 0) this.#bySource.delete(place.source);
  }

  #largest(): Set<Place> | undefined {
    let largest: Set<Place> | undefined;
    for (const places of this.#bySource.values()) {
      if (places.size > (largest?.size ?? 0)) largest = places;
    }
    return largest;
  }

  /** Frees the oldest place of these, if it was taken that long ago. */
  #evict(places: Set<Place> | undefined, after: number): boolean {
    const [oldest] = places ?? [];
    if (oldest === undefined || this.#now() - oldest.since < after) return false;
    this.leave(oldest);
    oldest.evict();
    return true;
  }
}
