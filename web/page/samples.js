/** The pictures that come with the page. Their sources are stated in web/README.md. */

const DRAWN = 'A face drawn by moue, which shows nobody';

/** @type {{ file: string, title: string, caption: string }[]} */
export const SAMPLES = [
  { file: 'samples/collins.jpg', title: 'Photograph of an astronaut', caption: 'Eileen Collins. NASA, public domain.' },
  { file: 'samples/drawn-happiness.jpg', title: 'Drawn face, happiness', caption: `${DRAWN}. Drawn as happiness.` },
  { file: 'samples/drawn-sadness.jpg', title: 'Drawn face, sadness', caption: `${DRAWN}. Drawn as sadness.` },
  { file: 'samples/drawn-surprise.jpg', title: 'Drawn face, surprise', caption: `${DRAWN}. Drawn as surprise.` },
  { file: 'samples/drawn-disgust.jpg', title: 'Drawn face, disgust', caption: `${DRAWN}. Drawn as disgust.` },
  { file: 'samples/drawn-two.jpg', title: 'Two drawn faces', caption: 'Two faces drawn by moue, which show nobody. Drawn as sadness and surprise.' },
];
