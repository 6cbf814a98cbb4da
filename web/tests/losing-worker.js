// The worker, with a way to take its GPU away: whoever posts to the channel `lose` destroys the newest device.
const adapter = /** @type {any} */ (globalThis).GPUAdapter;
if (adapter) {
  const request = adapter.prototype.requestDevice;
  /** @type {any} */
  let newest = null;
  adapter.prototype.requestDevice = async function (/** @type {any[]} */ ...args) {
    newest = await request.apply(this, args);
    return newest;
  };
  new BroadcastChannel('lose').onmessage = () => {
    newest?.destroy();
    new BroadcastChannel('lost').postMessage(newest !== null);
  };
}
// What comes before the worker's own code listens would be lost.
/** @type {MessageEvent[]} */
const early = [];
globalThis.onmessage = (event) => early.push(event);
await import('/api/worker.js');
for (const event of early) globalThis.onmessage?.call(/** @type {any} */ (globalThis), event);
