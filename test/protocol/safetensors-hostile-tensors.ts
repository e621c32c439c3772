import type { HostileFile } from './safetensors-files.js';
import { fileOf, oneTensor, vectors } from './safetensors-files.js';

/** Files whose header reads well, and describes tensors that cannot be. */
export const hostileTensors: readonly HostileFile[] = [
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
