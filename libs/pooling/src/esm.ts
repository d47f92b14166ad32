import './kysely-import.js';

export * from './index.js';
