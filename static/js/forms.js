// Small behaviours of forms and buttons, all by data attributes: fields that matter only for some choice, dialogs,
// questions before a request, copying, focus on the error summary.
"use strict";

// An option whose reason is hidden itself is hidden too. A folded part says how many of its options count.
function onlyForShow(form) {
  const fields = [...form.querySelectorAll("[data-only-for]")];
  const holderOf = (field) => (field.matches(".field") ? field : field.closest(".field") ?? field);
  const isMeant = (field) => {
    const chosen = form.elements[field.dataset.onlyFor];
    const value = chosen instanceof HTMLInputElement && chosen.type === "checkbox" ? String(chosen.checked) : chosen?.value;
    if (value === undefined) return true;
    const reason = fields.find((other) => holderOf(other).contains(chosen instanceof Element ? chosen : chosen[0]));
    return field.dataset.onlyValues.split(" ").includes(value) && (!reason || isMeant(reason));
  };
  for (const field of fields) holderOf(field).hidden = !isMeant(field);
  for (const folded of form.querySelectorAll("details:has([data-only-for])")) {
    const shown = folded.querySelectorAll(".field:not([hidden])").length;
    folded.hidden = shown === 0;
    folded.querySelector("summary .count")?.replaceChildren(String(shown));
  }
}

function formsStart() {
  for (const form of document.querySelectorAll("form:has([data-only-for])")) onlyForShow(form);
  document.querySelector("[data-focus]")?.focus();
}

document.addEventListener("change", (event) => {
  const form = event.target.form;
  if (form?.querySelector("[data-only-for]")) onlyForShow(form);
  if (event.target.closest("[data-submits]") && form) form.requestSubmit();
});

document.addEventListener("click", async (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) document.getElementById(opener.dataset.opens)?.showModal();
  if (event.target.closest("[data-closes]") || event.target.matches("dialog")) event.target.closest("dialog")?.close();
  const copier = event.target.closest("[data-copy], [data-copy-address]");
  if (copier) {
    const { copy, copyAddress } = copier.dataset;
    await navigator.clipboard.writeText(copyAddress ? new URL(copyAddress, location).href : copy);
    copier.dataset.copied = "";
    document.getElementById("announcer").textContent = "Copied.";
    setTimeout(() => delete copier.dataset.copied, 1500);
  }
});

// Of the links that htmx follows into a part of the page, the one chosen last is marked.
document.addEventListener("click", (event) => {
  const chosen = event.target.closest("[data-chooses]");
  if (!chosen) return;
  for (const other of document.querySelectorAll("[data-chooses][aria-current]")) other.removeAttribute("aria-current");
  chosen.setAttribute("aria-current", "true");
});

// hx-confirm asks in the studio's own dialog.
function ask(question, asker, act) {
  const dialog = document.getElementById("ask-dialog");
  dialog.querySelector("p").textContent = question;
  dialog.returnValue = "";
  asker.dataset.asking = ""; // live.js leaves it in place: htmx sends nothing for an element that was swapped away
  dialog.onclose = () => {
    if (dialog.returnValue === "yes") act();
    delete asker.dataset.asking;
  };
  dialog.showModal();
}
document.addEventListener("htmx:confirm", (event) => {
  if (!event.detail.question) return;
  event.preventDefault();
  ask(event.detail.question, event.detail.elt, () => event.detail.issueRequest(true));
});
// The same for a plain form: a button with data-asks.
document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (!button?.dataset.asks || "asked" in button.dataset) return;
  event.preventDefault();
  ask(button.dataset.asks, button, () => {
    button.dataset.asked = "";
    button.form.requestSubmit(button);
    delete button.dataset.asked;
  });
});

// A refused request shows the server's error card above the content.
function errorShow(html) {
  const place = document.getElementById("errors");
  place.innerHTML = html;
  place.scrollIntoView({ block: "nearest" });
}
document.addEventListener("htmx:responseError", ({ detail: { xhr } }) => {
  const isCard = xhr.responseText.includes('class="error-card"');
  errorShow(isCard ? xhr.responseText : '<p class="notice" data-tone="bad">The studio answered with an error; its log says more.</p>');
});
document.addEventListener("htmx:sendError", () => errorShow('<p class="notice" data-tone="bad">The studio does not answer. Is it running?</p>'));
document.addEventListener("htmx:beforeRequest", () => { document.getElementById("errors").replaceChildren(); });

document.addEventListener("htmx:afterSettle", formsStart);
formsStart();
