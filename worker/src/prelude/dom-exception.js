// DOMException is the engine's own; this module gives it to the prelude under a name that apps cannot replace.

export const DOMException = globalThis.DOMException;
export default DOMException;
