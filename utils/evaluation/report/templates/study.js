"use strict";
// A click on a heading sorts the table; another one turns the order round.
for (const table of document.querySelectorAll("table.study")) {
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  const collator = new Intl.Collator(undefined, {numeric: true});
  function sortBy(column) {
    const heading = headings[column];
    const isUp = heading.getAttribute("aria-sort") !== "ascending";
    for (const other of headings) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", isUp ? "ascending" : "descending");
    const textOf = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const keyOf = heading.dataset.kind === "number" ? row => parseFloat(textOf(row)) : textOf;
    const rows = [...body.rows].map(row => [keyOf(row), row]);
    rows.sort(([a], [b]) => {
      if (typeof a === "string") return (isUp ? 1 : -1) * collator.compare(a, b);
      if (isNaN(a) || isNaN(b)) return isNaN(a) - isNaN(b); // what is not known comes last
      return isUp ? a - b : b - a;
    });
    body.append(...rows.map(([, row]) => row));
  }
  headings.forEach((heading, column) =>
    heading.querySelector("button")?.addEventListener("click", () => sortBy(column)));
}
