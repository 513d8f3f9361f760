// Three planes of a volume at right angles, with a crosshair: the acquired one, and two across the slices.
//
// A plane across opens every slice, so it comes in pieces: every 64th slice first, then those between. What is not there yet
// is drawn as the slice before it.

import { make, number, t } from "./base.js";
import { TYPES, painted, range } from "./pixels.js";

const COARSE = 64;
const NAMES = [t("sagittal"), t("coronal"), t("axial")];
// Letters of the patient's directions along x, y, z of LPS, towards smaller and larger values.
const LETTERS = ["RL", "AP", "IS"];
// How planes are looked at: along which direction of the patient the picture goes to the right, and down.
const LOOK = [
  [[1, 1], [2, -1]], // sagittal: to the back; to the feet
  [[0, 1], [2, -1]], // coronal: to the left of the patient; to the feet
  [[0, 1], [1, 1]], // axial: to the left of the patient; to the back
];

export class Multiplanar {
  constructor(viewer) {
    this.viewer = viewer;
    this.on = false;
    this.first = viewer.spatial - 3; // the axis of the slices
    this.here = null; // the leading indices and the place that the pictures are of
    this.wanted = 0;
    this.views = [0, 1, 2].map((axis) => new View(this, axis));
    this.progress = make("progress", { max: 1, value: 0, "aria-label": t("Slices that were read") });
    this.progress.hidden = true;
    this.status = make("span", { role: "status" });
    this.detail = make("select", { "aria-label": t("Slices that are read") });
    for (const step of [1, 2, 4, 8]) {
      if (step === 1 || step < viewer.shape[this.first]) this.detail.append(make("option", { value: step }, step === 1 ? t("all") : t("every {n}th", { n: step })));
    }
    this.detail.addEventListener("change", () => this.show(true));
    this.help = make("p", { class: "help" }, t("Click or drag: the crosshair. Arrow keys: the crosshair by one, with Shift by ten. Page keys, wheel: through the planes."));
    this.box = make(
      "div",
      { class: "planes" },
      make("div", { class: "grid" }, ...this.views.map((view) => view.box)),
      make("p", {}, make("label", {}, `${t("Slices that are read")} `, this.detail), " ", this.progress, " ", this.status),
      this.help,
    );
    viewer.place.querySelector(".stage").after(this.box);
  }

  turn(on) {
    this.on = on;
    this.box.hidden = !on;
    this.halt();
    if (on) this.show(true);
  }

  get place() {
    return this.viewer.at.slice(this.first);
  }

  halt() {
    this.wanted += 1;
    clearTimeout(this.waiting);
    if (this.abort) this.abort.abort();
    this.progress.hidden = true;
  }

  /** Show the place where the viewer is: what changed is fetched. */
  async show(anew = false) {
    const now = [...this.viewer.at];
    const before = anew ? null : this.here;
    const moved = now.map((place, axis) => before === null || before[axis] !== place);
    this.here = now;
    for (const view of this.views) view.cross();
    this.tell();
    const leading = moved.slice(0, this.first).some(Boolean);
    const [slice, row, column] = moved.slice(this.first);
    if (slice || leading) this.acquired();
    // Lines along the row make the plane of slices and columns, and the other way.
    const across = [null, leading || row, leading || column];
    for (const axis of [1, 2]) if (across[axis]) this.views[axis].stale = true;
    if (this.views[1].stale || this.views[2].stale) {
      this.halt();
      this.waiting = setTimeout(() => this.read(this.wanted), 60);
    }
  }

  /** The acquired plane; of several wishes in a row the last one counts. */
  async acquired() {
    if (this.busy) {
      this.again = true;
      return;
    }
    this.busy = true;
    try {
      do {
        this.again = false;
        const index = [...this.viewer.at.slice(0, this.first + 1), "-", "-"].join(",");
        const answer = await fetch(`${this.viewer.address}/plane?at=${index}`);
        if (!answer.ok) return;
        const kind = TYPES[answer.headers.get("x-type")];
        this.views[0].take(new kind(await answer.arrayBuffer()));
      } while (this.again);
    } finally {
      this.busy = false;
    }
    this.viewer.centre && this.viewer.centre.value === "" && this.viewer.set(...(this.viewer.window || [null, null]));
    this.views[0].draw();
    this.tell();
    this.viewer.tell(true);
  }

  /** The planes across, from coarse to fine. */
  async read(mine) {
    const { address, shape } = this.viewer;
    const count = shape[this.first];
    const finest = Number(this.detail.value);
    const [slice, row, column] = this.place;
    const views = [1, 2].filter((axis) => this.views[axis].stale).map((axis) => this.views[axis]);
    const asked = views.map((view) => (view.axis === 1 ? `row=${row}` : `column=${column}`));
    const before = this.viewer.at.slice(0, this.first).join(",");
    this.abort = new AbortController();
    this.progress.max = Math.ceil(count / finest);
    this.progress.value = 0;
    this.progress.hidden = false;
    const began = performance.now();
    let done = 0;
    try {
      for (const [from, step] of passes(count, finest)) {
        for (let first = from; first < count; ) {
          const answer = await fetch(`${address}/across?before=${before}&${asked.join("&")}&first=${first}&step=${step}`, { signal: this.abort.signal });
          if (mine !== this.wanted) return;
          if (!answer.ok) {
            this.status.textContent = t("This plane cannot be shown.");
            this.progress.hidden = true;
            return;
          }
          const kind = TYPES[answer.headers.get("x-type")];
          const values = new kind(await answer.arrayBuffer());
          if (mine !== this.wanted) return;
          const some = Number(answer.headers.get("x-count"));
          let offset = 0;
          for (const view of views) {
            const length = view.line();
            // A slice stands for those behind it until they come.
            const reach = from === 0 ? step : step / 2;
            for (let n = 0; n < some; n++) view.put(first + n * step, Math.max(reach, finest), values.subarray(offset + n * length, offset + (n + 1) * length));
            offset += some * length;
          }
          first += some * step;
          done += some;
          this.progress.value = done;
          this.status.textContent = t("{a} of {b} slices", { a: number(done), b: number(this.progress.max) });
          for (const view of views) view.draw();
        }
      }
    } catch (error) {
      if (error.name !== "AbortError") this.status.textContent = t("This plane cannot be shown.");
      return;
    }
    for (const view of views) view.stale = false;
    this.progress.hidden = true;
    this.status.textContent = t("{a} of {b} slices, {c} s", { a: number(done), b: number(count), c: ((performance.now() - began) / 1000).toFixed(1) });
    this.box.dataset.done = String(Number(this.box.dataset.done || 0) + 1);
  }

  move(changes) {
    const { at, shape } = this.viewer;
    for (const [axis, place] of changes) at[this.first + axis] = Math.min(shape[this.first + axis] - 1, Math.max(0, place));
    this.viewer.slider.value = at[this.viewer.through];
    this.show();
  }

  /** The window that all of the acquired plane is in; null before it is here. */
  range() {
    const { plane } = this.viewer;
    const values = this.views[0].values || (plane && plane.values);
    if (!values) return null;
    const [low, high] = range(values);
    return [(low + high) / 2, Math.max(high - low, 1e-6)];
  }

  draw() {
    for (const view of this.views) view.draw();
  }

  /** Value and place of the crosshair. */
  tell() {
    const [slice, row, column] = this.place;
    const parts = [`${this.viewer.axes.slice(this.first, this.first + 3).map((name, axis) => `${name} ${this.place[axis] + 1}/${this.viewer.shape[this.first + axis]}`).join(", ")}`];
    const view = this.views[0];
    if (view.values && view.of === slice) {
      const place = (row * view.across[1] + column) * view.samples;
      const unit = this.viewer.unit();
      parts.push(`${[...view.values.slice(place, place + view.samples)].map((value) => number(value)).join(" ")}${unit}`);
    }
    const mm = this.viewer.position([slice, row, column]);
    if (mm) parts.push(mm);
    this.viewer.readout.textContent = parts.join(" · ");
  }
}

/** (first, step) of the passes over the slices: every 64th, then the middles, down to the finest step. */
export function* passes(count, finest) {
  let step = Math.max(finest, COARSE);
  while (step > finest && step >= count) step /= 2;
  yield [0, step];
  for (; step > finest; step /= 2) yield [step / 2, step];
}

class View {
  /** `axis`: the axis that is looked along; 0 is that of the slices. */
  constructor(planes, axis) {
    this.planes = planes;
    this.axis = axis;
    this.axes = [0, 1, 2].filter((one) => one !== axis); // rows and columns of the values
    this.across = this.axes.map((one) => planes.viewer.shape[planes.first + one]);
    this.samples = planes.viewer.colour ? planes.viewer.shape.at(-1) : 1;
    this.values = null;
    this.stale = axis !== 0;
    const found = this.turned();
    this.canvas = make("canvas", { tabindex: 0, role: "img", "aria-label": `${found.name}; ${t("arrow keys move the crosshair")}` });
    this.lines = [make("div", { class: "line down" }), make("div", { class: "line over" })];
    this.stage = make("div", { class: "stage" }, this.canvas, ...this.lines);
    this.box = make("figure", {}, make("figcaption", {}, found.name + found.letters), this.stage);
    this.listen();
  }

  /** How the plane is turned so that it is looked at as usual, its name, and letters of its edges. */
  turned() {
    const { affine, axes } = this.planes.viewer;
    this.swap = false;
    this.flip = [false, false]; // of what goes down, of what goes to the right
    const plain = { name: axes[this.planes.first + this.axis], letters: "" };
    if (!affine) return plain;
    const steps = [0, 1, 2].map((axis) => [0, 1, 2].map((n) => affine[n][axis]));
    const [down, right] = this.axes.map((axis) => steps[axis]);
    const normal = [down[1] * right[2] - down[2] * right[1], down[2] * right[0] - down[0] * right[2], down[0] * right[1] - down[1] * right[0]];
    const size = Math.hypot(...normal);
    if (!(size > 0)) return plain;
    const most = normal.map(Math.abs).indexOf(Math.max(...normal.map(Math.abs)));
    const [toRight, toBottom] = LOOK[most];
    const [x, y] = [toRight[0], toBottom[0]];
    this.swap = Math.abs(down[x]) * Math.abs(right[y]) > Math.abs(right[x]) * Math.abs(down[y]);
    const [vertical, horizontal] = this.swap ? [right, down] : [down, right];
    this.flip = [vertical[y] * toBottom[1] < 0, horizontal[x] * toRight[1] < 0];
    const oblique = Math.abs(normal[most]) / size < 0.98;
    const left = LETTERS[x][toRight[1] > 0 ? 0 : 1] + "-" + LETTERS[x][toRight[1] > 0 ? 1 : 0];
    const top = LETTERS[y][toBottom[1] > 0 ? 0 : 1] + "-" + LETTERS[y][toBottom[1] > 0 ? 1 : 0];
    return { name: NAMES[most] + (oblique ? ` (${t("oblique")})` : ""), letters: ` · ${left} · ${top}` };
  }

  /** Extents of the picture: rows, columns. */
  get extents() {
    return this.swap ? [this.across[1], this.across[0]] : this.across;
  }

  take(values) {
    this.values = values;
    this.of = this.planes.place[0];
  }

  /** Values of a line of one slice. */
  line() {
    return this.across[1] * this.samples;
  }

  /** A line of slice `number`, which stands for `reach` slices until others come. */
  put(place, reach, line) {
    const length = this.line();
    if (!this.values) this.values = new line.constructor(this.across[0] * length);
    const end = Math.min(this.across[0], place + reach);
    for (let n = place; n < end; n++) this.values.set(line, n * length);
  }

  draw() {
    const { viewer } = this.planes;
    if (!this.values) return;
    const window = viewer.colour ? null : [Number(viewer.centre.value), Number(viewer.width.value)];
    const [rows, columns] = this.extents;
    const [flipDown, flipRight] = this.flip;
    const inner = this.across[1];
    const index = (n) => {
      let row = Math.floor(n / columns);
      let column = n - row * columns;
      if (flipDown) row = rows - 1 - row;
      if (flipRight) column = columns - 1 - column;
      return this.swap ? column * inner + row : row * inner + column;
    };
    this.canvas.width = columns;
    this.canvas.height = rows;
    this.canvas.getContext("2d").putImageData(painted(this.values, rows, columns, this.samples, window, index), 0, 0);
    const spacing = this.axes.map((axis) => viewer.spacing(this.planes.first + axis));
    const [down, right] = this.swap ? [spacing[1], spacing[0]] : spacing;
    const ratio = (columns * right) / (rows * down);
    this.canvas.style.aspectRatio = String(ratio);
    this.stage.style.width = `min(100%, ${60 * ratio}vh)`;
    this.cross();
  }

  /** Where the crosshair is in the picture: shares of its height and width. */
  cross() {
    const place = this.axes.map((axis) => (this.planes.place[axis] + 0.5) / this.planes.viewer.shape[this.planes.first + axis]);
    let [down, right] = this.swap ? [place[1], place[0]] : place;
    if (this.flip[0]) down = 1 - down;
    if (this.flip[1]) right = 1 - right;
    this.lines[0].style.left = `${100 * right}%`;
    this.lines[1].style.top = `${100 * down}%`;
  }

  /** Changes of the place for a step in the picture. */
  steps(down, right) {
    if (this.flip[0]) down = -down;
    if (this.flip[1]) right = -right;
    const [first, second] = this.swap ? [right, down] : [down, right];
    const { place } = this.planes;
    return [[this.axes[0], place[this.axes[0]] + first], [this.axes[1], place[this.axes[1]] + second]];
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    let down = (event.clientY - box.top) / box.height;
    let right = (event.clientX - box.left) / box.width;
    if (this.flip[0]) down = 1 - down;
    if (this.flip[1]) right = 1 - right;
    const shares = this.swap ? [right, down] : [down, right];
    return this.axes.map((axis, n) => [axis, Math.floor(shares[n] * this.across[n])]);
  }

  listen() {
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      this.planes.move(this.at(event));
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (event.buttons & 1) this.planes.move(this.at(event));
    });
    this.canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.planes.move([[this.axis, this.planes.place[this.axis] + Math.sign(event.deltaY)]]);
    }, { passive: false });
    this.canvas.addEventListener("keydown", (event) => {
      const far = event.shiftKey ? 10 : 1;
      const steps = { ArrowUp: [-far, 0], ArrowDown: [far, 0], ArrowLeft: [0, -far], ArrowRight: [0, far] };
      const through = { PageUp: -1, PageDown: 1 };
      if (event.key in steps) this.planes.move(this.steps(...steps[event.key]));
      else if (event.key in through) this.planes.move([[this.axis, this.planes.place[this.axis] + through[event.key]]]);
      else return;
      event.preventDefault();
    });
  }
}
