// A rating by a key or a button: k keep, d drop, u unsure; the same again takes it back. p and n go to other series.

import { post } from "./base.js";

const place = document.querySelector("[data-series]");
const group = place.querySelector("[data-rating]");

async function rate(wanted) {
  const rating = group.dataset.rating === wanted ? "" : wanted;
  const told = await post(`/look/${place.dataset.look}/rate`, { series: Number(place.dataset.series), rating });
  group.dataset.rating = told.rating;
  for (const button of group.querySelectorAll("[data-rate]")) {
    button.setAttribute("aria-pressed", String(button.dataset.rate === told.rating));
  }
}

for (const button of group.querySelectorAll("[data-rate]")) button.addEventListener("click", () => rate(button.dataset.rate));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input, select, textarea")) return;
  const wanted = { k: "keep", d: "drop", u: "unsure" }[event.key];
  if (wanted) rate(wanted);
  const link = { p: "before", n: "after" }[event.key];
  if (link) document.getElementById(link)?.click();
});
