// The worker's clock: whole milliseconds since this module was loaded, or rather since a millisecond before: zero is
// no time to be told.

import host from "fazt:native/host";

const start = host.now() - 1;
export const timeOrigin = Date.now() - 1;
export const now = () => host.now() - start;
