/** Hand-made safetensors files for the tests: well-formed containers around any header. */

export interface HostileFile {
  readonly what: string;
  readonly bytes: Uint8Array;
  /** What the error must say. */
  readonly says: RegExp;
  /** Refused by us alone: the reference library reads this file. */
  readonly stricter?: true;
}

/** The header of one tensor, as it should be. */
export const entry = '"dtype":"F32","shape":[1],"data_offsets":[0,4]';

/** A file with this header, text or bytes, and so many bytes of data, numbered from 1. */
export function fileOf(header: string | Uint8Array, dataBytes = 0): Uint8Array<ArrayBuffer> {
  const json = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const file = new Uint8Array(8 + json.length + dataBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(json.length), true);
  file.set(json, 8);
  for (let i = 0; i < dataBytes; i++) file[8 + json.length + i] = i + 1;
  return file;
}

/** A file with one tensor `w`, an F32 of one element where nothing else is said. */
export function oneTensor(fields: Record<string, string>, dataBytes = 4): Uint8Array {
  const all = { dtype: '"F32"', shape: '[1]', data_offsets: '[0,4]', ...fields };
  const text = Object.entries(all).map(([field, json]) => `"${field}":${json}`);
  return fileOf(`{"w":{${text.join(',')}}}`, dataBytes);
}

/** A file with F32 vectors `a`, `b`, … at these offsets. */
export function vectors(offsets: [number, number][], dataBytes: number): Uint8Array {
  const entries = offsets.map(([begin, end], i) => {
    const name = String.fromCharCode(97 + i);
    return `"${name}":{"dtype":"F32","shape":[${(end - begin) / 4}],"data_offsets":[${begin},${end}]}`;
  });
  return fileOf(`{${entries.join(',')}}`, dataBytes);
}

export function prefixed(length: bigint, rest = ''): Uint8Array {
  const file = fileOf(rest);
  new DataView(file.buffer).setBigUint64(0, length, true);
  return file;
}
