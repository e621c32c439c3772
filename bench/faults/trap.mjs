/**
 * Loaded into a coordinator before its own code, and into its worker threads (`NODE_OPTIONS=--import`).
 * It watches what the process asks of its files, its database and its peers, tells on descriptor 3 of
 * every receipt and commit, and kills the process with SIGKILL where FAULTS_TRAP says. The coordinator
 * is the one that ships: nothing in it knows of this file.
 */
import fs from 'node:fs';
import http from 'node:http';
import { syncBuiltinESMExports } from 'node:module';
import { setImmediate } from 'node:timers';
import { getEnvironmentData, isMainThread, setEnvironmentData } from 'node:worker_threads';
import pg from 'pg';

const {
  point = null,
  occurrence = 1,
  from = 'start',
} = JSON.parse(process.env.FAULTS_TRAP ?? '{}');

/** Shared by all threads: whether this life has brought anything yet, and how often it was at the point. */
const shared = getEnvironmentData('faults') ?? new Int32Array(new SharedArrayBuffer(8));
setEnvironmentData('faults', shared);
const [PROGRESS, COUNT] = [0, 1];

/** Synchronously, so that it is told before a kill. */
function tell(message) {
  fs.writeSync(3, `${JSON.stringify(message)}\n`);
}

function progress(what) {
  tell({ progress: what });
  Atomics.store(shared, PROGRESS, 1);
}

function at(place) {
  if (place !== point) return;
  if (from === 'progress' && Atomics.load(shared, PROGRESS) === 0) return;
  if (Atomics.add(shared, COUNT, 1) + 1 !== occurrence) return;
  tell({ killed: place });
  process.kill(process.pid, 'SIGKILL');
  for (;;); // not one statement more, however late the signal comes
}

// ---------------------------------------------------------------- peers

/** Uploads whose answer has not begun. */
let uploads = 0;

function watchUpload(res) {
  uploads += 1;
  let answered = false;
  const { end } = res;
  const leave = () => {
    if (!answered) uploads -= 1;
    answered = true;
  };
  res.end = function (...args) {
    leave();
    if (res.statusCode < 300) at('recorded: the answer is not sent');
    return end.apply(this, args);
  };
  res.once('close', leave);
  res.once('finish', () => {
    if (res.statusCode >= 300) return;
    progress('receipt');
    setImmediate(() => at('acknowledged: a receipt is out'));
  });
}

const { emit } = http.Server.prototype;
http.Server.prototype.emit = function (event, ...args) {
  if (event === 'request' && args[0].method === 'PUT' && /\/update$/.test(args[0].url)) {
    watchUpload(args[1]);
  }
  return emit.call(this, event, ...args);
};

// ---------------------------------------------------------------- database

/** What a statement does, by its text and values. */
function marksOf(text, values) {
  const marks = [];
  if (/INSERT INTO updates\b/.test(text)) marks.push('update');
  if (/INSERT INTO assignments\b/.test(text)) marks.push('cohort');
  if (/INSERT INTO "?(public"\.")?checkpoints\b/.test(text)) marks.push('model');
  if (/UPDATE "?(public"\.")?rounds\b/.test(text) && values.includes('aggregating'))
    marks.push('closing');
  return marks;
}

/** Where a transaction with these marks stands, in the words of the points. */
function stage(marks, when) {
  if (marks.has('model')) {
    if (when === 'before') at('saving: not committed');
    if (when === 'sent') at('committed: the answer has not come');
    if (when === 'after') {
      progress('commit');
      at('committed: nobody was told');
    }
  } else if (marks.has('cohort')) {
    if (when === 'before') at('cohort: not committed');
    if (when === 'sent') at('cohort: the answer has not come');
    if (when === 'after') at('cohort: nobody was told');
  } else if (marks.has('update')) {
    if (when === 'sent') at('recorded: the answer has not come');
    if (when === 'after') at('recorded: the row is stored');
  } else if (marks.has('closing') && when === 'after') {
    at('acknowledged: all receipts are out');
  }
}

/** Marks of the transaction under way on a connection. */
const transactions = new WeakMap();

function statement(client, text, values) {
  const marks = marksOf(text, values);
  const open = transactions.get(client);
  if (marks.includes('cohort') && !open?.has('model')) at('cohort: its rows are not written');
  if (marks.includes('update')) at('spooled: the row is not sent');
  if (marks.includes('model')) at('saving: its row is not sent');
  if (text === 'BEGIN') transactions.set(client, new Set());
  if (text === 'COMMIT' || text === 'ROLLBACK') transactions.delete(client);
  for (const mark of marks) open?.add(mark);
  const ends = open ? text === 'COMMIT' : marks.length > 0;
  if (!ends) return () => undefined;
  const all = open ?? new Set(marks);
  stage(all, 'before');
  setImmediate(() => stage(all, 'sent'));
  return () => stage(all, 'after');
}

const { query } = pg.Client.prototype;
pg.Client.prototype.query = function (config, values, callback) {
  const text = typeof config === 'string' ? config : config.text;
  if (typeof text !== 'string') return query.call(this, config, values, callback);
  const done = statement(this, text, (Array.isArray(values) ? values : config.values) ?? []);
  const wrapped = (given) => (error, result) => {
    if (!error) done();
    given(error, result);
  };
  if (typeof values === 'function') return query.call(this, config, wrapped(values));
  if (typeof callback === 'function') return query.call(this, config, values, wrapped(callback));
  const answer = query.call(this, config, values);
  return typeof answer?.then !== 'function'
    ? answer
    : answer.then((result) => {
        done();
        return result;
      });
};

// ---------------------------------------------------------------- files

/** Bytes of one tile of an update: nothing else is read in pieces of this size. */
const TILE_BYTES = 65_536;
const isSpool = (path) => /[/\\]spool[/\\]/.test(path);
const isBlob = (path) => /[/\\]blobs[/\\][0-9a-f]{2}[/\\][0-9a-f]{62}$/.test(path);
/** Whether what this thread writes is a model; else it is an upload. */
const savesModel = () => !isMainThread || uploads === 0;

const { open, rename, rm } = fs.promises;
/** Path and number of writes, by handle. */
const handles = new WeakMap();

fs.promises.open = async (path, ...rest) => {
  const handle = await open(path, ...rest);
  handles.set(handle, { path: String(path), writes: 0 });
  return handle;
};
fs.promises.rename = async (from, to) => {
  const moves = isSpool(String(from)) && isBlob(String(to));
  if (moves && savesModel()) at('saving: not renamed');
  await rename(from, to);
  if (moves) at(savesModel() ? 'saving: renamed' : 'spooled: renamed');
};
fs.promises.rm = async (path, ...rest) => {
  if (isBlob(String(path))) at('committed: updates are being deleted');
  return rm(path, ...rest);
};

const probe = await open(new URL(import.meta.url));
const fileHandle = Object.getPrototypeOf(probe);
await probe.close();

/** The disk is full for as long as the file that FAULTS_FULL names is there. */
const full = process.env.FAULTS_FULL;
const isFull = () => full !== undefined && fs.existsSync(full);

function noSpace(syscall) {
  tell({ refused: 'ENOSPC' });
  const error = new Error(`ENOSPC: no space left on device, ${syscall}`);
  return Object.assign(error, { code: 'ENOSPC', errno: -28, syscall });
}

for (const name of ['write', 'writeFile']) {
  const method = fileHandle[name];
  fileHandle[name] = function (...args) {
    const file = handles.get(this);
    const spooled = file !== undefined && isSpool(file.path);
    if (spooled && file.writes++ === 1 && !savesModel()) at('upload: half received');
    return spooled && isFull() ? Promise.reject(noSpace(name)) : method.apply(this, args);
  };
}

const { sync, read } = fileHandle;
fileHandle.sync = async function () {
  const file = handles.get(this);
  const spooled = file !== undefined && isSpool(file.path);
  if (spooled) at(savesModel() ? 'saving: not synced' : 'spooled: not synced');
  await sync.call(this);
  if (spooled && !savesModel()) at('spooled: synced');
};
fileHandle.read = function (...args) {
  const file = handles.get(this);
  if (file && isBlob(file.path) && args[2] === TILE_BYTES) at('fold: a tile is read');
  return read.apply(this, args);
};

const { readSync } = fs;
fs.readSync = (fd, buffer, offset, length, position) => {
  if (!isMainThread && length === TILE_BYTES) at('fold: a tile is read');
  return readSync(fd, buffer, offset, length, position);
};

syncBuiltinESMExports();
