// Shows a log while it is written, and replaces the content of a page that changes. Without this script, the page loads
// itself again every few seconds.
"use strict";
(() => {
  const main = document.getElementById("main");
  const seconds = Number(main.dataset.refresh);
  if (!seconds) return;
  const places = () => [...main.querySelectorAll(".matrix, .scroll")].map((box) => [box.scrollLeft, box.scrollTop]);
  const opened = () => [...main.querySelectorAll("details")].map((part) => part.open);
  const replace = (next) => {
    const [scrolled, open] = [places(), opened()];
    const focused = main.contains(document.activeElement) && document.activeElement.getAttribute("href");
    main.replaceChildren(...next.childNodes);
    main.querySelectorAll(".matrix, .scroll").forEach((box, at) => box.scrollTo(...(scrolled[at] || [0, 0])));
    main.querySelectorAll("details").forEach((part, at) => { part.open = open[at] ?? part.open; });
    if (focused) main.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  };
  const read = async () => {
    // what somebody selects or reads in another window stays
    if (document.hidden || String(getSelection())) return seconds;
    const answer = await fetch(location.href);
    if (!answer.ok) return seconds;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const next = page.getElementById("main");
    // a page that now shows a log needs its script from the start
    if (page.getElementById("live")) location.reload();
    document.querySelector(".status").replaceWith(page.querySelector(".status") ?? "");
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
