/**
 * The composition root: every part of a coordinator is made and joined here, and nowhere else. Used
 * by the commands, by tests, and by whoever embeds a coordinator in a program of their own.
 */
import type { Server } from 'node:http';
import { join, resolve } from 'node:path';
import { existsSync } from 'node:fs';
import { pino } from 'pino';
import type { Logger } from 'pino';
import { TributaryError } from '../protocol/errors.js';
import { createDirectoryBlobStore } from './adapters/blob-directory.js';
import { createPostgresBlobStore } from './adapters/blob-postgres.js';
import { ClientOracles, combineOracles } from './adapters/client-oracle.js';
import { attach, listen, publicHttpServer } from './adapters/http-server.js';
import { createHttpApp } from './adapters/http/app.js';
import { bearerAuth, operatorCheck } from './adapters/http/auth.js';
import { redactedPaths } from './adapters/http/logging.js';
import type { HttpLimits } from './adapters/http/parts.js';
import { InFlight } from './adapters/in-flight.js';
import { storedOperatorToken } from './adapters/operator-token.js';
import { originPolicy } from './adapters/origins.js';
import { startEmbeddedPostgres } from './adapters/postgres/embedded.js';
import { migrate } from './adapters/postgres/migrator.js';
import { createPrismaStore } from './adapters/prisma-store.js';
import { SOCKET_PATH, createSocketGateway } from './adapters/socket-gateway.js';
import type { Rate } from './adapters/socket/rate-limit.js';
import { systemClock } from './adapters/system-clock.js';
import { tfjsOracles } from './adapters/tfjs-oracle.js';
import type { Config, LogLevel } from './config.js';
import { isLoopback } from './config.js';
import type { BlobStore, Clock, Store } from './core/ports.js';
import { createEngine } from './engine/create-engine.js';
import type { Engine } from './engine/engine.js';
import { packageRoot, packageVersion } from './version.js';
