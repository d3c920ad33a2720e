// Sent by a partner because the password was forgotten, and back there with the outcome: the address is known, the code is
// not spared, and the last form leads to another site.
// @ts-check

/** @typedef {import('../visitor.js').Eyes} Eyes */
/** @typedef {import('../visitor.js').Walk} Walk */

const NEW = 'harbour violet tandem moss';
/** As the walk's server is told (xtask/src/pages.rs). */
const BACK = 'https://shop.example/login';

/** @param {Eyes} eyes @returns {(walk: Walk) => Promise<void>} */
export const sent = (eyes) => async (walk) => {
  const { shop } = walk;
  const { email, number } = await shop.customerWithNumber();
  const visitor = await walk.visitor(eyes);
  // There is no such site: that the browser sets out for it is all that can be seen.
  visitor.goal = `${BACK}?status=success`;
  await visitor.page.goto(await shop.sendToPages(number, BACK));
  walk.same(await visitor.heading(), 'Choose a new password', 'where the partner sends to');
  walk.same((await visitor.page.content()).includes(email), false, 'the address is not shown as a whole');
  walk.same(await visitor.page.locator(`a[href="${BACK}?status=fail"]`).count(), 1, 'the way back without a new password');
  await visitor.look('1-sent');
  await visitor.goOn();
  await visitor.fill('code', await shop.code(email));
  await visitor.look('2-code');
  await visitor.goOn();
  await visitor.fill('password', NEW);
  if (!eyes.script) {
    await visitor.fill('confirm', NEW);
  }
  await visitor.look('3-password');
  const gone = visitor.page.waitForEvent('requestfailed', (request) => request.url() === visitor.goal);
  await Promise.all([gone, visitor.page.locator('form .button').click({ noWaitAfter: true })]);
  walk.same(await shop.signsIn(email, NEW), true, 'the new password is the one');
  await visitor.leave();
};
