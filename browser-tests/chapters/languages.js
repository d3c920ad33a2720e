// Every page in every language, on the narrowest screen there is.
// @ts-check

/** @typedef {import('../visitor.js').Eyes} Eyes */
/** @typedef {import('../visitor.js').Walk} Walk */

const LANGUAGES = { en: 'en-US', de: 'de-AT', fr: 'fr-CH', es: 'es-MX', bg: 'bg-BG' };

/** @param {Eyes} eyes @returns {(walk: Walk) => Promise<void>} */
export const languages = (eyes) => async (walk) => {
  const { shop } = walk;
  /** @type {Map<string, string>} */
  const headings = new Map();
  for (const [language, locale] of Object.entries(LANGUAGES)) {
    const email = await shop.customer();
    const visitor = await walk.visitor({ ...eyes, locale });
    const seen = async (/** @type {string} */ name, status = 200) => {
      await visitor.look(`${name}-${language}`, status);
      walk.same(await visitor.page.locator('html').getAttribute('lang'), language, `${name}: its language`);
      const heading = await visitor.heading();
      const before = headings.get(heading);
      // The same words in two languages are one that was forgotten.
      walk.same(before, undefined, `${name}: "${heading}" was said before`);
      headings.set(heading, language);
    };
    await visitor.open();
    await seen('start');
    await visitor.fill('address', email);
    await visitor.goOn();
    await seen('code');
    await visitor.fill('code', await shop.code(email));
    await visitor.goOn();
    await seen('password');
    await visitor.fill('password', `${language} otter velvet crane`);
    await visitor.goOn();
    await seen('done');
    await visitor.open('/nothing');
    await seen('none', 404);
    // Chosen by hand it stays chosen, whatever the browser says.
    const other = language === 'de' ? 'fr' : 'de';
    await visitor.open();
    await visitor.page.locator(`footer a[hreflang="${other}"]`).click();
    await visitor.fill('address', email);
    await visitor.goOn();
    walk.same(await visitor.page.locator('html').getAttribute('lang'), other, 'the chosen language');
    await visitor.leave();
  }
};
