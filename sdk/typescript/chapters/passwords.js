// Passwords: change, token, reset, login. Once in the project, once in a store.
// @ts-check
import {
  conflict,
  customer as customerShape,
  customerToken,
  duplicateEmail,
  invalidCredentials,
  invalidInput,
  message,
  minutesOf,
  notFoundById,
  page,
  problem,
  signInResult,
  ttlOutOfRange,
  unknownToken,
  wrongCurrentPassword,
} from '../contract.js';
import { a, including, startingWith, text } from '../shape.js';

/** @typedef {import('../traveller.js').Traveller} T */
/** @typedef {import('../places.js').Place} Place */

/** @param {T} t @param {Place} place */
export async function changeAndLogin(t, { root, stores, name }) {
  const email = t.email(`chad.${name}`);
  const { customer } = await t.answer(
    root.customers().post({ body: { email, password: 'first' } }),
    including({}),
    201,
  );
  const { id } = customer;
  /** @param {number} version @param {string} currentPassword @param {string} [newPassword] */
  const change = (version, currentPassword, newPassword = '1234') =>
    root.customers().password().post({ body: { id, version, currentPassword, newPassword } });

  await t.answer(
    root.login().post({ body: { email: email.toLowerCase(), password: 'first' } }),
    signInResult({ version: 1, email, stores }),
  );
  await t.refusal(root.login().post({ body: { email, password: 'wrong' } }), invalidCredentials);
  await t.refusal(root.login().post({ body: { email: t.email('nobody'), password: 'first' } }), invalidCredentials);

  // The version is looked at before the password.
  await t.refusal(change(5, 'wrong'), conflict(id, 5, 1));
  await t.refusal(change(1, 'wrong'), wrongCurrentPassword);
  const unknown = '3cdcdcc8-80c5-41bb-abb5-ac8772c9cc24';
  await t.refusal(
    root
      .customers()
      .password()
      .post({ body: { id: unknown, version: 1, currentPassword: 'a', newPassword: 'b' } }),
    notFoundById(unknown),
  );
  const changed = await t.answer(change(1, 'first'), customerShape({ version: 2, email, stores }));
  t.expect(
    a('another mask', (password) => password !== customer.password),
    changed.password,
    'password',
  );
  await t.refusal(root.login().post({ body: { email, password: 'first' } }), invalidCredentials);
  await t.answer(root.login().post({ body: { email, password: '1234' } }), { customer: changed });

  await t.answer(
    t.admin
      .messages()
      .get({ queryArgs: { where: `resource(typeId="customer" and id="${id}") and type="CustomerPasswordUpdated"` } }),
    page([
      message('CustomerPasswordUpdated', {
        reset: false,
        resource: { typeId: 'customer', id },
        sequenceNumber: 2,
        resourceVersion: 2,
      }),
    ]),
  );
}

/** @param {T} t @param {Place} place */
export async function tokenAndReset(t, { root, stores, name }) {
  const email = t.email(`rita.${name}`);
  const { customer } = await t.answer(
    root.customers().post({ body: { email, password: 'first' } }),
    including({}),
    201,
  );
  const { id } = customer;
  /** @param {Record<string, any>} [more] */
  const tokenCall = (more = {}) =>
    root
      .customers()
      .passwordToken()
      .post({ body: { email, ...more } });
  /** @param {string} tokenValue @param {{ version?: number }} [more] */
  const reset = (tokenValue, more = {}) =>
    root
      .customers()
      .passwordReset()
      .post({ body: { tokenValue, newPassword: '1234', ...more } });
  /** @param {string} passwordToken */
  const lookedUp = (passwordToken) => root.customers().withPasswordToken({ passwordToken }).get();

  const day = await t.answer(tokenCall(), customerToken(id));
  t.expect(1440, minutesOf(day), 'minutes of a token by default');
  const short = await t.answer(tokenCall({ email: email.toLowerCase(), ttlMinutes: 20 }), customerToken(id));
  t.expect(20, minutesOf(short), 'minutes of a token');
  // To make one changes no version, and to look up consumes nothing. Several live side by side.
  for (const { value } of [day, short, short]) await t.answer(lookedUp(value), customer);

  // The value is in the message only if it lives 60 minutes or less.
  for (const { token, value } of [
    { token: day, value: {} },
    { token: short, value: { value: short.value } },
  ]) {
    const resource = { typeId: 'customer-password-token', id: token.id };
    const fields = {
      customerId: id,
      expiresAt: token.expiresAt,
      invalidateOlderTokens: false,
      sequenceNumber: 1,
      resourceVersion: 1,
      resource,
    };
    await t.answer(
      t.admin
        .messages()
        .get({ queryArgs: { where: `resource(typeId="customer-password-token" and id="${token.id}")` } }),
      page([message('CustomerPasswordTokenCreated', { ...fields, ...value })]),
    );
  }

  const only = await t.answer(
    tokenCall({ ttlMinutes: 61, invalidateOlderTokens: true }),
    customerToken(id, { invalidateOlderTokens: true }),
  );
  await t.refusal(lookedUp(day.value), unknownToken(day.value));
  await t.refusal(reset(short.value), unknownToken(short.value));
  await t.refusal(reset('unknown'), unknownToken('unknown'));
  await t.refusal(lookedUp('unknown'), unknownToken('unknown'));
  for (const ttlMinutes of [0, -5, 525_601]) await t.refusal(tokenCall({ ttlMinutes }), ttlOutOfRange);
  const nobody = t.email('nobody');
  await t.refusal(
    tokenCall({ email: nobody }),
    problem(404, 'ResourceNotFound', `The Customer with ID '${nobody}' was not found.`),
  );

  // A token of the other kind does not do; a refused reset consumes nothing; one that is done consumes all.
  const { value: ofEmail } = await t.answer(
    root
      .customers()
      .emailToken()
      .post({ body: { id, ttlMinutes: 20 } }),
    customerToken(id),
  );
  await t.refusal(reset(ofEmail), unknownToken(ofEmail));
  const second = await t.answer(tokenCall(), customerToken(id));
  await t.refusal(reset(only.value, { version: 9 }), conflict(id, 9, 1));
  await t.answer(reset(only.value, { version: 1 }), customerShape({ version: 2, email, stores }));
  await t.refusal(reset(only.value), unknownToken(only.value));
  await t.refusal(lookedUp(second.value), unknownToken(second.value));
  await t.answer(
    root.login().post({ body: { email, password: '1234' } }),
    including({ customer: including({ id, version: 2 }) }),
  );
  await t.answer(
    t.admin
      .messages()
      .get({ queryArgs: { where: `resource(typeId="customer" and id="${id}") and type="CustomerPasswordUpdated"` } }),
    page([
      message('CustomerPasswordUpdated', {
        reset: true,
        resource: { typeId: 'customer', id },
        sequenceNumber: 2,
        resourceVersion: 2,
      }),
    ]),
  );

  // A change ends the tokens as well.
  const third = await t.answer(tokenCall(), customerToken(id));
  const body = { id, version: 2, currentPassword: '1234', newPassword: 'third' };
  await t.answer(root.customers().password().post({ body }), including({ version: 3 }));
  await t.refusal(reset(third.value), unknownToken(third.value));
}

/** @param {T} t @param {Place} place */
export async function externalAuth(t, { root, name }) {
  const email = t.email(`ext.${name}`);
  const body = { email, authenticationMode: /** @type {const} */ ('ExternalAuth'), password: 'ignored' };
  const { customer } = await t.answer(root.customers().post({ body }), including({}), 201);
  await t.refusal(root.login().post({ body: { email, password: 'ignored' } }), invalidCredentials);
  await t.refusal(
    root
      .customers()
      .password()
      .post({ body: { id: customer.id, version: 1, currentPassword: 'ignored', newPassword: 'x' } }),
    wrongCurrentPassword,
  );
  const { value } = await t.answer(
    root.customers().passwordToken().post({ body: { email } }),
    customerToken(customer.id),
  );
  await t.refusal(
    root
      .customers()
      .passwordReset()
      .post({ body: { tokenValue: value, newPassword: 'x' } }),
    problem(400, 'InvalidOperation', "The customer does not use the 'Password' authentication mode."),
  );
}

/** Who belongs where. @param {T} t @param {Place} north @param {Place} south @param {Place} global */
export async function otherPlaces(t, north, south, global) {
  const email = t.email('nora');
  const { customer: nora } = await t.answer(
    north.root.customers().post({ body: { email, password: 'secret' } }),
    including({}),
    201,
  );
  const { customer: glen } = await t.answer(
    global.root.customers().post({ body: { email: t.email('glen'), password: 'secret' } }),
    including({}),
    201,
  );

  // Another store's customer, and a global one, are not there.
  for (const [place, stranger] of /** @type {[Place, any][]} */ ([
    [south, nora],
    [south, glen],
    [north, glen],
  ])) {
    const { root } = place;
    await t.refusal(root.customers().withId({ ID: stranger.id }).get(), notFoundById(stranger.id));
    await t.refusal(
      root
        .customers()
        .withId({ ID: stranger.id })
        .post({ body: { version: 1, actions: [] } }),
      notFoundById(stranger.id),
    );
    await t.refusal(
      root
        .customers()
        .withId({ ID: stranger.id })
        .delete({ queryArgs: { version: 1 } }),
      notFoundById(stranger.id),
    );
    await t.refusal(
      root
        .customers()
        .password()
        .post({ body: { id: stranger.id, version: 1, currentPassword: 'secret', newPassword: 'x' } }),
      notFoundById(stranger.id),
    );
    await t.refusal(
      root
        .customers()
        .passwordToken()
        .post({ body: { email: stranger.email } }),
      problem(404, 'ResourceNotFound', text),
    );
    await t.refusal(root.login().post({ body: { email: stranger.email, password: 'secret' } }), invalidCredentials);
    await t.found404(root.customers().head({ queryArgs: { where: `id="${stranger.id}"` } }));
    await t.answer(root.customers().get({ queryArgs: { where: `id="${stranger.id}"` } }), page([]));
  }

  // In the project a store's customer is found by id and by token, and not by address.
  await t.answer(global.root.customers().withId({ ID: nora.id }).get(), nora);
  await t.refusal(global.root.login().post({ body: { email, password: 'secret' } }), invalidCredentials);
  await t.refusal(
    global.root.customers().passwordToken().post({ body: { email } }),
    problem(404, 'ResourceNotFound', text),
  );
  const { value } = await t.answer(
    north.root.customers().passwordToken().post({ body: { email } }),
    customerToken(nora.id),
  );
  await t.answer(global.root.customers().withPasswordToken({ passwordToken: value }).get(), nora);
  await t.refusal(
    south.root.customers().withPasswordToken({ passwordToken: value }).get(),
    problem(404, 'ResourceNotFound', text),
  );
  await t.answer(
    global.root
      .customers()
      .passwordReset()
      .post({ body: { tokenValue: value, newPassword: 'x' } }),
    including({ version: 2 }),
  );

  // Addresses: the same one may be in two stores, and not in a store and in the project.
  await t.answer(south.root.customers().post({ body: { email, password: 'x' } }), including({}), 201);
  for (const [place, taken] of /** @type {[Place, string][]} */ ([
    [north, email],
    [global, email],
    [south, glen.email],
  ])) {
    await t.refusal(place.root.customers().post({ body: { email: taken, password: 'x' } }), duplicateEmail(taken));
  }
  // A store that is not there.
  const nowhere = t.admin.inStoreKeyWithStoreKeyValue({ storeKey: 'nowhere' });
  await t.refusal(nowhere.customers().get(), problem(404, 'ResourceNotFound', text));
  await t.refusal(
    north.root.customers().get({ queryArgs: { limit: -1 } }),
    invalidInput(startingWith('Malformed parameter: limit: ')),
  );
}
