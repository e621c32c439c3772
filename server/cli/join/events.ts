/** What `tributary join` says of what it does, a line an event. */
import type { ClientEvent, JoinSummary } from '../../../client/events.js';
import { TributaryError } from '../../../protocol/errors.js';
import { bytes } from '../output.js';

/** Prints events. That the site waits to be approved is said once: it may wait for days. */
export class Teller {
  #saidWaiting = false;

  readonly say = (event: ClientEvent): void => {
    if ('delayMs' in event && isUnapproved(event.error)) this.sayWaiting();
    else tell(sentence(event));
  };

  readonly sayWaiting = (): void => {
    if (!this.#saidWaiting) tell("waiting for the operator's approval of this site");
    this.#saidWaiting = true;
  };
}

function tell(line: string | null): void {
  if (line) process.stdout.write(`${line}\n`);
}

function isUnapproved(error: Error): boolean {
  return error instanceof TributaryError && error.code === 'not_approved';
}

function sentence(event: ClientEvent): string | null {
  switch (event.type) {
    case 'connected':
      return `connected as ${event.welcome.clientId} (${event.welcome.role}) to run ${event.welcome.runId}`;
    case 'disconnected':
      return `disconnected: ${event.error.message}; next try in ${(event.delayMs / 1000).toFixed(1)} s`;
    case 'reviewed':
      return event.refusal === null ? null : `refused by this site: ${event.refusal}`;
    case 'assigned':
      return `round ${event.work.round}: ${event.work.kind === 'train' ? 'training' : 'evaluating'}`;
    case 'sending':
      return event.work.kind === 'train' ? `round ${event.work.round}: ${sent(event)}` : null;
    case 'receipt': {
      const { status, error } = event.receipt;
      return `round ${event.work.round}: ${status}${error ? ` (${error.code}: ${error.message})` : ''}`;
    }
    case 'weighed':
      return `round ${event.weighed.round}: committed, weight ${event.weighed.weight.toFixed(4)}`;
    case 'closed':
      return `round ${event.work.round}: ${event.reason}`;
    case 'declined':
      return `round ${event.work.round}: given back: ${event.error.message}`;
    case 'retry':
    case 'problem':
      return `${event.what}: ${event.error.message}`;
    case 'run':
      return event.state.status === 'paused' ? 'the run is paused' : null;
    case 'progress':
    case 'evaluated':
    case 'answered':
      return null;
  }
}

function sent({ bytes: size, clipped }: Extract<ClientEvent, { type: 'sending' }>): string {
  if (!clipped) return `sending ${bytes(size)}`;
  return `sending ${bytes(size)}, scaled from norm ${clipped.norm.toPrecision(4)} to ${clipped.to}`;
}

export function summed({ status, reason, rounds, bytesUp, bytesDown }: JoinSummary): string {
  const why = reason ? ` (${reason})` : '';
  return `${status}${why}: ${rounds.length} updates accepted, ${bytes(bytesUp)} up, ${bytes(bytesDown)} down`;
}
