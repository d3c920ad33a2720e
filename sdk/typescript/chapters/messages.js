// Messages: query, look at one, expand; who may.
// @ts-check
import {
  by,
  customer as customerShape,
  insufficientScope,
  invalidInput,
  message,
  methodNotAllowed,
  notFoundById,
  page,
} from '../contract.js';
import { absent, including, inAnyOrder, startingWith } from '../shape.js';

/** @param {import('../traveller.js').Traveller} t */
export async function messages(t) {
  const email = t.email('max');
  const key = t.key('max');
  const { customer } = await t.answer(
    t.admin.customers().post({ body: { email, key, password: 'a' } }),
    including({}),
    201,
  );
  const { id } = customer;
  for (const [version, currentPassword, newPassword] of /** @type {[number, string, string][]} */ ([
    [1, 'a', 'b'],
    [2, 'b', 'c'],
  ])) {
    await t.answer(
      t.admin.customers().password().post({ body: { id, version, currentPassword, newPassword } }),
      including({ version: version + 1 }),
    );
  }
  const resource = { typeId: 'customer', id };
  const common = { resource, resourceUserProvidedIdentifiers: { key }, createdBy: by(), lastModifiedBy: by() };
  const [created, changed, changedAgain] = [
    message('CustomerCreated', { ...common, sequenceNumber: 1, resourceVersion: 1, customer }),
    message('CustomerPasswordUpdated', { ...common, sequenceNumber: 2, resourceVersion: 2, reset: false }),
    message('CustomerPasswordUpdated', { ...common, sequenceNumber: 3, resourceVersion: 3, reset: false }),
  ];
  const viewer = t.client([t.scope('view_messages')]);
  const mine = `resource(typeId="customer" and id="${id}")`;
  /** @param {Record<string, any>} queryArgs @param {any} results @param {Record<string, any>} [fields] */
  const finds = (queryArgs, results, fields) => t.answer(viewer.messages().get({ queryArgs }), page(results, fields));

  const { results } = await finds({ where: mine, sort: 'sequenceNumber' }, [created, changed, changedAgain]);
  await finds({ where: mine, sort: ['type desc', 'sequenceNumber desc'], limit: 2 }, [changedAgain, changed], {
    limit: 2,
    total: 3,
  });
  await finds({ where: mine, sort: 'createdAt', offset: 2, withTotal: false }, [changedAgain], {
    offset: 2,
    total: absent,
  });
  await finds(
    { where: [mine, 'type in ("CustomerPasswordUpdated", "CustomerEmailChanged")'] },
    inAnyOrder(changed, changedAgain),
    { count: 2, total: 2 },
  );
  await finds(
    { where: [mine, 'type = :type', 'sequenceNumber >= :from'], 'var.type': 'CustomerPasswordUpdated', 'var.from': 3 },
    [changedAgain],
  );
  await finds({ where: `${mine} and resourceVersion = 1 and createdAt >= "${customer.createdAt}"` }, [created]);
  await finds({ where: `${mine} and createdAt < "2001-01-01T00:00:00Z"` }, []);
  await t.found200(viewer.messages().head({ queryArgs: { where: mine } }));
  await t.found404(viewer.messages().head({ queryArgs: { where: [mine, 'type="CustomerDeleted"'] } }));

  const [, second] = results;
  const one = viewer.messages().withId({ ID: second.id });
  await t.answer(one.get(), second);
  await t.found200(one.head());
  const now = customerShape({ email, key, version: 3 });
  await t.answer(one.get({ queryArgs: { expand: 'resource' } }), { ...second, resource: { ...resource, obj: now } });
  await finds({ where: [mine, 'sequenceNumber=1'], expand: ['resource'] }, [
    { ...created, resource: { ...resource, obj: now } },
  ]);
  await t.refusal(viewer.messages().withId({ ID: 'x' }).get(), notFoundById('x'));
  await t.found404(viewer.messages().withId({ ID: '3cdcdcc8-80c5-41bb-abb5-ac8772c9cc24' }).head());

  const prefix = 'Malformed parameter: where: ';
  for (const [where, wanted] of [
    ['reset = true', `${prefix}The field 'reset' does not exist.`],
    ['type =', startingWith(`${prefix}Syntax error while parsing 'where'. `)],
    ['type = nothing', startingWith(`${prefix}Syntax error while parsing 'where'. `)],
  ]) {
    await t.refusal(viewer.messages().get({ queryArgs: { where } }), invalidInput(wanted));
  }

  // The SDK pages through them as well: by id, which is in the order of time.
  const request = viewer
    .messages()
    .get({ queryArgs: { where: mine, limit: 1 } })
    .clientRequest();
  const seen = await t
    .pager()
    .process(request, async (/** @type {any} */ { body }) => body.results, { accumulate: true });
  t.expect(inAnyOrder(...results), seen, 'messages by process()');

  // After the deletion there is nothing to expand; the message tells who it was.
  await t.answer(
    t.admin
      .customers()
      .withId({ ID: id })
      .delete({ queryArgs: { version: 3 } }),
    including({ id }),
  );
  await t.answer(one.get({ queryArgs: { expand: 'resource' } }), second);
  await finds({ where: [mine, 'type="CustomerDeleted"'] }, [
    message('CustomerDeleted', { ...common, sequenceNumber: 4, resourceVersion: 4, email }),
  ]);

  await t.refusal(
    t
      .client([t.scope('view_customers')])
      .messages()
      .get(),
    insufficientScope('view_messages'),
  );
  await t.answer(
    t
      .client([t.scope('view_orders')])
      .messages()
      .get({ queryArgs: { limit: 0 } }),
    including({ limit: 0 }),
  );
  const token = { authorization: `Bearer ${t.wire.granted.access_token}` };
  await t.refusal(t.raw('POST', `/${t.projectKey}/messages`, { headers: token, body: '{}' }), methodNotAllowed);
  await t.refusal(t.raw('GET', `/${t.projectKey}/in-store/key=north/messages`, { headers: token }), methodNotAllowed);
}
