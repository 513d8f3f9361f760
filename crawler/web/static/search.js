// Which series are selected, and a list of requests out of a file.

const form = document.getElementById("found");

function selected() {
  const pairs = [...form.querySelectorAll("[data-pair]")].filter((box) => box.checked).map((box) => box.dataset.pair);
  form.elements.series.value = pairs.join(",");
  form.querySelector("button").disabled = pairs.length === 0;
}

if (form) {
  form.addEventListener("change", (event) => {
    const all = event.target;
    if ("all" in all.dataset) {
      for (const box of all.closest("[data-study]").querySelectorAll("[data-pair]")) box.checked = all.checked;
    }
    selected();
  });
}

document.getElementById("list-file")?.addEventListener("change", async (event) => {
  const [file] = event.target.files;
  if (file) document.getElementById("list").value = await file.text();
});
