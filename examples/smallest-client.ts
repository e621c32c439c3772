import { join, tfjsTrainer } from 'tributary-fl/client';

const [url, token] = process.argv.slice(2);
// Four flowers: length and width of sepal and petal; 0 is setosa, 1 versicolor, 2 virginica.
const features = Float32Array.of(
  ...[5.1, 3.5, 1.4, 0.2, 7.0, 3.2, 4.7, 1.4, 6.3, 3.3, 6.0, 2.5, 4.9, 3.0, 1.4, 0.2],
);
const labels = Int32Array.of(0, 1, 2, 0);

const train = tfjsTrainer({ data: { features, labels, size: 4 } });
const summary = await join({ url, token, train });
console.log(`${summary.status}: ${summary.rounds.length} updates accepted`);
