// console: placeholder shape until the link is there.
export const console = {};
