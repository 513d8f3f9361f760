"use strict";
// Shows the series of report.html a page at a time: a browser lays out 100 rows at once, 20,000 it does not.
// Texts come from headers and file names, so that they only ever become text nodes and encoded links.
(() => {
  const ROWS = 100;
  const byId = (id) => document.getElementById(id);
  const about = JSON.parse(byId("about").textContent);
  const series = JSON.parse(byId("data").textContent).map(
    ([name, modality, files, columns, rows, planes, spacing, layouts, verdict, grade, reason, failed, skipped,
      previews, volumes, media, medium, title, extent, quality]) => ({
      title, extent, quality, name, modality, files, columns, rows, planes, spacing, layouts, verdict, grade, reason, failed, skipped,
      previews, volumes, media, medium,
      size: (columns || 0) * (rows || 0) * (planes || 0),
      text: `${title} ${name} ${modality} ${verdict} ${reason} ${quality ? "low quality" : ""}`.toLowerCase(),
    }));
  // "s2" before "s10"; sorted once, so that sorting by another column can fall back on it.
  const order = new Intl.Collator("en", { numeric: true });
  series.sort((a, b) => order.compare(a.name, b.name)).forEach((one, place) => { one.place = place; });

  const state = { sort: "name", down: false, page: 0 };
  let shown = series;

  const value = (one) => (state.sort === "name" ? one.place : one[state.sort]);
  const compare = (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === y) return a.place - b.place;
    if (x === null || y === null) return x === null ? 1 : -1; // what is not known stands last, either way
    return (x < y ? -1 : 1) * (state.down ? -1 : 1);
  };

  const choose = () => {
    const words = byId("query").value.toLowerCase().split(/\s+/).filter(Boolean);
    const [modality, verdict, failed] = [byId("modality").value, byId("verdict").value, byId("failed").checked];
    shown = series.filter((one) => (!modality || one.modality === modality) && (!verdict || one.verdict === verdict)
      && (!failed || one.failed > 0) && words.every((word) => one.text.includes(word)));
    shown.sort(compare);
    state.page = 0;
    draw();
  };

  const element = (name, className, text) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text) made.textContent = text;
    return made;
  };
  const cell = (row, className, text, label) => {
    const made = element("td", className, text);
    if (label && text) made.dataset.label = label;
    row.append(made);
    return made;
  };
  const encoded = (name) => name.split("/").map(encodeURIComponent).join("/");
  const link = (root, path, one) => `${about.roots[root]}/${path.replace("*", () => encoded(one.name))}`;
  const anchor = (href, text) => {
    const made = element("a", "", text);
    made.href = href;
    return made;
  };

  const row = (one) => {
    const made = document.createElement("tr");
    const preview = cell(made, "preview");
    if (one.previews.length) {
      const image = element("img");
      image.loading = "lazy";
      image.alt = `Preview of ${one.name}`;
      image.src = link("previews", one.previews[0], one);
      const full = anchor(image.src);
      full.append(image);
      preview.append(full);
    }
    const name = element("th", "name");
    name.scope = "row";
    if (one.title) name.append(element("span", "title", one.title));
    one.name.split("/").forEach((part, place) => { // a long path breaks at its folders
      if (place) name.append("/", document.createElement("wbr"));
      name.append(part);
    });
    if (one.failed) name.append(element("small", "", `${one.failed} of ${one.files} files failed`));
    if (one.skipped) name.append(element("small", "", `${one.skipped} skipped`));
    made.append(name);
    cell(made, "", one.modality, "Modality");
    cell(made, "number", one.files.toLocaleString("en"), "Files");
    const plane = one.columns ? `${one.columns} \u00d7 ${one.rows}` : one.planes ? "several sizes" : "";
    cell(made, "number", one.extent || (one.planes > 1 && plane ? `${plane} \u00d7 ${one.planes}` : plane), "Size");
    cell(made, "number", one.spacing === null ? "" : `${one.spacing} mm`, "Spacing");
    const verdict = cell(made, "");
    verdict.append(element("span", `badge ${one.grade}`, one.verdict));
    if (one.layouts > 1) verdict.append(` ${one.layouts} arrays`);
    if (one.quality) verdict.append(" ", element("span", "badge warn", "low quality"), element("span", "reason", one.quality));
    if (one.reason) verdict.append(element("span", "reason", one.reason));
    const outputs = cell(made, "outputs");
    const listed = one.volumes.slice(0, 6);
    const ending = (path) => (path.match(/(\.nii\.gz|\.[^./]*)$/) || ["file"])[0];
    listed.forEach((path, place) => outputs.append(
      anchor(link("volumes", path, one), `${ending(path)}${one.layouts > 1 ? ` ${place + 1}` : ""}`)));
    if (one.volumes.length > listed.length) outputs.append(`and ${one.volumes.length - listed.length} more `);
    if (one.media) {
      outputs.append(anchor(link("media", one.medium, one), one.media > 1 ? `first of ${one.media} media` : ending(one.medium)));
    }
    one.previews.slice(1, 6).forEach((path, place) => outputs.append(
      anchor(link("previews", path, one), `preview ${place + 2}`)));
    return made;
  };

  const draw = () => {
    const pages = Math.max(1, Math.ceil(shown.length / ROWS));
    const start = state.page * ROWS;
    byId("rows").replaceChildren(...shown.slice(start, start + ROWS).map(row));
    const beyond = about.total > series.length ? ` (of ${about.total.toLocaleString("en")}: see series.csv)` : "";
    byId("found").textContent = `${shown.length.toLocaleString("en")} of ${series.length.toLocaleString("en")} series${beyond}`;
    byId("page").textContent = `Page ${state.page + 1} of ${pages}`;
    byId("back").disabled = state.page === 0;
    byId("on").disabled = state.page + 1 >= pages;
    byId("pages").hidden = pages === 1;
    document.querySelectorAll("th[data-sort]").forEach((head) => {
      if (head.dataset.sort === state.sort) head.setAttribute("aria-sort", state.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  };

  const offer = (id, key) => {
    const counts = new Map();
    series.forEach((one) => counts.set(one[key], (counts.get(one[key]) || 0) + 1));
    [...counts.keys()].filter(Boolean).sort().forEach((name) => {
      const option = element("option", "", `${name} (${counts.get(name).toLocaleString("en")})`);
      option.value = name;
      byId(id).append(option);
    });
  };
  const turn = (step) => {
    state.page += step;
    draw();
    byId("series").scrollIntoView();
  };

  offer("modality", "modality");
  offer("verdict", "verdict");
  byId("failed").closest("label").hidden = !series.some((one) => one.failed);
  byId("controls").addEventListener("input", choose);
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("back").addEventListener("click", () => turn(-1));
  byId("on").addEventListener("click", () => turn(1));
  document.querySelectorAll("th[data-sort] button").forEach((button) => button.addEventListener("click", () => {
    const key = button.parentElement.dataset.sort;
    [state.down, state.sort] = [key === state.sort && !state.down, key];
    choose();
  }));
  choose();
})();
