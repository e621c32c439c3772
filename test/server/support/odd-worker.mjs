/**
 * A worker that does what the name of the run says, in place of aggregating. Speaks the line's
 * messages by hand, so that they are held to what they are.
 */
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import process from 'node:process';
import { setImmediate } from 'node:timers';
import { BroadcastChannel, parentPort, threadId } from 'node:worker_threads';

/** Says that it has begun. */
function begin({ channel }) {
  const begun = new BroadcastChannel(channel);
  begun.postMessage(threadId);
  begun.close();
}

const deeds = {
  /** Says which thread it is. */
  answers: (ask) => parentPort.postMessage({ answer: ask, value: { threadId } }),
  refuses: (ask) => {
    const failure = {
      code: 'rule_needs',
      message: 'no target',
      details: { path: 'x' },
      stack: 's',
    };
    parentPort.postMessage({ answer: ask, failure });
  },
  exits: () => process.exit(3),
  /** Offers a piece to others, and says what it heard. */
  offers: (ask, { piece }) => {
    offering = ask;
    parentPort.postMessage({ ask: 0, service: 'offer', argument: piece });
  },
  /** In the middle of writing a model. */
  spools: (_, { spooled }) => {
    writeFileSync(`${spooled}.${threadId}.${randomUUID()}`, 'half');
    process.exit(3);
  },
  throws: () => {
    setImmediate(() => {
      throw new Error('nobody catches this');
    });
  },
  /** As a rule with a loop that does not end: the thread hears nothing any more. */
  loops: (_, argument) => {
    begin(argument);
    for (;;);
  },
  /** Until it is let go on. */
  waits: (ask, argument) => {
    begin(argument);
    Atomics.wait(argument.gate, 0, 0);
    deeds.answers(ask);
  },
};

/** What a piece names, in place of holding it against its hash; none: it only has to be awake. */
function help(ask, { blobs }) {
  if (blobs.length > 0) deeds[blobs[0].what](ask, blobs[0]);
  else deeds.answers(ask);
}

let offering = null;

parentPort.on('message', (message) => {
  const { ask, service, argument } = message;
  if ('answer' in message) parentPort.postMessage({ ...message, answer: offering });
  else if (service === 'help') help(ask, argument);
  else deeds[argument.run.id](ask, argument);
});
