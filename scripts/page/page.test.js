// The page of a running registrator in Chromium: every section, in light and dark, by keyboard, at 320 px; no request leaves the origin; what
// containers are called is text; nothing that axe finds. With "live", also what changes, and a registrator that is away for a while.
//
//   node scripts/page/page.test.js http://127.0.0.1:9790 [FOLDER] [live]     FOLDER gets pictures
//
// "live" is for crates/registrator/tests/asked/page.rs: for each line "> WORD" that is printed, it does what the word says, and answers with
// a line.
'use strict';

const fs = require('fs');
const assert = require('assert');
const { chromium } = require('playwright-core');

const [address, folder, live] = process.argv.slice(2);
const answers = require('readline').createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function please(word) {
  console.log('> ' + word);
  const { done } = await answers.next();
  assert(!done, 'nobody does: ' + word);
}
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

// A row appears, changes and goes by itself, and the time until then is told.
async function changes(browser) {
  const page = await open(browser, {});
  await page.goto(address + '/#/nodes');
  await page.fill('#node-filter [name=q]', 'live-one');
  await page.waitForFunction(() => document.getElementById('node-rows').textContent === 'None fits.');
  for (const [word, text] of [['start', '172.17.0.14'], ['readdress', '172.17.0.15'], ['stop', 'None fits.']]) {
    await please(word);
    const began = Date.now();
    await page.waitForFunction((it) => document.getElementById('node-rows').textContent.includes(it), text);
    console.log(word + ' shows after ' + (Date.now() - began) + ' ms');
  }
  await page.goto(address + '/#/log');
  await page.waitForFunction(() => document.getElementById('lines').textContent.includes('live-one'));
  assert.deepStrictEqual(page.faults, []);
}

async function awayForAWhile(browser) {
  const page = await open(browser, {});
  assert(await page.isHidden('#stale'));
  await please('kill');
  await page.waitForSelector('#stale:not([hidden])');
  assert((await page.textContent('#stale')).startsWith('The registrator cannot be reached. This page is as of '));
  assert(await page.evaluate(() => document.body.classList.contains('old')));
  await please('restart');
  await page.waitForSelector('#stale', { state: 'hidden' });
  await page.waitForFunction(() => document.getElementById('state').textContent.includes('in sync'));
  assert(await page.evaluate(() => !document.body.classList.contains('old')));
}

// Each page of a list is reached, and no answer is long.
async function many(browser) {
  const page = await open(browser, {});
  let longest = 0;
  page.on('response', async (it) => {
    const body = await it.body().catch(() => '');
    longest = Math.max(longest, body.length);
  });
  const began = Date.now();
  await page.goto(address + '/#/nodes');
  await page.waitForSelector('#node-rows tr[data-key]');
  console.log('the first of many nodes show after ' + (Date.now() - began) + ' ms');
  const seen = new Set();
  for (let turn = 0; turn < 3; turn += 1) {
    const keys = await page.$$eval('#node-rows tr', (rows) => rows.map((row) => row.dataset.key));
    assert.strictEqual(keys.length, 100);
    for (const key of keys) assert(!seen.has(key), key + ' comes twice');
    keys.forEach((key) => seen.add(key));
    await page.click('#node-next');
    await page.waitForFunction((key) => document.querySelector('#node-rows tr').dataset.key !== key, keys[0]);
  }
  const filtered = Date.now();
  await page.fill('#node-filter [name=q]', '/77-4');
  await page.waitForFunction(() => [...document.querySelectorAll('#node-rows tr')].every((row) => row.dataset.key && row.dataset.key.includes('/77-4')));
  console.log('a filter shows after ' + (Date.now() - filtered) + ' ms');
  assert(longest <= 150000, 'an answer has ' + longest + ' bytes');
}

// A name of somebody else's that leads here, as a page that rebinds its name would use it.
async function foreignName() {
  const { hostname, port } = new URL(address);
  const browser = await launch(['--host-resolver-rules=MAP evil.example ' + hostname]);
  try {
    const page = await browser.newPage();
    const answer = await page.goto('http://evil.example:' + port + '/api/v1/nodes');
    assert.strictEqual(answer.status(), 421);
  } finally {
    await browser.close();
  }
}

function launch(args = []) {
  const executablePath = process.env.CHROMIUM || '/usr/bin/chromium';
  return chromium.launch({ executablePath, args: ['--no-sandbox', ...args] });
}

(async () => {
  const browser = await launch();
  try {
    await sections(browser, 'light');
    await sections(browser, 'dark');
    await keyboard(browser);
    await small(browser);
    await foreignName();
    if (live) {
      await many(browser);
      await changes(browser);
      await awayForAWhile(browser);
    }
    console.log('the page is well');
  } finally {
    await browser.close();
    process.stdin.destroy();
  }
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
