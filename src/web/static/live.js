// Shows a log while it is written, and replaces the content of a page that changes. Without this script, the page loads
// itself again every few seconds.
"use strict";
(() => {
  const main = document.getElementById("main");
  const seconds = Number(main.dataset.refresh);
  if (!seconds) return;
  const BOXES = ".matrix, .scroll, .log";
  const boxes = () => [...main.querySelectorAll(BOXES)];
  const parts = () => [...main.querySelectorAll("details")];
  // the style and the script of another version of the program want a page of that version
  const version = (page) => [...page.querySelectorAll("link[rel=stylesheet], script[src]")]
    .map((part) => part.getAttribute("href") || part.getAttribute("src")).join();
  const replace = (next) => {
    const [places, open] = [boxes().map((box) => [box.scrollLeft, box.scrollTop]), parts().map((part) => part.open)];
    const focused = main.contains(document.activeElement) ? document.activeElement : null;
    const [link, box] = [focused?.getAttribute("href"), boxes().indexOf(focused)];
    main.replaceChildren(...next.childNodes);
    boxes().forEach((box, at) => box.scrollTo(...(places[at] || [0, 0])));
    parts().forEach((part, at) => { part.open = open[at] ?? part.open; });
    const again = link ? main.querySelector(`a[href="${CSS.escape(link)}"]`) : boxes()[box];
    again?.focus({ preventScroll: true });
  };
  const isChanged = (field) => (field === document.activeElement && field.type !== "checkbox")
    || (field.defaultValue !== undefined && field.value !== field.defaultValue)
    || (field.defaultChecked !== undefined && field.checked !== field.defaultChecked);
  const read = async () => {
    // text that is selected or being typed stays, and nobody looks at a hidden page
    if (document.hidden || String(getSelection())
      || [...main.querySelectorAll("input, select, textarea")].some(isChanged)) return seconds;
    const answer = await fetch(location.href, { signal: AbortSignal.timeout(20000) });
    if (!answer.ok) return seconds;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const [next, status] = [page.getElementById("main"), page.querySelector(".status")];
    if (!next || !status) return seconds;
    // a login, a log that now grows, or another version: the page needs its own headers
    if (answer.redirected || page.getElementById("live") || version(page) !== version(document)) {
      location.reload();
      return 0;
    }
    document.querySelector(".status").replaceWith(status);
    replace(next);
    return Number(next.dataset.refresh);
  };
  const wait = (next) => { if (next) setTimeout(() => read().catch(() => seconds).then(wait), next * 1000); };
  wait(seconds);
})();
(() => {
  const pre = document.getElementById("live");
  const follow = document.getElementById("follow");
  if (!pre || !window.EventSource) return;
  const MOST = 4e6; // characters of the log that stay on the page
  const line = pre.lastElementChild;
  const sizes = [pre.firstElementChild.innerHTML.length];
  let size = sizes[0];
  const show = (text) => { if (follow.textContent !== text) follow.textContent = text; };
  const add = (html, kind) => {
    if (!html) return;
    const part = document.createElement("span");
    part.className = kind;
    part.innerHTML = html; // the server escapes everything that the log contains
    line.before(part);
    sizes.push(html.length);
    size += html.length;
    while (size > MOST && sizes.length > 1) {
      pre.firstElementChild.remove();
      size -= sizes.shift();
    }
  };
  const source = new EventSource(pre.dataset.events);
  source.onopen = () => show("Live: new lines appear here as they are written.");
  source.onerror = () => show(source.readyState === EventSource.CLOSED
    ? "New lines can't be shown at the moment. Load the page again to see them."
    : "The connection is lost. Trying again …");
  source.onmessage = (event) => {
    const news = JSON.parse(event.data);
    add(news.skipped, "di");
    add(news.lines, "");
    line.innerHTML = news.line;
  };
  source.addEventListener("end", () => {
    source.close();
    // the page then shows the outcome, the phases and the stored log
    location.reload();
  });
})();
// Arrow keys go from cell to cell of a matrix.
(() => {
  const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  document.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    const cell = event.target.closest(".matrix td, .matrix th");
    if (!step || !cell || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const { rows } = cell.closest("table");
    let [row, column] = [cell.parentElement.rowIndex, cell.cellIndex];
    let link = null;
    do {
      row += step[0];
      column += step[1];
      const next = rows[row];
      if (!next || column < 0 || column >= rows[0].cells.length) return;
      link = next.cells[column]?.querySelector("a"); // a folded row has none
    } while (!link);
    event.preventDefault();
    link.focus();
  });
})();
// Adds a button to each text that people take away. Browsers allow that on pages over TLS, and on the machine itself.
(() => {
  if (!navigator.clipboard) return;
  for (const text of document.querySelectorAll("[data-copy]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = `copy ${text.dataset.copy}`;
    button.addEventListener("click", () => navigator.clipboard.writeText(text.textContent)
      .then(() => { button.textContent = "copied"; }, () => { button.textContent = "the browser does not allow it"; }));
    text.before(button);
  }
})();
