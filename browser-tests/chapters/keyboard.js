// Without a mouse: the order of what can be reached, and that it can be seen where one is.
// @ts-check

/** @typedef {import('../visitor.js').Eyes} Eyes */
/** @typedef {import('../visitor.js').Walk} Walk */

/** @param {Eyes} eyes @returns {(walk: Walk) => Promise<void>} */
export const keyboard = (eyes) => async (walk) => {
  const { shop } = walk;
  const email = await shop.customer();
  const visitor = await walk.visitor(eyes);
  const { page } = visitor;
  const press = async (/** @type {string} */ key) => page.keyboard.press(key);
  const here = () =>
    page.evaluate(() => {
      const element = /** @type {HTMLElement} */ (document.activeElement);
      const isSeen = getComputedStyle(element).outlineStyle !== 'none';
      return `${element.id || element.textContent?.trim()}${isSeen ? '' : ' (not seen)'}`;
    });
  const order = async (/** @type {string[]} */ names) => {
    for (const name of names) {
      await press('Tab');
      walk.same(await here(), name, 'Tab leads to');
    }
  };
  await visitor.open();
  await order(['address', 'Send code', 'help@shop.example', 'English', 'Deutsch']);
  await page.locator('#address').focus();
  await page.keyboard.type(email);
  await Promise.all([page.waitForEvent('load'), press('Enter')]);
  await order(['code', 'Continue', 'Send a new code', 'Use another address']);
  await page.locator('#code').focus();
  await page.keyboard.type('nothing');
  await Promise.all([page.waitForEvent('load'), press('Enter')]);
  // The focus is on the summary; its link leads to the field.
  await order(['Enter the code of the message.']);
  await press('Enter');
  await page.waitForFunction(() => document.activeElement?.id === 'code');
  await page.keyboard.type(await shop.code(email));
  await Promise.all([page.waitForEvent('load'), press('Enter')]);
  await order(['username', 'password', 'Show', 'How to find a good one', 'Change password']);
  await visitor.leave();
};
