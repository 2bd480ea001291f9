// Which language the page speaks: the browser's if it is Chinese, else English, until the switch is used.

const LANGUAGES = ["en", "zh-CN"];  // in the order of each row of TEXTS
let language = navigator.language.startsWith("zh") ? 1 : 0;
const languageListeners = new Set();  // functions that write their texts anew

/** A text in the page's language, with values in place of their {names}. */
function text(name, values = {}) {
  return TEXTS[name][language].replace(/\{(\w+)\}/g, (_, key) => values[key]);
}

/** Write all texts anew: those that HTML names by data-text and data-label, then those of the scripts. */
function translatePage() {
  document.documentElement.lang = LANGUAGES[language];
  document.title = text(document.body.dataset.title);
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = text(element.dataset.text);
  for (const element of document.querySelectorAll("[data-label]")) element.ariaLabel = text(element.dataset.label);
  $("language").textContent = text("otherLanguage");
  $("language").lang = LANGUAGES[1 - language];
  for (const listener of languageListeners) listener();
}

function connectLanguageSwitch() {
  $("language").onclick = () => {
    language = 1 - language;
    translatePage();
  };
}

/** Two sentences, one after the other: Chinese needs no space between them. */
const joinSentences = (one, two) => (language === 0 ? `${one} ${two}` : one + two);

const roundTo = (number, decimals) => Math.round(number * 10 ** decimals) / 10 ** decimals;

// Numbers as they are written in both languages.
const formatCount = count => count.toLocaleString("en");
const formatPercent = (share, digits = 1) => (Number.isFinite(share) ? `${(100 * share).toFixed(digits)} %` : "–");
const formatSigned = (number, digits = 2) => number.toFixed(digits).replace("-", "−");
