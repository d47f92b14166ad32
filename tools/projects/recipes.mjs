// The projects: how each one is made, how the library comes into it, and what is run.
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { GRAPHQL_PACKAGES, graphqlSources, withOrders } from './graphql.mjs';
import { runApplication } from './running.mjs';
import { sourcesFor, withItems } from './sources.mjs';

const NPM_QUIET = ['--no-audit', '--no-fund', '--loglevel=error'];

/** What Nest's packages ask for if it is there: a bundle for one application has none of it. */
const NEST_OPTIONAL = [
  '@fastify/static',
  '@fastify/view',
  '@mikro-orm/core',
  '@nestjs/microservices',
  '@nestjs/mongoose',
  '@nestjs/platform-fastify',
  '@nestjs/platform-socket.io',
  '@nestjs/sequelize/dist/common/sequelize.utils',
  '@nestjs/typeorm/dist/common/typeorm.utils',
  '@nestjs/websockets',
  'class-transformer',
  'class-validator',
];

function editJson(path, edit) {
  // Nest's own files have no comments.
  const content = JSON.parse(readFileSync(path, 'utf8'));
  edit(content);
  writeFileSync(path, `${JSON.stringify(content, null, 2)}\n`);
}

function writeFiles(folder, files) {
  for (const [file, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), content);
  }
}

function writeSources(folder, options) {
  writeFiles(folder, sourcesFor(options));
  const root = join(folder, options.source ?? 'src', 'app.module.ts');
  writeFileSync(root, withItems(readFileSync(root, 'utf8'), options));
}

function writeGraphql(folder, options) {
  writeFiles(folder, graphqlSources(options));
  const root = join(folder, 'src/app.module.ts');
  writeFileSync(root, withOrders(readFileSync(root, 'utf8'), options));
}

/** Nest's default project, as its own command line makes it. */
function newProject({ shell, scratch, nest }) {
  const folder = join(scratch, 'app');
  const parameters = ['new', 'app', '--skip-git', '--skip-install', '--package-manager', 'npm'];
  if (nest >= 12) parameters.push('--no-observe');
  shell.run('npx', ['--yes', `@nestjs/cli@${nest}`, ...parameters]);
  editJson(join(folder, 'tsconfig.json'), ({ compilerOptions }) => {
    compilerOptions.skipLibCheck = false;
  });
  return folder;
}

/** The package managers: how packages come, and how a script or program is run. */
const MANAGERS = {
  npm: {
    install: (project) => project.shell.in(project.folder).run('npm', ['install', ...NPM_QUIET]),
    add: (project, packages) => {
      project.shell.in(project.folder).run('npm', ['install', '--save-dev', ...NPM_QUIET, ...packages]);
    },
    script: (name) => ['npm', ['run', name]],
    program: (name, ...rest) => ['npx', ['--no-install', name, ...rest]],
    node: (...rest) => ['node', rest],
  },
  pnpm: {
    install(project) {
      // Nest's command line and its schematics call `pnpm`. Where CI is set, pnpm takes a lock file as the last word.
      provide(project, 'pnpm', 'pnpm@10');
      project.env.npm_config_frozen_lockfile = 'false';
      project.shell.in(project.folder).run('pnpm', ['install']);
    },
    add: (project, packages) => project.shell.in(project.folder).run('pnpm', ['add', '--save-dev', ...packages]),
    own: ({ nest }) => (nest < 12 ? 'pnpm' : undefined),
    script: (name) => ['pnpm', ['run', name]],
    program: (name, ...rest) => ['pnpm', ['exec', name, ...rest]],
    node: (...rest) => ['node', rest],
  },
  yarn: {
    install(project) {
      const { folder } = project;
      // Without what Yarn keeps of other runs: the library has the same version in each, and other content.
      const settings = ['nodeLinker: pnp', 'enableTelemetry: false', 'enableGlobalCache: false', 'enableMirror: false'];
      writeFileSync(join(folder, '.yarnrc.yml'), settings.map((line) => `${line}\n`).join(''));
      // A project of its own, though a folder above it may be one as well.
      writeFileSync(join(folder, 'yarn.lock'), '');
      provide(project, 'yarn', '@yarnpkg/cli-dist@4');
      // Yarn has settings of its own: it gets npm's, whichever they are on this machine.
      const authority = project.shell.in(folder).run('npm', ['config', 'get', 'cafile']).trim();
      if (authority !== 'null') project.env.YARN_HTTPS_CA_FILE_PATH = authority;
      project.env.YARN_NPM_REGISTRY_SERVER = project.env.npm_config_registry;
      project.env.YARN_UNSAFE_HTTP_WHITELIST = '127.0.0.1';
      project.env.YARN_ENABLE_IMMUTABLE_INSTALLS = 'false';
      project.shell.in(folder).run('yarn', ['install']);
    },
    add: (project, packages) => project.shell.in(project.folder).run('yarn', ['add', '--dev', ...packages]),
    // Under PnP the command line doesn't find a package that it has only just installed.
    own: () => 'yarn',
    script: (name) => ['yarn', ['run', name]],
    program: (name, ...rest) => ['yarn', ['run', name, ...rest]],
    // Without Yarn's own process between us and it: signals are for the application.
    node: (...rest) => ['node', ['-r', './.pnp.cjs', ...rest]],
  },
};

/** Puts a package manager where programs are looked for. */
function provide(project, name, specifier) {
  const folder = join(project.scratch, 'manager');
  mkdirSync(folder);
  project.shell.in(folder).run('npm', ['install', '--no-save', '--no-package-lock', ...NPM_QUIET, specifier]);
  project.env.PATH = `${join(folder, 'node_modules/.bin')}${delimiter}${project.env.PATH}`;
  project.say(`  ${name} ${project.shell.in(project.scratch).run(name, ['--version']).trim()}`);
}

/**
 * The library, and a client of another service, as Nest's own command line adds them. Nest 11's goes on at the first line
 * that a package manager prints, and only npm prints nothing before its end: the others install by themselves.
 */
function addLibrary(project, ...options) {
  const shell = project.shell.in(project.folder);
  const nest = (...rest) => shell.run(...project.manager.program('nest', ...rest));
  const own = project.manager.own?.(project);
  if (own === undefined) nest('add', 'nestjs-pooling', '--console', ...options);
  else {
    shell.run(own, ['add', 'nestjs-pooling']);
    nest('add', 'nestjs-pooling', '--console', '--skip-install', ...options);
    shell.run(own, ['install']);
  }
  nest('generate', '--collection', 'nestjs-pooling', ...options, 'http-client', 'carrier');
}

/** A runner that can't end by itself says so, and waits. */
const HANGS = { timeoutMs: 120_000, forbid: /did not exit one second after|open handle/i };

function test(project) {
  const shell = project.shell.in(project.folder);
  for (const script of ['test', 'test:e2e']) shell.run(...project.manager.script(script), HANGS);
}

async function start(project, main = 'dist/main.js') {
  const [program, parameters] = project.manager.node('--enable-source-maps', main);
  await runApplication(program, parameters, { cwd: project.folder, env: project.env });
  project.say(`  node ${main}: answers and ends`);
}

function build(project, ...parameters) {
  const shell = project.shell.in(project.folder);
  if (parameters.length === 0) shell.run(...project.manager.script('build'));
  else shell.run(...project.manager.program('nest', 'build', ...parameters));
}

/** Made, built, tested and run as the template has it. */
function plain({ nest, manager = 'npm', extra = [], prepare = () => {}, write = () => {} }) {
  return {
    nest,
    manager: MANAGERS[manager],
    async run(project) {
      project.folder = newProject(project);
      prepare(project);
      project.manager.install(project);
      if (extra.length > 0) project.manager.add(project, extra);
      addLibrary(project);
      writeSources(project.folder, { esm: nest >= 12 });
      write(project.folder, { esm: nest >= 12 });
      build(project);
      test(project);
      await start(project);
    },
  };
}

/** The types of `@nestjs/apollo` and `@nestjs/graphql` name packages that nobody has to have. */
function skipTypesOfOthers({ folder }) {
  editJson(join(folder, 'tsconfig.json'), ({ compilerOptions }) => {
    compilerOptions.skipLibCheck = true;
  });
}

function graphql(nest) {
  return plain({ nest, extra: GRAPHQL_PACKAGES[nest], prepare: skipTypesOfOthers, write: writeGraphql });
}

function useSwc({ folder }) {
  editJson(join(folder, 'nest-cli.json'), ({ compilerOptions }) => {
    Object.assign(compilerOptions, { builder: 'swc', typeCheck: true });
  });
}

const webpackMonorepo = {
  nest: 11,
  manager: MANAGERS.npm,
  async run(project) {
    project.folder = newProject(project);
    project.manager.install(project);
    project.shell.in(project.folder).run('npx', ['--no-install', 'nest', 'generate', 'app', 'second']);
    const { projects, compilerOptions } = JSON.parse(readFileSync(join(project.folder, 'nest-cli.json'), 'utf8'));
    if (compilerOptions?.webpack !== true || projects.app === undefined) throw new Error('not webpack’s monorepo mode');
    addLibrary(project, '--project', 'app');
    writeSources(project.folder, { esm: false, source: 'apps/app/src', tests: 'apps/app/test' });
    build(project, 'app');
    test(project);
    await start(project, 'dist/apps/app/main.js');
  },
};

/** The bundlers: one file for the whole application, whose format is the project's. */
const BUNDLERS = {
  esbuild: {
    packages: ['esbuild'],
    bundle(shell, program, { esm, entry, file }) {
      const banner =
        "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);";
      const format = esm ? ['--format=esm', `--banner:js=${banner}`] : ['--format=cjs'];
      const external = NEST_OPTIONAL.map((name) => `--external:${name}`);
      shell.run(
        ...program('esbuild', entry, '--bundle', '--platform=node', ...format, ...external, `--outfile=${file}`),
      );
    },
  },
  rolldown: {
    packages: ['rolldown'],
    bundle(shell, program, { esm, entry, file }) {
      const external = NEST_OPTIONAL.flatMap((name) => ['--external', name]);
      const format = ['--platform', 'node', '--format', esm ? 'esm' : 'cjs', '--no-codeSplitting'];
      shell.run(...program('rolldown', entry, ...format, ...external, '--file', file));
    },
  },
};

function bundled(nest, name) {
  const { packages, bundle } = BUNDLERS[name];
  const esm = nest >= 12;
  return {
    nest,
    manager: MANAGERS.npm,
    async run(project) {
      project.folder = newProject(project);
      project.manager.install(project);
      project.manager.add(project, packages);
      addLibrary(project);
      writeSources(project.folder, { esm });
      build(project);
      const file = `bundle/main.${esm ? 'mjs' : 'cjs'}`;
      bundle(project.shell.in(project.folder), project.manager.program, { esm, entry: 'dist/main.js', file });
      // Nothing but this one file is there when it runs.
      const alone = join(project.scratch, 'alone');
      mkdirSync(alone);
      cpSync(join(project.folder, file), join(alone, `main.${esm ? 'mjs' : 'cjs'}`));
      rmSync(project.folder, { recursive: true });
      if (existsSync(join(project.scratch, 'node_modules'))) throw new Error('not alone');
      await start({ ...project, folder: alone }, `main.${esm ? 'mjs' : 'cjs'}`);
    },
  };
}

export const RECIPES = {
  'nest-11': plain({ nest: 11 }),
  'nest-12': plain({ nest: 12 }),
  'nest-11-swc': plain({ nest: 11, extra: ['@swc/cli', '@swc/core'], prepare: useSwc }),
  'nest-11-webpack-monorepo': webpackMonorepo,
  'nest-11-esbuild': bundled(11, 'esbuild'),
  'nest-12-esbuild': bundled(12, 'esbuild'),
  'nest-11-rolldown': bundled(11, 'rolldown'),
  'nest-12-rolldown': bundled(12, 'rolldown'),
  'nest-11-graphql': graphql(11),
  'nest-12-graphql': graphql(12),
  'nest-11-pnpm': plain({ nest: 11, manager: 'pnpm' }),
  'nest-12-pnpm': plain({ nest: 12, manager: 'pnpm' }),
  // ts-jest requires jest-util without saying so.
  'nest-11-yarn-pnp': plain({ nest: 11, manager: 'yarn', extra: ['jest-util'] }),
};

/** Those that every change is tried with. */
export const SHORT = ['nest-11', 'nest-12'];
