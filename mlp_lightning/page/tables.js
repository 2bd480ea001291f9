// Tables of numbers.

/** Add a table with these titles and this name, all being names of TEXTS, and no rows. */
function addTable(parent, name, titles) {
  const table = add(parent, "table", {className: "numbers"});
  table.dataset.label = name;
  const row = add(add(table, "thead"), "tr");
  for (const title of titles) {
    if (title) add(row, "th", {scope: "col"}).dataset.text = title;
    else add(row, "td");
  }
  add(table, "tbody");
  return table;
}

/** Fill a table's body, of whose rows the first cell is a heading. */
function fillTable(table, rows) {
  table.tBodies[0].replaceChildren(...rows.map(cells => {
    const row = document.createElement("tr");
    cells.forEach((words, i) => {
      if (i === 0) add(row, "th", {scope: "row", textContent: words});
      else add(row, "td", {textContent: words});
    });
    return row;
  }));
}
