import { flag, number, numbers, parseCommandLine, text, usageOf } from '../tools/command-line.mjs';
import { rejection } from '#test/support/outcomes.js';
import { run } from '#test/support/tools.js';

const PLAN = {
  usage: 'npm run try -- [options] [thing …]',
  about: 'Tries things.',
  options: {
    minutes: number('how long, in minutes', { fallback: 1.5, least: 0.5, whole: false }),
    cases: number('how many'),
    seed: number('the same again', { fallback: 4_711, shown: 'random' }),
    node: numbers('versions', { shown: 'all' }),
    url: text('address', 'where', { fallback: 'http://127.0.0.1' }),
    verbose: flag('tells more'),
  },
  names: { text: 'Things (all)', among: ['one', 'two'] },
  examples: ['npm run try -- --cases 7 one'],
} as const;

describe('a command line', () => {
  it('is known by name, with a default for everything that isn’t given', () => {
    expect(parseCommandLine(PLAN, [])).toEqual({
      values: { minutes: 1.5, cases: undefined, seed: 4_711, node: undefined, url: 'http://127.0.0.1', verbose: false },
      names: [],
    });
    expect(
      parseCommandLine(PLAN, ['--minutes', '0.5', '--cases=7', '--node', '20,24', '--url', 'x', '--verbose', 'two']),
    ).toEqual({
      values: { minutes: 0.5, cases: 7, seed: 4_711, node: [20, 24], url: 'x', verbose: true },
      names: ['two'],
    });
  });

  it.each([
    [['--minuts', '3'], /^Unknown option '--minuts'$/],
    [['--minutes'], /'--minutes <value>' argument missing/],
    [['--minutes', 'soon'], /^--minutes takes a number of at least 0.5; got soon$/],
    [['--minutes', '0'], /^--minutes takes a number of at least 0.5; got 0$/],
    [['--cases', '1.5'], /^--cases takes a whole number of at least 0; got 1.5$/],
    [['--cases', ''], /^--cases takes a whole number/],
    [['--node', '20,,24'], /^--node takes whole numbers above 0 with commas in between; got 20,,24$/],
    [['--verbose=1'], /'--verbose' does not take an argument/],
    [['three', 'one'], /^There is no three, but one, two$/],
  ])('that is wrong is refused, and says what is wrong: %j', (args, message) => {
    expect(() => parseCommandLine(PLAN, args)).toThrow(message);
  });

  it('may name nothing where there is nothing to name', () => {
    const { names: _names, ...plan } = PLAN;
    expect(() => parseCommandLine(plan, ['one'])).toThrow(/^Unexpected argument 'one'/);
  });

  it.each([[['--help']], [['-h']], [['two', '--help', '--verbose']]])('may ask for help: %j', (args) => {
    expect(parseCommandLine(PLAN, args)).toBeUndefined();
  });

  it('is told of with its options, their defaults, what may be named, and examples', () => {
    expect(usageOf(PLAN)).toBe(`npm run try -- [options] [thing …]

Tries things.

  --minutes <number>  how long, in minutes (1.5)
  --cases <number>    how many
  --seed <number>     the same again (random)
  --node <numbers>    versions (all)
  --url <address>     where (http://127.0.0.1)
  --verbose           tells more
  --help              this text

Things (all): one, two

  npm run try -- --cases 7 one
`);
  });
});

describe('the repository’s own programs', { timeout: 60_000 }, () => {
  it.each(['chaos', 'fleet', 'hostile', 'differ', 'test:projects', 'test:compat', 'load', 'release'])(
    'print what they take: npm run %s -- --help',
    async (name) => {
      const { stdout } = await run('npm', ['run', '--silent', name, '--', '--help']);
      expect(stdout).toMatch(new RegExp(`^npm run ${name} -- \\[options\\]`));
      expect(stdout).toMatch(/^ {2}--\S+.*\n {2,}[^]*--help +this text$/m);
    },
  );

  it('refuse what they don’t know by name, and print what they take', async () => {
    const error = await rejection(run('npm', ['run', '--silent', 'fleet', '--', '--process', '3']));
    expect(error).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^Unknown option '--process'\n\nnpm run fleet -- \[options\]\n/),
    });
  });
});
