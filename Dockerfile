# The coordinator. Build: docker build -t tributary . Run it with docker-compose.yml beside this file.
FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
# prepare builds, and needs the sources, which come next
RUN npm ci --ignore-scripts
COPY . .
RUN npm run build && npm prune --omit=dev --ignore-scripts

FROM node:22-bookworm-slim
ENV NODE_ENV=production \
    TRIBUTARY_HOST=0.0.0.0 \
    TRIBUTARY_PORT=8080 \
    TRIBUTARY_DATA_DIR=/data
WORKDIR /app
COPY --from=build --chown=node:node /app /app
RUN mkdir /data && chown node:node /data
USER node
VOLUME /data
EXPOSE 8080
# That the process lives: one that stands by, or waits for its database, must not be restarted for it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=5 \
  CMD ["node", "-e", "process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'; fetch((process.env.TRIBUTARY_TLS_CERT ? 'https' : 'http') + '://127.0.0.1:' + process.env.TRIBUTARY_PORT + '/healthz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "bin/tributary.js", "serve"]
