// The page's live layer around htmx's WebSocket extension: which fragments are taken, whether they are fresh, and what
// to do when they are not. The server sends <i id="live-heard" data-topic="…"> with every message; topic "" is a heartbeat.
//
// Stale = the socket is closed, or a topic whose fragment says data-state="running" was silent for STALE_S. Then the same
// fragments are asked for over HTTP every POLL_S, and the dot says so.
"use strict";

const STALE_S = 10;
const POLL_S = 5;
const REFRESH_S = 3;
const SESSION_OVER = 4401; // the password was changed, here or elsewhere: the browser may have another session by now
const WORKING = '[data-topic][data-state="running"], [data-topic][data-state="stopping"]';
const ENDS = { succeeded: ["✓", "done"], failed: ["✗", "failed"], cancelled: ["–", "studio"] };

const live = { isOpen: false, heard: new Map(), since: Date.now(), polledAt: 0 };
const seconds = (from) => (Date.now() - from) / 1000;

// What a swap must not take away under somebody's hands: an open dialog, a button held down, one whose question is open.
const IN_USE = "dialog[open], :active, [data-asking]";

// Fragments that this page does not show are dropped; those in use wait for the next update.
function fragmentsTake(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  for (const fresh of [...template.content.children]) {
    if (fresh.id === "live-heard") live.heard.set(fresh.dataset.topic, Date.now());
    const shown = fresh.id && document.getElementById(fresh.id);
    if (!shown || shown.querySelector(IN_USE)) fresh.remove();
    else stateCarry(shown, fresh);
  }
  return template.innerHTML;
}

function stateCarry(shown, fresh) {
  for (const open of shown.querySelectorAll("details[id][open]")) fresh.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute("open", "");
  const ending = ENDS[fresh.dataset.state];
  if (ending && shown.dataset.state && shown.dataset.state !== fresh.dataset.state && fresh.dataset.announce) endingShow(ending, fresh.dataset.announce);
}

function endingShow([sign, icon], words) {
  const link = document.querySelector('link[rel="icon"]');
  if (icon !== "studio") link.href = link.dataset[icon];
  document.title = `${sign} ${document.title.replace(/^[✓✗–] /, "")}`;
  announce(words);
}

function announce(words) {
  document.getElementById("announcer").textContent = words;
}

htmx.defineExtension("live", { transformResponse: (text) => fragmentsTake(text) });

let focused = "";
document.addEventListener("htmx:wsBeforeMessage", () => { focused = document.activeElement?.id ?? ""; });
document.addEventListener("htmx:wsAfterMessage", (event) => {
  if (focused && document.activeElement?.id !== focused) document.getElementById(focused)?.focus({ preventScroll: true });
  const topic = /id="live-heard"[^>]*data-topic="([^"]*)"/.exec(event.detail.message)?.[1];
  if (topic) document.dispatchEvent(new CustomEvent("studio:topic", { detail: { topic } }));
  dotShow();
});
document.addEventListener("htmx:wsOpen", () => { live.isOpen = true; live.since = Date.now(); dotShow(); });
document.addEventListener("htmx:wsClose", ({ detail: { event } }) => {
  live.isOpen = false;
  dotShow();
  const socket = document.getElementById("live-socket");
  if (event.code === SESSION_OVER && socket) socketOpen(socket, new URL(socket.dataset.poll, location).searchParams.toString());
});

// {% live %} leaves <i data-live-topics>: when a swap has changed which topics the page shows, the socket is opened anew.
function socketFollow() {
  const socket = document.getElementById("live-socket");
  if (!socket) return;
  const topics = new Set(["jobs/all", ...[...document.querySelectorAll("[data-live-topics]")].flatMap((mark) => mark.dataset.liveTopics.split(" "))]);
  const query = new URLSearchParams([...topics].map((topic) => ["topic", topic])).toString();
  if (socket.dataset.poll !== `/live/?${query}`) socketOpen(socket, query);
}

function socketOpen(socket, query) {
  const fresh = socket.cloneNode();
  fresh.setAttribute("ws-connect", `/ws/live/?${query}`);
  fresh.dataset.poll = `/live/?${query}`;
  htmx.swap(socket, fresh.outerHTML, { swapStyle: "outerHTML" });
}
document.addEventListener("htmx:afterSettle", socketFollow);

// How long the longest silent working topic of this page has been silent; 0 when none is.
function silence() {
  const silent = [...document.querySelectorAll(WORKING)].map((element) => seconds(live.heard.get(element.dataset.topic) ?? live.since));
  const beat = seconds(Math.max(live.heard.get("") ?? 0, live.since));
  const longest = Math.max(0, ...silent, beat > 2 * STALE_S ? beat : 0);
  return longest > STALE_S ? longest : 0;
}

function dotShow() {
  const dot = document.getElementById("live-dot");
  if (!dot) return;
  const silent = silence();
  const [state, words] = !live.isOpen ? ["reconnecting", "reconnecting"] : silent ? ["stale", `stale ${Math.round(silent)} s`] : ["live", "live"];
  dot.dataset.live = state;
  if (dot.textContent !== words) dot.textContent = words;
  dot.title = state === "live" ? "Changes appear by themselves." : `Asking the server every ${POLL_S} s.`;
}

async function poll() {
  const url = document.getElementById("live-socket")?.dataset.poll;
  if (!url || document.hidden) return;
  live.polledAt = Date.now();
  try {
    const answer = await fetch(url, { headers: { "HX-Request": "true" } });
    if (answer.headers.get("HX-Redirect")) location.reload();
    else if (answer.ok) fragmentsSwap(await answer.text());
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // the server is away: the next poll asks again
  }
}

function fragmentsSwap(html) {
  const heard = new Map(live.heard);
  const template = document.createElement("template");
  template.innerHTML = fragmentsTake(html);
  live.heard = heard; // polled news do not make a silent socket fresh
  for (const fresh of [...template.content.children]) {
    const shown = document.getElementById(fresh.id);
    fresh.removeAttribute("hx-swap-oob");
    shown.replaceWith(fresh);
    htmx.process(fresh);
    if (fresh.dataset.topic) document.dispatchEvent(new CustomEvent("studio:topic", { detail: { topic: fresh.dataset.topic } }));
  }
}

// <section id="rows" data-refresh="jobs/all">: the page is asked for such parts anew after the topic spoke, for lists that
// gain and lose rows; several topics stand there with spaces between. The first message is the replay on connect and says nothing new.
const refreshes = new Map();
const partsOf = (topic) => document.querySelectorAll(`[data-refresh~="${CSS.escape(topic)}"]`);
document.addEventListener("studio:topic", ({ detail: { topic } }) => {
  const known = refreshes.get(topic);
  if (!known) return refreshes.set(topic, { at: 0, timer: null });
  if (known.timer || !partsOf(topic).length) return;
  known.timer = setTimeout(() => {
    Object.assign(known, { at: Date.now(), timer: null });
    partsRefresh(topic);
  }, Math.max(0, 1000 * (REFRESH_S - seconds(known.at))));
});

async function partsRefresh(topic) {
  const answer = await fetch(location.href);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of partsOf(topic)) {
    const fresh = page.getElementById(part.id);
    if (!fresh || part.querySelector(`${IN_USE}, :focus`)) continue;
    stateCarry(part, fresh);
    part.replaceWith(fresh);
    htmx.process(fresh);
  }
  document.dispatchEvent(new Event("htmx:afterSettle"));
}

setInterval(() => {
  dotShow();
  if ((!live.isOpen || silence()) && seconds(live.polledAt) >= POLL_S && seconds(live.since) >= POLL_S) poll();
}, 1000);
document.addEventListener("visibilitychange", () => { if (!document.hidden) document.querySelector('link[rel="icon"]').href = document.querySelector('link[rel="icon"]').dataset.studio; });
