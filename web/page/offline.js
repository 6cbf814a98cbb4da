/** The page without a network: a service worker keeps its files. */

/** The site's files and their hashes, as the build lists them; none where the sources are served as they are.
 * @type {Promise<Record<string, string>>} */
export const hashes = fetch('files.json')
  .then(async (response) => response.ok ? (await response.json()).files : {})
  .catch(() => ({}));

/** @type {Promise<void> | null} */
let kept = null;
/** Settles when the page's files are kept, or cannot be. */
export function keepForOffline() {
  kept ??= keep();
  return kept;
}

async function keep() {
  const files = await hashes;
  if (!('serviceWorker' in navigator) || Object.keys(files).length === 0) return;
  try {
    await navigator.serviceWorker.register('sw.js', { updateViaCache: 'none' });
    const { active } = await navigator.serviceWorker.ready;
    await new Promise((resolve) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = resolve;
      setTimeout(resolve, 20_000);
      active?.postMessage('keep', [port2]);
    });
  } catch {
    // A private window may refuse; the page goes on without.
  }
}
