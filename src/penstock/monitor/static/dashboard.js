// Draws a dashboard: its state once, and then what is new, as it is pushed. All data goes into the page as
// text, never as markup.
"use strict";
(() => {
  const base = location.pathname.replace(/\/$/, "");
  const $ = (id) => document.getElementById(id);
  const LATE_INTERVALS = 3;
  const LATE_MS = 5000;

  let told = null; // what the dashboard is made of: title, noun, panels, look
  let run = null; // the process that it is shown of
  let newest = 0; // the number of the newest state or update that is shown
  let status = { phase: "new" };
  let offset = 0; // the server's clock, as seen from here
  let loading = null; // events that wait until the state is there; null when it is
  let connected = false;
  let source = null;
  let panels = new Map();

  // ------------------------------------------------------------------------------------------ helpers

  const element = (name, kind = "", text = null) => {
    const made = document.createElement(name);
    if (kind) made.className = kind;
    if (text !== null) made.textContent = text;
    return made;
  };
  const write = (node, text) => {
    if (node.textContent !== text) node.textContent = text;
  };
  const group = (number) => Math.round(number).toLocaleString("en-US");
  const counted = (count, one, many = `${one}s`) => `${group(count)} ${count === 1 ? one : many}`;
  const pad = (number) => String(number).padStart(2, "0");
  const two = (date) => `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  const clock = (ms) => {
    const date = new Date(ms);
    const rest = date.getMilliseconds();
    return two(date) + (rest ? `.${String(rest).padStart(3, "0")}` : "");
  };
  // A moment as Plotly takes it, in the reader's time.
  const local = (ms) => {
    const date = new Date(ms);
    const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
    return `${day} ${two(date)}.${String(date.getMilliseconds()).padStart(3, "0")}`;
  };
  const span = (ms) => {
    const s = Math.max(0, Math.round(ms / 1000));
    if (s < 120) return `${s} s`;
    if (s < 7200) return `${Math.floor(s / 60)} min`;
    return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  };
  const took = (ms) => (ms < 9999.5 ? `${group(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);
  const length = (ms) => (ms % 1000 ? `${group(ms)} ms` : `${group(ms / 1000)} s`);
  // Plotly takes what looks like a tag for one.
  const literal = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const palette = () => told.look.colours[window.penstockTheme.dark ? "dark" : "light"];

  // ------------------------------------------------------------------------------------------- panels

  class Panel {
    constructor(said) {
      this.said = said;
      this.root = element("section", `panel ${said.kind} w${said.width}`);
      this.root.id = said.id;
      this.root.setAttribute("aria-labelledby", `${said.id}-title`);
      this.head = element("div", "head");
      this.title = element("h2", "", said.title);
      this.title.id = `${said.id}-title`;
      this.head.append(this.title);
      this.body = element("div", "body");
      this.nothing = element("p", "nothing", `no ${said.noun} yet`);
      this.note = element("p", "note");
      this.body.append(this.nothing);
      this.root.append(this.head, this.body, this.note);
      this.own = "";
    }
    filled(is) {
      this.nothing.hidden = is;
      this.nothing.style.display = is ? "none" : "";
    }
    gap() { return false; }
    words(late) { // the line below, which says what is late before what is usual
      write(this.note, late || this.own);
      this.note.classList.toggle("late", Boolean(late));
    }
    themed() {}
  }

  class Chart extends Panel {
    constructor(said) {
      super(said);
      this.chart = element("div", "chart");
      this.chart.setAttribute("role", "img");
      this.body.append(this.chart);
      this.wanted = false;
    }
    // At most once a frame, and not while nobody looks.
    draw() {
      if (this.wanted) return;
      this.wanted = true;
      requestAnimationFrame(() => {
        this.wanted = false;
        if (!window.Plotly) {
          write(this.nothing, "Charts need Plotly beside the server: pip install 'penstock[ui]'");
          this.filled(false);
          return;
        }
        const { data, layout } = this.figure();
        window.Plotly.react(this.chart, data, layout, {
          displayModeBar: false, responsive: true, doubleClick: false, showTips: false,
        });
      });
    }
    themed() { this.draw(); }
    axis(more) {
      return {
        gridcolor: colour("--grid"), linecolor: colour("--rule"), zerolinecolor: colour("--rule"),
        fixedrange: true, automargin: false, ...more,
      };
    }
    layout(more) {
      const size = parseFloat(getComputedStyle(document.documentElement).fontSize) * 0.8;
      return {
        autosize: true, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false,
        font: { color: colour("--soft"), size, family: getComputedStyle(document.body).fontFamily },
        margin: { l: size * 3.6, r: size * 1.2, t: size * 0.7, b: size * 2 },
        hoverlabel: { bgcolor: colour("--card"), bordercolor: colour("--rule"), font: { color: colour("--ink") } },
        ...more,
      };
    }
  }

  class Line extends Chart {
    constructor(said) {
      super(said);
      this.legend = element("ul", "legend");
      this.head.append(this.legend);
      this.from = 0;
      this.times = [];
      this.series = new Map(); // name -> values, as long as times
      this.texts = new Map();
    }
    gap(view) { return view.from > this.from + this.times.length; }
    replace(view) {
      this.from = view.from;
      this.times = [];
      this.series.clear();
      this.texts.clear();
      this.add(view);
    }
    add(view) {
      const known = this.from + this.times.length - view.from; // points of the view that are here already
      const news = view.times.slice(known);
      const before = this.times.length;
      this.times.push(...news);
      for (const { name, values, text } of view.series) {
        if (!this.series.has(name)) this.series.set(name, new Array(before).fill(null));
        this.series.get(name).push(...values.slice(known));
        this.texts.set(name, text);
      }
      for (const values of this.series.values()) {
        while (values.length < this.times.length) values.push(null);
      }
      const extra = Math.max(0, this.times.length - this.said.points);
      if (extra) {
        this.from += extra;
        this.times.splice(0, extra);
        for (const values of this.series.values()) values.splice(0, extra);
      }
      this.filled(this.series.size > 0);
      const many = view.more ? `the first ${group(this.series.size)} names of more · ` : "";
      this.own = this.times.length ? `${many}${counted(this.times.length, "batch", "batches")} since ${clock(this.times[0])}` : "";
      this.keys();
      this.draw();
    }
    names() { return [...this.series.keys()].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0)); }
    keys() {
      const names = this.names();
      const shown = names.join("\u0000") + window.penstockTheme.dark;
      if (this.shown !== shown) {
        this.shown = shown;
        this.values = new Map();
        this.legend.replaceChildren(...names.map((name, place) => {
          const item = element("li");
          const value = element("b");
          this.values.set(name, value);
          item.append(swatch(palette()[place], told.look.dashes[place]));
          if (names.length > 1 || name !== this.said.title) item.append(element("span", "", name));
          item.append(value);
          return item;
        }));
      }
      for (const name of names) write(this.values.get(name), this.texts.get(name));
      const said = names.map((name) => `${name} ${this.texts.get(name)}`).join(", ");
      this.chart.setAttribute("aria-label", `${this.said.title}: ${said || this.nothing.textContent}`);
    }
    themed() { this.keys(); this.draw(); }
    figure() {
      const x = this.times.map(local);
      const few = x.length < 40;
      // Milliseconds as seconds: then the axis says 200ms and 1s.
      const interval = this.said.interval ? this.said.interval / 1000 : 0;
      const scaled = (values) => (interval ? values.map((value) => (value === null ? null : value / 1000)) : values);
      const data = this.names().map((name, place) => ({
        type: "scatter", mode: few ? "lines+markers" : "lines", name: literal(name), x, y: scaled(this.series.get(name)),
        line: { color: palette()[place], dash: told.look.dashes[place], width: 3 }, marker: { size: 6 },
        hovertemplate: interval ? "%{y:.3~s}s" : "%{y:,.3~f}",
      }));
      const top = Math.max(this.series.size ? 1e-9 : 1, interval * 1.15,
        ...data.map(({ y }) => y.reduce((most, value) => Math.max(most, value ?? 0), 0) * 1.1));
      const low = Math.min(0, ...data.map(({ y }) => y.reduce((least, value) => Math.min(least, value ?? 0), 0) * 1.1));
      const days = x.length && this.times[x.length - 1] - this.times[0] > 20 * 3600 * 1000;
      const empty = data.length === 0;
      const layout = this.layout({
        hovermode: "x unified",
        xaxis: this.axis({ type: "date", showticklabels: !empty, tickformat: days ? "%b %d %H:%M" : "%H:%M:%S", nticks: this.chart.clientWidth < 500 ? 4 : 8, showgrid: false }),
        yaxis: this.axis({
          range: [low, top], nticks: 6, showticklabels: !empty || Boolean(interval), tickformat: interval || top > 5 ? ",~s" : ",~r",
          ticksuffix: interval ? "s" : "",
        }),
      });
      if (interval) {
        layout.shapes = [{
          type: "line", xref: "paper", x0: 0, x1: 1, y0: interval, y1: interval,
          line: { dash: "dash", width: 1.5, color: colour("--soft") },
        }];
        layout.annotations = [{
          xref: "paper", x: 0, xanchor: "left", y: interval, yanchor: "bottom", showarrow: false,
          text: `batch interval ${length(this.said.interval)}`, font: { color: colour("--soft") },
        }];
      }
      return { data, layout };
    }
  }

  const swatch = (stroke, dash) => {
    const space = "http://www.w3.org/2000/svg";
    const made = document.createElementNS(space, "svg");
    made.setAttribute("viewBox", "0 0 28 8");
    made.setAttribute("aria-hidden", "true");
    const line = document.createElementNS(space, "line");
    const strokes = { solid: "", dash: "8 4", dot: "3 4", dashdot: "8 3 3 3", longdash: "12 4", longdashdot: "12 3 3 3" };
    for (const [name, value] of Object.entries({ x1: 0, x2: 28, y1: 4, y2: 4, "stroke-width": 4, stroke })) {
      line.setAttribute(name, value);
    }
    if (strokes[dash]) line.setAttribute("stroke-dasharray", strokes[dash]);
    made.append(line);
    return made;
  };

  class Bar extends Chart {
    replace(view) { this.add(view); }
    add(view) {
      this.bars = view.bars;
      this.own = view.more ? `the first ${group(view.bars.length)} of more` : "";
      this.filled(view.bars.length > 0);
      const said = view.bars.map(([name, , text]) => `${name} ${text}`).join(", ");
      this.chart.setAttribute("aria-label", `${this.said.title}: ${said}`);
      this.draw();
    }
    figure() {
      const bars = this.bars || [];
      const data = [{
        type: "bar", orientation: "h", x: bars.map(([, value]) => value), y: bars.map(([name]) => literal(name)),
        text: bars.map(([, , text]) => literal(text)), textposition: "auto", hoverinfo: "y+text",
        marker: { color: palette()[0] }, cliponaxis: false,
      }];
      const layout = this.layout({
        xaxis: this.axis({ rangemode: "tozero", tickformat: ",~s", nticks: 5 }),
        yaxis: this.axis({ type: "category", autorange: "reversed", ticksuffix: " " }),
      });
      const longest = Math.max(3, ...bars.map(([name]) => name.length));
      layout.margin.l = layout.font.size * Math.min(16, 1.5 + longest * 0.62);
      return { data, layout };
    }
  }

  class Table extends Panel {
    constructor(said) {
      super(said);
      this.table = element("table");
      this.table.setAttribute("aria-labelledby", this.title.id);
      const scroll = element("div", "scroll");
      scroll.append(this.table);
      this.body.append(scroll);
      this.cells = [];
      this.columns = null;
      this.table.classList.add("empty");
      if (said.columns.length) this.build(said.columns, said.columns.map((_, place) => Boolean(said.units[place])));
    }
    build(columns, right) {
      this.columns = JSON.stringify([columns, right]);
      const top = element("tr");
      if (this.said.keyed) top.append(element("th", "rank", "#"));
      columns.forEach((column, place) => top.append(element("th", right[place] ? "right" : "", column)));
      if (this.said.keyed) top.append(element("th", "move", "change"));
      for (const heading of top.children) heading.scope = "col";
      const head = element("thead");
      head.append(top);
      const body = element("tbody");
      // All the rows there can be, empty ones too: what is below stays where it is.
      this.cells = Array.from({ length: Math.min(this.said.rows, 10) }, () => this.row(body, columns, right));
      this.grow = () => this.cells.push(this.row(body, columns, right));
      this.table.replaceChildren(head, body);
    }
    row(body, columns, right) {
      const made = element("tr");
      if (this.said.keyed) made.append(element("td", "rank"));
      columns.forEach((_, place) => made.append(element("td", right[place] ? "right" : place === 0 ? "key" : "")));
      if (this.said.keyed) made.append(element("td", "move"));
      body.append(made);
      return made;
    }
    replace(view) { this.add(view); }
    add(view) {
      if (view.columns.length) {
        const right = view.rows.length || !this.columns ? view.right : JSON.parse(this.columns)[1];
        if (this.columns !== JSON.stringify([view.columns, right])) this.build(view.columns, right);
      }
      while (this.columns && this.cells.length < view.rows.length) this.grow();
      this.cells.forEach((row, place) => this.show(row, place, view.rows[place]));
      this.filled(view.rows.length > 0);
      this.table.classList.toggle("empty", view.rows.length === 0);
      this.own = view.more ? `the first ${group(view.rows.length)} of more`
        : view.rows.some((each) => each.move !== undefined && each.move !== null) ? `change within ${span(this.said.compared)}` : "";
    }
    show(row, place, found) {
      const cells = [...row.children];
      const first = this.said.keyed ? 1 : 0;
      if (this.said.keyed) {
        write(cells[0], found ? String(place + 1) : "");
        const move = found ? found.move : null;
        const cell = cells[cells.length - 1];
        const [kind, text, said] = move === null || move === undefined ? ["", "", ""]
          : move === "new" ? ["new", "new", "new in the table"]
          : move > 0 ? ["up", `▲ ${move}`, `up ${move}`]
          : move < 0 ? ["down", `▼ ${-move}`, `down ${-move}`] : ["same", "=", "unchanged"];
        write(cell, text);
        cell.className = `move ${kind}`;
        cell.setAttribute("aria-label", said);
        cells.pop();
      }
      cells.slice(first).forEach((cell, at) => write(cell, found ? found.cells[at] : ""));
    }
  }

  class Figure extends Panel {
    constructor(said) {
      super(said);
      this.sign = element("span", "sign", "⚠");
      this.sign.append(element("span", "word", " warning"));
      this.head.append(this.sign);
      this.value = element("p", "value none", `no ${said.noun} yet`);
      this.value.style.setProperty("--letters", this.value.textContent.length);
      this.body.replaceChildren(this.value);
    }
    filled() {}
    replace(view) { this.add(view); }
    add(view) {
      const text = view.text ?? `no ${this.said.noun} yet`;
      write(this.value, text);
      this.value.className = `value${view.text === null ? " none" : ""}`;
      this.value.style.setProperty("--letters", text.length);
      this.own = view.note;
      this.warns = view.warn;
      this.root.classList.toggle("warning", view.warn);
    }
  }

  class Log extends Panel {
    constructor(said) {
      super(said);
      this.list = element("ol");
      this.list.tabIndex = 0; // so that keys scroll it
      this.list.setAttribute("aria-labelledby", this.title.id);
      this.body.append(this.list);
      write(this.nothing, `no ${said.noun} so far`);
      this.end = 0;
    }
    gap(view) { return view.from > this.end; }
    replace(view) {
      this.list.replaceChildren();
      this.end = view.from;
      this.add(view);
    }
    add(view) {
      const list = this.list; // the newest first, so that it is there without scrolling
      const news = view.lines.slice(this.end - view.from);
      for (const [time, text] of news) {
        const item = element("li");
        const moment = element("time", "", clock(time));
        moment.dateTime = new Date(time).toISOString();
        item.append(moment, element("span", "", text));
        list.prepend(item);
      }
      this.end += news.length;
      while (list.children.length > this.said.rows) list.lastChild.remove();
      this.filled(list.children.length > 0);
    }
  }

  const KINDS = { line: Line, batches: Line, bar: Bar, table: Table, number: Figure, log: Log };

  // -------------------------------------------------------------------------------------- in words

  const serverNow = () => Date.now() + offset;

  const lateness = (panel) => {
    const kind = panel.said.kind;
    if (panel.said.watched) return ""; // none of what is warned of is well
    if (!["line", "bar", "table", "number"].includes(kind) || !status.interval || status.phase !== "running") return "";
    const last = (status.last || {})[panel.said.id];
    if (last === undefined) return "";
    const quiet = serverNow() - last;
    return quiet > Math.max(LATE_INTERVALS * status.interval, LATE_MS) ? `no ${panel.said.noun} for ${span(quiet)}` : "";
  };

  const state = () => {
    const noun = told ? told.noun : "records";
    if (!connected) return ["bad", "connection lost", "bad", "No connection to the program. What is shown is what came last; trying again every second."];
    const now = serverNow();
    if (status.phase === "new") return ["new", "not started", "quiet", "The stream has not been started."];
    if (status.phase === "over") {
      const ended = `The stream has ended after ${counted(status.batches, "batch", "batches")} of ${counted(status.records, "record")}`;
      return status.failure ? ["bad", "ended", "bad", `${ended}. The last batch FAILED: ${status.failure}`]
        : ["over", "ended", "quiet", `${ended}.`];
    }
    if (status.phase === "waiting") return ["new", "waiting", "quiet", "Waiting for the first batch."];
    const warnings = [];
    let level = "warning";
    let phase = ["late", "late"];
    const limit = Math.max(LATE_INTERVALS * status.interval, LATE_MS);
    if (status.failure) {
      warnings.push(`The batch of ${clock(status.time)} FAILED: ${status.failure}`);
      level = "bad";
      phase = ["bad", "failed"];
    }
    const since = now - (status.running === null ? status.ended : status.runningSince);
    if (since > limit) {
      warnings.push(status.running === null ? `no batch for ${span(since)}`
        : `the batch of ${clock(status.running)} has been running for ${span(since)}`);
      phase = level === "bad" ? phase : ["late", "stalled"];
    }
    if (!status.availableNow) {
      if (status.processing > status.interval) {
        warnings.push(`a batch took ${took(status.processing)}, longer than the interval of ${length(status.interval)}`);
      }
      if (status.waiting > 0) {
        warnings.push(`${counted(status.waiting, "batch waits", "batches wait")}, ${span(status.delay + status.processing)} behind`);
      }
    }
    if (warnings.length) {
      const text = warnings.join(" · ");
      return [...phase, level, `⚠ ${text[0].toUpperCase()}${text.slice(1)}`];
    }
    const quiet = now - status.lastRecords;
    if (quiet > limit) return ["running", "running", "warning", `⚠ No ${noun} for ${span(quiet)}. Batches run; nothing comes in.`];
    const share = Math.round((100 * status.processing) / status.interval);
    const of = status.availableNow ? "" : `, ${share} % of the interval of ${length(status.interval)}`;
    const warned = [...panels.values()].filter((panel) => panel.warns).map((panel) => `${panel.said.title}: ${panel.value.textContent}`);
    const well = warned.length ? `⚠ ${warned.join(" · ")} · ` : "All is well: ";
    return ["running", "running", "quiet", `${well}${counted(status.newRecords, "record")} in ${took(status.processing)}${of}. No batch waits.`];
  };

  const speak = () => {
    const [phase, word, level, text] = state();
    $("phase").dataset.phase = phase;
    write($("phase-text"), word);
    $("message").dataset.level = level;
    write($("message"), text);
    $("message").title = text;
    if (status.time) {
      write($("moment"), `batch of ${clock(status.time)}, ${span(serverNow() - status.ended)} ago`);
      $("moment").dataset.time = status.time;
    }
    for (const panel of panels.values()) panel.words(lateness(panel));
    const facts = {};
    if (status.interval) {
      const files = status.files || status.filesWaiting
        ? ` (${counted(status.files, "file")}${status.filesWaiting ? `, ${group(status.filesWaiting)} waiting` : ""} in the newest batch)` : "";
      facts.Source = status.sources.join(", ") + files;
      facts.Checkpoint = status.checkpoint === null ? "none: a new run begins anew"
        : status.recorded === null ? `${status.checkpoint}, nothing recorded yet`
        : `${status.checkpoint}, recorded up to the batch of ${clock(status.recorded)}`;
      facts["Since the start"] = `${counted(status.records, "record")} in ${counted(status.batches, "batch", "batches")}, ${status.failed ? `${group(status.failed)} failed` : "none failed"}`;
      facts["Batch interval"] = length(status.interval);
    }
    const list = $("run").firstElementChild;
    for (const [name, value] of Object.entries(facts)) {
      let place = list.querySelector(`[data-name="${name}"]`);
      if (!place) {
        const both = element("div");
        place = element("dd");
        place.dataset.name = name;
        both.append(element("dt", "", name), place);
        list.append(both);
      }
      write(place, value);
    }
  };

  // ------------------------------------------------------------------------------- state and what is new

  const heard = (news) => {
    status = news.status;
    newest = news.number;
    if (status.now !== null) offset = status.now - Date.now();
  };

  const apply = (news) => {
    if (news.run !== run) return load();
    if (news.number <= newest) return; // it was kept for who comes late, and is in the state already
    heard(news);
    for (const [id, view] of Object.entries(news.panels)) {
      const panel = panels.get(id);
      if (!panel || panel.gap(view)) return load();
      panel.add(view);
    }
    speak();
  };

  const load = async () => {
    if (loading !== null) return;
    loading = [];
    try {
      const reply = await fetch(`${base}/state`, { cache: "no-store" });
      if (!reply.ok) throw new Error(`HTTP ${reply.status}`);
      const whole = await reply.json();
      const shape = JSON.stringify([whole.title, whole.said, whole.home]);
      if (told === null || told.shape !== shape) {
        told = { title: whole.title, noun: whole.noun, look: whole.look, shape };
        document.title = whole.title;
        write($("title"), whole.title);
        $("home").hidden = !whole.home;
        panels = new Map(whole.said.map((said) => [said.id, new KINDS[said.kind](said)]));
        $("panels").replaceChildren(...[...panels.values()].map((panel) => panel.root));
      }
      run = whole.run;
      heard(whole);
      connected = true;
      for (const [id, panel] of panels) panel.replace(whole.panels[id]);
      const waited = loading;
      loading = null;
      waited.forEach(apply);
      speak();
      document.body.dataset.ready = "yes";
    } catch (error) {
      loading = null;
      connected = false;
      speak();
      setTimeout(connect, 1000);
    }
  };

  const connect = () => {
    if (source) source.close();
    source = new EventSource(`${base}/events`);
    source.onopen = load; // whatever was missed is in the state
    source.addEventListener("update", (event) => {
      const news = JSON.parse(event.data);
      if (loading !== null) loading.push(news);
      else if (run !== null) apply(news);
    });
    source.addEventListener("lost", load);
    source.onerror = () => {
      connected = false;
      speak();
      if (source.readyState === EventSource.CLOSED) setTimeout(connect, 1000);
    };
  };

  // ---------------------------------------------------------------------------------------- the page

  const theme = $("theme");
  const themed = () => {
    write(theme, `Theme: ${window.penstockTheme.chosen}`);
    for (const panel of panels.values()) panel.themed();
  };
  theme.addEventListener("click", () => { window.penstockTheme.next(); themed(); });
  window.penstockTheme.watch(themed);
  $("run").append(element("dl"));
  themed();
  connect();
  setInterval(speak, 1000);
})();
