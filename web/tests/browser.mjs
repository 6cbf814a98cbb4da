// Starts a headless browser with a WebGPU that computes on the processor.
import { execFileSync } from 'node:child_process';
import puppeteer from 'puppeteer-core';

/** @typedef {'chromium' | 'firefox'} Name */

/** The first with the commands that puppeteer sends to each page. */
const OLDEST_FIREFOX = 144;

/** @param {Name} name @returns {string | null} */
export function findBrowser(name) {
  const named = process.env[name === 'chromium' ? 'CHROMIUM' : 'FIREFOX'];
  if (named) return named;
  const programs = name === 'chromium' ? ['chromium', 'chromium-browser', 'google-chrome'] : ['firefox-esr', 'firefox'];
  for (const program of programs) {
    try {
      return execFileSync('sh', ['-c', `command -v ${program}`]).toString().trim();
    } catch {
      // The next one.
    }
  }
  return null;
}

/**
 * @param {Name} name
 * @param {{ camera?: string, webgpu?: boolean, args?: string[] }} [options] a file that Chromium shows as the camera's picture
 */
export async function launch(name, { camera, webgpu = true, args = [] } = {}) {
  // The tests have their own limits.
  const protocolTimeout = 1_800_000;
  const executablePath = findBrowser(name) ?? undefined;
  if (name === 'firefox') {
    const browser = await puppeteer.launch({
      browser: 'firefox', executablePath, headless: true, args, protocolTimeout,
      extraPrefsFirefox: {
        'dom.webgpu.enabled': webgpu, 'gfx.webgpu.ignore-blocklist': true, 'dom.webgpu.allow-cpu-adapter': true,
        'media.navigator.streams.fake': true, 'media.navigator.permission.disabled': true,
      },
    });
    const version = await browser.version();
    if (Number(version.match(/\d+/)?.[0]) < OLDEST_FIREFOX) {
      await browser.close();
      throw new Error(`${version} is too old for the tests' driver, which needs ${OLDEST_FIREFOX} or later; install one, or name it with FIREFOX`);
    }
    return browser;
  }
  return puppeteer.launch({
    executablePath, headless: true, protocolTimeout,
    args: [
      '--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
      ...(webgpu ? ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-features=Vulkan'] : ['--disable-features=WebGPU']),
      '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream',
      ...(camera ? [`--use-file-for-fake-video-capture=${camera}`] : []), ...args,
    ],
  });
}
