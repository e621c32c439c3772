const FIRST_MS = 1_000;
const MOST_MS = 60_000;

/** How long to wait after so many failures in a row: 1 s, 2 s, 4 s, … up to a minute. */
export function backOff(failures: number): number {
  return Math.min(MOST_MS, FIRST_MS * 2 ** (failures - 1));
}
