// Charts of what is measured at each step.

const MAX_POINTS = 300;  // of a curve; more are averaged in groups
const MARGIN = {left: 44, right: 8, top: 8, bottom: 20};  // of a chart, for its numbers

/** Average the points [x, y] of a curve in groups, so that few are left. */
function thinOut(points) {
  const size = Math.ceil(points.length / MAX_POINTS);
  if (size === 1) return points;
  const means = [];
  for (let start = 0; start < points.length; start += size) {
    const group = points.slice(start, start + size);
    const total = group.reduce((sum, [, y]) => sum + y, 0);
    means.push([group[group.length - 1][0], total / group.length]);
  }
  return means;
}

/**
 * Draw curves: [{points: [[x, y], …], colour, width}], into a frame with the axes
 * {steps, low, high, isLogarithmic, format}. What is higher than the frame is drawn at its upper edge.
 */
function drawChart(canvas, curves, axes) {
  const {pencil, width, height} = takePencil(canvas);
  const right = width - MARGIN.right, bottom = height - MARGIN.bottom;
  const scale = axes.isLogarithmic ? Math.log : value => value;
  const low = scale(axes.low), high = scale(axes.high);
  const toX = step => MARGIN.left + (right - MARGIN.left) * step / axes.steps;
  const toY = value => {
    const share = Number.isFinite(value) ? (scale(value) - low) / (high - low) : 1;
    return bottom - (bottom - MARGIN.top) * Math.min(Math.max(share, 0), 1);
  };
  drawAxes(pencil, axes, {right, bottom, toX, toY});
  for (const {points, colour, width: lineWidth} of curves) {
    const places = thinOut(points).map(([step, value]) => [toX(step), toY(value)]);
    drawLine(pencil, colour, lineWidth, ...places);
  }
}

function drawAxes(pencil, axes, {right, bottom, toX, toY}) {
  const colour = readColour("--quiet");
  for (const value of listTicks(axes)) {
    const y = Math.round(toY(value)) + 0.5;
    drawLine(pencil, readColour("--line"), 1, [MARGIN.left, y], [right, y]);
    writeLabel(pencil, colour, axes.format(value), [MARGIN.left - 6, y + 4], "right");
  }
  writeLabel(pencil, colour, text("stepsAxis", {count: formatCount(axes.steps)}), [right, bottom + 15], "right");
  writeLabel(pencil, colour, "0", [toX(0), bottom + 15], "left");
}

/** Where the lines of a chart are, and their numbers: five at equal distances, or the powers of ten. */
function listTicks({low, high, isLogarithmic}) {
  if (!isLogarithmic) return [0, 1, 2, 3, 4].map(i => low + (high - low) * i / 4);
  const first = Math.round(Math.log10(low)), last = Math.round(Math.log10(high));
  const stride = Math.ceil((last - first) / 5);
  const ticks = [];
  for (let power = first; power <= last; power += stride) ticks.push(10 ** power);
  return ticks;
}
