import type { HostileFile } from './safetensors-files.js';
import { entry, fileOf, oneTensor, prefixed } from './safetensors-files.js';

const invalidUtf8 = new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x7b, 0x7d, 0x7d]);

/** Files whose header cannot be read, or says what no header says. */
export const hostileHeaders: readonly HostileFile[] = [
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
];
