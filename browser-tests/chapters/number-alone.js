// Where nothing but a mobile number is asked for: no page speaks of addresses, and what is no number is not taken.
// @ts-check

/** @typedef {import('../visitor.js').Eyes} Eyes */
/** @typedef {import('../visitor.js').Walk} Walk */

/** @param {Eyes} eyes @returns {(walk: Walk) => Promise<void>} */
export const numberAlone = (eyes) => async (walk) => {
  const visitor = await walk.visitor(eyes);
  const speaksOfAddresses = async () => /e-mail|spam|address/i.test(await visitor.words());
  await visitor.page.goto(`${walk.shop.url}/recover/pocket`);
  walk.same(await visitor.page.locator('label[for="address"]').innerText(), 'Mobile number', 'what is asked for');
  walk.same(await visitor.page.locator('#address').getAttribute('inputmode'), 'tel', 'the keyboard that a phone shows');
  walk.same(await speaksOfAddresses(), false, 'the first page speaks of addresses');
  await visitor.look('1-start', 200, COOKIE);
  await visitor.fill('address', walk.shop.stranger());
  await visitor.goOn();
  const wrong = 'Enter a mobile number in the form +44 7700 900123.';
  walk.same(await visitor.wrong('address'), wrong, 'an address is none');
  await visitor.look('1-start-wrong', 422, COOKIE);
  await visitor.fill('address', '+44 7700 900123');
  await visitor.goOn();
  walk.same(await visitor.heading(), 'Enter the code', 'a number is taken');
  walk.same((await visitor.words()).includes('***23'), true, 'the number is shown in part');
  walk.same(await speaksOfAddresses(), false, 'the second page speaks of addresses');
  await visitor.look('2-code', 200, COOKIE);
  await visitor.leave();
};

const COOKIE = /^recovery-pocket=/;
