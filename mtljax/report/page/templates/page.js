"use strict";
// Everything stands in the page without this: it sorts tables, and shows the columns that are picked.
(function () {
  function cells(table, column) {
    return Array.from(table.rows, (row) => row.cells[column]);
  }

  function key(cell) {
    if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
    return cell.dataset.text !== undefined ? cell.dataset.text : "";
  }

  function sort(table, column, heading) {
    const up = heading.getAttribute("aria-sort") !== "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = Array.from(table.tBodies[0].rows);
    rows.sort((one, two) => {
      const a = key(one.cells[column]), b = key(two.cells[column]);
      if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1; // what has no number stays last
      const order = typeof a === "number" ? a - b : a.localeCompare(b);
      return up ? order : -order;
    });
    table.tBodies[0].append(...rows);
  }

  function makeSortable(table) {
    Array.from(table.tHead.rows[0].cells).forEach((heading, column) => {
      const button = document.createElement("button");
      button.className = "sorted";
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => sort(table, column, heading));
    });
  }

  function show(table, column, shown) {
    for (const cell of cells(table, column)) cell.hidden = !shown;
  }

  function makePickable(table) {
    const box = document.createElement("fieldset"), legend = document.createElement("legend");
    const choices = document.createElement("div");
    box.className = "pick";
    legend.textContent = "Metrics shown";
    Array.from(table.tHead.rows[0].cells).forEach((heading, column) => {
      if (heading.dataset.pick === undefined) return;
      const label = document.createElement("label"), input = document.createElement("input");
      input.type = "checkbox";
      input.checked = heading.dataset.picked !== undefined;
      input.addEventListener("change", () => show(table, column, input.checked));
      label.append(input, " " + heading.dataset.pick);
      choices.append(label);
      show(table, column, input.checked);
    });
    box.append(legend, choices);
    if (choices.childElementCount > 1) table.closest(".scroll").before(box);
  }

  for (const table of document.querySelectorAll("main table")) {
    if (table.querySelector("th[data-pick]")) makePickable(table);
    makeSortable(table);
  }

  const folded = Array.from(document.querySelectorAll("details"));
  addEventListener("beforeprint", () => folded.forEach((one) => (one.open = true)));
})();
