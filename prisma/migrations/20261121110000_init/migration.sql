-- CreateEnum
CREATE TYPE "run_status" AS ENUM ('running', 'completed', 'stopped', 'failed');

-- CreateEnum
CREATE TYPE "round_phase" AS ENUM ('waiting', 'training', 'aggregating', 'evaluating', 'closed', 'abandoned');

-- CreateEnum
CREATE TYPE "role" AS ENUM ('source', 'target', 'evaluator');

-- CreateEnum
CREATE TYPE "assignment_kind" AS ENUM ('train', 'evaluate');

-- CreateEnum
CREATE TYPE "assignment_state" AS ENUM ('invited', 'accepted', 'rejected', 'late', 'dropped');

-- CreateEnum
CREATE TYPE "receipt_status" AS ENUM ('accepted', 'rejected', 'late');

-- CreateTable
CREATE TABLE "tasks" (
    "sha256" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "body" JSONB NOT NULL,

    CONSTRAINT "tasks_pkey" PRIMARY KEY ("sha256")
);

-- CreateTable
CREATE TABLE "runs" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "task_sha256" TEXT NOT NULL,
    "rule" TEXT NOT NULL,
    "spec" JSONB NOT NULL,
    "status" "run_status" NOT NULL,
    "reason" TEXT,
    "fold" JSONB NOT NULL,
    "oracle" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "runs_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "clients" (
    "run_id" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    "role" "role" NOT NULL,
    "token_hash" TEXT NOT NULL,
    "enrolled_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "clients_pkey" PRIMARY KEY ("run_id","id")
);

-- CreateTable
CREATE TABLE "checkpoints" (
    "run_id" TEXT NOT NULL,
    "version" INTEGER NOT NULL,
    "round" INTEGER,
    "sha256" TEXT NOT NULL,
    "bytes" BIGINT NOT NULL,
    "state_sha256" TEXT,

    CONSTRAINT "checkpoints_pkey" PRIMARY KEY ("run_id","version")
);

-- CreateTable
CREATE TABLE "rounds" (
    "run_id" TEXT NOT NULL,
    "number" INTEGER NOT NULL,
    "attempt" INTEGER NOT NULL,
    "phase" "round_phase" NOT NULL,
    "revision" INTEGER NOT NULL,
    "base_version" INTEGER NOT NULL,
    "version" INTEGER,
    "opened_at" TIMESTAMPTZ(3) NOT NULL,
    "not_before" TIMESTAMPTZ(3) NOT NULL,
    "deadline" TIMESTAMPTZ(3),
    "closed_at" TIMESTAMPTZ(3),
    "reason" TEXT,
    "diagnostics" JSONB NOT NULL DEFAULT '{}',
    "matrices" JSONB NOT NULL DEFAULT '{}',
    "coefficients" JSONB NOT NULL DEFAULT '{}',
    "evaluation" JSONB,

    CONSTRAINT "rounds_pkey" PRIMARY KEY ("run_id","number","attempt")
);

-- CreateTable
CREATE TABLE "assignments" (
    "id" TEXT NOT NULL,
    "run_id" TEXT NOT NULL,
    "round" INTEGER NOT NULL,
    "attempt" INTEGER NOT NULL,
    "client_id" TEXT NOT NULL,
    "role" "role" NOT NULL,
    "kind" "assignment_kind" NOT NULL,
    "base_version" INTEGER NOT NULL,
    "state" "assignment_state" NOT NULL DEFAULT 'invited',
    "report" JSONB,

    CONSTRAINT "assignments_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "updates" (
    "assignment_id" TEXT NOT NULL,
    "sha256" TEXT NOT NULL,
    "bytes" BIGINT NOT NULL,
    "received_at" TIMESTAMPTZ(3) NOT NULL,
    "status" "receipt_status" NOT NULL,
    "error_code" TEXT,
    "error" JSONB,
    "num_examples" BIGINT NOT NULL,
    "num_steps" BIGINT NOT NULL,
    "norm" DOUBLE PRECISION NOT NULL,
    "max_abs" DOUBLE PRECISION NOT NULL,
    "metrics" JSONB NOT NULL,
    "weight" DOUBLE PRECISION,

    CONSTRAINT "updates_pkey" PRIMARY KEY ("assignment_id")
);

-- CreateTable
CREATE TABLE "ledger_events" (
    "run_id" TEXT NOT NULL,
    "seq" INTEGER NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL,
    "type" TEXT NOT NULL,
    "body" JSONB NOT NULL,
    "prev_hash" TEXT NOT NULL,
    "hash" TEXT NOT NULL,

    CONSTRAINT "ledger_events_pkey" PRIMARY KEY ("run_id","seq")
);

-- CreateTable
CREATE TABLE "blobs" (
    "sha256" TEXT NOT NULL,
    "bytes" BIGINT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "blobs_pkey" PRIMARY KEY ("sha256")
);

-- CreateTable
CREATE TABLE "blob_chunks" (
    "sha256" TEXT NOT NULL,
    "index" INTEGER NOT NULL,
    "data" BYTEA NOT NULL,

    CONSTRAINT "blob_chunks_pkey" PRIMARY KEY ("sha256","index")
);

-- CreateIndex
CREATE UNIQUE INDEX "clients_token_hash_key" ON "clients"("token_hash");

-- CreateIndex
CREATE UNIQUE INDEX "assignments_one_of_a_kind" ON "assignments"("run_id", "round", "attempt", "kind", "client_id");

-- AddForeignKey
ALTER TABLE "runs" ADD CONSTRAINT "runs_task_sha256_fkey" FOREIGN KEY ("task_sha256") REFERENCES "tasks"("sha256") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "clients" ADD CONSTRAINT "clients_run_id_fkey" FOREIGN KEY ("run_id") REFERENCES "runs"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "checkpoints" ADD CONSTRAINT "checkpoints_run_id_fkey" FOREIGN KEY ("run_id") REFERENCES "runs"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "rounds" ADD CONSTRAINT "rounds_run_id_fkey" FOREIGN KEY ("run_id") REFERENCES "runs"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "rounds" ADD CONSTRAINT "rounds_base_version_fkey" FOREIGN KEY ("run_id", "base_version") REFERENCES "checkpoints"("run_id", "version") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "rounds" ADD CONSTRAINT "rounds_version_fkey" FOREIGN KEY ("run_id", "version") REFERENCES "checkpoints"("run_id", "version") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "assignments" ADD CONSTRAINT "assignments_round_fkey" FOREIGN KEY ("run_id", "round", "attempt") REFERENCES "rounds"("run_id", "number", "attempt") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "assignments" ADD CONSTRAINT "assignments_client_fkey" FOREIGN KEY ("run_id", "client_id") REFERENCES "clients"("run_id", "id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "updates" ADD CONSTRAINT "updates_assignment_id_fkey" FOREIGN KEY ("assignment_id") REFERENCES "assignments"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "ledger_events" ADD CONSTRAINT "ledger_events_run_id_fkey" FOREIGN KEY ("run_id") REFERENCES "runs"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- AddForeignKey
ALTER TABLE "blob_chunks" ADD CONSTRAINT "blob_chunks_sha256_fkey" FOREIGN KEY ("sha256") REFERENCES "blobs"("sha256") ON DELETE CASCADE ON UPDATE RESTRICT;

-- What follows is SQL that schema.prisma cannot say.

-- Facts that hold whatever the code above does.
ALTER TABLE "checkpoints"
    ADD CONSTRAINT "checkpoints_numbers" CHECK ("version" >= 0 AND "bytes" >= 0 AND "round" >= 1),
    ADD CONSTRAINT "checkpoints_sha256" CHECK ("sha256" ~ '^[0-9a-f]{64}$' AND "state_sha256" ~ '^[0-9a-f]{64}$');

ALTER TABLE "rounds"
    ADD CONSTRAINT "rounds_numbers" CHECK ("number" >= 1 AND "attempt" >= 1 AND "revision" >= 1),
    ADD CONSTRAINT "rounds_version_when_committed" CHECK (("version" IS NOT NULL) = ("phase" IN ('evaluating', 'closed'))),
    ADD CONSTRAINT "rounds_closed_at_when_over" CHECK (("closed_at" IS NOT NULL) = ("phase" IN ('closed', 'abandoned')));

ALTER TABLE "updates"
    ADD CONSTRAINT "updates_numbers" CHECK ("bytes" >= 0 AND "num_examples" >= 0 AND "num_steps" >= 0),
    ADD CONSTRAINT "updates_sha256" CHECK ("sha256" ~ '^[0-9a-f]{64}$'),
    ADD CONSTRAINT "updates_error_unless_accepted" CHECK (("status" = 'accepted') = ("error" IS NULL) AND ("error_code" IS NULL) = ("error" IS NULL)),
    ADD CONSTRAINT "updates_weight_if_accepted" CHECK ("weight" IS NULL OR "status" = 'accepted');

ALTER TABLE "ledger_events"
    ADD CONSTRAINT "ledger_events_seq" CHECK ("seq" >= 1),
    ADD CONSTRAINT "ledger_events_hashes" CHECK ("hash" ~ '^[0-9a-f]{64}$' AND "prev_hash" ~ '^[0-9a-f]{64}$');

ALTER TABLE "blobs"
    ADD CONSTRAINT "blobs_bytes" CHECK ("bytes" >= 0),
    ADD CONSTRAINT "blobs_sha256" CHECK ("sha256" ~ '^[0-9a-f]{64}$');

-- Out of line and uncompressed: floats hardly compress, and substring() of a range then reads only
-- the pages of that range.
ALTER TABLE "blob_chunks" ALTER COLUMN "data" SET STORAGE EXTERNAL;

-- Views for people with psql.
CREATE VIEW "round_summary" AS
SELECT
    r."run_id",
    runs."name" AS "run",
    r."number" AS "round",
    r."attempt",
    r."phase",
    r."base_version",
    r."version",
    count(*) FILTER (WHERE a."kind" = 'train') AS "invited",
    count(*) FILTER (WHERE a."kind" = 'train' AND a."state" = 'accepted') AS "accepted",
    count(*) FILTER (WHERE a."kind" = 'train' AND a."state" = 'rejected') AS "rejected",
    count(*) FILTER (WHERE a."kind" = 'train' AND a."state" = 'late') AS "late",
    count(*) FILTER (WHERE a."kind" = 'train' AND a."state" = 'dropped') AS "dropped",
    count(*) FILTER (WHERE a."kind" = 'evaluate' AND a."state" = 'accepted') AS "evaluations",
    r."opened_at",
    r."closed_at",
    r."reason"
FROM "rounds" r
JOIN "runs" ON runs."id" = r."run_id"
LEFT JOIN "assignments" a ON (a."run_id", a."round", a."attempt") = (r."run_id", r."number", r."attempt")
GROUP BY runs."name", r."run_id", r."number", r."attempt"
ORDER BY r."run_id", r."number", r."attempt";

CREATE VIEW "receipts" AS
SELECT
    a."run_id",
    a."round",
    a."attempt",
    a."client_id",
    a."role",
    a."state",
    u."status" AS "receipt",
    u."error_code",
    u."received_at",
    u."bytes",
    u."num_examples",
    u."num_steps",
    u."norm",
    u."sha256",
    a."id" AS "assignment_id"
FROM "assignments" a
LEFT JOIN "updates" u ON u."assignment_id" = a."id"
WHERE a."kind" = 'train'
ORDER BY a."run_id", a."round", a."attempt", a."client_id";

CREATE VIEW "round_weights" AS
SELECT
    a."run_id",
    a."round",
    a."attempt",
    r."version",
    a."client_id",
    a."role",
    u."num_examples",
    u."num_examples"::double precision
        / nullif(sum(u."num_examples") OVER (PARTITION BY a."run_id", a."round", a."attempt"), 0)::double precision AS "data_share",
    u."weight"
FROM "assignments" a
JOIN "rounds" r ON (r."run_id", r."number", r."attempt") = (a."run_id", a."round", a."attempt")
JOIN "updates" u ON u."assignment_id" = a."id"
WHERE u."status" = 'accepted' AND r."version" IS NOT NULL
ORDER BY a."run_id", a."round", a."attempt", a."client_id";

COMMENT ON VIEW "round_summary" IS 'The rounds, with the number of clients in each state.';
COMMENT ON VIEW "receipts" IS 'Who was invited to train, and the receipt of each; receipt is null where no update came.';
COMMENT ON VIEW "round_weights" IS 'The weight that each update was given, beside its share of the examples.';
COMMENT ON TABLE "tasks" IS 'What is trained: model, data contract, loss; by content.';
COMMENT ON TABLE "runs" IS 'One training of a task: a rule, its options, a seed, a number of rounds.';
COMMENT ON TABLE "clients" IS 'Participants of a run. Tokens are stored hashed.';
COMMENT ON TABLE "checkpoints" IS 'The global model after a round; version 0 is the start.';
COMMENT ON TABLE "rounds" IS 'One pass: invite, collect, aggregate, commit. Every attempt has its row.';
COMMENT ON TABLE "assignments" IS 'One client''s lease on one round: who was invited.';
COMMENT ON TABLE "updates" IS 'What was sent for an assignment: its receipt, its facts, the weight given.';
COMMENT ON TABLE "ledger_events" IS 'Append-only; each event is bound to the one before by its hash.';
COMMENT ON TABLE "blobs" IS 'Tensors by sha256, where blobs are kept in Postgres.';
COMMENT ON TABLE "blob_chunks" IS 'Pieces of blobs, 1 MiB each but the last.';
