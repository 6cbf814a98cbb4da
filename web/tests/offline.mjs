// The page without a network, and never an old one.
import assert from 'node:assert/strict';
import { doubleSite, open, test } from './registry.mjs';
import { answerOf, click, ready, shows, text } from './page.mjs';
import { doubleModel } from './server.mjs';

/** What the page asked the server since so many requests. The browser itself may look for a newer service worker, at a
 * moment of its choosing and with nothing but the address: that is not the page's request.
 * @param {Awaited<ReturnType<typeof doubleSite>>} server @param {number} since */
export const askedSince = (server, since) => server.requests.slice(since).map(({ path }) => path).filter((path) => path !== 'sw.js');

/** Everything that a visitor can do, after which the server must not have been asked anything.
 * @param {import('puppeteer-core').Page} page */
export async function useEverything(page) {
  const samples = (await page.$$('#samples button')).length;
  for (let i = samples; i >= 1; i -= 1) {
    await click(page, `#samples button:nth-child(${i})`);
    await page.waitForFunction(() => document.querySelector('#headline')?.textContent !== '…');
  }
  await page.$eval('#branches', (slider) => {
    /** @type {HTMLInputElement} */ (slider).value = '1';
    slider.dispatchEvent(new Event('input'));
  });
  await page.waitForFunction(() => document.querySelectorAll('#rows button').length === 1);
  await page.evaluate(async () => {
    const blob = await new Promise((resolve) => { /** @type {HTMLCanvasElement} */ (document.querySelector('#canvas')).toBlob(resolve); });
    const data = new DataTransfer();
    data.items.add(new File([blob], 'own.png', { type: 'image/png' }));
    document.body.dispatchEvent(new DragEvent('drop', { bubbles: true, dataTransfer: data }));
  });
  await shows(page, '#caption', /own\.png/);
  await click(page, '#camera');
  await click(page, '#notice button[value=yes]');
  await shows(page, '#caption', /answers a second/);
  await click(page, '#stop');
  await page.select('#backend', 'cpu');
  await page.waitForFunction(() => document.documentElement.dataset.state === 'loading');
  await ready(page);
}

test('after_loading_the_server_is_asked_nothing', async (context) => {
  const server = await doubleSite(context);
  const page = await open(context, server.url);
  await ready(page);
  const loaded = server.requests.length;
  assert.ok(loaded > 10, 'the server counts');
  await useEverything(page);
  assert.deepEqual(askedSince(server, loaded), []);
});

test('the_page_works_offline_after_one_visit', async (context) => {
  const server = await doubleSite(context);
  const page = await open(context, server.url);
  await ready(page);
  await server.stop();
  await page.reload();
  await ready(page);
  assert.equal((await answerOf(page)).rows.length, 9);
  assert.match(await text(page, '#card-what'), /read from this browser/);
  await server.start();
});

test('a_visit_never_shows_an_older_page_than_the_servers', async (context) => {
  const server = await doubleSite(context);
  const page = await open(context, server.url);
  await ready(page);
  server.files['index.html'] = (await (await fetch(server.url)).text()).replace('<h1>moue</h1>', '<h1>moue, anew</h1>');
  server.files['models/esr.safetensors'] = doubleModel({ branches: 4 });
  await page.reload();
  await ready(page);
  assert.equal(await text(page, 'h1'), 'moue, anew');
  assert.equal((await answerOf(page)).branches, '4 of 4');
  // And it is the new one that is kept.
  await server.stop();
  await page.reload();
  await ready(page);
  assert.equal(await text(page, 'h1'), 'moue, anew');
  assert.equal((await answerOf(page)).branches, '4 of 4');
  assert.equal(await page.evaluate(async () => (await caches.keys()).filter((name) => name.startsWith('moue-page-')).length), 1);
  await server.start();
});

test('a_new_version_that_cannot_be_fetched_whole_leaves_the_old_one', async (context) => {
  const server = await doubleSite(context);
  const page = await open(context, server.url);
  await ready(page);
  server.files['index.html'] = (await (await fetch(server.url)).text()).replace('<h1>moue</h1>', '<h1>half</h1>');
  server.files['page/style.css'] = 'body { color: red }';
  server.handlers.set('page/style.css', (request) => { request.socket.destroy(); });
  await page.reload();
  await ready(page);
  assert.equal(await text(page, 'h1'), 'moue');
  server.handlers.delete('page/style.css');
  await page.reload();
  await ready(page);
  assert.equal(await text(page, 'h1'), 'half');
});

test('a_model_is_downloaded_once_and_then_read_from_this_browser', async (context) => {
  const server = await doubleSite(context);
  const page = await open(context, server.url);
  await ready(page);
  assert.match(await text(page, '#card-what'), /downloaded/);
  const before = server.requests.filter(({ path }) => path.startsWith('models/')).length;
  await page.reload();
  await ready(page);
  assert.match(await text(page, '#card-what'), /read from this browser/);
  assert.equal(server.requests.filter(({ path }) => path.startsWith('models/')).length, before);
});
