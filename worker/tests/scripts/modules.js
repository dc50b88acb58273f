// Node's modules, as Node itself answers: every line here passes under Node too. `import` order is the test's.
import assert, { strict, AssertionError } from "node:assert";
import { Buffer } from "buffer";
import EventEmitter, { once, on } from "node:events";
import util, { promisify, callbackify, inherits, isDeepStrictEqual, format, inspect } from "node:util";
import path from "node:path";
import process from "node:process";
import qs from "node:querystring";
import { StringDecoder } from "node:string_decoder";
import { fileURLToPath, pathToFileURL } from "node:url";
import { createHash, createHmac, randomBytes, randomInt, timingSafeEqual, pbkdf2Sync, scryptSync, webcrypto } from "node:crypto";
import { AsyncLocalStorage } from "node:async_hooks";

// buffer
const b = Buffer.from("héllo wörld");
assert.equal(b.toString(), "héllo wörld");
assert.equal(b.toString("hex"), "68c3a96c6c6f2077c3b6726c64");
assert.equal(b.toString("base64"), "aMOpbGxvIHfDtnJsZA==");
assert.equal(b.toString("base64url"), "aMOpbGxvIHfDtnJsZA");
assert.equal(Buffer.from("aMOpbGxvIHfDtnJsZA==", "base64").toString(), "héllo wörld");
assert.equal(Buffer.from("aM Op\nbGxvIHfDtnJsZA", "base64").toString(), "héllo wörld");
assert.equal(Buffer.from("zz", "hex").length, 0);
assert.equal(Buffer.from("ÿĀ", "latin1").toString("hex"), "ff00");
assert.equal(Buffer.from("aé", "utf16le").toString("hex"), "6100e900");
assert.equal(Buffer.from("6100e900", "hex").toString("utf16le"), "aé");
assert.equal(Buffer.from([0xff, 0x41]).toString("ascii"), "\u007fA");
assert.deepEqual([...Buffer.from([1, 257, -1])], [1, 1, 255]);
assert.equal(Buffer.alloc(5, "ab").toString(), "ababa");
assert.equal(Buffer.concat([Buffer.from("a"), Buffer.from("bc")]).toString(), "abc");
assert.equal(Buffer.concat([Buffer.from("abc")], 2).toString(), "ab");
assert.equal(Buffer.compare(Buffer.from("a"), Buffer.from("b")), -1);
assert.ok(Buffer.isBuffer(b) && !Buffer.isBuffer(new Uint8Array(1)) && b instanceof Uint8Array);
assert.equal(Buffer.byteLength("é"), 2);
const shared = b.slice(0, 2);
shared[0] = 72;
assert.equal(b[0], 72);
assert.ok(Buffer.isBuffer(b.subarray(1)) && Buffer.isBuffer(b.slice(-3)));
assert.equal(b.slice(-3).toString(), "rld");
assert.equal(b.indexOf("wö"), 7);
assert.equal(b.indexOf(0x6c), 3);
assert.equal(b.lastIndexOf("l"), 11);
assert.equal(b.includes("nope"), false);
assert.ok(Buffer.from("a").equals(new Uint8Array([97])));
assert.deepEqual(Buffer.from("ab").toJSON(), { type: "Buffer", data: [97, 98] });
assert.deepEqual(Buffer.from(JSON.parse(JSON.stringify(Buffer.from("ab")))), Buffer.from("ab"));
const n = Buffer.alloc(16);
assert.equal(n.writeUInt32BE(0xdeadbeef, 0), 4);
assert.equal(n.readUInt32BE(0), 0xdeadbeef);
assert.equal(n.readInt32LE(0), -272716322);
n.writeDoubleLE(1.5, 8);
assert.equal(n.readDoubleLE(8), 1.5);
n.writeBigInt64BE(-5n, 8);
assert.equal(n.readBigInt64BE(8), -5n);
n.writeIntBE(-12345678, 0, 6);
assert.equal(n.readIntBE(0, 6), -12345678);
n.writeUIntLE(0x123456, 0, 3);
assert.equal(n.readUintLE(0, 3), 0x123456);
assert.throws(() => n.readUInt8(16), { code: "ERR_OUT_OF_RANGE", name: "RangeError" });
assert.throws(() => n.writeUInt8(256, 0), { code: "ERR_OUT_OF_RANGE" });
assert.throws(() => Buffer.from(5), { code: "ERR_INVALID_ARG_TYPE", name: "TypeError" });
assert.throws(() => b.toString("nope"), { code: "ERR_UNKNOWN_ENCODING" });
assert.equal(n.write("héé", 0, 4), 3);
assert.equal(Buffer.from([1, 2, 3, 4]).swap16().toString("hex"), "02010403");
assert.equal(inspect(Buffer.from("ab")), "<Buffer 61 62>");
assert.equal(Buffer.from("abc").fill("xy", 1).toString(), "axy");
const target = Buffer.alloc(3);
assert.equal(Buffer.from("abcd").copy(target, 1), 2);
assert.equal(target.toString("hex"), "006162");

// events
const e = new EventEmitter(), seen = [];
e.on("x", (...args) => seen.push(["on", ...args]));
e.once("x", (value) => seen.push(["once", value]));
e.prependListener("x", () => seen.push(["first"]));
assert.ok(e.emit("x", 1, 2));
e.emit("x", 3);
assert.deepEqual(seen, [["first"], ["on", 1, 2], ["once", 1], ["first"], ["on", 3]]);
assert.equal(e.emit("none"), false);
assert.throws(() => e.emit("error", new RangeError("lost")), RangeError);
assert.equal(e.listenerCount("x"), 2);
assert.deepEqual(e.eventNames(), ["x"]);
e.removeAllListeners();
assert.equal(e.listenerCount("x"), 0);
queueMicrotask(() => e.emit("later", 7));
assert.deepEqual(await once(e, "later"), [7]);
queueMicrotask(() => e.emit("error", new Error("bad")));
await assert.rejects(once(e, "later"), /bad/);
const iterator = on(e, "tick");
e.emit("tick", 1);
assert.deepEqual((await iterator.next()).value, [1]);
await iterator.return();
function Old() { EventEmitter.call(this); }
inherits(Old, EventEmitter);
assert.ok(new Old().on("a", () => {}).emit("a"));

// util
assert.equal(await promisify((value, callback) => callback(null, value + 1))(1), 2);
await assert.rejects(promisify((callback) => callback(new TypeError("no")))(), TypeError);
assert.equal(await new Promise((resolve) => callbackify(async (value) => value * 2)(4, (error, value) => resolve(value))), 8);
assert.ok(isDeepStrictEqual(new Map([[{ a: 1 }, new Set([1])]]), new Map([[{ a: 1 }, new Set([1])]])));
assert.ok(!isDeepStrictEqual([1, 2], [1, 3]) && !isDeepStrictEqual({}, Object.create(null)) && !isDeepStrictEqual(0, -0));
assert.equal(format("%s %d %j %%", "a", 1.5, { b: 1 }, "c"), 'a 1.5 {"b":1} % c');
assert.ok(util.types.isPromise(Promise.resolve()) && util.types.isRegExp(/x/) && util.types.isUint8Array(b));

// assert
assert.deepStrictEqual({ a: [1, { b: 2 }] }, { a: [1, { b: 2 }] });
assert.throws(() => assert.deepStrictEqual({ a: 1 }, { a: 2 }), (error) => error instanceof AssertionError && error.code === "ERR_ASSERTION" && /\+ {3}a: 1/.test(error.message) && /- {3}a: 2/.test(error.message));
assert.throws(() => strict.equal(1, "1"), { message: "Expected values to be strictly equal:\n\n1 !== '1'\n" });
assert.throws(() => assert(false, "why"), { message: "why" });
assert.throws(() => assert.throws(() => {}), /Missing expected exception/);
assert.doesNotThrow(() => {});
assert.match("abc", /b/);
assert.notStrictEqual(1, 2);
await assert.rejects(Promise.reject(new Error("x")), { message: "x" });

// path
assert.equal(path.join("/a", "../b", "./c"), "/b/c");
assert.equal(path.resolve("/a/b", "../c"), "/a/c");
assert.equal(path.normalize("a//b/../c/"), "a/c/");
assert.equal(path.basename("/x/y.txt", ".txt"), "y");
assert.equal(path.extname("a.b.c"), ".c");
assert.equal(path.extname(".bashrc"), "");
assert.equal(path.dirname("/a/b/"), "/a");
assert.equal(path.relative("/a/b/c", "/a/d"), "../../d");
assert.deepEqual(path.parse("/home/u/f.txt"), { root: "/", dir: "/home/u", base: "f.txt", ext: ".txt", name: "f" });

// the small ones
assert.equal(process.platform, "linux");
assert.equal(await new Promise((resolve) => process.nextTick(resolve, 5)), 5);
assert.deepEqual({ ...qs.parse("a=1&b=2&a=3&c=%20+") }, { a: ["1", "3"], b: "2", c: "  " });
assert.equal(qs.stringify({ a: [1, 2], b: "x y" }), "a=1&a=2&b=x%20y");
const decoder = new StringDecoder("utf8");
assert.equal(decoder.write(Buffer.from([0xc3])) + decoder.write(Buffer.from([0xa9])) + decoder.end(), "é");
assert.equal(fileURLToPath("file:///a%20b"), "/a b");
assert.equal(pathToFileURL("/a b").href, "file:///a%20b");
const storage = new AsyncLocalStorage();
assert.equal(storage.run(5, () => storage.getStore()), 5);
assert.equal(storage.getStore(), undefined);

// crypto
assert.equal(createHash("md5").update("a").update("b").digest("hex"), "187ef4436122d1cc2f40dc2b92f0eba0");
assert.equal(createHash("sha256").update("abc").digest("base64"), "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
const copied = createHash("sha1").update("ab");
assert.equal(copied.copy().update("c").digest("hex"), createHash("sha1").update("abc").digest("hex"));
assert.equal(createHmac("sha256", "key").update("The quick brown fox jumps over the lazy dog").digest("hex"), "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8");
assert.equal(randomBytes(20).length, 20);
assert.ok(randomInt(3, 9) >= 3);
assert.ok(timingSafeEqual(Buffer.from("a"), Buffer.from("a")));
assert.throws(() => timingSafeEqual(Buffer.from("a"), Buffer.from("ab")), RangeError);
assert.throws(() => createHash("nope"));
assert.equal(pbkdf2Sync("password", "salt", 1, 20, "sha1").toString("hex"), "0c60c80f961f0e71f3a9b524af6012062fe037a6");
assert.equal(scryptSync("password", "NaCl", 64, { N: 1024, r: 8, p: 16 }).toString("hex").slice(0, 16), "fdbabe1c9d347200");
assert.equal((await webcrypto.subtle.digest("SHA-256", Buffer.from("abc"))).byteLength, 32);
