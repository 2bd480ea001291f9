// How wide the strokes of a pen are, and how to widen them: strokes.py once more.

/** Call with each run of a mask in a column: its first pixel, the one after its last, and its length. */
function eachRun({v, w, h}, call) {
  for (let x = 0; x < w; x++)
    for (let y = 0; y < h; y++) {
      const start = y;
      while (y < h && v[y * w + x]) y++;
      if (y > start) call(start * w + x, y * w + x, y - start);
    }
}

function measureRuns(mask) {  // for each pixel, the length of its run; 0 outside of the mask
  const lengths = nothing(mask);
  eachRun(mask, (start, end, length) => { for (let i = start; i < end; i += mask.w) lengths.v[i] = length; });
  return lengths;
}

/** The mean width of strokes, across or down, whichever is less. */
function measureStrokeWidth(ink) {
  const mask = maskAbove(ink, 0.5);
  const down = measureRuns(mask).v, across = turn(measureRuns(turn(mask))).v;
  const widths = each(down, (width, i) => Math.min(width, across[i]));
  return sum(widths) / sum(mask.v);
}

/** Draw a digit anew with a round brush: each pixel becomes as strong as the strongest one within the radius. */
function widenStrokes(ink, radius) {
  const margin = Math.floor(radius);
  const padded = cut(ink, {left: -margin, top: -margin, right: ink.w + margin, bottom: ink.h + margin});
  const {w, h} = padded, widened = padded.v.slice();
  let maxima = padded.v, halfWidth = 0;  // maxima: of each pixel and so many on its left and on its right
  for (let step = margin; step >= 0; step--) {
    for (; halfWidth < Math.floor(Math.sqrt(radius * radius - step * step)); halfWidth++) {
      const narrower = maxima;
      maxima = each(narrower, (value, i) =>
        Math.max(value, i % w ? narrower[i - 1] : 0, (i + 1) % w ? narrower[i + 1] : 0));
    }
    for (let i = step * w; i < widened.length; i++) {
      widened[i] = Math.max(widened[i], maxima[i - step * w]);
      widened[i - step * w] = Math.max(widened[i - step * w], maxima[i]);
    }
  }
  return {v: widened, w, h};
}
