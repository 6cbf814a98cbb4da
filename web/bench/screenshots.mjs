// Takes the pictures of the page that stand in the README: node bench/screenshots.mjs DIST FOLDER [MODEL]
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { launch } from '../tests/browser.mjs';
import { serve } from '../tests/server.mjs';

const [dist, folder, model] = process.argv.slice(2);
if (!dist || !folder) throw new Error('usage: node bench/screenshots.mjs DIST FOLDER [MODEL]');
const server = await serve({ root: dist, files: model ? { 'models/esr.safetensors': readFileSync(model) } : undefined });
const browser = await launch('chromium');
/** Scheme, sample, branch whose attention lies over the picture. @type {['light' | 'dark', number, number | null][]} */
const views = [['light', 6, 2], ['dark', 2, null]];
for (const [scheme, sample, branch] of views) {
  const page = await browser.newPage();
  await page.setViewport({ width: 1280, height: 860 });
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
  await page.goto(server.url);
  await page.waitForSelector('[data-state=ready]', { timeout: 90_000 });
  await page.$eval(`#samples button:nth-child(${sample})`, (button) => /** @type {HTMLElement} */ (button).click());
  await new Promise((resolve) => setTimeout(resolve, 2500));
  if (branch) await page.$eval(`#rows li:nth-child(${branch}) button`, (button) => /** @type {HTMLElement} */ (button).click());
  await new Promise((resolve) => setTimeout(resolve, 500));
  await page.screenshot({ path: join(folder, `page-${scheme}.webp`), type: 'webp', quality: 88 });
  await page.close();
}
await browser.close();
await server.stop();
