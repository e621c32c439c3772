/** Numbers by name, as training and evaluation report them. */
import { z } from 'zod';

export const metricName = z.string().regex(/^[A-Za-z][A-Za-z0-9_.-]{0,63}$/);
export const metrics = z
  .record(metricName, z.number())
  .refine((m) => Object.keys(m).length <= 64, 'at most 64 metrics');
export type Metrics = z.infer<typeof metrics>;
