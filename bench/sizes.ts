/** Sizes as they are written on the command line. */

export type Size = readonly [K: number, P: number];

/** @throws Error for anything but rows x elements. */
export function sizeOf(text: string): Size {
  const [K, P, ...rest] = text.split('x').map(Number);
  const whole = [K, P].every((n) => Number.isInteger(n) && n > 0);
  if (!whole || rest.length > 0) throw new Error(`--at ${text}: write rows x elements, as 100x1e6`);
  return [K, P];
}
