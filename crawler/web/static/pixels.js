// Values of a plane as the browser reads them, and as a picture.

export const TYPES = { u1: Uint8Array, i1: Int8Array, u2: Uint16Array, i2: Int16Array, u4: Uint32Array, i4: Int32Array, f4: Float32Array, f8: Float64Array };

/** Smallest and greatest value; 0 and 1 where there is none. */
export function range(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : [0, 1];
}

/**
 * A plane as a picture.
 *
 * `index` gives the place of a pixel among the values, so that a picture may be turned; `window` is centre and width, null
 * for colour.
 */
export function painted(values, rows, columns, samples, window, index = null) {
  const picture = new ImageData(columns, rows);
  const pixels = picture.data;
  const low = window ? window[0] - window[1] / 2 : 0;
  const scale = window ? 255 / Math.max(window[1], 1e-9) : 1;
  for (let n = 0; n < rows * columns; n++) {
    const place = index ? index(n) : n;
    if (window) {
      const grey = (values[place] - low) * scale;
      pixels[4 * n] = pixels[4 * n + 1] = pixels[4 * n + 2] = grey; // clamped and rounded by its type
    } else for (let s = 0; s < 3; s++) pixels[4 * n + s] = values[place * samples + Math.min(s, samples - 1)];
    pixels[4 * n + 3] = 255;
  }
  return picture;
}
