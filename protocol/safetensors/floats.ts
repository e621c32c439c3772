/**
 * The numbers in floating-point tensors of any width, and back. `F16` is IEEE 754 binary16; `BF16` is
 * the upper half of binary32. Engines have no typed array for either yet.
 */
import { arrayKinds } from './dtypes.js';
import type { Dtype } from './dtypes.js';

export type FloatDtype = Extract<Dtype, 'F16' | 'BF16' | 'F32' | 'F64'>;

export function isFloat(dtype: Dtype): dtype is FloatDtype {
  return dtype === 'F16' || dtype === 'BF16' || dtype === 'F32' || dtype === 'F64';
}

interface HalfFormat {
  /** Bits of the fraction. */
  readonly fraction: number;
  /** Exponent of the least normal number. */
  readonly least: number;
  /** Bits of infinity. */
  readonly infinity: number;
  /** What the last bit of the fraction is worth, by the bits of the exponent. */
  readonly units: Float64Array;
}

function halfFormat(fraction: number, least: number): HalfFormat {
  const exponents = 2 ** (15 - fraction);
  const units = Float64Array.from(
    { length: exponents },
    (_, bits) => 2 ** (least - fraction + Math.max(0, bits - 1)),
  );
  return { fraction, least, infinity: (exponents - 1) << fraction, units };
}

const BINARY16 = halfFormat(10, -14);
const BFLOAT16 = halfFormat(7, -126);
const SIGN = 0x8000;
const NAN = 0x7fff;

function decodeHalf(bits: number, { fraction, infinity, units }: HalfFormat): number {
  const sign = bits & SIGN ? -1 : 1;
  const magnitude = bits & ~SIGN;
  if (magnitude >= infinity) return magnitude === infinity ? sign * Infinity : NaN;
  const exponent = magnitude >> fraction;
  const ofFraction = magnitude & ((1 << fraction) - 1);
  const steps = exponent === 0 ? ofFraction : ofFraction + (1 << fraction);
  return sign * steps * units[exponent];
}

/** The nearest, ties to even; infinity beyond the greatest. Rounded once, from float64. */
function encodeHalf(value: number, { fraction, least, infinity, units }: HalfFormat): number {
  if (Number.isNaN(value)) return NAN;
  const sign = value < 0 || Object.is(value, -0) ? SIGN : 0;
  const magnitude = Math.abs(value);
  const exponent = Math.max(least, exponentOf(magnitude));
  if (exponent > 1 - least) return sign | infinity;
  const steps = roundHalfEven(magnitude / units[exponent - least + 1]);
  // A number that rounds up to the next power of two carries into the exponent by itself.
  return sign | Math.min(infinity, ((exponent - least) << fraction) + steps);
}

const word = new DataView(new ArrayBuffer(8));

/** floor(log2 x) of a normal double; less than any half format has for smaller ones. */
function exponentOf(x: number): number {
  word.setFloat64(0, x);
  return ((word.getUint16(0) >> 4) & 0x7ff) - 1023;
}

/** Of at most 2^12. */
function roundHalfEven(x: number): number {
  const low = Math.floor(x);
  const rest = x - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low;
}

/**
 * The numbers of a stretch of a tensor, each a double exactly, copied. Bytes are as they lie in a file:
 * little-endian, at any offset of their buffer.
 */
export function decodeFloats(dtype: FloatDtype, bytes: Uint8Array): Float64Array {
  const { buffer } = Uint8Array.from(bytes);
  switch (dtype) {
    case 'F64':
      return new Float64Array(buffer);
    case 'F32':
      return new Float64Array(new Float32Array(buffer));
    case 'F16':
      return Float64Array.from(new Uint16Array(buffer), (bits) => decodeHalf(bits, BINARY16));
    case 'BF16':
      return fromBfloat16(new Uint16Array(buffer));
  }
}

/** A binary32 without its lower half: with zeros there it is the same number. */
function fromBfloat16(halves: Uint16Array): Float64Array {
  const words = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) words[i] = halves[i] << 16;
  return new Float64Array(new Float32Array(words.buffer));
}

/** Writes one number as the `index`-th of a stretch, rounded once. */
export function encodeFloat(dtype: FloatDtype, view: DataView, index: number, value: number): void {
  const at = index * arrayKinds[dtype].BYTES_PER_ELEMENT;
  switch (dtype) {
    case 'F64':
      view.setFloat64(at, value, true);
      break;
    case 'F32':
      view.setFloat32(at, value, true);
      break;
    case 'F16':
      view.setUint16(at, encodeHalf(value, BINARY16), true);
      break;
    case 'BF16':
      view.setUint16(at, encodeHalf(value, BFLOAT16), true);
      break;
  }
}
