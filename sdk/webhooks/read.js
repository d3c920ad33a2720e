// The libraries of Standard Webhooks and CloudEvents read what a running Keyherald delivers: `node read.js URL`.
//
// `cargo xtask test` starts a `keyherald dev` for it. It subscribes in every mode, changes passwords, and has each delivery
// verified and parsed by libraries that others wrote. What differs is printed, and the last line is
// `webhook readers: .. deliveries, .. events, .. differences`. The exit code is 0 if there were none.
// @ts-check
import { createPublicKey, randomUUID, verify } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';

import { HTTP } from 'cloudevents';
import { Webhook } from 'standardwebhooks';

/** @typedef {{ path: string, headers: Record<string, string>, body: string }} Delivery */
/** @typedef {{ name: string, destination: any, format?: any, subscription?: any }} Endpoint */

/** How long all deliveries may take: the server is not slow, but the machine may be. */
const PATIENCE_MS = 60_000;
/** Customers, who begin at the same moment, and how often each changes the password. */
const [CUSTOMERS, CHANGES] = [12, 2];

const [url = 'http://127.0.0.1:8080'] = process.argv.slice(2);
const project = `${url}/demo`;
const found = { deliveries: 0, events: 0, differences: 0 };

/** @param {boolean} isSo @param {string} what */
function expect(isSo, what) {
  if (isSo) return;
  found.differences += 1;
  console.log(`differs: ${what}`);
}

/** @param {string} what @param {() => any} attempt */
function succeeds(what, attempt) {
  try {
    return attempt();
  } catch (thrown) {
    expect(false, `${what}: ${thrown}`);
    return undefined;
  }
}

/** @param {() => any} attempt */
function fails(attempt) {
  try {
    attempt();
    return false;
  } catch {
    return true;
  }
}

// The server's side.

const basic = Buffer.from('demo-client:demo-secret').toString('base64');
const granted = await fetch(`${url}/oauth/token?grant_type=client_credentials`, {
  method: 'POST',
  headers: { authorization: `Basic ${basic}` },
});
const { access_token: token } = await granted.json();

/** @param {string} path @param {unknown} body */
async function post(path, body) {
  for (;;) {
    const answer = await fetch(`${project}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (answer.status === 503) continue; // it hashes as many passwords as it can
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }
}

// The receiver's side.

/** @type {Delivery[]} */
const got = [];
const receiver = createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) body += chunk;
  const headers = /** @type {Record<string, string>} */ (request.headers);
  // At least once: the id tells what came again.
  const path = request.url ?? '';
  const isNew = !got.some((old) => old.path === path && old.headers['webhook-id'] === headers['webhook-id']);
  if (isNew) got.push({ path, headers, body });
  response.writeHead(204).end();
  receiver.emit('delivery');
});
receiver.listen(0, '127.0.0.1');
await once(receiver, 'listening');
const { port } = /** @type {import('node:net').AddressInfo} */ (receiver.address());

/** The events of a delivery, as CloudEvents' library reads them. @param {Delivery} delivery @returns {any[]} */
function events(delivery) {
  const read = succeeds(`${delivery.path} is read`, () => HTTP.toEvent(delivery));
  return read === undefined ? [] : [read].flat();
}

/** @param {string} path */
const at = (path) => got.filter((delivery) => delivery.path === path);

const run = randomUUID().slice(0, 8);
const cloudEvents = { type: 'CloudEvents', cloudEventsVersion: '1.0' };
/** @type {Record<string, Endpoint>} */
const endpoints = {
  platform: { name: 'platform', destination: {} },
  structured: { name: 'structured', destination: {}, format: cloudEvents },
  binary: { name: 'binary', destination: { cloudEventsMode: 'binary' }, format: cloudEvents },
  batched: { name: 'batched', destination: { cloudEventsMode: 'batched', batchMax: 5 }, format: cloudEvents },
  rotated: { name: 'rotated', destination: { asymmetric: true } },
};
/** @param {Endpoint} endpoint */
const destinationOf = ({ name, destination }) => ({
  type: 'Webhook',
  url: `http://127.0.0.1:${port}/${name}`,
  ...destination,
});
for (const endpoint of Object.values(endpoints)) {
  const { name, format } = endpoint;
  const draft = { key: `${name}-${run}`, destination: destinationOf(endpoint), format };
  const messages = [{ resourceTypeId: 'customer', types: ['CustomerPasswordUpdated'] }];
  endpoint.subscription = await post('/subscriptions', { ...draft, messages });
}

/** Another secret, with an overlap. @param {Endpoint} endpoint @param {number} secretOverlapHours */
async function rotate(endpoint, secretOverlapHours) {
  const { id, version } = endpoint.subscription;
  const action = { action: 'changeDestination', destination: { ...destinationOf(endpoint), secretOverlapHours } };
  endpoint.subscription = await post(`/subscriptions/${id}`, { version, actions: [action] });
  return endpoint.subscription.destination;
}

const former = endpoints.rotated.subscription.destination;
const current = await rotate(endpoints.rotated, 24);
expect(former.secret !== current.secret, 'a rotation makes another secret');

const journeys = Array.from({ length: CUSTOMERS }, async (_, number) => {
  const email = `reader-${number}.${run}@example.com`;
  let { customer } = await post('/customers', { email, password: 'password-0' });
  for (let change = 0; change < CHANGES; change += 1) {
    const [currentPassword, newPassword] = [`password-${change}`, `password-${change + 1}`];
    const { id, version } = customer;
    customer = await post('/customers/password', { id, version, currentPassword, newPassword });
  }
});
await Promise.all(journeys);

const EXPECTED = CUSTOMERS * CHANGES;
/** How many messages arrived. @param {string} name */
const count = (name) =>
  at(`/${name}`).reduce((sum, { body }) => sum + (name === 'batched' ? JSON.parse(body).length : 1), 0);
const patience = AbortSignal.timeout(PATIENCE_MS);
while (Object.keys(endpoints).some((name) => count(name) < EXPECTED) && !patience.aborted) {
  await once(receiver, 'delivery', { signal: patience }).catch(() => {});
}

// Each delivery is signed, and a changed one is not.
for (const [name, { subscription }] of Object.entries(endpoints)) {
  expect(count(name) === EXPECTED, `${count(name)} messages at /${name}, not ${EXPECTED}`);
  const webhook = new Webhook(subscription.destination.secret);
  for (const { headers, body } of at(`/${name}`)) {
    found.deliveries += 1;
    succeeds(`a delivery to /${name} verifies`, () => webhook.verify(body, headers));
    expect(fails(() => webhook.verify(`${body} `, headers)), `a changed delivery to /${name} does not verify`);
  }
}

// Each event is an event, in order for its customer, and the same in every mode.
/** @type {Map<string, string>} */
const byId = new Map();
for (const name of ['structured', 'binary', 'batched']) {
  /** @type {Map<string, number>} */
  const last = new Map();
  for (const event of at(`/${name}`).flatMap(events)) {
    found.events += 1;
    succeeds(`an event at /${name} is valid`, () => event.validate());
    const [subject, sequence] = [event.subject, Number(event.sequence)];
    expect(sequence > (last.get(subject) ?? 0), `${subject} in order at /${name}`);
    last.set(subject, sequence);
    const whole = JSON.stringify(Object.entries({ ...event.toJSON(), datacontenttype: undefined }).sort());
    expect(event.data?.id === event.id && event.data?.type === 'CustomerPasswordUpdated', `the data at /${name}`);
    expect((byId.get(event.id) ?? whole) === whole, `${event.id} at /${name}: ${whole} and ${byId.get(event.id)}`);
    byId.set(event.id, whole);
  }
}
expect(byId.size === EXPECTED, `${byId.size} events with ids of their own`);
const batches = at('/batched').map((delivery) => JSON.parse(delivery.body).length);
expect(Math.max(...batches) > 1 && Math.max(...batches) <= 5, `batches of ${batches}`);

// During the overlap both secrets and both key pairs have signed.
const decoder = new Webhook(former.secret);
const spki = Buffer.from('302a300506032b6570032100', 'hex');
for (const { headers, body } of at('/rotated')) {
  succeeds('the former secret verifies', () => decoder.verify(body, headers));
  const signed = Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`);
  const signatures = headers['webhook-signature'].split(' ').filter((one) => one.startsWith('v1a,'));
  for (const { publicKey } of [former, current]) {
    const raw = Buffer.from(publicKey.replace('whpk_', ''), 'base64');
    const key = createPublicKey({ key: Buffer.concat([spki, raw]), format: 'der', type: 'spki' });
    const fits = signatures.some((one) => verify(null, signed, key, Buffer.from(one.slice(4), 'base64')));
    expect(fits, 'a v1a signature of each key');
  }
}

// Without an overlap the former secret ends at once.
const last = await rotate(endpoints.rotated, 0);
const before = at('/rotated').length;
const { customer } = await post('/customers', { email: `last.${run}@example.com`, password: 'password-0' });
const { id, version } = customer;
await post('/customers/password', { id, version, currentPassword: 'password-0', newPassword: 'password-1' });
while (at('/rotated').length === before && !patience.aborted) {
  await once(receiver, 'delivery', { signal: patience }).catch(() => {});
}
const newest = at('/rotated').at(-1);
expect(at('/rotated').length === before + 1, 'one more delivery after the second rotation');
if (newest) {
  found.deliveries += 1;
  succeeds('the last secret verifies', () => new Webhook(last.secret).verify(newest.body, newest.headers));
  const old = new Webhook(current.secret);
  expect(fails(() => old.verify(newest.body, newest.headers)), 'a secret without overlap verifies no more');
}

for (const { subscription } of Object.values(endpoints)) {
  const path = `${project}/subscriptions/${subscription.id}?version=${subscription.version}`;
  await fetch(path, { method: 'DELETE', headers: { authorization: `Bearer ${token}` } });
}
receiver.close();
receiver.closeAllConnections();
console.log(
  `webhook readers: ${found.deliveries} deliveries, ${found.events} events, ${found.differences} differences`,
);
process.exitCode = found.differences === 0 ? 0 : 1;
