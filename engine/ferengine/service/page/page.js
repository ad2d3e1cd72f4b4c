// The live page: tiles with video, boxes drawn over the frame that they belong to, timelines, health.

import { Zones } from "./zones.js";

const TIMELINE_SECONDS = 180;
const PALETTE = ["#eb4c4c", "#6cae60", "#9e6ec7", "#f5be32", "#3c8ae0", "#46c8c8", "#a9b4be", "#f58c50", "#f578aa", "#b4dc78"];
const UNKNOWN = "#e1e1e1";
const $ = (id) => document.getElementById(id);
const tiles = new Map();
const base = new URL(".", location.href);
let labels = [];
let dropped = 0;

// ---- Requests

async function ask(method, path, body) {
  const json = body !== undefined && typeof body !== "string";
  const answer = await fetch(new URL(path, base), {
    method, body: json ? JSON.stringify(body) : body, headers: json ? { "Content-Type": "application/json" } : {},
  });
  if (answer.status === 401 && path !== "api/session") await login();
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error ?? `the service answered ${answer.status}`);
  return answer.status === 204 ? null : answer.json();
}

function socketTo(path) {
  const url = new URL(path, base);
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  return socket;
}

const camera = (name, rest = "") => `api/cameras/${encodeURIComponent(name)}${rest}`;

// ---- Colours and words

const colourOf = (label) => (labels.includes(label) ? PALETTE[labels.indexOf(label) % PALETTE.length] : UNKNOWN);
const percent = (score) => `${Math.round(100 * score)} %`;

function described(face) {
  const smoothed = face.expression?.smoothed;
  const why = (face.expression?.reason ?? face.reason)?.replaceAll("_", " ");
  const instead = why ?? (face.heads ? "" : "not classified"); // a model may read no expression
  if (!smoothed) return { label: instead, best: 0, text: instead, colour: UNKNOWN };
  const { label, scores } = smoothed;
  const best = scores[label] ?? Math.max(...Object.values(scores)); // an uncertain face has scores, and no score of its label
  return { label, best, text: why ? `${label}: ${why}` : `${label} ${percent(best)}`, colour: colourOf(label) };
}

// What a further head of the model reads: a class, the labels that are there, or numbers.
function said({ kind, label, smoothed }) {
  if (kind === "classes") return `${label} ${percent(smoothed[label])}`;
  const numbers = Object.entries(smoothed);
  if (kind === "values") return numbers.map(([name, value]) => `${name} ${Number(value.toPrecision(3))}`).join(", ");
  return numbers.filter(([, value]) => value >= 0.5).map(([name]) => name).join(", ") || "none";
}

// ---- Video: fragments over a WebSocket into Media Source Extensions, played at the live edge

class Player {
  constructor(tile) {
    this.tile = tile;
    this.video = tile.find("video");
    this.image = tile.find("img");
    this.frames = [];
    this.pending = [];
    this.delay = 0.15;
    this.wait = 500;
  }

  start() {
    if (this.socket || this.image.src) return;
    if (!window.MediaSource || this.useImages) return this.startImages();
    this.socket = socketTo(camera(this.tile.name, "/video"));
    this.socket.onmessage = (event) => this.receive(event.data);
    this.socket.onclose = (event) => {
      this.socket = null;
      if (event.code === 4503) this.useImages = true;
      if (this.wanted) this.retry = setTimeout(() => this.wanted && this.start(), (this.wait = Math.min(2 * this.wait, 8000)));
    };
  }

  startImages() {
    this.tile.synchronised = false;
    this.video.hidden = true;
    this.image.hidden = false;
    this.image.src = new URL(camera(this.tile.name, "/video.mjpeg"), base);
  }

  want(wanted) {
    if (wanted === this.wanted) return;
    this.wanted = wanted;
    clearTimeout(this.retry);
    if (wanted) return this.start();
    this.socket?.close();
    this.socket = null;
    this.image.removeAttribute("src");
  }

  receive(data) {
    const size = new DataView(data).getUint32(0);
    const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, size)));
    const bytes = new Uint8Array(data, 4 + size);
    if (head.mime) return this.begin(head, bytes);
    this.wait = 500;
    this.frames.push(head);
    if (this.frames.length > 400) this.frames.splice(0, 200);
    this.tile.setSize(...head.size);
    this.append(bytes);
    this.follow(head.time);
  }

  begin(head, init) {
    if (!MediaSource.isTypeSupported(head.mime)) {
      this.useImages = true;
      this.socket?.close();
      return;
    }
    this.source = new MediaSource();
    this.buffer = null;
    this.frames = [];
    this.pending = [init];
    this.playing = false;
    this.source.onsourceopen = () => {
      URL.revokeObjectURL(this.video.src);
      this.buffer = this.source.addSourceBuffer(head.mime);
      this.buffer.onupdateend = () => this.pump();
      this.pump();
    };
    this.video.src = URL.createObjectURL(this.source);
    this.tile.synchronised = true;
    this.watchFrames();
  }

  append(bytes) {
    this.pending.push(bytes);
    this.pump();
  }

  pump() {
    if (!this.buffer || this.buffer.updating || this.source.readyState !== "open") return;
    const old = this.video.currentTime - 8;
    if (this.buffer.buffered.length && old - this.buffer.buffered.start(0) > 8) return this.buffer.remove(0, old);
    if (!this.pending.length) return;
    const all = new Blob(this.pending);
    this.pending = [];
    all.arrayBuffer().then((joined) => {
      if (this.source.readyState !== "open" || this.buffer.updating) return this.pending.unshift(joined);
      try { this.buffer.appendBuffer(joined); } catch { this.socket?.close(); }
    });
  }

  // Stay a little behind the newest frame: further behind play faster, far behind jump.
  follow(newest) {
    const video = this.video;
    if (!video.buffered.length) return;
    const times = this.frames.slice(-12).map((frame) => frame.time);
    const step = times.length > 1 ? (times.at(-1) - times[0]) / (times.length - 1) : 0.1;
    this.delay = Math.min(3, Math.max(0.12, 2.2 * step));
    const lag = newest - video.currentTime;
    if (!this.playing || lag > this.delay + 1 + step || lag < -0.5) {
      video.currentTime = Math.max(video.buffered.start(video.buffered.length - 1), newest - this.delay);
      this.playing = true;
    }
    video.playbackRate = lag > this.delay + 0.1 ? 1.1 : lag < this.delay - 0.06 ? 0.94 : 1;
    if (video.paused) video.play().catch(() => {});
  }

  watchFrames() {
    const watched = this.source;
    const next = (_, shown) => {
      if (watched !== this.source) return;
      const frame = this.frames.findLast((each) => each.time <= shown.mediaTime + 0.004);
      if (frame) this.tile.draw(frame.result, frame.size, frame.time);
      this.video.requestVideoFrameCallback(next);
    };
    if (this.video.requestVideoFrameCallback) this.video.requestVideoFrameCallback(next);
    else this.tile.synchronised = false;
  }
}

// ---- A camera

class Tile {
  constructor(name) {
    this.name = name;
    this.root = $("tile").content.firstElementChild.cloneNode(true);
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
    this.button(".remove", () => removeCamera(name));
    for (const [part, label] of [[".snapshot", "Save a snapshot"], [".enlarge", "Enlarge"], [".edit-zones", "Edit zones"], [".remove", "Remove"]]) this.title(part, label);
    this.find(".stage").ondblclick = () => this.zones.editing || this.enlarge();
    this.zones = new Zones(this, async (zones, outside_zones) => {
      await ask("PUT", camera(name, "/zones"), { zones, outside_zones });
      await update();
    });
    $("cameras").append(this.root);
    visible.observe(this.root);
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
    this.root.classList.toggle("paused", state.paused);
    this.find(".name").dataset.state = state.state;
    this.zones.show(state);
    this.title(".pause", state.paused ? "Resume" : "Pause");
    const said = {
      paused: "Paused: the camera is closed", opening: "Opening", leaving: "Closing", ended: state.error ?? "Ended", failed: state.error ?? "Failed",
      disconnected: "Disconnected: trying again",
    }[state.state];
    this.note(said);
    const closed = ["paused", "ended", "failed", "leaving"].includes(state.state);
    if (closed) this.clear();
    this.player.want(this.onScreen && !document.hidden && !closed);
  }

  note(text) {
    const note = this.find(".note");
    note.hidden = !text;
    if (note.textContent !== (text ?? "")) note.textContent = text ?? "";
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
    if (this.state?.paused) return this.drawTimeline();
    const latency = [...this.latencies].sort((a, b) => a - b)[this.latencies.length >> 1];
    this.find(".numbers").textContent = this.fps ? `${this.fps.toFixed(0)} fps · ${latency?.toFixed(0)} ms` : "";
    this.listPeople();
    this.drawTimeline();
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

  drawTimeline() {
    const canvas = this.find(".timeline");
    const [ink, scale] = fitted(canvas, 14, 12);
    const width = canvas.width / scale;
    const height = canvas.height / scale;
    const now = Date.now() / 1000;
    for (const [track, samples] of this.people) {
      while (samples.length && samples[0][0] < now - TIMELINE_SECONDS) samples.shift();
      if (!samples.length) this.people.delete(track);
    }
    const shown = [...this.people].sort((a, b) => b[1].at(-1)[0] - a[1].at(-1)[0]).slice(0, 4).sort((a, b) => a[0] - b[0]);
    const css = getComputedStyle(document.documentElement);
    const left = 34;
    const at = (when) => left + (width - left) * (1 - (now - when) / TIMELINE_SECONDS);
    ink.setTransform(scale, 0, 0, scale, 0, 0);
    ink.clearRect(0, 0, width, height);
    ink.font = "11px system-ui, sans-serif";
    ink.textBaseline = "middle";
    for (const minute of [0, 1, 2, 3]) {
      ink.fillStyle = css.getPropertyValue("--soft");
      ink.textAlign = minute === 0 ? "right" : minute === 3 ? "left" : "center";
      ink.fillText(minute ? `-${minute} min` : "now", at(now - 60 * minute), height - 7);
      ink.fillStyle = css.getPropertyValue("--line");
      ink.fillRect(at(now - 60 * minute) - (minute ? 0 : 1), 2, 1, height - 18);
    }
    const row = Math.min(18, (height - 18) / Math.max(1, shown.length));
    shown.forEach(([track, samples], number) => {
      const top = 2 + number * row;
      ink.fillStyle = css.getPropertyValue("--soft");
      ink.textAlign = "left";
      ink.fillText(`#${track}`, 0, top + row / 2);
      samples.forEach(([when, label, score], index) => {
        const until = Math.min(samples[index + 1]?.[0] ?? when + 1, when + 3);
        ink.globalAlpha = 0.35 + 0.65 * score;
        ink.fillStyle = colourOf(label);
        const [begin, end] = [at(when), at(until)].map((value) => Math.round(value * scale) / scale); // whole pixels: no seams
        ink.fillRect(begin, top + 1, Math.max(1, end - begin), row - 3);
      });
      ink.globalAlpha = 1;
    });
    const said = shown.map(([track, samples]) => `person ${track} mostly ${commonest(samples.map((sample) => sample[1]))}`);
    canvas.setAttribute("aria-label", said.length ? `Last 3 minutes: ${said.join(", ")}` : "No face in the last 3 minutes");
  }

  async pause() {
    const button = this.find(".pause");
    button.disabled = true;
    await attempt(ask("POST", camera(this.name, this.state.paused ? "/resume" : "/pause")));
    if (!this.state.paused) this.people.clear();
    await update();
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
    visible.unobserve(this.root);
    this.root.remove();
  }
}

// Bars go beside their face where they cover neither another face nor other bars; the names below the video say it anyway.
function drawFaces(ink, faces, boxes, canvas) {
  const taken = [...boxes];
  const meets = ([left, top, width, height]) => taken.some((other) =>
    left < other[0] + other[2] && other[0] < left + width && top < other[1] + other[3] && other[1] < top + height);
  const room = canvas.clientWidth >= 380;
  faces.forEach((face, number) => {
    const scores = Object.entries(face.expression?.smoothed.scores ?? {}).slice(0, 8);
    const [left, top, width] = boxes[number];
    const [wide, tall] = [126, BAR_ROW * scores.length + 8];
    const from = Math.max(2, Math.min(top, canvas.clientHeight - tall - 4));
    const places = [[left + width + 6, from, wide, tall], [left - wide - 6, from, wide, tall]];
    const place = places.find((each) => each[0] >= 0 && each[0] + wide <= canvas.clientWidth && !meets(each));
    if (!room || !scores.length || !place) return;
    taken.push(place);
    drawBars(ink, face, scores, place);
  });
  faces.forEach((face, number) => drawBox(ink, face, boxes[number], canvas));
}

const BAR_ROW = 15;

function drawBars(ink, face, scores, [left, top, width, height]) {
  ink.fillStyle = "#05080bb8";
  ink.beginPath();
  ink.roundRect(left, top, width, height, 8);
  ink.fill();
  ink.font = "11px system-ui, sans-serif";
  ink.textBaseline = "middle";
  ink.textAlign = "left";
  scores.forEach(([name, score], number) => {
    const middle = top + 4 + BAR_ROW * (number + 0.5);
    ink.fillStyle = name === face.expression.smoothed.label ? "#fff" : "#b8c4ce";
    ink.fillText(name, left + 8, middle);
    ink.fillStyle = "#ffffff22";
    ink.fillRect(left + 64, middle - 3, 54, 6);
    ink.fillStyle = colourOf(name);
    ink.fillRect(left + 64, middle - 3, 54 * score, 6);
  });
}

function drawBox(ink, face, [left, top, width, height], canvas) {
  const { text, colour } = described(face);
  ink.strokeStyle = colour;
  ink.lineWidth = face.origin === "detected" ? 3 : 2;
  ink.beginPath();
  ink.roundRect(left, top, width, height, 6);
  ink.stroke();
  ink.font = "600 13px system-ui, sans-serif";
  ink.textBaseline = "middle";
  ink.textAlign = "left";
  const tag = `${face.track === null ? "" : `#${face.track} `}${text}`;
  const long = ink.measureText(tag).width + 14;
  const x = Math.max(2, Math.min(left - 1, canvas.clientWidth - long - 2));
  const y = top - 24 > 2 ? top - 24 : Math.max(2, top + 4);
  ink.fillStyle = colour;
  ink.beginPath();
  ink.roundRect(x, y, long, 21, 6);
  ink.fill();
  ink.fillStyle = "#10161c";
  ink.fillText(tag, x + 7, y + 11);
}

function fitted(canvas, sides = 0, below = 0) {
  const scale = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round((canvas.clientWidth - 2 * sides) * scale));
  const height = Math.max(1, Math.round((canvas.clientHeight - below) * scale));
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  return [canvas.getContext("2d"), scale];
}

function item(kind, text, colour) {
  const made = document.createElement(kind);
  const dot = Object.assign(document.createElement("span"), { className: "dot" });
  dot.style.background = colour;
  made.append(dot, text);
  return made;
}

function commonest(words) {
  const counts = {};
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1;
  return Object.keys(counts).sort((a, b) => counts[b] - counts[a])[0];
}

const visible = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const tile = [...tiles.values()].find((each) => each.root === entry.target);
    if (!tile) continue;
    tile.onScreen = entry.isIntersecting;
    if (tile.state) tile.show(tile.state);
  }
}, { rootMargin: "200px" });

// ---- State of the service

async function update() {
  const answer = await ask("GET", "api/cameras");
  if (answer.labels.join() !== labels.join()) {
    labels = answer.labels;
    $("legend").replaceChildren(...labels.map((label) => item("li", label, colourOf(label))));
  }
  const names = new Set(answer.cameras.map((each) => each.name));
  for (const [name, tile] of tiles) if (!names.has(name)) { tile.remove(); tiles.delete(name); }
  for (const state of answer.cameras) {
    if (!tiles.has(state.name)) tiles.set(state.name, new Tile(state.name));
    tiles.get(state.name).show(state);
  }
  $("empty").hidden = names.size > 0;
  $("legend").hidden = names.size === 0;
  const health = await ask("GET", "api/health");
  showHealth(health);
}

const OF_FACES = new Set(["deadline", "face_ring_full", "not_finite"]);

function showHealth(health) {
  const state = health.state === "running" && !health.ok ? "degraded" : health.state;
  $("state").dataset.state = state;
  $("state-text").textContent = { running: "Live", degraded: "Needs attention", starting: "Starting", new: "Starting" }[state] ?? state;
  const drops = Object.values(health.cameras).flatMap((each) =>
    Object.entries(each.dropped).filter(([, count]) => count).map(([reason, count]) => [each.name, reason.replaceAll("_", " ") + (OF_FACES.has(reason) ? " (faces)" : ""), count]));
  for (const [name, video] of Object.entries(health.service.video)) if (video.skipped) drops.push([name, "video, slow viewer", video.skipped]);
  dropped = drops.reduce((sum, row) => sum + row[2], 0);
  for (const each of Object.values(health.cameras)) if (each.ignored) drops.push([each.name, "ignored by zones (faces)", each.ignored]);
  fill("drops", drops.length ? drops : [["none", "", 0]]);
  fill("workers", Object.values(health.workers).map((each) => [each.name, each.state, each.restarts]));
  fill("consumers", health.consumers.map((each) => [each.name, each.delivered, each.dropped]));
  $("failures").replaceChildren(...health.failures.slice(-20).map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  $("health-line").textContent = `${Object.keys(health.workers).length} processes · ${dropped} dropped · ${health.failures.length} failures`;
  const broken = Object.values(health.cameras).filter((each) => each.error).map((each) => `${each.name}: ${each.error}`);
  banner(broken.join(" · "));
}

function fill(id, rows) {
  $(id).replaceChildren(...rows.map((cells) => {
    const row = document.createElement("tr");
    row.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
    return row;
  }));
}

function banner(text) {
  $("banner").hidden = !text;
  $("banner").textContent = text;
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

// ---- Dialogs and keys

async function attempt(promise) {
  try { return await promise; } catch (error) { banner(error.message); }
}

function opened(id, submit) {
  const dialog = $(id);
  const form = dialog.querySelector("form");
  for (const cancel of form.querySelectorAll("[value=cancel]")) cancel.onclick = () => dialog.close();
  form.onsubmit = async (event) => {
    event.preventDefault();
    if (await submit(dialog)) dialog.close();
  };
  if (!dialog.open) dialog.showModal();
  return dialog;
}

function addCamera() {
  $("add-error").textContent = "";
  opened("add-dialog", async () => {
    const [source, name] = [$("add-source").value.trim(), $("add-name").value.trim()];
    try {
      await ask("POST", "api/cameras", name ? { source, name } : { source });
      $("add-source").value = $("add-name").value = "";
      await update();
      return true;
    } catch (error) {
      $("add-error").textContent = error.message;
    }
  });
}

function removeCamera(name) {
  $("remove-title").textContent = `Remove ${name}?`;
  opened("remove-dialog", async () => {
    await attempt(ask("DELETE", camera(name)));
    await update();
    return true;
  });
}

let signingIn = null;
function login() {
  signingIn ??= new Promise((resolve) => {
    const dialog = opened("login-dialog", async () => {
      try {
        await ask("POST", "api/session", $("login-token").value);
        location.reload();
      } catch (error) {
        $("login-error").textContent = error.message;
      }
    });
    dialog.oncancel = (event) => event.preventDefault();
    dialog.onclose = resolve;
  });
  return signingIn;
}

function theme(name) {
  document.documentElement.dataset.theme = name;
  localStorage.setItem("theme", name);
}

const otherTheme = () => theme(document.documentElement.dataset.theme === "light" ? "dark" : "light");
const showHelp = () => opened("help-dialog", async () => true);

const focused = () => [...tiles.values()].find((tile) => tile.root.contains(document.activeElement));

function step(by) {
  const all = [...$("cameras").children];
  const now = all.findIndex((root) => root.contains(document.activeElement));
  all[Math.max(0, Math.min(all.length - 1, now + by))]?.focus();
}

const KEYS = {
  n: addCamera, t: otherTheme, "?": showHelp, h: () => ($("health").open = !$("health").open),
  p: () => focused()?.pause(), f: () => focused()?.enlarge(), z: () => focused()?.editZones(), Delete: () => focused() && removeCamera(focused().name),
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

$("add").onclick = $("empty-add").onclick = addCamera;
$("empty-demo").onclick = () => attempt(ask("POST", "api/cameras", { source: "demo" })).then(update);
$("theme").onclick = otherTheme;
$("help").onclick = showHelp;
theme(localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark"));

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
      if (error.name !== "TypeError") banner(error.message);
    }
    setTimeout(poll, document.hidden ? 10000 : 2000);
  };
  setTimeout(poll, 2000);
}

window.ferengine = { tiles }; // for the console, and for tests
begin().catch((error) => banner(error.message));
