-- CreateEnum
CREATE TYPE "client_state" AS ENUM ('pending', 'approved', 'revoked');

-- CreateEnum
CREATE TYPE "operator_role" AS ENUM ('viewer', 'operator', 'admin');

-- AlterEnum
ALTER TYPE "run_status" ADD VALUE 'paused';

-- AlterTable
ALTER TABLE "checkpoints" ADD COLUMN     "collected" BOOLEAN NOT NULL DEFAULT false;

-- AlterTable
ALTER TABLE "clients" ADD COLUMN     "state" "client_state" NOT NULL DEFAULT 'approved',
ADD COLUMN     "token_expires_at" TIMESTAMPTZ(3);

-- AlterTable
ALTER TABLE "ledger_events" ADD COLUMN     "key_id" TEXT,
ADD COLUMN     "signature" TEXT;

-- AlterTable
ALTER TABLE "rounds" ADD COLUMN     "wanted" INTEGER;

-- AlterTable
ALTER TABLE "updates" ADD COLUMN     "flags" JSONB NOT NULL DEFAULT '[]';

-- CreateTable
CREATE TABLE "coordinator_events" (
    "seq" INTEGER NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL,
    "type" TEXT NOT NULL,
    "body" JSONB NOT NULL,
    "prev_hash" TEXT NOT NULL,
    "hash" TEXT NOT NULL,
    "signature" TEXT,
    "key_id" TEXT,

    CONSTRAINT "coordinator_events_pkey" PRIMARY KEY ("seq")
);

-- CreateTable
CREATE TABLE "operators" (
    "name" TEXT NOT NULL,
    "role" "operator_role" NOT NULL,
    "token_hash" TEXT NOT NULL,
    "token_expires_at" TIMESTAMPTZ(3),
    "revoked" BOOLEAN NOT NULL DEFAULT false,
    "created_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "operators_pkey" PRIMARY KEY ("name")
);

-- CreateTable
CREATE TABLE "leadership" (
    "name" TEXT NOT NULL,
    "holder" TEXT NOT NULL,
    "epoch" BIGINT NOT NULL,
    "url" TEXT,
    "backend_pid" INTEGER NOT NULL,
    "backend_start" TIMESTAMPTZ(6) NOT NULL,
    "expires_at" TIMESTAMPTZ(6) NOT NULL,

    CONSTRAINT "leadership_pkey" PRIMARY KEY ("name")
);

-- CreateIndex
CREATE UNIQUE INDEX "operators_token_hash_key" ON "operators"("token_hash");

-- CreateIndex
CREATE INDEX "checkpoints_sha256_idx" ON "checkpoints"("sha256");

-- CreateIndex
CREATE INDEX "checkpoints_state_sha256_idx" ON "checkpoints"("state_sha256");

-- CreateIndex
CREATE INDEX "checkpoints_broadcast_sha256_idx" ON "checkpoints"("broadcast_sha256");

-- CreateIndex
CREATE INDEX "checkpoints_run_id_collected_version_idx" ON "checkpoints"("run_id", "collected", "version");

-- CreateIndex
CREATE INDEX "updates_sha256_idx" ON "updates"("sha256");

-- What Prisma cannot say.
ALTER TABLE "rounds"
    ADD CONSTRAINT "rounds_wanted" CHECK ("wanted" >= 1);

ALTER TABLE "coordinator_events"
    ADD CONSTRAINT "coordinator_events_seq" CHECK ("seq" >= 1),
    ADD CONSTRAINT "coordinator_events_hashes" CHECK ("hash" ~ '^[0-9a-f]{64}$' AND "prev_hash" ~ '^[0-9a-f]{64}$');

ALTER TABLE "leadership"
    ADD CONSTRAINT "leadership_epoch" CHECK ("epoch" >= 1);

COMMENT ON TABLE "coordinator_events" IS 'Append-only, as ledger_events, of the coordinator itself: operators, leaders.';
COMMENT ON TABLE "operators" IS 'Who may use the operators'' side. Tokens are stored hashed.';
COMMENT ON TABLE "leadership" IS 'Which coordinator leads. A commit of an older epoch is refused.';
COMMENT ON COLUMN "rounds"."wanted" IS 'Updates that the collection waits for; more clients may have been invited.';
COMMENT ON COLUMN "updates"."flags" IS 'What is odd about the update, in words; it counted all the same.';
