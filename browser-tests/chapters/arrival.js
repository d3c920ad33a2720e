// Arriving by the link of a mail: looked at by a scanner first, opened on another device, and by somebody without script.
// @ts-check

/** @typedef {import('../visitor.js').Eyes} Eyes */
/** @typedef {import('../visitor.js').Walk} Walk */

const NEW = 'meadow copper falcon drift';

/** @param {Eyes} eyes @returns {(walk: Walk) => Promise<void>} */
export const arrival = (eyes) => async (walk) => {
  const { shop } = walk;
  const email = await shop.customer();
  const token = await shop.passwordToken(email);
  const link = `/token#token=${token}`;

  // A scanner opens it, runs its script, follows what it links to, and changes nothing.
  const scanner = await walk.visitor({ ...eyes, script: true });
  await scanner.open(link);
  await scanner.page.waitForSelector('#password');
  await scanner.leave();
  for (const method of ['GET', 'HEAD']) {
    walk.same((await fetch(`${shop.pages}/token?here=1`, { method })).status, 200, method);
  }

  const visitor = await walk.visitor(eyes);
  await visitor.open(link);
  await visitor.page.waitForSelector('#password');
  walk.same(visitor.page.url().includes(token), false, 'the address bar does not keep the token');
  await visitor.look('token');
  if (eyes.script) {
    walk.same(await visitor.page.locator('#token').isVisible(), false, 'the token is filled in');
  } else {
    await visitor.fill('token', `${shop.pages}${link}`);
    await visitor.fill('confirm', NEW);
  }
  await visitor.fill('password', NEW);
  await visitor.goOn();
  walk.same(await visitor.heading(), 'Your password was changed', 'by a token');
  walk.same(await shop.signsIn(email, NEW), true, 'the new password is the one');

  // Once.
  await visitor.open(link);
  await visitor.page.waitForSelector('#password');
  if (!eyes.script) {
    await visitor.fill('token', token);
    await visitor.fill('confirm', NEW);
  }
  await visitor.fill('password', NEW);
  await visitor.goOn();
  await visitor.look('used', 410);
  await visitor.leave();
  await byCode(walk, eyes);
};

/** The link of a code, where it was asked for and elsewhere. @param {Walk} walk @param {Eyes} eyes */
async function byCode(walk, eyes) {
  const { shop } = walk;
  const email = await shop.customer();
  const visitor = await walk.visitor(eyes);
  await visitor.open();
  await visitor.fill('address', email);
  await visitor.goOn();
  const code = await shop.code(email);
  const link = await shop.mailed(email, /http\S+\/code#\S+/);
  walk.same(link.startsWith(`${shop.pages}/code#code=${code}&process=`), true, 'the mail leads here');

  // From a page of another site, whose requests bring no cookie along.
  await visitor.page.goto('data:text/html,<a>mail</a>').catch(() => {});
  await visitor.page.goto(link);
  await visitor.page.waitForSelector('#code');
  if (eyes.script) {
    walk.same(await visitor.page.locator('#code').inputValue(), code, 'the code is filled in');
    walk.same(visitor.page.url().includes(code), false, 'the address bar does not keep the code');
  } else {
    await visitor.fill('code', code);
  }
  await visitor.look('code');
  await visitor.goOn();
  walk.same(await visitor.heading(), 'Choose a new password', 'by the link of a code');
  await visitor.leave();

  await elsewhere(walk, eyes);
}

/** The link opened where nobody has asked for a code, and none. @param {Walk} walk @param {Eyes} eyes */
async function elsewhere(walk, eyes) {
  const { shop } = walk;
  const email = await shop.customer();
  const asker = await walk.visitor(eyes);
  await asker.open();
  await asker.fill('address', email);
  await asker.goOn();
  await asker.leave();
  const link = await shop.mailed(email, /http\S+\/code#\S+/);
  const visitor = await walk.visitor(eyes);
  await visitor.page.goto(link);
  await visitor.page.waitForSelector('#code');
  walk.same(await visitor.page.locator('#address').count(), 1, 'elsewhere the address is asked for');
  await visitor.look('code-elsewhere');
  if (eyes.script) {
    await visitor.fill('address', email);
    await visitor.goOn();
    walk.same(await visitor.heading(), 'Choose a new password', 'by the link of a code, elsewhere');
  }
  await visitor.leave();
}
