// Draws what apps/core/charts.py describes: colours from the CSS tokens, axes as toggles, live points appended.
"use strict";

const SERIES_COLOURS = 7;
const MOST_POINTS = 4000; // a page left open for days stays quick; a reload draws the server's thinning
const MOST_IN_LEGEND = 12; // of more lines the pointer says which is which
const FOLLOW_MS = 2000;
const MARKERS = ["circle", "square", "diamond", "triangle-up", "cross", "x", "star"];

function smoothed(values, weight) {
  let mean = null, norm = 0;
  return values.map((value) => {
    if (value === null) return null;
    mean = weight * (mean ?? 0) + (1 - weight) * value;
    norm = weight * norm + (1 - weight);
    return mean / norm; // debiased, so that the first points are not drawn to zero
  });
}

// Times travel as UTC; Plotly draws the hours it is given, so they are turned into those of the reader's zone.
function readersTime(utc) {
  const at = new Date(`${utc.replace(" ", "T")}Z`);
  return new Date(at - at.getTimezoneOffset() * 60_000).toISOString().slice(0, -1);
}

function traces(chart) {
  return chart.series.flatMap((series, at) => {
    const place = series.colour ? series.colour - 1 : at; // a series may have a colour of its own, wherever it stands
    const ink = colour(`series-${(place % SERIES_COLOURS) + 1}`);
    const x = chart.x_type === "date" ? series.x.map(readersTime) : series.x;
    const made = { name: series.name, x, y: series.y, text: series.labels, customdata: series.links, hovertemplate: series.labels ? "%{text}<extra></extra>" : undefined };
    if (series.kind === "heat") return [{ name: series.name, x: series.x, y: series.y, z: series.z, type: "heatmap", colorscale: [[0, colour("surface")], [1, ink]], hovertemplate: "%{x}: %{z} at %{y}<extra></extra>", showscale: false }];
    if (series.kind === "bar") return [{ ...made, type: "bar", marker: { color: ink } }];
    if (series.kind === "points") {
      // "scattergl" would compile code from strings, which the page's security policy forbids: the server thins instead.
      return [{ ...made, type: "scatter", mode: "markers", marker: { color: ink, size: series.x.length > 2000 ? 4 : 8, opacity: series.x.length > 2000 ? 0.5 : 0.9, symbol: MARKERS[place % MARKERS.length] } }];
    }
    const line = { ...made, type: "scatter", mode: series.x.length > 1 ? "lines" : "markers", line: { color: ink, width: 1.8, dash: series.dash } };
    if (!chart.smooth) return [line];
    return [{ ...line, opacity: 0.3, showlegend: false, hoverinfo: "skip" }, { ...line, y: smoothed(series.y, chart.smooth) }];
  });
}

// Plotly labels a short log axis with bare digits (2, 3, …); 1-2-5 steps read as numbers.
function logTicks(values) {
  const known = values.filter((value) => value > 0);
  if (!known.length) return {};
  const ticks = [];
  for (let decade = Math.floor(Math.log10(Math.min(...known))); decade <= Math.log10(Math.max(...known)); decade += 1) {
    ticks.push(...[1, 2, 5].map((step) => step * 10 ** decade));
  }
  const format = Math.min(...known) < 1 ? "~g" : "~s"; // 0.5 is a number that people read, 500m is not
  return ticks.length <= 12 ? { tickvals: ticks, tickformat: format } : {};
}

// Around one value that never changes Plotly draws 1 up and 1 down, where a learning rate of 0.0003 reads as 0.
function constantRange(type, values) {
  const known = values.filter((value) => typeof value === "number");
  if (type === "log" || !known.length || known.some((value) => value !== known[0])) return {};
  return { range: known[0] ? [Math.min(0, 2 * known[0]), Math.max(0, 2 * known[0])] : [0, 1] };
}

function axis(title, type, values) {
  const isSmall = values.length > 0 && (type === "log" ? values.some((value) => value > 0 && value < 0.001) : values.every((value) => Math.abs(value ?? 0) < 0.01));
  return {
    ...(type === "log" ? logTicks(values) : {}), title: { text: title, font: { size: 12 } }, type, gridcolor: colour("line"), zeroline: false, linecolor: colour("line-strong"), tickcolor: colour("line-strong"), automargin: true, exponentformat: isSmall ? "e" : "SI",
  };
}

function layout(chart, height) {
  const values = chart.series.flatMap((s) => s.y);
  const isOfLines = chart.series.every((s) => (s.kind ?? "line") === "line");
  return {
    height, autosize: true, dragmode: chart.select_url ? "select" : "zoom", margin: { l: 48, r: 12, t: 8, b: 40 }, bargap: 0.06, hovermode: chart.series.some((s) => s.kind === "points") ? "closest" : "x unified",
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: colour("muted"), size: 12, family: getComputedStyle(document.body).fontFamily },
    hoverlabel: { bgcolor: colour("raised"), bordercolor: colour("line-strong"), font: { color: colour("text") } },
    showlegend: chart.series.length > 1 && chart.series.length <= MOST_IN_LEGEND, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
    datarevision: chart.revision, // without it Plotly takes an array that has grown for the one it has drawn
    xaxis: axis(chart.x_title, chart.x_type, chart.series.flatMap((s) => s.x)),
    yaxis: { ...axis(chart.y_title, chart.y_type, values), ...(isOfLines ? constantRange(chart.y_type, values) : {}) },
  };
}

function draw(figure) {
  figure.chart.revision = (figure.chart.revision ?? 0) + 1;
  figure.isStale = false;
  const plot = figure.querySelector(".chart-plot");
  const height = parseInt(getComputedStyle(plot).getPropertyValue("--chart-height"), 10) || 280;
  Plotly.react(plot, traces(figure.chart), layout(figure.chart, height), { responsive: true, displaylogo: false, modeBarButtonsToRemove: figure.chart.select_url ? ["lasso2d"] : ["select2d", "lasso2d"], toImageButtonOptions: { format: "svg", filename: figure.id } });
}

// A page of live charts would draw for a third of a second every FOLLOW_MS: what nobody sees is drawn when it comes into view.
const inView = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    target.isInView = isIntersecting;
    if (isIntersecting && target.isStale) draw(target);
  }
}, { rootMargin: "300px" });

function drawNews(figure) {
  figure.isStale = true;
  if (figure.isInView) draw(figure);
}

function chartStart(figure) {
  if (figure.chart) return;
  inView.observe(figure);
  figure.chart = JSON.parse(document.getElementById(figure.dataset.chart).textContent);
  const tools = figure.querySelector(".chart-tools");
  tools.hidden = !tools.children.length;
  draw(figure);
  figure.querySelector(".chart-plot").on("plotly_click", (event) => {
    const link = event.points[0]?.customdata;
    if (link) location.assign((figure.chart.link_base ?? "") + link);
  });
  if (figure.chart.select_url) figure.querySelector(".chart-plot").on("plotly_selected", (event) => selectionOpen(figure, event?.range));
}

// A box over points is a question with an address. Plotly gives the borders on the scale of the axis' data.
function selectionOpen(figure, range) {
  if (!range) return;
  const url = new URL(figure.chart.select_url, location.href);
  for (const name of ["x", "y"]) {
    const [from, to] = range[name].map(Number).sort((a, b) => a - b);
    url.searchParams.set(`${name}_from`, from.toPrecision(4));
    url.searchParams.set(`${name}_to`, to.toPrecision(4));
  }
  location.assign(url);
}

// Only new points travel, at most every FOLLOW_MS. Charts that follow the same address share one request, and its answer
// says what it knew: {after, charts: {id: {series}}}. A chart alone asks for what comes after its last x: {series}.
const asking = new Map(); // address → when it may be asked again, or "now" while it is asked

function follow(url) {
  if (asking.get(url) === "now") return;
  const wait = Math.max(0, (asking.get(url) ?? 0) - Date.now());
  asking.set(url, "now");
  setTimeout(() => newsFetch(url).finally(() => asking.set(url, Date.now() + FOLLOW_MS)), wait);
}

async function newsFetch(url) {
  const group = figures().filter((figure) => figure.dataset.follow === url);
  if (!group.length) return;
  const address = new URL(url, location.href);
  const told = group.find((figure) => figure.dataset.after !== undefined);
  address.searchParams.set("after", told ? told.dataset.after : lastOf(group[0].chart));
  try {
    const answer = await fetch(address);
    if (!answer.ok) return;
    const news = await answer.json();
    for (const figure of group.filter((each) => each.isConnected)) {
      if ("after" in news) figure.dataset.after = news.after;
      newsShow(figure, news.charts ? news.charts[figure.id] : news);
    }
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // the server is away: the next news asks again
  }
}

function lastOf(chart) {
  const lasts = chart.series.flatMap((series) => series.x.slice(-1));
  return lasts.reduce((latest, x) => (x > latest ? x : latest), lasts[0] ?? -1);
}

function newsShow(figure, news) {
  if (!news) return;
  if (news.replaces) pointsReplace(figure, news.series);
  else pointsAdd(figure, news.series);
  if (!news.summary) return;
  figure.querySelector(".chart-summary").textContent = news.summary;
  figure.querySelector(".chart-plot").setAttribute("aria-label", `${figure.querySelector(".chart-title").textContent}. ${news.summary}`);
}

function pointsAdd(figure, fresh) {
  let added = 0;
  for (const { x, y, ...known } of fresh) {
    let series = figure.chart.series.find(({ name }) => name === known.name);
    if (!series) figure.chart.series.push(series = { kind: "line", ...known, x: [], y: [] });
    const last = series.x.at(-1);
    for (const [at, value] of x.entries()) {
      if (last !== undefined && value <= last) continue; // a time cut to milliseconds is given twice
      series.x.push(value);
      series.y.push(y[at]);
      added += 1;
    }
    if (series.x.length > MOST_POINTS) for (const key of ["x", "y"]) series[key] = series[key].filter((_, at) => at % 2 === 0);
  }
  if (added) drawNews(figure);
}

// A point that moves (where a run stands) instead of a line that grows.
function pointsReplace(figure, fresh) {
  for (const series of fresh) Object.assign(figure.chart.series.find((known) => known.name === series.name) ?? {}, series);
  drawNews(figure);
}

const figures = () => [...document.querySelectorAll("[data-chart]")];
const chartsStart = () => figures().forEach(chartStart);

document.addEventListener("studio:theme", () => figures().forEach(draw));
document.addEventListener("htmx:afterSettle", chartsStart);
document.addEventListener("studio:topic", (event) => {
  for (const figure of figures()) if (figure.dataset.follow && figure.dataset.topicOf.split(" ").includes(event.detail.topic)) follow(figure.dataset.follow);
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-axis]");
  if (!button) return;
  const figure = button.closest("[data-chart]");
  const key = `${button.dataset.axis}_type`;
  figure.chart[key] = figure.chart[key] === "log" ? "linear" : "log";
  button.setAttribute("aria-pressed", String(figure.chart[key] === "log"));
  draw(figure);
});
document.addEventListener("input", (event) => {
  if (!event.target.matches("[data-smooth]")) return;
  const figure = event.target.closest("[data-chart]");
  figure.chart.smooth = Number(event.target.value);
  draw(figure);
});
chartsStart();
