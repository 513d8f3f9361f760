// NiiVue of the package ipyniivue, which is a widget of notebooks: here its model is a plain object without a notebook.

import { number, t } from "./base.js";

const place = document.querySelector(".niivue");
const state = document.getElementById("state");

/** What the widget takes for its Python side: values, and who wants to know of changes. */
class Model {
  constructor(values, told = () => {}) {
    this.values = values;
    this.listeners = new Map();
    this.told = told;
    this.widget_manager = { get_model: async () => volume };
  }

  get(name) {
    return this.values[name];
  }

  set(name, value) {
    this.values[name] = value;
  }

  change(name, value) {
    this.values[name] = value;
    for (const listener of this.listeners.get(`change:${name}`) || []) listener();
  }

  message(type) {
    for (const listener of this.listeners.get("msg:custom") || []) listener({ type, data: [] }, []);
  }

  save_changes() {}

  onChange() {}

  on(name, listener) {
    this.listeners.set(name, [...(this.listeners.get(name) || []), listener]);
  }

  off(name, listener) {
    this.listeners.set(name, listener ? (this.listeners.get(name) || []).filter((one) => one !== listener) : []);
  }

  send(message) {
    this.told(message);
  }
}

const volume = new Model({
  id: "volume",
  name: place.dataset.name,
  url: new URL(place.dataset.volume, location.href).href,
  path: {},
  data: null,
  paired_img_path: {},
  paired_img_url: "",
  paired_img_data: null,
  colormap: "gray",
  opacity: 1,
  cal_min: null,
  cal_max: null,
  cal_min_neg: null,
  cal_max_neg: null,
  colormap_negative: "",
  colormap_invert: false,
  colormap_label: null,
  colormap_type: 0,
  colorbar_visible: true,
  frame_4d: 0,
  modulation_image: null,
  modulate_alpha: 0,
});
const opts = { sliceType: 3, show3Dcrosshair: true, multiplanarShowRender: 1, isResizeCanvas: true, isRadiologicalConvention: true, sagittalNoseLeft: true, logLevel: "silent", dragAndDropEnabled: false };
const widget = new Model(
  { opts, volumes: ["IPY_MODEL_volume"], meshes: [], height: Math.max(320, Math.round(innerHeight * 0.7)), background_masks_overlays: false, draw_lut: null, draw_opacity: 0.8, draw_fill_overwrites: true, graph: null, scene: null, overlay_outline_width: 0, overlay_alpha_shader: 1, this_model_id: "" },
  (message) => {
    if (message.event !== "location_change") return;
    const { mm, values } = message.data;
    const value = values && values[0] ? number(values[0].value) : "";
    // NiiVue counts to the right, front and head (RAS).
    state.textContent = `${value} · L ${(-mm[0]).toFixed(1)}, P ${(-mm[1]).toFixed(1)}, S ${mm[2].toFixed(1)} mm`;
  },
);

const low = document.getElementById("low");
const high = document.getElementById("high");

async function load() {
  state.textContent = t("Loading the volume");
  try {
    const { default: niivue } = await import("/niivue.js");
    await niivue.initialize({ model: widget });
    await niivue.render({ model: widget, el: document.getElementById("box") });
  } catch (error) {
    state.textContent = t("NiiVue cannot show this volume here ({a}).", { a: error.message });
    return;
  }
  const canvas = document.querySelector("#box canvas");
  canvas.tabIndex = 0;
  low.value = String(Number(Number(volume.get("cal_min")).toPrecision(6)));
  high.value = String(Number(Number(volume.get("cal_max")).toPrecision(6)));
  state.textContent = t("The volume is loaded.");
  place.dataset.loaded = "yes";
}

document.getElementById("look").addEventListener("change", (event) => {
  widget.change("opts", { ...opts, sliceType: Number(event.target.value) });
  widget.message("draw_scene");
});
document.getElementById("colours").addEventListener("change", (event) => volume.change("colormap", event.target.value));
for (const [field, name] of [[low, "cal_min"], [high, "cal_max"]]) field.addEventListener("change", () => volume.change(name, Number(field.value)));

const button = document.getElementById("load");
if (button) button.addEventListener("click", () => load());
else load();
