/**
 * Named tensors <-> bytes, in the safetensors format (https://huggingface.co/docs/safetensors):
 * the length of the header as a little-endian u64, the header in JSON, the data.
 *
 * Runs in browsers and in Node. Every file may come from a hostile peer, so a file is refused with
 * `bad_safetensors` before anything is allocated for it unless its header describes exactly the
 * bytes that are there. Beyond what the reference library refuses, this reader refuses: keys given
 * twice, keys that the format does not know, tensors that are not aligned to their element size,
 * more than MAX_RANK dimensions, more than MAX_HEADER_BYTES of header, and the
 * reference's newer dtypes (complex, 8-bit floats and smaller). Whatever it takes, the reference
 * takes too.
 *
 * The format is little-endian, and typed arrays have the byte order of the machine. Every engine
 * that runs Tributary is little-endian; on a big-endian one the values would come out swapped.
 */
export type { Dtype, TensorData } from './safetensors/dtypes.js';
export type { FloatDtype } from './safetensors/floats.js';
export { decodeFloats, encodeFloat, isFloat } from './safetensors/floats.js';
export { MAX_HEADER_BYTES, MAX_RANK, PREFIX_BYTES } from './safetensors/format.js';
export type {
  SafetensorsFile,
  SafetensorsHeader,
  Tensor,
  TensorEntry,
  TensorInput,
} from './safetensors/format.js';
export { decodeSafetensors, headerLength, parseHeader } from './safetensors/read.js';
export { encodeSafetensors } from './safetensors/write.js';
