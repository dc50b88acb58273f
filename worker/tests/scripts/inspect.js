// Values as text: the expected output is Node 20's (`node --input-type=module < inspect.js > inspect.txt`).
import util from 'node:util';
const out = typeof print === 'undefined' ? console.log : print;
class Foo { constructor() { this.a = 1; } get g() { return 1; } }
class Bar extends Foo { #p = 1; static s = 1 }
class E2 extends Error {}
const circ = { name: 'c', list: [] }; circ.self = circ; circ.list.push(circ, { circ });
const sparse = [1, , , 4]; sparse.extra = 'x';
const np = Object.create(null); np.x = 1;
const many = []; for (let i = 0; i < 130; i++) many.push(i * 37 % 1000);
const big = {}; for (let i = 0; i < 30; i++) big['key' + i] = 'value ' + i;
function fn() {} ; fn.prop = 1;
const vals = [1, -0, 'a', "it's", 'a\nb\u0001', `mix'"`, null, undefined, true, 10n, Symbol('x'), [], {}, [1,2,3], { a: 1, 'b-c': [1, { d: { e: { f: 1 } } }] },
 new Foo, new Bar, Foo, Bar, fn, () => {}, async function q() {}, function* g() {}, async () => {}, class {}, new Map([[1, { a: 2 }], ['k', new Set([1])]]), new Set(['a', [1]]), new Map(), 
 new Uint8Array([1,2,3]), new Float64Array(2), new ArrayBuffer(4), new DataView(new ArrayBuffer(2)), /re/g, new Date(0), new Date(NaN), circ, sparse, np, many, big,
 Object.assign(Object.create(null), {}), [np], { a: { b: { c: np } } }, { a: { b: { c: {} } } }, { a: { b: { c: [1] } } }, { a: { b: { c: new Foo } } }, Promise.resolve(4), Promise.resolve({ a: [1] }), new Promise(() => {}), new WeakMap(), new WeakSet(), 
 { get a() { return 1 }, set a(v) {}, get b() { return 1 }, set c(v) {} }, { [Symbol('s')]: 1, [Symbol.toStringTag]: 'Tag' }, new Proxy({ a: 1 }, {}), new Proxy(function f() {}, {}), new Number(3), new String('abc'), new Boolean(false), Object(10n), Object(Symbol('b')),
 Object.create({}), Object.create(Foo.prototype), Foo.prototype, [['a', 'b'], ['c', 'd']], [{ a: 1, b: 2 }, { a: 3, b: 4 }], { a: 'x'.repeat(70), b: 'y'.repeat(30) },
 ['apple', 'banana', 'cherry', 'dates', 'elderberry', 'fig', 'grape', 'honeydew'], [1.5, 2.25, 3, 4, 5, 6, 7, 8, 9, 10], [undefined, null, , 3], { f() {}, g: () => {}, h: class A {} }, 'x'.repeat(20) + '\n' + 'y'.repeat(80), ['x'.repeat(40) + '\n' + 'y'.repeat(80)],
 { und: undefined, nul: null, date: new Date(0), re: /x/, err: 1 }, [[[[[]]]]], [[[[[1]]]]], { a: [[[1]]] }, { level1: { level2: { level3: { level4: 1 } } } }, new (class extends Map {})([[1, 2]]), new (class Q extends Array {})(3), new (class Z extends Uint8Array {})(3), globalThis.Math && Math.max, JSON, Object.create({ constructor: 5 }), [1, 2, 3].entries === undefined,
 { a: { a: 1, b: 2, c: { d: 1 } }, b: [1, 2, { x: 1 }] }, { a: { b: { c: {} } }, d: { e: { f: {} } } }, [new Map([[{ a: 1 }, 'b']])],
];
vals.forEach((v, i) => { try { out(i + ': ' + util.inspect(v)); } catch (e) { out(i + ' threw ' + e + e.stack) } });
const F = [['%s is %d years and %i, %f, %j %o %O %%', 'Bob', 42.5, 42.9, '1.5', { a: 1 }, [1], { b: 2 }, 'extra', { c: 1 }], ['%s', null], ['%s', { a: 1 }], ['%s', { toString() { return 'T' } }], ['%s', () => 1], ['%s', class A {}], ['%s', 5n], ['%s', -0], ['%d', '0x10'], ['%d', 5n], ['%i', {}], ['a', 'b', 1], [1, 'a'], ['%x', 1], ['%'], ['100%', 1], ['%s %s', 'only'], ['%c styled', 'css'], ['%s', Symbol('a')], ['%s', [1, [2, [3]]]], ['%s', new Date(0)], ['%j', circ]];
for (const f of F) out(util.format(...f));
out(util.inspect(circ, { depth: 0 })); out(util.inspect({ a: 1, b: 'x' }, { colors: true })); out(util.inspect({ a: { b: 1 } }, { compact: false })); out(util.inspect({ b: 1, a: 2 }, { sorted: true })); out(util.inspect({ a: [1, 2] }, { compact: true })); out(util.inspect(many, { maxArrayLength: 3 })); out(util.inspect('abcdef', { maxStringLength: 3 })); out(util.inspect(new Proxy({ a: 1 }, { get() {} }), { showProxy: true })); out(util.inspect({ [util.inspect.custom](d, o) { return 'CUSTOM ' + d + typeof o.stylize } })); out(util.inspect({ a: { [util.inspect.custom]() { return { z: 1 } } } })); out(util.inspect(123456789.123, { numericSeparator: true }));out(util.inspect({get a(){return {b:1}}}, { getters: true }));
out(util.inspect(Object.assign(new Error('msg', { cause: new TypeError('inner') }), { code: 'X' })).replace(/\n\s+at .*/g, '').replace(/\n\s+\.\.\. .*/g, '')); out(util.inspect(new AggregateError([new Error('1')], 'agg')).replace(/\n\s+at .*/g, '')); out(util.inspect({ e: new RangeError('in') }).replace(/\n\s+at .*/g, ''));
