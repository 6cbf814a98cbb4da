// Never run: that it compiles says that types.d.ts describes what index.js exports.
import type * as declared from './types.d.ts';
import * as actual from './index.js';

const conforms: Pick<typeof declared, keyof typeof actual> = actual;
const complete: keyof typeof actual extends keyof typeof declared ? true : never = true;
export { conforms, complete };
