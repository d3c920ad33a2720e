// Subscriptions: create, look at, change, delete; and what arrives at a receiver in both formats.
// @ts-check
import { createHmac } from 'node:crypto';

import {
  by,
  conflict,
  duplicateField,
  insufficientScope,
  invalidInput,
  invalidJson,
  message,
  missingVersion,
  notFoundById,
  notFoundByKey,
  page,
  subscription,
} from '../contract.js';
import { Receiver } from '../receiver.js';
import { absent, containing, including, like, listOf, optional, startingWith, time, uuid } from '../shape.js';

/** @typedef {import('../traveller.js').Traveller} T */
/** @typedef {import('@commercetools/platform-sdk').SubscriptionUpdateAction} Action */

const NOTHING_TO_TELL = invalidInput(
  'A subscription must contain at least one message notification or one change notification.',
);
const SECRET = like('signing secret', /^whsec_[A-Za-z0-9+/=]+$/);

/** Our own kind of destination, which the SDK's types cannot know. @param {string} url @returns {any} */
const webhook = (url) => ({ type: 'Webhook', url });

/** The contract's kinds, each well formed. @returns {any[]} */
const clouds = () => [
  {
    type: 'SQS',
    queueUrl: 'https://127.0.0.1/1/q',
    region: 'eu-west-1',
    accessKey: 'k',
    accessSecret: 's',
  },
  { type: 'EventBridge', region: 'eu-west-1', accountId: '123456789012' },
  {
    type: 'AzureServiceBus',
    connectionString: 'Endpoint=sb://127.0.0.1/;SharedAccessKeyName=n;SharedAccessKey=k;EntityPath=q',
  },
  { type: 'EventGrid', uri: 'https://127.0.0.1/api/events', accessKey: 'k' },
  { type: 'GoogleCloudPubSub', projectId: 'p', topic: 't' },
];

/** What is said of those that are real: nobody is there to take a test message, and the server has no account at Google or AWS. */
const refusals = /** @type {Record<string, string>} */ ({
  SQS: 'A test message could not be delivered to this destination: SQS https://127.0.0.1/1/q in eu-west-1 for k.',
  EventBridge: "needs the server's own access to AWS",
  AzureServiceBus:
    'A test message could not be delivered to this destination: AzureServiceBus q at 127.0.0.1 for n.',
  EventGrid:
    'A test message could not be delivered to this destination: EventGrid https://127.0.0.1/api/events.',
  GoogleCloudPubSub: 'GoogleCloudPubSub needs an account',
});

/** @param {T} t */
export async function resource(t) {
  const all = t.client([t.scope('manage_subscriptions')]).subscriptions();
  const key = t.key('sub');
  const messages = [
    { resourceTypeId: 'customer', types: ['CustomerDeleted'] },
    { resourceTypeId: 'customer-password-token' },
  ];
  const draft = { key, destination: webhook(`${t.url}/nowhere`), messages };
  const fields = {
    version: 1,
    key,
    createdBy: by(),
    lastModifiedBy: by(),
    messages: [messages[0], { resourceTypeId: 'customer-password-token', types: [] }],
  };
  const shown = { type: 'Webhook', url: draft.destination.url };
  const made = await t.answer(
    all.post({ body: draft }),
    subscription({ ...fields, destination: { ...shown, secret: SECRET } }),
    201,
  );
  const { id } = made;
  // The secret is shown once.
  const it = subscription({ ...fields, id, destination: shown });
  const [byId, byKey] = [all.withId({ ID: id }), all.withKey({ key })];
  await t.answer(byId.get(), it);
  await t.answer(byKey.get(), it);
  await t.found200(byId.head());
  await t.found200(byKey.head());
  await t.answer(all.get({ queryArgs: { where: 'key=:key', 'var.key': key } }), page([it]));
  await t.answer(
    all.get({ queryArgs: { where: `key="${key}"`, sort: 'createdAt desc', limit: 1, withTotal: false } }),
    page([it], { limit: 1, total: absent }),
  );
  await t.found200(all.head({ queryArgs: { where: `key="${key}"` } }));
  await t.found404(all.head({ queryArgs: { where: 'key="nobody"' } }));
  await t.refusal(all.withId({ ID: 'x' }).get(), notFoundById('x'));
  await t.refusal(all.withKey({ key: 'nobody' }).get(), notFoundByKey('nobody'));
  await t.found404(all.withKey({ key: 'nobody' }).head());
  await t.answer(byId.withIdHealth().get(), { status: 'Healthy' });
  await t.answer(t.raw('GET', `/${t.projectKey}/subscriptions/${id}/health`), { status: 'Healthy' });

  await t.refusal(all.post({ body: draft }), duplicateField('key', key));
  await t.refusal(all.post({ body: { destination: draft.destination } }), NOTHING_TO_TELL);
  await t.refusal(
    all.post({ body: { destination: draft.destination, messages: [], changes: [], events: [] } }),
    NOTHING_TO_TELL,
  );
  // @ts-expect-error the SDK's type requires a destination
  await t.refusal(all.post({ body: { messages } }), invalidJson('destination: Missing required value'));
  await t.refusal(
    all.post({ body: { destination: draft.destination, messages: [{ resourceTypeId: /** @type {any} */ ('cat') }] } }),
    invalidJson(containing('resourceTypeId')),
  );
  await t.refusal(
    all.post({ body: { destination: /** @type {any} */ ({ type: 'Pigeon' }), messages } }),
    invalidJson(containing('destination')),
  );
  for (const destination of clouds()) {
    const format =
      destination.type === 'EventGrid'
        ? { format: { type: /** @type {const} */ ('CloudEvents'), cloudEventsVersion: '1.0' } }
        : {};
    await t.refusal(
      all.post({ body: { destination, messages, ...format } }),
      invalidInput(containing(refusals[destination.type] ?? `of type ${destination.type} are not available`)),
    );
  }
  await t.refusal(
    all.post({ body: { destination: /** @type {any} */ ({ type: 'SQS', region: 'eu-west-1' }), messages } }),
    invalidInput(containing('queueUrl')),
  );
  // Our other kind, of development servers: it prints.
  const printing = subscription({ destination: { type: 'Console' }, messages: [messages[0]] });
  const printer = await t.answer(
    all.post({ body: { destination: /** @type {any} */ ({ type: 'Console' }), messages: [messages[0]] } }),
    printing,
    201,
  );
  await t.answer(all.withId({ ID: printer.id }).delete({ queryArgs: { version: 1 } }), printer);
  await t.refusal(
    t
      .client([t.scope('view_messages')])
      .subscriptions()
      .get(),
    insufficientScope('manage_subscriptions'),
  );

  await changes(t, byId, byKey, { id, fields });

  // @ts-expect-error the SDK's type requires the version
  await t.refusal(byId.delete({ queryArgs: {} }), missingVersion);
  await t.refusal(byId.delete({ queryArgs: { version: 1 } }), conflict(id, 1, 5));
  await t.answer(byId.delete({ queryArgs: { version: 5 } }), including({ id, version: 5 }));
  await t.refusal(byId.get(), notFoundById(id));
  const second = await t.answer(all.post({ body: draft }), including({ key }), 201);
  await t.answer(byKey.delete({ queryArgs: { version: 1 } }), including({ id: second.id }));
  await t.refusal(byKey.delete({ queryArgs: { version: 1 } }), notFoundByKey(key));
  await t.refusal(t.raw('GET', `/${t.projectKey}/subscriptions/${id}/health`), notFoundById(id));
}

/**
 * @param {T} t
 * @param {any} byId
 * @param {any} byKey
 * @param {{ id: string, fields: Record<string, any> }} made
 */
async function changes(t, byId, byKey, { id, fields }) {
  const key = `${fields['key']}-new`;
  /** @param {number} version @param {Action[]} actions */
  const body = (version, ...actions) => ({ body: { version, actions } });
  const noMessages = /** @type {Action} */ ({ action: 'setMessages', messages: [] });
  const ofCustomers = /** @type {Action} */ ({ action: 'setChanges', changes: [{ resourceTypeId: 'customer' }] });
  const shown = { type: 'Webhook', url: `${t.url}/nowhere` };
  const state = { ...fields, id, destination: shown };

  await t.refusal(byId.post(body(7)), conflict(id, 7, 1));
  await t.refusal(byId.post(body(1, noMessages)), NOTHING_TO_TELL);
  await t.refusal(
    byId.post(body(1, /** @type {any} */ ({ action: 'dance' }))),
    invalidJson(containing("actions -> action: Invalid enum value: 'dance'.")),
  );
  // What is there is counted after all actions: messages may be swapped for changes in one request.
  const swapped = { ...state, version: 2, messages: [], changes: [{ resourceTypeId: 'customer' }] };
  await t.answer(byId.post(body(1, noMessages, ofCustomers)), subscription(swapped));
  const listed = { resourceTypeId: 'customer', types: ['CustomerDeleted'] };
  await t.answer(
    byKey.post(
      body(
        2,
        { action: 'setMessages', messages: [listed] },
        { action: 'setChanges', changes: [] },
        { action: 'setEvents', events: [] },
      ),
    ),
    subscription({ ...state, version: 3, messages: [listed] }),
  );
  await t.answer(
    byId.post(body(3, { action: 'setKey', key })),
    subscription({ ...state, version: 4, messages: [listed], key }),
  );
  await t.refusal(byKey.get(), notFoundByKey(fields['key']));
  const elsewhere = webhook(`${t.url}/elsewhere`);
  await t.answer(
    byId.post(body(4, { action: 'changeDestination', destination: elsewhere })),
    subscription({
      ...state,
      version: 5,
      messages: [listed],
      key,
      destination: { ...elsewhere, secret: optional(SECRET) },
    }),
  );
}

/** @param {T} t */
export async function delivery(t) {
  const receiver = await Receiver.start();
  const all = t.admin.subscriptions();
  const messages = [
    { resourceTypeId: 'customer' },
    { resourceTypeId: 'customer-password-token' },
    { resourceTypeId: 'customer-email-token' },
  ];
  /** @type {any[]} */
  const made = [];
  try {
    const platform = {
      destination: webhook(`${receiver.url}/platform`),
      messages,
      changes: [{ resourceTypeId: 'customer' }],
    };
    made.push(await t.answer(all.post({ body: platform }), including({ format: { type: 'Platform' } }), 201));
    const format = { type: /** @type {const} */ ('CloudEvents'), cloudEventsVersion: '1.0' };
    const events = { destination: webhook(`${receiver.url}/events`), messages, changes: platform.changes, format };
    made.push(await t.answer(all.post({ body: events }), including({ format }), 201));

    const email = t.email('dell');
    const { customer } = await t.answer(
      t.admin.customers().post({ body: { email, key: t.key('dell'), password: 'a' } }),
      including({}),
      201,
    );
    const token = await t.answer(
      t.admin
        .customers()
        .passwordToken()
        .post({ body: { email, ttlMinutes: 20 } }),
      including({}),
    );
    const rename = { version: 1, actions: [/** @type {const} */ ({ action: 'setFirstName', firstName: 'Dell' })] };
    await t.answer(t.admin.customers().withId({ ID: customer.id }).post({ body: rename }), including({ version: 2 }));
    await t.answer(
      t.admin
        .customers()
        .withId({ ID: customer.id })
        .delete({ queryArgs: { version: 2 } }),
      including({ id: customer.id }),
    );

    const told = expected(t, customer, token);
    for (const [path, { destination }] of /** @type {[string, any][]} */ ([
      ['/platform', made[0]],
      ['/events', made[1]],
    ])) {
      const got = await receiver.deliveries(path, told.messages.length + told.changes.length);
      for (const { headers, body } of got) {
        const signed = createHmac('sha256', Buffer.from(destination.secret.replace(/^whsec_/, ''), 'base64'));
        const signature = signed
          .update(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`)
          .digest('base64');
        t.expect(containing(`v1,${signature}`), headers['webhook-signature'], `signature at ${path}`);
      }
      const bodies = got.map(({ body }) => JSON.parse(body));
      if (path === '/events') {
        t.expect(
          listOf(startingWith('application/cloudevents+json')),
          got.map(({ headers }) => headers['content-type']),
          'content types',
        );
      }
      const payloads = path === '/events' ? bodies.map(({ data }) => data) : bodies;
      const [ofMessages, ofChanges] = [true, false].map((wanted) =>
        payloads.filter((one) => (one?.notificationType === 'Message') === wanted),
      );
      t.expect(told.messages, ofMessages, `messages at ${path}`);
      t.expect(told.changes, ofChanges, `changes at ${path}`);
      if (path === '/events')
        for (const event of bodies) t.expect(envelope(t, event.data ?? {}), event, 'CloudEvents envelope');
    }
  } finally {
    for (const { id } of made)
      await all
        .withId({ ID: id })
        .delete({ queryArgs: { version: 1 } })
        .execute();
    await receiver.stop();
  }
}

/** What a receiver must hear, in order. @param {T} t @param {any} customer @param {any} token */
function expected(t, customer, token) {
  const { id, key } = customer;
  const common = { notificationType: 'Message', projectKey: t.projectKey, createdBy: absent, lastModifiedBy: absent };
  const ofCustomer = { ...common, resource: { typeId: 'customer', id }, resourceUserProvidedIdentifiers: { key } };
  const change = {
    projectKey: t.projectKey,
    resource: { typeId: 'customer', id },
    resourceUserProvidedIdentifiers: optional({ key }),
    modifiedAt: time,
  };
  const { expiresAt, value, invalidateOlderTokens } = token;
  return {
    messages: [
      message('CustomerCreated', { ...ofCustomer, sequenceNumber: 1, resourceVersion: 1, customer }),
      message('CustomerPasswordTokenCreated', {
        ...common,
        resource: { typeId: 'customer-password-token', id: token.id },
        resourceUserProvidedIdentifiers: {},
        sequenceNumber: 1,
        resourceVersion: 1,
        customerId: id,
        expiresAt,
        value,
        invalidateOlderTokens,
      }),
      message('CustomerFirstNameSet', { ...ofCustomer, sequenceNumber: 2, resourceVersion: 2, firstName: 'Dell' }),
      message('CustomerDeleted', { ...ofCustomer, sequenceNumber: 3, resourceVersion: 3, email: customer.email }),
    ],
    changes: [
      { ...change, notificationType: 'ResourceCreated', version: 1 },
      { ...change, notificationType: 'ResourceUpdated', version: 2, oldVersion: 1 },
      // The last version that was known.
      { ...change, notificationType: 'ResourceDeleted', version: 2, dataErasure: optional(false) },
    ],
  };
}

/** What CloudEvents wraps around a payload. @param {T} t @param {any} data */
function envelope(t, data) {
  const { typeId, id } = data.resource ?? {};
  const isMessage = data.notificationType === 'Message';
  const source = { customer: '/customers', 'customer-password-token': '/customers/password-token' }[
    /** @type {string} */ (typeId)
  ];
  return {
    specversion: '1.0',
    id: isMessage ? data.id : uuid,
    type: isMessage
      ? `com.commercetools.${typeId}.message.${data.type}`
      : `com.commercetools.${typeId}.change.${data.notificationType}`,
    source: `/${t.projectKey}${source}`,
    subject: id,
    time: data.lastModifiedAt ?? data.modifiedAt,
    sequence: isMessage ? String(data.sequenceNumber) : absent,
    sequencetype: isMessage ? 'Integer' : absent,
    dataref: isMessage ? `/${t.projectKey}/messages/${data.id}` : absent,
    datacontenttype: optional('application/json'),
    data,
  };
}
