// The two places where everything about customers exists: the project, and one of its stores.
// @ts-check
import { including } from './shape.js';

/** @typedef {import('@commercetools/platform-sdk').ByProjectKeyInStoreKeyByStoreKeyRequestBuilder} StoreApi */
/** @typedef {import('./traveller.js').Api} Api */
/** @typedef {import('./traveller.js').Traveller} Traveller */

/**
 * @typedef {object} Place
 * @property {string} name for names of customers
 * @property {Api | StoreApi} root with a token that may manage the customers here, and no others
 * @property {{ typeId: string, key: string }[]} stores the stores that a customer of this place has
 * @property {string[]} ofCustomers scopes of whoever manages customers here
 * @property {string[]} ofMe scopes of a customer of this place
 * @property {string} [oauthUri] where such a customer signs in, if not where the SDK does it by itself
 * @property {(api: Api) => Api | StoreApi} enter this place with another token
 */

/** @param {Traveller} traveller @returns {Place} */
export function project(traveller) {
  const ofCustomers = [traveller.scope('manage_customers')];
  const ofMe = [traveller.scope('manage_my_profile')];
  return { name: 'global', root: traveller.client(ofCustomers), stores: [], ofCustomers, ofMe, enter: (api) => api };
}

/** @param {Traveller} traveller @param {string} name @returns {Promise<Place>} */
export async function store(traveller, name) {
  const storeKey = await storeKeyOf(traveller, name);
  const ofCustomers = [traveller.scope('manage_customers', storeKey)];
  const ofMe = [traveller.scope('manage_my_profile', storeKey)];
  /** @param {Api} api */
  const enter = (api) => api.inStoreKeyWithStoreKeyValue({ storeKey });
  return {
    name: `store.${name}`,
    root: enter(traveller.client(ofCustomers)),
    stores: [{ typeId: 'store', key: storeKey }],
    ofCustomers,
    ofMe,
    oauthUri: `/oauth/${traveller.projectKey}/in-store/key=${storeKey}/customers/token`,
    enter,
  };
}

/** @type {Set<string>} */
const made = new Set();

/** The key of a store that is there. @param {Traveller} traveller @param {string} name */
export async function storeKeyOf(traveller, name) {
  const key = traveller.key(name);
  if (!made.has(key)) {
    await traveller.answer(traveller.admin.stores().post({ body: { key } }), including({ key }), 201);
    made.add(key);
  }
  return key;
}
