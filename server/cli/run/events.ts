/** A run's ledger: whether its hash chain holds, and the events as text. */
import type { EventList } from '../../../protocol/http.js';
import { clip, printable } from '../../../protocol/text.js';
import { verifyChain } from '../../adapters/ledger-chain.js';
import { table } from '../output.js';

type Events = EventList['events'];
type Broken = ReturnType<typeof verifyChain>;

/** Characters of an event's body in the table, which must fit 80 columns; `--json` has it whole. */
const BODY_LENGTH = 34;

/**
 * The first event that breaks the hash chain, and how; null where it holds. Computed here, from what
 * the coordinator gave out: it need not be believed. Events missing at the end it cannot tell.
 */
export function brokenEvent(events: Events): Broken {
  return verifyChain(events.map((event) => ({ ...event, at: Date.parse(event.at) })));
}

export function eventsShown({ events, broken }: { events: Events; broken: Broken }): string {
  const rows = events.map(({ seq, at, type, body }) => [
    seq,
    at.slice(0, 19).replace('T', ' '),
    printable(type),
    clip(printable(factsOf(body)), BODY_LENGTH),
  ]);
  const verdict = broken
    ? `the chain is broken at event ${broken.seq}: it ${broken.problem}`
    : `chain of ${events.length} events verifies`;
  return `${table(['event', 'at (UTC)', 'type', 'body'], rows)}\n\n${verdict}`;
}

/** What an event is about is shown first: the database orders the members by their length. */
const FIRST = ['client', 'round', 'reason', 'version', 'role', 'state'];

/** An event's body as `client=ada role=source`. */
function factsOf(body: Events[number]['body']): string {
  if (typeof body !== 'object' || body === null) return JSON.stringify(body);
  return Object.entries(body)
    .sort(([a], [b]) => placeOf(a) - placeOf(b))
    .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(' ')
    .replaceAll('\n', ' ');
}

function placeOf(name: string): number {
  const place = FIRST.indexOf(name);
  return place === -1 ? FIRST.length : place;
}
