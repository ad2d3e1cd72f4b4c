"use strict";

const PERIOD = 2000;
const COLOURS = {
  alive: "good", running: "good", ended: "soft", draining: "warn", opening: "warn", moving: "warn", waiting: "bad",
  disconnected: "bad", failed: "bad", lost: "bad",
};
const find = (id) => document.getElementById(id);

// All text comes in as text, never as markup: names and reasons are what users and cameras say.
function cell(content, kind) {
  const made = document.createElement("td");
  if (content instanceof Node) made.append(content);
  else made.textContent = content;
  if (kind) made.className = kind;
  return made;
}

function row(...cells) {
  const made = document.createElement("tr");
  made.append(...cells);
  return made;
}

function link(url, text) {
  if (!/^https?:/.test(url || "")) return "";
  const made = document.createElement("a");
  made.href = url;
  made.rel = "noopener";
  made.textContent = text;
  return made;
}

function load(node) {
  const made = document.createElement("span");
  const meter = document.createElement("meter");
  meter.max = node.capacity || 1;
  meter.high = 0.9 * meter.max;
  meter.value = node.load;
  made.append(meter, ` ${node.load.toFixed(1)} of ${node.capacity.toFixed(1)} cores`);
  return made;
}

function drainButton(node) {
  const action = node.state === "draining" ? "resume" : "drain";
  const made = document.createElement("button");
  made.textContent = action;
  made.disabled = node.state === "lost";
  made.onclick = async () => {
    made.disabled = true;
    await fetch(`api/nodes/${encodeURIComponent(node.name)}/${action}`, { method: "POST" });
    await update();
  };
  return made;
}

function outputs(node) {
  const parts = Object.entries(node.outputs).map(([name, output]) =>
    output.error ? `${name}: ${output.error}` : `${name} ${output.written}${output.dropped ? `, ${output.dropped} dropped` : ""}`);
  if (node.dropped_events) parts.push(`${node.dropped_events} events dropped`);
  return cell(parts.join("; "), Object.values(node.outputs).some((output) => output.error) ? "bad" : "soft");
}

function show(fleet) {
  const nodes = Object.values(fleet.nodes);
  const cameras = Object.values(fleet.cameras);
  document.title = `${fleet.name} – ferengine fleet`;
  find("title").textContent = fleet.name;
  find("state").textContent = fleet.ok ? "all is well" : "something is wrong";
  find("state").className = fleet.ok ? "good" : "bad";
  const labels = (record) => Object.entries(record).map((pair) => pair.join("=")).join(" ");
  find("nodes").replaceChildren(...nodes.map((node) => row(
    cell(link(node.url, node.name) || node.name), cell(node.state, COLOURS[node.state]), cell(load(node)),
    cell(String(node.cameras.length)), cell(labels(node.labels), "soft"), outputs(node), cell(drainButton(node)))));
  find("cameras").replaceChildren(...cameras.map((camera) => row(
    cell(camera.name), cell(camera.state, COLOURS[camera.state]), cell(camera.node || ""), cell(camera.fps.toFixed(1)),
    cell(camera.load.toFixed(2)), cell(String(camera.moves)), cell(link((fleet.nodes[camera.node] || {}).url, "on its node")),
    cell(camera.reason || "", "soft"))));
  find("events").replaceChildren(...fleet.events.slice(-100).reverse().map((line) => {
    const made = document.createElement("li");
    made.textContent = line;
    return made;
  }));
}

async function update() {
  try {
    const answer = await fetch("api/fleet");
    find("login").hidden = answer.status !== 401;
    if (answer.ok) show(await answer.json());
    else {
      find("state").textContent = (await answer.json()).error;
      find("state").className = "bad";
    }
  } catch {
    find("state").textContent = "the page’s server does not answer";
    find("state").className = "bad";
  }
}

find("login").onsubmit = async (event) => {
  event.preventDefault();
  const answer = await fetch("api/session", { method: "POST", body: find("token").value });
  find("login-error").textContent = answer.ok ? "" : (await answer.json()).error;
  await update();
};

update();
setInterval(update, PERIOD);
