/** The tasks that a simulation can name, with their data. */
import type { Task } from '../../protocol/model.js';
import type { Dealing, Dealt } from './dealing.js';
import { dealDigits, dealHeart } from './dealing.js';
import { halved, loadDigits } from './digits.js';
import { loadHeart } from './heart.js';
import { digitsTask, heartTask, smallDigitsTask } from './tasks.js';

export interface Problem {
  readonly task: Task;
  readonly dealt: Dealt;
}

const problems = {
  digits: async (dealing: Dealing): Promise<Problem> => ({
    task: await digitsTask(),
    dealt: dealDigits(await digitsOnce(), dealing),
  }),
  'small-digits': async (dealing: Dealing): Promise<Problem> => ({
    task: await smallDigitsTask(),
    dealt: smaller(dealDigits(await digitsOnce(), dealing)),
  }),
  'heart-disease': async (dealing: Dealing): Promise<Problem> => ({
    task: await heartTask(),
    dealt: dealHeart(await loadHeart(), dealing),
  }),
} as const;

type TaskName = keyof typeof problems;

export const taskNames = Object.keys(problems) as [TaskName, ...TaskName[]];

/** @throws TributaryError `bad_request`; `not_found` where the data is not on this machine. */
export function problemOf(
  dealing: Omit<Dealing, 'seed'> & { readonly task: TaskName },
  seed: number,
): Promise<Problem> {
  return problems[dealing.task]({ ...dealing, seed });
}

let digits: ReturnType<typeof loadDigits> | undefined;

/** Half a second to read, and the same for every seed. */
function digitsOnce(): ReturnType<typeof loadDigits> {
  digits ??= loadDigits();
  return digits;
}

/** Halved after they were dealt: turning needs whole digits. */
function smaller({ clients, test, proxy }: Dealt): Dealt {
  return {
    clients: clients.map((client) => ({ ...client, data: halved(client.data) })),
    test: halved(test),
    proxy: proxy && halved(proxy),
  };
}
