// The worker's clock: whole milliseconds since this module was loaded.

import host from "fazt:native/host";

const start = host.now();
export const timeOrigin = Date.now();
export const now = () => host.now() - start;
