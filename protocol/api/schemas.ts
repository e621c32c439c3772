/** Bodies and answers by the names that they have in the OpenAPI document. */
import * as http from '../http.js';
import { task } from '../model.js';
import { runSpec } from '../run.js';
import { evaluationReport, receipt } from '../update.js';

/** What is sent, with defaults where something is left out. */
export const bodySchemas = {
  NewRun: runSpec,
  Enrolment: http.enrolment,
  Joining: http.joining,
  Rotation: http.rotation,
  NewOperator: http.newOperator,
  EvaluationReport: evaluationReport,
} as const;

export const answerSchemas = {
  Failure: http.failure,
  Health: http.health,
  Readiness: http.readiness,
  RuleList: http.ruleList,
  LedgerKey: http.ledgerKey,
  Event: http.event,
  EventList: http.eventList,
  RunSpec: runSpec,
  RunSummary: http.runSummary,
  RunList: http.runList,
  RunDetail: http.runDetail,
  RoundSummary: http.roundSummary,
  RoundDetail: http.roundDetail,
  UpdateRecord: http.updateRecord,
  Evaluation: http.evaluation,
  ClientInfo: http.clientInfo,
  SiteInfo: http.siteInfo,
  ClientList: http.clientList,
  Enrolled: http.enrolled,
  OperatorInfo: http.operatorInfo,
  OperatorList: http.operatorList,
  OperatorToken: http.operatorToken,
  Identity: http.identity,
  Task: task,
  Plan: http.plan,
  BlobStored: http.blobStored,
  Receipt: receipt,
  UploadAnswer: http.uploadAnswer,
  EvaluationTaken: http.evaluationTaken,
  GivenWeight: http.givenWeight,
} as const;
