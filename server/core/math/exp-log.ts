/**
 * exp and log after fdlibm's e_exp.c and e_log.c (Sun Microsystems 1993, freely distributable):
 * reduction by multiples of ln 2, then a minimax polynomial. Errors stay below one ulp.
 */
import { LEAST_NORMAL, highWord, powerOfTwo, scaled, withHighWord } from './bits.js';

const LN2_HIGH = 6.9314718036912381649e-1;
const LN2_LOW = 1.90821492927058770002e-10;
const INVERSE_LN2 = 1.442695040888963387;
const EXP_OVERFLOW = 7.09782712893383973096e2;
const EXP_UNDERFLOW = -7.4513321910194110842e2;
/** Nearer to 0 than this, e^x is 1 + x to the last bit. */
const EXP_LINEAR = powerOfTwo(-28);
/** Nearer to 1 than this, two terms of the series of log(1 + f) do. */
const LOG_SHORT = powerOfTwo(-20);
const LIFT = powerOfTwo(54);

/** r * coth(r / 2) - 2 = t * (P1 + t * (P2 + …)) with t = r^2, for |r| <= ln(2) / 2. */
export function expRemainder(t: number): number {
  const P1 = 1.66666666666666019037e-1;
  const P2 = -2.77777777770155933842e-3;
  const P3 = 6.61375632143793436117e-5;
  const P4 = -1.6533902205465251539e-6;
  const P5 = 4.13813679705723846039e-8;
  return t * (P1 + t * (P2 + t * (P3 + t * (P4 + t * P5))));
}

/** e^x. The same bits on every engine; specials as Math.exp has them. */
export function exp(x: number): number {
  if (Number.isNaN(x) || x === Infinity) return x;
  if (x > EXP_OVERFLOW) return Infinity;
  if (x < EXP_UNDERFLOW) return 0;
  if (x === 1) return Math.E; // the reduction is worst here: the next number up
  const size = Math.abs(x);
  if (size < EXP_LINEAR) return 1 + x;

  const k = size > 0.5 * LN2_HIGH ? Math.trunc(INVERSE_LN2 * x + (x < 0 ? -0.5 : 0.5)) : 0;
  const high = x - k * LN2_HIGH;
  const low = k * LN2_LOW;
  const r = high - low;
  const c = r - expRemainder(r * r);
  if (k === 0) return 1 - ((r * c) / (c - 2) - r);
  return scaled(1 - (low - (r * c) / (2 - c) - high), k);
}

/** log(1 + f) = f - f^2/2 + s * (f^2/2 + R(s^2)) with s = f / (2 + f). */
function logRemainder(z: number): number {
  const w = z * z;
  const even =
    w * (3.999999999940941908e-1 + w * (2.222219843214978396e-1 + w * 1.531383769920937332e-1));
  const odd =
    z *
    (6.66666666666673513e-1 +
      w * (2.857142874366239149e-1 + w * (1.818357216161805012e-1 + w * 1.479819860511658591e-1)));
  return odd + even;
}

/** The natural logarithm. The same bits on every engine; specials as Math.log has them. */
export function log(x: number): number {
  if (x === 0) return -Infinity;
  if (Number.isNaN(x) || x < 0) return NaN;
  if (x === Infinity) return x;
  if (x < LEAST_NORMAL) return logOf(x * LIFT, -54);
  return logOf(x, 0);
}

function logOf(x: number, lifted: number): number {
  const high = highWord(x);
  const fraction = high & 0xfffff;
  // x = 2^k * (1 + f) with sqrt(1/2) < 1 + f < sqrt(2).
  const halved = (fraction + 0x95f64) & 0x100000;
  const k = lifted + (high >> 20) - 1023 + (halved >> 20);
  const f = withHighWord(x, fraction | (halved ^ 0x3ff00000)) - 1;
  const kHigh = k * LN2_HIGH;
  const kLow = k * LN2_LOW;

  if (Math.abs(f) < LOG_SHORT) {
    const tail = f * f * (0.5 - 0.3333333333333333 * f);
    return kHigh - (tail - kLow - f);
  }
  const s = f / (2 + f);
  const R = logRemainder(s * s);
  if (((fraction - 0x6147a) | (0x6b851 - fraction)) > 0) {
    const half = 0.5 * f * f;
    return kHigh - (half - (s * (half + R) + kLow) - f);
  }
  return kHigh - (s * (f - R) - kLow - f);
}
