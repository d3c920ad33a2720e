// By a mobile number in the place of an address: the code comes by SMS, and both are told of the new password.
// @ts-check

/** @typedef {import('../visitor.js').Eyes} Eyes */
/** @typedef {import('../visitor.js').Walk} Walk */

const NEW = 'lantern otter velvet crane';

/** @param {Eyes} eyes @returns {(walk: Walk) => Promise<void>} */
export const number = (eyes) => async (walk) => {
  const { shop } = walk;
  const { email, mobile } = await shop.customerWithNumber();
  const visitor = await walk.visitor(eyes);
  await visitor.open();
  await visitor.fill('address', mobile.slice(1));
  await visitor.goOn();
  const wrong = 'Enter an e-mail address in the form name@example.com, or a mobile number in the form +44 7700 900123.';
  walk.same(await visitor.wrong('address'), wrong, 'without its country');
  await visitor.fill('address', `${mobile.slice(0, 3)} ${mobile.slice(3, 6)} ${mobile.slice(6)}`);
  await visitor.goOn();
  await visitor.look('2-code');
  walk.same((await visitor.words()).includes(`***${mobile.slice(-2)}`), true, 'the number is shown in part');
  walk.same((await visitor.page.content()).includes(mobile), false, 'and nowhere as a whole');
  await visitor.fill('code', await shop.code(mobile));
  await visitor.goOn();
  walk.same(await visitor.heading(), 'Choose a new password', 'the code is right');
  walk.same(await visitor.page.locator('#username').inputValue(), mobile, 'password managers know whose it is');
  await visitor.look('3-password');
  await visitor.fill('password', NEW);
  if (!eyes.script) {
    await visitor.fill('confirm', NEW);
  }
  await visitor.goOn();
  walk.same(await visitor.heading(), 'Your password was changed', 'done');
  walk.same(await shop.signsIn(email, NEW), true, 'the new password is the one');
  await shop.mailed(mobile, /Not you\? Please reset it at once\./);
  await shop.mailed(email, /If it was not you/);
  await visitor.leave();
};
