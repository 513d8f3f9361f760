// Files to the input folder of a job: each streamed from the disk, and gone on with where it was cut off.

import { post, size, t } from "./base.js";

const place = document.querySelector("[data-upload]");

async function send(file, name, job, shown) {
  const start = await post(`/jobs/${job}/input`, { name, size: file.size });
  if (start.done) return true;
  return new Promise((resolve) => {
    const request = new XMLHttpRequest(); // fetch does not tell how much was sent
    request.open("PUT", `/jobs/${job}/input`);
    request.setRequestHeader("x-name", encodeURIComponent(name));
    request.setRequestHeader("x-offset", String(start.offset));
    request.setRequestHeader("x-size", String(file.size));
    request.upload.addEventListener("progress", (event) => shown(start.offset + event.loaded));
    request.addEventListener("load", () => resolve(request.status === 200 && JSON.parse(request.responseText).done));
    request.addEventListener("error", () => resolve(false));
    request.addEventListener("abort", () => resolve(false));
    request.send(file.slice(start.offset));
  });
}

async function take(files) {
  const bar = document.getElementById("sent");
  const line = document.getElementById("sending");
  const total = files.reduce((sum, file) => sum + file.size, 0);
  const leaving = (event) => event.preventDefault();
  addEventListener("beforeunload", leaving);
  bar.hidden = false;
  let done = 0;
  let failed = 0;
  for (const [number, file] of files.entries()) {
    const shown = (sent) => {
      bar.value = total ? (done + sent) / total : 1;
      line.textContent = t("{a} of {b} files, {c} of {d}", { a: number, b: files.length, c: size(done + sent), d: size(total) });
    };
    shown(0);
    let well = false;
    for (let attempt = 0; attempt < 3 && !well; attempt++) {
      well = await send(file, file.webkitRelativePath || file.name, place.dataset.upload, shown).catch(() => false);
    }
    if (!well) failed += 1;
    done += file.size;
  }
  bar.value = 1;
  removeEventListener("beforeunload", leaving);
  line.textContent = failed
    ? t("{a} of {b} files could not be sent: choose them again, and they go on where they were cut off", { a: failed, b: files.length })
    : t("{a} files are here, {b}", { a: files.length, b: size(total) });
}

if (place) {
  for (const name of ["files", "folder"]) {
    document.getElementById(name).addEventListener("change", (event) => take([...event.target.files]));
  }
}
