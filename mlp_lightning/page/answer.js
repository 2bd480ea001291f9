// The network's answer to an image, in words and as bars.

const SURE = 0.9;  // below this probability, the page says "perhaps"
const MANY_CLASSES = 20;  // of more, only the most probable have a bar
const BARS_OF_MANY = 10;

/** Write the answer: a class and its probability, or what refusal() says. */
function showAnswer(element, probabilities, refusal, {classes} = MNIST) {
  if (!probabilities) {
    element.textContent = refusal();
    return;
  }
  const answer = greatest(probabilities), name = classes[answer];
  const words = probabilities[answer] < SURE ? "isUnsure" : "isSure";
  const article = name === "8" ? "an" : "a";
  element.textContent = text(words, {name, article, percent: formatPercent(probabilities[answer])});
}

/** Write a bar for each class into a list; of many classes, for the most probable. */
function showProbabilities(list, probabilities, classes) {
  const answer = probabilities && greatest(probabilities);
  const rows = chooseBars(probabilities, classes.length).map(label => {
    const share = probabilities?.[label];
    const row = document.createElement("li");
    row.classList.toggle("greatest", label === answer);
    add(row, "b", {textContent: classes[label], title: classes[label]});
    add(row, "i").style.width = `${100 * (share ?? 0)}%`;
    add(row, "span", {textContent: share === undefined ? "" : formatPercent(share, 2)});
    return row;
  });
  list.replaceChildren(...rows);
}

/** Which classes have a bar, in the order of the bars. */
function chooseBars(probabilities, count) {
  const labels = Array.from({length: count}, (_, label) => label);
  if (count <= MANY_CLASSES) return labels;
  if (!probabilities) return [];
  return labels.sort((one, two) => probabilities[two] - probabilities[one]).slice(0, BARS_OF_MANY);
}
