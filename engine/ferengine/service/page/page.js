// The live page: which cameras there are, what the service says, and the keys.

import { addCamera, login, removeCamera, showHelp } from "./dialogs.js";
import { attempt, complain, showHealth } from "./health.js";
import { ask, onRefused, socketTo } from "./requests.js";
import { Tile } from "./tile.js";
import { colourOf, item, setLabels } from "./words.js";

const $ = (id) => document.getElementById(id);
const tiles = new Map();
let dropped = 0;

const add = () => addCamera(update);
const removed = (name) => removeCamera(name, update);
const actions = { attempt, removed, changed: update };

// ---- Cameras

const visible = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const tile = [...tiles.values()].find((each) => each.root === entry.target);
    if (!tile) continue;
    tile.onScreen = entry.isIntersecting;
    if (tile.state) tile.show(tile.state);
  }
}, { rootMargin: "200px" });

function come(tile) {
  tiles.set(tile.name, tile);
  visible.observe(tile.root);
}

function gone(tile) {
  visible.unobserve(tile.root);
  tile.remove();
  tiles.delete(tile.name);
}

async function update() {
  const answer = await ask("GET", "api/cameras");
  if (setLabels(answer.labels)) $("legend").replaceChildren(...answer.labels.map((label) => item("li", label, colourOf(label))));
  const names = new Set(answer.cameras.map((each) => each.name));
  for (const [name, tile] of tiles) if (!names.has(name)) gone(tile);
  for (const state of answer.cameras) {
    if (!tiles.has(state.name)) come(new Tile(state.name, actions));
    tiles.get(state.name).show(state);
  }
  $("empty").hidden = names.size > 0;
  $("legend").hidden = names.size === 0;
  dropped = showHealth(await ask("GET", "api/health"));
}

function refresh() {
  const all = [...tiles.values()];
  for (const tile of all) tile.refresh();
  $("total-cameras").textContent = all.length;
  $("total-people").textContent = all.reduce((sum, tile) => sum + (tile.faces?.length ?? 0), 0);
  $("total-fps").textContent = all.reduce((sum, tile) => sum + tile.fps, 0).toFixed(0);
  $("total-dropped").textContent = dropped;
}

function listen(wait = 500) {
  const socket = socketTo("api/results");
  socket.onmessage = (event) => {
    const result = JSON.parse(event.data);
    wait = 500;
    if (result.dropped === undefined) tiles.get(result.camera)?.add(result);
  };
  socket.onclose = () => setTimeout(() => listen(Math.min(2 * wait, 8000)), wait);
}

async function loadTimeline() {
  const { now, cameras } = await ask("GET", "api/timeline");
  const shift = Date.now() / 1000 - now;
  for (const [name, people] of Object.entries(cameras))
    for (const { track, samples } of people) tiles.get(name)?.people.set(track, samples.map(([when, label, score]) => [when + shift, label, score]));
}

// ---- Dark and light: as the system has it, until the button says otherwise

const systemLight = matchMedia("(prefers-color-scheme: light)");

const system = () => (systemLight.matches ? "light" : "dark");

function showTheme() {
  document.documentElement.dataset.theme = storage()?.getItem("theme") ?? system();
}

function otherTheme() {
  const other = document.documentElement.dataset.theme === "light" ? "dark" : "light";
  if (other === system()) storage()?.removeItem("theme"); // follow it again
  else storage()?.setItem("theme", other);
  document.documentElement.dataset.theme = other;
}

// What the browser keeps for this page, if it may: one that blocks cookies throws.
function storage() {
  try { return localStorage; } catch { return null; }
}

// ---- Keys and buttons

const focused = () => [...tiles.values()].find((tile) => tile.root.contains(document.activeElement));

function step(by) {
  const all = [...$("cameras").children];
  const now = all.findIndex((root) => root.contains(document.activeElement));
  all[Math.max(0, Math.min(all.length - 1, now + by))]?.focus();
}

const KEYS = {
  n: add, t: otherTheme, "?": showHelp, h: () => ($("health").open = !$("health").open),
  p: () => focused()?.pause(), f: () => focused()?.enlarge(), z: () => focused()?.editZones(), Delete: () => focused() && removed(focused().name),
  ArrowRight: () => step(1), ArrowDown: () => step(1), ArrowLeft: () => step(-1), ArrowUp: () => step(-1),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select") || document.querySelector("dialog[open]")) return;
  const act = KEYS[event.key];
  if (!act || (event.key.startsWith("Arrow") && !focused())) return;
  event.preventDefault();
  act();
});

document.addEventListener("visibilitychange", () => { for (const tile of tiles.values()) if (tile.state) tile.show(tile.state); });
systemLight.addEventListener("change", showTheme);
$("add").onclick = $("empty-add").onclick = add;
$("empty-demo").onclick = () => attempt(ask("POST", "api/cameras", { source: "demo" }).then(update));
$("theme").onclick = otherTheme;
$("help").onclick = showHelp;

// ---- The beginning

async function begin() {
  const session = await ask("GET", "api/session");
  $("version").textContent = `· ${session.version}`;
  if (!session.authenticated) await login();
  await update();
  await loadTimeline();
  listen();
  setInterval(refresh, 250);
  const poll = async () => {
    try { await update(); } catch (error) {
      $("state").dataset.state = "failed";
      $("state-text").textContent = "No answer";
      if (error.name !== "TypeError") complain(error.message);
    }
    setTimeout(poll, document.hidden ? 10000 : 2000);
  };
  setTimeout(poll, 2000);
}

showTheme();
onRefused(login);
window.ferengine = { tiles }; // for the console, and for tests
function tryToBegin() {
  begin().catch((error) => {
    complain(error.message);
    setTimeout(tryToBegin, 3000);
  });
}

tryToBegin();
