(function (t) {
  function fixed(o, name, v) { Object.defineProperty(o, name, { value: v, enumerable: true }); }
  function refuse() { throw { code: 7, name: 'NO_MODIFICATION_ALLOWED_ERR', toString: function () { return 'DOMException: read-only'; } }; }
  function List(items) {
    Object.defineProperty(items, 'item', { value: function (i) { return i >= 0 && i < items.length ? items[i] : null; } });
    return items;
  }
  var N = {
    hasChildNodes: function () { return this.childNodes.length > 0; },
    hasAttributes: function () { return !!this.attributes && this.attributes.length > 0; },
    isSupported: function () { return false; },
    normalize: function () {},
    getElementsByTagName: function (n) {
      var out = [];
      (function walk(node) {
        for (var i = 0; i < node.childNodes.length; i++) {
          var c = node.childNodes[i];
          if (c.nodeType === 1) { if (n === '*' || c.nodeName === n) out.push(c); walk(c); }
        }
      })(this);
      return Object.freeze(List(out));
    },
    getElementsByTagNameNS: function (u, n) {
      var all = this.getElementsByTagName('*');
      return Object.freeze(List(all.filter(function (e) { return (n === '*' || e.localName === n) && (u === '*' || e.namespaceURI === u); })));
    }
  };
  ['insertBefore', 'replaceChild', 'removeChild', 'appendChild', 'setAttribute', 'removeAttribute', 'setAttributeNode',
    'setAttributeNS', 'removeAttributeNS', 'cloneNode', 'createElement', 'createTextNode'].forEach(function (n) { N[n] = refuse; });
  Object.defineProperty(N, 'textContent', { get: function () {
    if (this.nodeType === 3 || this.nodeType === 4) return this.nodeValue;
    var s = '';
    for (var i = 0; i < this.childNodes.length; i++) s += this.childNodes[i].textContent;
    return s;
  } });
  var E = Object.create(N), D = Object.create(N), T = Object.create(N), A = Object.create(N);
  E.getAttributeNode = function (n) { for (var i = 0; i < this.attributes.length; i++) if (this.attributes[i].name === n) return this.attributes[i]; return null; };
  E.getAttribute = function (n) { var a = this.getAttributeNode(n); return a ? a.value : ''; };
  E.hasAttribute = function (n) { return this.getAttributeNode(n) !== null; };
  E.getAttributeNS = function (u, n) { for (var i = 0; i < this.attributes.length; i++) { var a = this.attributes[i]; if (a.localName === n && a.namespaceURI === u) return a.value; } return ''; };
  D.getElementById = function () { return null; };
  T.substringData = function (o, n) { return this.data.substr(o, n); };
  function common(n, type, name, value, parent, doc, ns) {
    fixed(n, 'nodeType', type); fixed(n, 'nodeName', name); fixed(n, 'nodeValue', value);
    fixed(n, 'parentNode', parent); fixed(n, 'ownerDocument', doc);
    var at = name.indexOf(':');
    fixed(n, 'localName', at < 0 ? name : name.slice(at + 1)); fixed(n, 'prefix', at < 0 ? null : name.slice(0, at));
    fixed(n, 'namespaceURI', ns || null);
  }
  function family(n, list) {
    fixed(n, 'childNodes', Object.freeze(List(list)));
    fixed(n, 'firstChild', list.length ? list[0] : null);
    fixed(n, 'lastChild', list.length ? list[list.length - 1] : null);
    for (var i = 0; i < list.length; i++) {
      fixed(list[i], 'previousSibling', i ? list[i - 1] : null);
      fixed(list[i], 'nextSibling', i + 1 < list.length ? list[i + 1] : null);
      Object.freeze(list[i]);
    }
  }
  function make(d, parent, doc) {
    var n;
    if (d[0] === 1) {
      n = Object.create(E);
      common(n, 1, d[1], null, parent, doc, d[4]);
      fixed(n, 'tagName', d[1]);
      var attrs = d[2].map(function (p) {
        var a = Object.create(A);
        common(a, 2, p[0], p[1], null, doc, p[2]);
        fixed(a, 'name', p[0]); fixed(a, 'value', p[1]); fixed(a, 'specified', true); fixed(a, 'ownerElement', n);
        family(a, []);
        return Object.freeze(a);
      });
      var map = List(attrs);
      Object.defineProperty(map, 'getNamedItem', { value: function (k) { return n.getAttributeNode(k); } });
      fixed(n, 'attributes', Object.freeze(map));
      family(n, d[3].map(function (c) { return make(c, n, doc); }));
    } else {
      n = Object.create(T);
      common(n, d[0], d[0] === 8 ? '#comment' : d[0] === 4 ? '#cdata-section' : '#text', d[1], parent, doc);
      fixed(n, 'data', d[1]); fixed(n, 'length', d[1].length);
      family(n, []);
    }
    return n;
  }
  var doc = Object.create(D);
  common(doc, 9, '#document', null, null, null);
  var root = make(t, doc, doc);
  family(doc, [root]);
  fixed(doc, 'documentElement', root);
  fixed(doc, 'doctype', null);
  return Object.freeze(doc);
})($data)
