// What a customer does with a token of her own, and a visitor with his. Once in the project, once in a store.
// @ts-check
import {
  authProblem,
  by,
  conflict,
  customer as customerShape,
  customerToken,
  deadToken,
  duplicateEmail,
  insufficientScope,
  invalidCredentials,
  invalidJson,
  missingVersion,
  noSuchAccount,
  problem,
  signInResult,
  unknownToken,
  wrongCurrentPassword,
} from '../contract.js';
import { containing, including, text } from '../shape.js';

/** @typedef {import('../traveller.js').Traveller} T */
/** @typedef {import('../places.js').Place} Place */

const NOT_A_PERSON = authProblem(
  403,
  'insufficient_scope',
  "This endpoint requires an access token issued either with the 'Resource Owner Password Credentials Grant' or with " +
    'the anonymous token flow.',
);

/** @param {T} t @param {Place} place */
export async function visitor(t, { root, stores, name, ofMe, enter }) {
  const anonymousId = `me-${t.run}-${name}`;
  const me = enter(t.visitor({ anonymousId, scopes: ofMe })).me();
  await t.refusal(me.get(), problem(404, 'ResourceNotFound', text));

  const email = t.email(`vivi.${name}`);
  const unnamed = by({ anonymousId });
  const { customer } = await t.answer(
    me
      .signup()
      .post({ body: { email, password: 'first', firstName: 'Vivi', addresses: [], dateOfBirth: '2000-01-01' } }),
    signInResult({
      version: 1,
      email,
      stores,
      firstName: 'Vivi',
      dateOfBirth: '2000-01-01',
      createdBy: unnamed,
      lastModifiedBy: unnamed,
    }),
    201,
  );
  await t.refusal(me.signup().post({ body: { email, password: 'x' } }), duplicateEmail(email));
  const withoutPassword = /** @type {any} */ ({ email: t.email('other') });
  await t.refusal(me.signup().post({ body: withoutPassword }), invalidJson('password: Missing required value'));
  await t.answer(me.login().post({ body: { email, password: 'first' } }), { customer });
  await t.refusal(me.login().post({ body: { email, password: 'wrong' } }), invalidCredentials);

  // A token that somebody mailed to her.
  const { value: reset } = await t.answer(
    root.customers().passwordToken().post({ body: { email } }),
    customerToken(customer.id),
  );
  await t.answer(
    me
      .password()
      .reset()
      .post({ body: { tokenValue: reset, newPassword: 'second' } }),
    including({ id: customer.id, version: 2, lastModifiedBy: unnamed }),
  );
  await t.refusal(
    me
      .password()
      .reset()
      .post({ body: { tokenValue: reset, newPassword: 'x' } }),
    unknownToken(reset),
  );
  const { value: verify } = await t.answer(
    root
      .customers()
      .emailToken()
      .post({ body: { id: customer.id, ttlMinutes: 20 } }),
    customerToken(customer.id),
  );
  await t.answer(
    me.emailConfirm().post({ body: { tokenValue: verify } }),
    including({ id: customer.id, version: 3, isEmailVerified: true }),
  );
  await t.refusal(me.emailConfirm().post({ body: { tokenValue: verify } }), unknownToken(verify));
  await t.answer(
    me.login().post({ body: { email, password: 'second' } }),
    including({ customer: including({ version: 3 }) }),
  );
}

/** @param {T} t @param {Place} place */
export async function customer(t, place) {
  const { root, stores, name, ofMe, oauthUri, enter } = place;
  const email = t.email(`mia.${name}`);
  const { customer: made } = await t.answer(
    root.customers().post({ body: { email, password: 'first' } }),
    including({}),
    201,
  );
  const { id } = made;
  const mia = t.customer(email, 'first', { scopes: ofMe, oauthUri });
  const me = enter(mia).me();
  const herself = by({ customer: { typeId: 'customer', id } });

  await t.answer(me.get(), made);
  const { access_token: token } = t.wire.granted;
  await t.answer(
    me.post({ body: { version: 1, actions: [{ action: 'setFirstName', firstName: 'Mia' }] } }),
    customerShape({ version: 2, email, stores, firstName: 'Mia', createdBy: by(), lastModifiedBy: herself }),
  );
  await t.refusal(me.post({ body: { version: 1, actions: [] } }), conflict(id, 1, 2));
  // What she may not do to herself is no action here.
  for (const action of /** @type {any[]} */ ([
    { action: 'setKey', key: 'mine' },
    { action: 'setExternalId', externalId: 'x' },
    { action: 'setCustomerNumber', customerNumber: '1' },
    { action: 'setStores', stores: [] },
    { action: 'setAuthenticationMode', authMode: 'ExternalAuth' },
    { action: 'setCustomerGroup' },
  ])) {
    const wanted = invalidJson(
      containing(`actions -> action: Invalid enum value: '${action.action}'. Expected one of: `),
    );
    await t.refusal(me.post({ body: { version: 2, actions: [action] } }), wanted);
  }
  // Nor may she look at others.
  await t.refusal(enter(mia).customers().withId({ ID: id }).get(), authProblem(403, 'insufficient_scope', text));

  await t.refusal(
    me.password().post({ body: { version: 1, currentPassword: 'first', newPassword: 'x' } }),
    conflict(id, 1, 2),
  );
  await t.refusal(
    me.password().post({ body: { version: 2, currentPassword: 'wrong', newPassword: 'x' } }),
    wrongCurrentPassword,
  );
  await t.answer(
    me.password().post({ body: { version: 2, currentPassword: 'first', newPassword: 'second' } }),
    including({ id, version: 3, lastModifiedBy: herself }),
  );
  // Her token has ended. The SDK signs her in again, with the password that it knows.
  await t.refusal(enter(t.bearer(token)).me().get(), deadToken);
  await t.noToken(me.get(), noSuchAccount);

  const again = enter(t.customer(email, 'second', { scopes: ofMe, oauthUri })).me();
  await t.answer(again.get(), including({ id, version: 3 }));
  // @ts-expect-error the SDK's type requires the version
  await t.refusal(again.delete({ queryArgs: {} }), missingVersion);
  await t.refusal(again.delete({ queryArgs: { version: 1 } }), conflict(id, 1, 3));
  await t.answer(again.delete({ queryArgs: { version: 3 } }), including({ id, email }));
  await t.noToken(again.get(), noSuchAccount);
  await t.found404(root.customers().withId({ ID: id }).head());
}

/** @param {T} t @param {Place} place */
export async function nobody(t, { ofMe, ofCustomers, enter }) {
  // A client's own token is nobody's.
  await t.refusal(enter(t.client(ofMe)).me().get(), NOT_A_PERSON);
  await t.refusal(
    enter(t.admin)
      .me()
      .post({ body: { version: 1, actions: [] } }),
    NOT_A_PERSON,
  );
  await t.refusal(enter(t.client(ofCustomers)).me().get(), insufficientScope('manage_my_profile'));
  // But it may try who she is.
  await t.refusal(
    enter(t.admin)
      .me()
      .login()
      .post({ body: { email: t.email('nobody'), password: 'x' } }),
    invalidCredentials,
  );
}
