// Charts of what is measured at each step.

const MAX_POINTS = 300;  // of a curve; more are averaged in groups
const MARGIN = {left: 44, right: 8, top: 8, bottom: 20};  // of a chart, for its numbers
const CHART_HEIGHT = 160;

/** A colour of the page's style, such as --text. */
function getStyleColour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Make a canvas as wide as it is shown, sharp on any screen; returns its context, in CSS pixels. */
function fitCanvas(canvas, height) {
  const density = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  canvas.width = Math.round(width * density);
  canvas.height = Math.round(height * density);
  canvas.style.height = `${height}px`;
  const pencil = canvas.getContext("2d");
  pencil.setTransform(density, 0, 0, density, 0, 0);
  pencil.clearRect(0, 0, width, height);
  return pencil;
}

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
 * Draw curves: [{points: [[x, y], …], colour, width, dash}], into a frame with the axes
 * {steps, low, high, isLogarithmic, format}. What is higher than the frame is drawn at its upper edge.
 */
function drawChart(canvas, curves, axes) {
  const pencil = fitCanvas(canvas, CHART_HEIGHT), width = canvas.clientWidth;
  const right = width - MARGIN.right, bottom = CHART_HEIGHT - MARGIN.bottom;
  const scale = axes.isLogarithmic ? Math.log : value => value;
  const low = scale(axes.low), high = scale(axes.high);
  const toX = step => MARGIN.left + (right - MARGIN.left) * step / axes.steps;
  const toY = value => {
    const share = Number.isFinite(value) ? (scale(value) - low) / (high - low) : 1;
    return bottom - (bottom - MARGIN.top) * Math.min(Math.max(share, 0), 1);
  };
  drawAxes(pencil, axes, {right, bottom, toX, toY});
  for (const {points, colour, width: lineWidth, dash} of curves) {
    pencil.beginPath();
    for (const [step, value] of thinOut(points)) pencil.lineTo(toX(step), toY(value));
    pencil.strokeStyle = colour;
    pencil.lineWidth = lineWidth;
    pencil.setLineDash(dash ?? []);
    pencil.stroke();
  }
  pencil.setLineDash([]);
}

function drawAxes(pencil, axes, {right, bottom, toX, toY}) {
  pencil.font = "12px system-ui, sans-serif";
  pencil.fillStyle = getStyleColour("--quiet");
  pencil.strokeStyle = getStyleColour("--line");
  pencil.lineWidth = 1;
  pencil.textAlign = "right";
  pencil.textBaseline = "middle";
  for (const value of listTicks(axes)) {
    const y = Math.round(toY(value)) + 0.5;
    pencil.beginPath();
    pencil.moveTo(MARGIN.left, y);
    pencil.lineTo(right, y);
    pencil.stroke();
    pencil.fillText(axes.format(value), MARGIN.left - 6, y);
  }
  pencil.textBaseline = "alphabetic";
  pencil.fillText(text("stepsAxis", {count: formatCount(axes.steps)}), right, bottom + 15);
  pencil.textAlign = "left";
  pencil.fillText("0", toX(0), bottom + 15);
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
