/** What the page shows. Text only goes in as text, never as markup. */
import type { RunState } from '../../protocol/messages.js';
import type { Receipt } from '../../protocol/update.js';

export type Tone = 'idle' | 'live' | 'good' | 'bad';

type Column = 'receipt' | 'loss' | 'bytes' | 'weight' | 'accuracy' | 'update';

interface RoundRow {
  readonly row: HTMLTableRowElement;
  readonly cells: Readonly<Record<Column, HTMLTableCellElement>>;
}

function element(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element "${id}"`);
  return found;
}

export const fields = {
  form: element('join') as HTMLFormElement,
  token: element('token') as HTMLInputElement,
  data: element('data') as HTMLInputElement,
  validation: element('validation') as HTMLInputElement,
  submit: element('submit') as HTMLButtonElement,
  leave: element('leave') as HTMLButtonElement,
};

const rows = new Map<number, RoundRow>();

export function showStatus(text: string, tone: Tone): void {
  const status = element('status');
  status.textContent = text;
  status.dataset.tone = tone;
}

export function showProblem(text: string | null): void {
  const problem = element('problem');
  problem.hidden = text === null;
  problem.textContent = text ?? '';
}

export function showFacts(title: string, facts: Readonly<Record<string, string>>): void {
  element('run-title').textContent = title;
  const items = Object.entries(facts).flatMap(([name, value]) => {
    const term = document.createElement('dt');
    term.textContent = name;
    const detail = document.createElement('dd');
    detail.textContent = value;
    return [term, detail];
  });
  element('facts').replaceChildren(...items);
}

export function showNow(text: string): void {
  element('now').textContent = text;
}

/** @param fraction of this round's local work, 0 to 1. */
export function showProgress(fraction: number): void {
  const percent = Math.round(100 * fraction);
  element('meter').setAttribute('aria-valuenow', String(percent));
  element('meter-fill').style.width = `${percent}%`;
}

export function showRun({ status, round, rounds, version, reason }: RunState): void {
  const words = `${status}: ${version} of ${rounds} rounds committed`;
  showStatus(status === 'running' ? `round ${round} of ${rounds}` : status, toneOf(status));
  showNow(reason ? `${words} (${reason})` : words);
}

function toneOf(status: RunState['status']): Tone {
  if (status === 'running') return 'live';
  if (status === 'paused') return 'idle';
  return status === 'completed' ? 'good' : 'bad';
}

export function showReceipt(round: number, receipt: Receipt): void {
  const { cells } = rowOf(round);
  const code = receipt.error ? `: ${receipt.error.code}` : '';
  cells.receipt.textContent = `${receipt.status}${receipt.duplicate ? ', sent twice' : ''}${code}`;
  cells.receipt.dataset.tone = receipt.status === 'accepted' ? 'good' : 'bad';
  const hash = document.createElement('code');
  hash.textContent = receipt.sha256.slice(0, 16);
  cells.update.replaceChildren(hash);
}

export function showLoss(round: number, loss: number): void {
  rowOf(round).cells.loss.textContent = loss.toFixed(4);
}

export function showUpload(round: number, bytes: number): void {
  rowOf(round).cells.bytes.textContent = `${(bytes / 1000).toFixed(0)} KB`;
}

export function showWeight(round: number, weight: number): void {
  rowOf(round).cells.weight.textContent = weight.toFixed(4);
}

/** How good the global model of a round is on this tab's own validation data. */
export function showAccuracy(round: number, accuracy: number): void {
  rowOf(round).cells.accuracy.textContent = accuracy.toFixed(4);
  const bar = document.createElement('li');
  bar.style.height = `${100 * accuracy}%`;
  bar.title = `round ${round}: ${accuracy.toFixed(4)}`;
  const chart = element('chart');
  chart.append(bar);
  chart.hidden = false;
  const note = element('chart-note');
  note.textContent = `accuracy on your validation data, by round: now ${(100 * accuracy).toFixed(1)} %`;
  note.hidden = false;
}

/** The row of a round, made when it is first heard of; the newest on top. */
function rowOf(round: number): RoundRow {
  const known = rows.get(round);
  if (known) return known;
  const cell = (number = false): HTMLTableCellElement => {
    const made = document.createElement('td');
    made.textContent = '…';
    if (number) made.className = 'number';
    return made;
  };
  const row = document.createElement('tr');
  const cells = {
    receipt: cell(),
    loss: cell(true),
    bytes: cell(true),
    weight: cell(true),
    accuracy: cell(true),
    update: cell(),
  };
  const name = document.createElement('td');
  name.textContent = String(round);
  row.append(
    name,
    cells.receipt,
    cells.loss,
    cells.bytes,
    cells.weight,
    cells.accuracy,
    cells.update,
  );
  element('rounds').prepend(row);
  element('no-rounds').hidden = true;
  const made = { row, cells };
  rows.set(round, made);
  return made;
}
