// What all pages share: translated texts, numbers as people read them, requests.

const texts = JSON.parse(document.body.dataset.texts || "{}");
const language = document.documentElement.lang;

/** A text in the language of the page, with its values put in. */
export function t(text, values = {}) {
  return (texts[text] || text).replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
}

export function number(value) {
  return new Intl.NumberFormat(language).format(value);
}

export function size(bytes) {
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (bytes < 1000) return `${bytes.toFixed(unit === "B" ? 0 : 1)} ${unit}`;
    bytes /= 1000;
  }
  return `${bytes.toFixed(1)} TB`;
}

export function duration(seconds) {
  if (seconds >= 7200) return t("{n} h", { n: Math.round(seconds / 3600) });
  if (seconds >= 120) return t("{n} min", { n: Math.round(seconds / 60) });
  return t("{n} s", { n: Math.max(1, Math.round(seconds)) });
}

/** POST an object, and give the object that is answered. */
export async function post(place, given) {
  const answer = await fetch(place, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(given),
  });
  if (!answer.ok) throw new Error(`${answer.status}`);
  return answer.json();
}

/** An element with attributes and children; texts stay texts. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}
