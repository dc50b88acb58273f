// HTMLRewriter: every unit, waiting handlers, failures.
const res = () => new Response('<!doctype html><html><body><h1 class="a" ID=x>Hi</h1><!-- c --><p>text <b>bold</b></p><img src=a></body></html>', { headers: { 'content-type': 'text/html', 'content-length': '5' } });
const t = async (n, f) => { try { print(n + ': ' + await f()); } catch (e) { print(n + ' THREW ' + (e && e.name) + ': ' + (e && e.message)) } };
await t('basic', () => new HTMLRewriter().on('h1', { element(e) { e.setAttribute('data-x', 'y').removeAttribute('class'); e.before('<B>', { html: true }); e.append('<&>'); e.tagName = 'h2'; e.onEndTag((end) => { end.after('AFTER'); }); } }).on('p', { text(c) { if (c.lastInTextNode) c.after('!'); }, element(e) { e.prepend('P') } }).on('*', { comments(c) { c.text = 'new'; } }).onDocument({ doctype(d) { print('dt ' + d.name) }, end(e) { e.append('<!--end-->', { html: true }) } }).transform(res()).text());
await t('async', () => new HTMLRewriter().on('h1', { async element(e) { await Promise.resolve(); await null; e.setInnerContent('later'); print([...e.attributes].join('|') + e.namespaceURI); } }).on('b', { element(e) { e.removeAndKeepContent() } }).on('img', { element(e) { e.remove(); print(e.removed) } }).transform(res()).text());
await t('throws', () => new HTMLRewriter().on('h1', { element() { throw new RangeError('boom') } }).transform(res()).text());
await t('rejects', () => new HTMLRewriter().on('h1', { async element() { await null; throw new RangeError('boom2') } }).transform(res()).text());
await t('never', () => new HTMLRewriter().on('h1', { element() { return new Promise(() => {}) } }).transform(res()).text());
await t('selector', () => new HTMLRewriter().on('h1[', {}));
await t('late', async () => { let k; await new HTMLRewriter().on('h1', { element(e) { k = e } }).transform(res()).text(); return k.tagName; });
await t('headers', () => { const r = new HTMLRewriter().transform(res()); return r.headers.get('content-type') + r.headers.get('content-length'); });
