// Shows a log while it is written. Without this script, the page loads itself again every few seconds.
"use strict";
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
