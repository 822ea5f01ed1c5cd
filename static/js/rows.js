// Rows of a list: a peek opens below its row and closes again; a box in the head ticks all boxes of its column.
"use strict";

const opens = (row) => row.querySelector("[data-peek]");

function peekOf(row) {
  return row.nextElementSibling?.matches(".peek") ? row.nextElementSibling : null;
}

function peekClose(row) {
  peekOf(row).remove();
  opens(row).ariaExpanded = "false";
}

// Asked again, an open peek closes.
document.addEventListener("htmx:beforeRequest", (event) => {
  const row = event.target.closest?.("[data-peek]")?.closest("tr");
  if (!row || !peekOf(row)) return;
  event.preventDefault();
  peekClose(row);
});
document.addEventListener("htmx:afterSwap", (event) => {
  const row = event.detail.requestConfig?.elt.closest("[data-peek]")?.closest("tr");
  if (!row) return;
  opens(row).ariaExpanded = "true";
  if ("edited" in row.dataset) peekOf(row)?.querySelector("input[type=text]").focus();
  delete row.dataset.edited;
});

// A row's words are edited in its peek; its name leads to its page.
document.addEventListener("click", (event) => {
  if (event.target.closest("a")) return;
  const row = event.target.closest("[data-edits]")?.closest("tr");
  if (!row) return;
  const field = peekOf(row)?.querySelector("input[type=text]");
  if (field) return field.focus();
  row.dataset.edited = "";
  opens(row).click();
});

document.addEventListener("keydown", (event) => {
  const row = event.key === "Escape" && event.target.closest(".peek")?.previousElementSibling;
  if (!row) return;
  peekClose(row);
  row.querySelector("a").focus();
});

document.addEventListener("change", (event) => {
  const name = event.target.dataset.ticks;
  if (!name) return;
  const boxes = event.target.closest("table").querySelectorAll(`input[type=checkbox][name="${CSS.escape(name)}"]`);
  for (const box of boxes) box.checked = event.target.checked;
});
