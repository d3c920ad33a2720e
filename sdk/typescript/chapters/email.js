// E-mail verification: token, look-up, confirmation. Once in the project, once in a store.
// @ts-check
import {
  conflict,
  customer as customerShape,
  customerToken,
  invalidJson,
  message,
  minutesOf,
  notFoundById,
  page,
  ttlOutOfRange,
  unknownToken,
} from '../contract.js';
import { containing, including } from '../shape.js';

/** @param {import('../traveller.js').Traveller} t @param {import('../places.js').Place} place */
export async function verification(t, { root, stores, name }) {
  const email = t.email(`vic.${name}`);
  const { customer } = await t.answer(
    root.customers().post({ body: { email, password: 'x' } }),
    including({ customer: including({ isEmailVerified: false }) }),
    201,
  );
  const { id } = customer;
  /** @param {any} [more] */
  const tokenCall = (more = {}) =>
    root
      .customers()
      .emailToken()
      .post({ body: { id, ttlMinutes: 60, ...more } });
  /** @param {string} tokenValue @param {{ version?: number }} [more] */
  const confirm = (tokenValue, more = {}) =>
    root
      .customers()
      .emailConfirm()
      .post({ body: { tokenValue, ...more } });
  /** @param {string} emailToken */
  const lookedUp = (emailToken) => root.customers().withEmailToken({ emailToken }).get();

  const first = await t.answer(tokenCall(), customerToken(id));
  t.expect(60, minutesOf(first), 'minutes of a token');
  const long = await t.answer(tokenCall({ ttlMinutes: 61, version: 1 }), customerToken(id));
  for (const { value } of [first, long, first]) await t.answer(lookedUp(value), customer);
  for (const { token, value } of [
    { token: first, value: { value: first.value } },
    { token: long, value: {} },
  ]) {
    const resource = { typeId: 'customer-email-token', id: token.id };
    const fields = {
      customerId: id,
      expiresAt: token.expiresAt,
      invalidateOlderTokens: false,
      sequenceNumber: 1,
      resourceVersion: 1,
      resource,
    };
    await t.answer(
      t.admin.messages().get({ queryArgs: { where: `resource(typeId="customer-email-token" and id="${token.id}")` } }),
      page([message('CustomerEmailTokenCreated', { ...fields, ...value })]),
    );
  }

  await t.refusal(tokenCall({ ttlMinutes: undefined }), invalidJson(containing('ttlMinutes')));
  await t.refusal(tokenCall({ ttlMinutes: 0 }), ttlOutOfRange);
  await t.refusal(tokenCall({ version: 3 }), conflict(id, 3, 1));
  const unknown = '3cdcdcc8-80c5-41bb-abb5-ac8772c9cc24';
  await t.refusal(tokenCall({ id: unknown }), notFoundById(unknown));

  const only = await t.answer(
    tokenCall({ invalidateOlderTokens: true }),
    customerToken(id, { invalidateOlderTokens: true }),
  );
  await t.refusal(lookedUp(first.value), unknownToken(first.value));
  await t.refusal(confirm(long.value), unknownToken(long.value));
  await t.refusal(confirm('unknown'), unknownToken('unknown'));
  const { value: ofPassword } = await t.answer(
    root.customers().passwordToken().post({ body: { email } }),
    customerToken(id),
  );
  await t.refusal(confirm(ofPassword), unknownToken(ofPassword));

  await t.refusal(confirm(only.value, { version: 3 }), conflict(id, 3, 1));
  await t.answer(
    confirm(only.value, { version: 1 }),
    customerShape({ version: 2, email, stores, isEmailVerified: true }),
  );
  await t.refusal(confirm(only.value), unknownToken(only.value));
  await t.refusal(lookedUp(only.value), unknownToken(only.value));
  // The password token was not of its kind, and still lives.
  await t.answer(
    root.customers().withPasswordToken({ passwordToken: ofPassword }).get(),
    including({ id, version: 2 }),
  );
  await t.answer(
    t.admin
      .messages()
      .get({ queryArgs: { where: `resource(typeId="customer" and id="${id}") and type="CustomerEmailVerified"` } }),
    page([
      message('CustomerEmailVerified', { resource: { typeId: 'customer', id }, sequenceNumber: 2, resourceVersion: 2 }),
    ]),
  );
}
