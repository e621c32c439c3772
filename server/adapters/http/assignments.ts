/** What clients send back: updates, evaluations, answers of their oracles. */
import type { Request, Response, Router } from 'express';
import { TributaryError, errorKinds, parse } from '../../../protocol/errors.js';
import type { Receipt } from '../../../protocol/update.js';
import { evaluationReport } from '../../../protocol/update.js';
import type { Client } from '../../core/records.js';
import { readBody, readJson } from './body.js';
import { sendError } from './errors.js';
import { idParam } from './ids.js';
import { timed } from './metrics.js';
import type { HttpParts } from './parts.js';
import { UploadSlots, checkHash, declaredHash, discardUnless, receiveBlob } from './upload.js';

const MAX_EVALUATION_BYTES = 64 * 1024;

export function assignmentRoutes(router: Router, parts: HttpParts): void {
  const { engine, auth, questions, limits } = parts;
  const slots = new UploadSlots(limits.uploadsAtOnce, limits.uploadsInAll);

  router.put('/v1/assignments/:id/update', async (req, res) => {
    const client = await auth.client(req);
    const id = idParam(req, 'id', 'assignment_unknown');
    const receipt = await slots.hold(`${client.runId}/${client.id}`, () =>
      takeUpdate(req, client, id, parts),
    );
    parts.metrics.received(receipt);
    sendReceipt(req, res, receipt);
  });

  router.get('/v1/assignments/:id/weight', async (req, res) => {
    const client = await auth.client(req);
    const id = idParam(req, 'id', 'assignment_unknown');
    res.json(await engine.weightGiven(client, id));
  });

  router.post('/v1/assignments/:id/evaluation', async (req, res) => {
    const client = await auth.client(req);
    const id = idParam(req, 'id', 'assignment_unknown');
    const body = await readJson(req, MAX_EVALUATION_BYTES, limits.body);
    const report = parse(evaluationReport, body, 'evaluation');
    await auth.client(req); // it may have been revoked while the body came
    res.json({ taken: await engine.report(client, id, report) });
  });

  router.get('/v1/questions/:id/params', async (req, res) => {
    const client = await auth.client(req);
    const file = questions.params(client, idParam(req, 'id', 'not_found'));
    res.setHeader('content-type', 'application/octet-stream');
    res.send(Buffer.from(file.buffer, file.byteOffset, file.byteLength));
  });

  router.put('/v1/questions/:id/answer', async (req, res) => {
    const client = await auth.client(req);
    const id = idParam(req, 'id', 'not_found');
    const file = await readBody(req, questions.maxAnswerBytes(client, id), limits.body);
    checkHash(req, file);
    await auth.client(req);
    res.json({ taken: questions.answer(client, id, file) });
  });
}

/** All that can be refused without reading the body is refused before. */
async function takeUpdate(
  req: Request,
  client: Client,
  assignmentId: string,
  { engine, auth, blobs, limits, metrics }: HttpParts,
): Promise<Receipt> {
  const sha256 = declaredHash(req);
  const maxBytes = await engine.maxUploadBytes(client, assignmentId);
  return engine.whileUploading(client, assignmentId, async () => {
    const staged = await timed(metrics, () =>
      receiveBlob(req, { sha256, maxBytes }, blobs, limits.body),
    );
    await discardUnless(auth.client(req), staged);
    return engine.submit(client, assignmentId, staged);
  });
}

function sendReceipt(req: Request, res: Response, receipt: Receipt): void {
  const { runId: run, round, clientId: client } = receipt;
  if (receipt.status === 'accepted') {
    const { duplicate } = receipt;
    req.log.debug({ assignment: receipt.assignmentId, run, round, client, duplicate }, 'receipt');
    res.status(receipt.duplicate ? 200 : 201).json({ receipt });
    return;
  }
  const error = receipt.error
    ? TributaryError.fromBody(receipt.error)
    : new TributaryError(
        receipt.status === 'late' ? 'late' : 'bad_request',
        'the update does not count',
      );
  req.log.info(
    { assignment: receipt.assignmentId, run, round, client, code: error.code },
    `update ${receipt.status}: ${errorKinds[error.code].status}`,
  );
  sendError(req, res, error, receipt);
}
