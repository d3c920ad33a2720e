// Customers: create, look at, query, delete. Once in the project, once in a store.
// @ts-check
import {
  by,
  conflict,
  customer as customerShape,
  duplicateEmail,
  duplicateField,
  invalidInput,
  invalidJson,
  methodNotAllowed,
  missingVersion,
  notFoundById,
  notFoundByKey,
  page,
  problem,
  referenceNotFound,
  signInResult,
} from '../contract.js';
import { a, including, inAnyOrder, startingWith, text } from '../shape.js';

/** @typedef {import('../traveller.js').Traveller} T */
/** @typedef {import('../places.js').Place} Place */

/** @param {T} t @param {Place} place */
export async function createAndGet(t, { root, stores, name }) {
  const email = t.email(`carol+1.${name}`);
  const { customer: plain } = await t.answer(
    root.customers().post({ body: { email, password: 'secret' } }),
    signInResult({ version: 1, email, stores, createdBy: by(), lastModifiedBy: by() }),
    201,
  );
  t.expect(plain.createdAt, plain.lastModifiedAt, 'lastModifiedAt');

  const key = t.key(`dora-${name.replace('.', '-')}`);
  const full = {
    key,
    customerNumber: `n-${key}`,
    externalId: `x-${key}`,
    email: t.email(`dora.${name}`),
    firstName: 'Dora',
    lastName: 'Miller',
    middleName: 'M.',
    title: 'Dr.',
    salutation: 'Ms.',
    companyName: 'Miller & Co',
    vatId: 'DE123',
    dateOfBirth: '1980-02-29',
    isEmailVerified: true,
  };
  const addresses = [
    { key: 'home', country: 'DE', city: 'Berlin', streetName: 'Hauptstraße', streetNumber: '1', postalCode: '10115' },
    { country: 'FR' },
  ];
  const draft = {
    ...full,
    password: '1234',
    addresses,
    defaultShippingAddress: 0,
    shippingAddresses: [1],
    defaultBillingAddress: 1,
    billingAddresses: [1],
    anonymousId: 'whoever',
  };
  const made = await t.answer(
    root.customers().post({ body: draft, headers: { 'X-External-User-ID': 'agent-7' } }),
    including({
      customer: customerShape({
        ...full,
        version: 1,
        stores,
        createdBy: by({ externalUserId: 'agent-7' }),
        lastModifiedBy: by({ externalUserId: 'agent-7' }),
        addresses: addresses.map((address) => ({ ...address, id: text })),
        defaultShippingAddressId: text,
        defaultBillingAddressId: text,
        shippingAddressIds: [text, text],
        billingAddressIds: [text],
      }),
    }),
    201,
  );
  const dora = made.customer;
  const [home, abroad] = dora.addresses.map((/** @type {{ id: string }} */ address) => address.id);
  t.expect(
    { home, abroad, all: inAnyOrder(home, abroad), billing: [abroad] },
    {
      home: dora.defaultShippingAddressId,
      abroad: dora.defaultBillingAddressId,
      all: dora.shippingAddressIds,
      billing: dora.billingAddressIds,
    },
    'ids of addresses',
  );

  await t.answer(root.customers().withId({ ID: dora.id }).get(), dora);
  await t.answer(root.customers().withKey({ key }).get(), dora);
  await t.found200(root.customers().withId({ ID: dora.id }).head());
  await t.found200(root.customers().withKey({ key }).head());
  await t.refusal(root.customers().withId({ ID: '00000000' }).get(), notFoundById('00000000'));
  await t.refusal(root.customers().withKey({ key: 'nobody' }).get(), notFoundByKey('nobody'));
  await t.found404(root.customers().withId({ ID: plain.createdAt }).head());
  await t.found404(root.customers().withKey({ key: 'nobody' }).head());

  const another = t.email(`dup.${name}`);
  await t.refusal(
    root.customers().post({ body: { email: email.toUpperCase(), password: 'x' } }),
    duplicateEmail(email.toUpperCase()),
  );
  await t.refusal(root.customers().post({ body: { email: another, password: 'x', key } }), duplicateField('key', key));
  await t.refusal(
    root.customers().post({ body: { email: another, password: 'x', customerNumber: full.customerNumber } }),
    duplicateField('customerNumber', full.customerNumber),
  );
  await t.refusal(root.customers().post({ body: { email: another } }), invalidJson('password: Missing required value'));
  await t.refusal(
    root.customers().post({ body: { email: '', password: 'x' } }),
    problem(400, 'InvalidField', text, { field: 'email', invalidValue: '' }),
  );
  await t.refusal(
    root.customers().post({ body: { email: another, password: 'x', stores: [{ typeId: 'store', key: 'nowhere' }] } }),
    referenceNotFound('store', { key: 'nowhere' }),
  );
  await t.found404(root.customers().head({ queryArgs: { where: `email="${another}"` } }));

  const { customer: elsewhere } = await t.answer(
    root.customers().post({ body: { email: another, authenticationMode: 'ExternalAuth' } }),
    signInResult({ email: another, stores, authenticationMode: 'ExternalAuth' }),
    201,
  );
  // What is not looked up by this contract is no route.
  if (name === 'global') {
    await t.refusal(
      t.admin
        .customers()
        .search()
        .post({ body: { limit: 1 } }),
      methodNotAllowed,
    );
    await t.refusal(t.raw('PUT', `/${t.projectKey}/customers/${elsewhere.id}`), methodNotAllowed);
  }
}

/** @param {T} t @param {Place} place */
export async function query(t, { root, stores, name }) {
  const externalId = t.key(`query-${name}`);
  const people = [];
  for (const firstName of ['Ann', 'Bea', 'Cle', 'Dot', 'Eve']) {
    const body = {
      email: t.email(`${firstName}.${name}`),
      firstName,
      externalId,
      authenticationMode: /** @type {const} */ ('ExternalAuth'),
    };
    people.push((await t.answer(root.customers().post({ body }), including({}), 201)).customer);
  }
  const [ann, bea, cle, dot, eve] = people;
  const mine = `externalId="${externalId}"`;
  /** @param {Record<string, any>} queryArgs @param {any} results @param {Record<string, any>} [fields] */
  const finds = (queryArgs, results, fields) => t.answer(root.customers().get({ queryArgs }), page(results, fields));

  await finds({ where: `email="${ann.email}"` }, [ann]);
  await finds({ where: `email="${ann.email.toUpperCase()}"` }, []);
  await finds({ where: 'lowercaseEmail=:email', 'var.email': ann.email.toLowerCase() }, [ann]);
  await finds({ where: mine }, inAnyOrder(...people), { count: 5, total: 5 });
  await finds({ where: [mine, 'firstName in ("Ann", "Dot")'], sort: 'firstName desc' }, [dot, ann]);
  await finds({ where: `${mine} and firstName in :names`, 'var.names': ['Cle', 'Eve'], sort: ['firstName asc'] }, [
    cle,
    eve,
  ]);
  await finds({ where: `${mine} and not(firstName = "Ann" or firstName > "Bea")` }, [bea]);
  await finds({ where: [mine, 'stores is empty'] }, stores.length === 0 ? inAnyOrder(...people) : [], {
    count: stores.length === 0 ? 5 : 0,
    total: stores.length === 0 ? 5 : 0,
  });
  await finds({ where: mine, sort: 'firstName', limit: 2, offset: 1 }, [bea, cle], { limit: 2, offset: 1, total: 5 });
  await t.answer(root.customers().get({ queryArgs: { where: mine, withTotal: false, limit: 0 } }), {
    limit: 0,
    offset: 0,
    count: 0,
    results: [],
  });
  await t.found200(root.customers().head({ queryArgs: { where: `key is not defined and id="${eve.id}"` } }));
  await t.found404(root.customers().head({ queryArgs: { where: [mine, 'firstName="Flo"'] } }));

  const prefix = 'Malformed parameter: where: ';
  for (const [queryArgs, wanted] of /** @type {[Record<string, any>, any][]} */ ([
    [{ where: 'nothing="x"' }, `${prefix}The field 'nothing' does not exist.`],
    [{ where: 'password is defined' }, `${prefix}The field 'password' does not exist.`],
    [{ where: 'firstName ilike "sofia%"' }, startingWith(`${prefix}Syntax error while parsing 'where'. `)],
    [{ where: 'firstName' }, startingWith(`${prefix}Syntax error while parsing 'where'. Unexpected end of input`)],
    [{ where: 'firstName=:nobody' }, `${prefix}Missing parameter value for nobody`],
    [{ limit: 501 }, 'Malformed parameter: limit: The limit parameter must be in the range of [0..500]'],
    [{ offset: 10_001 }, 'Malformed parameter: offset: The offset parameter must be in the range of [0..10000]'],
  ])) {
    await t.refusal(root.customers().get({ queryArgs }), invalidInput(wanted));
  }

  // The SDK's own paging: by id, two at a time, with our condition beside its own.
  /** @type {string[]} */
  const seen = [];
  const request = root
    .customers()
    .get({ queryArgs: { where: mine, limit: 2 } })
    .clientRequest();
  const pages = await t.pager().process(
    request,
    async (/** @type {any} */ { body }) => {
      seen.push(...body.results.map((/** @type {{ id: string }} */ person) => person.id));
      return body.results.length;
    },
    { accumulate: true },
  );
  t.expect(people.map((person) => person.id).sort(), seen, 'ids by process()');
  t.expect([2, 2, 1], pages, 'pages of process()');
}

/** @param {T} t @param {Place} place */
export async function remove(t, { root, name }) {
  const key = t.key(`gone-${name.replace('.', '-')}`);
  const draft = { email: t.email(`gone.${name}`), password: 'x', key };
  const { customer } = await t.answer(root.customers().post({ body: draft }), including({}), 201);
  const it = root.customers().withId({ ID: customer.id });
  // @ts-expect-error the SDK's type requires the version
  await t.refusal(it.delete({ queryArgs: {} }), missingVersion);
  await t.refusal(it.delete({ queryArgs: { version: 7 } }), conflict(customer.id, 7, 1));
  await t.answer(it.delete({ queryArgs: { version: 1 } }), including({ id: customer.id, email: draft.email, key }));
  await t.refusal(it.get(), notFoundById(customer.id));
  await t.refusal(it.delete({ queryArgs: { version: 1 } }), notFoundById(customer.id));

  // Address and key are free again. This time everything personal goes with her.
  const { customer: again } = await t.answer(root.customers().post({ body: draft }), including({}), 201);
  await t.answer(
    root
      .customers()
      .withKey({ key })
      .delete({ queryArgs: { version: 1, dataErasure: true } }),
    including({ id: again.id, email: draft.email }),
  );
  await t.refusal(root.customers().withKey({ key }).get(), notFoundByKey(key));
  // A message that would tell of her is gone as a whole.
  const told = await t.answer(
    t.admin.messages().get({ queryArgs: { where: `resource(typeId="customer" and id="${again.id}")` } }),
    page([including({ type: 'CustomerDeleted', sequenceNumber: 2 })]),
  );
  t.expect(
    a('nothing personal', (all) => !all.includes(draft.email) && !all.includes(key)),
    JSON.stringify(told),
    'messages of an erased customer',
  );
}
