/** Operators: added, listed, revoked and given new tokens by admins. */
import type { Request, Router } from 'express';
import { parse } from '../../../protocol/errors.js';
import type { OperatorInfo, OperatorToken } from '../../../protocol/http.js';
import { newOperator, rotation } from '../../../protocol/http.js';
import type { Operator } from '../../core/records.js';
import type { OperatorTicket } from '../../engine/operators.js';
import { readCommand } from './command.js';
import { idParam } from './ids.js';
import type { HttpParts } from './parts.js';
import { isoTime, isoTimeOrNull } from './views.js';

const MAX_BODY_BYTES = 64 * 1024;

export function operatorRoutes(router: Router, parts: HttpParts): void {
  const { operators, auth } = parts;
  router.get('/v1/operators', async (req, res) => {
    await auth.admin(req);
    res.json({ operators: (await operators.list()).map(shown) });
  });

  router.post('/v1/operators', async (req, res) => {
    const { by, body } = await readCommand(req, 'admin', MAX_BODY_BYTES, parts);
    const wanted = parse(newOperator, body, 'operator');
    res.status(201).json(handedOut(await operators.add(wanted, by)));
  });

  router.post('/v1/operators/:name/revoke', async (req, res) => {
    const { name: by } = await auth.admin(req);
    res.json(shown(await operators.revoke(nameOf(req), by)));
  });

  router.post('/v1/operators/:name/rotate', async (req, res) => {
    const { by, body } = await readCommand(req, 'admin', MAX_BODY_BYTES, parts);
    const { expiresInMs } = parse(rotation, body, 'rotation');
    res.json(handedOut(await operators.rotate(nameOf(req), by, expiresInMs)));
  });
}

function nameOf(req: Request): string {
  return idParam(req, 'name', 'not_found');
}

function shown({ name, role, createdAt, tokenExpiresAt, revoked }: Operator): OperatorInfo {
  return {
    ...{ name, role, revoked },
    createdAt: isoTime(createdAt),
    tokenExpiresAt: isoTimeOrNull(tokenExpiresAt),
  };
}

function handedOut({ operator, token }: OperatorTicket): OperatorToken {
  return { ...shown(operator), token };
}
