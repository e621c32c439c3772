/** A door that a test opens: whoever waits at it goes on then, and whoever comes later at once. */
export class Gate {
  /** Opens the door. */
  open!: () => void;
  readonly #opened = new Promise<void>((resolve) => {
    this.open = resolve;
  });

  pass(): Promise<void> {
    return this.#opened;
  }
}
