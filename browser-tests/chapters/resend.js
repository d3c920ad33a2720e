// The code that does not come: another one, which takes the first one's place.
// @ts-check

/** @typedef {import('../visitor.js').Eyes} Eyes */
/** @typedef {import('../visitor.js').Walk} Walk */

/** @param {Eyes} eyes @returns {(walk: Walk) => Promise<void>} */
export const resend = (eyes) => async (walk) => {
  const { shop } = walk;
  const email = await shop.customer();
  const visitor = await walk.visitor(eyes);
  const again = async () => {
    const button = visitor.page.locator('.aside button');
    await Promise.all([visitor.page.waitForEvent('load'), button.click()]);
  };
  await visitor.open();
  await visitor.fill('address', email);
  await visitor.goOn();
  const first = await shop.code(email);
  await again();
  const news = visitor.page.locator('.news').first();
  walk.same(await news.innerText(), 'A new code is on its way. Earlier ones no longer work.', 'it says so');
  await visitor.look('again');
  const second = await shop.code(email);
  await visitor.fill('code', first);
  await visitor.goOn();
  walk.same(await visitor.wrong('code'), 'This code is not right. Check the digits of the latest message.', 'the first');
  await visitor.fill('code', second);
  await visitor.goOn();
  walk.same(await visitor.heading(), 'Choose a new password', 'the second');

  // Five an hour for one address, whoever asks; then it rests, and the next page says so.
  const tired = await walk.visitor(eyes);
  await tired.open();
  await tired.fill('address', email);
  await tired.goOn();
  for (let asked = 0; asked < 5 && tired.page.url().includes('/code'); asked += 1) {
    const button = tired.page.locator('.aside button');
    await Promise.all([tired.page.waitForEvent('load'), button.click()]);
  }
  walk.same(await tired.heading(), 'Please wait a little', 'too many for one address');
  await tired.look('many', 429);
  walk.same(Number(tired.header('retry-after')) >= 60, true, 'it says when to come back');
  await tired.leave();
  await visitor.leave();
};
