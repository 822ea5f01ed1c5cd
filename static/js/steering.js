// The cart of the steering form: slider and number follow each other, rows can be removed. Without scripts the numbers
// alone do the work.
"use strict";

const SPAN = 10; // in multiples of the feature's max activation

function cartStart() {
  const raw = document.getElementById("id_unit").value === "raw";
  for (const slider of document.querySelectorAll("[data-strength-slider]")) {
    const span = raw ? SPAN * Number(slider.dataset.maximum) : SPAN;
    Object.assign(slider, { min: -span, max: span, step: span / 100, hidden: false });
    slider.value = slider.closest("li").querySelector('[name="strength"]').value;
  }
  for (const button of document.querySelectorAll("[data-cart-remove]")) button.hidden = false;
}

document.addEventListener("input", (event) => {
  const row = event.target.closest(".cart-row");
  if (!row) return;
  const [slider, number] = [row.querySelector("[data-strength-slider]"), row.querySelector('[name="strength"]')];
  if (event.target === slider) number.value = Number(Number(slider.value).toPrecision(3));
  else slider.value = number.value;
});
document.addEventListener("click", (event) => event.target.closest("[data-cart-remove]")?.closest("li").remove());
document.addEventListener("change", (event) => { if (event.target.id === "id_unit") cartStart(); });
document.addEventListener("htmx:afterSettle", cartStart);
cartStart();
