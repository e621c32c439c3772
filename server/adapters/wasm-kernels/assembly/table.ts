/** Tables that the caller leaves in memory: addresses of rows as u32, numbers as f64. */

/** The address of row k. */
export function rowAt(rows: usize, k: i32): usize {
  return <usize>load<u32>(rows + ((<usize>k) << 2));
}

/** The address of the `at`-th float of row k. */
export function addressOf(rows: usize, k: i32, at: i32): usize {
  return rowAt(rows, k) + ((<usize>at) << 2);
}

export function f64At(table: usize, k: i32): f64 {
  return load<f64>(table + ((<usize>k) << 3));
}
