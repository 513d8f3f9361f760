// States of jobs as they change: one EventSource while the page is seen, and a plain GET where that does not work.

import { duration, number, size, t } from "./base.js";

const page = document.querySelector("[data-page=job]");
const address = page ? `?job=${page.dataset.job}` : "";
let source = null;
let timer = null;
let next = 0;
let wanted = 0;
let reading = false;

function counts(told) {
  const parts = [];
  if (told.wanted !== null) parts.push(t("{a} of {b} instances received", { a: number(told.received), b: number(told.wanted) }));
  if (told.done !== null && told.to_do) {
    parts.push(t("{a} of {b} files", { a: number(told.done), b: number(told.to_do) }));
    parts.push(`${size(told.done_size)} / ${size(told.size)}`);
  } else if (told.to_do) parts.push(t("{a} files found up to now", { a: number(told.to_do) }));
  if (told.failed) parts.push(t("{a} failed", { a: number(told.failed) }));
  if (told.rate) parts.push(t("{a} files/s", { a: number(told.rate) }));
  if (told.left !== null) parts.push(t("{a} left", { a: duration(told.left) }));
  return parts.join(", ");
}

function show(jobs) {
  for (const told of jobs) {
    const place = document.querySelector(`[data-job="${CSS.escape(told.id)}"]`);
    if (!place) continue;
    const fact = (name) => place.querySelector(`[data-fact=${name}]`);
    const label = fact("label");
    if (label.textContent !== told.label) label.textContent = told.label;
    label.className = `state ${told.state}`;
    const bar = fact("percent");
    bar.hidden = told.percent === null;
    bar.value = told.percent || 0;
    fact("counts").textContent = counts(told);
    if (page) {
      fact("stage").textContent = told.stage || "";
      wanted = told.log;
      read();
      if (place.dataset.state !== told.state) {
        const was = place.dataset.state;
        place.dataset.state = told.state;
        if (["running", "stopping", "queued"].includes(was)) location.reload();
      }
    }
  }
}

/** Read the log on from where it was read to; a byte is read once, whatever happens in between. */
async function read() {
  if (reading || next >= wanted) return;
  reading = true;
  const log = document.getElementById("log");
  try {
    for (;;) {
      const answer = await fetch(`/jobs/${page.dataset.job}/log/run?from=${next}`);
      if (!answer.ok) break;
      const text = await answer.text();
      const after = Number(answer.headers.get("x-next"));
      if (after <= next) break;
      next = after;
      log.append(text);
    }
    if (document.getElementById("follow").checked) log.scrollTop = log.scrollHeight;
  } catch {
    // The server is gone for a moment: the next event reads on.
  } finally {
    reading = false;
  }
}

async function ask() {
  try {
    const answer = await fetch(`/jobs.json${address}`);
    if (answer.ok) show(await answer.json());
  } catch {
    // It is asked again.
  }
}

function stop() {
  if (source) source.close();
  source = null;
  clearInterval(timer);
  timer = null;
}

function start() {
  if (source || timer) return;
  source = new EventSource(`/events${address}`);
  source.addEventListener("jobs", (event) => show(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    if (source && source.readyState === EventSource.CLOSED) {
      stop();
      timer = setInterval(ask, 3000);
    }
  });
}

document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));
addEventListener("pagehide", stop);
if (!document.hidden) start();
