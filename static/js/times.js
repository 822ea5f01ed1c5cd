// <time datetime data-style="full|ago"> in the reader's zone; "ago" times stay current.
"use strict";

const FULL_TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

function agoWords(seconds) {
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
  }
  return seconds < 10 ? "just now" : `${Math.floor(seconds)} s ago`;
}

function timesShow(root) {
  for (const element of root.querySelectorAll("time[data-style]")) {
    const at = new Date(element.dateTime);
    element.title = at.toLocaleString();
    element.textContent = element.dataset.style === "ago" ? agoWords((Date.now() - at) / 1000) : FULL_TIME.format(at);
  }
}

timesShow(document);
setInterval(() => timesShow(document), 10_000);
document.addEventListener("htmx:afterSettle", () => timesShow(document));
document.addEventListener("htmx:wsAfterMessage", () => timesShow(document));
