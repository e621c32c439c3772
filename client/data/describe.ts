/** What is in a data set, for `tributary join --check`. */
import type { DataContract } from '../../protocol/model.js';
import type { Dataset } from '../tfjs/dataset.js';

export interface Range {
  readonly min: number;
  readonly max: number;
  readonly mean: number;
}

export interface DatasetDescription {
  readonly size: number;
  /** Over all features together. */
  readonly features: Range;
  /** Of each column, where the task names its columns. */
  readonly columns?: readonly (Range & { readonly name: string })[];
  readonly labels:
    | {
        readonly kind: 'class';
        /** Examples of each class. */ readonly histogram: readonly number[];
      }
    | ({ readonly kind: 'value' } & Range);
}

/** Describes a data set that the contract accepts. */
export function describeDataset(contract: DataContract, dataset: Dataset): DatasetDescription {
  const { features, labels, size } = dataset;
  const names = contract.features.columns;
  return {
    size,
    features: rangeOf(features),
    ...(names && {
      columns: names.map((name, column) => {
        return { name, ...rangeOf(features, column, names.length) };
      }),
    }),
    labels:
      contract.labels.kind === 'class'
        ? { kind: 'class', histogram: histogramOf(labels, contract.labels.classes) }
        : { kind: 'value', ...rangeOf(labels) },
  };
}

/** Of every `step`-th value from `start` on. */
function rangeOf(values: ArrayLike<number>, start = 0, step = 1): Range {
  let [min, max, sum, count] = [Infinity, -Infinity, 0, 0];
  for (let i = start; i < values.length; i += step) {
    min = Math.min(min, values[i]);
    max = Math.max(max, values[i]);
    sum += values[i];
    count++;
  }
  return { min, max, mean: sum / count };
}

function histogramOf(labels: Iterable<number>, classes: number): number[] {
  const histogram = Array.from({ length: classes }, () => 0);
  for (const label of labels) histogram[label]++;
  return histogram;
}
