/** Loss and gradient on a proxy set that the operator uploaded, computed here with TF.js. */
import type { Dataset } from '../../client/tfjs/dataset.js';
import { datasetOf } from '../../client/tfjs/dataset.js';
import type { TfjsOracle } from '../../client/tfjs/oracle.js';
import { TributaryError } from '../../protocol/errors.js';
import type { OracleSpec, RunSpec } from '../../protocol/run.js';
import { decodeSafetensors } from '../../protocol/safetensors.js';
import type { Blob, BlobStore, OracleProvider } from '../core/ports.js';
import { readVerified } from '../engine/verified.js';

type ProxySpec = Extract<OracleSpec, { kind: 'proxy' }>;

/**
 * Oracles for runs with `oracle.kind` `proxy`. The proxy set is a blob: safetensors with `x` and
 * `y`, as the task's data contract says. It is read anew for every round, and the model is built
 * anew, so that nothing stays in memory between rounds and no round depends on the one before.
 *
 * @param backend See `prepareBackend`. TF.js is loaded when a run first needs it: a coordinator
 * whose rules need no oracle starts a second sooner and is 80 MB smaller.
 */
export function tfjsOracles(
  blobs: BlobStore,
  backend?: string,
): OracleProvider & Required<Pick<OracleProvider, 'check'>> {
  return {
    async describe() {
      const { prepareBackend } = await import('../../client/tfjs/backend.js');
      const { name, version } = await prepareBackend(backend);
      return `tfjs-${name}-${version}`;
    },

    async check({ spec }) {
      if (!spec.oracle) return;
      const proxy = proxyOf(spec);
      const local = spec.task.model.tensors.find((tensor) => tensor.role === 'local');
      if (local) {
        const why = `tensor "${local.name}" is local: the coordinator, and so its oracle, never has it`;
        throw new TributaryError('rule_needs', `run: oracle: ${why}`);
      }
      const data = await named(async () => {
        const blob = await uploaded(blobs, proxy);
        return datasetIn(await blob.read(0, blob.bytes), spec);
      });
      (await named(() => oracleOn(spec, proxy, data, backend))).dispose();
    },

    async open({ spec }, buffers) {
      const proxy = proxyOf(spec);
      const bytes = await readVerified(blobs, proxy.data, { what: 'the proxy set' });
      const data = datasetIn(bytes, spec);
      const oracle = await oracleOn(spec, proxy, data, backend);
      oracle.setBuffers(buffers);
      return {
        batches: oracle.batches,
        lossAndGrad: (params, batch) => oracle.lossAndGrad(params, batch),
        close() {
          oracle.dispose();
          return Promise.resolve();
        },
      };
    },
  };
}

async function oracleOn(
  { task }: RunSpec,
  { batchSize }: ProxySpec,
  data: Dataset,
  backend: string | undefined,
): Promise<TfjsOracle> {
  const { tfjsOracle } = await import('../../client/tfjs/oracle.js');
  return tfjsOracle({ task, data, batchSize, backend });
}

function proxyOf({ oracle }: RunSpec): ProxySpec {
  if (oracle?.kind === 'proxy') return oracle;
  throw new TributaryError('rule_needs', 'run: oracle: this run names no proxy set');
}

/** A blob that is named before it was uploaded is the operator's slip, not a fault of the storage. */
async function uploaded(blobs: BlobStore, { data }: ProxySpec): Promise<Blob> {
  try {
    return await blobs.open(data);
  } catch (cause) {
    const message = `no blob ${data}: PUT it to /v1/blobs/${data} first`;
    throw new TributaryError('bad_request', message, undefined, { cause });
  }
}

function datasetIn(bytes: Uint8Array, { task }: RunSpec): Dataset {
  return datasetOf(task.data, decodeSafetensors(bytes).tensors);
}

/** Says which field of the run an error is about. */
async function named<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof TributaryError)) throw error;
    const details = { ...error.details, path: 'oracle.data' };
    const message = `run: oracle.data: ${error.message}`;
    throw new TributaryError(error.code, message, details, { cause: error });
  }
}
