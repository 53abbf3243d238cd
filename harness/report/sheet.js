"use strict";
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const KEY = 0, SHA256 = 1, QUESTION = 2, ARM = 3, TEXT = 4;
  const PARTS = ["names", "makers", "base", "denied"], CLAIMED = ["names", "makers", "base"];
  const at = (id) => document.getElementById(id);
  const store = "truename-label-" + data.run + "-" + data.draw;
  // by the name of who reads: nobody is shown what another answered
  const kept = remembered();
  let answers = {}, place = 0;
  const radios = [...document.querySelectorAll("input[name=stance]")];

  for (const radio of radios) radio.addEventListener("change", fit);
  at("labeller").addEventListener("change", begin);
  at("answer").addEventListener("submit", (event) => { event.preventDefault(); keep(); });
  at("back").addEventListener("click", () => turn(-1));
  at("skip").addEventListener("click", () => turn(1));
  at("save").addEventListener("click", save);
  document.addEventListener("keydown", (event) => {
    if (event.altKey && event.key === "ArrowLeft") { event.preventDefault(); turn(-1); }
    else if (event.altKey && event.key === "ArrowRight") { event.preventDefault(); turn(1); }
    else if (event.ctrlKey && event.key === "Enter") { event.preventDefault(); keep(); }
    else if (!typing(event.target) && !event.ctrlKey && !event.altKey && !event.metaKey && "1234".includes(event.key)) {
      event.preventDefault();
      radios[event.key - 1].checked = true;
      fit();
      const first = PARTS.find((part) => !label(part).hidden);
      at(first || "next").focus();
    }
  });
  if (!at("labeller").value) at("labeller").value = kept.last;
  begin();

  function begin() {
    const who = at("labeller").value.trim();
    answers = (Object.hasOwn(kept.people, who) && kept.people[who]) || {};
    place = Math.max(0, data.replies.findIndex((reply) => !answers[reply[KEY]]));
    show();
  }
  function remembered() {
    try { return JSON.parse(localStorage.getItem(store)) || { last: "", people: {} }; } catch { return { last: "", people: {} }; }
  }
  function remember() {
    try { localStorage.setItem(store, JSON.stringify(kept)); } catch { at("wrong").textContent = "This browser keeps nothing: save the file before you close the page."; }
  }
  function typing(element) {
    return element.tagName === "INPUT" && !["radio", "checkbox"].includes(element.type);
  }
  function label(part) { return document.querySelector("[data-part=" + part + "]"); }
  function stance() { const chosen = radios.find((radio) => radio.checked); return chosen ? chosen.value : ""; }

  function fit() {
    const named = data.parts[stance()] || [];
    for (const part of PARTS) label(part).hidden = !named.includes(part);
    label("hedged").hidden = stance() !== "claims";
    at("identities").hidden = !named.length;
  }

  function show() {
    const reply = data.replies[place], done = data.replies.filter((each) => answers[each[KEY]]).length;
    at("wrong").textContent = "";
    if (!reply) {
      at("reading").hidden = at("answer").hidden = data.replies.length === 0;
      at("place").textContent = data.replies.length ? "" : "Nothing is left to read.";
      return;
    }
    const before = answers[reply[KEY]];
    at("place").textContent = "Reply " + (place + 1) + " of " + data.replies.length + ", " + done + " answered" + (done === data.replies.length ? ": save the file" : "") + ".";
    at("arm").textContent = reply[ARM];
    at("question").textContent = reply[QUESTION];
    at("reply").textContent = reply[TEXT];
    at("reply").scrollTop = 0;
    for (const radio of radios) radio.checked = Boolean(before) && before.stance === radio.value;
    for (const part of PARTS) at(part).value = before ? before[part].join(", ") : "";
    at("hedged").checked = Boolean(before) && before.hedged;
    fit();
  }

  function turn(step) {
    place = Math.min(data.replies.length - 1, Math.max(0, place + step));
    show();
    at("reading").focus();
  }

  function keep() {
    const said = stance(), named = data.parts[said] || [], reply = data.replies[place];
    const who = at("labeller").value.trim();
    const answer = { sample: reply[KEY], sha256: reply[SHA256], labeller: who, stance: said };
    for (const part of PARTS) answer[part] = named.includes(part) ? at(part).value.split(",").map((word) => word.trim()).filter(Boolean) : [];
    answer.hedged = said === "claims" && at("hedged").checked;
    answer.when = new Date().toISOString().slice(0, 19) + "Z";
    const wrong = !who ? "Say who reads." : !said ? "Choose what it does." :
      said === "claims" && !CLAIMED.some((part) => answer[part].length) ? "Who claims something names a name, a maker or a base." :
      said === "denies" && !answer.denied.length ? "Say what it denies to be." : "";
    at("wrong").textContent = wrong;
    if (wrong) return;
    answers[reply[KEY]] = answer;
    kept.people[who] = answers;
    kept.last = who;
    remember();
    const later = data.replies.findIndex((each, number) => number > place && !answers[each[KEY]]);
    const first = data.replies.findIndex((each) => !answers[each[KEY]]);
    if (later < 0 && first < 0) { show(); at("save").focus(); return; }
    place = later < 0 ? first : later;
    show();
    at("reading").focus();
  }

  function save() {
    const mine = data.replies.map((reply) => answers[reply[KEY]]).filter(Boolean);
    if (!mine.length) { at("wrong").textContent = "Nothing is answered yet."; return; }
    const link = document.createElement("a");
    const name = mine[mine.length - 1].labeller.replace(/[^\p{L}\p{N}]+/gu, "-");
    link.href = URL.createObjectURL(new Blob([mine.map((each) => JSON.stringify(each) + "\n").join("")], { type: "application/jsonl" }));
    link.download = data.run + "-labels-" + name + ".jsonl";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
})();
