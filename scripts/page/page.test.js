// The page of a running registrator in Chromium: every section, in light and dark, by keyboard, at 320 px; no request leaves the origin; what
// containers are called is text; nothing that axe finds.
//
//   node scripts/page/page.test.js http://127.0.0.1:9790 [FOLDER]     FOLDER gets pictures
'use strict';

const fs = require('fs');
const assert = require('assert');
const { chromium } = require('playwright-core');

const [address, folder] = process.argv.slice(2);
const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const SECTIONS = { overview: '#/', nodes: '#/nodes', containers: '#/containers', log: '#/log' };

async function open(browser, options) {
  const page = await (await browser.newContext(options)).newPage();
  page.faults = [];
  page.on('request', (it) => {
    if (!it.url().startsWith(address + '/') && !it.url().startsWith('data:')) page.faults.push('asks for ' + it.url());
  });
  page.on('pageerror', (error) => page.faults.push(String(error)));
  page.on('dialog', (dialog) => page.faults.push('a dialog: ' + dialog.message()));
  await page.goto(address + '/');
  await page.waitForSelector('#sides dd');
  return page;
}

async function sections(browser, colorScheme) {
  const page = await open(browser, { colorScheme, viewport: { width: 1100, height: 800 } });
  const links = await page.evaluate(async () => {
    const list = await (await fetch('/api/v1/containers?limit=1')).json();
    return list.containers.map((it) => '#/container/' + it.id);
  });
  const all = { ...SECTIONS, ...(links.length ? { explain: links[0] } : {}) };
  for (const [name, hash] of Object.entries(all)) {
    await page.goto(address + '/' + hash);
    await page.waitForSelector('section#' + name + ':not([hidden])');
    await page.waitForFunction((it) => it !== 'explain' || document.getElementById('explanation').textContent !== 'Asking …', name);
    if (folder) await page.screenshot({ path: folder + '/' + colorScheme + '-' + name + '.png' });
    await page.evaluate(axe + ';0');
    const found = await page.evaluate(() => window.axe.run());
    assert.deepStrictEqual(found.violations.map((it) => it.id + ' ' + it.nodes[0].target), [], name);
    const elements = await page.evaluate(() => document.getElementsByTagName('*').length);
    assert(elements <= 2000, name + ' has ' + elements + ' elements');
    assert.strictEqual(await page.title(), 'Kontena Registrator');
    assert.strictEqual(await page.locator('main img').count(), 0);
  }
  assert.deepStrictEqual(page.faults, []);
}

async function keyboard(browser) {
  const page = await open(browser, {});
  for (const expected of ['To the content', 'Overview', 'Nodes']) {
    await page.keyboard.press('Tab');
    assert.strictEqual(await page.evaluate(() => document.activeElement.textContent), expected);
  }
  await page.keyboard.press('Enter');
  await page.waitForSelector('section#nodes:not([hidden])');
  assert.strictEqual(await page.evaluate(() => document.activeElement.id), 'main');
  await page.keyboard.press('Tab');
  assert.strictEqual(await page.evaluate(() => document.activeElement.name), 'state');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Tab');
  await page.keyboard.type('no such text in any key');
  await page.waitForFunction(() => document.getElementById('node-rows').textContent === 'None fits.');
  assert.deepStrictEqual(page.faults, []);
}

async function small(browser) {
  const page = await open(browser, { viewport: { width: 320, height: 640 } });
  for (const hash of Object.values(SECTIONS)) {
    await page.goto(address + '/' + hash);
    assert(await page.evaluate(() => document.documentElement.scrollWidth) <= 320, hash);
  }
}

(async () => {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: ['--no-sandbox'] });
  try {
    await sections(browser, 'light');
    await sections(browser, 'dark');
    await keyboard(browser);
    await small(browser);
    console.log('the page is well');
  } finally {
    await browser.close();
  }
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
