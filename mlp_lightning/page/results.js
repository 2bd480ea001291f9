// What an experiment has measured, as curves and as numbers.

const AXES = {
  loss: {low: 0, high: 3, format: value => (value === 3 ? "≥ 3" : value.toFixed(2))},
  accuracy: {low: 0, high: 1, format: value => formatPercent(value, 0)},
  norm: {low: 0.1, high: 1000, isLogarithmic: true, format: value => formatCount(value)},
};
const TEST_CURVES = {loss: "testLoss", accuracy: "testAccuracy"};

/** Draw a chart of an experiment: of each network the batches, thin, and the tests, thick. */
function drawExperimentChart({charts, histories, step, variants}, name) {
  const curves = [];
  histories.forEach((history, i) => {
    const colour = readColour(CURVE_COLOURS[i]), testName = TEST_CURVES[name];
    curves.push({points: history[name], colour: testName ? `${colour}66` : colour, width: 1.5});
    if (testName) curves.push({points: history[testName], colour, width: 2.5});
  });
  const steps = 100 * Math.max(1, Math.ceil(step / 100));
  drawChart(charts[name], curves, {...AXES[name], steps});
  const values = variants.map((variant, i) => {
    const points = histories[i][TEST_CURVES[name] ?? name];
    return `${text(variant.name)} ${formatLast(points, AXES[name].format)}`;
  });
  charts[name].ariaLabel = `${text(`${name}Chart`)}: ${values.join("; ")}`;
}


/** A measure in words; after numbers too large for a computer, there are none. */
function formatMeasure(value, format) {
  return Number.isFinite(value) ? format(value) : text("overflow");
}

/** The mean of the last measures of a curve, as so few images are in a batch. */
function averageRecent(points) {
  const recent = points.slice(-RECENT_STEPS);
  return recent.reduce((sum, [, value]) => sum + value, 0) / recent.length;
}

/** The latest measures of each network of an experiment, a row for each. */
function listResults({variants, histories, hasNorms}) {
  return variants.map(({name}, i) => {
    const {loss, accuracy, norm, testAccuracy} = histories[i];
    const cells = [
      text(name),
      formatLast(loss, value => value.toFixed(3)),
      accuracy.length ? formatPercent(averageRecent(accuracy)) : "–",
      formatLast(testAccuracy, formatPercent),
    ];
    if (hasNorms) cells.push(formatLast(norm, value => value.toPrecision(3)));
    return cells;
  });
}

function formatLast(points, format) {
  return points.length ? formatMeasure(points.at(-1)[1], value => format(value)) : "–";
}
