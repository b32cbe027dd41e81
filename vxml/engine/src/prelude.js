(function (now, s0, s1, off, maxLength) {
  'use strict';
  // Chance is an input: xoshiro-like 64-bit state in two words, seeded by the host.
  var a = s0 | 0, b = s1 | 0, c = 0x9e3779b9 | 0, k = 1;
  function next() {
    var t = (a + b | 0) + k | 0;
    k = k + 1 | 0;
    a = b ^ b >>> 9;
    b = c + (c << 3) | 0;
    c = (c << 21 | c >>> 11) + t | 0;
    return t >>> 0;
  }
  for (var i = 0; i < 12; i++) next();
  Math.random = function random() { return (next() * 2097152 + (next() >>> 11)) / 9007199254740992; };

  // Time and zone are inputs.
  var D = Date, P = D.prototype, sysOff = P.getTimezoneOffset, ZONE = /(?:Z|GMT|UTC|[+-]\d\d:?\d\d)(?:\s*\(.*\))?\s*$/i;
  var shift = off * 60000;
  function local(d) { return new D(+d + shift); }
  function parse(s) {
    s = String(s);
    var t = D.parse(s);
    if (t !== t || ZONE.test(s) || /^\d{4}(-\d\d){0,2}$/.test(s)) return t;
    return t - sysOff.call(new D(t)) * 60000 - shift;
  }
  function Dt(y, m) {
    var n = arguments.length;
    if (!new.target) return str(new D(now()));
    var v;
    if (n === 0) v = now();
    else if (n === 1) { v = y instanceof D ? +y : y; if (typeof v === 'object' && v) v = v.valueOf(); v = typeof v === 'string' ? parse(v) : Number(v); }
    else v = D.UTC.apply(null, arguments) - shift;
    return Reflect.construct(D, [v], new.target);
  }
  Object.defineProperty(Dt, 'name', { value: 'Date' });
  Object.defineProperty(Dt, 'length', { value: 7 });
  Dt.prototype = P;
  Dt.now = function () { return now(); };
  Dt.UTC = D.UTC;
  Dt.parse = parse;
  Object.defineProperty(P, 'constructor', { value: Dt, writable: true, configurable: true });
  // A plain loop: forEach itself is wrapped below.
  function each(list, f) { for (var i = 0; i < list.length; i++) f(list[i]); }
  // Assignment keeps the attributes of a built-in (writable, configurable, not enumerable) and costs a third of defineProperty.
  function put(o, name, f) { o[name] = f; }
  each(['FullYear', 'Month', 'Date', 'Day', 'Hours', 'Minutes', 'Seconds', 'Milliseconds'], function (f) {
    var g = P['getUTC' + f], s = P['setUTC' + f];
    put(P, 'get' + f, function () { return g.call(local(this)); });
    if (s) put(P, 'set' + f, function () { var t = local(this); s.apply(t, arguments); return this.setTime(+t - shift); });
  });
  put(P, 'getYear', function () { return this.getFullYear() - 1900; });
  put(P, 'getTimezoneOffset', function () { return +this === +this ? -off || 0 : NaN; });
  function two(n) { return n < 10 ? '0' + n : '' + n; }
  function zone() { var m = Math.abs(off); return 'GMT' + (off < 0 ? '-' : '+') + two(Math.floor(m / 60)) + two(m % 60); }
  var DAY = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
  var MON = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
  function dstr(d) { return DAY[d.getDay()] + ' ' + MON[d.getMonth()] + ' ' + two(d.getDate()) + ' ' + d.getFullYear(); }
  function tstr(d) { return two(d.getHours()) + ':' + two(d.getMinutes()) + ':' + two(d.getSeconds()) + ' ' + zone(); }
  function str(d) { return +d === +d ? dstr(d) + ' ' + tstr(d) : 'Invalid Date'; }
  put(P, 'toString', function () { return str(this); });
  put(P, 'toDateString', function () { return +this === +this ? dstr(this) : 'Invalid Date'; });
  put(P, 'toTimeString', function () { return +this === +this ? tstr(this) : 'Invalid Date'; });
  put(P, 'toLocaleString', P.toString);
  put(P, 'toLocaleDateString', P.toDateString);
  put(P, 'toLocaleTimeString', P.toTimeString);
  globalThis.Date = Dt;

  // Native loops that no interrupt stops are given bounded lengths. Real arrays have a plain `length`; anything else
  // is copied first (reading calls) or refused (writing calls).
  var isArray = Array.isArray, call = Function.prototype.call, bind = call.bind(call), apply = Function.prototype.apply;
  var run = call.bind(apply);
  function tooLong() { throw new RangeError('longer than the limit of the engine'); }
  function plain(o, write) {
    if (isArray(o)) { if (o.length > maxLength) tooLong(); return o; }
    if (typeof o === 'string') { if (o.length > maxLength) tooLong(); return o; }
    if (write) throw new TypeError('not an array');
    if (o === null || o === undefined) throw new TypeError('not an object');
    var n = Math.min(Math.max(Number(o.length) || 0, 0), 4294967295), r = [], j;
    if (n > maxLength) tooLong();
    for (j = 0; j < n; j++) if (j in o) r[j] = o[j];
    r.length = n;
    return r;
  }
  // One maker for each kind of guard, not one a name: making closures is half the cost of a fresh engine.
  function guard(o, names, make) {
    for (var i = 0; i < names.length; i++) {
      var f = o[names[i]];
      if (typeof f === 'function') o[names[i]] = make(f, names[i]);
    }
  }
  function reading(f) {
    return function () {
      var o = plain(this, false);
      for (var j = 0; j < arguments.length; j++) if (isArray(arguments[j]) && arguments[j].length > maxLength) tooLong();
      return run(f, o, arguments);
    };
  }
  function joining(f) {
    return function () {
      var o = plain(this, false), all = o.length;
      for (var j = 0; j < arguments.length; j++) if (isArray(arguments[j]) && (all += arguments[j].length) > maxLength) tooLong();
      return run(f, o, arguments);
    };
  }
  function writing(f) { return function () { return run(f, plain(this, true), arguments); }; }
  function padding(f, n) {
    return function (x) {
      var s = String(this), m = n === 'repeat' ? Number(x) * s.length : Number(x);
      if (m > maxLength * 16) tooLong();
      return run(f, s, [Number(x) || 0].concat(arguments.length > 1 ? [String(arguments[1])] : []));
    };
  }
  // Searching compares up to text times pattern.
  function searching(f) {
    return function (x) {
      var s = String(this), l;
      if (typeof x === 'string') {
        l = x.length;
        if (l > 64 && (s.length - l + 1) * l > 4000000) tooLong();
      }
      return run(f, s, arguments);
    };
  }
  var A = Array.prototype;
  guard(A, ['join', 'slice', 'indexOf', 'lastIndexOf', 'includes', 'at', 'every', 'some', 'forEach', 'map', 'filter',
    'reduce', 'reduceRight', 'find', 'findIndex', 'findLast', 'findLastIndex', 'flat', 'flatMap', 'toReversed',
    'toSorted', 'toSpliced', 'with', 'toString', 'toLocaleString', 'keys', 'values', 'entries'], reading);
  guard(A, ['concat'], joining);
  guard(A, ['sort', 'reverse', 'shift', 'unshift', 'splice', 'fill', 'copyWithin', 'push', 'pop'], writing);
  guard(Array, ['from'], function (f) {
    return function (x) {
      if (x !== null && typeof x === 'object' && !x[Symbol.iterator]) arguments[0] = plain(x, false);
      return run(f, Array, arguments);
    };
  });
  guard(String.prototype, ['repeat', 'padStart', 'padEnd'], padding);
  guard(String.prototype, ['indexOf', 'lastIndexOf', 'includes', 'split', 'replace', 'replaceAll', 'startsWith', 'endsWith'], searching);
  guard(Function.prototype, ['apply'], function (f) {
    return function (t, x) { return bind(f, this, t, x === null || x === undefined ? [] : plain(x, false)); };
  });
  guard(Reflect, ['apply', 'construct', 'ownKeys'], function (f, n) {
    return function (t, x, y) {
      if (n === 'ownKeys') { if (isArray(t)) plain(t, false); return f(t); }
      if (n === 'apply') return f(t, x, plain(y, false));
      return arguments.length > 2 ? f(t, plain(x, false), y) : f(t, plain(x, false));
    };
  });
  guard(JSON, ['stringify'], function (f) {
    return function (v, r, s) { return f(v, isArray(r) ? plain(r, false) : r, typeof s === 'number' ? Math.min(s, 10) : typeof s === 'string' ? s.slice(0, 10) : undefined); };
  });
  delete globalThis.BigInt;
  function freeze(o, d) {
    if (o === null || typeof o !== 'object' || d > 32 || Object.isFrozen(o)) return o;
    Object.freeze(o);
    for (var n in o) freeze(o[n], d + 1);
    return o;
  }
  return freeze;
})
