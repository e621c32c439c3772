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

parentPort.on('message', ({ ask, argument }) => deeds[argument.run.id](ask, argument));
