// Chromium walks the recovery pages of a running Keyherald: `node walk.js URL [--only NAME,..] [--screenshots FOLDER]`.
//
// `cargo xtask test` starts a `keyherald dev` for it. Every page is looked at in the same way, wherever the walk meets it
// (`visitor.js`): nothing fetched from elsewhere, nothing refused by the content security policy, no finding of axe-core,
// nothing wider than the screen, the headers that keep a page to itself. The last line is
// `Recovery pages: .. pages looked at, .. chapters, .. differences`; the exit code is 0 if there were none.
// @ts-check
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { chromium } from 'playwright-core';

import { arrival } from './chapters/arrival.js';
import { brand } from './chapters/brand.js';
import { hardness } from './chapters/hardness.js';
import { keyboard } from './chapters/keyboard.js';
import { languages } from './chapters/languages.js';
import { number } from './chapters/number.js';
import { numberAlone } from './chapters/number-alone.js';
import { equality, recovery } from './chapters/recovery.js';
import { resend } from './chapters/resend.js';
import { sent } from './chapters/sent.js';
import { Shop } from './shop.js';
import { Walk } from './visitor.js';

/** @typedef {(walk: Walk) => Promise<void>} Chapter */

const DESKTOP = { width: 1280, height: 860 };
const PHONE = { width: 390, height: 844 };

/** @type {Record<string, Chapter>} */
const CHAPTERS = {
  'desktop-light': recovery({ screen: DESKTOP, scheme: 'light', script: true }),
  'desktop-dark': recovery({ screen: DESKTOP, scheme: 'dark', script: true }),
  'phone-light': recovery({ screen: PHONE, scheme: 'light', script: true }),
  'phone-dark': recovery({ screen: PHONE, scheme: 'dark', script: true }),
  'desktop-plain': recovery({ screen: DESKTOP, scheme: 'light', script: false }),
  'phone-plain': recovery({ screen: PHONE, scheme: 'dark', script: false }),
  arrival: arrival({ screen: PHONE, scheme: 'light', script: true }),
  'arrival-plain': arrival({ screen: PHONE, scheme: 'light', script: false }),
  equality: equality({ screen: DESKTOP, scheme: 'light', script: true }),
  number: number({ screen: PHONE, scheme: 'light', script: true }),
  'number-plain': number({ screen: PHONE, scheme: 'dark', script: false }),
  'number-alone': numberAlone({ screen: PHONE, scheme: 'light', script: true }),
  sent: sent({ screen: PHONE, scheme: 'light', script: true }),
  'sent-plain': sent({ screen: DESKTOP, scheme: 'dark', script: false }),
  resend: resend({ screen: PHONE, scheme: 'light', script: false }),
  brand: brand({ screen: DESKTOP, scheme: 'light', script: true }),
  keyboard: keyboard({ screen: DESKTOP, scheme: 'light', script: true }),
  languages: languages({ screen: { width: 320, height: 640 }, scheme: 'light', script: true }),
  hardness: hardness({ screen: DESKTOP, scheme: 'light', script: false }),
};

// It calls nobody: the pages may load from the server alone, and the browser has nothing else to do.
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { only: { type: 'string' }, screenshots: { type: 'string' }, chromium: { type: 'string' } },
});
const [url] = positionals;
if (url === undefined) {
  console.error('usage: node walk.js URL [--only NAME,..] [--screenshots FOLDER] [--chromium PATH]');
  process.exit(2);
}
const only = values.only?.split(',');
const unknown = only?.find((name) => !(name in CHAPTERS));
if (unknown !== undefined) {
  console.error(`no chapter is called ${unknown}; there are ${Object.keys(CHAPTERS).join(', ')}`);
  process.exit(2);
}

const folder = mkdtempSync(join(tmpdir(), 'keyherald-chromium-'));
// One browser with an empty folder of its own; each visitor has cookies of its own.
const browser = await chromium.launch({
  executablePath: values.chromium ?? '/usr/bin/chromium',
  args: [...FLAGS, `--disk-cache-dir=${folder}`],
});
const walk = new Walk(browser, new Shop(url, values.screenshots !== undefined), values.screenshots);
let chapters = 0;
try {
  for (const [name, chapter] of Object.entries(CHAPTERS)) {
    if (only !== undefined && !only.includes(name)) {
      continue;
    }
    chapters += 1;
    await walk.chapter(name, chapter);
  }
} finally {
  await browser.close();
  rmSync(folder, { recursive: true, force: true });
}
console.log(`Recovery pages: ${walk.looked} pages looked at, ${chapters} chapters, ${walk.differences} differences`);
process.exit(walk.differences === 0 && walk.looked > 0 ? 0 : 1);
