// Light, dark or the system's theme. The cookie lets the server render the next page right from the first paint.
"use strict";

function themeChoose(choice) {
  document.documentElement.dataset.theme = choice;
  document.cookie = `theme=${choice}; path=/; max-age=31536000; samesite=lax`;
  for (const button of document.querySelectorAll("[data-theme-choice]")) {
    button.setAttribute("aria-pressed", String(button.dataset.themeChoice === choice));
  }
  document.dispatchEvent(new Event("studio:theme"));
}

// A token's colour under the current theme, for what scripts draw: light-dark() is resolved only where it is used.
function colour(token) {
  colour.probe ??= document.body.appendChild(Object.assign(document.createElement("span"), { className: "chart-probe" }));
  colour.probe.style.color = `var(--${token})`;
  return getComputedStyle(colour.probe).color;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-theme-choice]");
  if (button) themeChoose(button.dataset.themeChoice);
});
matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => document.dispatchEvent(new Event("studio:theme")));
