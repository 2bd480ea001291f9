// How strong the ink is at each pixel of a grey picture, in any light: ink.py once more.
//
// A digit must come out of both with the same pixels: whoever changes a step here changes it there. A picture
// {v, w, h} has its values row by row, in float32; a mask, in bytes that are 0 or 1.

const {fround} = Math, round = x => Math.floor(x + 0.5), clamp = (x, low, high) => Math.min(Math.max(x, low), high);

function each(v, change) {  // several times as fast as v.map
  const changed = new v.constructor(v.length);
  for (let i = 0; i < v.length; i++) changed[i] = change(v[i], i);
  return changed;
}

function largest(v) {
  let most = -Infinity;
  for (let i = 0; i < v.length; i++) if (v[i] > most) most = v[i];
  return most;
}

function sum(v) {
  let total = 0;
  for (let i = 0; i < v.length; i++) total += v[i];
  return total;
}

/** Do something to all rows, which then are so wide, and to all columns. */
const along = (picture, [width, height], change) =>
  alongRows(alongRows(picture, width, (line, changed) => change(line, changed, 0)), height,
    (line, changed) => change(line, changed, 1));

function alongRows({v, w, h}, width, change) {  // and turn the result: its rows become columns
  const changed = new v.constructor(width), turned = new v.constructor(width * h);
  for (let y = 0; y < h; y++) {
    change(v.subarray(y * w, (y + 1) * w), changed);
    for (let x = 0, i = y; x < width; x++, i += h) turned[i] = changed[x];
  }
  return {v: turned, w: h, h: width};
}

function percentile(sorted, percent) {  // in float32, as numpy.percentile
  const at = (sorted.length - 1) * (percent / 100), i = Math.floor(at), share = at - i;
  const low = sorted[i], high = sorted[i + 1] ?? low, gap = fround(high - low);
  return fround(share < 0.5 ? low + fround(gap * fround(share)) : high - fround(gap * fround(1 - share)));
}

/** Average areas of a box, as Pillow does: the pixels whose centres lie within. */
const shrink = (picture, box, size) => along(picture, size, (line, averages, axis) => {
  const [from, to] = [fround(box[axis]), fround(box[axis + 2])], scale = fround(to - from) / averages.length;
  const wide = Math.max(scale, 1);
  for (let i = 0; i < averages.length; i++) {
    const centre = from + (i + 0.5) * scale, isOutside = x => Math.abs((x - centre + 0.5) * (1 / wide)) > 0.5;
    let first = Math.max(0, Math.floor(centre - wide / 2 + 0.5)), total = 0;
    let end = Math.min(line.length, Math.floor(centre + wide / 2 + 0.5));
    while (isOutside(first) && first < end - 1) first++;
    while (isOutside(end - 1) && end > first + 1) end--;
    const share = 1 / (end - first);  // and not divided at the end, which would round otherwise
    for (let x = first; x < end; x++) total += line[x] * share;
    averages[i] = total;
  }
});

function shrinkBox(picture, box) {  // to the size in which ink is looked for
  const sides = [box[2] - box[0], box[3] - box[1]], longer = Math.max(...sides);
  const size = sides.map(side => Math.max(1, round(side * (clamp(longer, 128, 192) / longer))));
  const isWhole = sides[0] === picture.w && sides[1] === picture.h;
  return isWhole && longer === clamp(longer, 128, 192) ? picture : shrink(picture, box, size);
}

/** Take away strokes darker than what is around them: with the brightest on either side, the darker of the two.
 *  If there is a margin, so much of the picture is mirrored at its edges, and is around, too. */
const estimateBackground = (picture, margin = 0) => along(picture, [picture.w, picture.h], (line, filled) => {
  let most = margin ? largest(line.subarray(0, margin)) : -Infinity;
  for (let i = 0; i < line.length; i++) {
    if (line[i] > most) most = line[i];
    filled[i] = most;
  }
  most = margin ? largest(line.subarray(-margin)) : -Infinity;
  for (let i = line.length - 1; i >= 0; i--) {
    if (line[i] > most) most = line[i];
    if (filled[i] > most) filled[i] = most;
  }
});

/** How much darker than the background each pixel is; grain moves the background, and the median, or
 *  a lower percentile if much is ink, says how far. */
function estimateInk({v, w, h}, background) {
  const sample = each(new Float32Array(Math.ceil(v.length / 11)), (_, i) => background.v[11 * i] - v[11 * i]).sort();
  const [lowest, low, quartile, median] = [1, 5, 25, 50].map(percent => percentile(sample, percent));
  const centre = quartile > low + 16 * (low - lowest) + 8 ? low
    : median > quartile + 2 * (quartile - low) + 2 ? quartile : median;
  const ink = new Float32Array(v.length);
  for (let i = 0; i < v.length; i++) ink[i] = fround(background.v[i] - v[i]) - centre;
  return {v: ink, w, h};
}

/** The sum of the squared differences between neighbours: of two guesses at the background, the smoother is right. */
function roughness({v, w, h}) {
  let squares = 0;
  for (let y = 0, i = 0; y < h; y++)
    for (let x = 0; x < w; x++, i++) {
      if (x) squares += (v[i] - v[i - 1]) ** 2;
      if (y) squares += (v[i] - v[i - w]) ** 2;
    }
  return squares;
}

/** The mean of three neighbours, beyond the edge, too. */
const blur = picture => along(picture, [picture.w + 2, picture.h + 2], (line, means) => {
  for (let i = 0, first = 0, second = 0; i < means.length; i++) {
    const third = i < line.length ? line[i] : 0;
    means[i] = fround(fround(first + second) + third) / 3;
    [first, second] = [second, third];
  }
});
