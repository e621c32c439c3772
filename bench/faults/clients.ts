/**
 * The clients of a run in a process of their own: the real SDK, with what it was answered on standard
 * output. Reads `{ urls, tokens }` from FAULTS_CLIENTS; ends when the run has.
 */
import { z } from 'zod';
import { join } from '../../client/join.js';
import { faultTrainer } from './task.js';

const told = z.object({ urls: z.array(z.string()), tokens: z.record(z.string(), z.string()) });

const { urls, tokens } = told.parse(JSON.parse(process.env.FAULTS_CLIENTS ?? '{}'));

function tell(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

async function takePart(name: string, token: string): Promise<void> {
  const { status, reason } = await join({
    url: urls,
    token,
    train: faultTrainer(name),
    onEvent: (event) => {
      if (event.type === 'receipt') tell({ receipt: event.receipt });
      if (event.type === 'connected') tell({ connected: name });
    },
  });
  tell({ ended: name, status, reason });
}

await Promise.all(Object.entries(tokens).map(([name, token]) => takePart(name, token)));
