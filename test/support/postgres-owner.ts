/**
 * A process that starts the embedded server on argv[2], prints its URL, and then, as argv[3] says,
 * `hold`s it until it is killed, or `exit`s without stopping it.
 */
import { startEmbeddedPostgres } from '../../server/adapters/postgres/embedded.js';

const [, , dataDir, then] = process.argv;
const server = await startEmbeddedPostgres({ dataDir });
console.log(JSON.stringify({ url: server.url, adopted: server.adopted }));
if (then === 'exit') process.exit(3);
process.stdin.resume(); // until it is killed, or the test's end of the pipe closes
process.stdin.on('end', () => process.exit(4));
