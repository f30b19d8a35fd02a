import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['{api,bench,chaos,db,docs,outbound,queues,scripts,testing,workers}/**/*.test.ts'],
    globalSetup: ['testing/global-setup.ts'],
    testTimeout: 30_000,
    hookTimeout: 30_000,
    expect: { poll: { timeout: 15_000 } },
    maxWorkers: 3,
    coverage: {
      provider: 'v8',
      reporter: ['text-summary', 'html'],
      include: ['{api,db,outbound,queues,workers}/**/*.ts'],
      exclude: ['**/*.test.ts', '**/main.ts', '**/*.config.ts', 'db/schema/**'],
      thresholds: { lines: 80, functions: 80, statements: 80, branches: 80 },
    },
  },
})
