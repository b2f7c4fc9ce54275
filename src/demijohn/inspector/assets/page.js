"use strict";
(() => {
  const PERIOD = 1000; // milliseconds from one answer to the next question
  const page = new URL(location.href);
  const token = page.searchParams.get("token");
  page.search = "?format=json&with=html";
  const tree = document.getElementById("tree");
  const live = document.getElementById("live");
  let timer = 0;
  let asking = false;

  function say(text, trouble) {
    if (live.textContent !== text) live.textContent = text;
    document.body.classList.toggle("trouble", trouble);
  }

  // Change what is different and leave the rest, so that a selection in the text stays.
  function patch(old, now) {
    if (old.nodeType !== now.nodeType || old.nodeName !== now.nodeName || old.id !== now.id) {
      old.replaceWith(now);
      return;
    }
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== now.data) old.data = now.data;
      return;
    }
    if (old.className !== now.className) old.className = now.className;
    patchAll(old, now);
  }

  function patchAll(old, now) {
    const wanted = [...now.childNodes];
    const there = new Map();
    for (const child of old.children) if (child.id) there.set(child.id, child);
    wanted.forEach((child, place) => {
      const kept = child.id && there.get(child.id);
      if (kept && kept !== old.childNodes[place]) old.insertBefore(kept, old.childNodes[place]);
      const before = old.childNodes[place];
      if (before) patch(before, child);
      else old.append(child);
    });
    while (old.childNodes.length > wanted.length) old.lastChild.remove();
  }

  async function refresh() {
    clearTimeout(timer);
    if (document.hidden || asking) return;
    asking = true;
    try {
      const answer = await fetch(page, {
        headers: { Authorization: `Bearer ${token}` },
        cache: "no-store",
        signal: AbortSignal.timeout(10 * PERIOD),
      });
      if (answer.ok) {
        const parsed = document.createElement("template");
        parsed.innerHTML = (await answer.json()).html;
        patchAll(tree, parsed.content);
        if (!document.hidden) say("Live", false);
      } else {
        say("The server was started anew. Open the address that it printed.", true);
      }
    } catch {
      say("The server does not answer. Trying again.", true);
    } finally {
      asking = false;
      timer = setTimeout(refresh, PERIOD);
    }
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) say("Paused", false);
    else refresh();
  });
  refresh();
})();
