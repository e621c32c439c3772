/** The process with a run's clients, seen from the bench. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { Receipt } from '../../protocol/update.js';
import { receipt } from '../../protocol/update.js';
import { cleanEnvironment } from '../serve.js';

const CLIENTS = fileURLToPath(new URL('./clients.ts', import.meta.url));

const told = z.union([
  z.object({ receipt }),
  z.object({ connected: z.string() }),
  z.object({ ended: z.string(), status: z.string(), reason: z.string().nullable() }),
]);

export interface ClientGroup {
  /** What the clients hold: every receipt that reached one of them. */
  readonly receipts: readonly Receipt[];
  /** How taking part ended, by client, when all have ended. Rejects where the process fails. */
  readonly ended: Promise<Readonly<Record<string, string>>>;
  /** Resolves with the next receipt. */
  nextReceipt(): Promise<Receipt>;
  kill(): void;
}

export function startClients(
  urls: readonly string[],
  tokens: Readonly<Record<string, string>>,
): ClientGroup {
  const child = spawn(process.execPath, ['--import', 'tsx', CLIENTS], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...cleanEnvironment(), FAULTS_CLIENTS: JSON.stringify({ urls, tokens }) },
  });
  const receipts: Receipt[] = [];
  const statuses: Record<string, string> = {};
  const waiting = new Set<(receipt: Receipt) => void>();
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString()).slice(-4000);
  });
  createInterface(child.stdout).on('line', (line) => {
    const message = told.parse(JSON.parse(line));
    if ('ended' in message) statuses[message.ended] = message.status;
    if (!('receipt' in message)) return;
    receipts.push(message.receipt);
    for (const resolve of waiting) resolve(message.receipt);
    waiting.clear();
  });
  const ended = new Promise<Readonly<Record<string, string>>>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve(statuses);
      else reject(new Error(`the clients ended (${String(code)}):\n${complaint}`));
    });
  });
  ended.catch(() => undefined);
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  void ended.finally(() => process.off('exit', kill)).catch(() => undefined);
  return {
    receipts,
    ended,
    nextReceipt: () => new Promise((resolve) => waiting.add(resolve)),
    kill,
  };
}
