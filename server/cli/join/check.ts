/** `tributary join --check`: what is in the data, once it fits the task's contract. */
import type { DatasetDescription } from '../../../client/data/describe.js';
import { describeDataset } from '../../../client/data/describe.js';
import type { Dataset } from '../../../client/tfjs/dataset.js';
import type { Identity } from '../../../protocol/http.js';
import type { Task } from '../../../protocol/model.js';
import { print } from '../output.js';

interface Checked extends Identity {
  readonly task: string;
  readonly data: DatasetDescription | null;
  readonly validation: DatasetDescription | null;
}

export function printCheck(
  task: Task,
  identity: Identity,
  data: Dataset | null,
  validation: Dataset | null,
  json: boolean | undefined,
): void {
  const checked: Checked = {
    task: task.name,
    ...identity,
    data: data && describeDataset(task.data, data),
    validation: validation && describeDataset(task.data, validation),
  };
  print(checked, json, inWords);
}

function inWords(checked: Checked): string {
  const lines = [`${checked.clientId} in run ${checked.runId}, task ${checked.task}`];
  for (const name of ['data', 'validation'] as const) {
    const described = checked[name];
    if (described) lines.push(`${name}: fits the contract`, ...descriptionLines(described));
  }
  return lines.join('\n');
}

function descriptionLines({ size, features, columns, labels }: DatasetDescription): string[] {
  const range = (r: { min: number; max: number; mean: number }): string =>
    `${r.min.toPrecision(4)} to ${r.max.toPrecision(4)}, mean ${r.mean.toPrecision(4)}`;
  return [
    `  examples  ${size}`,
    `  features  ${range(features)}`,
    ...(columns ?? []).map((column) => `    ${column.name.padEnd(14)} ${range(column)}`),
    labels.kind === 'class'
      ? `  classes   ${labels.histogram.map((count, label) => `${label}: ${count}`).join('  ')}`
      : `  values    ${range(labels)}`,
  ];
}
