// A camera: its video, the people in it, their last minutes, and what can be done with it.

import { drawFaces, drawTimeline, fitted } from "./drawing.js";
import { Player } from "./player.js";
import { ask, base, camera } from "./requests.js";
import { described, item, said, UNKNOWN } from "./words.js";
import { Zones } from "./zones.js";

export class Tile {
  // `actions`: `removed(name)` asks whether to remove it, `changed()` reads the state again, `attempt(promise)` shows why one fails.
  constructor(name, actions) {
    this.name = name;
    this.actions = actions;
    this.root = document.getElementById("tile").content.firstElementChild.cloneNode(true);
    this.size = [16, 9];
    this.people = new Map();
    this.arrivals = [];
    this.latencies = [];
    this.player = new Player(this);
    this.find(".name .text").textContent = name;
    this.root.setAttribute("aria-label", `Camera ${name}`);
    const snapshot = this.find(".snapshot");
    snapshot.href = new URL(camera(name, "/snapshot.jpg"), base);
    snapshot.download = `${name}.jpg`;
    this.button(".pause", () => this.pause());
    this.button(".enlarge", () => this.enlarge());
    this.button(".edit-zones", () => this.editZones());
    this.button(".remove", () => actions.removed(name));
    for (const [part, label] of [[".snapshot", "Save a snapshot"], [".enlarge", "Enlarge"], [".edit-zones", "Edit zones"], [".remove", "Remove"]]) this.title(part, label);
    this.find(".stage").ondblclick = () => this.zones.editing || this.enlarge();
    this.zones = new Zones(this, async (zones, outside_zones) => {
      await ask("PUT", camera(name, "/zones"), { zones, outside_zones });
      await actions.changed();
    });
    document.getElementById("cameras").append(this.root);
  }

  find(selector) { return this.root.querySelector(selector); }
  button(selector, act) { this.find(selector).onclick = act; }

  title(selector, text) {
    const part = this.find(selector);
    part.title = text;
    part.setAttribute("aria-label", `${text}: ${this.name}`);
  }

  show(state) {
    this.state = state;
    this.isOver = ["ended", "failed"].includes(state.state); // to be opened again, where that makes sense
    this.root.classList.toggle("closed", state.paused || this.isOver);
    this.find(".name").dataset.state = state.state;
    this.zones.show(state);
    this.title(".pause", state.paused ? "Resume" : this.isOver ? "Open again" : "Pause");
    this.said = {
      paused: "Paused: the camera is closed", opening: "Opening", leaving: "Closing", ended: state.error ?? "Ended", failed: state.error ?? "Failed",
      disconnected: "Disconnected: trying again",
    }[state.state];
    const closed = ["paused", "ended", "failed", "leaving"].includes(state.state);
    if (closed) this.clear();
    this.player.want(this.onScreen && !document.hidden && !closed);
    this.showNote();
  }

  showNote() { this.note(this.said ?? (this.player.wanted && !this.player.shows ? ["Waiting for video", this.player.reason].filter(Boolean).join(": ") : "")); }

  note(text) {
    const note = this.find(".note");
    note.hidden = !text;
    if (note.textContent !== text) note.textContent = text;
  }

  clear() {
    this.find(".numbers").textContent = "";
    this.faces = [];
    this.arrivals = [];
    this.listPeople();
    const canvas = this.find(".overlay");
    canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  }

  setSize(width, height) {
    if (this.size[0] === width && this.size[1] === height) return;
    this.size = [width, height];
    this.root.style.setProperty("--ratio", width / height);
  }

  // A result of the stream of results: numbers, people and timeline; boxes only where there is no synchronised video.
  add(result) {
    const now = performance.now();
    this.arrivals.push(now);
    while (now - this.arrivals[0] > 3000) this.arrivals.shift();
    this.latencies = [...this.latencies.slice(-29), result.latency_ms];
    this.faces = result.faces;
    for (const face of result.faces) this.sample(face.track, Date.now() / 1000, described(face));
    if (!this.synchronised && this.player.wanted) this.draw(result, this.size, null);
  }

  sample(track, when, { label, best }) {
    if (track === null) return;
    if (!this.people.has(track)) this.people.set(track, []);
    const samples = this.people.get(track);
    const last = samples.at(-1);
    if (!last || when - last[0] >= 1) samples.push([when, label, best]);
  }

  get fps() {
    const recent = this.arrivals.filter((when) => performance.now() - when < 3000);
    return recent.length > 1 ? (1000 * (recent.length - 1)) / (recent.at(-1) - recent[0]) : 0;
  }

  refresh() {
    if (this.state?.paused) return drawTimeline(this.find(".timeline"), this.people);
    const latency = [...this.latencies].sort((a, b) => a - b)[this.latencies.length >> 1];
    this.find(".numbers").textContent = this.fps ? `${this.fps.toFixed(0)} fps · ${latency?.toFixed(0)} ms` : "";
    this.listPeople();
    this.showNote();
    drawTimeline(this.find(".timeline"), this.people);
  }

  listPeople() {
    const list = this.find(".people");
    const faces = this.faces ?? [];
    const items = faces.slice(0, 12).map((face) => {
      const { text, colour } = described(face);
      const gender = face.gender ? `, ${face.gender.smoothed.label}` : "";
      const heads = Object.entries(face.heads ?? {}).map(([name, reading]) => `, ${name}: ${said(reading)}`);
      const zones = face.zones ? ` · ${face.zones.join(", ")}` : "";
      return [colour, `#${face.track} ${text}${gender}${heads.join("")}${zones}`];
    });
    if (faces.length > 12) items.push([UNKNOWN, `and ${faces.length - 12} more`]);
    const key = JSON.stringify(items);
    if (key === this.listed) return;
    this.listed = key;
    list.replaceChildren(...items.map(([colour, text]) => item("li", text, colour)));
    if (!items.length) list.append(Object.assign(document.createElement("li"), { className: "none", textContent: this.state?.paused ? "" : "no face" }));
    this.find(".overlay").setAttribute("aria-label", items.length ? `${faces.length} in the frame: ${items.map(([, text]) => text).join("; ")}` : "No face in the frame");
  }

  draw(result, [width, height], time) {
    const canvas = this.find(".overlay");
    const [ink, scale] = fitted(canvas);
    const x = canvas.clientWidth / width;
    const y = canvas.clientHeight / height;
    this.drawn = { frame: result.frame, time, faces: result.faces.length };
    canvas.dataset.frame = result.frame;
    ink.setTransform(scale, 0, 0, scale, 0, 0);
    ink.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
    drawFaces(ink, result.faces, result.faces.map((face) => face.box.map((value, n) => value * (n % 2 ? y : x))), canvas);
  }

  async pause() {
    const button = this.find(".pause");
    button.disabled = true;
    const steps = this.state.paused ? ["/resume"] : this.isOver ? ["/pause", "/resume"] : ["/pause"];
    for (const step of steps) await this.actions.attempt(ask("POST", camera(this.name, step)));
    if (!this.state.paused) this.people.clear();
    await this.actions.changed();
    button.disabled = false;
  }

  enlarge() {
    const large = this.root.classList.toggle("large");
    this.title(".enlarge", large ? "Make smaller" : "Enlarge");
    if (large) this.root.scrollIntoView({ block: "nearest" });
  }

  editZones() { return this.zones.editing ? this.zones.close() : this.zones.open(); }

  remove() {
    this.player.want(false);
    this.root.remove();
  }
}
