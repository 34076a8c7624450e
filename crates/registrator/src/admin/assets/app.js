// The page. Whatever comes from containers goes in as text, never as markup. Nothing is asked for again and again: one stream of events says
// what changed.
'use strict';

const PAGE = 100;
const LINES = 150;
const STATES = ['registered', 'pending', 'shared', 'outvoted', 'disputed', 'blocked', 'rejected', 'kept', 'held back'];
const SIGNS = { registered: '✓', shared: '✓', pending: '…', outvoted: '!', disputed: '?', blocked: '✗', rejected: '✗', kept: '!', 'held back': '!' };

const $ = (id) => document.getElementById(id);
const view = { section: 'overview', after: '', more: '', paused: false, failed: null, wanted: 0 };

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function link(text, to) {
  const made = element('a', text);
  made.href = to;
  return made;
}

const keyLink = (key) => '#/key/' + encodeURIComponent(key);
const containerLink = (id) => '#/container/' + encodeURIComponent(id);

function kindOf(state) {
  if (state === 'registered' || state === 'shared') return 'good';
  return state === 'pending' ? 'wait' : 'bad';
}

function stateCell(state) {
  return element('td', (SIGNS[state] || '') + ' ' + state, kindOf(state));
}

async function get(path, kind) {
  const answer = await fetch(path, { headers: { accept: kind || 'application/json' } });
  const text = await answer.text();
  if (!answer.ok) throw new Error(text.trim() || String(answer.status));
  return kind ? text : JSON.parse(text);
}

// The overview.

function showStatus(status) {
  $('host').textContent = status.version + ', host ' + (status.host || 'not known yet') + ' (' + status.machine + ')';
  const sign = status.in_sync && status.ready ? '✓ ' : status.ready ? '… ' : '✗ ';
  const words = sign + status.text;
  if ($('state').textContent !== words) $('state').textContent = words;
  $('state').className = status.in_sync && status.ready ? 'good' : status.ready ? 'wait' : 'bad';
  const lease = status.etcd.lease;
  const sides = [
    ['Docker', side(status.docker, status.docker.api && 'API ' + status.docker.api)],
    ['etcd', side(status.etcd, status.etcd.endpoint)],
    ['Lease', lease ? lease.id + ' of ' + lease.ttl_seconds + ' s' + (lease.renewed ? ', renewed at ' + clock(lease.renewed) : '') : 'none'],
    ['Registrators', status.etcd.registrators.alive + ' alive' + (status.etcd.registrators.suspect ? ', ' + status.etcd.registrators.suspect + ' seem dead' : '')],
    ['Nodes', STATES.filter((state) => status.nodes[state]).map((state) => status.nodes[state] + ' ' + state).join(', ') || 'none'],
    ['Containers', status.containers.running + ' running, ' + status.containers.stopped + ' stopped'],
    ['Policies', Object.entries(status.instances).map(([policy, count]) => policy + (count ? ' (' + count + ')' : ' (waits for a configuration)')).join(', ') || 'none'],
    ['Brake', status.brake ? status.brake.text : 'off'],
  ];
  $('sides').replaceChildren(...sides.flatMap(([name, text]) => [element('dt', name), element('dd', text)]));
  const lines = status.attention.first.map((it) => {
    const line = element('li');
    const first = it.text.split('\n')[0];
    const about = it.about;
    const to = about && (about.kind === 'key' ? keyLink(about.name) : about.kind === 'container' ? containerLink(about.name) : '#/instance/' + encodeURIComponent(about.name));
    line.append(element('strong', it.kind, 'bad'), ' ', to ? link(first, to) : first);
    return line;
  });
  const more = status.attention.count - lines.length;
  if (more > 0) lines.push(element('li', 'and ' + more + ' more'));
  $('attention').replaceChildren(...lines);
  $('no-attention').hidden = lines.length > 0;
}

function side(it, what) {
  if (it.connected) return 'connected since ' + clock(it.since) + (what ? ', ' + what : '');
  return 'away since ' + clock(it.since) + (it.error ? ': ' + it.error : '');
}

const clock = (stamp) => (stamp || '').slice(11, 19);

async function loadStatus() {
  showStatus(await get('/api/v1/status'));
}

// Lists, a page at a time.

async function loadNodes() {
  const query = new URLSearchParams(new FormData($('node-filter')));
  query.set('after', view.after);
  query.set('limit', PAGE);
  const turn = ++view.wanted;
  const page = await get('/api/v1/nodes?' + query);
  if (turn !== view.wanted) return;
  $('node-rows').replaceChildren(...page.nodes.map(nodeRow));
  more('node', page.after, page.nodes.length);
}

function nodeRow(node) {
  const row = element('tr');
  row.dataset.key = node.key;
  const key = element('td', null, 'key');
  key.append(link(node.key, keyLink(node.key)));
  const origins = node.candidates.flatMap((it) => it.origins.map((origin) => origin.container));
  const names = [...new Set(origins)].join(', ');
  const rest = node.candidates.reduce((sum, it) => sum + it.more, 0);
  row.append(stateCell(node.state), key, element('td', shown(node), 'value'), element('td', names + (rest ? ' and ' + rest + ' more' : '')));
  return row;
}

// A value, or the nodes of an object.
function shown(node) {
  if (!node.object) return node.value;
  const nodes = Object.entries(node.object);
  return nodes.length ? nodes.map(([key, value]) => key + ' = ' + value).join(', ') : 'its definitions differ';
}

async function loadContainers() {
  const query = new URLSearchParams(new FormData($('container-filter')));
  query.set('after', view.after);
  query.set('limit', PAGE);
  const turn = ++view.wanted;
  const page = await get('/api/v1/containers?' + query);
  if (turn !== view.wanted) return;
  $('container-rows').replaceChildren(...page.containers.map(containerRow));
  more('container', page.after, page.containers.length);
}

function containerRow(it) {
  const row = element('tr');
  const name = element('td');
  name.append(link(it.name, containerLink(it.id)));
  const state = it.failing ? element('td', '✗ a policy fails', 'bad') : it.worst ? stateCell(it.worst) : element('td', it.running ? 'no node' : '');
  row.append(name, element('td', it.running ? 'yes' : 'no'), element('td', String(it.nodes)), state);
  return row;
}

function more(kind, after, count) {
  view.more = after || '';
  $(kind + '-next').disabled = !after;
  $(kind + '-first').disabled = !view.after;
  if (!count) {
    const row = element('tr');
    const cell = element('td', 'None fits.');
    cell.colSpan = 4;
    row.append(cell);
    $(kind + '-rows').replaceChildren(row);
  }
}

// Explanations.

async function loadExplanation() {
  const query = view.kind + '=' + encodeURIComponent(view.subject);
  let text;
  try {
    text = await get('/api/v1/explain?' + query, 'text/plain');
  } catch (error) {
    text = error.message;
  }
  $('explain-title').textContent = 'Why: ' + view.kind + ' ' + view.subject.slice(0, 200);
  if ($('explanation').textContent !== text) $('explanation').textContent = text;
}

// The log.

function addLine(line) {
  if (view.paused) return;
  const item = element('li');
  const kind = line.level === 'error' ? 'bad' : line.level === 'warn' ? 'wait' : '';
  item.append(element('span', clock(line.at) + ' '), element('strong', line.level, kind), ' ');
  const first = line.text.split('\n')[0];
  item.append(line.key ? link(first, keyLink(line.key)) : first);
  $('lines').prepend(item);
  while ($('lines').childElementCount > LINES) $('lines').lastElementChild.remove();
}

// What is shown follows what is told: at most four times a second, and only what is visible.

let due = null;

function refresh() {
  if (due) return;
  due = setTimeout(() => {
    due = null;
    show();
  }, 250);
}

async function show() {
  try {
    await loadStatus();
    if (view.section === 'nodes') await loadNodes();
    if (view.section === 'containers') await loadContainers();
    if (view.section === 'explain') await loadExplanation();
    if (view.failed && events && events.readyState === EventSource.OPEN) connected();
  } catch (error) {
    lost();
  }
}

function lost() {
  if (!view.failed) view.failed = new Date();
  $('stale').hidden = false;
  $('stale').textContent = 'The registrator cannot be reached. This page is as of ' + view.failed.toISOString().slice(11, 19) + ' UTC.';
  document.body.classList.add('old');
}

function connected() {
  view.failed = null;
  $('stale').hidden = true;
  document.body.classList.remove('old');
}

let events = null;

function follow() {
  events = new EventSource('/api/v1/events?after=0');
  events.onopen = () => {
    connected();
    refresh();
  };
  events.onerror = () => {
    lost();
    if (events.readyState === EventSource.CLOSED) setTimeout(follow, 2000);
  };
  events.onmessage = (event) => {
    addLine(JSON.parse(event.data));
    refresh();
  };
  events.addEventListener('reset', refresh);
}

// Where in the page somebody is, so that links can be shared.

function route() {
  const parts = location.hash.replace(/^#\/?/, '').split('/');
  const kinds = { container: 'container', key: 'key', instance: 'instance' };
  view.after = '';
  if (kinds[parts[0]]) {
    view.section = 'explain';
    view.kind = parts[0];
    try {
      view.subject = decodeURIComponent(parts.slice(1).join('/'));
    } catch (error) {
      view.subject = parts.slice(1).join('/');
    }
    $('explanation').textContent = 'Asking …';
  } else {
    view.section = ['nodes', 'containers', 'log'].includes(parts[0]) ? parts[0] : 'overview';
  }
  for (const section of document.querySelectorAll('main > section')) section.hidden = section.id !== view.section;
  // What is not seen is not kept.
  if (view.section !== 'nodes') $('node-rows').replaceChildren();
  if (view.section !== 'containers') $('container-rows').replaceChildren();
  for (const to of document.querySelectorAll('nav a')) {
    const here = to.getAttribute('href') === '#/' + (view.section === 'overview' ? '' : view.section);
    if (here) to.setAttribute('aria-current', 'page');
    else to.removeAttribute('aria-current');
  }
  show();
}

function filter(form) {
  let wait = null;
  form.addEventListener('submit', (event) => event.preventDefault());
  form.addEventListener('input', () => {
    clearTimeout(wait);
    wait = setTimeout(() => {
      view.after = '';
      show();
    }, 150);
  });
}

function pages(kind) {
  $(kind + '-next').addEventListener('click', () => {
    view.after = view.more;
    show();
  });
  $(kind + '-first').addEventListener('click', () => {
    view.after = '';
    show();
  });
}

const states = document.querySelector('#node-filter select');
states.append(new Option('all', ''), ...STATES.map((state) => new Option(state, state)));
filter($('node-filter'));
filter($('container-filter'));
pages('node');
pages('container');
$('pause').addEventListener('click', () => {
  view.paused = !view.paused;
  $('pause').textContent = view.paused ? 'Go on' : 'Pause';
  $('pause').setAttribute('aria-pressed', String(view.paused));
});
window.addEventListener('hashchange', () => {
  route();
  $('main').focus();
});
route();
follow();
