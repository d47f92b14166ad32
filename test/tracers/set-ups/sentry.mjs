await import('@sentry/node/import');
await import('./sentry.cjs');
