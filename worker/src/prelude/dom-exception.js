// DOMException: an error object (with a stack) whose name, message and code are getters.

import { constants, domString, expose } from "fazt:webidl";

const NAMES = [
  ["IndexSizeError", "INDEX_SIZE_ERR"], [null, "DOMSTRING_SIZE_ERR"], ["HierarchyRequestError", "HIERARCHY_REQUEST_ERR"],
  ["WrongDocumentError", "WRONG_DOCUMENT_ERR"], ["InvalidCharacterError", "INVALID_CHARACTER_ERR"],
  [null, "NO_DATA_ALLOWED_ERR"], ["NoModificationAllowedError", "NO_MODIFICATION_ALLOWED_ERR"],
  ["NotFoundError", "NOT_FOUND_ERR"], ["NotSupportedError", "NOT_SUPPORTED_ERR"],
  ["InUseAttributeError", "INUSE_ATTRIBUTE_ERR"], ["InvalidStateError", "INVALID_STATE_ERR"], ["SyntaxError", "SYNTAX_ERR"],
  ["InvalidModificationError", "INVALID_MODIFICATION_ERR"], ["NamespaceError", "NAMESPACE_ERR"],
  ["InvalidAccessError", "INVALID_ACCESS_ERR"], [null, "VALIDATION_ERR"], ["TypeMismatchError", "TYPE_MISMATCH_ERR"],
  ["SecurityError", "SECURITY_ERR"], ["NetworkError", "NETWORK_ERR"], ["AbortError", "ABORT_ERR"],
  ["URLMismatchError", "URL_MISMATCH_ERR"], ["QuotaExceededError", "QUOTA_EXCEEDED_ERR"], ["TimeoutError", "TIMEOUT_ERR"],
  ["InvalidNodeTypeError", "INVALID_NODE_TYPE_ERR"], ["DataCloneError", "DATA_CLONE_ERR"],
];

// Private fields on an object that another constructor made: Error gives the stack, this the rest.
class Slots extends (function (object) { return object; }) {
  #name;
  #message;
  constructor(object, name, message) {
    super(object);
    this.#name = name;
    this.#message = message;
  }
  static nameOf(e) { return e.#name; }
  static messageOf(e) { return e.#message; }
  static is(e) { return Object(e) === e && #name in e; }
}
const { nameOf, messageOf, is } = Slots;

export class DOMException {
  constructor(message = "", name = "Error") {
    message = domString(message);
    if (name !== null && typeof name === "object") name = name.name === undefined ? "Error" : name.name;
    name = domString(name);
    const error = Reflect.construct(Error, [], new.target);
    new Slots(error, name, message);
    return error;
  }
  get name() { return nameOf(this); }
  get message() { return messageOf(this); }
  get code() {
    const name = nameOf(this);
    return NAMES.findIndex((entry) => entry[0] === name) + 1;
  }
}
Object.setPrototypeOf(DOMException.prototype, Error.prototype);
expose(DOMException);
constants(DOMException, Object.fromEntries(NAMES.map((entry, index) => [entry[1], index + 1])));

export { is as isDOMException };
export default DOMException;
