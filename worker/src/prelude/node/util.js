// node:util, as far as libraries for Workers use it.
import native from "fazt:native/inspect";
import { custom, defaultOptions, format, formatWithOptions, inspect, colors } from "fazt:inspect";
import { isDeepStrictEqual } from "fazt:compare";
import { TextDecoder, TextEncoder } from "fazt:encoding";

export { format, formatWithOptions, inspect, isDeepStrictEqual };

const codeError = (Class, code, message) => Object.assign(new Class(message), { code });
const invalidArg = (name, expected, value) =>
  codeError(TypeError, "ERR_INVALID_ARG_TYPE", `The "${name}" argument must be ${expected}. Received ${value === null ? "null" : `type ${typeof value}`}`);

const promisified = Symbol.for("nodejs.util.promisify.custom");

export function promisify(original) {
  if (typeof original !== "function") throw invalidArg("original", "of type function", original);
  const own = original[promisified];
  if (own !== undefined) {
    if (typeof own !== "function") throw invalidArg("util.promisify.custom", "of type function", own);
    return Object.defineProperty(own, promisified, { value: own, enumerable: false, writable: false, configurable: true });
  }
  function made(...args) {
    return new Promise((resolve, reject) => {
      Reflect.apply(original, this, [...args, (error, value) => (error ? reject(error) : resolve(value))]);
    });
  }
  Object.setPrototypeOf(made, Object.getPrototypeOf(original));
  Object.defineProperty(made, promisified, { value: made, enumerable: false, writable: false, configurable: true });
  const properties = Object.getOwnPropertyDescriptors(original);
  delete properties.prototype;
  return Object.defineProperties(made, properties);
}
promisify.custom = promisified;

export function callbackify(original) {
  if (typeof original !== "function") throw invalidArg("original", "of type function", original);
  function made(...args) {
    const callback = args.pop();
    if (typeof callback !== "function") throw invalidArg("last argument", "of type function", callback);
    const call = (...values) => queueMicrotask(() => Reflect.apply(callback, this, values));
    Reflect.apply(original, this, args).then(
      (value) => call(null, value),
      (error) => call(error || Object.assign(new Error("Promise was rejected with a falsy value"), { reason: error, code: "ERR_FALSY_VALUE_REJECTION" })),
    );
  }
  Object.defineProperty(made, "name", { value: `${original.name}Callbackified`, configurable: true });
  Object.defineProperty(made, "length", { value: original.length + 1, configurable: true });
  return made;
}

export function inherits(constructor, parent) {
  if (typeof constructor !== "function") throw invalidArg("ctor", "of type function", constructor);
  if (typeof parent !== "function" || parent.prototype === undefined) throw invalidArg("superCtor", "of type function", parent);
  Object.defineProperty(constructor, "super_", { value: parent, writable: true, configurable: true });
  Object.setPrototypeOf(constructor.prototype, parent.prototype);
}

export function deprecate(fn, message, code) {
  let warned = false;
  function deprecated(...args) {
    if (!warned) {
      warned = true;
      console.warn(`DeprecationWarning: ${code === undefined ? "" : `[${code}] `}${message}`);
    }
    return new.target ? Reflect.construct(fn, args, new.target) : Reflect.apply(fn, this, args);
  }
  Object.setPrototypeOf(deprecated, fn);
  if (fn.prototype) deprecated.prototype = fn.prototype;
  return deprecated;
}

export const debuglog = () => Object.assign(() => {}, { enabled: false });
export const debug = debuglog;

// eslint-disable-next-line no-control-regex
export const stripVTControlCharacters = (text) => String(text).replace(/[\u001b\u009b][[\]()#;?]*(?:\d{1,4}(?:;\d{0,4})*)?[\dA-PR-TZcf-nq-uy=><~]/g, "");

export function styleText(format, text) {
  let before = "", after = "";
  for (const name of Array.isArray(format) ? format : [format]) {
    const code = colors[name];
    if (code === undefined) throw codeError(TypeError, "ERR_INVALID_ARG_VALUE", `The argument 'format' is invalid. Received ${inspect(name)}`);
    before += `\u001b[${code[0]}m`;
    after = `\u001b[${code[1]}m${after}`;
  }
  return before + text + after;
}

export const toUSVString = (text) => String(text).toWellFormed();
export const isArray = Array.isArray;
export const aborted = (signal) => new Promise((resolve) => {
  if (signal.aborted) resolve();
  else signal.addEventListener("abort", () => resolve(), { once: true });
});

const typedTag = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag).get;
const brand = (...names) => (value) => names.includes(native.classOf(value));
const typed = (name) => (value) => typedTag.call(value) === name;
const isBoxed = brand("Number", "String", "Boolean", "BigInt", "Symbol");

export const types = {
  isAnyArrayBuffer: brand("ArrayBuffer", "SharedArrayBuffer"),
  isArgumentsObject: brand("Arguments"),
  isArrayBuffer: brand("ArrayBuffer"),
  isArrayBufferView: ArrayBuffer.isView,
  isAsyncFunction: brand("AsyncFunction", "AsyncGeneratorFunction"),
  isBigInt64Array: typed("BigInt64Array"),
  isBigIntObject: (value) => typeof value === "object" && brand("BigInt")(value),
  isBigUint64Array: typed("BigUint64Array"),
  isBooleanObject: brand("Boolean"),
  isBoxedPrimitive: (value) => typeof value === "object" && value !== null && isBoxed(value),
  isDataView: brand("DataView"),
  isDate: brand("Date"),
  isExternal: () => false,
  isFloat32Array: typed("Float32Array"),
  isFloat64Array: typed("Float64Array"),
  isGeneratorFunction: brand("GeneratorFunction", "AsyncGeneratorFunction"),
  isGeneratorObject: brand("Generator", "AsyncGenerator"),
  isInt8Array: typed("Int8Array"),
  isInt16Array: typed("Int16Array"),
  isInt32Array: typed("Int32Array"),
  isMap: brand("Map"),
  isMapIterator: brand("Map Iterator"),
  isModuleNamespaceObject: brand("Module"),
  isNativeError: brand("Error"),
  isNumberObject: brand("Number"),
  isPromise: brand("Promise"),
  isProxy: (value) => native.isProxy(value),
  isRegExp: brand("RegExp"),
  isSet: brand("Set"),
  isSetIterator: brand("Set Iterator"),
  isSharedArrayBuffer: brand("SharedArrayBuffer"),
  isStringObject: brand("String"),
  isSymbolObject: (value) => typeof value === "object" && brand("Symbol")(value),
  isTypedArray: (value) => typedTag.call(value) !== undefined,
  isUint8Array: typed("Uint8Array"),
  isUint8ClampedArray: typed("Uint8ClampedArray"),
  isUint16Array: typed("Uint16Array"),
  isUint32Array: typed("Uint32Array"),
  isWeakMap: brand("WeakMap"),
  isWeakSet: brand("WeakSet"),
  isCryptoKey: (value) => value?.constructor?.name === "CryptoKey",
  isKeyObject: () => false,
};

export { TextDecoder, TextEncoder };

export default {
  TextDecoder, TextEncoder, aborted, callbackify, debug, debuglog, deprecate, format, formatWithOptions, inherits, inspect,
  isArray, isDeepStrictEqual, promisify, stripVTControlCharacters, styleText, toUSVString, types,
};
