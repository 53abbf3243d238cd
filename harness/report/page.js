"use strict";
(function () {
  const rows = JSON.parse(document.getElementById("data").textContent);
  const KEY = 0, TARGET = 1, ARM = 2, PROBE = 3, LANGUAGE = 4, QUESTION = 5, STATUS = 6, STANCE = 7, NAMES = 8, MAKERS = 9, ASKED = 10, REPLY = 11, REASONING = 12, SPANS = 13, ERROR = 14;
  const FIELDS = { target: TARGET, arm: ARM, probe: PROBE, language: LANGUAGE, status: STATUS, stance: STANCE, name: NAMES };
  const PAGE = 25;
  const list = document.getElementById("transcripts"), count = document.getElementById("count"), more = document.getElementById("more"), search = document.getElementById("search");
  const hidden = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]/g;
  const visible = (text) => text.replace(hidden, (c) => "<U+" + c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0") + ">");
  const selects = {};
  const haystacks = rows.map((row) => [row[ASKED], row[REPLY] || "", row[REASONING] || "", row[ERROR] || "", row[KEY], row[QUESTION]].join("\n").toLowerCase());
  let found = [], shown = 0;

  for (const [name, place] of Object.entries(FIELDS)) {
    const select = document.getElementById("filter-" + name);
    const values = new Set();
    for (const row of rows) for (const value of [].concat(row[place])) if (value) values.add(value);
    for (const value of [...values].sort()) {
      const option = document.createElement("option");
      option.value = value;
      option.textContent = visible(value);
      select.append(option);
    }
    select.addEventListener("change", refresh);
    selects[name] = select;
  }
  search.addEventListener("input", refresh);
  document.getElementById("clear").addEventListener("click", () => {
    search.value = "";
    for (const select of Object.values(selects)) select.value = "";
    refresh();
  });
  more.addEventListener("click", () => extend());
  refresh();

  function refresh() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    found = [];
    for (let number = 0; number < rows.length; number++) {
      const row = rows[number];
      let fits = true;
      for (const [name, place] of Object.entries(FIELDS)) {
        const wanted = selects[name].value;
        if (wanted && !(Array.isArray(row[place]) ? row[place].includes(wanted) : row[place] === wanted)) { fits = false; break; }
      }
      if (fits && words.every((word) => haystacks[number].includes(word))) found.push(number);
    }
    list.replaceChildren();
    shown = 0;
    count.textContent = found.length + " of " + rows.length + " transcripts";
    extend();
  }

  function extend() {
    const until = Math.min(found.length, shown + PAGE);
    for (; shown < until; shown++) list.append(transcript(rows[found[shown]]));
    more.hidden = shown >= found.length;
  }

  function transcript(row) {
    const item = document.createElement("li");
    item.className = "transcript";
    const said = row[NAMES].length ? "name " + row[NAMES].join(", ") : row[STANCE] || row[STATUS];
    const makers = row[MAKERS].length ? "; maker " + row[MAKERS].join(", ") : "";
    item.append(line("about", [row[TARGET], row[ARM], row[PROBE], row[LANGUAGE], said + makers, row[KEY]].join(" · ")));
    item.append(line("asked text", row[ASKED]));
    if (row[REASONING]) item.append(line("text about", "reasoning: " + row[REASONING]));
    if (row[REPLY] === null) item.append(line("text", row[ERROR] || "no reply"));
    else item.append(marked(row[REPLY], row[SPANS]));
    return item;
  }

  function line(kind, text) {
    const block = document.createElement("div");
    block.className = kind;
    block.dir = "auto";
    block.textContent = visible(text);
    return block;
  }

  function marked(text, spans) {
    const block = document.createElement("div");
    block.className = "text";
    block.dir = "auto";
    let at = 0;
    const letters = Array.from(text);
    for (const [start, end, role, identity] of spans) {
      if (start < at) continue;
      block.append(visible(letters.slice(at, start).join("")));
      const mark = document.createElement("mark");
      mark.title = role + ": " + identity;
      mark.textContent = visible(letters.slice(start, end).join(""));
      block.append(mark);
      at = end;
    }
    block.append(visible(letters.slice(at).join("")));
    return block;
  }
})();
