/** The texts of a connection's first packet and of its settings. */
interface StartupOptions {
  readonly applicationName: string;
  readonly target: { readonly user: string; readonly database: string };
  readonly session: Readonly<Record<string, unknown>>;
  readonly clientConfig: object;
}

/** Fields of `pg.ClientConfig` that pg writes into that packet. */
const WRITTEN = ['options', 'replication', 'fallback_application_name', 'client_encoding'] as const;

/**
 * What is wrong with the texts that a connection begins with. A zero byte ends a text there, and the server would read the rest
 * as further parameters. Values aren't shown: they may be secret.
 */
export function startupProblems({ applicationName, target, session, clientConfig }: StartupOptions): string[] {
  const problems: string[] = [];
  const check = (path: string, value: unknown): void => {
    if (typeof value === 'string' && value.includes('\0')) {
      problems.push(`${path}: a text with a zero byte is not allowed; it would end there for the server`);
    }
  };
  check('applicationName', applicationName);
  check('connection.user', target.user);
  check('connection.database', target.database);
  const config = clientConfig as Record<string, unknown>;
  for (const field of WRITTEN) check(`connection.${field}`, config[field]);
  const { options } = config;
  if (options !== undefined && options !== null && typeof options !== 'string') {
    problems.push(`connection.options: a ${typeof options} is not allowed; a text`);
  }
  for (const [setting, value] of Object.entries(session)) {
    check(setting.includes('\0') ? 'session' : `session.${setting}`, setting.includes('\0') ? setting : value);
  }
  return problems;
}
