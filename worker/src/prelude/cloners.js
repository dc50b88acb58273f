// Who knows how to clone and transfer which platform objects; read by structuredClone.

/** [test, clone] for each kind of object that can be cloned. */
export const cloners = [];
/** [test, { prepare, commit }] for each kind that can be transferred: prepare(old) gives the new one, commit(old, new) moves. */
export const transferrers = [];
