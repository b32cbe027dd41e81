(function (D, sysOff, off) {
  'use strict';
  // What few scripts need: local time by an offset that is an input, and the comparison of a sort without one.
  var P = D.prototype, ZONE = /(?:Z|GMT|UTC|[+-]\d\d:?\d\d)(?:\s*\(.*\))?\s*$/i;
  var shift = off * 60000, out = {};
  function local(d) { return new D(+d + shift); }
  function parse(s) {
    s = String(s);
    var t = D.parse(s);
    if (t !== t || ZONE.test(s) || /^\d{4}(-\d\d){0,2}$/.test(s)) return t;
    return t - sysOff.call(new D(t)) * 60000 - shift;
  }
  out.parse = parse;
  out.UTC = D.UTC;
  out.value = function (y) {
    if (arguments.length > 1) return D.UTC.apply(null, arguments) - shift;
    var v = y instanceof D || P.isPrototypeOf(y) ? +y : y;
    if (typeof v === 'object' && v) v = v.valueOf();
    return typeof v === 'string' ? parse(v) : Number(v);
  };
  ['FullYear', 'Month', 'Date', 'Day', 'Hours', 'Minutes', 'Seconds', 'Milliseconds'].forEach(function (f) {
    var g = P['getUTC' + f], s = P['setUTC' + f];
    out['get' + f] = function () { return g.call(local(this)); };
    if (s) out['set' + f] = function () { var t = local(this); s.apply(t, arguments); return this.setTime(+t - shift); };
  });
  out.getYear = function () { return out.getFullYear.call(this) - 1900; };
  out.setYear = function (y) {
    y = Number(y);
    if (y !== y) return this.setTime(y);
    if (y > -1 && y < 100) y = 1900 + (y < 0 ? 0 : Math.floor(y));
    return out.setFullYear.call(+this === +this ? this : (this.setTime(-shift), this), y);
  };
  out.getTimezoneOffset = function () { return +this === +this ? -off || 0 : NaN; };
  function two(n) { return n < 10 ? '0' + n : '' + n; }
  function zone() { var m = Math.abs(off); return 'GMT' + (off < 0 ? '-' : '+') + two(Math.floor(m / 60)) + two(m % 60); }
  var DAY = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
  var MON = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
  function text(date, time) {
    return function () {
      if (+this !== +this) return 'Invalid Date';
      var d = local(this), s = [];
      if (date) s.push(DAY[d.getUTCDay()] + ' ' + MON[d.getUTCMonth()] + ' ' + two(d.getUTCDate()) + ' ' + d.getUTCFullYear());
      if (time) s.push(two(d.getUTCHours()) + ':' + two(d.getUTCMinutes()) + ':' + two(d.getUTCSeconds()) + ' ' + zone());
      return s.join(' ');
    };
  }
  out.toString = out.toLocaleString = text(true, true);
  out.toDateString = out.toLocaleDateString = text(true, false);
  out.toTimeString = out.toLocaleTimeString = text(false, true);
  out.text = function (now) { return out.toString.call(new D(now)); };
  out.compare = function (a, b) { a = String(a); b = String(b); return a < b ? -1 : a > b ? 1 : 0; };
  return out;
})
