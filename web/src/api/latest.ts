// Asks once values have settled, and lets only the answer to the last question through.

/** A question that is asked again and again; answers to earlier ones are dropped, their calls stopped. */
export class Latest {
  #stop = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly settleMs: number) {}

  /** Asks after a pause in which nothing newer came; `take` hears the answer unless something newer came meanwhile. */
  ask<T>(question: (stop: AbortSignal) => Promise<T>, take: (answer: T) => void, fail: (thrown: unknown) => void): void {
    this.stop();
    const { signal } = (this.#stop = new AbortController());
    this.#timer = setTimeout(() => {
      question(signal).then(
        (answer) => signal.aborted || take(answer),
        (thrown: unknown) => signal.aborted || fail(thrown),
      );
    }, this.settleMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#stop.abort();
  }
}
