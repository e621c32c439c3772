/** Progress of the demonstration: a bar on a terminal, a line a round elsewhere. */
import { SingleBar } from 'cli-progress';

export interface ProgressView {
  round(committed: number, accuracy: number | null): void;
  /** A line above the bar. */
  say(text: string): void;
  end(): void;
}

export const noProgress: ProgressView = {
  round: () => undefined,
  say: () => undefined,
  end: () => undefined,
};

export function showProgress(label: string, rounds: number): ProgressView {
  return process.stdout.isTTY ? barOf(label, rounds) : linesOf(label, rounds);
}

function barOf(label: string, rounds: number): ProgressView {
  const bar = new SingleBar({
    format: `${label.padEnd(7)} {bar} round {value}/{total}  accuracy {accuracy}`,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    barsize: 32,
    hideCursor: true,
    gracefulExit: false,
  });
  bar.start(rounds, 0, { accuracy: '…' });
  let last = 0;
  return {
    round(committed, accuracy) {
      last = committed;
      bar.update(committed, accuracy === null ? {} : { accuracy: accuracy.toFixed(4) });
    },
    say(text) {
      process.stdout.write(`\r\u001b[K${text}\n`);
      bar.update(last);
    },
    end: () => bar.stop(),
  };
}

function linesOf(label: string, rounds: number): ProgressView {
  return {
    round(committed, accuracy) {
      if (accuracy === null) return;
      process.stdout.write(
        `${label} round ${committed}/${rounds} accuracy ${accuracy.toFixed(4)}\n`,
      );
    },
    say: (text) => process.stdout.write(`${text}\n`),
    end: () => undefined,
  };
}
