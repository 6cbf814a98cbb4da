/** Failures as programs and people read them. */

/** @typedef {import('./types.d.ts').Code} Code */

/** @type {readonly Code[]} */
export const CODES = [
  'no-adapter', 'software-adapter', 'device-lost', 'model-foreign', 'model-truncated', 'model-mismatch',
  'detector-foreign', 'download-failed', 'aborted', 'bad-image', 'too-large', 'no-face', 'bad-option', 'disposed',
  'engine-failed',
];

export class MoueError extends Error {
  /**
   * @param {Code} code
   * @param {string} message
   * @param {{ cause?: unknown }} [options]
   */
  constructor(code, message, options) {
    super(message, options);
    /** @readonly @type {'MoueError'} */
    this.name = 'MoueError';
    /** @readonly */
    this.code = code;
  }
}

/**
 * Anything thrown, as a MoueError: a code that the engine gave is kept, what has none is `fallback`.
 * @param {unknown} thrown
 * @param {Code} [fallback]
 */
export function asMoueError(thrown, fallback = 'engine-failed') {
  if (thrown instanceof MoueError) return thrown;
  const { code, message } = /** @type {{ code?: unknown, message?: unknown }} */ (thrown ?? {});
  const known = CODES.find((each) => each === code);
  return new MoueError(known ?? fallback, typeof message === 'string' ? message : String(thrown), { cause: thrown });
}
