import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { describeDataset } from '../../client/data/describe.js';
import { loadDataset, writeDataset } from '../../client/data/load.js';
import { TributaryError } from '../../protocol/errors.js';
import type { DataContract } from '../../protocol/model.js';
import { dataContract } from '../../protocol/model.js';
import { encodeSafetensors } from '../../protocol/safetensors.js';
import { folder, useFolder } from '../support/folder.js';

const patients = dataContract.parse({
  features: { shape: [2], columns: ['age', 'chol'], min: 0, max: 600 },
  labels: { kind: 'class', classes: 3, column: 'sick' },
});
const byPosition = dataContract.parse({
  features: { shape: [2] },
  labels: { kind: 'class', classes: 3 },
});
const prices = dataContract.parse({ features: { shape: [1] }, labels: { kind: 'value' } });

useFolder();

async function file(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

async function load(csv: string, contract: DataContract = patients) {
  return loadDataset(await file('table.csv', csv), contract);
}

async function failure(work: Promise<unknown>): Promise<TributaryError> {
  const error: unknown = await work.then(
    () => 'nothing was thrown',
    (thrown: unknown) => thrown,
  );
  if (error instanceof TributaryError) return error;
  throw new Error(`expected a TributaryError, got ${String(error)}`);
}

/** Tells -0 from 0. */
function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.slice().buffer);
}

describe('a CSV file whose columns the task names', () => {
  it('is read by name, in whatever order, ignoring other columns', async () => {
    const data = await load('id,sick,chol,age\n7,2,233,63\n8,0,.5e2,41\n');
    expect([...data.features]).toEqual([63, 233, 41, 50]);
    expect([...data.labels]).toEqual([2, 0]);
    expect(data.labels).toBeInstanceOf(Int32Array);
    expect(data.size).toBe(2);
  });

  it('may have a byte order mark, Windows line ends, quotes, blanks and empty lines', async () => {
    const text = '\ufeff"age", chol ,"sick"\r\n"63",233 ,1\r\n\r\n 41,"2e1",0\r\n';
    const data = await load(text);
    expect([...data.features]).toEqual([63, 233, 41, 20]);
    expect([...data.labels]).toEqual([1, 0]);
  });

  it('may have a name with a comma and a line break in quotes', async () => {
    const contract = dataContract.parse({
      features: { shape: [1], columns: ['a, "b"\nc'] },
      labels: { kind: 'value', column: 'y' },
    });
    const data = await load('y,"a, ""b""\nc"\n-1.5,2\n', contract);
    expect([[...data.features], [...data.labels]]).toEqual([[2], [-1.5]]);
  });

  it('takes 1.0 for the class 1', async () => {
    const data = await load('age,chol,sick\n1,2,1.0\n');
    expect(data.labels).toEqual(Int32Array.of(1));
  });

  it.each<[string, string, string]>([
    ['a missing column', 'age,sick\n1,0\n', 'no column is named "chol"; there are "age", "sick"'],
    ['a column twice', 'age,chol,age,sick\n1,2,3,0\n', '2 columns are named "age"'],
    ['no header', '63,233,1\n', 'the first line must be a header'],
    ['a half header', 'age,2,sick\n1,2,0\n', 'line 1, column 1: "age" is not a number'],
    ['no rows', 'age,chol,sick\n', 'the file has no rows'],
    ['nothing', '', 'the file has no rows'],
    ['a word', 'age,chol,sick\n1,2,0\n1,high,0\n', 'line 3, column chol: "high" is not a number'],
    ['a decimal comma', 'age,chol,sick\n1,"2,5",0\n', 'line 2, column chol: "2,5" is not a number'],
    ['a hex number', 'age,chol,sick\n1,0x10,0\n', '"0x10" is not a number'],
    ['infinity', 'age,chol,sick\n1,Infinity,0\n', '"Infinity" is not a number'],
    ['too large', 'age,chol,sick\n1,1e39,0\n', '1e39 does not fit a float32'],
    ['an empty field', 'age,chol,sick\n1,,0\n', 'line 2, column chol: the value is missing'],
    ['a question mark', 'age,chol,sick\n?,1,0\n', 'line 2, column age: the value is missing'],
    ['NaN', 'age,chol,sick\n1,NaN,0\n', 'line 2, column chol: the value is missing'],
    ['no label', 'age,chol,sick\n1,1,\n', 'line 2, column sick: the value is missing'],
    ['a short row', 'age,chol,sick\n1,2,0\n1,2\n', 'line 3: 2 columns, but 3 in the first line'],
    ['a long row', 'age,chol,sick\n1,2,0,9\n', 'line 2: 4 columns, but 3 in the first line'],
    ['a class too many', 'age,chol,sick\n1,2,0\n\n1,2,3\n', 'line 4: data: row 1, column sick: 3'],
    ['half a class', 'age,chol,sick\n1,2,0.5\n', 'line 2: data: row 0, column sick: 0.5'],
    ['a negative class', 'age,chol,sick\n1,2,-1\n', 'line 2: data: row 0, column sick: -1'],
    ['a class in words', 'age,chol,sick\n1,2,yes\n', 'line 2, column sick: "yes" is not a number'],
    ['out of range', 'age,chol,sick\n1,700,0\n', 'line 2: data: row 0, column chol: 700'],
    ['an open quote', 'age,chol,sick\n1,"2,0\n', 'Quote Not Closed'],
  ])('is refused with file, line and column: %s', async (_, csv, message) => {
    const error = await failure(load(csv));
    expect(error.code).toBe('bad_request');
    expect(error.message).toContain(join(folder, 'table.csv'));
    expect(error.message).toContain(message);
  });

  it('counts lines as an editor does, also after a field that spans two', async () => {
    const csv = 'note,age,chol,sick\n"two\nlines",1,2,0\nx,1,bad,0\n';
    expect((await failure(load(csv))).message).toContain('line 4, column chol');
  });

  it('is refused where there are fewer examples than the task wants', async () => {
    const error = await failure(load('age,chol,sick\n1,2,0\n', { ...patients, minExamples: 5 }));
    expect(error.message).toContain('too few');
  });
});

describe('a CSV file that is read by position', () => {
  it('has the features in order and the label last, with or without a header', async () => {
    for (const header of ['', 'x1,x2,class\n']) {
      const data = await load(`${header}1,2,0\n3,4,2\n`, byPosition);
      expect([...data.features]).toEqual([1, 2, 3, 4]);
      expect([...data.labels]).toEqual([0, 2]);
    }
  });

  it('has its label where the task names that column alone', async () => {
    const contract = dataContract.parse({
      features: { shape: [2] },
      labels: { kind: 'class', classes: 3, column: 'label' },
    });
    const data = await load('label,p1,p2\n2,10,20\n', contract);
    expect([[...data.features], [...data.labels]]).toEqual([[10, 20], [2]]);
  });

  it('is refused with another number of columns', async () => {
    const error = await failure(load('1,2,3,0\n', byPosition));
    expect(error.message).toContain('3 feature columns beside the label "4", but the task wants 2');
  });

  it('keeps values as labels of a regression', async () => {
    const data = await load('1,2.5\n2,-3\n', prices);
    expect(data.labels).toEqual(Float32Array.of(2.5, -3));
  });

  it('reads more rows than the first buffer holds', async () => {
    const rows = Array.from({ length: 3000 }, (_, i) => `${i},${i + 1},${i % 3}`);
    const data = await load(rows.join('\n'), byPosition);
    expect(data.size).toBe(3000);
    expect(data.features.at(-1)).toBe(3000);
    expect(data.features.length).toBe(6000);
  });
});

describe('a safetensors file', () => {
  it('is read from its tensors x and y', async () => {
    const bytes = encodeSafetensors({
      x: { shape: [2, 2], data: Uint8Array.of(0, 255, 51, 102) },
      y: { shape: [2], data: Int32Array.of(1, 2) },
    });
    const data = await loadDataset(await file('a.safetensors', bytes), byPosition);
    expect([...data.features]).toEqual([0, 1, Math.fround(0.2), Math.fround(0.4)]);
    expect([...data.labels]).toEqual([1, 2]);
  });

  it('is refused by name where it is none, or does not fit the task', async () => {
    const broken = await failure(loadDataset(await file('b.safetensors', 'hello'), byPosition));
    expect(broken.code).toBe('bad_safetensors');
    expect(broken.message).toContain('b.safetensors: ');
    const bytes = encodeSafetensors({ x: { shape: [1, 2], data: Float32Array.of(1, 2) } });
    const unlabelled = await failure(loadDataset(await file('c.safetensors', bytes), byPosition));
    expect(unlabelled.code).toBe('bad_request');
    expect(unlabelled.message).toMatch(/c\.safetensors: .*"y"/);
  });

  it.each<[string, Float32Array, Int32Array | Float32Array, DataContract]>([
    [
      'grey values',
      Float32Array.from({ length: 256 }, (_, i) => i / 255),
      Int32Array.of(0),
      prices,
    ],
    ['negative zero', Float32Array.of(-0, 1), Int32Array.of(2), byPosition],
    ['real values', Float32Array.of(0.1234, -7e20), Int32Array.of(1), byPosition],
    ['values over 1', Float32Array.of(2, 0), Int32Array.of(1), byPosition],
    ['real labels', Float32Array.of(0.5), Float32Array.of(-1.25), prices],
  ])('is written so that it reads back bit by bit: %s', async (_, features, labels, base) => {
    const contract = { ...base, features: { shape: [features.length] } };
    const path = join(folder, 'round-trip.safetensors');
    await writeDataset(path, { features, labels, size: 1 });
    const back = await loadDataset(path, contract);
    expect(bitsOf(back.features)).toEqual(bitsOf(features));
    expect([...back.labels]).toEqual([...labels]);
  });

  it('has a byte a pixel for images, four for others', async () => {
    const sizes = await Promise.all(
      [7 / 255, 0.3].map(async (value, i) => {
        const path = join(folder, `size-${i}.safetensors`);
        const features = new Float32Array(4000).fill(value);
        await writeDataset(path, { features, labels: Int32Array.of(0, 1), size: 2 });
        return (await readFile(path)).byteLength;
      }),
    );
    expect(sizes[0]).toBeLessThan(4300);
    expect(sizes[1]).toBeGreaterThan(16_000);
  });
});

describe('loading a data file', () => {
  it('refuses formats that it does not know, naming those that it does', async () => {
    const error = await failure(loadDataset('/data/x.npz', patients));
    expect(error.message).toBe(
      '/data/x.npz: ".npz" is not a data format: use .csv or .safetensors',
    );
  });

  it.each(['csv', 'safetensors'])('says that a .%s file is not there', async (extension) => {
    const path = join(folder, `absent.${extension}`);
    const error = await failure(loadDataset(path, patients));
    expect(error.code).toBe('bad_request');
    expect(error.message).toBe(`${path}: cannot be read: there is no such file`);
  });
});

describe('describing data', () => {
  it('counts the classes and gives the range of each named column', async () => {
    const data = await load('age,chol,sick\n10,100,2\n30,100,2\n20,400,0\n');
    expect(describeDataset(patients, data)).toEqual({
      size: 3,
      features: { min: 10, max: 400, mean: 110 },
      columns: [
        { name: 'age', min: 10, max: 30, mean: 20 },
        { name: 'chol', min: 100, max: 400, mean: 200 },
      ],
      labels: { kind: 'class', histogram: [1, 0, 2] },
    });
  });

  it('gives the range of labels that are values', async () => {
    const data = await load('1,2\n3,7\n', prices);
    expect(describeDataset(prices, data).labels).toEqual({
      kind: 'value',
      min: 2,
      max: 7,
      mean: 4.5,
    });
  });
});
