// The network's answer to a digit, in words and as ten bars.

const SURE = 0.9;  // below this probability, the page says "perhaps"

/** Write the answer: a digit and its probability, or what refusal() says. */
function showAnswer(element, probabilities, refusal) {
  if (!probabilities) {
    element.textContent = refusal();
    return;
  }
  const digit = greatest(probabilities), article = digit === 8 ? "an" : "a";
  const name = probabilities[digit] < SURE ? "isUnsure" : "isSure";
  element.textContent = text(name, {digit, article, percent: formatPercent(probabilities[digit])});
}

/** Add the rows of the ten bars to a list. */
function addProbabilities(list) {
  for (let digit = 0; digit < 10; digit++) {
    const row = add(list, "li");
    row.append(digit);
    add(row, "i");
    add(row, "span");
  }
}

function showProbabilities(list, probabilities) {
  const answer = probabilities ? greatest(probabilities) : null;
  [...list.children].forEach((row, digit) => {
    const [bar, number] = row.children, share = probabilities?.[digit];
    row.classList.toggle("greatest", digit === answer);
    bar.style.width = `${100 * (share ?? 0)}%`;
    number.textContent = share === undefined ? "" : formatPercent(share, 2);
  });
}
