/**
 * x^y after fdlibm's e_pow.c (Sun Microsystems 1993, freely distributable): log2 x in extra
 * precision as a sum of two numbers, times y, then 2^z. Errors stay below one ulp.
 */
import { LEAST_NORMAL, highWord, powerOfTwo, scaled, truncated, withHighWord } from './bits.js';
import { expRemainder } from './exp-log.js';

/** From here on, y * log2 x is out of range unless x is right beside 1. */
const HUGE_EXPONENT = powerOfTwo(31);
/** From here on, for every x but 1. */
const UTTER_EXPONENT = powerOfTwo(64);
const BESIDE_1 = powerOfTwo(-20);
const ALL_EVEN = powerOfTwo(53);

/** A number as an unevaluated sum, high with a short fraction. */
interface Pair {
  readonly high: number;
  readonly low: number;
}

/** x^y. The same bits on every engine; specials as Math.pow has them. */
export function pow(x: number, y: number): number {
  if (y === 0) return 1;
  if (Number.isNaN(x) || Number.isNaN(y)) return NaN;
  const size = Math.abs(x);
  if (Math.abs(y) === Infinity) {
    if (size === 1) return NaN;
    return size > 1 === y > 0 ? Infinity : 0;
  }
  const odd = isOddInteger(y);
  if (size === 0 || size === Infinity) {
    const result = (size === 0) === y > 0 ? 0 : Infinity;
    return odd && isNegative(x) ? -result : result;
  }
  if (x < 0 && !Number.isInteger(y)) return NaN;
  const result = positivePow(size, y);
  return odd && x < 0 ? -result : result;
}

function isNegative(x: number): boolean {
  return x < 0 || Object.is(x, -0);
}

/** From 2^53 on, every float64 is even. */
function isOddInteger(y: number): boolean {
  return Number.isInteger(y) && Math.abs(y) < ALL_EVEN && Math.abs(y) % 2 === 1;
}

/** x^y for finite x > 0 and finite y other than 0. */
function positivePow(x: number, y: number): number {
  if (x === 1) return 1;
  if (y === 1) return x;
  if (y === 2) return x * x;
  if (y === -1) return 1 / x;
  if (y === 0.5) return Math.sqrt(x);

  const isHuge = Math.abs(y) > HUGE_EXPONENT;
  if (isHuge && (Math.abs(x - 1) > BESIDE_1 || Math.abs(y) > UTTER_EXPONENT)) {
    return x > 1 === y > 0 ? Infinity : 0;
  }
  const t = isHuge ? log2Near1(x) : log2Pair(x);
  const yHigh = truncated(y);
  const low = (y - yHigh) * t.high + y * t.low;
  const high = yHigh * t.high;
  return exp2({ high, low });
}

/** log2 x for |x - 1| <= 2^-20, by the series of log(1 + t). */
function log2Near1(x: number): Pair {
  const INVERSE_LN2 = 1.442695040888963387;
  const INVERSE_LN2_HIGH = 1.44269502162933349609;
  const INVERSE_LN2_LOW = 1.925962991126617e-8;
  const t = x - 1;
  const w = t * t * (0.5 - t * (0.3333333333333333 - t * 0.25));
  const u = INVERSE_LN2_HIGH * t;
  const v = t * INVERSE_LN2_LOW - w * INVERSE_LN2;
  const high = truncated(u + v);
  return { high, low: v - (high - u) };
}

/** s = (x - base) / (x + base), and log2 of base, for the base 1 or 1.5 that is nearer to x. */
function reduced(x: number): { n: number; ax: number; base: number; log2Base: Pair } {
  const lifted = x < LEAST_NORMAL ? 53 : 0;
  const normal = lifted ? x * ALL_EVEN : x;
  const high = highWord(normal);
  const fraction = high & 0xfffff;
  const n = (high >> 20) - 1023 - lifted;
  const exponent1 = fraction | 0x3ff00000;
  if (fraction <= 0x3988e) {
    return { n, ax: withHighWord(normal, exponent1), base: 1, log2Base: { high: 0, low: 0 } };
  }
  if (fraction < 0xbb67a) {
    const log2Base = { high: 5.84962487220764160156e-1, low: 1.35003920212974897128e-8 };
    return { n, ax: withHighWord(normal, exponent1), base: 1.5, log2Base };
  }
  const halved = withHighWord(normal, exponent1 - 0x00100000);
  return { n: n + 1, ax: halved, base: 1, log2Base: { high: 0, low: 0 } };
}

/** log2 x with about 70 bits, for x > 0. */
function log2Pair(x: number): Pair {
  const CP = 9.61796693925975554329e-1; // 2 / (3 ln 2)
  const CP_HIGH = 9.61796700954437255859e-1;
  const CP_LOW = -7.02846165095275826516e-9;
  const { n, ax, base, log2Base } = reduced(x);

  const u = ax - base;
  const v = 1 / (ax + base);
  const s = u * v;
  const sHigh = truncated(s);
  // ax + base, upper half; exact because both stand within a factor of two.
  const sumHigh = truncated(ax + base);
  const sumLow = ax - (sumHigh - base);
  const sLow = v * (u - sHigh * sumHigh - sHigh * sumLow);

  const s2 = s * s;
  const r = s2 * s2 * log2Series(s2) + sLow * (sHigh + s);
  const sHigh2 = sHigh * sHigh;
  const tHigh = truncated(3 + sHigh2 + r);
  const tLow = r - (tHigh - 3 - sHigh2);
  const pu = sHigh * tHigh;
  const pv = sLow * tHigh + tLow * s;
  const pHigh = truncated(pu + pv);
  const pLow = pv - (pHigh - pu);

  const zHigh = CP_HIGH * pHigh;
  const zLow = CP_LOW * pHigh + pLow * CP + log2Base.low;
  const high = truncated(zHigh + zLow + log2Base.high + n);
  return { high, low: zLow - (high - n - log2Base.high - zHigh) };
}

function log2Series(s2: number): number {
  const L1 = 5.99999999999994648725e-1;
  const L2 = 4.28571428578550184252e-1;
  const L3 = 3.33333329818377432918e-1;
  const L4 = 2.72728123808534006489e-1;
  const L5 = 2.30660745775561754067e-1;
  const L6 = 2.06975017800338417784e-1;
  return L1 + s2 * (L2 + s2 * (L3 + s2 * (L4 + s2 * (L5 + s2 * L6))));
}

/** 2^(high + low). */
function exp2({ high, low }: Pair): number {
  const LN2 = 6.93147180559945286227e-1;
  const LN2_HIGH = 6.93147182464599609375e-1;
  const LN2_LOW = -1.90465429995776804525e-9;
  const OVERFLOW_SLACK = 8.008566259537294e-17; // -(1024 - log2(greatest + half an ulp))
  const z = high + low;
  if (z > 1024 || (z === 1024 && low + OVERFLOW_SLACK > z - high)) return Infinity;
  if (z < -1075 || (z === -1075 && low <= z - high)) return 0;

  const n = Math.abs(z) > 0.5 ? Math.floor(z + 0.5) : 0;
  const rest = high - n;
  const t = truncated(low + rest);
  const u = t * LN2_HIGH;
  const v = (low - (t - rest)) * LN2 + t * LN2_LOW;
  const e = u + v;
  const w = v - (e - u);
  const t2 = e - expRemainder(e * e);
  const r = (e * t2) / (t2 - 2) - (w + e * w);
  return scaled(1 - (r - e), n);
}
