// Pages with a logo and a colour of their own, and what is said to those who ask too often: this project allows two codes
// an hour to whoever comes from one address.
// @ts-check

/** @typedef {import('../visitor.js').Eyes} Eyes */
/** @typedef {import('../visitor.js').Walk} Walk */

/** @param {Eyes} eyes @returns {(walk: Walk) => Promise<void>} */
export const brand = (eyes) => async (walk) => {
  const pages = `${walk.shop.url}/recover/tea`;
  for (const scheme of /** @type {const} */ (['light', 'dark'])) {
    const visitor = await walk.visitor({ ...eyes, scheme });
    await visitor.page.goto(pages);
    const logo = visitor.page.locator('.logo');
    walk.same(await logo.getAttribute('alt'), 'Marlow & Finch', 'the logo says what the name would');
    const drawn = await logo.evaluate((image) => {
      const { complete, naturalWidth, currentSrc } = /** @type {HTMLImageElement} */ (image);
      return complete && naturalWidth > 0 ? new URL(currentSrc).pathname.split('/').at(-1) : 'nothing';
    });
    walk.same(drawn, scheme === 'dark' ? 'logo-dark' : 'logo', 'the logo that is drawn');
    await visitor.look(scheme === 'dark' ? 'start-dark' : 'start', 200, COOKIE);
    await visitor.leave();
  }

  const visitor = await walk.visitor(eyes);
  let asked = 0;
  do {
    asked += 1;
    await visitor.page.goto(pages);
    await visitor.fill('address', walk.shop.stranger());
    await visitor.goOn();
  } while (asked < 5 && visitor.page.url().endsWith('/code'));
  walk.same(await visitor.heading(), 'Please wait a little', 'asked too often');
  await visitor.look('many', 429);
  const wait = Number(visitor.header('retry-after'));
  walk.same(wait >= 1 && wait <= 3600, true, 'it says when to come back');
  await visitor.leave();
};

const COOKIE = /^recovery-tea=/;
