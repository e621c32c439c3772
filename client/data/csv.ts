/** Local examples from a CSV file (RFC 4180), for tables. Node only. */
import { createReadStream } from 'node:fs';
import { CsvError, parse } from 'csv-parse';
import type { DataContract } from '../../protocol/model.js';
import { elements } from '../../protocol/model.js';
import type { Dataset } from '../tfjs/dataset.js';
import { FloatList } from './float-list.js';
import { refuse } from './refuse.js';

/** A table as it was read: the examples, and the line of the file that each stands on. */
export interface CsvTable {
  readonly dataset: Dataset;
  /** Counted from 1, as editors do. */
  readonly lines: Float64Array;
}

interface Column {
  readonly position: number;
  /** As the header has it, or the number of the column, counted from 1. */
  readonly name: string;
}

interface Columns {
  readonly features: readonly Column[];
  readonly label: Column;
  /** Columns of the whole table. */
  readonly count: number;
}

/** Longest row that is read. A quote that is never closed would take in the rest of the file. */
const MAX_RECORD_BYTES = 4 * 1024 * 1024;

const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const MISSING = /^(?:|\?|-|n\/?a|nan|null|none)$/i;

/**
 * Reads a table of numbers.
 *
 * Which columns count is up to the task's contract:
 * - `features.columns` and `labels.column` name them: the first line must be a header, its other
 *   columns are ignored, and their order is free.
 * - Without `features.columns` every column counts, in order, and the label is the column that
 *   `labels.column` names, else the last. A first line without any number is taken for a header.
 *
 * Every field that counts must be a number written in full: `1`, `-.5`, `2.5e-3`, not `1,5` or
 * `0x10`. A missing value is refused, not guessed.
 *
 * @throws TributaryError `bad_request` naming the file, the line and the column.
 */
export async function readCsv(path: string, contract: DataContract): Promise<CsvTable> {
  const features = new FloatList();
  const labels = new FloatList();
  const lines: number[] = [];
  let columns: Columns | undefined;
  for await (const { record, line } of records(path)) {
    if (!columns) {
      const header = headerOf(record, line, path);
      columns = chooseColumns(header, record.length, contract, path);
      if (header) continue;
    }
    if (record.length !== columns.count)
      refuse(
        path,
        `line ${line}: ${record.length} columns, but ${columns.count} in the first line`,
      );
    const valueOf = (column: Column): number =>
      numberOf(record[column.position], `line ${line}, column ${column.name}`, path);
    for (const column of columns.features) features.push(valueOf(column));
    labels.push(valueOf(columns.label));
    lines.push(line);
  }
  if (lines.length === 0) refuse(path, 'the file has no rows');
  const dataset = {
    features: features.values(),
    labels: wholeNumbers(labels.values(), contract),
    size: lines.length,
  };
  return { dataset, lines: Float64Array.from(lines) };
}

interface Line {
  readonly record: readonly string[];
  readonly line: number;
}

async function* records(path: string): AsyncGenerator<Line> {
  const parser = parse({
    bom: true,
    info: true,
    max_record_size: MAX_RECORD_BYTES,
    record_delimiter: ['\r\n', '\n', '\r'],
    // Counted here, so that the error can say what the first line has.
    relax_column_count: true,
    skip_empty_lines: true,
  });
  const file = createReadStream(path);
  // pipe() does not pass errors on: without this, reading would wait for ever.
  file.on('error', (error) => parser.destroy(error));
  try {
    for await (const { record, info } of file.pipe(parser) as AsyncIterable<{
      record: string[];
      info: { lines: number };
    }>)
      yield { record, line: info.lines };
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    refuse(path, error.message, {}, error);
  } finally {
    file.destroy();
  }
}

/** The first line where it is a header: no field of it is a number. */
function headerOf(record: readonly string[], line: number, path: string): string[] | undefined {
  const names = record.map((field) => field.trim());
  const numbers = names.filter((name) => NUMBER.test(name)).length;
  if (numbers === 0) return names;
  if (numbers === names.length) return undefined;
  const other = names.findIndex((name) => !NUMBER.test(name));
  return refuse(
    path,
    `line ${line}, column ${other + 1}: "${names[other]}" is not a number, but others in the line are: it is neither a header nor data`,
  );
}

function chooseColumns(
  header: readonly string[] | undefined,
  count: number,
  contract: DataContract,
  path: string,
): Columns {
  const { columns: wanted, shape } = contract.features;
  const { column: label } = contract.labels;
  if (!header && (wanted !== undefined || label !== undefined))
    refuse(path, 'the task names columns, so the first line must be a header with their names');
  const all = Array.from({ length: count }, (_, position) => {
    return { position, name: header?.[position] ?? String(position + 1) };
  });
  const chosenLabel = label === undefined ? all[count - 1] : named(all, label, path);
  const features = wanted
    ? wanted.map((name) => named(all, name, path))
    : all.filter((column) => column !== chosenLabel);
  if (features.length !== elements(shape)) {
    const what = `${features.length} feature columns beside the label "${chosenLabel.name}"`;
    refuse(path, `${what}, but the task wants ${elements(shape)}`);
  }
  return { features, label: chosenLabel, count };
}

function named(all: readonly Column[], name: string, path: string): Column {
  const found = all.filter((column) => column.name === name);
  if (found.length === 1) return found[0];
  if (found.length > 1)
    refuse(path, `${found.length} columns are named "${name}"`, { column: name });
  const shown = all.slice(0, 20).map((column) => `"${column.name}"`);
  const rest = all.length > shown.length ? `, … ${all.length} in all` : '';
  return refuse(path, `no column is named "${name}"; there are ${shown.join(', ')}${rest}`, {
    column: name,
  });
}

function numberOf(field: string, place: string, path: string): number {
  const text = field.trim();
  if (MISSING.test(text))
    refuse(path, `${place}: the value is missing: fill it in or take the row out`);
  if (!NUMBER.test(text)) refuse(path, `${place}: "${text}" is not a number`);
  const value = Math.fround(Number(text));
  if (!Number.isFinite(value)) refuse(path, `${place}: ${text} does not fit a float32`);
  return value;
}

/** Classes as integers, where all are: a class of 1.5 is left for the contract to refuse. */
function wholeNumbers(values: Float32Array, contract: DataContract): Int32Array | Float32Array {
  const whole = contract.labels.kind === 'class' && values.every(Number.isInteger);
  return whole ? Int32Array.from(values) : values;
}
