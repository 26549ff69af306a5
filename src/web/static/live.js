// Shows a log while it is written. Without this script the page loads itself again every few seconds.
"use strict";
(() => {
  const pre = document.getElementById("live");
  const follow = document.getElementById("follow");
  if (!pre || !window.EventSource) return;
  const [lines, line] = pre.children;
  const MOST = 400; // parts of the log that stay on the page
  const say = (text) => { if (follow.textContent !== text) follow.textContent = text; };
  const add = (html, skipped) => {
    const part = document.createElement("span");
    if (skipped) part.className = "di";
    part.innerHTML = html; // made by the server, which escapes all that is not its own
    lines.append(part);
    // the page had one part of its own, of up to 256 KiB
    while (lines.childNodes.length > MOST) lines.firstChild.remove();
  };
  const source = new EventSource(pre.dataset.events);
  source.onopen = () => say("Live: new lines appear here as they are written.");
  source.onerror = () => say("The connection is lost; trying again …");
  source.onmessage = (event) => {
    const news = JSON.parse(event.data);
    if (news.skipped) add(news.skipped, true);
    if (news.lines) add(news.lines, false);
    line.innerHTML = news.line;
  };
  source.addEventListener("end", () => {
    source.close();
    // the outcome, the phases, and the log as it is kept
    location.reload();
  });
})();
