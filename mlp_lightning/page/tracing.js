// Straight lines in a mask of ink, nearly horizontal or vertical, from side to side: tracing.py once more.

/** Horizontal lines and vertical ones. Each of three passes finds what was hidden by the lines of the one before. */
function traceLines(mask, ink, minCoverage) {
  const maxWidth = Math.min(0.1 * Math.max(mask.w, mask.h), 0.25 * Math.min(mask.w, mask.h));
  let across = nothing(mask), down = nothing(mask), rest = mask;
  for (let pass = 0; pass < 3; pass++) {
    const flat = traceHorizontalLines(rest, () => ink, maxWidth, minCoverage);
    const upright = turn(traceHorizontalLines(turn(rest), () => turn(ink), maxWidth, minCoverage));
    if (!isAny(flat) && !isAny(upright)) break;
    [across, down] = [join(across, flat), join(down, upright)];
    rest = without(without(rest, flat), upright);
  }
  return [across, down];
}

/** Lines that cross a mask from left to right: the runs on their course that are about as high as most are. */
function traceHorizontalLines(mask, getInk, maxWidth, minCoverage) {
  const {w} = mask, lines = nothing(mask), lengths = nothing(mask).v, thin = nothing(mask);
  if (countColumns(mask) < minCoverage * 0.6 * w) return lines;  // too few have ink
  eachRun(mask, (start, end, length) => {
    for (let i = start; i < end; i += w) { lengths[i] = length; thin.v[i] = length <= maxWidth ? 1 : 0; }
  });
  const courses = findCourses(mask, thin, minCoverage);
  if (!isAny(courses)) return lines;
  const onCourse = each(thin.v, (is, i) => is && courses.v[i]);
  if (!onCourse.includes(1)) return lines;
  const width = percentile(lengths.filter((_, i) => onCourse[i]).sort(), 50), away = (round(width) + 3) * w;
  const ink = getInk();
  const beside = ink.v.filter((_, i) => (onCourse[i - away] || onCourse[i + away]) && !courses.v[i]).sort();
  const strength = percentile(ink.v.filter((_, i) => onCourse[i]).sort(), 50);
  if (beside.length && percentile(beside, 50) > 0.5 * strength) return lines;
  eachRun(mask, (start, end, length) => {
    if (length > 2 * width + 1) return;
    let belongs = false;
    for (let i = start; i < end; i += w) belongs ||= onCourse[i] > 0;
    if (belongs) for (let i = start; i < end; i += w) lines.v[i] = 1;
  });
  return lines;
}

function countColumns({v, w}) {  // those that have ink
  const inked = new Uint8Array(w);
  for (let i = 0, x = 0; i < v.length; i++, x = x + 1 < w ? x + 1 : 0) if (v[i]) inked[x] = 1;
  return sum(inked);
}

/** Where straight lines run from the left side to the right: a Hough transform, at half the resolution and in pairs
 *  of rows. */
function findCourses(mask, thin, minCoverage) {
  const inked = joinRows(halve(mask)), {w, h} = inked, narrow = joinRows(halve(thin)).v, courses = nothing(inked).v;
  const maxRise = Math.max(1, round(0.1 * w)), maxGaps = (1 - minCoverage) * w + 1;  // with more, it is no line
  for (let rise = -maxRise; rise <= maxRise; rise++) {
    const rises = new Int32Array(w).map((_, x) => Math.floor(rise * (x + 0.5) / w - rise / 2 + 0.5));
    for (let first = -maxRise; first < h + maxRise; first++) {
      let inside = 0, filled = 0, fine = 0;
      for (let x = 0; x < w && inside - filled <= maxGaps; x++) {
        const y = first + rises[x], i = y * w + x;
        if (y < 0 || y >= h) continue;
        inside += 1;
        filled += inked.v[i];
        fine += narrow[i];
      }
      if (inside < 0.6 * w || filled < minCoverage * inside || fine < 0.3 * inside) continue;
      rises.forEach((y, x) => {
        for (const row of [first + y, first + y + 1]) if (row >= 0 && row < h) courses[row * w + x] = 1;
      });
    }
  }
  if (!courses.includes(1)) return nothing(mask);
  const doubled = nothing(mask);
  for (let y = 0, i = 0; y < mask.h; y++)
    for (let x = 0; x < mask.w; x++, i++) doubled.v[i] = courses[(y >> 1) * w + (x >> 1)];
  return doubled;
}

const joinRows = ({v, w, h}) => ({v: each(v, (is, i) => is || v[i + w] || 0), w, h});  // each with the one below it

function halve({v, w, h}) {  // 1 for 2 x 2 pixels of which one is 1 at least
  const width = (w + 1) >> 1, height = (h + 1) >> 1, halved = new Uint8Array(width * height);
  for (let y = 0, i = 0; y < h; y++)
    for (let x = 0; x < w; x++, i++) if (v[i]) halved[(y >> 1) * width + (x >> 1)] = 1;
  return {v: halved, w: width, h: height};
}
