import { defineConfig, type DefaultTheme } from 'vitepress';
import apiSidebar from '../api/typedoc-sidebar.json' with { type: 'json' };
import { repositoryLinks } from './repository-links.js';

/** What a page of the site is called, and where it is. */
type Page = readonly [text: string, link: string];

function section(text: string, pages: readonly Page[]): DefaultTheme.SidebarItem {
  return { text, items: pages.map(([label, link]) => ({ text: label, link })) };
}

/** The documentation: the pages of `docs/` as they are, the README, and the API reference that TypeDoc makes. */
export default defineConfig({
  title: 'nestjs-pooling',
  description: 'Connection pools for NestJS: PostgreSQL and HTTP',
  outDir: '../dist/docs',
  cacheDir: '../node_modules/.cache/vitepress',
  cleanUrls: true,
  lastUpdated: false,
  markdown: { config: repositoryLinks },
  themeConfig: {
    search: { provider: 'local' },
    outline: [2, 3],
    nav: [
      { text: 'Guide', link: '/' },
      { text: 'API', link: '/api/' },
    ],
    sidebar: [
      section('Guides', [
        ['Start', '/'],
        ['Into your project', '/getting-started'],
        ['Connecting', '/connection'],
        ['Several hosts and fail-over', '/failover'],
        ['Replicas', '/replicas'],
        ['Transactions', '/transactions'],
        ['The HTTP client', '/http-client'],
        ['HTTP libraries', '/http-libraries'],
        ['Sizing', '/sizing'],
        ['Many processes', '/fleet'],
        ['Performance', '/performance'],
        ['Other libraries on one pool', '/orms'],
        ['PgBouncer', '/pgbouncer'],
        ['Testing', '/testing'],
        ['Without Nest', '/without-nest'],
      ]),
      section('Reference', [
        ['Options', '/reference/options'],
        ['Errors', '/reference/errors'],
        ['Health', '/reference/health'],
        ['Metrics', '/reference/metrics'],
        ['Events', '/reference/events'],
        ['Shutdown', '/reference/shutdown'],
      ]),
      section('Moving here', [
        ['From pg.Pool', '/migrate/pg-pool'],
        ['From nestjs-kysely', '/migrate/nestjs-kysely'],
        ['From @nestjs/typeorm', '/migrate/typeorm'],
        ['From @nestjs/axios', '/migrate/axios'],
      ]),
      section('Operation', [
        ['Observability', '/observability'],
        ['Traces', '/tracing'],
        ['The console', '/console'],
        ['Troubleshooting', '/troubleshooting'],
      ]),
      section('Comparison', [
        ['In the place of pg.Pool', '/pg-pool-compatibility'],
        ['Parity with other pools', '/parity'],
        ['Benchmarks', '/benchmarks'],
        ['Changelog', '/changelog'],
      ]),
      section('Inside', [
        ['Architecture', '/architecture'],
        ['Decisions', '/decisions/'],
      ]),
      { text: 'API', collapsed: true, items: apiSidebar },
    ],
  },
});
