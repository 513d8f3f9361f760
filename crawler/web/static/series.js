// The table of series: all rows are here, so that search and filters answer at once; a few hundred are drawn.

import { make, number, t } from "./base.js";

const place = document.querySelector("[data-look]");
const output = place.dataset.look;
const body = place.querySelector("tbody");
const fields = Object.fromEntries(["search", "modality", "verdict", "rating", "quality"].map((id) => [id, document.getElementById(id)]));
const STEP = 40; // rows that are drawn at a time: a few screens
const labels = (field) => Object.fromEntries([...field.options].map((option) => [option.value, option.textContent]));
const chosen = new Set();
const collator = new Intl.Collator(undefined, { numeric: true });
const verdicts = labels(fields.verdict);
const rated = labels(fields.rating);
let columns = {};
let rows = [];
let words = [];
let ratings = {};
let listed = [];
let found = [];
let drawn = 0;
let order = null;
let down = false;

function matches(row, word, text) {
  if (word && !text.includes(word)) return false;
  if (fields.modality.value && row[columns.Modality] !== fields.modality.value) return false;
  if (fields.verdict.value && row[columns.verdict] !== fields.verdict.value) return false;
  const rating = ratings[row[0]] || "none";
  if (fields.rating.value && rating !== fields.rating.value) return false;
  const low = Boolean(row[columns.quality]);
  return !fields.quality.value || (fields.quality.value === "low") === low;
}

function filter() {
  const word = fields.search.value.trim().toLowerCase();
  found = [];
  for (const n of listed) if (matches(rows[n], word, words[n])) found.push(rows[n]);
  document.getElementById("count").textContent = t("{a} of {b} series, {c} selected", {
    a: number(found.length),
    b: number(rows.length),
    c: number(chosen.size),
  });
  body.replaceChildren();
  drawn = 0;
  draw();
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return collator.compare(String(a ?? ""), String(b ?? ""));
}

/** Sort all rows, once for each choice: a key in the search then only leaves rows out. */
function sort() {
  const sign = down ? -1 : 1;
  const keys = rows.map((row) => (order === "rating" ? ratings[row[0]] || "" : row[columns[order]]));
  listed.sort((a, b) => sign * compare(keys[a], keys[b]) || a - b);
}

function draw() {
  for (const row of found.slice(drawn, drawn + STEP)) body.append(line(row));
  drawn = Math.min(found.length, drawn + STEP);
  document.getElementById("more").hidden = drawn >= found.length;
}

function line(row) {
  const [id, name] = row;
  const cell = (column) => make("td", {}, String(row[columns[column]] ?? ""));
  const box = make("input", { type: "checkbox", "aria-label": t("Select {name}", { name }), checked: chosen.has(id) });
  box.addEventListener("change", () => {
    if (box.checked) chosen.add(id);
    else chosen.delete(id);
    selected();
  });
  const link = `/look/${output}/s/${id}`;
  const preview = row[columns.preview];
  const picture = preview
    ? make("a", { href: link }, make("img", { src: `${link}/f/${preview}?show`, alt: name, loading: "lazy", height: 64 }))
    : "";
  const verdict = row[columns.verdict];
  const rating = ratings[id];
  return make(
    "tr",
    {},
    make("td", {}, box),
    make("td", {}, picture),
    cell("Modality"),
    cell("SeriesNumber"),
    make("th", { scope: "row" }, make("a", { href: link }, String(row[columns.SeriesDescription] || name))),
    cell("PatientID"),
    cell("StudyDate"),
    cell("shapes"),
    make("td", {}, verdicts[verdict] || verdict),
    cell("quality"),
    cell("files"),
    cell("failed"),
    make("td", {}, rating ? rated[rating] : ""),
  );
}

function selected() {
  document.getElementById("chosen").value = [...chosen].join(",");
  document.getElementById("take").disabled = chosen.size === 0;
  document.getElementById("count").textContent = t("{a} of {b} series, {c} selected", {
    a: number(found.length),
    b: number(rows.length),
    c: number(chosen.size),
  });
}

async function load() {
  const [table, known] = await Promise.all([
    fetch(`/look/${output}/series.json`).then((answer) => answer.json()),
    fetch(`/look/${output}/ratings.json`).then((answer) => answer.json()),
  ]);
  columns = Object.fromEntries(table.columns.map((name, n) => [name, n]));
  rows = table.rows;
  listed = [...rows.keys()];
  ratings = known;
  words = rows.map((row) => row.slice(1, -1).filter((value) => value !== null).join(" ").toLowerCase());
  for (const name of [...new Set(rows.map((row) => row[columns.Modality]))].filter(Boolean).sort()) {
    fields.modality.append(make("option", { value: name }, name));
  }
  filter();
}

for (const field of Object.values(fields)) field.addEventListener("input", filter);
document.getElementById("more").addEventListener("click", draw);
document.getElementById("all").addEventListener("change", (event) => {
  for (const row of found) {
    if (event.target.checked) chosen.add(row[0]);
    else chosen.delete(row[0]);
  }
  filter();
  selected();
});
for (const head of place.querySelectorAll("th[data-column]")) {
  head.querySelector("button").addEventListener("click", () => {
    down = order === head.dataset.column && !down;
    order = head.dataset.column;
    for (const other of place.querySelectorAll("th[data-column]")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    sort();
    filter();
  });
}
load();
