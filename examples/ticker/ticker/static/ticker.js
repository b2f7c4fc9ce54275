"use strict";

// The browser connects again by itself when the stream ends, after the time that `retry:` gave, and
// says by `Last-Event-ID` which event it had last.

const main = document.querySelector("main");
const state = document.querySelector("#state");
const last = {};
const counts = { count: 0, lost: 0 };

function show(word, text) {
  state.dataset.state = word;
  state.textContent = text;
}

function add(name, number) {
  counts[name] += number;
  document.querySelector(`#${name}`).textContent = counts[name];
}

function showPrice(row, price) {
  const before = last[row.dataset.name] ?? price;
  last[row.dataset.name] = price;
  row.querySelector(".price").textContent = (price / 100).toFixed(2);
  if (price === before) return;
  const change = row.querySelector(".change");
  const percent = (100 * (price - before)) / before;
  change.textContent = `${percent > 0 ? "▲ +" : "▼ −"}${Math.abs(percent).toFixed(1)} %`;
  change.dataset.way = percent > 0 ? "up" : "down";
}

const source = new EventSource(main.dataset.events);
source.addEventListener("open", () => show("live", "Live"));
source.addEventListener("error", () =>
  source.readyState === EventSource.CLOSED
    ? show("closed", "The server refused. Load the page again.")
    : show("waiting", "Connecting again …"),
);
source.addEventListener("prices", (event) => {
  const prices = JSON.parse(event.data);
  for (const row of document.querySelectorAll("tr[data-name]"))
    showPrice(row, prices[row.dataset.name]);
  add("count", 1);
});
source.addEventListener("gap", (event) => add("lost", JSON.parse(event.data).lost));
