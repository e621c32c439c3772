/** Blobs that operators upload: models to start from, proxy sets. */
import type { Router } from 'express';
import { parse } from '../../../protocol/errors.js';
import { sha256Hex } from '../../../protocol/model.js';
import { commitOrDiscard } from '../../engine/checkpoints.js';
import type { HttpParts } from './parts.js';
import { discardUnless, receiveBlob } from './upload.js';

export function blobRoutes(router: Router, { auth, blobs, limits }: HttpParts): void {
  router.put('/v1/blobs/:sha256', async (req, res) => {
    await auth.operator(req);
    const sha256 = parse(sha256Hex, req.params.sha256, 'sha256');
    const expected = { sha256, maxBytes: limits.maxBlobBytes };
    const staged = await receiveBlob(req, expected, blobs, limits.body);
    await discardUnless(auth.operator(req), staged);
    await commitOrDiscard(staged);
    res.status(201).json({ sha256, bytes: staged.bytes });
  });
}
