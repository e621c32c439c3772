import { stat } from 'node:fs/promises';

/**
 * Whether an output is to be written where it is: a file moved into the place of a pipe or a device
 * would not be it, and for root it would take `/dev/null` from the whole machine.
 */
export async function isWrittenInPlace(out: string): Promise<boolean> {
  return stat(out).then(
    (there) => !there.isFile(),
    () => false,
  );
}
