import type { MarkdownRenderer } from 'vitepress';

type StateCore = Parameters<Parameters<MarkdownRenderer['core']['ruler']['push']>[1]>[0];
type Token = StateCore['tokens'][number];

/** What the repository has and the site hasn't: sources, tests, rules. */
const OUTSIDE = /^(?:\.\/)?(?:\.\.\/)*(?:test|libs|apps|ops|tools|LICENSE|CONTRIBUTING\.md)\b/;
/** The README and the changelog stand above the pages: what they lead to begins with the pages' folder. */
const MOVED: readonly (readonly [from: RegExp, to: string])[] = [
  [/^(?:\.\/)?docs\//, './'],
  [/^(?:\.\/)?(?:\.\.\/)*README\.md/, './index.md'],
  [/^(?:\.\/)?(?:\.\.\/)?CHANGELOG\.md/, './changelog.md'],
];

function onTheSite(target: string): string {
  return MOVED.reduce((path, [from, to]) => path.replace(from, to), target);
}

function isHidden(token: Token): boolean {
  return OUTSIDE.test(token.attrGet('href') ?? '');
}

/** Leaves the text of links that lead out of the site, and corrects those of the README. */
function adapt(tokens: Token[]): Token[] {
  let outside = false;
  return tokens.filter((token) => {
    for (const name of ['href', 'src']) {
      const target = token.attrGet(name);
      if (target !== null) token.attrSet(name, onTheSite(target));
    }
    if (token.type === 'link_open') {
      outside = isHidden(token);
      return !outside;
    }
    return token.type !== 'link_close' || !outside;
  });
}

/** Pages are written for whoever reads them in the repository; this makes them right on the site. */
export function repositoryLinks(markdown: MarkdownRenderer): void {
  markdown.core.ruler.push('repository-links', (state) => {
    for (const token of state.tokens) {
      if (token.children !== null) token.children = adapt(token.children);
      if (token.type === 'html_block')
        token.content = token.content.replaceAll(/(src|href)="(?:\.\/)?docs\//g, '$1="./');
    }
  });
}
