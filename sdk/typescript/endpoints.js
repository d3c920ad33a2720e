// Every endpoint that the journey must walk, in the contract's notation. The journey fails when one of them was never
// answered with success.
// @ts-check

/** What exists globally and once more inside of a store. */
const OF_CUSTOMERS = [
  'GET /customers',
  'HEAD /customers',
  'POST /customers',
  'GET /customers/{id}',
  'HEAD /customers/{id}',
  'POST /customers/{id}',
  'DELETE /customers/{id}',
  'GET /customers/key={key}',
  'HEAD /customers/key={key}',
  'POST /customers/key={key}',
  'DELETE /customers/key={key}',
  'GET /customers/password-token={value}',
  'GET /customers/email-token={value}',
  'POST /customers/password-token',
  'POST /customers/password/reset',
  'POST /customers/password',
  'POST /customers/email-token',
  'POST /customers/email/confirm',
  'POST /login',
  'GET /me',
  'POST /me',
  'DELETE /me',
  'POST /me/password',
  'POST /me/password/reset',
  'POST /me/email/confirm',
  'POST /me/signup',
  'POST /me/login',
];

/** @param {string} prefix @param {string} endpoint */
const below = (prefix, endpoint) => endpoint.replace(' ', ` ${prefix}`);

export const ENDPOINTS = [
  'POST /oauth/token client_credentials',
  'POST /oauth/token refresh_token',
  'POST /oauth/{P}/customers/token',
  'POST /oauth/{P}/in-store/key={S}/customers/token',
  'POST /oauth/{P}/anonymous/token',
  'POST /oauth/introspect',
  'POST /oauth/token/revoke',
  ...OF_CUSTOMERS.map((endpoint) => below('/{P}', endpoint)),
  ...OF_CUSTOMERS.map((endpoint) => below('/{P}/in-store/key={S}', endpoint)),
  'GET /{P}',
  'HEAD /{P}',
  'POST /{P}',
  'GET /{P}/stores',
  'HEAD /{P}/stores',
  'POST /{P}/stores',
  'GET /{P}/stores/{id}',
  'GET /{P}/stores/key={key}',
  'GET /{P}/messages',
  'HEAD /{P}/messages',
  'GET /{P}/messages/{id}',
  'HEAD /{P}/messages/{id}',
  'GET /{P}/subscriptions',
  'HEAD /{P}/subscriptions',
  'POST /{P}/subscriptions',
  'GET /{P}/subscriptions/{id}',
  'HEAD /{P}/subscriptions/{id}',
  'POST /{P}/subscriptions/{id}',
  'DELETE /{P}/subscriptions/{id}',
  'GET /{P}/subscriptions/key={key}',
  'HEAD /{P}/subscriptions/key={key}',
  'POST /{P}/subscriptions/key={key}',
  'DELETE /{P}/subscriptions/key={key}',
  'GET /{P}/subscriptions/{id}/health',
];

/** A path as the patterns above have it. */
const PATTERNS = new Map(
  ENDPOINTS.map((endpoint) => {
    const path = endpoint.split(' ')[1] ?? '';
    const source = path.replaceAll(/\{\w+\}/g, (name) => (name === '{id}' ? '[0-9a-f-]{36}' : '[^/=]+'));
    return [path, new RegExp(`^${source}$`)];
  }),
);

/**
 * The endpoint that a request went to, if it is one of the list.
 * @param {string} method
 * @param {string} path
 * @param {string} body
 */
export function endpointOf(method, path, body) {
  const grant = path === '/oauth/token' ? ` ${new URLSearchParams(body).get('grant_type')}` : '';
  for (const [pattern, expression] of PATTERNS) {
    const endpoint = `${method} ${pattern}${grant}`;
    if (expression.test(path) && ENDPOINTS.includes(endpoint)) return endpoint;
  }
  return undefined;
}
