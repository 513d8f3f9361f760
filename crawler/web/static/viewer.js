// Planes of a volume, one at a time: values come from the server as they are, the window is applied here.

import { make, number, t } from "./base.js";
import { TYPES, painted, range } from "./pixels.js";
import { Multiplanar } from "./planes.js";

// Centre and width in HU, as they are usual in reading rooms.
const PRESETS = [
  [t("Soft tissue"), 40, 400],
  [t("Lung"), -600, 1500],
  [t("Bone"), 480, 2500],
  [t("Brain"), 40, 80],
];

class Viewer {
  constructor(place) {
    const page = document.querySelector("[data-series]");
    this.place = place;
    this.address = `/look/${page.dataset.look}/s/${page.dataset.series}/v/${place.dataset.volume}`;
    this.canvas = place.querySelector("canvas");
    this.readout = place.querySelector(".readout");
    this.origin = place.querySelector(".origin");
    this.turn = 0;
    this.plane = null;
    this.playing = null;
  }

  async open() {
    const answer = await fetch(this.address);
    if (!answer.ok) {
      this.readout.textContent = t("This volume cannot be shown; its file can be saved below.");
      return;
    }
    Object.assign(this, await answer.json());
    this.colour = this.axes.at(-1) === "sample";
    this.spatial = this.axes.length - (this.colour ? 1 : 0);
    this.at = this.axes.slice(0, this.spatial).map((_, axis) => Math.floor(this.shape[axis] / 2));
    for (let axis = 0; axis < this.spatial - 3; axis++) this.at[axis] = 0;
    this.through = Math.max(0, this.spatial - 3); // the axis that slices are taken along
    this.controls();
    this.listen();
    await this.show();
  }

  /** The two axes that the plane extends along. */
  flat() {
    const last = [];
    for (let axis = Math.max(0, this.spatial - 3); axis < this.spatial; axis++) if (axis !== this.through || this.spatial < 3) last.push(axis);
    return last.slice(-2);
  }

  controls() {
    const box = this.place.querySelector(".controls");
    const moves = this.spatial > 2;
    if (this.spatial >= 3) {
      const choice = make("select", { "aria-label": t("Planes along") });
      for (let axis = this.spatial - 3; axis < this.spatial; axis++) choice.append(make("option", { value: axis }, this.axes[axis]));
      choice.value = String(this.through);
      choice.addEventListener("change", () => {
        this.through = Number(choice.value);
        this.slider.max = this.shape[this.through] - 1;
        this.slider.value = this.at[this.through];
        this.show();
      });
      box.append(make("label", {}, `${t("Planes along")} `, choice));
    }
    this.slider = make("input", { type: "range", min: 0, max: this.shape[this.through] - 1, "aria-label": t("Plane") });
    this.slider.value = this.at[this.through];
    this.slider.addEventListener("input", () => this.go(this.through, Number(this.slider.value)));
    if (moves) box.append(make("label", {}, `${t("Plane")} `, this.slider));
    for (let axis = 0; axis < this.spatial - 3; axis++) {
      const slider = make("input", { type: "range", min: 0, max: this.shape[axis] - 1, "aria-label": this.axes[axis] });
      slider.value = 0;
      slider.addEventListener("input", () => this.go(axis, Number(slider.value)));
      box.append(make("label", {}, `${this.axes[axis]} `, slider));
    }
    if (this.colour) return;
    this.centre = make("input", { type: "number", step: "any", "aria-label": t("Window centre") });
    this.width = make("input", { type: "number", step: "any", min: 0, "aria-label": t("Window width") });
    for (const field of [this.centre, this.width]) field.addEventListener("input", () => this.draw());
    box.append(make("label", {}, `${t("Centre")} `, this.centre), make("label", {}, `${t("Width")} `, this.width));
    const presets = [[t("Range of the plane"), null, null]];
    if (this.window) presets.unshift([t("As the header says"), ...this.window]);
    if (this.notes.Modality === "CT") presets.push(...PRESETS);
    for (const [name, centre, width] of presets) {
      const button = make("button", { type: "button" }, name);
      button.addEventListener("click", () => this.set(centre, width));
      box.append(button);
    }
    if (moves) {
      const cine = make("button", { type: "button", "aria-pressed": "false" }, t("Play"));
      cine.addEventListener("click", () => this.play(cine));
      box.append(cine);
    }
    if (this.spatial >= 3) this.across(box);
  }

  /** A button for three planes at right angles. */
  across(box) {
    const button = make("button", { type: "button", "aria-pressed": "false", class: "across" }, t("Three planes"));
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(on));
      this.place.querySelector(".stage").hidden = on;
      this.planes ||= new Multiplanar(this);
      this.planes.turn(on);
      if (!on) this.show();
    });
    box.append(button);
  }

  listen() {
    this.canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.step(Math.sign(event.deltaY));
    }, { passive: false });
    this.canvas.addEventListener("keydown", (event) => {
      const steps = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -1e9, End: 1e9 };
      if (!(event.key in steps)) return;
      event.preventDefault();
      this.step(steps[event.key]);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (event.buttons & 1 && !this.colour && this.plane) {
        const range = Math.max(1e-6, Number(this.width.value));
        this.set(Number(this.centre.value) - (event.movementY * range) / 300, Math.max(range * (1 + event.movementX / 200), 1e-6));
      }
      this.read(event);
    });
    this.canvas.addEventListener("pointerleave", () => (this.readout.textContent = this.where()));
    this.canvas.addEventListener("pointerdown", (event) => this.canvas.setPointerCapture(event.pointerId));
  }

  step(by) {
    const place = Math.min(this.shape[this.through] - 1, Math.max(0, this.at[this.through] + by));
    if (this.spatial > 2 && place !== this.at[this.through]) this.go(this.through, place);
  }

  go(axis, place) {
    this.at[axis] = place;
    if (axis === this.through) this.slider.value = place;
    if (this.planes && this.planes.on) return this.planes.show();
    return this.show();
  }

  play(button) {
    const on = this.playing === null;
    button.setAttribute("aria-pressed", String(on));
    if (!on) {
      clearTimeout(this.playing);
      this.playing = null;
      return;
    }
    const next = async () => {
      await this.go(this.through, (this.at[this.through] + 1) % this.shape[this.through]);
      if (this.playing !== null) this.playing = setTimeout(next, 66);
    };
    this.playing = setTimeout(next, 66);
  }

  /** Fetch the plane; of several wishes in a row the last one counts, and one request is on its way at a time. */
  async show() {
    this.turn += 1;
    if (this.busy) return;
    this.busy = true;
    try {
      let mine;
      do {
        mine = this.turn;
        const flat = this.flat();
        const index = this.at.map((place, axis) => (flat.includes(axis) ? "-" : place)).join(",");
        const answer = await fetch(`${this.address}/plane?at=${index}`);
        if (!answer.ok) {
          this.readout.textContent = t("This plane cannot be shown.");
          return;
        }
        const kind = TYPES[answer.headers.get("x-type")];
        const [rows, columns] = answer.headers.get("x-shape").split(",").map(Number);
        this.plane = { values: new kind(await answer.arrayBuffer()), rows, columns: columns || 1, flat };
      } while (mine !== this.turn);
    } finally {
      this.busy = false;
    }
    if (!this.colour && this.centre.value === "") {
      if (this.window) this.set(...this.window);
      else this.set(null, null);
    }
    this.draw();
    this.readout.textContent = this.where();
    this.tell();
  }

  set(centre, width) {
    if (centre === null && this.planes && this.planes.on) {
      const all = this.planes.range();
      if (!all) return;
      [centre, width] = all;
    }
    if (centre === null) {
      const [low, high] = range(this.plane.values);
      [centre, width] = [(low + high) / 2, Math.max(high - low, 1e-6)];
    }
    this.centre.value = String(Number(centre.toPrecision(6)));
    this.width.value = String(Number(width.toPrecision(6)));
    this.draw();
  }

  draw() {
    if (this.planes && this.planes.on) this.planes.draw();
    if (!this.plane) return;
    const { values, rows, columns, flat } = this.plane;
    const samples = values.length / (rows * columns);
    const window = this.colour ? null : [Number(this.centre.value), Number(this.width.value)];
    const picture = painted(values, rows, columns, samples, window);
    this.canvas.width = columns;
    this.canvas.height = rows;
    this.canvas.getContext("2d").putImageData(picture, 0, 0);
    const [down, right] = flat.map((axis) => this.spacing(axis));
    // A number into a property of CSS: the policy refuses style attributes, not this.
    const ratio = (columns * right) / (rows * down);
    this.canvas.style.aspectRatio = String(ratio);
    this.canvas.style.width = `min(100%, ${75 * ratio}vh)`;
  }

  spacing(axis) {
    const column = axis - (this.spatial - 3);
    if (!this.affine || column < 0) return 1;
    return Math.hypot(this.affine[0][column], this.affine[1][column], this.affine[2][column]) || 1;
  }

  where() {
    const parts = this.at.map((place, axis) => (this.plane && this.plane.flat.includes(axis) ? null : `${this.axes[axis]} ${place + 1}/${this.shape[axis]}`));
    return parts.filter(Boolean).join(", ");
  }

  /** The value under the pointer, and its place in the patient. */
  read(event) {
    if (!this.plane) return;
    const { values, rows, columns, flat } = this.plane;
    const box = this.canvas.getBoundingClientRect();
    const row = Math.floor(((event.clientY - box.top) / box.height) * rows);
    const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
    if (row < 0 || column < 0 || row >= rows || column >= columns) return;
    const samples = values.length / (rows * columns);
    const found = [...values.slice((row * columns + column) * samples, (row * columns + column + 1) * samples)];
    const parts = [this.where(), `${found.map((value) => number(value)).join(" ")}${this.unit()}`];
    const index = [...this.at];
    [index[flat[0]], index[flat[1]]] = [row, column];
    const mm = this.position(index.slice(-3));
    if (mm) parts.push(mm);
    this.readout.textContent = parts.join(" · ");
  }

  unit() {
    const { Modality, values, RescaleType } = this.notes;
    return !this.colour && Modality === "CT" && values === "modality" && (RescaleType || "HU") === "HU" ? " HU" : "";
  }

  /** The place of a voxel in the patient. */
  position(index) {
    if (!this.affine || this.spatial < 3) return "";
    const place = this.affine.slice(0, 3).map((line) => line[0] * index[0] + line[1] * index[1] + line[2] * index[2] + line[3]);
    return `L ${place[0].toFixed(1)}, P ${place[1].toFixed(1)}, S ${place[2].toFixed(1)} mm`;
  }

  /** Which file the plane comes from, when it is one that was acquired; asked for when the viewer rests. */
  tell(acquired = this.through === this.spatial - 3) {
    clearTimeout(this.asking);
    this.origin.textContent = "";
    if (this.spatial < 3 || !acquired) return;
    this.asking = setTimeout(async () => {
      const index = this.at.slice(0, this.spatial - 2).join(",");
      const answer = await fetch(`${this.address}/source?at=${index}`);
      const told = answer.ok ? await answer.json() : {};
      if (told.source) this.origin.textContent = `${told.source} · ${t("frame {n}", { n: told.frame_number })} · ${told.SOPInstanceUID}`;
    }, 200);
  }
}

for (const place of document.querySelectorAll("[data-volume]")) new Viewer(place).open();
