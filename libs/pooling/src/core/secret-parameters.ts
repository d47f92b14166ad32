/**
 * Parameters of a URL whose values are secrets, by the list of OpenTelemetry's conventions for `url.full`
 * (https://opentelemetry.io/docs/specs/semconv/registry/attributes/url/); case counts.
 */
export const SECRET_PARAMETERS: ReadonlySet<string> = new Set([
  'X-Amz-Signature',
  'X-Amz-Credential',
  'X-Amz-Security-Token',
  'AWSAccessKeyId',
  'Signature',
  'sig',
  'X-Goog-Signature',
]);
