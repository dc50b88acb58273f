// Compares the fast JSON with the engine's own over random values and texts. `seed`, `own` and `fail` are given.
(function () {
  let state = seed >>> 0 || 1;
  const random = (n) => {
    state ^= state << 13; state >>>= 0; state ^= state >>> 17; state ^= state << 5; state >>>= 0;
    return state % n;
  };
  const pick = (list) => list[random(list.length)];
  const odd = ['', 'a', '"', '\\', '\n', '\u0000', '\u001f', '\u007f', '\u0080', 'é', 'ÿ', '€', '\u2028', '😀', '\ud800', '\udc00', '\udbff',
    '\ue000', '\uffff', 'plain text that is longer', '__proto__', 'toJSON', 'constructor', '0', '1', '01', '-1', '4294967295', '2147483648'];
  const text = () => { let s = ''; for (let n = random(5); n >= 0; n--) s += pick(odd); return random(4) ? s : s.slice(random(s.length + 1)); };
  const bits = new DataView(new ArrayBuffer(8));
  const number = () => {
    switch (random(8)) {
      case 0: return random(100);
      case 1: return -random(1000000);
      case 2: return pick([0, -0, NaN, Infinity, -Infinity, 2147483647, -2147483648, 2147483648, 1e21, 1e-7, 5e-324, 1.7976931348623157e308, 9007199254740993, 123456789012345680000]);
      case 3: return random(1000000) / 100;
      case 4: return random(2 ** 31) * 2 ** random(40);
      default: bits.setUint32(0, random(2 ** 32)); bits.setUint32(4, random(2 ** 32)); return bits.getFloat64(0);
    }
  };
  class Named { constructor() { this.x = number(); } get hidden() { return 1; } }
  const exotic = (depth) => {
    switch (random(22)) {
      case 0: return new Date(random(2 ** 31) * 1000);
      case 1: return new Map([[1, 2]]);
      case 2: return new Number(number());
      case 3: return new String(text());
      case 4: return new Boolean(random(2));
      case 5: return Symbol('s');
      case 6: return () => 1;
      case 7: return new Named();
      case 8: return Object.create({ inherited: 1 }, { own: { value: 1, enumerable: true }, not: { value: 2 } });
      case 9: return { get computed() { return value(depth + 1); } };
      case 10: return { toJSON(key) { return 'key:' + key; } };
      case 11: return { toJSON() { return undefined; }, x: 1 };
      case 12: return [1, , 3];
      case 13: return new Proxy({ a: 1, b: [2] }, {});
      case 14: return new Proxy([1, 2, { c: 3 }], {});
      case 15: return new Uint8Array([1, 2, 3]);
      case 16: return JSON.rawJSON ? JSON.rawJSON('123.4500') : 1;
      case 17: return random(30) ? 1 : 10n;
      case 18: return random(30) ? 1 : Object(10n);
      case 19: return /x/g;
      case 20: { const a = [1, 2, 3]; a.extra = 1; return a; }
      default: return random(20) ? Object.create(null) : { get bad() { throw new RangeError('thrown by a getter'); } };
    }
  };
  const value = (depth) => {
    switch (random(depth > 4 ? 6 : 10)) {
      case 0: return null;
      case 1: return pick([true, false, undefined]);
      case 2: case 3: return number();
      case 4: case 5: return text();
      case 6: return exotic(depth);
      case 7: { const list = []; for (let n = random(6); n > 0; n--) list.push(value(depth + 1)); if (!random(60)) list.push(list); return list; }
      default: {
        const object = {};
        for (let n = random(7); n > 0; n--) Object.defineProperty(object, text(), { value: value(depth + 1), writable: true, enumerable: true, configurable: true });
        if (!random(60)) object.self = object;
        return object;
      }
    }
  };
  const show = (x) => typeof x === 'string' ? own.stringify(x) : String(x);
  const outcome = (f) => { try { return { is: f() }; } catch (e) { return { error: e.name + ': ' + e.message }; } };
  const same = (a, b) => {
    if (typeof a !== 'object' || a === null || typeof b !== 'object' || b === null) return Object.is(a, b);
    if (Array.isArray(a) !== Array.isArray(b) || Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
    const ka = Reflect.ownKeys(a), kb = Reflect.ownKeys(b);
    if (ka.length !== kb.length) return false;
    return ka.every((k, i) => {
      if (k !== kb[i]) return false;
      const da = Object.getOwnPropertyDescriptor(a, k), db = Object.getOwnPropertyDescriptor(b, k);
      return da.writable === db.writable && da.enumerable === db.enumerable && da.configurable === db.configurable && same(da.value, db.value);
    });
  };
  const parses = (source) => {
    const a = outcome(() => own.parse(source)), b = outcome(() => JSON.parse(source));
    if (a.error !== b.error || !same(a.is, b.is)) fail(`parse of ${own.stringify(source)}: engine ${a.error ?? own.stringify(a.is)}, fast ${b.error ?? own.stringify(b.is)}`);
  };
  // The same random numbers are drawn for both, as getters draw too.
  const writes = (make) => {
    const made = make(), before = state;
    const a = outcome(() => own.stringify(made)); state = before;
    const b = outcome(() => JSON.stringify(made)); state = before;
    if (a.error !== b.error || a.is !== b.is) fail(`stringify: engine ${a.error ?? show(a.is)}, fast ${b.error ?? show(b.is)}`);
    return a.is;
  };
  const spaced = (source) => source.replace(/[,:{}[\]]/g, (c) => pick(['', ' ', '\n', '\t', '\r ']) + c + pick(['', '', ' ']));
  const broken = (source) => {
    const at = random(source.length + 1);
    switch (random(4)) {
      case 0: return source.slice(0, at) + source.slice(at + 1);
      case 1: return source.slice(0, at) + pick(['"', '\\', ',', ':', '{', '}', '[', ']', '0', '-', '.', 'e', '+', 'n', '\n', '\u0001', '\u00a0', '\ufeff', '\\u12', '\\ud800', '\ud800', '\udfff']) + source.slice(at);
      case 2: return source.slice(0, at);
      default: return source.slice(at);
    }
  };
  for (const source of ['', ' ', '1', '-0', '-', '01', '1.', '.5', '1e', '1e+', '1E5', '-1e-400', '1e400', '0.1e1', '"', '"\\', '"\\u', '"\\u00', '"\\x41"', '"\\u0041"',
    '"\\uD83D\\uDE00"', '"\\ud83d"', '"\\ude00\\ud83d"', '"\ud83d\\ude00"', '"\\ud83d\ude00"', '[', '[1', '[1,', '[1,]', '[,1]', '{', '{"a"', '{"a":', '{"a":1', '{"a":1,', '{"a":1,}', '{a:1}',
    '{"a":1,"a":2,"b":3}', '{"__proto__":1}', '{"__proto__":{"x":1},"y":2}', '{"2":1,"1":2,"b":3,"a":4}', 'nul', 'null', 'nullx', 'true', 'True', 'NaN', '1 2', '\ufeff1', '\u00a01', '"\t"', '"\u007f"',
    '123456789012345678901234567890', '9007199254740993', '0.1', '100', '1e2', '-1', '2147483648', '-2147483649', '"\u2028"', '999999999999999', '9999999999999999', '{"":{"":[]}}'])
    parses(source);
  for (let round = 0; round < rounds; round++) {
    const source = writes(() => value(0));
    if (source === undefined) continue;
    parses(source); parses(spaced(source)); parses(broken(source)); parses(broken(spaced(source)));
  }
  for (const input of [undefined, null, true, 12, { toString: () => '[1]' }, Symbol('x'), ['1']]) parses(input);
  parses(); writes(() => undefined); writes(() => 1n);
  const reviver = (k, v) => typeof v === 'number' ? v + 1 : v;
  if (JSON.stringify(JSON.parse('{"a":[1,2]}', reviver)) !== '{"a":[2,3]}') fail('reviver');
  if (JSON.stringify({ a: 1, b: { a: 2, c: 3 } }, ['a', 'b']) !== '{"a":1,"b":{"a":2}}') fail('list of keys');
  if (JSON.stringify([1], null, 2) !== '[\n  1\n]') fail('indent');
  if (JSON.stringify({ a: 1 }, (k, v) => k ? 9 : v) !== '{"a":9}') fail('replacer');
  for (const name of ['parse', 'stringify']) {
    if (JSON[name].name !== name || JSON[name].length !== own[name].length || 'prototype' in JSON[name]) fail('shape of JSON.' + name);
    if (same(Object.getOwnPropertyDescriptor(JSON, name), { value: JSON[name], writable: true, enumerable: false, configurable: true }) === false) fail('property JSON.' + name);
  }
  for (const deep of ['['.repeat(3000) + ']'.repeat(3000)]) if (JSON.stringify(JSON.parse(deep)) !== deep) fail('depth 3000');
  const error = outcome(() => JSON.parse('['.repeat(100000))).error ?? '';
  if (!error.startsWith('RangeError')) fail('depth 100000: ' + error);
  let nest = []; for (let i = 0; i < 100000; i++) nest = [nest];
  if (!(outcome(() => JSON.stringify(nest)).error ?? '').startsWith('RangeError')) fail('deep stringify');
  const shrinking = [1, { toJSON() { shrinking.length = 1; return 2; } }, 3, 4];
  if (JSON.stringify(shrinking) !== '[1,2,null,null]') fail('an array that shrinks: ' + JSON.stringify(shrinking));
})();
