// OAuth: every flow of the SDK, what it has no words for (introspect, revoke), and who is refused.
// @ts-check
import { randomUUID } from 'node:crypto';

import {
  authProblem,
  by,
  customerToken,
  deadToken,
  granted,
  insufficientScope,
  invalidGrant,
  noSuchAccount,
} from '../contract.js';
import { storeKeyOf } from '../places.js';
import { a, including, like, startingWith, text } from '../shape.js';
import { TokenMemory, Traveller } from '../traveller.js';

/** @typedef {import('../traveller.js').Traveller} T */

const PASSWORD = 'pass & word';
const EXPIRED = { expirationTime: Date.now() - 1 };

/** @param {T} t */
export async function clientCredentials(t) {
  const scopes = [t.scope('view_messages'), t.scope('view_customers')];
  const narrow = t.client(scopes);
  await t.answer(narrow.customers().get({ queryArgs: { limit: 0 } }), including({ limit: 0, results: [] }));
  t.expect(granted(scopes.join(' ')), t.wire.granted, 'token answer');
  await t.answer(narrow.messages().get({ queryArgs: { limit: 0 } }), including({ limit: 0 }));
  await t.refusal(
    narrow.customers().post({ body: { email: t.email('nobody'), password: PASSWORD } }),
    insufficientScope('manage_customers'),
  );
  await t.refusal(narrow.subscriptions().get(), insufficientScope('manage_subscriptions'));

  // Without a scope: all that the client may.
  await t.answer(
    t
      .client()
      .customers()
      .get({ queryArgs: { limit: 0 } }),
    including({ limit: 0 }),
  );
  t.expect(granted(startingWith(t.scope('manage_project'))), t.wire.granted, 'token answer');

  const unknownScope = authProblem(400, 'invalid_scope', 'Malformed parameter: scope: Invalid scope.');
  await t.noToken(t.client(['manage_project:elsewhere']).customers().get(), unknownScope);
  await t.noToken(
    t
      .client([t.scope('manage_everything')])
      .customers()
      .get(),
    unknownScope,
  );
  const stranger = new Traveller({
    url: t.url,
    projectKey: t.projectKey,
    clientId: 'demo-client',
    clientSecret: 'wrong',
  });
  const please = 'Please provide valid client credentials using HTTP Basic Authentication.';
  await t.noToken(stranger.admin.customers().get(), authProblem(401, 'invalid_client', please));

  await t.refusal(
    t.raw('GET', `/${t.projectKey}/customers`),
    authProblem(
      401,
      'access_denied',
      'This endpoint requires an access token. You can get one from the authorization server.',
    ),
  );
  await t.refusal(t.bearer('vkFuQ6oTwj8_Ny4eiRSsqMeqLYNeQRJi').customers().get(), deadToken);
  await t.refusal(
    t.raw('GET', '/elsewhere/customers', { headers: { authorization: `Bearer ${t.wire.granted.access_token}` } }),
    insufficientScope('view_customers'),
  );

  for (const [form, wanted] of /** @type {[Record<string, string>, any][]} */ ([
    [{}, authProblem(400, 'invalid_request', 'Missing required parameter: grant_type.')],
    [
      { grant_type: 'magic' },
      authProblem(400, 'unsupported_grant_type', 'Invalid parameter: grant_type: Invalid grant type: magic'),
    ],
    [
      { grant_type: 'refresh_token' },
      authProblem(400, 'invalid_request', 'Missing required parameter: refresh_token.'),
    ],
  ])) {
    await t.refusal(t.raw('POST', '/oauth/token', { form }), wanted);
  }
}

/** @param {T} t */
export async function passwordAndRefresh(t) {
  const email = t.email('pat');
  const { customer } = await t.answer(
    t.admin.customers().post({ body: { email, password: PASSWORD } }),
    including({}),
    201,
  );
  const manage = t.scope('manage_customers');
  const scope = `${manage} customer_id:${customer.id}`;

  // The address may be spelled in other letters.
  const memory = new TokenMemory();
  const pat = t.customer(email.toUpperCase(), PASSWORD, { scopes: [manage], memory });
  const tokenOf = pat.customers().passwordToken();
  const person = by({ customer: { typeId: 'customer', id: customer.id } });
  await t.answer(
    tokenOf.post({ body: { email } }),
    customerToken(customer.id, { createdBy: person, lastModifiedBy: person }),
  );
  t.expect(
    granted(scope, { refresh_token: like('refresh token', new RegExp(`^${t.projectKey}:.{20,}$`)) }),
    t.wire.granted,
    'token answer',
  );
  const first = t.wire.granted;

  // Refreshing, twice: the same scope, another access token, no refresh token.
  for (const round of [1, 2]) {
    await t.answer(
      t.refreshed(first.refresh_token).customers().withId({ ID: customer.id }).get(),
      including({ id: customer.id }),
    );
    t.expect(granted(scope), t.wire.granted, `token answer ${round}`);
    t.expect(
      a('another token', (token) => token !== first.access_token),
      t.wire.granted.access_token,
      'access token',
    );
  }
  // When a token nears its end the SDK gets another one by itself.
  memory.store = { ...memory.store, ...EXPIRED };
  await t.answer(pat.customers().withId({ ID: customer.id }).get(), including({ id: customer.id }));
  t.expect(including(granted(scope)), t.wire.granted, 'token answer');
  t.expect(
    a('another token', (token) => token !== first.access_token),
    t.wire.granted.access_token,
    'access token',
  );

  await t.noToken(t.refreshed(`${t.projectKey}:unknown`).customers().get(), invalidGrant);
  await t.noToken(
    t
      .customer(email, 'wrong', { scopes: [manage] })
      .customers()
      .get(),
    noSuchAccount,
  );
  await t.noToken(
    t
      .customer(t.email('nobody'), PASSWORD, { scopes: [manage] })
      .customers()
      .get(),
    noSuchAccount,
  );
  const form = { grant_type: 'password', username: email, password: PASSWORD, scope: manage, refresh_token: 'false' };
  await t.answer(t.raw('POST', `/oauth/${t.projectKey}/customers/token`, { form }), granted(scope));
  for (const missing of ['username', 'password']) {
    const { [missing]: _, ...rest } = /** @type {Record<string, string>} */ (form);
    const wanted = authProblem(400, 'invalid_request', `Missing required parameter: ${missing}.`);
    await t.refusal(t.raw('POST', `/oauth/${t.projectKey}/customers/token`, { form: rest }), wanted);
  }

  // Changing the password ends them all. The SDK tries to sign in again, with the old password.
  const change = { id: customer.id, version: customer.version, currentPassword: PASSWORD, newPassword: '1234' };
  await t.answer(t.admin.customers().password().post({ body: change }), including({ version: customer.version + 1 }));
  await t.refusal(t.bearer(first.access_token).customers().get(), deadToken);
  await t.noToken(t.refreshed(first.refresh_token).customers().get(), invalidGrant);
  await t.noToken(pat.customers().get(), noSuchAccount);
  await t.answer(
    t
      .customer(email, '1234', { scopes: [manage] })
      .customers()
      .get({ queryArgs: { limit: 0 } }),
    including({}),
  );
}

/** @param {T} t */
export async function inStore(t) {
  const [north, south] = [await storeKeyOf(t, 'north'), await storeKeyOf(t, 'south')];
  /** @param {string} key */
  const oauthUri = (key) => `/oauth/${t.projectKey}/in-store/key=${key}/customers/token`;
  const email = t.email('stella');
  const body = { email, password: PASSWORD, stores: [{ typeId: /** @type {const} */ ('store'), key: north }] };
  const { customer } = await t.answer(t.admin.customers().post({ body }), including({}), 201);
  const scopes = [t.scope('view_customers', north)];
  /** @param {import('../traveller.js').Api} api @param {string} [storeKey] */
  const self = (api, storeKey = north) =>
    api.inStoreKeyWithStoreKeyValue({ storeKey }).customers().withId({ ID: customer.id }).get();

  const stella = t.customer(email, PASSWORD, { scopes, oauthUri: oauthUri(north) });
  await t.answer(self(stella), including({ id: customer.id }));
  t.expect(granted(`${scopes[0]} customer_id:${customer.id}`, { refresh_token: text }), t.wire.granted, 'token answer');
  // Her scope is of one store, and not of the project.
  await t.refusal(self(stella, south), authProblem(403, 'insufficient_scope', text));
  await t.refusal(stella.customers().withId({ ID: customer.id }).get(), insufficientScope('view_customers'));

  // She signs in at her store only; a global customer at none.
  await t.noToken(self(t.customer(email, PASSWORD, { scopes })), noSuchAccount);
  await t.noToken(self(t.customer(email, PASSWORD, { scopes, oauthUri: oauthUri(south) })), noSuchAccount);
  await t.noToken(self(t.customer(email, PASSWORD, { scopes, oauthUri: oauthUri('nowhere') })), noSuchAccount);
  await t.noToken(self(t.customer(t.email('pat'), '1234', { scopes, oauthUri: oauthUri(north) })), noSuchAccount);
}

/** @param {T} t */
export async function anonymous(t) {
  const scopes = [t.scope('view_customers')];
  const anonymousId = `visitor-${t.run}`;
  const visitor = t.visitor({ anonymousId, scopes });
  await t.answer(visitor.customers().get({ queryArgs: { limit: 0 } }), including({}));
  const scope = `${scopes[0]} anonymous_id:${anonymousId}`;
  t.expect(granted(scope, { refresh_token: startingWith(`${t.projectKey}:`) }), t.wire.granted, 'token answer');
  const refreshToken = t.wire.granted.refresh_token;
  await t.answer(
    t
      .refreshed(refreshToken)
      .customers()
      .get({ queryArgs: { limit: 0 } }),
    including({}),
  );
  t.expect(granted(scope), t.wire.granted, 'token answer');

  const taken = authProblem(400, 'invalid_request', 'The anonymousId is already in use.');
  await t.noToken(t.visitor({ anonymousId, scopes }).customers().get(), taken);
  // Without an id the server makes one.
  await t.answer(
    t
      .visitor({ scopes })
      .customers()
      .get({ queryArgs: { limit: 0 } }),
    including({}),
  );
  t.expect(
    granted(like('scope with an id', /^view_customers:\S+ anonymous_id:\S+$/), { refresh_token: text }),
    t.wire.granted,
    'token answer',
  );
}

/** @param {T} t */
export async function introspectAndRevoke(t) {
  /** @param {string} token */
  const introspect = (token) => t.raw('POST', '/oauth/introspect', { form: { token } });
  /** @param {string} token @param {string} hint */
  const revoke = (token, hint) => t.raw('POST', '/oauth/token/revoke', { form: { token, token_type_hint: hint } });
  const inMilliseconds = a(
    'time to come, in milliseconds',
    (exp) => Number.isInteger(exp) && exp > Date.now() && exp < Date.now() + 172_900_000,
  );

  const scopes = [t.scope('view_customers')];
  const visitor = t.visitor({ anonymousId: randomUUID(), scopes });
  await t.answer(visitor.customers().get({ queryArgs: { limit: 0 } }), including({}));
  const { access_token: access, refresh_token: refresh, scope } = t.wire.granted;
  await t.answer(introspect(access), { active: true, scope, exp: inMilliseconds });
  await t.answer(introspect('unknown'), { active: false });
  const noToken = authProblem(400, 'invalid_request', 'Missing required parameter: token.');
  await t.refusal(t.raw('POST', '/oauth/introspect', { form: { other: 'x' } }), noToken);
  await t.refusal(t.raw('POST', '/oauth/token/revoke', { form: { other: 'x' } }), noToken);

  await t.answer(revoke(access, 'access_token'), {});
  await t.answer(introspect(access), { active: false });
  await t.refusal(t.bearer(access).customers().get(), deadToken);
  await t.answer(revoke(refresh, 'refresh_token'), {});
  await t.noToken(t.refreshed(refresh).customers().get(), invalidGrant);
  await t.answer(revoke('unknown', 'access_token'), {});

  // A client whose token was revoked fetches another one by itself, without its user noticing.
  const client = t.client(scopes);
  await t.answer(client.customers().get({ queryArgs: { limit: 0 } }), including({}));
  const before = t.wire.granted.access_token;
  await t.answer(revoke(before, 'access_token'), {});
  await t.answer(client.customers().get({ queryArgs: { limit: 0 } }), including({}));
  t.expect(
    a('another token', (token) => token !== before),
    t.wire.granted.access_token,
    'access token',
  );

  const basic = { authorization: `Basic ${Buffer.from('demo-client:wrong').toString('base64')}` };
  for (const path of ['/oauth/introspect', '/oauth/token/revoke']) {
    await t.refusal(
      t.raw('POST', path, { form: { token: access }, headers: basic }),
      authProblem(401, 'invalid_client', text),
    );
  }
}
