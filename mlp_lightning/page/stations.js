// What the stations of the lesson share: when they compute, how they write numbers, what they draw with.

const STATION_IMAGES = 64;  // of a batch, at most: more would take the page more than 100 ms at once
const MILLISECONDS_BETWEEN_UPDATES = 400;  // while the network learns
const MILLISECONDS_OF_A_SLICE = 30;  // of longer work, before the browser may draw
const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** The batch that the network above has trained on last, or its first images if it is large. */
function takeStationBatch({batch}) {
  const count = Math.min(batch.labels.length, STATION_IMAGES);
  return {inputs: batch.inputs.subarray(0, count * IMAGE_PIXELS), labels: batch.labels.subarray(0, count)};
}

/**
 * Call `update` now, and when the language changes; and when the lesson has changed, or the colours or the width:
 * then only while the section is on the screen, and not too often.
 */
function updateWhileSeen(section, lesson, update) {
  let isSeen = false;
  let isDue = false;
  let timer = 0;
  const updateIfDue = () => {
    timer = 0;
    if (!isSeen || !isDue) return;
    isDue = false;
    update();
  };
  const updateSoon = () => {
    isDue = true;
    timer ||= setTimeout(updateIfDue, MILLISECONDS_BETWEEN_UPDATES);
  };
  lesson.listeners.add(updateSoon);
  languageListeners.add(() => setTimeout(update));  // each in a task of its own
  addEventListener("resize", updateSoon);
  darkScheme.addEventListener("change", updateSoon);
  const observer = new IntersectionObserver(entries => {
    isSeen = entries.at(-1).isIntersecting;
    timer ||= setTimeout(updateIfDue);
  });
  observer.observe(section);
  update();
}

/** Let the browser do what else it has to: draw, listen. */
const restAWhile = () => new Promise(resolve => setTimeout(resolve));

/** Do something with each value, and rest whenever it has taken long, until it is outdated. */
async function workInSlices(values, work, isOutdated) {
  const results = [];
  let start = performance.now();
  for (const value of values) {
    if (performance.now() - start > MILLISECONDS_OF_A_SLICE) {
      await restAWhile();
      start = performance.now();
    }
    if (isOutdated()) break;
    results.push(work(value));
  }
  return results;
}

/** A number with so many digits that count: 0.01234, −5.600 or 1.234 × 10⁻⁷. */
function formatDigits(number, digits = 4) {
  if (!Number.isFinite(number)) return text("noNumber");
  if (number === 0) return "0";
  const exponent = Math.floor(Math.log10(Math.abs(number)));
  if (exponent >= -4 && exponent < 6) return formatSigned(number, Math.max(digits - 1 - exponent, 0));
  const [mantissa, power] = number.toExponential(digits - 1).split("e");
  const raised = [...String(Math.abs(power))].map(digit => SUPERSCRIPTS[digit]).join("");
  return `${mantissa} × 10${power < 0 ? "⁻" : ""}${raised}`.replace("-", "−");
}

/** A number with so many decimals, unless it is too large for them. */
function formatDecimals(number, decimals) {
  return Math.abs(number) < 1e6 ? formatSigned(number, decimals) : formatDigits(number);
}

/** A loss: four decimals, or five digits if it is large. */
function formatLoss(loss) {
  return Math.abs(loss) < 100 ? formatSigned(loss, 4) : formatDigits(loss, 5);
}

/** Two losses and their difference, with so many decimals that two digits of the difference are seen. */
function formatLosses(before, after) {
  const change = after - before;
  const isLarge = !(Math.abs(before) < 100 && Math.abs(after) < 100);
  if (isLarge) {
    return {before: formatLoss(before), after: formatLoss(after), change: formatDigits(Math.abs(change), 3)};
  }
  const places = 1 - Math.floor(Math.log10(Math.abs(change) || 1));
  const decimals = Math.min(Math.max(places, 4), 9);
  const difference = roundTo(after, decimals) - roundTo(before, decimals);
  return {
    before: formatSigned(before, decimals),
    after: formatSigned(after, decimals),
    change: formatSigned(Math.abs(difference), decimals),
  };
}

/** The value in the middle, so that one slow run does not count. */
function findMedian(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/** Let one of a picture's squares be chosen, by pointing at it or with the arrow keys. */
function connectSquares(canvas, getChosen, choose) {
  canvas.onpointerdown = ({offsetX, offsetY}) => {
    const {count} = getChosen();
    const columns = countColumnsOf(count);
    const size = canvas.clientWidth / columns;
    const findCell = (offset, cells) => Math.min(Math.max(Math.floor(offset / size), 0), cells - 1);
    const row = findCell(offsetY, Math.ceil(count / columns));
    const index = row * columns + findCell(offsetX, columns);
    if (index < count) choose(index);  // the last row may have empty places
  };
  canvas.onpointermove = event => event.buttons & 1 && canvas.onpointerdown(event);
  canvas.onkeydown = event => {
    const {count, index} = getChosen();
    const columns = countColumnsOf(count);
    const step = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns}[event.key];
    if (!step) return;
    event.preventDefault();
    const next = index + step;
    if (next >= 0 && next < count) choose(next);
  };
}

/** Set a slider's range and value, and say the value in words beside it. */
function setSlider(slider, value, last, words) {
  slider.max = last;
  slider.value = value;
  slider.ariaValueText = words;
  $(`${slider.id}-value`).textContent = words;
}

/** Offer a network's layers to choose from, by their sizes. */
function fillLayers(select, network, chosen) {
  const names = network.layers.map(({from, to}, k) =>
    text("stationLayer", {number: k + 1, from: formatCount(from), to: formatCount(to)}));
  const present = Array.from(select.options, option => option.textContent);
  if (names.join() !== present.join()) {  // else an open list would close
    select.replaceChildren(...names.map((name, k) => new Option(name, k)));
  }
  select.value = chosen;
}
