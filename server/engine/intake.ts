/** From a spooled upload to a durable receipt. */
import { TributaryError, parse } from '../../protocol/errors.js';
import type { Role } from '../../protocol/run.js';
import type { SafetensorsHeader } from '../../protocol/safetensors.js';
import type { Receipt, ReportedFacts } from '../../protocol/update.js';
import { DELTA, UPDATE_METADATA, updateFacts } from '../../protocol/update.js';
import { MAX_MEMBERS, VectorScan, checkFacts, checkTensors } from '../core/admission.js';
import type { Layout } from '../core/layout.js';
import { layoutOf, tiles } from '../core/layout.js';
import type { AssignmentRecord, Blob, Run, StagedBlob, UpdateRow } from '../core/ports.js';
import type { UpdateFacts } from '../core/rules/rule.js';
import { loadState } from './checkpoints.js';
import type { EngineParts } from './engine.js';
import { composedRule, vectorsFor } from './run-rule.js';
import { readHeader, readTile, vectorsOf } from './update-file.js';
