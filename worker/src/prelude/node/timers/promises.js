// node:timers/promises.

import { promises } from "node:timers";

export const { scheduler, setImmediate, setInterval, setTimeout } = promises;
export default promises;
