// Planes of a volume, one at a time: values come from the server as they are, the window is applied here.

import { make, number, t } from "./base.js";

const TYPES = { u1: Uint8Array, i1: Int8Array, u2: Uint16Array, i2: Int16Array, u4: Uint32Array, i4: Int32Array, f4: Float32Array, f8: Float64Array };
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
    if (centre === null) {
      let low = Infinity;
      let high = -Infinity;
      for (const value of this.plane.values) {
        if (value < low) low = value;
        if (value > high) high = value;
      }
      if (!(low <= high)) [low, high] = [0, 1];
      [centre, width] = [(low + high) / 2, Math.max(high - low, 1e-6)];
    }
    this.centre.value = String(Number(centre.toPrecision(6)));
    this.width.value = String(Number(width.toPrecision(6)));
    this.draw();
  }

  draw() {
    if (!this.plane) return;
    const { values, rows, columns, flat } = this.plane;
    const picture = new ImageData(columns, rows);
    const pixels = picture.data;
    if (this.colour) {
      const samples = values.length / (rows * columns);
      for (let n = 0; n < rows * columns; n++) {
        for (let s = 0; s < 3; s++) pixels[4 * n + s] = values[n * samples + Math.min(s, samples - 1)];
        pixels[4 * n + 3] = 255;
      }
    } else {
      const low = Number(this.centre.value) - Number(this.width.value) / 2;
      const scale = 255 / Math.max(Number(this.width.value), 1e-9);
      for (let n = 0; n < values.length; n++) {
        const grey = (values[n] - low) * scale;
        pixels[4 * n] = pixels[4 * n + 1] = pixels[4 * n + 2] = grey; // clamped and rounded by its type
        pixels[4 * n + 3] = 255;
      }
    }
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
    const unit = !this.colour && this.notes.Modality === "CT" && this.notes.values === "modality" && (this.notes.RescaleType || "HU") === "HU" ? " HU" : "";
    const parts = [this.where(), `${found.map((value) => number(value)).join(" ")}${unit}`];
    if (this.affine && this.spatial >= 3) {
      const index = [...this.at];
      [index[flat[0]], index[flat[1]]] = [row, column];
      const last = index.slice(-3);
      const place = this.affine.slice(0, 3).map((line) => line[0] * last[0] + line[1] * last[1] + line[2] * last[2] + line[3]);
      parts.push(`L ${place[0].toFixed(1)}, P ${place[1].toFixed(1)}, S ${place[2].toFixed(1)} mm`);
    }
    this.readout.textContent = parts.join(" · ");
  }

  /** Which file the plane comes from, when it is one that was acquired; asked for when the viewer rests. */
  tell() {
    clearTimeout(this.asking);
    this.origin.textContent = "";
    if (this.spatial < 3 || this.through !== this.spatial - 3) return;
    this.asking = setTimeout(async () => {
      const index = this.at.slice(0, this.spatial - 2).join(",");
      const answer = await fetch(`${this.address}/source?at=${index}`);
      const told = answer.ok ? await answer.json() : {};
      if (told.source) this.origin.textContent = `${told.source} · ${t("frame {n}", { n: told.frame_number })} · ${told.SOPInstanceUID}`;
    }, 200);
  }
}

for (const place of document.querySelectorAll("[data-volume]")) new Viewer(place).open();
