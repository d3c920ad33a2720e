// Who walks: builds clients of the official SDK, makes calls, and compares what comes back.
//
// What differs is noted and the chapter goes on. Only a call that fails where it must succeed ends its chapter: what
// follows builds on it.
// @ts-check
import { randomUUID } from 'node:crypto';

import { createApiBuilderFromCtpClient } from '@commercetools/platform-sdk';
import { ClientBuilder } from '@commercetools/ts-client';

import { compare } from './shape.js';
import { Wire } from './wire.js';

/** @typedef {import('@commercetools/platform-sdk').ByProjectKeyRequestBuilder} Api */
/** @typedef {{ execute(): Promise<{ statusCode?: number, body?: any, retryCount?: number }> }} Call */
/** @typedef {import('@commercetools/ts-client').TokenStore} TokenStore */
/** @typedef {{ retry?: boolean, overwrite?: boolean, correlate?: boolean }} Options */

/** Why a chapter ended early. It was noted before. */
class ChapterEnded extends Error {}

/** Remembers a client's token where the journey can see it, and change it. */
export class TokenMemory {
  /** @param {Partial<TokenStore>} [start] */
  constructor(start = {}) {
    /** @type {TokenStore} */
    this.store = { token: '', expirationTime: -1, ...start };
  }

  get = async () => this.store;

  /** @param {TokenStore} store */
  set = async (store) => {
    this.store = store;
  };
}

export class Traveller {
  /** What was found, for people, until somebody prints it. @type {string[]} */
  found = [];
  /** How many differences that were. */
  differences = 0;
  /** Where the journey is. */
  chapter = '';
  /** So that a second journey on the same server meets other customers. */
  run = randomUUID().slice(0, 8);

  /** @param {{ url: string, projectKey: string, clientId: string, clientSecret: string }} server */
  constructor(server) {
    this.url = server.url;
    this.projectKey = server.projectKey;
    this.credentials = { clientId: server.clientId, clientSecret: server.clientSecret };
    this.wire = new Wire((exchange, differences) => {
      this.last = exchange;
      this.#note(differences);
    });
    /** May do everything. It fetches its token from a URL with a slash at its end: the SDK strips it. */
    this.admin = this.api(this.#ofClient([`manage_project:${this.projectKey}`], `${this.url}/`), { correlate: true });
  }

  /** An address that no other run uses. @param {string} name */
  email(name) {
    return `${name}.${this.run}@Example.com`;
  }

  /** A key that no other run uses. @param {string} name */
  key(name) {
    return `${name}-${this.run}`;
  }

  /** A scope of the project. @param {string} name @param {string} [store] */
  scope(name, store) {
    return [name, this.projectKey, store].filter((part) => part !== undefined).join(':');
  }

  // Clients.

  /** An API client's own token. @param {string[]} [scopes] @param {Partial<Options>} [options] */
  client(scopes, options) {
    return this.api(this.#ofClient(scopes, this.url), options);
  }

  /**
   * A customer's token.
   * @param {string} username
   * @param {string} password
   * @param {{ scopes: string[], oauthUri?: string, memory?: TokenMemory }} how
   */
  customer(username, password, { scopes, oauthUri, memory = new TokenMemory() }) {
    const credentials = { ...this.credentials, user: { username, password } };
    return this.api(
      new ClientBuilder().withPasswordFlow({ ...this.#auth(), credentials, scopes, oauthUri, tokenCache: memory }),
    );
  }

  /** A visitor's token. @param {{ anonymousId?: string, scopes: string[] }} how */
  visitor({ anonymousId, scopes }) {
    const credentials = { ...this.credentials, anonymousId };
    return this.api(new ClientBuilder().withAnonymousSessionFlow({ ...this.#auth(), credentials, scopes }));
  }

  /** A token by a refresh token. @param {string} refreshToken */
  refreshed(refreshToken) {
    return this.api(
      new ClientBuilder().withRefreshTokenFlow({ ...this.#auth(), credentials: this.credentials, refreshToken }),
    );
  }

  /** A token that somebody else fetched. @param {string} token */
  bearer(token) {
    return this.api(new ClientBuilder().withExistingTokenFlow(`Bearer ${token}`, { force: true }));
  }

  /** @param {string[] | undefined} scopes @param {string} host */
  #ofClient(scopes, host) {
    return new ClientBuilder().withClientCredentialsFlow({
      ...this.#auth(),
      host,
      credentials: this.credentials,
      scopes,
    });
  }

  #auth() {
    return { host: this.url, projectKey: this.projectKey, httpClient: this.wire.fetch };
  }

  /**
   * The SDK's own client, for what goes beyond single calls.
   * @param {ClientBuilder} builder
   * @param {Options} [options]
   */
  built(builder, { retry = false, overwrite = false, correlate = false } = {}) {
    const retryConfig = { maxRetries: 100, retryDelay: 25, backoff: false };
    builder.withHttpMiddleware({ host: this.url, httpClient: this.wire.fetch, enableRetry: retry, retryConfig });
    if (overwrite) builder.withConcurrentModificationMiddleware();
    if (correlate) builder.withCorrelationIdMiddleware({ generate: () => `journey-${randomUUID()}` });
    return builder.build();
  }

  /** @param {ClientBuilder} builder @param {Options} [options] @returns {Api} */
  api(builder, options) {
    return createApiBuilderFromCtpClient(this.built(builder, options)).withProjectKey({ projectKey: this.projectKey });
  }

  /** A client to page with: `process()` takes the options of whichever client was built last in the process. */
  pager() {
    return this.built(this.#ofClient([`manage_project:${this.projectKey}`], this.url));
  }

  // Calls.

  /**
   * The call succeeds with this body.
   * @param {Call} call
   * @param {any} shape
   * @param {number} [status]
   * @returns {Promise<any>}
   */
  async answer(call, shape, status = 200) {
    const response = await this.#settled(call);
    if (response.error) this.#end(`success (${status})`, failure(response.error));
    // HEAD has no body: the SDK makes it null.
    this.#note([...compare(status, response.statusCode, 'status'), ...compare(shape, response.body ?? undefined)]);
    return response.body;
  }

  /** A HEAD request that finds something. @param {Call} call */
  async found200(call) {
    await this.answer(call, undefined);
  }

  /** A HEAD request that finds nothing. @param {Call} call */
  async found404(call) {
    await this.refusal(call, { statusCode: 404 });
  }

  /**
   * The call fails with this body: as the SDK's error has it, whose message is the body's (but for 404, which it words
   * itself).
   * @param {Call} call
   * @param {{ statusCode: number, [key: string]: any }} problem with all keys, or an `including` of it
   */
  async refusal(call, problem) {
    const { error, body, statusCode } = await this.#settled(call);
    if (!error) return this.#note([{ place: 'outcome', expected: problem, got: { statusCode, body } }]);
    const other = compare(problem.statusCode, error.statusCode);
    if (this.last?.call.startsWith('HEAD ')) return this.#note(other);
    // Another refusal differs in everything: told whole, once. Without a body it broke below HTTP.
    if (other.length > 0 || !error.body)
      return this.#note([{ place: 'refusal', expected: problem, got: failure(error) }]);
    const message = error.statusCode === 404 ? error.message : error.body.message;
    this.#note([...compare(problem, error.body), ...compare(message, error.message, "the SDK error's message")]);
  }

  /**
   * The SDK cannot get a token. It builds its error of the token endpoint's body.
   * @param {Call} call
   * @param {{ statusCode: number, message: string, error: string, errors: any[] }} problem
   */
  async noToken(call, { statusCode, message, error: code, errors }) {
    const { error, statusCode: got } = await this.#settled(call);
    if (!error) return this.#note([{ place: 'outcome', expected: `no token: ${code}`, got }]);
    const said = { statusCode: error.statusCode, message: error.message, code: error.code, errors: error.error };
    this.#note(compare({ statusCode, message, code, errors }, said, 'the SDK error'));
  }

  /**
   * A request that the SDK has no words for.
   * @param {string} method
   * @param {string} path
   * @param {{ form?: Record<string, string>, headers?: Record<string, string>, body?: string }} [what] a form goes with
   * the client's own credentials
   * @returns {Call} that fails as the SDK's calls do
   */
  raw(method, path, { form, headers, body } = {}) {
    const { clientId, clientSecret } = this.credentials;
    const ofForms = {
      'content-type': 'application/x-www-form-urlencoded',
      authorization: `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`,
    };
    const options = form
      ? { method, headers: { ...ofForms, ...headers }, body: new URLSearchParams(form).toString() }
      : { method, headers, body };
    return {
      execute: async () => {
        const response = await this.wire.fetch(this.url + path, options);
        const answered = this.last?.body;
        if (!response.ok) throw { statusCode: response.status, body: answered, message: answered?.message };
        return { statusCode: response.status, body: answered };
      },
    };
  }

  // What was found.

  /**
   * A value that is no answer.
   * @param {any} shape
   * @param {any} value
   * @param {string} what
   */
  expect(shape, value, what) {
    this.#note(compare(shape, value, what));
  }

  /** A chapter broke. @param {unknown} thrown */
  broke(thrown) {
    if (thrown instanceof ChapterEnded) return;
    const got = thrown instanceof Error ? thrown.stack : thrown;
    this.#note([{ place: 'the chapter; it ends here', expected: 'no exception', got }]);
  }

  /** @param {import('./shape.js').Difference[]} differences of the last call */
  #note(differences) {
    if (differences.length === 0) return;
    const { call = 'no call yet', sent = '', status = '' } = this.last ?? {};
    this.found.push(`${this.chapter}: ${call}`);
    if (sent) this.found.push(`  sent      ${sent}`);
    this.found.push(`  answered  ${status}`);
    for (const { place, expected, got } of differences) {
      this.differences += 1;
      this.found.push(`  differs   ${place}`, `    expected  ${shown(expected)}`, `    got       ${shown(got)}`);
    }
  }

  /** @param {unknown} expected @param {unknown} got @returns {never} */
  #end(expected, got) {
    this.#note([{ place: 'outcome; the chapter ends here', expected, got }]);
    throw new ChapterEnded();
  }

  /** @param {Call} call @returns {Promise<{ error?: any, body?: any, statusCode?: number }>} */
  async #settled(call) {
    try {
      return await call.execute();
    } catch (thrown) {
      // What breaks below HTTP comes wrapped.
      const error = /** @type {any} */ (thrown)?.error instanceof Error ? /** @type {any} */ (thrown).error : thrown;
      return { error };
    }
  }
}

/** @param {any} error */
function failure(error) {
  return error.body?.statusCode
    ? error.body
    : { statusCode: error.statusCode, code: error.code, message: error.message };
}

/** @param {unknown} value */
function shown(value) {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? 'nothing');
}
