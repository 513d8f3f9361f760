// Form and YAML, both ways: the server changes one key of the text, or reads what the text says.

import { make, post } from "./base.js";

const place = document.querySelector("[data-edit]");
const job = place.dataset.edit;
const yaml = document.getElementById("yaml");
const problems = document.getElementById("problems");
let timer = null;
let turn = 0;

function show(told, mine) {
  if (mine !== turn) return;
  if (told.yaml !== yaml.value) yaml.value = told.yaml;
  problems.replaceChildren();
  if (told.problems.length) {
    problems.append(make("ul", { class: "problem" }, ...told.problems.map((line) => make("li", {}, line))));
  } else problems.append(make("p", { class: "good" }, problems.dataset.ok));
  for (const field of place.querySelectorAll("[data-path]")) {
    const path = field.dataset.path;
    const wrong = told.problems.some((line) => line.includes(`${path} `) || line.includes(`${path}:`));
    field.setAttribute("aria-invalid", wrong ? "true" : "false");
    if (told.values && field !== document.activeElement) field.value = told.values[path] ?? "";
  }
  if (told.values) {
    for (const box of place.querySelectorAll("[data-section]")) box.checked = box.dataset.section in told.values;
  }
}

async function ask(change = {}) {
  const mine = ++turn;
  try {
    show(await post(`/jobs/${job}/check`, { yaml: yaml.value, ...change }), mine);
  } catch (error) {
    problems.replaceChildren(make("p", { class: "problem" }, String(error.message)));
  }
}

yaml.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(ask, 300);
});
place.addEventListener("change", (event) => {
  const field = event.target;
  if (field.dataset.path) ask({ path: field.dataset.path, value: field.value === "" ? null : field.value });
  if (field.dataset.section) ask({ path: field.dataset.section, value: field.checked ? "" : null });
});

const find = document.getElementById("find");
find.addEventListener("input", () => {
  const word = find.value.toLowerCase();
  for (const field of place.querySelectorAll(".field")) {
    field.hidden = !field.dataset.words.toLowerCase().includes(word);
  }
  for (const section of place.querySelectorAll("details.section")) {
    section.hidden = !section.querySelector(".field:not([hidden])");
    if (word && !section.hidden) section.open = true;
  }
});
find.addEventListener("keydown", (event) => {
  if (event.key === "Enter") event.preventDefault();
});

const log = document.getElementById("dry-log");
if (!log.hidden) {
  let next = 0;
  let quiet = 0;
  const again = setInterval(async () => {
    const answer = await fetch(`/jobs/${job}/log/dry?from=${next}`).catch(() => null);
    if (!answer || !answer.ok) return;
    log.append(await answer.text());
    const after = Number(answer.headers.get("x-next"));
    quiet = after > next ? 0 : quiet + 1;
    next = after;
    if (quiet > 600) clearInterval(again);
  }, 1000);
}
