// Update actions: each one, what it changes, and the message it leaves or does not leave.
// @ts-check
import {
  by,
  conflict,
  customer as customerShape,
  duplicateEmail,
  duplicateField,
  invalidInput,
  invalidJson,
  mask,
  message,
  notFoundById,
  page,
  problem,
  referenceNotFound,
} from '../contract.js';
import { project, storeKeyOf } from '../places.js';
import { a, absent, containing, including, text } from '../shape.js';

/** @typedef {import('../traveller.js').Traveller} T */
/** @typedef {import('../places.js').Place} Place */
/** @typedef {import('@commercetools/platform-sdk').CustomerUpdateAction} Action */

/** A customer, followed through its updates. */
class Follower {
  /** @param {T} t @param {Place} place @param {any} customer @param {Record<string, any>} fields */
  constructor(t, { root }, customer, fields) {
    this.t = t;
    this.call = root.customers().withId({ ID: customer.id });
    this.customer = customer;
    this.fields = fields;
    this.messages = [message('CustomerCreated', { customer })];
  }

  /**
   * One action: what it changes, and its message.
   * @param {Action} action
   * @param {Record<string, any>} fields
   * @param {any} [told]
   */
  async step(action, fields, told) {
    const { version } = this.customer;
    const state = { ...this.fields, ...fields, version: version + 1 };
    this.customer = await this.t.answer(this.call.post({ body: { version, actions: [action] } }), customerShape(state));
    this.fields = Object.fromEntries(
      Object.entries({ ...this.fields, ...fields }).filter(([, value]) => value !== absent),
    );
    if (told) this.messages.push({ ...told, resourceVersion: version + 1 });
  }

  /** @param {any} action @param {any} wanted */
  async refused(action, wanted) {
    await this.t.refusal(this.call.post({ body: { version: this.customer.version, actions: [action] } }), wanted);
  }

  /** The messages are those that the actions leave, numbered without gaps, and no others. */
  async told() {
    const where = `resource(typeId="customer" and id="${this.customer.id}")`;
    const resource = { typeId: 'customer', id: this.customer.id };
    const results = this.messages.map((one, index) => ({ ...one, resource, sequenceNumber: index + 1 }));
    await this.t.answer(
      this.t.admin.messages().get({ queryArgs: { where, sort: 'sequenceNumber asc', limit: 100 } }),
      page(results, { limit: 100 }),
    );
  }
}

/** @param {T} t @param {string} name */
async function follow(t, name) {
  const place = project(t);
  const email = t.email(name);
  const made = place.root.customers().post({ body: { email, password: 'secret' } });
  const { customer } = await t.answer(made, including({}), 201);
  return new Follower(t, place, customer, { email });
}

/** @param {T} t */
export async function texts(t) {
  const it = await follow(t, 'una');
  for (const [name, value, told] of /** @type {[string, string, boolean][]} */ ([
    ['firstName', 'Una', true],
    ['lastName', 'Müller', true],
    ['middleName', 'Q.', false],
    ['title', 'Prof.', true],
    ['salutation', 'Ms.', false],
    ['dateOfBirth', '1999-12-31', true],
    ['companyName', 'Una Ltd', true],
    ['vatId', 'FR99', false],
    ['locale', 'en', false],
    ['externalId', 'x-1', true],
    ['key', t.key('una'), false],
    ['customerNumber', t.key('n'), false],
  ])) {
    const Name = name.charAt(0).toUpperCase() + name.slice(1);
    const action = /** @type {any} */ ({ action: `set${Name}`, [name]: value });
    await it.step(action, { [name]: value }, told ? message(`Customer${Name}Set`, { [name]: value }) : undefined);
  }
  // Without a value it goes; the message says so by saying none.
  await it.step({ action: 'setFirstName' }, { firstName: absent }, message('CustomerFirstNameSet'));
  await it.step({ action: 'setExternalId' }, { externalId: absent }, message('CustomerExternalIdSet'));
  await it.step({ action: 'setKey' }, { key: absent });
  await it.refused(
    { action: 'setCustomerNumber', customerNumber: 'another' },
    problem(400, 'InvalidOperation', 'The customerNumber cannot be changed once it is set.'),
  );

  const email = t.email('una.new');
  const changed = message('CustomerEmailChanged', { email, oldEmail: it.customer.email });
  await it.step({ action: 'changeEmail', email }, { email, isEmailVerified: false }, changed);
  const other = await follow(t, 'ursa');
  await it.refused({ action: 'changeEmail', email: other.customer.email }, duplicateEmail(other.customer.email));
  await other.step({ action: 'setKey', key: t.key('ursa') }, { key: t.key('ursa') });
  await it.refused({ action: 'setKey', key: t.key('ursa') }, duplicateField('key', t.key('ursa')));
  await it.told();
}

/** @param {T} t */
export async function signingIn(t) {
  const it = await follow(t, 'mo');
  const before = it.customer.password;
  const same = "The customer is already using the 'Password' authentication mode.";
  await it.refused({ action: 'setAuthenticationMode', authMode: 'Password', password: 'x' }, invalidInput(same));
  await it.refused({ action: 'setAuthenticationMode', authMode: 'Magic' }, invalidJson(containing('authMode')));
  await it.step(
    { action: 'setAuthenticationMode', authMode: 'ExternalAuth' },
    { authenticationMode: 'ExternalAuth', password: absent },
  );
  const noPassword = { action: 'setAuthenticationMode', authMode: 'Password' };
  await it.refused(noPassword, invalidJson('password: Missing required value'));
  const back = /** @type {const} */ ({ action: 'setAuthenticationMode', authMode: 'Password', password: 'another' });
  await it.step(back, { authenticationMode: 'Password', password: mask });
  t.expect(
    a('another mask', (password) => password !== before),
    it.customer.password,
    'password',
  );
  await it.told();
}

/** @param {T} t */
export async function addresses(t) {
  const it = await follow(t, 'addy');
  /** @param {any} address @param {string} [id] */
  const made = (address, id) => ({ ...address, id: id ?? text });
  const home = { key: 'home', country: 'DE', city: 'Berlin' };
  const work = { country: 'AT', city: 'Wien' };
  await it.step(
    { action: 'addAddress', address: home },
    { addresses: [made(home)] },
    message('CustomerAddressAdded', { address: made(home) }),
  );
  const homeId = it.customer.addresses[0].id;
  const atHome = made(home, homeId);
  await it.step(
    { action: 'addAddress', address: work },
    { addresses: [atHome, made(work)] },
    message('CustomerAddressAdded', { address: made(work) }),
  );
  const workId = it.customer.addresses[1].id;
  const atWork = made(work, workId);

  await it.step(
    { action: 'setDefaultShippingAddress', addressId: homeId },
    { addresses: [atHome, atWork], defaultShippingAddressId: homeId, shippingAddressIds: [homeId] },
    message('CustomerDefaultShippingAddressSet', { address: atHome }),
  );
  await it.step(
    { action: 'setDefaultBillingAddress', addressKey: 'home' },
    { defaultBillingAddressId: homeId, billingAddressIds: [homeId] },
    message('CustomerDefaultBillingAddressSet', { address: atHome }),
  );
  await it.step(
    { action: 'addShippingAddressId', addressId: workId },
    { shippingAddressIds: [homeId, workId] },
    message('CustomerShippingAddressAdded', { address: atWork }),
  );
  await it.step(
    { action: 'addBillingAddressId', addressId: workId },
    { billingAddressIds: [homeId, workId] },
    message('CustomerBillingAddressAdded', { address: atWork }),
  );
  const moved = { ...atHome, city: 'Potsdam' };
  await it.step(
    { action: 'changeAddress', addressId: homeId, address: { ...home, city: 'Potsdam' } },
    { addresses: [moved, atWork] },
    message('CustomerAddressChanged', { address: moved, addressRoles: ['Shipping', 'Billing'] }),
  );
  await it.step(
    { action: 'removeShippingAddressId', addressId: homeId },
    { shippingAddressIds: [workId], defaultShippingAddressId: absent },
    message('CustomerShippingAddressRemoved', { address: moved }),
  );
  await it.step(
    { action: 'removeBillingAddressId', addressId: workId },
    { billingAddressIds: [homeId] },
    message('CustomerBillingAddressRemoved', { address: atWork }),
  );
  await it.step(
    { action: 'setDefaultBillingAddress' },
    { defaultBillingAddressId: absent },
    message('CustomerDefaultBillingAddressSet'),
  );
  await it.step(
    { action: 'removeAddress', addressId: homeId },
    { addresses: [atWork], billingAddressIds: [] },
    message('CustomerAddressRemoved', { address: moved, addressRoles: ['Billing'] }),
  );
  await it.refused(
    { action: 'removeAddress', addressId: homeId },
    problem(400, 'InvalidOperation', containing(homeId)),
  );
  await it.refused({ action: 'addAddress', address: { city: 'nowhere' } }, invalidJson(containing('country')));
  await it.told();
}

/** @param {T} t */
export async function storesAndGroups(t) {
  const it = await follow(t, 'sue');
  /** @param {string} key */
  const ref = (key) => ({ typeId: /** @type {const} */ ('store'), key });
  const [north, south] = [ref(await storeKeyOf(t, 'north')), ref(await storeKeyOf(t, 'south'))];
  await it.step(
    { action: 'setStores', stores: [north] },
    { stores: [north] },
    message('CustomerStoresSet', { stores: [north], oldStores: [] }),
  );
  await it.step({ action: 'addStore', store: south }, { stores: [north, south] });
  await it.step({ action: 'removeStore', store: north }, { stores: [south] });
  await it.step(
    { action: 'setStores', stores: [] },
    { stores: [] },
    message('CustomerStoresSet', { stores: [], oldStores: [south] }),
  );
  await it.refused({ action: 'addStore', store: ref('nowhere') }, referenceNotFound('store', { key: 'nowhere' }));

  // There are no groups, so that to name one fails, and to name none changes nothing.
  const customerGroup = { typeId: 'customer-group', key: 'vip' };
  const noGroup = referenceNotFound('customer-group', { key: 'vip' });
  await it.refused({ action: 'setCustomerGroup', customerGroup }, noGroup);
  await it.refused({ action: 'setCustomerGroupAssignments', customerGroupAssignments: [{ customerGroup }] }, noGroup);
  await it.refused({ action: 'addCustomerGroupAssignment', customerGroupAssignment: { customerGroup } }, noGroup);
  await it.refused({ action: 'removeCustomerGroupAssignment', customerGroup }, noGroup);
  const { version } = it.customer;
  const nothing = /** @type {Action[]} */ ([
    { action: 'setCustomerGroup' },
    { action: 'setCustomerGroupAssignments', customerGroupAssignments: [] },
  ]);
  await t.answer(it.call.post({ body: { version, actions: nothing } }), it.customer);

  // Custom types are not of this server, and it says so.
  const type = { typeId: 'type', key: 'extra' };
  for (const action of [
    { action: 'setCustomType', type, fields: {} },
    { action: 'setCustomField', name: 'extra', value: 1 },
    { action: 'setAddressCustomType', addressId: 'x', type, fields: {} },
    { action: 'setAddressCustomField', addressId: 'x', name: 'extra', value: 1 },
  ]) {
    await it.refused(
      action,
      problem(
        400,
        text,
        a('clear words', (words) => /custom/i.test(words)),
      ),
    );
  }
  await it.told();
}

/** @param {T} t */
export async function versions(t) {
  const it = await follow(t, 'vera');
  const { id } = it.customer;
  /** @param {number} version @param {Action[]} actions */
  const update = (version, actions) => it.call.post({ body: { version, actions } });
  const rename = /** @type {Action} */ ({ action: 'setFirstName', firstName: 'Vera' });
  await t.answer(update(1, []), it.customer);
  await t.refusal(update(2, []), conflict(id, 2, 1));
  await t.refusal(update(9, [rename]), conflict(id, 9, 1));
  await t.refusal(
    t.admin
      .customers()
      .withId({ ID: '00000000' })
      .post({ body: { version: 1, actions: [] } }),
    notFoundById('00000000'),
  );
  const unknown = invalidJson(containing("actions -> action: Invalid enum value: 'dance'. Expected one of: "));
  await it.refused({ action: 'dance' }, unknown);
  // @ts-expect-error the SDK's type requires the actions
  await t.refusal(it.call.post({ body: { version: 1 } }), invalidJson(containing('actions')));
  await t.refusal(
    update(
      1,
      Array.from({ length: 501 }, () => rename),
    ),
    problem(400, text, text),
  );

  // All or nothing.
  await t.refusal(update(1, [rename, /** @type {any} */ ({ action: 'dance' })]), unknown);
  await t.answer(it.call.get(), it.customer);
  // Several at once are one version, and the messages carry it.
  const several = [rename, /** @type {Action} */ ({ action: 'setLastName', lastName: 'Vogel' })];
  it.fields = { ...it.fields, firstName: 'Vera', lastName: 'Vogel' };
  it.customer = await t.answer(update(1, several), customerShape({ ...it.fields, version: 2 }));
  it.messages.push(message('CustomerFirstNameSet', { firstName: 'Vera', resourceVersion: 2 }));
  it.messages.push(message('CustomerLastNameSet', { lastName: 'Vogel', resourceVersion: 2 }));

  // The SDK's concurrent-modification middleware reads the current version off the refusal and repeats the call.
  const overwriting = t.client([t.scope('manage_customers')], { overwrite: true });
  const key = t.key('vera');
  const stale = { version: 1, actions: [/** @type {Action} */ ({ action: 'setKey', key })] };
  await t.answer(
    overwriting.customers().withId({ ID: id }).post({ body: stale }),
    customerShape({ ...it.fields, key, version: 3 }),
  );
  await t.answer(
    t.admin
      .customers()
      .withKey({ key })
      .post({ body: { version: 3, actions: [{ action: 'setTitle', title: 'Dr.' }] } }),
    customerShape({ ...it.fields, key, title: 'Dr.', version: 4, lastModifiedBy: by() }),
  );
  it.messages.push(
    message('CustomerTitleSet', { title: 'Dr.', resourceVersion: 4, resourceUserProvidedIdentifiers: { key } }),
  );
  await it.told();
}

/** The same endpoint inside of a store. @param {T} t @param {Place} place */
export async function inPlace(t, { root, stores, name }) {
  const email = t.email(`upton.${name}`);
  const key = t.key(`upton-${name.replace('.', '-')}`);
  const { customer } = await t.answer(
    root.customers().post({ body: { email, key, password: 'x' } }),
    including({}),
    201,
  );
  await t.answer(
    root
      .customers()
      .withId({ ID: customer.id })
      .post({ body: { version: 1, actions: [{ action: 'setFirstName', firstName: 'Upton' }] } }),
    customerShape({ email, key, stores, firstName: 'Upton', version: 2 }),
  );
  await t.answer(
    root
      .customers()
      .withKey({ key })
      .post({ body: { version: 2, actions: [{ action: 'setLastName', lastName: 'Ash' }] } }),
    customerShape({ email, key, stores, firstName: 'Upton', lastName: 'Ash', version: 3 }),
  );
}
