/**
 * Heart disease at four hospitals (Janosi, Steinbrunn, Pfisterer, Detrano 1988, CC BY 4.0), prepared
 * as FLamby's Fed-Heart-Disease benchmark does it: see README.md beside the data.
 */
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import type { Dataset } from '../../client/tfjs/dataset.js';
import { TributaryError, parse } from '../../protocol/errors.js';

export interface HeartCentre {
  readonly name: string;
  readonly train: Dataset;
  readonly test: Dataset;
}

/** The 13 features, in order. */
export const HEART_FEATURES: readonly string[] = [
  ...['age', 'sex', 'trestbps', 'chol', 'fbs', 'thalach', 'exang', 'oldpeak'],
  ...['cp_2', 'cp_3', 'cp_4', 'restecg_1', 'restecg_2'],
];

/** Columns of the files, counted from 0. Slope, vessels and thal are dropped: mostly missing. */
const NUMERIC = [0, 1, 3, 4, 5, 7, 8, 9];
const CATEGORICAL = [2, 6];
const LABEL = 13;
const COLUMNS = 14;
const MISSING = '?';

const splitFile = z.array(
  z.object({
    center: z.enum(['cleveland', 'hungarian', 'switzerland', 'va']),
    train: z.array(z.int().nonnegative()).min(2),
    test: z.array(z.int().nonnegative()).min(1),
  }),
);

/** A patient: the columns of a file, without those that are dropped. */
type Row = readonly number[];

/** Where data sets that are not part of the repository lie; TRIBUTARY_SHARED_DATA names it. */
export function sharedDataFolder(): string {
  return resolve(process.env.TRIBUTARY_SHARED_DATA ?? join('..', 'shared', 'data'));
}

/**
 * Reads the four centres in the order of split.json. Features are standardised by each centre's own
 * training mean and deviation; labels are 1 where the disease was found, else 0.
 *
 * @throws TributaryError `not_found` where the files are absent, `bad_request` where one is not as
 * its README says.
 */
export async function loadHeart(
  folder = join(sharedDataFolder(), 'heart-disease'),
): Promise<readonly HeartCentre[]> {
  const split = parse(splitFile, await readJson(join(folder, 'split.json')), 'split.json');
  const centres = await Promise.all(
    split.map(async (parts) => ({ ...parts, rows: await readRows(folder, parts.center) })),
  );
  const everybody = centres.flatMap(({ rows }) => rows);
  const levels = CATEGORICAL.map((column) => levelsOf(everybody, column));
  return centres.map(({ center, rows, train, test }) => {
    const take = (positions: readonly number[]): Row[] =>
      positions.map((position) => rowAt(rows, position, center));
    return prepared(center, take(train), take(test), levels);
  });
}

function rowAt(rows: readonly Row[], position: number, centre: string): Row {
  if (position < rows.length) return rows[position];
  const message = `split.json: ${centre} has no row ${position}, only ${rows.length}`;
  throw new TributaryError('bad_request', message);
}

async function readJson(path: string): Promise<unknown> {
  const text = await readText(path);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new TributaryError('bad_request', `${path} is not JSON`, undefined, { cause });
  }
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const message = `${path} cannot be read: put the heart-disease data there, or name the folder above it in TRIBUTARY_SHARED_DATA`;
    throw new TributaryError('not_found', message, { path }, { cause });
  }
}

/** The rows without a missing value. split.json counts in these. */
async function readRows(folder: string, centre: string): Promise<Row[]> {
  const file = `processed.${centre}.data`;
  const lines = (await readText(join(folder, file))).split(/\r?\n/);
  return lines
    .map((line, index) => ({ fields: line.split(','), place: `${file}: line ${index + 1}` }))
    .filter(({ fields }) => fields.length > 1 || fields[0].trim() !== '')
    .map(({ fields, place }) => {
      if (fields.length === COLUMNS) return { fields, place };
      throw new TributaryError('bad_request', `${place}: ${fields.length} columns, not ${COLUMNS}`);
    })
    .filter(({ fields }) => used.every((column) => fields[column].trim() !== MISSING))
    .map(({ fields, place }) => fields.map((field, column) => toNumber(field, column, place)));
}

const used = [...NUMERIC, ...CATEGORICAL, LABEL];

/** Numbers first: one centre writes `1.0` where others write `1`, and both are the same level. */
function toNumber(field: string, column: number, place: string): number {
  const value = field.trim() === '' ? NaN : Number(field);
  if (!used.includes(column)) return NaN;
  if (Number.isFinite(value)) return value;
  throw new TributaryError('bad_request', `${place}, column ${column}: "${field}" is no number`);
}

/** Values of a categorical column over all centres, in order, without the first: it is the base. */
function levelsOf(rows: readonly Row[], column: number): number[] {
  return [...new Set(rows.map((row) => row[column]))].sort((a, b) => a - b).slice(1);
}

function prepared(
  name: string,
  train: readonly Row[],
  test: readonly Row[],
  levels: readonly (readonly number[])[],
): HeartCentre {
  const encode = (row: Row): number[] => [
    ...NUMERIC.map((column) => row[column]),
    ...CATEGORICAL.flatMap((column, i) => levels[i].map((level) => Number(row[column] === level))),
  ];
  const standardise = standardiser(train.map(encode));
  const datasetOf = (rows: readonly Row[]): Dataset => ({
    features: Float32Array.from(rows.flatMap((row) => standardise(encode(row)))),
    labels: Int32Array.from(rows, (row) => Number(row[LABEL] > 0)),
    size: rows.length,
  });
  return { name, train: datasetOf(train), test: datasetOf(test) };
}

/** (x - mean) / deviation of the training rows, n - 1; 0 in a column that does not vary. */
function standardiser(rows: readonly (readonly number[])[]): (row: readonly number[]) => number[] {
  const columns = rows[0].map((_, column) => rows.map((row) => row[column]));
  const means = columns.map((values) => values.reduce((a, b) => a + b, 0) / values.length);
  const deviations = columns.map((values, column) => {
    // Asked of the values: the mean of a constant column may be a rounding error away from it.
    if (values.every((value) => value === values[0])) return 0;
    const squares = values.reduce((sum, value) => sum + (value - means[column]) ** 2, 0);
    return Math.sqrt(squares / (values.length - 1));
  });
  return (row) =>
    row.map((value, column) =>
      deviations[column] === 0 ? 0 : (value - means[column]) / deviations[column],
    );
}
