// The shop whose customers forget their passwords, and their mailbox, where their SMS are too.
// @ts-check
import { randomUUID } from 'node:crypto';

const NAMES = ['ada.lovelace', 'grace.hopper', 'katherine.johnson', 'emmy.noether', 'sofia.kowalewska'];
const PROJECT = 'demo';
const CLIENT = 'demo-client:demo-secret';
/** The wallet that the shop is besides: who comes in there proves an address and a number. */
const WALLET_CLIENT = 'demo-app:demo-app-secret';
/** The wallet's own back end. */
const ADMIN_CLIENT = 'demo-admin:demo-admin-secret';
/** How long a mail may take. */
const MAIL_WAIT_MS = 30_000;

export class Shop {
  /** @type {string | undefined} */
  #token;
  #people = -1;
  /** The last code that was given for each address or number. @type {Map<string, string>} */
  #codes = new Map();

  /** @param {string} url @param {boolean} [tidy] addresses as they look good in pictures; on a new server only */
  constructor(url, tidy = false) {
    this.tidy = tidy;
    this.url = url.replace(/\/$/, '');
    this.pages = `${this.url}/recover/${PROJECT}`;
  }

  /** An address that nobody has. */
  stranger() {
    this.#people += 1;
    const name = NAMES[this.#people % NAMES.length];
    const round = Math.floor(this.#people / NAMES.length);
    return `${name}${this.tidy ? (round > 0 ? `.${round}` : '') : `.${randomUUID().slice(0, 8)}`}@example.com`;
  }

  /** A customer's address. */
  async customer(password = 'the password that was forgotten') {
    const email = this.stranger();
    await this.#call('POST', 'customers', { email, password }, 201);
    return email;
  }

  /** A customer with a mobile number, which only who has proved it has. */
  async customerWithNumber(password = 'the password that was forgotten') {
    const [email, mobile] = [this.stranger(), `+43664${String(Date.now()).slice(-7)}`];
    const customerIdentifiers = {
      email: { value: email, verificationId: await this.#prove('EMAIL', email) },
      mobile: { value: mobile, verificationId: await this.#prove('MOBILE', mobile) },
    };
    const customer = { firstName: 'Ada', lastName: 'Lovelace' };
    const body = { customerIdentifiers, customerCredentials: { password }, customer, deviceInfo: { appType: 'WEB' } };
    const { customer: made } = await this.#wallet('wallet-setup/customers', body);
    return { email, mobile, number: /** @type {string} */ (made.id) };
  }

  /** Where the wallet sends a customer who forgot the password, and who is to come back to an address. @param {string} number @param {string} returnUrl */
  async sendToPages(number, returnUrl) {
    const { redirectUrl } = await this.#wallet(`customers/${number}/credentials`, { flow: 'PASSWORD_RESET', returnUrl }, true);
    return /** @type {string} */ (redirectUrl);
  }

  /** Proves an address or a number, and answers by which process. @param {string} type @param {string} value */
  async #prove(type, value) {
    const attribute = { type, value };
    const { verificationId } = await this.#wallet('wallet-setup/verifications', { attribute, flow: 'WALLET_SETUP' });
    const notificationType = { method: 'OTP', channel: type === 'EMAIL' ? 'EMAIL' : 'SMS' };
    const attempt = { attribute, notificationType, value: await this.code(value) };
    await this.#wallet(`wallet-setup/verifications/${verificationId}/attempts`, attempt);
    return verificationId;
  }

  /** @param {string} path @param {object} body @param {boolean} [isBackEnd] */
  async #wallet(path, body, isBackEnd = false) {
    const client = isBackEnd ? ADMIN_CLIENT : WALLET_CLIENT;
    const token = await this.#authorize(`digitalwallets/v1/auth/brands/${PROJECT}/token`, client);
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const url = `${this.url}/digitalwallets/${isBackEnd ? 'v2' : 'v1'}/${path}`;
    const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
    if (!response.ok) {
      throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
    }
    return response.json();
  }

  /** Whether the customer can sign in with a password. @param {string} email @param {string} password */
  async signsIn(email, password) {
    const status = await this.#status('login', { email, password });
    return status === 200;
  }

  /** A password token, as a mail's link carries it. @param {string} email */
  async passwordToken(email) {
    const made = await this.#call('POST', 'customers/password-token', { email }, 200);
    return /** @type {string} */ (made.value);
  }

  /**
   * The first text in the mails to an address, or the SMS to a number, that a pattern finds, newest mail first, other than `before`.
   * @param {string} email @param {RegExp} pattern @param {string} [before]
   */
  async mailed(email, pattern, before) {
    const deadline = Date.now() + MAIL_WAIT_MS;
    for (;;) {
      const mails = await (await fetch(`${this.url}/dev/mailbox`)).json();
      for (const mail of mails.reverse()) {
        const found = mail.to === email && pattern.exec(mail.text)?.[0];
        if (found && found !== before) {
          return found;
        }
      }
      if (Date.now() > deadline) {
        throw new Error(`no mail with ${pattern} came in time`);
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /**
   * The code that was mailed, or sent by SMS, and that was not given before: one that proved the address lies in the
   * mailbox still, while the next one is on its way.
   * @param {string} email
   */
  async code(email) {
    const code = await this.mailed(email, /\b\d{6}\b/, this.#codes.get(email));
    this.#codes.set(email, code);
    return code;
  }

  /** @param {string} method @param {string} path @param {object} body @param {number} expected */
  async #call(method, path, body, expected) {
    const response = await this.#send(method, path, body);
    if (response.status !== expected) {
      throw new Error(`${method} ${path} answered ${response.status}: ${await response.text()}`);
    }
    return response.json();
  }

  /** @param {string} path @param {object} body */
  async #status(path, body) {
    return (await this.#send('POST', path, body)).status;
  }

  /** @param {string} method @param {string} path @param {object} body */
  async #send(method, path, body) {
    this.#token ??= await this.#authorize('oauth/token', CLIENT);
    const headers = { authorization: `Bearer ${this.#token}`, 'content-type': 'application/json' };
    return fetch(`${this.url}/${PROJECT}/${path}`, { method, headers, body: JSON.stringify(body) });
  }

  /** @param {string} path @param {string} client */
  async #authorize(path, client) {
    const authorization = `Basic ${Buffer.from(client).toString('base64')}`;
    const response = await fetch(`${this.url}/${path}`, {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/x-www-form-urlencoded' },
      body: 'grant_type=client_credentials',
    });
    return (await response.json()).access_token;
  }
}
