// The list of tests, and what each finds ready.
import { readFileSync } from 'node:fs';
import { WEB, doubleFiles, serve } from './server.mjs';

/** @typedef {{ browser: import('puppeteer-core').Browser, name: 'chromium' | 'firefox', ends: (() => unknown)[],
 *   options: { dist?: string, model?: string, answers?: string, manet?: string } }} Context */
/** @typedef {{ name: string, needs: 'double' | 'built' | 'answers' | 'manet', only?: 'chromium' | 'firefox', seconds: number,
 *   launch?: Parameters<typeof import('./browser.mjs').launch>[1], run: (context: Context) => Promise<void> }} Test */

/** @type {Test[]} */
export const tests = [];

/**
 * @param {string} name a claim
 * @param {(context: Context) => Promise<void>} run
 * @param {Partial<Test>} [more]
 */
export function test(name, run, more = {}) {
  tests.push({ name, needs: 'double', seconds: 120, run, ...more });
}

/** The sources with the double, served until the test ends.
 * @param {Context} context @param {string} [behaviour] as double/moue.js documents it */
export async function doubleSite(context, behaviour) {
  const server = await serve({ root: WEB, files: doubleFiles(behaviour) });
  context.ends.push(() => server.stop());
  return server;
}

/** The built page, served until the test ends.
 * @param {Context} context */
export async function builtSite(context) {
  const { dist, model } = context.options;
  const files = model ? { 'models/esr.safetensors': readFileSync(model) } : undefined;
  const server = await serve({ root: String(dist), files });
  context.ends.push(() => server.stop());
  return server;
}

/** A tab of its own profile, whose uncaught errors fail the test when it asks `quiet()`.
 * @param {Context} context @param {string} url @param {{ width?: number, height?: number, before?: (page: import('puppeteer-core').Page) => Promise<unknown> }} [more] */
export async function open({ browser, ends }, url, { width = 1280, height = 900, before } = {}) {
  const profile = await browser.createBrowserContext();
  ends.push(() => profile.close());
  const page = await profile.newPage();
  /** @type {string[]} */
  const errors = [];
  page.on('pageerror', (error) => errors.push(error instanceof Error ? error.message : String(error)));
  page.on('console', (message) => { if (message.type() === 'error') errors.push(message.text()); });
  await page.setViewport({ width, height });
  await before?.(page);
  await page.goto(url);
  return Object.assign(page, { errors });
}

/** A blank tab in which the API's functions can be called.
 * @param {Context} context @param {{ url: string }} server */
export const blank = (context, server) => open(context, `${server.url}tests/blank.html`);
