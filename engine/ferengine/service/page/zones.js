// Zones over the video: shown, drawn with the mouse or a finger, moved by their corners, or written as coordinates.

const SVG = "http://www.w3.org/2000/svg";
const CLOSE = 14; // pixels from the first corner that close a zone
const round = (value) => Math.round(Math.min(1, Math.max(0, value)) * 1000) / 1000;
const written = (points) => points.map(([x, y]) => `[${x}, ${y}]`).join(", ");

function read(text) {
  const numbers = (text.match(/-?\d*\.?\d+(?:e-?\d+)?/gi) ?? []).map(Number);
  if (numbers.length % 2) throw new Error("each corner has two coordinates, x and y");
  return Array.from({ length: numbers.length / 2 }, (_, n) => [numbers[2 * n], numbers[2 * n + 1]]);
}

function shape(kind, attributes) {
  const made = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

export class Zones {
  // `save` takes the zones and what becomes of faces outside, and rejects with the reason where they make no sense.
  constructor(tile, save) {
    this.tile = tile;
    this.save = save;
    this.svg = tile.find(".zones");
    this.form = tile.find(".zone-editor");
    this.zones = [];
    this.outside = "deliver";
    this.draft = null;
    this.line = null; // the corners of a zone that is being drawn
    const on = (selector, act) => { tile.find(selector).onclick = act; };
    on(".zone-draw", () => this.begin());
    on(".zone-rectangle", () => this.add([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]]));
    on(".zone-cancel", () => this.close());
    this.form.onsubmit = (event) => { event.preventDefault(); this.submit(); };
    this.svg.onpointerdown = (event) => this.press(event);
    this.svg.onpointermove = (event) => this.move(event);
    this.svg.onpointerup = this.svg.onpointercancel = () => { this.dragged = null; };
    tile.root.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.render()).observe(this.svg);
  }

  get editing() { return this.draft !== null; }

  // The state as the service has it; a draft stays as it is.
  show(state) {
    const known = JSON.stringify([state.zones, state.outside_zones]);
    if (known === this.known) return;
    this.known = known;
    this.zones = state.zones;
    this.outside = state.outside_zones;
    this.render();
  }

  open() {
    this.draft = structuredClone(this.zones);
    this.form.hidden = false;
    this.tile.root.classList.add("editing");
    this.tile.find(".outside").value = this.outside;
    this.say("");
    this.list();
    this.tile.root.scrollIntoView({ block: "start" });
    this.tile.find(".zone-draw").focus({ preventScroll: true });
  }

  close() {
    this.draft = this.line = this.dragged = null;
    this.form.hidden = true;
    this.tile.root.classList.remove("editing");
    this.render();
    this.tile.find(".edit-zones").focus();
  }

  async submit() {
    try {
      await this.save(this.draft, this.tile.find(".outside").value);
      this.close();
    } catch (error) {
      this.say(error.message);
    }
  }

  say(text) { this.form.querySelector(".error").textContent = text; }

  begin() {
    this.line = [];
    this.say("");
    this.render();
  }

  add(points) {
    this.line = null;
    const names = new Set(this.draft.map((zone) => zone.name));
    let number = 1;
    while (names.has(`zone ${number}`)) number += 1;
    this.draft.push({ name: `zone ${number}`, kind: "watch", points });
    this.list();
    this.form.querySelector("li:last-child input")?.select();
  }

  // ---- The mouse

  place(event) {
    const box = this.svg.getBoundingClientRect();
    return [round((event.clientX - box.left) / box.width), round((event.clientY - box.top) / box.height)];
  }

  press(event) {
    if (!this.editing) return;
    event.preventDefault();
    const corner = event.target.dataset?.corner;
    if (!this.line && corner !== undefined) {
      this.dragged = [Number(event.target.dataset.zone), Number(corner)];
      this.svg.setPointerCapture(event.pointerId);
      return event.target.focus();
    }
    if (!this.line) return;
    const box = this.svg.getBoundingClientRect();
    const point = this.place(event);
    const far = (other) => Math.hypot((point[0] - other[0]) * box.width, (point[1] - other[1]) * box.height);
    if (this.line.length > 2 && far(this.line[0]) < CLOSE) return this.add(this.line);
    if (this.line.length && far(this.line.at(-1)) < 3) return this.line.length > 2 ? this.add(this.line) : undefined; // a double click
    this.line.push(point);
    this.render();
  }

  move(event) {
    if (this.dragged) this.shift(...this.dragged, this.place(event));
    else if (this.line?.length) this.render(this.place(event));
  }

  shift(zone, corner, point) {
    this.draft[zone].points[corner] = point;
    const field = this.form.querySelectorAll(".points")[zone];
    field.value = written(this.draft[zone].points);
    field.setCustomValidity("");
    this.render();
  }

  // ---- The keyboard

  key(event) {
    if (!this.editing) return;
    const used = this.use(event);
    if (used) event.preventDefault();
    if (used || !event.target.matches("input, select, button")) event.stopPropagation(); // no key acts on the camera meanwhile
    else if (event.key === "Delete" || event.key.startsWith("Arrow") || event.key.length === 1) event.stopPropagation();
  }

  use(event) {
    if (event.key === "Escape") return this.line ? (this.line = null, this.render(), true) : (this.close(), true);
    if (this.line && event.key === "Enter") return this.line.length > 2 && (this.add(this.line), true);
    if (this.line && event.key === "Backspace" && !event.target.matches("input")) return this.line.pop(), this.render(), true;
    const corner = event.target.dataset?.corner;
    if (corner === undefined) return false;
    const [zone, number] = [Number(event.target.dataset.zone), Number(corner)];
    const points = this.draft[zone].points;
    if (event.key === "Delete" && points.length > 3) {
      points.splice(number, 1);
      this.list();
      this.svg.querySelector(`[data-zone="${zone}"][data-corner="0"]`).focus();
      return true;
    }
    const step = event.shiftKey ? 0.05 : 0.01;
    const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    if (!by) return false;
    this.shift(zone, number, [round(points[number][0] + by[0]), round(points[number][1] + by[1])]);
    return true;
  }

  // ---- What is seen

  list() {
    this.form.querySelector("ul").replaceChildren(...this.draft.map((zone, index) => {
      const row = document.getElementById("zone-row").content.firstElementChild.cloneNode(true);
      const [name, kind, points, remove] = ["zone-label", "kind", "points", "zone-remove"].map((each) => row.querySelector(`.${each}`));
      name.value = zone.name;
      kind.value = zone.kind;
      points.value = written(zone.points);
      name.oninput = () => { zone.name = name.value.trim(); this.render(); };
      kind.onchange = () => { zone.kind = kind.value; this.render(); };
      points.oninput = () => {
        try { zone.points = read(points.value); points.setCustomValidity(""); } catch (error) { points.setCustomValidity(error.message); }
        this.render();
      };
      remove.setAttribute("aria-label", `Delete zone ${zone.name}`);
      remove.onclick = () => {
        this.draft.splice(index, 1);
        this.list();
        this.tile.find(".zone-draw").focus();
      };
      return row;
    }));
    this.form.querySelector(".none").hidden = this.draft.length > 0;
    this.render();
  }

  render(next) {
    const [width, height] = [this.svg.clientWidth || 1, this.svg.clientHeight || 1];
    const at = (points) => points.map(([x, y]) => `${x * width},${y * height}`).join(" ");
    const corner = document.activeElement?.dataset?.corner === undefined ? null : { ...document.activeElement.dataset };
    const zones = this.draft ?? this.zones;
    const parts = zones.flatMap((zone, index) => {
      const [x, y] = zone.points.reduce((best, point) => (point[1] - point[0] > best[1] - best[0] ? point : best), zone.points[0] ?? [0, 1]);
      const text = shape("text", { x: x * width + 8, y: y * height - 8, class: "zone-name" });
      text.textContent = zone.name;
      const handles = this.draft === null ? [] : zone.points.map(([cx, cy], number) => shape("circle", {
        cx: cx * width, cy: cy * height, r: 7, tabindex: 0, role: "button", "data-zone": index, "data-corner": number,
        "aria-label": `Corner ${number + 1} of ${zone.name}: ${cx}, ${cy}. Arrows move it, Delete removes it`,
      }));
      return [shape("polygon", { points: at(zone.points), class: `zone ${zone.kind}` }), text, ...handles];
    });
    if (this.line) {
      parts.push(shape("polyline", { points: at(next ? [...this.line, next] : this.line), class: "zone line" }));
      for (const [x, y] of this.line.slice(0, 1)) parts.push(shape("circle", { cx: x * width, cy: y * height, r: 7, class: "first" }));
    }
    this.svg.replaceChildren(...parts);
    this.svg.classList.toggle("drawing", this.line !== null);
    this.tile.find(".drawing-hint").hidden = this.line === null;
    const named = zones.map((zone) => `${zone.name} (${zone.kind === "ignore" ? "ignored" : "watched"})`);
    this.svg.setAttribute("aria-label", named.length ? `Zones: ${named.join(", ")}` : "No zones");
    if (corner) this.svg.querySelector(`[data-zone="${corner.zone}"][data-corner="${corner.corner}"]`)?.focus({ preventScroll: true });
  }
}
