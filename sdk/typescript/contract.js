// The documented bodies, as shapes.
// @ts-check
import { a, absent, containing, count, including, like, listOf, optional, text, time, uuid } from './shape.js';

export const mask = like('password mask', /^\*{4}.{4}$/);
export const tokenValue = like('token value', /^[A-Za-z0-9_-]{40}$/);

/** Who did it, by the token of the request. @param {Record<string, any>} [more] */
export const by = (more = {}) => ({ clientId: text, isPlatformClient: false, ...more });

const times = { createdAt: time, lastModifiedAt: time };

/** What every resource has. */
const resource = { id: uuid, version: count, ...times, createdBy: including(by()), lastModifiedBy: including(by()) };

/**
 * A customer: these fields, the required ones, and no other.
 * @param {Record<string, any>} fields
 */
export const customer = (fields) => ({
  ...resource,
  email: text,
  password: fields['authenticationMode'] === 'ExternalAuth' ? absent : mask,
  addresses: [],
  shippingAddressIds: [],
  billingAddressIds: [],
  isEmailVerified: false,
  stores: [],
  authenticationMode: 'Password',
  customerGroupAssignments: [],
  ...fields,
});

/** @param {Record<string, any>} fields */
export const signInResult = (fields) => ({ customer: customer(fields) });

/**
 * The answer to the creation of a token of either kind.
 * @param {string} customerId
 * @param {Record<string, any>} [fields]
 */
export const customerToken = (customerId, fields = {}) => ({
  id: uuid,
  ...times,
  createdBy: including(by()),
  lastModifiedBy: including(by()),
  customerId,
  expiresAt: time,
  value: tokenValue,
  invalidateOlderTokens: false,
  ...fields,
});

/** @param {{ expiresAt: string, createdAt: string }} token */
export const minutesOf = ({ expiresAt, createdAt }) => (Date.parse(expiresAt) - Date.parse(createdAt)) / 60_000;

/**
 * A message: these fields, the common ones, and no other.
 * @param {string} type
 * @param {Record<string, any>} [fields]
 */
export const message = (type, fields = {}) => ({
  id: uuid,
  version: 1,
  ...times,
  createdBy: including(by()),
  lastModifiedBy: including(by()),
  sequenceNumber: a('number from 1', (value) => Number.isInteger(value) && value >= 1),
  resource: { typeId: text, id: uuid },
  resourceVersion: a('number from 1', (value) => Number.isInteger(value) && value >= 1),
  resourceUserProvidedIdentifiers: optional(including({})),
  type,
  ...fields,
});

/** @param {any} results @param {Record<string, any>} [fields] */
export const page = (results, fields = {}) => ({
  limit: 20,
  offset: 0,
  count: Array.isArray(results) ? results.length : count,
  total: Array.isArray(results) ? results.length : count,
  results,
  ...fields,
});

/** A subscription: these fields, the required ones, and no other. @param {Record<string, any>} fields */
export const subscription = (fields) => ({
  ...resource,
  destination: including({ type: 'Webhook' }),
  messages: [],
  changes: [],
  events: [],
  format: { type: 'Platform' },
  status: 'Healthy',
  ...fields,
});

/** What the SDK's type requires of a store. @param {Record<string, any>} fields */
export const store = (fields) =>
  including({
    ...resource,
    languages: [],
    countries: [],
    distributionChannels: [],
    supplyChannels: [],
    productSelections: [],
    ...fields,
  });

/** What the contract requires of a project. @param {Record<string, any>} fields */
export const project = (fields) =>
  including({
    version: count,
    key: text,
    name: text,
    countries: listOf(text),
    currencies: listOf(text),
    languages: listOf(text),
    createdAt: time,
    messages: including({ enabled: true }),
    carts: including({}),
    inventory: including({}),
    discounts: including({}),
    ...fields,
  });

/** @param {string} scope @param {Record<string, any>} [more] */
export const granted = (scope, more = {}) => ({
  access_token: text,
  token_type: 'Bearer',
  expires_in: 172800,
  scope,
  ...more,
});

// Errors.

/**
 * An error of the api.
 * @param {number} statusCode
 * @param {string} code
 * @param {any} message
 * @param {Record<string, any>} [extra]
 */
export const problem = (statusCode, code, message, extra = {}) => ({
  statusCode,
  message,
  errors: [{ code, message, ...extra }],
});

/** An error about who is calling. @param {number} statusCode @param {string} code @param {any} message */
export const authProblem = (statusCode, code, message) => ({
  ...problem(statusCode, code, message),
  error: code,
  error_description: message,
});

/** @param {any} message */
export const invalidInput = (message) => problem(400, 'InvalidInput', message);

/** @param {any} detail */
export const invalidJson = (detail) =>
  problem(400, 'InvalidJsonInput', 'Request body does not contain valid JSON.', { detailedErrorMessage: detail });

/** @param {string} id */
export const notFoundById = (id) => problem(404, 'ResourceNotFound', `The Resource with ID '${id}' was not found.`);

/** @param {string} key */
export const notFoundByKey = (key) => problem(404, 'ResourceNotFound', `The Resource with key '${key}' was not found.`);

/** @param {string} value */
export const unknownToken = (value) =>
  problem(404, 'ResourceNotFound', `The Customer with ID 'Token(${value})' was not found.`);

/** @param {string} id @param {number} expected @param {number} actual */
export const conflict = (id, expected, actual) =>
  problem(
    409,
    'ConcurrentModification',
    `Object ${id} has a different version than expected. Expected: ${expected} - Actual: ${actual}.`,
    { currentVersion: actual },
  );

/** @param {string} scope */
export const insufficientScope = (scope) =>
  authProblem(403, 'insufficient_scope', `Insufficient scope. One of the following scopes is missing: ${scope}.`);

/** @param {string} typeId @param {Record<string, string>} by */
export const referenceNotFound = (typeId, by) =>
  problem(400, 'ReferencedResourceNotFound', containing(`The referenced object of type '${typeId}' with`), {
    typeId,
    ...by,
  });

/** @param {string} field @param {string} value */
export const duplicateField = (field, value) =>
  problem(400, 'DuplicateField', `A duplicate value ${value} exists for field ${field}.`, {
    field,
    duplicateValue: value,
  });

/** @param {string} email */
export const duplicateEmail = (email) =>
  problem(400, 'DuplicateField', 'There is already an existing customer with the provided email.', {
    field: 'email',
    duplicateValue: email,
  });

export const invalidCredentials = problem(400, 'InvalidCredentials', 'Account with the given credentials not found.');
export const wrongCurrentPassword = problem(
  400,
  'InvalidCurrentPassword',
  'The given current password does not match.',
);
export const noSuchAccount = authProblem(
  400,
  'invalid_customer_account_credentials',
  'Customer account with the given credentials not found.',
);
export const invalidGrant = authProblem(400, 'invalid_grant', 'The refresh token was not found. It may have expired.');
export const deadToken = { ...problem(401, 'invalid_token', 'invalid_token'), error: 'invalid_token' };
export const missingVersion = invalidInput('Missing required parameter: version.');
export const ttlOutOfRange = invalidInput(
  'Malformed parameter: ttlMinutes: The ttlMinutes parameter must be in the range of [1..525600]',
);
export const methodNotAllowed = { statusCode: 405, message: 'Method Not Allowed' };
