// The text of a template or of rules: what is wrong with it is told while it is written.

import { make, post } from "./base.js";

const text = document.getElementById("text");
const problems = document.getElementById("problems");
let timer = null;
let turn = 0;

async function ask() {
  const mine = ++turn;
  let told;
  try {
    told = await post("/templates/check", { file: text.dataset.file, text: text.value });
  } catch (error) {
    told = { problems: [String(error.message)], warnings: [] };
  }
  if (mine !== turn) return;
  const list = (kind, lines) => make("ul", { class: kind }, ...lines.map((line) => make("li", {}, line)));
  problems.replaceChildren();
  if (told.problems.length) problems.append(list("problem", told.problems));
  else problems.append(make("p", { class: "good" }, problems.dataset.ok));
  if (told.warnings.length) problems.append(list("warning", told.warnings));
  text.setAttribute("aria-invalid", told.problems.length ? "true" : "false");
}

text.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(ask, 300);
});
