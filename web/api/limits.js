/** Sizes of images. */

/** The longest edge of a source, in pixels. */
export const MAX_EDGE = 16384;

/** The most pixels of a source. */
export const MAX_PIXELS = 2 ** 26;

/** Larger pictures are reduced to this edge before anything is computed: a face then still has many times the pixels
 * that the network sees. Below it, pixels reach the engine as they are. */
export const WORKING_EDGE = 1600;
