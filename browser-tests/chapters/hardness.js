// What others try: forms of other sites, cookies of others, the wrong methods, framing, and too much of everything.
// @ts-check

/** @typedef {import('../visitor.js').Eyes} Eyes */
/** @typedef {import('../visitor.js').Walk} Walk */

/** @param {Eyes} eyes @returns {(walk: Walk) => Promise<void>} */
export const hardness = (eyes) => async (walk) => {
  const { shop } = walk;
  const send = (/** @type {string} */ path, /** @type {Record<string, string>} */ fields, /** @type {string} */ cookie = '') =>
    fetch(`${shop.pages}${path}`, {
      method: 'POST',
      redirect: 'manual',
      headers: { cookie, 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams(fields),
    });
  const begun = async () => {
    const page = await fetch(shop.pages);
    const csrf = /name="csrf" value="([^"]*)"/.exec(await page.text())?.[1] ?? '';
    return { csrf, cookie: page.headers.get('set-cookie')?.split(';')[0] ?? '' };
  };
  const [mine, others] = [await begun(), await begun()];
  const address = shop.stranger();
  walk.same((await send('', { address })).status, 403, 'a form without anything');
  walk.same((await send('', { address, csrf: mine.csrf })).status, 403, 'without a cookie');
  walk.same((await send('', { address }, mine.cookie)).status, 403, 'without a token');
  walk.same((await send('', { address, csrf: others.csrf }, mine.cookie)).status, 403, "with another's token");
  walk.same((await send('', { address, csrf: mine.csrf }, mine.cookie)).status, 303, 'with both');
  const altered = mine.cookie.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'));
  walk.same((await send('', { address, csrf: mine.csrf }, altered)).status, 403, 'with an altered cookie');
  for (const path of ['/code', '/again', '/password', '/token']) {
    walk.same((await send(path, { csrf: others.csrf }, mine.cookie)).status, 403, `${path} with another's token`);
  }
  // Nothing is skipped: a password is set by whoever has proved something.
  const skipped = await send('/password', { csrf: mine.csrf, password: 'lantern otter velvet crane' }, mine.cookie);
  walk.same(skipped.status, 410, 'a password without proof');
  const forged = '#token=<script>alert(1)</script>';
  const reply = await send('/token', { csrf: mine.csrf, token: `"><script>${forged}`, password: 'x' }, mine.cookie);
  walk.same((await reply.text()).includes('"><script>'), false, 'what was sent is shown as text');
  const long = await send('', { csrf: mine.csrf, address: 'x'.repeat(20_000) }, mine.cookie);
  walk.same(long.status, 403, 'a form that is too long');
  walk.same((await fetch(`${shop.pages}/code`, { method: 'DELETE' })).status, 405, 'another method');
  walk.same((await fetch(`${shop.url}/recover/nobody`)).status, 404, 'another project');
  walk.same((await fetch(`${shop.url}/recover/-/recovery.css`)).status, 404, 'a file with another name');
  const visitor = await walk.visitor(eyes);
  await visitor.open('/code');
  await visitor.page.waitForSelector('#code');
  await visitor.fill('address', address);
  await visitor.fill('code', '123');
  await visitor.goOn();
  await visitor.look('over', 410);
  await visitor.open();
  await visitor.context.clearCookies();
  await visitor.fill('address', address);
  await visitor.goOn();
  await visitor.look('lost', 403);
  await visitor.leave();
};
