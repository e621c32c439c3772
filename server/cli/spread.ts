/** Mean and spread over seeds, as tables show them. */
import { deviation, mean } from '../simulation/statistics.js';

/** In per cent: `73.4±1.2`; without a spread where there is one value, a dash where there is none. */
export function meanAndDeviation(values: readonly number[]): string {
  if (values.length === 0) return '-';
  const centre = (100 * mean(values)).toFixed(1);
  return values.length < 2 ? centre : `${centre}±${(100 * deviation(values)).toFixed(1)}`;
}
