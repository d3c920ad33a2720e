// The official commercetools SDK walks every endpoint of a running Keyherald: `node journey.js URL [--only NAME,..]`.
//
// `cargo xtask test` starts a `keyherald dev` for it. It leaves customers behind, and can be run again and again on the
// same server. Every answer is compared whole with what the contract says; what differs is printed, and the last line
// is `SDK journey: .. calls, .. endpoints, .. differences`. The exit code is 0 if there were none.
//
// Not walked: what needs another time than now (tokens that expire). The server's own tests turn its clock.
// @ts-check
import { parseArgs } from 'node:util';

import { verification } from './chapters/email.js';
import * as customers from './chapters/customers.js';
import * as me from './chapters/me.js';
import { messages } from './chapters/messages.js';
import * as oauth from './chapters/oauth.js';
import { overload } from './chapters/overload.js';
import * as passwords from './chapters/passwords.js';
import { project as projectSettings } from './chapters/project.js';
import { stores } from './chapters/stores.js';
import * as subscriptions from './chapters/subscriptions.js';
import * as updates from './chapters/updates.js';
import { ENDPOINTS } from './endpoints.js';
import { project, store } from './places.js';
import { Traveller } from './traveller.js';

/** @typedef {(traveller: Traveller) => Promise<void>} Chapter */
/** @typedef {(traveller: Traveller, place: import('./places.js').Place) => Promise<void>} PlacedChapter */

/** @param {PlacedChapter} chapter @returns {Chapter} */
const global = (chapter) => (t) => chapter(t, project(t));
/** @param {PlacedChapter} chapter @returns {Chapter} */
const inStore = (chapter) => async (t) => chapter(t, await store(t, 'north'));

/** @type {Record<string, Chapter>} */
const CHAPTERS = {
  stores,
  'oauth-client': oauth.clientCredentials,
  'oauth-password': oauth.passwordAndRefresh,
  'oauth-store': oauth.inStore,
  'oauth-anonymous': oauth.anonymous,
  'oauth-revoke': oauth.introspectAndRevoke,
  customers: global(customers.createAndGet),
  'customers-query': global(customers.query),
  'customers-delete': global(customers.remove),
  'updates-texts': updates.texts,
  'updates-mode': updates.signingIn,
  'updates-addresses': updates.addresses,
  'updates-stores': updates.storesAndGroups,
  'updates-versions': updates.versions,
  updates: global(updates.inPlace),
  'password-change': global(passwords.changeAndLogin),
  'password-reset': global(passwords.tokenAndReset),
  'password-external': global(passwords.externalAuth),
  email: global(verification),
  me: global(me.customer),
  'me-visitor': global(me.visitor),
  'me-nobody': global(me.nobody),
  'store-customers': inStore(customers.createAndGet),
  'store-query': inStore(customers.query),
  'store-delete': inStore(customers.remove),
  'store-updates': inStore(updates.inPlace),
  'store-password-change': inStore(passwords.changeAndLogin),
  'store-password-reset': inStore(passwords.tokenAndReset),
  'store-password-external': inStore(passwords.externalAuth),
  'store-email': inStore(verification),
  'store-me': inStore(me.customer),
  'store-me-visitor': inStore(me.visitor),
  'store-me-nobody': inStore(me.nobody),
  'store-others': async (t) => passwords.otherPlaces(t, await store(t, 'north'), await store(t, 'south'), project(t)),
  messages,
  subscriptions: subscriptions.resource,
  'subscriptions-delivery': subscriptions.delivery,
  project: projectSettings,
  overload,
};

const { values, positionals } = parseArgs({ allowPositionals: true, options: { only: { type: 'string' } } });
const [url = 'http://127.0.0.1:8080'] = positionals;
const only = values.only?.split(',');
const unknown = only?.filter((name) => !(name in CHAPTERS)) ?? [];
if (unknown.length > 0) {
  console.error(`no such chapter: ${unknown.join(', ')}; there are: ${Object.keys(CHAPTERS).join(', ')}`);
  process.exit(2);
}

// What `keyherald dev` says at its start.
const server = { url, projectKey: 'demo', clientId: 'demo-client', clientSecret: 'demo-secret' };
const traveller = new Traveller(server);
for (const [name, chapter] of Object.entries(CHAPTERS)) {
  if (only && !only.includes(name)) continue;
  const before = { calls: traveller.wire.calls, differences: traveller.differences };
  traveller.chapter = name;
  await chapter(traveller).catch((thrown) => traveller.broke(thrown));
  for (const line of traveller.found.splice(0)) console.log(line);
  const differences = traveller.differences - before.differences;
  const verdict = differences === 0 ? 'as the contract says' : `${differences} differences`;
  console.log(`${name}: ${traveller.wire.calls - before.calls} calls, ${verdict}`);
}

const missed = only ? [] : ENDPOINTS.filter((endpoint) => !traveller.wire.walked.has(endpoint));
for (const endpoint of missed) console.log(`never answered with success: ${endpoint}`);
const differences = traveller.differences + missed.length;
console.log(
  `SDK journey: ${traveller.wire.calls} calls, ${traveller.wire.walked.size} endpoints, ${differences} differences`,
);
process.exitCode = differences === 0 ? 0 : 1;
