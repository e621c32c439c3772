/** The join page: a browser tab as a client, by the same SDK that other sites' pages load. */
import type * as Sdk from '../../client/browser/index.js';
import type { Task } from '../../protocol/model.js';
import {
  fields,
  showAccuracy,
  showFacts,
  showLoss,
  showNow,
  showProblem,
  showProgress,
  showReceipt,
  showRun,
  showStatus,
  showUpload,
  showWeight,
} from './view.js';

/** Behind a proxy the page may stand under a path: everything is relative to it. */
const base = new URL('.', location.href).href.replace(/\/$/, '');

type JoinEvent = Parameters<NonNullable<Sdk.JoinOptions['onEvent']>>[0];

async function loadSdk(): Promise<typeof Sdk> {
  return (await import(/* @vite-ignore */ `${base}/sdk/tributary.js`)) as typeof Sdk;
}

async function datasetOf(sdk: typeof Sdk, file: File, task: Task): Promise<Sdk.Dataset> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  return sdk.datasetOf(task.data, sdk.decodeSafetensors(bytes).tensors);
}

function onEvent(event: JoinEvent): void {
  switch (event.type) {
    case 'connected':
      showStatus('connected', 'live');
      break;
    case 'disconnected':
      if ('code' in event.error && event.error.code === 'not_approved') {
        onWaiting();
        break;
      }
      showStatus('connecting again', 'bad');
      showNow(`${event.error.message}; next try in ${(event.delayMs / 1000).toFixed(1)} s`);
      break;
    case 'run':
      showRun(event.state);
      break;
    case 'assigned':
      showProgress(0);
      showNow(
        event.work.kind === 'train'
          ? `round ${event.work.round}: training`
          : `round ${event.work.round}: evaluating`,
      );
      break;
    case 'progress':
      showProgress(event.progress.fraction);
      if (event.progress.loss !== undefined) showLoss(event.work.round, event.progress.loss);
      break;
    case 'sending':
      if (event.work.kind === 'train') showUpload(event.work.round, event.bytes);
      break;
    case 'receipt':
      showProgress(1);
      showReceipt(event.work.round, event.receipt);
      break;
    case 'weighed':
      showWeight(event.weighed.round, event.weighed.weight);
      break;
    case 'declined':
    case 'problem':
      showProblem(event.error.message);
      break;
    case 'retry':
      showNow(
        `${event.what}: ${event.error.message}; next try in ${(event.delayMs / 1000).toFixed(1)} s`,
      );
      break;
    case 'closed':
      showNow(event.reason);
      break;
    case 'evaluated': {
      const { sums, numExamples } = event.report;
      if ('accuracy' in sums) showAccuracy(event.work.round, sums.accuracy / numExamples);
      showProgress(1);
      break;
    }
    case 'reviewed':
      if (event.refusal !== null) showProblem(`refused by this site: ${event.refusal}`);
      break;
    case 'answered':
      break;
  }
}

function onWaiting(): void {
  showStatus('waiting for approval', 'idle');
  showNow('the operator of the run has not approved this site yet');
}

async function takePart(signal: AbortSignal): Promise<void> {
  showStatus('loading', 'live');
  const sdk = await loadSdk();
  const token = fields.token.value.trim();
  const { task, identity } = await sdk.fetchTask({ url: base, token, signal, onWaiting });
  showFacts(task.name, {
    You: `${identity.clientId} (${identity.role})`,
    Run: identity.runId,
    Model: `${task.model.tensors.length} tensors, ${parameters(task).toLocaleString('en')} parameters`,
  });
  const file = chosen(fields.data);
  const validation = chosen(fields.validation);
  if (!file) throw new Error('choose a file with training data');
  const data = await datasetOf(sdk, file, task);
  const trainer = await sdk.workerTrainer(
    validation ? { data, evaluationData: await datasetOf(sdk, validation, task) } : { data },
  );
  try {
    const { train, evaluate, backend } = trainer;
    const summary = await sdk.join({
      url: base,
      token,
      train,
      ...(evaluate ? { evaluate } : {}),
      backends: [backend],
      signal,
      onEvent,
    });
    showStatus(summary.status, summary.status === 'completed' ? 'good' : 'idle');
    showNow(`${summary.rounds.length} updates accepted; the run is ${summary.status}`);
  } finally {
    trainer.close();
  }
}

function chosen(input: HTMLInputElement): File | null {
  return input.files?.item(0) ?? null;
}

function parameters(task: Task): number {
  return task.model.tensors.reduce(
    (sum, { shape }) => sum + shape.reduce((n, size) => n * size, 1),
    0,
  );
}

fields.form.addEventListener('submit', (event) => {
  event.preventDefault();
  const leaving = new AbortController();
  const leave = (): void => leaving.abort(new Error('you left'));
  fields.leave.addEventListener('click', leave);
  fields.submit.disabled = true;
  fields.leave.disabled = false;
  showProblem(null);
  takePart(leaving.signal)
    .catch((error: unknown) => {
      showStatus('stopped', 'bad');
      showProblem(error instanceof Error ? error.message : String(error));
    })
    .finally(() => {
      fields.leave.removeEventListener('click', leave);
      fields.submit.disabled = false;
      fields.leave.disabled = true;
    });
});
