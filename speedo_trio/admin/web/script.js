"use strict";

// Everything that comes from the server goes into textContent: peers have a say in it.

const PERIOD = 1000;    // milliseconds between two questions
const PATIENCE = 5000;  // milliseconds to wait for an answer
const SPAN = 120;       // seconds that are drawn
const GAP = 5;          // seconds without an answer after which a line is broken
const MISSES = 2;       // questions without an answer after which the server is taken for gone

// Not a relative URL: one that has a name and password in it, fetch() refuses.
const BASE = location.origin + location.pathname.replace(/[^/]*$/, "");

const STATES = {
  serving: ["●", "serving"],
  paused: ["❚❚", "paused: it accepts nobody for now"],
  draining: ["◐", "draining: it finishes what was begun"],
  ended: ["■", "ended"],
};

const COLUMNS = [
  ["id", "number", count],
  ["peer", "peer", String],
  ["seconds", "open for", duration],
  ["received", "received", bytes],
  ["sent", "sent", bytes],
  ["executed", "executed", count],
  ["waiting", "waiting", count],
  ["unsent", "unsent", bytes],
];

const at = (id) => document.getElementById(id);

const put = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};

const make = (name, text = "", kind = "") => {
  const element = document.createElement(name);
  element.textContent = text;
  if (kind) element.className = kind;
  return element;
};

// Words for numbers

const WHOLE = new Intl.NumberFormat("en");
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

function count(number) {
  return WHOLE.format(number);
}

function rate(number) {
  if (number >= 10000) return SHORT.format(number);
  return number >= 10 ? WHOLE.format(Math.round(number)) : String(Number(number.toFixed(1)));
}

function bytes(number) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  for (; number >= 1024 && unit < units.length - 1; unit++) number /= 1024;
  return `${unit && number < 100 ? number.toFixed(1) : Math.round(number)} ${units[unit]}`;
}

function duration(seconds) {
  const whole = Math.floor(seconds);
  const parts = [
    [Math.floor(whole / 86400), "d"],
    [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ];
  const first = parts.findIndex(([number]) => number > 0);
  if (first < 0) return "0 s";
  return parts.slice(first, first + 2).filter(([number]) => number).map((part) => part.join(" ")).join(" ");
}

function short(seconds) {
  if (seconds === null) return "–";
  if (seconds < 0.001) return `${(seconds * 1e6).toFixed(0)} µs`;
  if (seconds < 1) return `${Number((seconds * 1000).toPrecision(3))} ms`;
  return `${Number(seconds.toPrecision(3))} s`;
}

function sum(counts) {
  return Object.values(counts).reduce((total, number) => total + number, 0);
}

// What was seen in the last two minutes

const history = [];
let last = null;  // the last status

function remember(status) {
  if (last !== null && (status.pid !== last.pid || status.uptime < last.uptime)) {
    history.length = 0;  // another server: rates across that would be nonsense
    last = null;
  }
  const seconds = last === null ? 0 : status.uptime - last.uptime;
  const rateOf = (now, before) => (seconds > 0 ? Math.max(0, (now - before) / seconds) : 0);
  history.push({
    at: status.uptime,
    connections: status.connections.open,
    messages: last ? rateOf(status.messages.executed, last.messages.executed) : null,
    received: last ? rateOf(status.bytes.received, last.bytes.received) : null,
    sent: last ? rateOf(status.bytes.sent, last.bytes.sent) : null,
    waiting: status.messages.waiting,
    busy: status.workers.busy,
  });
  while (history[0].at < status.uptime - SPAN - GAP) history.shift();
  last = status;
}

// Drawing

const WIDTH = 240, HEIGHT = 50;

function path(kind, drawn) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", "path");
  element.setAttribute("class", kind);
  element.setAttribute("d", drawn);
  return element;
}

function runs(key) {
  const found = [];
  let before = -Infinity;
  for (const seen of history) {
    if (seen[key] === null) continue;
    if (seen.at - before > GAP) found.push([]);
    found[found.length - 1].push(seen);
    before = seen.at;
  }
  return found;
}

function draw(name, what, unit, ...keys) {
  const svg = at(`spark-${name}`), now = history[history.length - 1].at;
  const most = Math.max(0, ...history.flatMap((seen) => keys.map((key) => seen[key] ?? 0)));
  const x = (seen) => (WIDTH * (1 - (now - seen.at) / SPAN)).toFixed(1);
  const y = (number) => (HEIGHT - 2 - (HEIGHT - 4) * (number / (most || 1))).toFixed(1);
  const drawn = [path("base", `M0 ${HEIGHT - 1}H${WIDTH}`)];
  keys.forEach((key, index) => {
    for (const run of runs(key)) {
      const line = run.map((seen) => `${x(seen)} ${y(seen[key])}`).join("L");
      if (keys.length === 1) {
        drawn.push(path("area", `M${x(run[0])} ${HEIGHT - 1}L${line}L${x(run[run.length - 1])} ${HEIGHT - 1}Z`));
      }
      drawn.push(path(index ? "second" : "first", `M${line}`));
    }
  });
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-label", `${what} in the last two minutes, ${unit(most)} at most`);
  svg.replaceChildren(...drawn);
  put(at(`peak-${name}`), `peak ${unit(most)}`);
}

function show(status) {
  const { connections, messages, workers, config } = status;
  const now = history[history.length - 1];
  put(at("version"), status.version);
  put(at("where"), status.addresses.join("  "));
  put(at("uptime"), `up ${duration(status.uptime)}, process ${status.pid}`);
  put(at("open"), count(connections.open));
  put(at("open-limit"), count(config.limits.connections));
  put(at("accepted"), count(connections.accepted));
  put(at("refused"), count(sum(connections.refused)));
  put(at("message-rate"), rate(now.messages ?? 0));
  put(at("executed"), count(messages.executed));
  put(at("failed"), count(messages.failed));
  put(at("dropped"), count(messages.dropped));
  put(at("received-rate"), bytes(now.received ?? 0));
  put(at("sent-rate"), bytes(now.sent ?? 0));
  put(at("received"), bytes(status.bytes.received));
  put(at("sent"), bytes(status.bytes.sent));
  put(at("waiting"), count(messages.waiting));
  put(at("waiting-limit"), count(config.limits.messages));
  put(at("ready"), count(status.lanes.ready));
  put(at("busy"), count(workers.busy));
  put(at("threads"), count(workers.threads));
  put(at("threads-limit"), count(config.workers.count));
  draw("connections", "connections", count, "connections");
  draw("messages", "messages a second", rate, "messages");
  draw("bytes", "bytes received and sent a second", bytes, "received", "sent");
  draw("waiting", "waiting messages", count, "waiting");
  draw("workers", "busy workers", count, "busy");
  showTimings(status.timings);
  list(at("closed"), words(connections.closed, count));
  list(at("refusals"), words(connections.refused, count));
  list(at("held-up"), words(connections.held_up, count));
  showSettings(config);
}

function showTimings(timings) {
  at("timings").hidden = timings === null;
  at("timings-note").hidden = timings !== null;
  for (const [name, timing] of Object.entries(timings ?? {})) {
    put(at(`${name}-p50`), short(timing.p50));
    put(at(`${name}-p99`), short(timing.p99));
  }
}

function words(counts, told) {
  const found = Object.entries(counts).map(([name, number]) => [name.replaceAll("_", " "), told(number)]);
  return found.length ? found : [["none so far", ""]];
}

function list(element, entries) {
  if (element.dataset.shown === JSON.stringify(entries)) return;
  element.dataset.shown = JSON.stringify(entries);
  element.replaceChildren(...entries.flatMap(([name, value]) => [make("dt", name), make("dd", value)]));
}

function showSettings(config) {
  const sections = Object.entries(config);
  if (at("settings").childElementCount !== sections.length) {
    at("settings").replaceChildren(...sections.map(([name]) => {
      const section = make("div");
      section.append(make("h3", name), make("dl"));
      return section;
    }));
  }
  sections.forEach(([, settings], index) => {
    const entries = Object.entries(settings).map(([name, value]) => [name, value === null ? "none" : String(value)]);
    list(at("settings").children[index].lastElementChild, entries);
  });
}

function showState(state, text, sign) {
  document.body.dataset.state = state;
  put(at("state-text"), text);
  put(at("sign"), sign);
  const open = last === null ? "" : `${count(last.connections.open)} – `;
  document.title = `${state === "serving" ? open : `${state} – `}speedo_trio`;
}

// The table

const rows = new Map();
let order = "id", descending = true;

function makeHeads() {
  for (const [key, name] of COLUMNS) {
    const head = make("th", "", key), button = make("button", name);
    head.scope = "col";
    head.dataset.key = key;
    button.type = "button";
    button.addEventListener("click", () => sortBy(key));
    head.append(button);
    at("heads").append(head);
  }
  markHeads();
}

function sortBy(key) {
  descending = key === order ? !descending : key !== "peer";
  order = key;
  markHeads();
  ask();
}

function markHeads() {
  for (const head of at("heads").children) {
    const sorted = head.dataset.key === order;
    const name = COLUMNS.find(([key]) => key === head.dataset.key)[1];
    head.setAttribute("aria-sort", sorted ? (descending ? "descending" : "ascending") : "none");
    put(head.firstChild, name + (sorted ? (descending ? " ▾" : " ▴") : ""));
  }
}

function showList(status) {
  const found = status.listed.slice();
  const by = (one) => one[order];
  found.sort((one, other) => (by(one) < by(other) ? -1 : by(one) > by(other) ? 1 : one.id - other.id));
  if (descending) found.reverse();
  const ids = new Set(found.map((one) => one.id));
  for (const [id, row] of rows) {
    if (!ids.has(id)) {
      row.remove();
      rows.delete(id);
    }
  }
  const wanted = found.map(fillRow);
  if (wanted.some((row, index) => at("rows").children[index] !== row)) {
    const focused = document.activeElement;
    at("rows").append(...wanted);
    if (at("rows").contains(focused)) focused.focus({ preventScroll: true });
  }
  const open = status.connections.open;
  const most = status.order === "id" ? "the newest" : `those with most of “${COLUMNS.find(([key]) => key === status.order)[1]}”`;
  put(at("listed"), open > found.length ? `${count(found.length)} of ${count(open)}: ${most}` : count(found.length));
  at("none").hidden = found.length > 0;
}

function fillRow(one) {
  let row = rows.get(one.id);
  if (row === undefined) {
    row = makeRow(one.id);
    rows.set(one.id, row);
  }
  COLUMNS.forEach(([key, , told], index) => {
    const cell = row.cells[index];
    put(key === "id" ? cell.firstChild : cell, told(one[key]));
    if (key === "peer") cell.title = one.peer;
  });
  row.classList.toggle("chosen", one.id === chosen);
  return row;
}

function makeRow(id) {
  const row = make("tr"), button = make("button");
  button.type = "button";
  button.setAttribute("aria-label", `Details of connection ${id}`);
  for (const [key] of COLUMNS) row.append(make("td", "", key));
  row.cells[0].append(button);
  row.addEventListener("click", () => choose(id));
  return row;
}

// What protocols report

const CLIENT_COLUMNS = [
  ["id", "client", String],
  ["connected", "connected", (there) => (there ? "yes" : "no")],
  ["version", "version", (version) => version ?? "–"],
  ["subscriptions", "subscriptions", count],
  ["queued", "queued", count],
  ["queued_bytes", "queued bytes", bytes],
  ["inflight", "in flight", count],
  ["dropped", "dropped", count],
];

function makeClientHeads() {
  for (const [key, name] of CLIENT_COLUMNS) {
    const head = make("th", name, `client-${key}`);
    head.scope = "col";
    at("client-heads").append(head);
  }
}

function showReports(reports) {
  at("reports").hidden = reports.length === 0;
  if (reports.length === 0) return;
  list(at("figures"), reports.flatMap((report) => Object.entries(report.figures).flatMap(figure)));
  const clients = reports.flatMap((report) => report.clients);
  put(at("clients-listed"), count(clients.length));
  while (at("clients").childElementCount > clients.length) at("clients").lastChild.remove();
  while (at("clients").childElementCount < clients.length) at("clients").append(makeClientRow());
  clients.forEach((client, index) => fillClientRow(at("clients").children[index], client));
}

function figure([name, value]) {
  const words = name.replace(/^mqtt_/, "").replaceAll("_", " ");
  const told = name.endsWith("bytes") ? bytes : count;
  if (typeof value !== "object") return [[words, told(value)]];
  return Object.entries(value).map(([kind, number]) => [`${words}, ${kind.replaceAll("_", " ")}`, told(number)]);
}

function makeClientRow() {
  const row = make("tr"), button = make("button");
  button.type = "button";
  for (const [key] of CLIENT_COLUMNS) row.append(make("td", "", `client-${key}`));
  row.cells[0].append(button);
  row.addEventListener("click", () => choose(button.textContent, "client"));
  return row;
}

function fillClientRow(row, client) {
  CLIENT_COLUMNS.forEach(([key, , told], index) => {
    put(key === "id" ? row.cells[index].firstChild : row.cells[index], told(client[key]));
  });
}

// One connection, or one client

let chosen = null, chosenKind = "connection";

function choose(id, kind = "connection") {
  chosen = id;
  chosenKind = kind;
  put(at("h-details"), kind === "client" ? `Client ${id}` : `Connection ${id}`);
  at("facts").replaceChildren();
  at("gone").hidden = true;
  at("details").hidden = false;
  document.body.classList.add("open");
  at("h-details").focus({ preventScroll: true });
  for (const [number, row] of rows) row.classList.toggle("chosen", number === id);
  askDetails();
}

function unchoose() {
  const row = rows.get(chosen);
  chosen = null;
  at("details").hidden = true;
  document.body.classList.remove("open");
  if (row !== undefined) {
    row.classList.remove("chosen");
    row.querySelector("button").focus({ preventScroll: true });
  }
}

const NAMES = { tls: "TLS", websocket: "WebSocket", proxy: "PROXY header", executed: "messages executed" };

function named(key) {
  return NAMES[key] ?? COLUMNS.find(([name]) => name === key)?.[1] ?? key;
}

function told(key, value) {
  if (value === null) return key.startsWith("header ") ? "not shown" : "none";
  const column = COLUMNS.find(([name]) => name === key);
  return column ? column[2](value) : String(value);
}

function facts(found) {
  const plain = [], sections = [];
  for (const [key, value] of Object.entries(found)) {
    if (key === "id") continue;
    if (value === null || typeof value !== "object") plain.push([named(key), told(key, value)]);
    else sections.push([NAMES[key] ?? key, Object.entries(value).flatMap(([name, one]) => pairs(name, one))]);
  }
  return [["So far", plain], ...sections];
}

function pairs(name, value) {
  if (!Array.isArray(value)) return [[name, told(name, value)]];
  const kind = name.replace(/s$/, "");
  return value.map(([key, one]) => [`${kind} ${key}`, told(`${kind} `, one)]);
}

function showDetails(found) {
  const shown = facts(found);
  if (at("facts").childElementCount !== 2 * shown.length) {
    at("facts").replaceChildren(...shown.flatMap(([title]) => [make("h3", title), make("dl")]));
  }
  shown.forEach(([, entries], index) => list(at("facts").children[2 * index + 1], entries));
}

async function askDetails() {
  const id = chosen;
  if (id === null) return;
  try {
    const response = await get(`status/${chosenKind}s/${encodeURIComponent(id)}`);
    if (chosen !== id) return;
    at("gone").hidden = response.status !== 404;
    if (response.ok) showDetails(await response.json());
    else if (response.status === 404) put(at("gone"), "It has ended. This is what was last seen.");
  } catch {
    // the next question for the status tells that nobody answers
  }
}

// Asking

let misses = 0, asked = 0, answered = null;

function get(where) {
  return fetch(BASE + where, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
}

async function ask() {
  const number = ++asked;
  try {
    const by = order === "peer" ? "id" : order;
    const response = await get(`status?order=${by}`);
    if (!response.ok) throw new Error(refusal(response.status));
    const status = await response.json();
    if (number !== asked) return;  // a later question was asked meanwhile
    misses = 0;
    answered = new Date();
    remember(status);
    show(status);
    showList(status);
    showReports(status.reports);
    showState(status.state, ...[STATES[status.state][1], STATES[status.state][0]]);
  } catch (error) {
    if (number === asked) missed(error);
  }
}

function refusal(status) {
  return status === 401 ? "the token is needed: reload the page" : `the answer is ${status}`;
}

function missed(error) {
  misses++;
  if (misses < MISSES && answered !== null) return;
  const since = answered === null ? "" : ` since ${answered.toLocaleTimeString()}`;
  const why = error instanceof TypeError || error.name === "TimeoutError" ? "no answer" : error.message;
  showState("lost", `${why}${since}`, "✕");
}

async function keepAsking() {
  for (;;) {
    const began = performance.now();
    await Promise.all([ask(), askDetails()]);
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, PERIOD - (performance.now() - began))));
  }
}

at("close").addEventListener("click", unchoose);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && chosen !== null) unchoose();
});
makeHeads();
makeClientHeads();
keepAsking();
