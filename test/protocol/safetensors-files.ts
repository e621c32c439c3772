/** Hand-made safetensors files for the tests: well-formed containers around any header. */

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
function oneTensor(fields: Record<string, string>, dataBytes = 4): Uint8Array {
  const all = { dtype: '"F32"', shape: '[1]', data_offsets: '[0,4]', ...fields };
  const text = Object.entries(all).map(([field, json]) => `"${field}":${json}`);
  return fileOf(`{"w":{${text.join(',')}}}`, dataBytes);
}

/** A file with F32 vectors `a`, `b`, … at these offsets. */
function vectors(offsets: [number, number][], dataBytes: number): Uint8Array {
  const entries = offsets.map(([begin, end], i) => {
    const name = String.fromCharCode(97 + i);
    return `"${name}":{"dtype":"F32","shape":[${(end - begin) / 4}],"data_offsets":[${begin},${end}]}`;
  });
  return fileOf(`{${entries.join(',')}}`, dataBytes);
}

function prefixed(length: bigint, rest = ''): Uint8Array {
  const file = fileOf(rest);
  new DataView(file.buffer).setBigUint64(0, length, true);
  return file;
}

const entry = '"dtype":"F32","shape":[1],"data_offsets":[0,4]';
const invalidUtf8 = new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x7b, 0x7d, 0x7d]);

interface HostileFile {
  readonly what: string;
  readonly bytes: Uint8Array;
  /** What the error must say. */
  readonly says: RegExp;
  /** Refused by us alone: the reference library reads this file. */
  readonly stricter?: true;
}

/** Files that must be refused, each for one reason. */
export const hostileFiles: readonly HostileFile[] = [
  // Length of the header
  { what: 'an empty file', bytes: new Uint8Array(0), says: /ends after 0 bytes/ },
  { what: 'seven bytes', bytes: new Uint8Array(7), says: /ends after 7 bytes/ },
  { what: 'a header of no bytes', bytes: new Uint8Array(8), says: /does not begin with "\{"/ },
  { what: 'a header of 2^63 bytes', bytes: prefixed(2n ** 63n, '{}'), says: /header of 92233720/ },
  {
    what: 'a header of 2^64 - 1 bytes',
    bytes: prefixed(2n ** 64n - 1n, '{}'),
    says: /header of 1844/,
  },
  {
    what: 'a header longer than the file',
    bytes: prefixed(3n, '{}'),
    says: /3 bytes in a file of 10/,
  },
  {
    what: 'a header over the limit',
    bytes: fileOf(`{${' '.repeat(4 * 1024 * 1024)}}`),
    says: /at most 4194304 are read/,
    stricter: true,
  },

  // JSON
  { what: 'invalid UTF-8', bytes: fileOf(invalidUtf8), says: /not UTF-8/ },
  { what: 'a byte-order mark', bytes: fileOf('\ufeff{}'), says: /does not begin with "\{"/ },
  {
    what: 'a space before the object',
    bytes: fileOf(' {}'),
    says: /begin with "\{"/,
    stricter: true,
  },
  { what: 'an array', bytes: fileOf('[]'), says: /begin with "\{"/ },
  { what: 'null', bytes: fileOf('null'), says: /begin with "\{"/ },
  {
    what: 'an object without an end',
    bytes: fileOf('{'),
    says: /expected a string at character 1, found the end/,
  },
  { what: 'a comma too many', bytes: fileOf(`{"w":{${entry}},}`, 4), says: /expected a string/ },
  { what: 'a key that is no string', bytes: fileOf('{1:{}}'), says: /expected a string/ },
  { what: 'a string without an end', bytes: fileOf('{"w'), says: /without an end/ },
  { what: 'a string that ends in a backslash', bytes: fileOf('{"w\\'), says: /without an end/ },
  { what: 'an unknown escape', bytes: fileOf(`{"\\q":{${entry}}}`, 4), says: /not a JSON string/ },
  {
    what: 'a control character in a name',
    bytes: fileOf(`{"\u0000":{${entry}}}`, 4),
    says: /"\\"\\u0000\\"" is not a JSON string/,
  },
  {
    what: 'half of a surrogate pair',
    bytes: fileOf(`{"\\ud800":{${entry}}}`, 4),
    says: /surrogate/,
  },
  {
    what: 'a NUL after the object',
    bytes: fileOf('{}\u0000'),
    says: /expected the end at character 2/,
  },
  { what: 'a second object', bytes: fileOf('{}{}'), says: /expected the end/ },
  {
    what: 'arrays nested a million deep',
    bytes: fileOf(`{"w":${'['.repeat(1e6)}`),
    says: /tensor "w": expected "\{"/,
  },
  { what: 'objects nested deep', bytes: fileOf('{"w":'.repeat(2e5)), says: /not a field/ },
  {
    what: 'nesting in a shape',
    bytes: oneTensor({ shape: '['.repeat(1e5) }),
    says: /"shape": expected a whole number/,
  },

  // Keys
  {
    what: 'a tensor given twice',
    bytes: fileOf(`{"w":{${entry}},"w":{${entry}}}`, 4),
    says: /tensor "w": given twice/,
    stricter: true,
  },
  {
    what: 'a tensor given twice, once escaped',
    bytes: fileOf(`{"w":{${entry}},"\\u0077":{${entry}}}`, 4),
    says: /tensor "w": given twice/,
    stricter: true,
  },
  {
    what: 'a field given twice',
    bytes: fileOf(`{"w":{${entry},"dtype":"F32"}}`, 4),
    says: /tensor "w": "dtype": given twice/,
  },
  {
    what: 'metadata given twice',
    bytes: fileOf('{"__metadata__":{},"__metadata__":{}}'),
    says: /metadata: given twice/,
  },
  {
    what: 'a metadata key given twice',
    bytes: fileOf('{"__metadata__":{"k":"1","k":"2"}}'),
    says: /metadata: "k": given twice/,
    stricter: true,
  },
  {
    what: 'a field that the format does not know',
    bytes: oneTensor({ strides: '[1]' }),
    says: /"strides": not a field/,
    stricter: true,
  },
  {
    what: 'a missing dtype',
    bytes: fileOf('{"w":{"shape":[1],"data_offsets":[0,4]}}', 4),
    says: /tensor "w": has no dtype/,
  },
  {
    what: 'a missing shape',
    bytes: fileOf('{"w":{"dtype":"F32","data_offsets":[0,4]}}', 4),
    says: /has no shape/,
  },
  {
    what: 'missing offsets',
    bytes: fileOf('{"w":{"dtype":"F32","shape":[1]}}', 4),
    says: /has no data_offsets/,
  },
  { what: 'a tensor that is null', bytes: fileOf('{"w":null}'), says: /tensor "w": expected "\{"/ },
  {
    what: 'a tensor that is an array',
    bytes: fileOf('{"w":["F32",[1],[0,4]]}', 4),
    says: /tensor "w": expected "\{"/,
    stricter: true,
  },
  {
    what: 'a number in metadata',
    bytes: fileOf('{"__metadata__":{"k":1}}'),
    says: /metadata: "k": expected a string/,
  },
  {
    what: 'an object in metadata',
    bytes: fileOf('{"__metadata__":{"k":{}}}'),
    says: /metadata: "k": expected a string/,
  },
  {
    what: 'metadata that is a string',
    bytes: fileOf('{"__metadata__":"k"}'),
    says: /metadata: expected "\{"/,
  },
  {
    what: 'metadata that is null',
    bytes: fileOf('{"__metadata__":null}'),
    says: /metadata: expected "\{"/,
    stricter: true,
  },

  // Dtype and shape
  {
    what: 'an unknown dtype',
    bytes: oneTensor({ dtype: '"F31"' }),
    says: /tensor "w": unknown dtype "F31"/,
  },
  {
    what: 'a dtype of Object.prototype',
    bytes: oneTensor({ dtype: '"constructor"' }),
    says: /unknown dtype "constructor"/,
  },
  { what: 'a dtype in lower case', bytes: oneTensor({ dtype: '"f32"' }), says: /unknown dtype/ },
  {
    what: 'a dtype that is a number',
    bytes: oneTensor({ dtype: '32' }),
    says: /"dtype": expected a string/,
  },
  {
    what: 'a dtype that we do not read',
    bytes: oneTensor({ dtype: '"F8_E5M2"', shape: '[4]' }),
    says: /unknown dtype "F8_E5M2"/,
    stricter: true,
  },
  {
    what: 'a shape that is a number',
    bytes: oneTensor({ shape: '1' }),
    says: /"shape": expected "\["/,
  },
  {
    what: 'a negative dimension',
    bytes: oneTensor({ shape: '[-1]' }),
    says: /"shape": -1 is not a whole number/,
  },
  {
    what: 'two negative dimensions',
    bytes: oneTensor({ shape: '[-1,-1]' }),
    says: /-1 is not a whole number/,
  },
  {
    what: 'a fractional dimension',
    bytes: oneTensor({ shape: '[0.5,2]' }),
    says: /0.5 is not a whole number/,
  },
  {
    what: 'a dimension with a point',
    bytes: oneTensor({ shape: '[1.0]' }),
    says: /1.0 is not a whole number/,
  },
  {
    what: 'a dimension with an exponent',
    bytes: oneTensor({ shape: '[1e0]' }),
    says: /1e0 is not a whole number/,
  },
  {
    what: 'a dimension with a leading zero',
    bytes: oneTensor({ shape: '[01]' }),
    says: /01 is not a whole number/,
  },
  {
    what: 'a dimension of minus zero',
    bytes: oneTensor({ shape: '[-0]', data_offsets: '[0,0]' }, 0),
    says: /-0 is not a whole number/,
  },
  {
    what: 'a dimension of NaN',
    bytes: oneTensor({ shape: '[NaN]' }),
    says: /expected a whole number/,
  },
  {
    what: 'a dimension that is a string',
    bytes: oneTensor({ shape: '["1"]' }),
    says: /expected a whole number/,
  },
  {
    what: 'a dimension that is null',
    bytes: oneTensor({ shape: '[null]' }),
    says: /expected a whole number/,
  },
  {
    what: 'a dimension of 2^53',
    bytes: oneTensor({ shape: '[9007199254740992]' }),
    says: /2\^53 or more/,
  },
  {
    what: 'a dimension of a million digits',
    bytes: oneTensor({ shape: `[${'9'.repeat(1e6)}]` }),
    says: /9… is 2\^53 or more/,
  },
  {
    what: 'a product over 2^53',
    bytes: oneTensor({ shape: '[94906266,94906266]' }),
    says: /has 2\^53 bytes or more/,
  },
  {
    what: 'a product over 2^64 that wraps to 4',
    bytes: oneTensor({ shape: '[4294967296,4294967296,1]' }),
    says: /has 2\^53 bytes or more/,
  },
  {
    what: 'a product over 2^53 before a zero',
    bytes: oneTensor({ shape: '[4503599627370496,4503599627370496,0]', data_offsets: '[0,0]' }, 0),
    says: /has 2\^53 bytes or more/,
  },
  {
    what: 'too many dimensions',
    bytes: oneTensor({ shape: `[${Array(65).fill(1).join()}]` }),
    says: /more than 64 numbers/,
    stricter: true,
  },
  {
    what: 'a shape larger than its data',
    bytes: oneTensor({ shape: '[2]' }),
    says: /hold 4 bytes; F32 \[2\] needs 8/,
  },
  {
    what: 'a shape smaller than its data',
    bytes: oneTensor({ shape: '[]', data_offsets: '[0,8]' }, 8),
    says: /hold 8 bytes; F32 \[\] needs 4/,
  },
  {
    what: 'a petabyte that is not there',
    bytes: oneTensor({ shape: '[281474976710656]', data_offsets: '[0,1125899906842624]' }),
    says: /in a data section of 4 bytes/,
  },

  // Offsets
  {
    what: 'offsets that are an object',
    bytes: oneTensor({ data_offsets: '{"0":0,"1":4}' }),
    says: /"data_offsets": expected "\["/,
  },
  {
    what: 'one offset',
    bytes: oneTensor({ data_offsets: '[0]' }),
    says: /has no data_offsets \[begin, end\]/,
  },
  {
    what: 'three offsets',
    bytes: oneTensor({ data_offsets: '[0,4,4]' }),
    says: /more than 2 numbers/,
  },
  {
    what: 'a negative offset',
    bytes: oneTensor({ data_offsets: '[-4,0]' }),
    says: /-4 is not a whole number/,
  },
  {
    what: 'a fractional offset',
    bytes: oneTensor({ data_offsets: '[0,4.5]' }),
    says: /4.5 is not a whole number/,
  },
  {
    what: 'an offset of NaN',
    bytes: oneTensor({ data_offsets: '[0,NaN]' }),
    says: /expected a whole number/,
  },
  {
    what: 'an end before the begin',
    bytes: oneTensor({ data_offsets: '[4,0]' }),
    says: /end before they begin/,
  },
  {
    what: 'an end out of range',
    bytes: oneTensor({ data_offsets: '[0,8]', shape: '[2]' }),
    says: /\[0, 8\] in a data section of 4 bytes/,
  },
  {
    what: 'offsets of 2^53',
    bytes: oneTensor({ data_offsets: '[9007199254740992,9007199254740996]' }),
    says: /2\^53 or more/,
  },
  {
    what: 'offsets that overlap',
    bytes: vectors(
      [
        [0, 8],
        [4, 12],
      ],
      12,
    ),
    says: /tensor "b": data_offsets \[4, 12\] overlap the tensor before, which ends at 8/,
  },
  {
    what: 'the same offsets twice',
    bytes: vectors(
      [
        [0, 8],
        [0, 8],
      ],
      8,
    ),
    says: /tensor "b": .* overlap/,
  },
  {
    what: 'a hole between tensors',
    bytes: vectors(
      [
        [0, 4],
        [8, 12],
      ],
      12,
    ),
    says: /tensor "b": .* leave a hole after byte 4/,
  },
  {
    what: 'a hole before the first tensor',
    bytes: vectors([[4, 8]], 8),
    says: /tensor "a": .* leave a hole after byte 0/,
  },
  {
    what: 'bytes after the last tensor',
    bytes: vectors([[0, 4]], 5),
    says: /1 bytes after the last tensor/,
  },
  { what: 'data without a tensor', bytes: fileOf('{}', 3), says: /3 bytes after the last tensor/ },
  {
    what: 'a tensor off its alignment',
    bytes: fileOf(
      '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}}',
      5,
    ),
    says: /tensor "w": data_offsets \[1, 5\] are not aligned to the 4 bytes of F32/,
    stricter: true,
  },
];
