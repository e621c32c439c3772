/** Views on the bits of a float64, without regard to the byte order of the machine. */

const view = new DataView(new ArrayBuffer(8));

/** Sign, exponent and the upper 20 bits of the fraction, as a signed 32-bit integer. */
export function highWord(x: number): number {
  view.setFloat64(0, x);
  return view.getInt32(0);
}

/** The lower 32 bits of the fraction. */
export function lowWord(x: number): number {
  view.setFloat64(0, x);
  return view.getUint32(4);
}

export function withHighWord(x: number, high: number): number {
  view.setFloat64(0, x);
  view.setInt32(0, high);
  return view.getFloat64(0);
}

/** x with the lower half of its fraction cleared: products of two such numbers are exact. */
export function truncated(x: number): number {
  view.setFloat64(0, x);
  view.setInt32(4, 0);
  return view.getFloat64(0);
}

/** 2^k for -1022 <= k <= 1023, exactly. */
export function powerOfTwo(k: number): number {
  view.setInt32(0, (k + 1023) << 20);
  view.setInt32(4, 0);
  return view.getFloat64(0);
}

/** x * 2^k for x between 1/4 and 4, rounded once: right for subnormal results, too. */
export function scaled(x: number, k: number): number {
  if (k > 1023) return x * powerOfTwo(1023) * powerOfTwo(Math.min(k - 1023, 1023));
  if (k >= -1022) return x * powerOfTwo(k);
  return x * powerOfTwo(-969) * powerOfTwo(Math.max(k + 969, -1022));
}

/** The least normal number: below it, numbers have no exponent of their own. */
export const LEAST_NORMAL = powerOfTwo(-1022);
