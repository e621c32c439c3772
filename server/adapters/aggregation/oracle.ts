/** The oracle of a run that is asked from another thread: the coordinator's half and the worker's. */
import { TributaryError } from '../../../protocol/errors.js';
import type { LossOracle, OracleProvider } from '../../core/ports.js';
import type { Run } from '../../core/records.js';
import type { Line } from './line.js';
import type {
  CoordinatorServices,
  OracleQuestion,
  OracleServices,
  WorkerServices,
} from './services.js';

type OpenOracle = Awaited<ReturnType<OracleProvider['open']>>;

/** In the worker: oracles that ask the coordinator. */
export function askedOracles(
  line: Line<CoordinatorServices, WorkerServices>,
): Pick<OracleProvider, 'open'> {
  return {
    open: async (_, buffers) => {
      const copies = Object.entries(buffers).map(([name, values]) => [name, values.slice()]);
      const { batches } = await line.ask(
        'openOracle',
        Object.fromEntries(copies) as Record<string, Float32Array>,
      );
      return {
        batches,
        // The copy is moved: the rule may go on with its own.
        lossAndGrad: (params, batch) => line.ask('lossAndGrad', { params: params.slice(), batch }),
        close: () => line.ask('closeOracle', null),
      };
    },
  };
}

/** In the coordinator: answers one worker, which has one oracle open at a time. */
export class OracleDesk implements OracleServices {
  #run: Run | null = null;
  #oracle: OpenOracle | null = null;
  #isGone = false;

  constructor(private readonly oracles: OracleProvider) {}

  /** Whose oracle is meant from now on. */
  serve(run: Run): void {
    this.#run = run;
  }

  /** The worker is gone, and closes nothing any more. */
  async leave(): Promise<void> {
    this.#isGone = true;
    await this.closeOracle();
  }

  async openOracle(
    buffers: Readonly<Record<string, Float32Array>>,
  ): Promise<Pick<LossOracle, 'batches'>> {
    if (!this.#run) throw new TributaryError('internal', 'an oracle of no run was asked for');
    const oracle = await this.oracles.open(this.#run, buffers);
    this.#oracle = oracle;
    // It left while a target client was waited for.
    if (this.#isGone) await this.closeOracle();
    return { batches: oracle.batches };
  }

  async lossAndGrad({ params, batch }: OracleQuestion): ReturnType<LossOracle['lossAndGrad']> {
    if (!this.#oracle) throw new TributaryError('internal', 'an oracle was asked that is not open');
    const { loss, grad } = await this.#oracle.lossAndGrad(params, batch);
    // A copy, which is moved: whoever answered may keep its own.
    return { loss, grad: grad.slice() };
  }

  async closeOracle(): Promise<void> {
    const oracle = this.#oracle;
    this.#oracle = null;
    await oracle?.close();
  }
}
