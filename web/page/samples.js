/** The pictures that come with the page. Their sources are stated in web/README.md. */

/** `whole`: the picture is a face from edge to edge.
 * @type {{ file: string, title: string, caption: string, whole: boolean }[]} */
export const SAMPLES = [
  { file: 'samples/collins.jpg', title: 'Photograph of an astronaut', caption: 'Eileen Collins. NASA, public domain.', whole: false },
];
