// The monitor's page. All text goes into the page as text, never as markup.
"use strict";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const ROWS = 12; // of the table of batches
const KEPT = 1000; // batches in memory

const world = {
  app: null, over: new Map(), active: [], states: [], inputs: [], receivers: [], outputs: [], operators: [],
  page: 0, open: null, cursor: null, now: 0, at: 0, connected: false, askable: "",
};

// ------------------------------------------------------------------ words and numbers

const whole = new Intl.NumberFormat("en");
const one = new Intl.NumberFormat("en", { maximumFractionDigits: 1, minimumFractionDigits: 1 });

function count(value) { return value == null ? "–" : whole.format(Math.round(value)); }

function short(value) {
  if (value == null) return "–";
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]])
    if (Math.abs(value) >= size) return one.format(value / (unit === "k" ? 1e3 : size)) + " " + unit;
  return value > 0 && value < 10 && value % 1 ? one.format(value) : count(value);
}

function duration(ms) {
  if (ms == null) return "–";
  if (ms < 1) return ms === 0 ? "0 ms" : "< 1 ms";
  if (ms < 1000) return count(ms) + " ms";
  if (ms < 120e3) return one.format(ms / 1000) + " s";
  if (ms < 7200e3) return one.format(ms / 60e3) + " min";
  if (ms < 172800e3) return one.format(ms / 3600e3) + " h";
  return one.format(ms / 86400e3) + " days";
}

function bytes(value) {
  if (value == null) return "–";
  for (const [size, unit] of [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]])
    if (value >= size) return one.format(value / size) + " " + unit;
  return count(value) + " B";
}

function clock(ms, withDate) {
  const moment = new Date(ms);
  const two = (number, width = 2) => String(number).padStart(width, "0");
  const time = `${two(moment.getHours())}:${two(moment.getMinutes())}:${two(moment.getSeconds())}`;
  const small = ms % 1000 ? "." + two(moment.getMilliseconds(), 3) : "";
  const date = `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())}`;
  return (withDate ? date + " " : "") + time + small;
}

const SIGNS = { completed: "✓ completed", failed: "✕ failed", running: "● running", waiting: "○ waiting" };
const STATES = { running: "running", ended: "ended", failed: "failed", dead: "not known to have ended" };

// ------------------------------------------------------------------ making elements

function element(tag, content, attributes = {}) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  for (const part of Array.isArray(content) ? content : [content])
    if (part != null) made.append(part instanceof Node ? part : String(part));
  return made;
}

function svg(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text != null) made.textContent = text;
  return made;
}

function say(id, text) { const node = $(id); if (node.textContent !== text) node.textContent = text; }

// A table, redrawn only if it has changed, so that a selection or the focus stays where it is.
function table(id, heads, rows, none) {
  const node = $(id);
  const key = JSON.stringify(rows.map((row) => row.map((cell) => [cell.text, cell.kind, cell.row])));
  if (node.dataset.key === key) return;
  node.dataset.key = key;
  const focused = document.activeElement?.dataset?.batch;
  if (!rows.length) {
    node.replaceChildren(element("caption", none, { class: "none" }));
    return;
  }
  const head = element("thead", element("tr", heads.map((text) =>
    element("th", text.replace(/^#/, ""), { scope: "col", ...(text[0] === "#" ? { class: "num" } : {}) }))));
  const body = element("tbody", rows.map((row) => {
    const made = element("tr", row.map((cell, at) => {
      const kinds = [heads[at][0] === "#" ? "num" : "", cell.kind || ""].join(" ").trim();
      return element("td", cell.node ? cell.node() : cell.text, kinds ? { class: kinds } : {});
    }));
    if (row[0].row) made.className = row[0].row;
    return made;
  }));
  node.replaceChildren(head, body);
  if (focused) node.querySelector(`[data-batch="${CSS.escape(focused)}"]`)?.focus();
}

const cell = (text, kind) => ({ text, kind });

// A line of a program: its file with the folder it lies in, and all of it for who points at it.
function lineCell(line) {
  const short = (line || "").split("/").slice(-2).join("/");
  return { text: line, kind: "wide", node: () => element("span", short, { title: line || "" }) };
}

const statusCell = (status) => ({ text: status, node: () => element("span", SIGNS[status] || status, { class: "status " + status }) });

function batchCell(batch) {
  const label = clock(batch.time);
  return {
    text: label + batch.time, row: world.open === batch.time ? "open" : "",
    node: () => {
      const button = element("button", label, {
        type: "button", class: "link-button", "data-batch": batch.time, title: `${batch.time} ms`,
        "aria-label": `Open the batch of ${clock(batch.time, true)}`,
      });
      button.addEventListener("click", () => show(batch.time));
      return button;
    },
  };
}

// ------------------------------------------------------------------ the page

const over = () => [...world.over.values()];
const interval = () => world.app?.interval || 0;
const now = () => world.now + (performance.now() - world.at);

function drawHead() {
  const app = world.app;
  if (!app) return;
  say("name", app.name);
  document.title = `${app.well ? "" : "▲ "}${app.name} – Penstock`;
  const since = app.started ? `since ${clock(app.started, true)}` : "";
  say("facts", [`every ${bare(duration)(app.interval)}`, app.master, since, `Penstock ${app.version}`].filter(Boolean).join(" · "));
  let words = app.words, state = app.well ? "good" : "bad";
  if (!world.connected && app.status === "running") {
    words = `The program does not answer since ${duration(performance.now() - world.at)}. What is shown is of then.`;
    state = "bad";
  } else if (app.status === "ended") {
    state = "ended";
    words = `The application has ended${app.ended ? " at " + clock(app.ended, true) : ""}.`;
  } else if (app.status === "failed") words = `The application has failed: ${app.error}`;
  else if (app.status === "dead") words = app.words[0].toUpperCase() + app.words.slice(1) + ". The application is dead, or hangs.";
  else if (app.fromLog) words = `It still runs, as far as its log tells: ${app.words}.`;
  else words = words[0].toUpperCase() + words.slice(1) + ".";
  $("verdict").dataset.state = state;
  say("verdict", words);
  if (world.connected) say("link", app.fromLog ? "follows the log" : "live");
  say("foot", `run ${app.run}`);
}

function drawTiles() {
  const app = world.app;
  if (!app) return;
  const batches = over(), last = batches.at(-1);
  const recent = batches.slice(-10);
  const rate = recent.length ? recent.reduce((sum, b) => sum + b.records, 0) / (recent.length * interval() / 1000) : null;
  say("t-rate", rate == null ? "–" : short(rate));
  say("t-rate-note", "records/s, " + (recent.length < 2 ? "one batch" : `${recent.length} batches`));
  say("t-processing", duration(last?.processingTime));
  const used = last?.processingTime != null && interval() ? last.processingTime / interval() : null;
  say("t-processing-note", used == null ? "of the last batch" : `${count(used * 100)} % of the interval`);
  $("t-processing").parentElement.dataset.state = used > 1 && !app.availableNow ? "bad" : "";
  say("t-delay", duration(last?.totalDelay));
  say("t-delay-note", app.waiting ? `${count(app.waiting)} batches wait` : "nothing waits");
  $("t-delay").parentElement.dataset.state = app.waiting > 1 && !app.availableNow ? "bad" : "";
  say("t-batches", short(app.totals.batches));
  say("t-batches-note", app.totals.failed ? `${count(app.totals.failed)} of them failed` : "none failed");
  $("t-batches").parentElement.dataset.state = app.totals.failed ? "bad" : "";
  say("t-records", short(app.totals.records));
  const busy = app.totals.processingTime;
  say("t-records-note", busy ? `${short(app.totals.records * 1000 / busy)}/s of work` : "since the start");
  const kept = app.checkpoint;
  say("t-checkpoint", kept ? (kept.age == null ? "none yet" : duration(app.status === "running" ? kept.age : null)) : "off");
  const size = kept ? (kept.journalBytes ?? 0) + (kept.snapshotBytes ?? 0) : null;
  say("t-checkpoint-note", kept ? (kept.age == null || app.status !== "running" ? bytes(size) : `old, ${bytes(size)}`) : "nothing is recorded");
}

function drawTables() {
  const limit = interval();
  table("active", ["Batch", "Status", "#Records", "#Waited", "Output"], world.active.slice(0, 20).map((batch) => {
    const running = batch.outputs.find((each) => each.status === "running");
    return [batchCell(batch), statusCell(batch.status), cell(batch.status === "running" ? "–" : count(batch.records)),
      cell(duration(batch.schedulingDelay)), cell(running ? `${running.name}` : "", "wide")];
  }), world.app?.status === "running" ? "No batch runs or waits." : "Nothing runs any more.");
  say("active-note", world.active.length > 20 ? `the oldest 20 of ${count(world.active.length)}` : "");

  const onlyFailed = $("only-failed").checked;
  const all = over().reverse().filter((batch) => !onlyFailed || batch.status === "failed");
  const pages = Math.max(1, Math.ceil(all.length / ROWS));
  world.page = Math.min(world.page, pages - 1);
  const shown = all.slice(world.page * ROWS, (world.page + 1) * ROWS);
  $("newer").disabled = world.page === 0;
  $("older").disabled = world.page >= pages - 1;
  say("over-note", all.length ? `${count(world.page * ROWS + 1)}–${count(world.page * ROWS + shown.length)} of ${count(all.length)}${world.page ? "" : ", the newest first"}` : "");
  table("over", ["Batch", "Status", "#Records", "#Waited", "#Processing", "#Total delay", "What happened"], shown.map((batch) => [
    batchCell(batch), statusCell(batch.status), cell(count(batch.records)), cell(duration(batch.schedulingDelay)),
    cell(duration(batch.processingTime), batch.processingTime > limit ? "over" : ""), cell(duration(batch.totalDelay)),
    { ...cell(happened(batch), "wide"), node: () => element("span", happened(batch), { title: happened(batch) }) },
  ]), onlyFailed ? "No batch that is known has failed." : "No batch is over yet.");

  table("state", ["Operator", "Line", "#Keys", "#Touched", "#Expired", "#Memory"], world.states.map((each) => [
    cell(each.name), lineCell(each.line), cell(count(each.keys)), cell(count(each.touched)), cell(count(each.expired)), cell(bytes(each.bytes)),
  ]), "No operator of this program keeps state.");
  table("inputs", ["Input", "Source", "#Records", "#Last batch", "#Held to", "#In memory"], world.inputs.map((each) => [
    cell(each.name), cell(each.source, "wide"), cell(count(each.records)), cell(count(each.lastRecords)),
    cell(each.limit ? short(each.limit.recordsPerSecond) + "/s" : each.paced ? "no limit" : "–"), cell(bytes(each.heldBytes)),
  ]), "This program has no input.");
  table("receivers", ["Receiver", "Status", "Last error"], world.receivers.map((each) => [
    cell(each.name), cell(each.active ? "● active" : "○ stopped", "nowrap"),
    cell(each.lastErrorMessage ? `${clock(each.lastErrorTime, true)}: ${each.lastErrorMessage}` : "none", "wide"),
  ]), "");
  $("receivers").hidden = !world.receivers.length;
  const kinds = { input: "input", state: "keeps state", window: "window", step: "step" };
  table("operators", ["#No.", "Operation", "#Records, last batch", "Reads", "Kind", "Window", "Holds now", "Name", "Line"], world.operators.map((each) => [
    cell(each.id + 1), cell(each.operation), recordsCell(each, each.records), cell(each.reads.map((id) => id + 1).join(", ")),
    cell(kinds[each.kind] || each.kind, "nowrap"), cell(windowWords(each), "nowrap"), cell(heldWords(each.heldSlides, each.heldRecords), "nowrap"),
    cell(each.name ?? ""), lineCell(each.line),
  ]), "Nothing is known yet.");
  const windows = world.operators.filter((each) => each.kind === "window").length;
  const unknown = world.app?.totals.batches && world.operators.some((each) => each.records == null && each.kind !== "state");
  say("operators-note", [windows ? `${count(windows)} with a window` : "",
    unknown ? "not known: within steps that ran as one pass, not due in the last batch, or not read to the end" : ""].filter(Boolean).join("; "));
  drawAsk();
}

function recordsCell(operator, records) {
  if (records != null) return cell(count(records));
  if (!world.app?.totals.batches) return cell("–");
  return operator?.kind === "state" ? cell("see State", "faint") : cell("not known", "faint");
}

function windowWords(operator) {
  return operator.window ? `${bare(duration)(operator.window)}, every ${bare(duration)(operator.every)}` : "";
}

function heldWords(slides, records) {
  if (slides == null) return "";
  const what = `${count(slides)} ${slides === 1 ? "slide" : "slides"}`;
  return records == null ? what : `${what}, ${count(records)} ${records === 1 ? "record" : "records"}`;
}

function happened(batch) {
  if (batch.cause) return [batch.cause.what, batch.cause.where].filter(Boolean).join(", ");
  const done = batch.outputs.filter((each) => each.status === "completed").length;
  return `${count(done)} ${done === 1 ? "output" : "outputs"}`;
}

function drawAsk() {
  const names = world.states.filter((each) => each.canBeAsked).map((each) => each.name);
  if (world.askable === names.join("\n")) return;
  world.askable = names.join("\n");
  $("ask").hidden = !names.length;
  $("ask-operator").replaceChildren(...names.map((name) => element("option", name, { value: name })));
}

function drawOutputs() {
  $("outputs").replaceChildren(...world.outputs.map((each) => {
    const steps = (each.explain || "").split("\n").filter(Boolean).map((line) => {
      const [, what, how, why] = line.match(/^\s*(.*?): (columns|rows)(.*)$/) || [null, line, "", ""];
      return { what, how, why };
    });
    const rows = steps.filter((step) => step.how === "rows");
    const how = !steps.length ? "no batch with records yet"
      : rows.length ? `${rows.length} of ${steps.length} steps on rows, the others on columns` : "all steps on columns";
    const made = element("details", element("summary", [
      `${each.name} ${each.line ? "at " + each.line : ""}`, each.writes ? ` → ${each.writes}` : "", " – ",
      element("span", how, { class: "how " + (!steps.length ? "" : rows.length ? "rows-form" : "columns-form") })]));
    made.append(element("ol", steps.map((step) => element("li", [step.what + " ",
      element("span", step.how + step.why, { class: "how " + step.how + "-form" })])), { class: "plan" }));
    return made;
  }));
  if (!world.outputs.length) $("outputs").replaceChildren(element("p", "Nothing is known yet.", { class: "none" }));
}

// ------------------------------------------------------------------ timelines

const bare = (shown) => (value) => shown(value).replace(/\.0(?= )/, "");
const CHARTS = {
  rate: { of: (b) => (interval() ? b.records * 1000 / interval() : 0), show: (v) => short(v) + "/s", axis: bare(short) },
  schedulingDelay: { of: (b) => b.schedulingDelay, show: duration, axis: bare(duration) },
  processingTime: { of: (b) => b.processingTime, show: duration, axis: bare(duration), limit: true },
  totalDelay: { of: (b) => b.totalDelay, show: duration, axis: bare(duration), limit: true },
};
const HEIGHT = 168, LEFT = 64, RIGHT = 8, TOP = 14, BOTTOM = 22;

// The next "round" number that is no less, so that the axis does not jump with each batch.
function roundUp(value) {
  if (!(value > 0)) return 1;
  const size = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((step) => step * size).find((each) => each >= value);
}

function shownBatches(width) {
  const all = over();
  return all.slice(-Math.max(10, Math.min(240, Math.floor((width - LEFT - RIGHT) / 4))));
}

function drawChart(figure) {
  const chart = CHARTS[figure.dataset.chart], plot = figure.querySelector(".plot");
  const width = plot.clientWidth || 600;
  const batches = shownBatches(width);
  if (!batches.length) {
    plot.replaceChildren(element("p", "No batch is over yet.", { class: "empty" }));
    return;
  }
  const values = batches.map((batch) => chart.of(batch) ?? 0);
  const most = roundUp(Math.max(...values, chart.limit ? interval() * 1.05 : 0));
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / most);
  const slots = Math.max(batches.length, 30), step = (width - LEFT - RIGHT) / slots;
  const picture = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": summary(figure, chart, batches, values) });
  for (const part of [0, 0.5, 1]) {
    picture.append(svg("line", { x1: LEFT, x2: width - RIGHT, y1: y(most * part), y2: y(most * part), class: part ? "grid" : "axis" }));
    picture.append(svg("text", { x: LEFT - 8, y: y(most * part) + 4, "text-anchor": "end" }, part ? chart.axis(most * part) : "0"));
  }
  batches.forEach((batch, at) => {
    const x = LEFT + at * step, top = y(values[at]);
    const kinds = ["bar", batch.status === "failed" ? "failed" : "", batch.time === world.cursor ? "at" : ""].join(" ").trim();
    const bar = svg("rect", { x: x + step * 0.1, width: Math.max(1, step * 0.8), y: Math.min(top, HEIGHT - BOTTOM - 1), height: Math.max(1, HEIGHT - BOTTOM - top), class: kinds });
    picture.append(bar);
    if (batch.status === "failed") picture.append(svg("text", { x: x + step / 2, y: Math.max(TOP - 3, top - 3), class: "cross" }, "✕"));
  });
  if (chart.limit) {
    picture.append(svg("line", { x1: LEFT, x2: width - RIGHT, y1: y(interval()), y2: y(interval()), class: "limit" }));
    picture.append(svg("text", { x: width - RIGHT - 2, y: y(interval()) - 5, "text-anchor": "end", class: "limit-name" }, `interval ${bare(duration)(interval())}`));
  }
  const last = batches.length - 1;
  picture.append(svg("text", { x: LEFT, y: HEIGHT - 6 }, clock(batches[0].time)));
  if (batches.length > 14) picture.append(svg("text", { x: LEFT + (last + 1) * step, y: HEIGHT - 6, "text-anchor": "end" }, clock(batches[last].time)));
  plot.replaceChildren(picture);
  const at = batches.findIndex((batch) => batch.time === world.cursor);
  const told = at >= 0 ? at : last;
  figure.querySelector("output").textContent = `${at >= 0 ? clock(batches[told].time) : "last"} ${chart.show(chart.of(batches[told]))}`;
  figure._pick = (x) => batches[Math.max(0, Math.min(last, Math.floor((x - LEFT) / step)))];
  figure._batches = batches;
}

function summary(figure, chart, batches, values) {
  const sorted = [...values].sort((a, b) => a - b);
  const name = figure.querySelector("figcaption").firstChild.textContent.trim();
  return `${name} of ${batches.length} batches: median ${chart.show(sorted[sorted.length >> 1])}, most ${chart.show(sorted.at(-1))}`;
}

function drawCharts() { document.querySelectorAll(".chart").forEach(drawChart); }

function pointAt(time) {
  if (world.cursor === time) return;
  world.cursor = time;
  drawCharts();
}

function listenToCharts() {
  document.querySelectorAll(".chart").forEach((figure) => {
    const plot = figure.querySelector(".plot");
    const under = (event) => figure._pick?.(event.clientX - plot.getBoundingClientRect().left);
    plot.addEventListener("pointermove", (event) => pointAt(under(event)?.time ?? null));
    plot.addEventListener("pointerleave", () => pointAt(null));
    plot.addEventListener("click", (event) => { const batch = under(event); if (batch) show(batch.time); });
    figure.addEventListener("blur", () => pointAt(null));
    figure.addEventListener("keydown", (event) => {
      const batches = figure._batches || [];
      const at = batches.findIndex((batch) => batch.time === world.cursor);
      const from = at < 0 ? batches.length : at;
      const to = { ArrowLeft: from - 1, ArrowRight: at < 0 ? batches.length - 1 : at + 1, Home: 0, End: batches.length - 1 }[event.key];
      if (to != null && batches.length) {
        event.preventDefault();
        pointAt(batches[Math.max(0, Math.min(batches.length - 1, to))].time);
      } else if (event.key === "Enter" && at >= 0) show(batches[at].time);
      else if (event.key === "Escape") pointAt(null);
    });
  });
}

// ------------------------------------------------------------------ one batch

async function show(time) {
  world.open = time;
  history.replaceState(null, "", `#batch=${time}`);
  let batch;
  try { batch = await get(`/api/v1/batches/${time}`); } catch (error) { batch = { error: String(error.message || error), missing: true }; }
  if (world.open !== time) return;
  const body = $("detail-body");
  say("detail-title", `Batch of ${clock(time, true)}`);
  if (batch.missing) body.replaceChildren(element("p", batch.error, { class: "none" }));
  else body.replaceChildren(...batchParts(batch));
  $("detail").hidden = false;
  drawTables();
  $("detail-title").focus();
  $("detail").scrollIntoView({ block: "nearest" });
}

function hide() {
  const time = world.open;
  world.open = null;
  $("detail").hidden = true;
  history.replaceState(null, "", location.pathname);
  drawTables();
  document.querySelector(`[data-batch="${time}"]`)?.focus();
}

function figures(pairs) {
  return element("dl", pairs.map(([name, value]) => element("div", [element("dt", name), element("dd", value)])), { class: "figures" });
}

function small(heads, rows) {
  return element("div", element("table", [
    element("thead", element("tr", heads.map((text) => element("th", text.replace(/^#/, ""), text[0] === "#" ? { class: "num" } : {})))),
    element("tbody", rows.map((row) => element("tr", row.map((each, at) => element("td", each, heads[at][0] === "#" ? { class: "num" } : { class: "wide" }))))),
  ]), { class: "scroll" });
}

function batchParts(batch) {
  const parts = [figures([
    ["Status", SIGNS[batch.status] || batch.status], ["Batch time", `${batch.time} ms`], ["Records", count(batch.records)],
    ["Waited", duration(batch.schedulingDelay)], ["Processing", duration(batch.processingTime)], ["Total delay", duration(batch.totalDelay)],
    ["Began", batch.started ? clock(batch.started) : "–"], ["Over", batch.ended ? clock(batch.ended) : "–"],
  ])];
  const failed = batch.outputs.filter((each) => each.error);
  if (batch.cause) parts.push(element("p", [batch.cause.what, batch.cause.where].filter(Boolean).join(", "), { class: "over" }));
  if (batch.error && !failed.length) parts.push(element("pre", batch.error, { class: "bad" }));
  if (batch.outputs.length) {
    parts.push(element("h3", "Outputs"), small(["Output", "Status", "#Duration", "Error"], batch.outputs.map((each) => [
      each.name, element("span", SIGNS[each.status], { class: "status " + each.status }), duration(each.duration), each.cause ? each.cause.what : ""])));
  }
  for (const each of failed) parts.push(element("h3", `Error of ${each.name}`), element("pre", each.error, { class: "bad" }));
  if (batch.inputs.length) parts.push(element("h3", "Inputs"), small(["Input", "#Records", "What it was given"], batch.inputs.map((each) => [each.name, count(each.records), each.description || ""])));
  if (batch.state.length) parts.push(element("h3", "State"), small(["Operator", "#Keys", "#Touched", "#Expired", "#Memory"],
    batch.state.map((each) => [each.operator, count(each.keys), count(each.touched), count(each.expired), bytes(each.bytes)])));
  if (batch.operators?.length && batch.operators.length === world.operators.length) {
    const held = new Map((batch.windows || []).map((each) => [each.operator, each]));
    parts.push(element("h3", "Operators"), small(["#No.", "Operation", "Line", "#Records", "Window held"], world.operators.map((each, at) => [
      String(each.id + 1), each.operation, lineCell(each.line).node(), recordsCell(each, batch.operators[at]).text,
      held.has(at) ? heldWords(held.get(at).slides, held.get(at).records) : ""])));
  } else if (batch.status === "completed" && world.operators.length) {
    parts.push(element("h3", "Operators"), element("p", "Not counted: where batches come fast, only four a second are."));
  }
  if (batch.limits.length) parts.push(element("h3", "Back-pressure"), small(["Input", "#Held to", "#Was processed at", "#Backlog"],
    batch.limits.map((each) => [each.name, short(each.recordsPerSecond) + "/s", short(each.processingRate) + "/s", short(each.backlog) + "/s"])));
  if (batch.story) parts.push(element("h3", "Story"), element("pre", batch.story));
  return parts;
}

// ------------------------------------------------------------------ what comes in

async function get(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  const data = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(data.error || `the program answers ${answer.status}`);
  return data;
}

function take(batches) {
  for (const batch of batches) { world.over.delete(batch.time); world.over.set(batch.time, batch); }
  if (world.over.size > KEPT) for (const time of [...world.over.keys()].slice(0, world.over.size - KEPT)) world.over.delete(time);
}

function takeApplication(app) {
  if (world.app && world.app.run !== app.run) { world.over.clear(); load(); }
  world.app = app;
  world.now = app.now;
  world.at = performance.now();
}

let drawing = false;
function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    drawHead(); drawTiles(); drawCharts(); drawTables();
  });
}

let loading = false;
async function load() {
  if (loading) return;
  loading = true;
  try {
    const [app, batches, states, inputs, receivers, outputs, operators] = await Promise.all(
      ["application", "batches", "state", "inputs", "receivers", "outputs", "operators"].map((name) => get(`/api/v1/${name}`)));
    const known = batches.batches.reverse();
    world.over = new Map();
    take(known.filter((each) => each.status === "completed" || each.status === "failed"));
    world.active = known.filter((each) => each.status === "running" || each.status === "waiting");
    Object.assign(world, { states, inputs, receivers, outputs, operators, app });
    world.now = app.now;
    world.at = performance.now();
    drawOutputs();
    draw();
    document.body.dataset.loaded = app.run;
  } catch { /* the feed will say when the program answers again */ } finally { loading = false; }
}

function link(state, words) {
  world.connected = state === "live";
  $("link").dataset.state = state;
  say("link", words);
}

let wait = 500;
function listen() {
  const source = new EventSource("/api/v1/events");
  source.addEventListener("open", () => { wait = 500; link("live", "live"); load(); });
  source.addEventListener("update", (event) => {
    const data = JSON.parse(event.data);
    takeApplication(data.application);
    take(data.batches);
    Object.assign(world, { active: data.active, states: data.states, inputs: data.inputs, receivers: data.receivers });
    if (data.operators.length === world.operators.length) data.operators.forEach((each, at) => Object.assign(world.operators[at], each));
    draw();
    if (world.outputs.some((each) => !each.explain) && world.app.totals.records) explainLater();
  });
  source.addEventListener("error", () => {
    source.close();
    if (world.app && world.app.status !== "running") { link("ended", "ended"); draw(); return again(); }
    link("lost", "no answer");
    draw();
    again();
  });
}

function again() {
  setTimeout(listen, wait);
  wait = Math.min(wait * 1.5, 3000);
}

let explaining = 0;
function explainLater() {
  if (explaining) return;
  explaining = setTimeout(async () => {
    explaining = 0;
    try { world.outputs = await get("/api/v1/outputs"); drawOutputs(); } catch { /* next time */ }
  }, 1000);
}

$("detail-close").addEventListener("click", hide);
document.addEventListener("keydown", (event) => { if (event.key === "Escape" && world.open != null) hide(); });
$("newer").addEventListener("click", () => { world.page -= 1; drawTables(); });
$("older").addEventListener("click", () => { world.page += 1; drawTables(); });
$("only-failed").addEventListener("change", () => { world.page = 0; drawTables(); });
$("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = $("ask-answer"), key = $("ask-key").value.trim();
  const path = `/api/v1/state/${encodeURIComponent($("ask-operator").value)}`;
  try {
    const found = await get(key ? `${path}?key=${encodeURIComponent(key)}` : path);
    answer.textContent = key ? JSON.stringify(found.value, null, 2)
      : found.items.map((each) => `${JSON.stringify(each.key)}: ${JSON.stringify(each.value)}`).join("\n") || "no key yet";
  } catch (error) { answer.textContent = error.message; }
  answer.hidden = false;
});
let resizing = 0;
addEventListener("resize", () => { cancelAnimationFrame(resizing); resizing = requestAnimationFrame(drawCharts); });
setInterval(() => { if (!world.connected) drawHead(); }, 1000);
listenToCharts();
const named = location.hash.match(/^#batch=(\d+)$/);
load().then(() => { if (named) show(Number(named[1])); });
listen();
