// A lane lets few through at once: a browser opens at most six connections to a node without TLS, and a stream keeps one.

/** Runs tasks, at most `width` at once, those that came last first: what was scrolled to matters more than what was passed. */
export class Lane {
  #running = 0;
  #waiting: (() => void)[] = [];

  constructor(readonly width: number) {}

  async run<T>(task: () => Promise<T>, stop: AbortSignal): Promise<T> {
    if (this.#running >= this.width) {
      await new Promise<void>((resolve, reject) => {
        const stopped = () => {
          this.#waiting = this.#waiting.filter((each) => each !== go);
          reject(stop.reason);
        };
        const go = () => {
          stop.removeEventListener("abort", stopped);
          resolve();
        };
        stop.addEventListener("abort", stopped);
        this.#waiting.push(go);
      });
    } else {
      this.#running++;
    }
    try {
      stop.throwIfAborted();
      return await task();
    } finally {
      const next = this.#waiting.pop();
      if (next) next();
      else this.#running--;
    }
  }
}
