/** A list of float32 values that grows: a table's length is known only after it was read. */
export class FloatList {
  private buffer = new Float32Array(1024);
  private count = 0;

  push(value: number): void {
    if (this.count === this.buffer.length) {
      const grown = new Float32Array(2 * this.count);
      grown.set(this.buffer);
      this.buffer = grown;
    }
    this.buffer[this.count++] = value;
  }

  /** The values so far, in an array of exactly their number. */
  values(): Float32Array {
    return this.buffer.slice(0, this.count);
  }
}
