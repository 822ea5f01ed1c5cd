// The map of features: points fetched as columns, drawn by Plotly in WebGL. A click opens a feature, an area lists those in it.
"use strict";

const MOST_CORNERS = 60; // a lasso has hundreds; an address should not
const MOST_CATEGORIES = 7;
const QUIET = { size: 3, opacity: 0.25 };

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

function pick(points, keep) {
  const at = points.index.map((_, place) => place).filter(keep);
  const column = (name) => at.map((place) => points[name][place]);
  return { x: column("x"), y: column("y"), value: column("value"), customdata: column("index"), text: at.map((place) => words(points, place)) };
}

function words(points, place) {
  const lines = [`<b>${points.index[place]}</b> ${escaped(points.label?.[place] ?? "")}`];
  if (points.tokens?.[place]) lines.push(escaped(points.tokens[place].slice(0, 80)));
  const value = points.value[place];
  if (value !== null && value !== "") lines.push(`${points.colour} ${escaped(String(value))}`);
  return lines.join("<br>");
}

function markers(some, marker, rest) {
  const { value, ...drawn } = some;
  return { ...drawn, type: "scattergl", mode: "markers", marker, hovertemplate: "%{text}<extra></extra>", ...rest };
}

// Densities and maxima span decades: their colour is the logarithm.
function numbered(points, keep, size) {
  const isLog = points.colour !== "score";
  const some = pick(points, keep);
  const shade = some.value.map((value) => (value === null || (isLog && value <= 0) ? null : isLog ? Math.log10(value) : value));
  const ends = shade.filter((value) => value !== null);
  if (!ends.length) return [markers(some, { size, color: colour("series-1"), opacity: 0.8 }, { showlegend: false })];
  const low = ends.reduce((a, b) => Math.min(a, b)), high = ends.reduce((a, b) => Math.max(a, b));
  const decades = Array.from({ length: Math.max(0, Math.floor(high) - Math.ceil(low) + 1) }, (_, at) => Math.ceil(low) + at);
  const ticks = isLog && decades.length ? { tickvals: decades, ticktext: decades.map((decade) => Number(`1e${decade}`).toString()) } : isLog ? { tickvals: [low, high], ticktext: [low, high].map((end) => (10 ** end).toPrecision(2)) } : {};
  const marker = {
    size, opacity: 0.85, color: shade, cmin: low, cmax: high, colorscale: [[0, colour("series-6")], [0.5, colour("series-3")], [1, colour("series-5")]],
    colorbar: { title: { text: points.colour, side: "right", font: { size: 12 } }, thickness: 10, len: 0.6, outlinewidth: 0, ...ticks },
  };
  return [markers(some, marker, { showlegend: false })];
}

function named(points, keep, size) {
  const counts = new Map();
  points.value.forEach((value, place) => { if (value && keep(null, place)) counts.set(value, (counts.get(value) ?? 0) + 1); });
  const often = [...counts].sort((a, b) => b[1] - a[1]).slice(0, MOST_CATEGORIES).map(([name]) => name);
  const rest = pick(points, (_, place) => keep(null, place) && !often.includes(points.value[place]));
  return [
    markers(rest, { size, color: colour("muted"), opacity: 0.45 }, { name: counts.size > often.length ? "other or none" : "no category" }),
    ...often.map((name, at) => markers(pick(points, (_, place) => keep(null, place) && points.value[place] === name), { size, color: colour(`series-${at + 1}`), opacity: 0.9 }, { name: escaped(name) })),
  ];
}

function mapDraw(figure) {
  const { points } = figure;
  const keep = (_, place) => points.matches === null || points.matches[place] === 1;
  const many = points.index.length > 5000;
  const drawn = (points.colour === "category" ? named : numbered)(points, keep, many ? 4 : 6);
  if (points.matches !== null) {
    const quiet = pick(points, (_, place) => !keep(_, place));
    drawn.unshift(markers(quiet, { size: QUIET.size, opacity: QUIET.opacity, color: colour("muted") }, { showlegend: false }));
  }
  const plot = figure.querySelector(".chart-plot");
  const axis = { visible: false, range: [-1.05, 1.05] };
  Plotly.react(plot, drawn, {
    height: parseInt(getComputedStyle(plot).getPropertyValue("--chart-height"), 10), autosize: true, dragmode: "lasso", hovermode: "closest",
    margin: { l: 4, r: 4, t: 4, b: 4 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: colour("muted"), size: 12, family: getComputedStyle(document.body).fontFamily },
    hoverlabel: { bgcolor: colour("raised"), bordercolor: colour("line-strong"), font: { color: colour("text") }, align: "left" },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 }, xaxis: axis, yaxis: { ...axis, scaleanchor: "x" },
  }, { responsive: true, displaylogo: false, displayModeBar: true, scrollZoom: true, modeBarButtonsToRemove: ["autoScale2d"], toImageButtonOptions: { format: "png", filename: "feature-map" } });
}

// What was drawn as the list's filter: the map's id and the corners.
function areaOf(figure, event) {
  const { range, lassoPoints } = event ?? {};
  if (!range && !lassoPoints) return null;
  const all = lassoPoints ? lassoPoints.x.map((x, at) => [x, lassoPoints.y[at]]) : [[0, 0], [1, 0], [1, 1], [0, 1]].map(([i, j]) => [range.x[i], range.y[j]]);
  const stride = Math.ceil(all.length / MOST_CORNERS);
  const corners = all.filter((_, at) => at % stride === 0).map((pair) => pair.map((number) => Number(number).toFixed(3)).join(","));
  return corners.length < 3 ? null : `${figure.dataset.map}:${corners.join(";")}`;
}

async function mapStart(figure) {
  const says = figure.querySelector("[data-map-says]");
  const answer = await fetch(figure.dataset.points);
  if (!answer.ok) {
    says.textContent = (await answer.json()).error?.message ?? "The points could not be read.";
    return;
  }
  figure.points = await answer.json();
  mapDraw(figure);
  const plot = figure.querySelector(".chart-plot");
  plot.on("plotly_click", (event) => location.assign(`${figure.dataset.list}${event.points[0].customdata}/`));
  plot.on("plotly_selected", (event) => {
    const area = areaOf(figure, event);
    if (area) location.assign(`${figure.dataset.list}?area=${encodeURIComponent(area)}`);
  });
  document.addEventListener("studio:theme", () => mapDraw(figure));
}

const featureMap = document.getElementById("feature-map");
if (featureMap) mapStart(featureMap);
