// The map of features: points fetched as columns and drawn on a canvas. A click opens a feature, an area lists those in it.
// Plotly's WebGL points compile their drawing code from strings, which the page's security policy forbids.
"use strict";

const MOST_CORNERS = 60; // a lasso has hundreds; an address should not
const MOST_CATEGORIES = 7;
const SHADES = 64;
const NEAR_PX = 12;
const CLICK_PX = 4;

// The token's colour under the current theme as [r, g, b].
function ink(token) {
  return colour(token).match(/[\d.]+/g).slice(0, 3).map(Number);
}

const css = (rgb) => `rgb(${rgb.map(Math.round).join(" ")})`;

class FeatureMap {
  constructor(figure, points) {
    Object.assign(this, { figure, points, mode: "lasso", path: null, view: { x: 0, y: 0, zoom: 1 } });
    this.canvas = figure.querySelector("canvas");
    this.card = figure.querySelector(".map-card");
    this.figure.querySelector("[data-map-tools]").hidden = false;
    this.listen();
    this.resize();
  }

  // Where things are

  resize() {
    const ratio = window.devicePixelRatio || 1, { clientWidth, clientHeight } = this.canvas;
    Object.assign(this, { width: clientWidth, height: clientHeight });
    this.canvas.width = clientWidth * ratio;
    this.canvas.height = clientHeight * ratio;
    this.pen = this.canvas.getContext("2d");
    this.pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.draw();
  }

  get unit() { return (Math.min(this.width, this.height) / 2.1) * this.view.zoom; }
  screen(x, y) { return [this.width / 2 + (x - this.view.x) * this.unit, this.height / 2 - (y - this.view.y) * this.unit]; }
  place(sx, sy) { return [this.view.x + (sx - this.width / 2) / this.unit, this.view.y - (sy - this.height / 2) / this.unit]; }
  isKept(at) { return this.points.matches === null || this.points.matches[at] === 1; }

  nearest(sx, sy) {
    let best = null, least = NEAR_PX ** 2;
    for (let at = 0; at < this.points.index.length; at += 1) {
      if (!this.isKept(at)) continue;
      const [x, y] = this.screen(this.points.x[at], this.points.y[at]);
      const squared = (x - sx) ** 2 + (y - sy) ** 2;
      if (squared < least) [best, least] = [at, squared];
    }
    return best;
  }

  // What they look like

  paint() {
    this.groups = this.points.colour === "category" ? this.byCategory() : this.byNumber();
  }

  // Densities and maxima span decades: their colour is the logarithm.
  byNumber() {
    const isLog = this.points.colour !== "score";
    const shade = this.points.value.map((value) => (value === null || (isLog && value <= 0) ? null : isLog ? Math.log10(value) : value));
    let low = Infinity, high = -Infinity;
    for (const value of shade) if (value !== null) [low, high] = [Math.min(low, value), Math.max(high, value)];
    const stops = ["series-6", "series-3", "series-5"].map(ink);
    const groups = new Map();
    shade.forEach((value, at) => {
      if (!this.isKept(at)) return;
      const step = value === null ? -1 : high > low ? Math.round(((value - low) / (high - low)) * (SHADES - 1)) : 0;
      if (!groups.has(step)) groups.set(step, []);
      groups.get(step).push(at);
    });
    const end = (value) => Number((isLog ? 10 ** value : value).toPrecision(2)).toString();
    this.legend(high >= low ? { from: end(low), to: end(high), stops } : null, []);
    return [...groups].sort((a, b) => a[0] - b[0]).map(([step, members]) => [step < 0 ? css(ink("muted")) : css(between(stops, step / (SHADES - 1))), members]);
  }

  byCategory() {
    const members = new Map();
    this.points.value.forEach((name, at) => {
      if (!this.isKept(at)) return;
      if (!members.has(name)) members.set(name, []);
      members.get(name).push(at);
    });
    const often = [...members].filter(([name]) => name).sort((a, b) => b[1].length - a[1].length).slice(0, MOST_CATEGORIES);
    const names = often.map(([name]) => name), rest = [...members].filter(([name]) => !names.includes(name)).flatMap(([, some]) => some);
    const named = often.map(([name, some], at) => [css(ink(`series-${at + 1}`)), some, name]);
    this.legend(null, [...named.map(([shade, some, name]) => [shade, `${name} (${some.length})`]), [css(ink("muted")), `other or none (${rest.length})`]]);
    return [[css(ink("muted")), rest], ...named];
  }

  legend(ramp, entries) {
    const made = [];
    const add = (text, background) => {
      if (background) made.push(Object.assign(document.createElement("span"), { className: ramp ? "map-ramp" : "map-dot", style: `background: ${background}` }));
      made.push(document.createTextNode(` ${text} `));
    };
    if (ramp) {
      add(`${this.points.colour_words} ${ramp.from}`);
      add(ramp.to, `linear-gradient(90deg, ${ramp.stops.map(css).join(", ")})`);
    }
    for (const [shade, name] of entries) add(name, shade);
    if (this.points.matches !== null) made.push(document.createTextNode(" Grey: no match."));
    this.figure.querySelector("[data-map-legend]").replaceChildren(...made);
  }

  draw() {
    if (!this.groups) this.paint();
    const { pen, points } = this, size = points.index.length > 5000 ? 2 : 3;
    pen.clearRect(0, 0, this.width, this.height);
    if (points.matches !== null) this.dots(css(ink("muted")), points.index.map((_, at) => at).filter((at) => !this.isKept(at)), 1.5, 0.35);
    for (const [shade, members] of this.groups) this.dots(shade, members, size, 0.85);
    pen.globalAlpha = 1;
    if (this.path) this.outline();
  }

  dots(shade, members, radius, alpha) {
    const { pen, points } = this;
    Object.assign(pen, { fillStyle: shade, globalAlpha: alpha });
    pen.beginPath();
    for (const at of members) {
      const [x, y] = this.screen(points.x[at], points.y[at]);
      if (x < 0 || y < 0 || x > this.width || y > this.height) continue;
      pen.moveTo(x + radius, y);
      pen.arc(x, y, radius, 0, 2 * Math.PI);
    }
    pen.fill();
  }

  corners() {
    const [first, last] = [this.path[0], this.path.at(-1)];
    return this.mode === "box" ? [first, [last[0], first[1]], last, [first[0], last[1]]] : this.path;
  }

  outline() {
    const { pen } = this;
    Object.assign(pen, { strokeStyle: css(ink("text")), lineWidth: 1.5 });
    pen.beginPath();
    this.corners().forEach(([x, y], at) => (at ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    pen.closePath();
    pen.stroke();
  }

  // What people do

  listen() {
    const { canvas } = this, at = (event) => [event.offsetX, event.offsetY];
    canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); this.path = [at(event)]; this.card.hidden = true; });
    canvas.addEventListener("pointermove", (event) => (this.path ? this.drag(at(event)) : this.hover(at(event))));
    canvas.addEventListener("pointerup", (event) => this.drop(at(event)));
    canvas.addEventListener("pointercancel", () => { this.path = null; this.draw(); });
    canvas.addEventListener("pointerleave", () => { this.card.hidden = true; });
    canvas.addEventListener("wheel", (event) => { event.preventDefault(); this.zoom(at(event), 1.2 ** -Math.sign(event.deltaY)); }, { passive: false });
    this.figure.addEventListener("click", (event) => this.tool(event.target.closest("button")));
    new ResizeObserver(() => this.resize()).observe(canvas);
    document.addEventListener("studio:theme", () => { this.paint(); this.draw(); });
  }

  tool(button) {
    if (button?.dataset.mapMode) {
      this.mode = button.dataset.mapMode;
      for (const other of this.figure.querySelectorAll("[data-map-mode]")) other.setAttribute("aria-pressed", String(other === button));
    } else if (button?.dataset.mapZoom) this.zoom([this.width / 2, this.height / 2], Number(button.dataset.mapZoom));
    else if (button?.hasAttribute("data-map-whole")) { this.view = { x: 0, y: 0, zoom: 1 }; this.draw(); }
  }

  zoom([sx, sy], by) {
    const [x, y] = this.place(sx, sy);
    this.view.zoom = Math.min(200, Math.max(0.5, this.view.zoom * by));
    const [nx, ny] = this.place(sx, sy);
    this.view.x += x - nx;
    this.view.y += y - ny;
    this.draw();
  }

  drag(point) {
    const last = this.path.at(-1);
    this.path.push(point);
    if (this.mode === "move") {
      this.view.x -= (point[0] - last[0]) / this.unit;
      this.view.y += (point[1] - last[1]) / this.unit;
      const { path } = this;
      this.path = null;
      this.draw();
      this.path = path;
    } else this.draw();
  }

  drop(point) {
    const path = this.path ?? [point], isClick = path.every(([x, y]) => Math.hypot(x - path[0][0], y - path[0][1]) < CLICK_PX);
    if (isClick) {
      const found = this.nearest(...point);
      if (found !== null) location.assign(`${this.figure.dataset.list}${this.points.index[found]}/`);
    } else if (this.mode !== "move") location.assign(`${this.figure.dataset.list}?area=${encodeURIComponent(this.area())}`);
    this.path = null;
    this.draw();
  }

  // What was drawn as the list's filter: the map's id and the corners.
  area() {
    const all = this.corners(), stride = Math.ceil(all.length / MOST_CORNERS);
    const corners = all.filter((_, at) => at % stride === 0).map(([sx, sy]) => this.place(sx, sy).map((number) => number.toFixed(4)).join(","));
    while (corners.length < 3) corners.push(corners[0]);
    return `${this.figure.dataset.map}:${corners.join(";")}`;
  }

  hover([sx, sy]) {
    const at = this.nearest(sx, sy);
    this.card.hidden = at === null;
    this.canvas.style.cursor = at === null ? "crosshair" : "pointer";
    if (at === null) return;
    const { points } = this, value = points.value[at];
    const lines = [[`Feature ${points.index[at]}`, "strong"], [points.label?.[at], "span"], [points.label?.[at] ? "" : points.auto_name?.[at], "em"], [value === null || value === "" ? "" : `${points.colour_words} ${value}`, "span"]];
    this.card.replaceChildren(...lines.filter(([text]) => text).map(([textContent, tag]) => Object.assign(document.createElement(tag), { textContent })));
    const [x, y] = this.screen(points.x[at], points.y[at]);
    this.card.style.left = `${Math.max(0, Math.min(x + 12, this.width - this.card.offsetWidth))}px`;
    this.card.style.top = `${y + 14 + this.card.offsetHeight > this.height ? y - 14 - this.card.offsetHeight : y + 14}px`;
  }
}

// The colour at `share` of the way along the stops.
function between(stops, share) {
  const along = share * (stops.length - 1), at = Math.min(Math.floor(along), stops.length - 2);
  return stops[at].map((part, channel) => part + (stops[at + 1][channel] - part) * (along - at));
}

async function mapStart(figure) {
  const answer = await fetch(figure.dataset.points);
  if (answer.ok) figure.map = new FeatureMap(figure, await answer.json());
  else figure.querySelector("[data-map-says]").textContent = (await answer.json()).error?.message ?? "The points could not be read.";
}

const featureMap = document.getElementById("feature-map");
if (featureMap) mapStart(featureMap);
