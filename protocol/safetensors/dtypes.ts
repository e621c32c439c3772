/** The element types of safetensors and the typed arrays that hold them. */

export type Dtype =
  | 'BOOL'
  | 'U8'
  | 'I8'
  | 'I16'
  | 'U16'
  | 'F16'
  | 'BF16'
  | 'I32'
  | 'U32'
  | 'F32'
  | 'F64'
  | 'I64'
  | 'U64';

/** Elements in row-major order. `BOOL` is 0 or 1 a byte; `F16` and `BF16` are their bits. */
export type TensorData =
  | Uint8Array
  | Int8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array;

interface ArrayKind {
  readonly name: string;
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): TensorData;
}

export const arrayKinds: Readonly<Record<Dtype, ArrayKind>> = {
  BOOL: Uint8Array,
  U8: Uint8Array,
  I8: Int8Array,
  I16: Int16Array,
  U16: Uint16Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I32: Int32Array,
  U32: Uint32Array,
  F32: Float32Array,
  F64: Float64Array,
  I64: BigInt64Array,
  U64: BigUint64Array,
};

export function isDtype(name: string): name is Dtype {
  return Object.hasOwn(arrayKinds, name);
}

/**
 * The dtype of an array where nobody stated it. None for a Uint16Array: it more often holds the
 * bits of half floats than integers, and a wrong guess would change every value without an error.
 */
export function inferDtype(data: TensorData): Dtype | undefined {
  switch (data[Symbol.toStringTag]) {
    case 'Uint8Array':
      return 'U8';
    case 'Int8Array':
      return 'I8';
    case 'Int16Array':
      return 'I16';
    case 'Uint16Array':
      return undefined;
    case 'Int32Array':
      return 'I32';
    case 'Uint32Array':
      return 'U32';
    case 'Float32Array':
      return 'F32';
    case 'Float64Array':
      return 'F64';
    case 'BigInt64Array':
      return 'I64';
    case 'BigUint64Array':
      return 'U64';
  }
}
