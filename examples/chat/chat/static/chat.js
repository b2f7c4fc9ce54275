// A room: shows what is said, says what is typed, and connects again when the server was away.
"use strict";

const address = document.querySelector("main").dataset.talk;
const state = document.querySelector("#state");
const said = document.querySelector("#said");
const text = document.querySelector("#text");
const AGAIN = 1000; // milliseconds
const REFUSED = 1008;

let socket;

function show(name, words) {
  state.dataset.state = name;
  state.textContent = words;
}

function line(name, words) {
  const item = document.createElement("li");
  const who = document.createElement("b");
  who.textContent = name;
  item.append(who, " ", words);
  said.append(item);
  item.scrollIntoView({ block: "nearest" });
}

function connect() {
  socket = new WebSocket(address);
  socket.onopen = () => {
    said.replaceChildren(); // the server sends what was said last
    show("live", "Live");
  };
  socket.onmessage = (message) => {
    const event = JSON.parse(message.data);
    if (event.kind === "said") line(event.name, event.text);
    else document.querySelector("#here").textContent = event.names.join(", ");
  };
  socket.onclose = (event) => {
    if (event.code === REFUSED) {
      show("closed", event.reason);
      return;
    }
    show("waiting", "Connecting again …");
    setTimeout(connect, AGAIN);
  };
}

document.querySelector("#say").onsubmit = (event) => {
  event.preventDefault();
  if (text.value.trim() && socket.readyState === WebSocket.OPEN) {
    socket.send(JSON.stringify({ text: text.value }));
    text.value = "";
  }
};

connect();
