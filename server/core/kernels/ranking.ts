/** Sorting the values of one coordinate after the other. */

/** The values of one coordinate in ascending order, equal ones by client id. */
export interface Ranked {
  readonly values: Float64Array;
  /** Weight of the client that stands at each rank. */
  readonly weights: Float64Array;
  /** Place of that client in client-id order. */
  readonly clients: Int32Array;
}

/** Room for the client's place below the value in a sort key; 32 + 20 bits fit into a float64. */
const PLACES = 1 << 20;

const float = new Float32Array(1);
const bits = new Int32Array(float.buffer);

/** A whole number in [0, 2^32) that orders as x does; -0 and 0 have the same. */
function rankable(x: number): number {
  float[0] = x + 0;
  return (bits[0] < 0 ? ~bits[0] : bits[0] ^ 0x80000000) >>> 0;
}

/**
 * Ranks one element of all rows. Value and place make one key, so that the engine's own numeric
 * sort does it and no two keys are equal. The result is overwritten by the next call.
 */
export function ranking(
  weightOf: readonly number[],
): (rows: readonly Float32Array[], at: number) => Ranked {
  const K = weightOf.length;
  const keys = new Float64Array(K);
  const ranked = {
    values: new Float64Array(K),
    weights: new Float64Array(K),
    clients: new Int32Array(K),
  };
  return (rows, at) => {
    for (let i = 0; i < K; i++) keys[i] = rankable(rows[i][at]) * PLACES + i;
    keys.sort();
    for (let rank = 0; rank < K; rank++) {
      const client = keys[rank] % PLACES;
      ranked.values[rank] = rows[client][at];
      ranked.weights[rank] = weightOf[client];
      ranked.clients[rank] = client;
    }
    return ranked;
  };
}
