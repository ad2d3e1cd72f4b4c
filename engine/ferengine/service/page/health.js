// What the service says of itself: processes, consumers, drops, failures.

const $ = (id) => document.getElementById(id);

const COMPLAINT_SECONDS = 12;
const OF_FACES = new Set(["deadline", "face_ring_full", "not_finite", "too_many"]);

// Shows it; returns how many frames, faces and results were dropped.
export function showHealth(health) {
  const state = health.state === "running" && !health.ok ? "degraded" : health.state;
  $("state").dataset.state = state;
  $("state-text").textContent = { running: "Live", degraded: "Needs attention", starting: "Starting", new: "Starting" }[state] ?? state;
  const drops = Object.values(health.cameras).flatMap((each) =>
    Object.entries(each.dropped).filter(([, count]) => count).map(([reason, count]) => [each.name, reason.replaceAll("_", " ") + (OF_FACES.has(reason) ? " (faces)" : ""), count]));
  for (const [name, video] of Object.entries(health.service.video)) if (video.skipped) drops.push([name, "video, slow viewer", video.skipped]);
  const dropped = drops.reduce((sum, row) => sum + row[2], 0);
  for (const each of Object.values(health.cameras)) if (each.ignored) drops.push([each.name, "ignored by zones (faces)", each.ignored]);
  fill("drops", drops.length ? drops : [["none", "", 0]]);
  fill("workers", Object.values(health.workers).map((each) => [each.name, each.state, each.restarts]));
  fill("consumers", health.consumers.map((each) => [each.name, each.delivered, each.dropped]));
  $("failures").replaceChildren(...health.failures.slice(-20).map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  $("health-line").textContent = `${Object.keys(health.workers).length} processes · ${dropped} dropped · ${health.failures.length} failures`;
  broken = Object.values(health.cameras).filter((each) => each.error).map((each) => `${each.name}: ${each.error}`);
  showBanner();
  return dropped;
}

function fill(id, rows) {
  $(id).replaceChildren(...rows.map((cells) => {
    const row = document.createElement("tr");
    row.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
    return row;
  }));
}

let broken = []; // cameras, as long as they are
let failure = ""; // of what was last asked for
let timer = null;

// Show for some seconds why something failed.
export function complain(text) {
  failure = text;
  clearTimeout(timer);
  timer = setTimeout(() => { failure = ""; showBanner(); }, COMPLAINT_SECONDS * 1000);
  showBanner();
}

// What a promise gives, or undefined with its reason on the page.
export async function attempt(promise) {
  try { return await promise; } catch (error) { complain(error.message); }
}

function showBanner() {
  const text = [failure, ...broken].filter(Boolean).join(" · ");
  $("banner").hidden = !text;
  if ($("banner").textContent !== text) $("banner").textContent = text; // a screen reader says it once
}
