-- AlterTable
ALTER TABLE "checkpoints" ADD COLUMN     "broadcast_bytes" BIGINT,
ADD COLUMN     "broadcast_sha256" TEXT;

-- What follows is SQL that schema.prisma cannot say.

ALTER TABLE "checkpoints"
    ADD CONSTRAINT "checkpoints_broadcast" CHECK (("broadcast_sha256" IS NULL) = ("broadcast_bytes" IS NULL) AND "broadcast_sha256" ~ '^[0-9a-f]{64}$' AND "broadcast_bytes" >= 0);

COMMENT ON COLUMN "checkpoints"."broadcast_sha256" IS 'Blob with the vectors that the rule sends down with the model; null if none.';
