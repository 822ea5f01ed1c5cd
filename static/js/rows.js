// Rows of a list: a peek opens below its row and closes again; a box in the head ticks all boxes of its column.
"use strict";

function peekOf(row) {
  return row.nextElementSibling?.matches(".peek") ? row.nextElementSibling : null;
}

// Asked again, an open peek closes; asked to edit, it gives the focus to its first field.
document.addEventListener("htmx:beforeRequest", (event) => {
  const asker = event.target.closest?.("[data-peek]");
  const peek = asker && peekOf(asker.closest("tr"));
  if (!peek) return;
  event.preventDefault();
  if (asker.ariaExpanded !== null) {
    peek.remove();
    asker.ariaExpanded = "false";
  } else peek.querySelector("input[type=text]")?.focus();
});
document.addEventListener("htmx:afterSwap", (event) => {
  const asker = event.detail.requestConfig?.elt.closest?.("[data-peek]");
  asker?.closest("tr")?.querySelector("[data-peek][aria-expanded]")?.setAttribute("aria-expanded", "true");
});

document.addEventListener("change", (event) => {
  const name = event.target.dataset?.ticks;
  if (!name) return;
  const boxes = event.target.closest("table").querySelectorAll(`input[type=checkbox][name="${CSS.escape(name)}"]`);
  for (const box of boxes) box.checked = event.target.checked;
});

document.addEventListener("keydown", (event) => {
  const peek = event.key === "Escape" && event.target.closest(".peek");
  if (!peek) return;
  const row = peek.previousElementSibling;
  peek.remove();
  row.querySelector("[data-peek][aria-expanded]")?.setAttribute("aria-expanded", "false");
  row.querySelector("a")?.focus();
});
