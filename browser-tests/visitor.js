// Who visits the pages, and how each page is looked at.
// @ts-check
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

/** @typedef {{ screen: { width: number, height: number }, scheme: 'light' | 'dark', script: boolean, locale?: string }} Eyes */

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

/** How long a step of a visitor may take. */
const STEP_MS = 15_000;

/** What every page must be sent with. */
const HEADERS = {
  'cache-control': /^no-store$/,
  'content-security-policy': /^default-src 'none'; (?!.*unsafe)(?=.*form-action 'self')(?=.*base-uri 'none').*frame-ancestors 'none'$/,
  'referrer-policy': /^no-referrer$/,
  'x-content-type-options': /^nosniff$/,
  'x-frame-options': /^DENY$/,
};
const COOKIE = /^recovery-demo=[\w-]+; Path=\/; Max-Age=1800; HttpOnly; SameSite=Strict$/;

/** A walk through chapters. */
export class Walk {
  looked = 0;
  differences = 0;
  name = '';

  /** @param {import('playwright-core').Browser} browser @param {import('./shop.js').Shop} shop @param {string} [screenshots] */
  constructor(browser, shop, screenshots) {
    this.browser = browser;
    this.shop = shop;
    this.screenshots = screenshots;
  }

  /** @param {string} name @param {(walk: Walk) => Promise<void>} chapter */
  async chapter(name, chapter) {
    this.name = name;
    const before = this.differences;
    try {
      await chapter(this);
    } catch (error) {
      this.differs(`ended early: ${error instanceof Error ? error.stack : error}`);
    }
    console.log(`${name}: ${this.differences === before ? 'ok' : `${this.differences - before} differences`}`);
  }

  /** @param {string} what */
  differs(what) {
    this.differences += 1;
    console.log(`  ${this.name}: ${what}`);
  }

  /** @param {unknown} found @param {unknown} expected @param {string} what */
  same(found, expected, what) {
    if (found !== expected) {
      this.differs(`${what}: ${JSON.stringify(found)}, not ${JSON.stringify(expected)}`);
    }
  }

  /** A new visitor, whose browser remembers nothing. @param {Eyes} eyes */
  async visitor(eyes) {
    const context = await this.browser.newContext({
      viewport: eyes.screen,
      colorScheme: eyes.scheme,
      javaScriptEnabled: eyes.script,
      locale: eyes.locale ?? 'en-GB',
      deviceScaleFactor: this.screenshots === undefined ? 1 : 2,
      reducedMotion: 'reduce',
    });
    context.setDefaultTimeout(STEP_MS);
    return new Visitor(this, context, await context.newPage(), eyes);
  }
}

/** Somebody with a browser. */
export class Visitor {
  /** @type {import('playwright-core').Response | undefined} */
  #answer;
  /** Where else than to the pages this one goes. @type {string | undefined} */
  goal;

  /** @param {Walk} walk @param {import('playwright-core').BrowserContext} context @param {import('playwright-core').Page} page @param {Eyes} eyes */
  constructor(walk, context, page, eyes) {
    Object.assign(this, { walk, context, page, eyes });
    this.walk = walk;
    this.context = context;
    this.page = page;
    this.eyes = eyes;
    page.on('console', (message) => {
      // Chromium reports pages of 4xx as errors, too.
      if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) {
        walk.differs(`the console says: ${message.text()}`);
      }
    });
    page.on('pageerror', (error) => walk.differs(`the script fails: ${error.message}`));
    page.on('request', (request) => {
      if (!request.url().startsWith(walk.shop.url) && request.url() !== this.goal) {
        walk.differs(`asks elsewhere: ${request.url()}`);
      }
      if (request.headers().referer) {
        walk.differs(`tells where it comes from: ${request.headers().referer}`);
      }
    });
    page.on('response', (response) => {
      const request = response.request();
      const isShown = request.isNavigationRequest() && response.status() < 300 || response.status() >= 400;
      if (isShown && request.isNavigationRequest()) {
        this.#answer = response;
      }
    });
  }

  /** @param {string} [path] */
  async open(path = '') {
    await this.page.goto(`${this.walk.shop.pages}${path}`);
  }

  /** Presses the button that goes on. */
  async goOn() {
    await Promise.all([this.page.waitForEvent('load'), this.page.locator('form .button').click()]);
  }

  /** @param {string} field @param {string} text */
  async fill(field, text) {
    await this.page.locator(`#${field}`).fill(text);
  }

  /** The heading of the page. */
  async heading() {
    return (await this.page.locator('h1').innerText()).trim();
  }

  /** What the page says, without what differs each time. */
  async words() {
    return (await this.page.locator('body').innerText()).trim();
  }

  /** What is wrong, as the page says it; and that it says so to everybody. @param {string} field */
  async wrong(field) {
    const link = this.page.locator('#problem a').first();
    this.walk.same(await link.getAttribute('href'), `#${field}`, 'the summary leads to the field');
    this.walk.same(await this.page.locator(`#${field}`).getAttribute('aria-invalid'), 'true', 'the field is marked');
    const described = (await this.page.locator(`#${field}`).getAttribute('aria-describedby')) ?? '';
    this.walk.same(described.split(' ').includes(`${field}-wrong`), true, 'the field is described by what is wrong');
    this.walk.same((await this.page.title()).startsWith('Error: '), true, 'the title says it first');
    if (this.eyes.script) {
      this.walk.same(await this.page.evaluate(() => document.activeElement?.id), 'problem', 'the summary has the focus');
    }
    return (await link.innerText()).trim();
  }

  /** A header of the page's answer. @param {string} name */
  header(name) {
    return this.#answer?.headers()[name];
  }

  /** Looks at the page as it stands. @param {string} name @param {number} [status] @param {RegExp} [cookies] */
  async look(name, status = 200, cookies = COOKIE) {
    const { walk, page } = this;
    walk.looked += 1;
    const at = `${name}:`;
    const answer = this.#answer;
    if (answer === undefined) {
      walk.differs(`${at} no answer was seen`);
      return;
    }
    walk.same(answer.status(), status, `${at} status`);
    const headers = answer.headers();
    for (const [header, pattern] of Object.entries(HEADERS)) {
      if (!pattern.test(headers[header] ?? '')) {
        walk.differs(`${at} ${header} is ${headers[header]}`);
      }
    }
    const cookie = headers['set-cookie'];
    if (cookie !== undefined && !cookies.test(cookie)) {
      walk.differs(`${at} the cookie is ${cookie.replace(/=[\w-]+/, '=..')}`);
    }
    const { width, inner } = await page.evaluate(() => ({
      width: document.documentElement.scrollWidth,
      inner: innerWidth,
    }));
    if (width > inner) {
      walk.differs(`${at} is ${width} pixels wide, on a screen of ${inner}`);
    }
    const found = await (this.eyes.script ? examine(page) : this.#examineAsShown());
    for (const violation of found.violations) {
      const where = violation.nodes.map((/** @type {any} */ node) => node.target.join(' ')).join(', ');
      walk.differs(`${at} axe ${violation.id}: ${violation.help} (${where})`);
    }
    await this.#shoot(name);
  }

  /**
   * The page as somebody sees it who runs no script, examined where one can be run: what is only for such people is
   * shown, and the page's own script is left out.
   */
  async #examineAsShown() {
    const html = (await this.page.content()).replace(/<script[^>]*><\/script>/g, '').replace(/<(\/?)noscript>/g, '<$1div>');
    const eyes = { viewport: this.eyes.screen, colorScheme: this.eyes.scheme };
    const context = await this.walk.browser.newContext(eyes);
    try {
      const page = await context.newPage();
      const url = `${this.walk.shop.pages}/as-shown`;
      await page.route(url, (route) => route.fulfill({ contentType: 'text/html; charset=utf-8', body: html }));
      await page.goto(url);
      return await examine(page);
    } finally {
      await context.close();
    }
  }

  /** @param {string} name */
  async #shoot(name) {
    const { screenshots } = this.walk;
    if (screenshots !== undefined) {
      await this.page.screenshot({ path: join(screenshots, `${this.walk.name}-${name}.png`), animations: 'disabled', fullPage: true });
    }
  }

  async leave() {
    await this.context.close();
  }
}

/** What axe-core finds on a page. @param {import('playwright-core').Page} page */
async function examine(page) {
  await page.evaluate(AXE);
  return page.evaluate(
    // @ts-ignore: axe is there now
    (rules) => axe.run(document, { runOnly: { type: 'tag', values: rules } }),
    RULES,
  );
}
