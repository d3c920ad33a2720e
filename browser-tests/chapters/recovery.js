// From the forgotten password to the new one, with the mistakes that people make on the way.
// @ts-check

/** @typedef {import('../visitor.js').Eyes} Eyes */
/** @typedef {import('../visitor.js').Walk} Walk */

const NEW = 'lantern otter velvet crane';

/** @param {Eyes} eyes @returns {(walk: Walk) => Promise<void>} */
export const recovery = (eyes) => async (walk) => {
  const { shop } = walk;
  const email = await shop.customer();
  const visitor = await walk.visitor(eyes);
  await visitor.open();
  await visitor.look('1-start');

  await visitor.goOn();
  walk.same(await visitor.wrong('address'), 'Enter your e-mail address or your mobile number.', 'no address');
  await visitor.fill('address', 'somebody');
  await visitor.goOn();
  await visitor.wrong('address');
  walk.same(await visitor.page.locator('#address').inputValue(), 'somebody', 'what was typed is still there');
  await visitor.look('1-start-wrong', 422);

  await visitor.fill('address', ` ${email.toUpperCase()} `);
  await visitor.goOn();
  await visitor.look('2-code');
  const masked = `${email.slice(0, 2)}***@example.com`;
  walk.same((await visitor.words()).includes(masked), true, 'the address is shown in part');
  walk.same((await visitor.page.content()).includes(email), false, 'and nowhere as a whole');

  const code = await shop.code(email);
  await visitor.fill('code', code === '000000' ? '000001' : '000000');
  await visitor.goOn();
  await visitor.wrong('code');
  await visitor.look('2-code-wrong', 422);
  await visitor.fill('code', `${code.slice(0, 3)} ${code.slice(3)}`);
  await visitor.goOn();

  walk.same(await visitor.heading(), 'Choose a new password', 'the code is right');
  const field = visitor.page.locator('#password');
  walk.same(await field.getAttribute('autocomplete'), 'new-password', 'password managers know the field');
  walk.same(await visitor.page.locator('#username').inputValue(), email, 'and whose password it is');
  walk.same(await visitor.page.locator('#confirm').count(), eyes.script ? 0 : 1, 'asked for twice where it cannot be shown');
  await visitor.look('3-password');
  if (eyes.script) {
    await typing(walk, visitor);
  }
  await visitor.fill('password', 'otter');
  if (!eyes.script) {
    await visitor.fill('confirm', 'otter');
  }
  await visitor.goOn();
  await visitor.wrong('password');
  walk.same(await field.inputValue(), '', 'a password is never sent back');
  await visitor.look('3-password-wrong', 422);
  if (!eyes.script) {
    await visitor.fill('password', NEW);
    await visitor.fill('confirm', `${NEW}s`);
    await visitor.goOn();
    await visitor.wrong('confirm');
    await visitor.fill('confirm', NEW);
  }
  await visitor.fill('password', NEW);
  await visitor.goOn();
  walk.same(await visitor.heading(), 'Your password was changed', 'done');
  const next = visitor.page.locator('.actions a');
  walk.same(await next.getAttribute('href'), 'https://shop.example/login', 'the way back to the shop');
  await visitor.look('4-done');
  walk.same(await shop.signsIn(email, NEW), true, 'the new password is the one');
  await shop.mailed(email, /If it was not you/);

  // What was used cannot be used again.
  await visitor.open('/password');
  walk.same(await visitor.heading(), 'Forgot your password?', 'the proof was used');
  await visitor.leave();
};

/** What the script adds while a password is typed. @param {Walk} walk @param {import('../visitor.js').Visitor} visitor */
async function typing(walk, visitor) {
  const { page } = visitor;
  const [field, show] = [page.locator('#password'), page.locator('[data-shows]')];
  walk.same(await show.innerText(), 'Show', 'it can be shown');
  await show.click();
  walk.same(await field.getAttribute('type'), 'text', 'it is shown');
  walk.same(await show.innerText(), 'Hide', 'and can be hidden');
  const said = page.locator('[data-live]');
  await field.pressSequentially('lantern');
  await page.waitForFunction(() => document.querySelector('[data-live]')?.textContent !== '');
  walk.same(await said.innerText(), '7 of at least 8 characters', 'how long it is');
  // Pasted at once; characters, not bytes or halves of them.
  await field.fill('');
  await page.evaluate((text) => {
    const area = Object.assign(document.createElement('textarea'), { value: text });
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }, '🦦🦦🦦🦦 otters swim');
  await field.focus();
  await page.keyboard.press('Control+V');
  if ((await field.inputValue()) === '') {
    await field.fill('🦦🦦🦦🦦 otters swim'); // no clipboard here
  }
  await page.waitForFunction(() => document.querySelector('[data-live]')?.textContent === 'Long enough');
  walk.same(await page.locator('[data-rule="length"]').getAttribute('class'), 'kept', 'the rule is kept');
  await field.fill(NEW);
  await visitor.look('3-password-typed');
  await field.fill('');
  await show.click();
  walk.same(await field.getAttribute('type'), 'password', 'it is hidden');
}

/** Whether an address is a customer's is told by nothing. @param {Eyes} eyes @returns {(walk: Walk) => Promise<void>} */
export const equality = (eyes) => async (walk) => {
  const said = [];
  for (const email of [await walk.shop.customer(), walk.shop.stranger()]) {
    const visitor = await walk.visitor(eyes);
    /** @type {string[]} */
    const pages = [];
    const keep = async () => {
      const html = await visitor.page.content();
      const address = `${email.slice(0, 2)}***@example.com`;
      pages.push(html.replaceAll(address, 'ADDRESS').replaceAll(email, 'ADDRESS').replace(/name="csrf" value="[^"]*"/g, ''));
    };
    await visitor.open();
    await visitor.fill('address', email);
    await visitor.goOn();
    await keep();
    for (const wrong of ['000000', '000001', '000002', '000003']) {
      if ((await visitor.page.locator('#code').count()) > 0) {
        await visitor.fill('code', wrong);
        await visitor.goOn();
        await keep();
      }
    }
    walk.same(await visitor.heading(), 'This no longer works', 'tried too often');
    await visitor.look('over', 410);
    said.push(pages);
    await visitor.leave();
  }
  const [known, unknown] = said;
  walk.same(JSON.stringify(unknown), JSON.stringify(known), 'the pages of a stranger');
};
