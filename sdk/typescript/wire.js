// Between the client and the server: `fetch`, with a look at every answer.
//
// What the contract says about all answers is checked here once, so that no chapter has to: correlation ids, JSON
// everywhere, no null, times with milliseconds, the two forms of errors.
// @ts-check
import { endpointOf } from './endpoints.js';
import { absent, compare, including, like, listOf, optional, startingWith, text, time } from './shape.js';

/** @typedef {import('./shape.js').Difference} Difference */
/** @typedef {{ call: string, sent: string, status: number, body: any, headers: Headers }} Exchange */

/** No answer takes as long, however busy the machine. */
const PATIENCE_MS = 60_000;

export class Wire {
  /** Requests that were answered. */
  calls = 0;
  /** Endpoints that were answered with success. @type {Set<string>} */
  walked = new Set();
  /** The last answer of a token endpoint. @type {any} */
  granted = undefined;

  /** @param {(exchange: Exchange, differences: Difference[]) => void} report */
  constructor(report) {
    this.report = report;
  }

  /**
   * What the SDK is given as its `httpClient`.
   * @param {string} url
   * @param {RequestInit} [options]
   * @returns {Promise<Response>}
   */
  fetch = async (url, options = {}) => {
    const method = options.method ?? 'GET';
    const { pathname, search } = new URL(url);
    const sent = typeof options.body === 'string' ? options.body : '';
    const response = await fetch(url, { ...options, signal: AbortSignal.timeout(PATIENCE_MS) });
    const answered = await response.text();
    const exchange = {
      call: `${method} ${pathname}${search}`,
      sent,
      status: response.status,
      body: parsed(answered),
      headers: response.headers,
    };

    this.calls += 1;
    const endpoint = endpointOf(method, decodeURI(pathname), sent);
    if (endpoint && response.ok) this.walked.add(endpoint);
    if (pathname.startsWith('/oauth/') && response.ok) this.granted = exchange.body;
    const asked = new Headers(options.headers).get('x-correlation-id') ?? undefined;
    this.report(exchange, this.#manners(method, pathname, asked, exchange));
    // The body was read; the SDK gets the same text again.
    return new Response(answered === '' ? null : answered, response);
  };

  /**
   * @param {string} method
   * @param {string} path
   * @param {string | undefined} correlationId
   * @param {Exchange} exchange
   * @returns {Difference[]}
   */
  #manners(method, path, correlationId, { status, body, headers }) {
    const found = compare(
      // What the server makes up starts with the project's key.
      correlationId ?? (path.startsWith('/oauth/') ? text : startingWith(`${path.split('/')[1]}-`)),
      headers.get('x-correlation-id') ?? undefined,
      'x-correlation-id',
    );
    if (method === 'HEAD') return [...found, ...compare(undefined, body)];
    found.push(...compare('application/json; charset=utf-8', headers.get('content-type'), 'content-type'));
    found.push(...strays(body));
    if (status >= 400) found.push(...compare(problemForm(status, path), body));
    if (status === 503) found.push(...compare(like('seconds', /^\d+$/), headers.get('retry-after'), 'retry-after'));
    return found;
  }
}

/** @param {string} answered */
function parsed(answered) {
  if (answered === '') return undefined;
  try {
    return JSON.parse(answered);
  } catch {
    return answered;
  }
}

/**
 * The form of every error.
 * @param {number} status
 * @param {string} path
 */
function problemForm(status, path) {
  if (status === 405) return { statusCode: 405, message: 'Method Not Allowed' };
  if (path.endsWith('/health') && status !== 404) return { status: text };
  const ofAuth = path.startsWith('/oauth/') || status === 401 || status === 403;
  return {
    statusCode: status,
    message: text,
    errors: listOf(including({ code: text, message: text })),
    error: ofAuth ? text : absent,
    error_description: ofAuth ? optional(text) : absent,
  };
}

/**
 * Nulls, and times in another form, anywhere in a body.
 * @param {any} value
 * @param {string} [place]
 * @returns {Difference[]}
 */
function strays(value, place = 'body') {
  if (value === undefined || value === null) return [{ place, expected: 'a value', got: value }];
  if (typeof value !== 'object') return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    const inside = `${place}.${key}`;
    return key.endsWith('At') ? compare(time, inner, inside) : strays(inner, inside);
  });
}
