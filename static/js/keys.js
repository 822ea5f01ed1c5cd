// Single-key shortcuts (off-switch in the ? dialog), row movement, help tips' Esc, and keys within token strips.
"use strict";

let goesTo = false;

function isTyping(event) {
  return event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, [contenteditable]") || document.querySelector("dialog[open]");
}

function rowStep(step) {
  const rows = [...document.querySelectorAll("[data-row]")];
  const at = rows.findIndex((row) => "current" in row.dataset);
  const next = rows[at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + step))];
  if (!next) return;
  if (rows[at]) delete rows[at].dataset.current;
  next.dataset.current = "";
  next.scrollIntoView({ block: "nearest" });
  next.querySelector("a")?.focus({ preventScroll: true });
}

const KEYS = {
  "?": () => document.getElementById("keys-dialog").showModal(),
  "/": () => document.querySelector('main input[type="search"]')?.focus(),
  j: () => rowStep(1),
  k: () => rowStep(-1),
  g: () => { goesTo = true; setTimeout(() => { goesTo = false; }, 1200); },
};

function pageKey(key) {
  return [...document.querySelectorAll("[data-key]")].find((element) => element.dataset.key === key && element.checkVisibility());
}

// What a row offers by a key: of the row last stepped to, or of that with the focus.
function rowKey(key) {
  const row = document.activeElement?.closest("[data-row]") ?? document.querySelector("[data-row][data-current]");
  return row?.querySelector(`[data-row-key="${CSS.escape(key)}"]`);
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") document.activeElement?.closest(".tip")?.setAttribute("data-closed", "");
  const strip = event.target.closest?.("[data-strip]");
  if (strip && stripKey(strip, event.key)) return event.preventDefault();
  if (document.documentElement.dataset.keys === "off" || isTyping(event)) return;
  const goal = goesTo && document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
  goesTo = false;
  if (goal) return goal.click();
  if (event.key === " " && event.target.closest("button, summary")) return; // presses it
  const element = rowKey(event.key) ?? pageKey(event.key);
  const act = element ? () => element.click() : KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

for (const name of ["focusout", "mouseout"]) {
  document.addEventListener(name, (event) => event.target.closest?.(".tip")?.removeAttribute("data-closed"));
}

// Token strips: one tab stop, arrow keys from token to token, the value in a floating tip.
function tipShow(token) {
  let tip = document.querySelector(".floating-tip");
  if (!token) return tip?.remove();
  if (!tip) {
    tip = document.body.appendChild(document.createElement("div"));
    tip.className = "floating-tip";
    tip.setAttribute("role", "status");
  }
  tip.textContent = token.dataset.tip;
  const box = token.getBoundingClientRect();
  tip.style.top = `${Math.min(box.bottom + 6, innerHeight - tip.offsetHeight - 6)}px`;
  tip.style.left = `${Math.max(6, Math.min(box.left, innerWidth - tip.offsetWidth - 6))}px`;
}

function stripKey(strip, key) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
  const current = strip.querySelector("[data-current]");
  if (key === "Escape") { tipShow(null); current?.removeAttribute("data-current"); return true; }
  if (!step) return false;
  const tokens = [...strip.querySelectorAll("[data-tip]")];
  const next = tokens[Math.max(0, Math.min(tokens.length - 1, tokens.indexOf(current) + step))];
  current?.removeAttribute("data-current");
  next?.setAttribute("data-current", "");
  tipShow(next);
  return true;
}

document.addEventListener("mouseover", (event) => {
  const token = event.target.closest?.("[data-tip]");
  if (token || document.querySelector(".floating-tip:not(:hover)")) tipShow(token);
});
document.addEventListener("focusout", (event) => { if (event.target.closest?.("[data-strip]")) tipShow(null); });

const pageKeys = new Map();
for (const element of document.querySelectorAll(":is([data-key], [data-row-key])[data-key-label]")) {
  pageKeys.set(element.dataset.key ?? element.dataset.rowKey, element.dataset.keyLabel);
}
for (const [key, label] of pageKeys) {
  const row = document.getElementById("keys-of-page").insertRow();
  row.insertCell().appendChild(document.createElement("kbd")).textContent = key === " " ? "Space" : key;
  row.insertCell().textContent = label;
}
document.getElementById("keys-switch").addEventListener("change", (event) => {
  const state = event.target.checked ? "on" : "off";
  document.documentElement.dataset.keys = state;
  document.cookie = `keys=${state}; path=/; max-age=31536000; samesite=lax`;
});
