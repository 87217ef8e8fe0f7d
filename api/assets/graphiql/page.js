// Starts GraphiQL against the address this page was loaded from.
// `#token=…&workspace=…&query=…` fills the editors; a fragment stays in the browser, so no server or log sees the token,
// and it is taken out of the address bar and the history at once.
(function () {
  'use strict';

  // A link opened over this page only changes the fragment.
  addEventListener('hashchange', () => location.reload());

  const given = new URLSearchParams(location.hash.slice(1));
  if (location.hash) {
    history.replaceState(null, '', location.pathname + location.search);
  }

  const headers = JSON.stringify(
    {
      Authorization: 'Bearer ' + (given.get('token') || '…'),
      'Annals-Workspace': given.get('workspace') || 'demo',
    },
    null,
    2,
  );

  const welcome = [
    '# Annals: put a token into the Headers pane below (`annals token --email …` prints one),',
    '# name a workspace there, and press Ctrl-Enter.',
    '',
    'query First {',
    '  __typename',
    '}',
    '',
  ].join('\n');

  async function fetcher(params, options) {
    const sent = new Headers({
      'Content-Type': 'application/json',
      Accept: 'application/graphql-response+json, application/json;q=0.9',
    });
    for (const [name, value] of Object.entries((options && options.headers) || {})) {
      // The placeholder is not a token, and `…` is not a character of headers.
      if (/^[\x20-\x7e]*$/.test(String(value))) {
        sent.set(name, value);
      }
    }
    const response = await fetch(location.pathname, {
      method: 'POST',
      headers: sent,
      body: JSON.stringify(params),
      credentials: 'omit',
    });
    const text = await response.text();
    try {
      return JSON.parse(text);
    } catch (error) {
      return { errors: [{ message: 'HTTP ' + response.status + ': ' + text }] };
    }
  }

  // GraphiQL's history keeps the headers of each query, the token among them: that part lives as long as the page.
  const passing = new Map();
  const isPassing = (key) => /:(queries|favorites|headers)$/.test(key);
  const storage = {
    get length() {
      return localStorage.length + passing.size;
    },
    getItem: (key) => (isPassing(key) ? passing.get(key) ?? null : localStorage.getItem(key)),
    setItem: (key, value) => (isPassing(key) ? passing.set(key, value) : localStorage.setItem(key, value)),
    removeItem: (key) => (isPassing(key) ? passing.delete(key) : localStorage.removeItem(key)),
    clear() {
      passing.clear();
      localStorage.clear();
    },
  };

  const settings = { fetcher, storage, defaultHeaders: headers, defaultQuery: welcome, shouldPersistHeaders: false };
  // Only what the address gives overrides what was last edited here.
  if (given.has('token') || given.has('workspace')) {
    settings.headers = headers;
  }
  if (given.has('query')) {
    settings.query = given.get('query');
  }
  ReactDOM.createRoot(document.getElementById('graphiql')).render(React.createElement(GraphiQL, settings));
})();
