// The page of `omniges serve`: sends a file or the microphone, and shows the body while its motion is still coming.
"use strict";

const $ = id => document.getElementById(id);
const MOST_BODIES = 4;
const app = { player: null, settings: null, takes: [], busy: false, recording: null, errors: [] };
window.app = app;

function say(text, bad = false) { $("status").textContent = text; $("status").classList.toggle("bad", bad); }
function settings() { return { seed: Number($("seed").value) || 0, speaker: $("speaker").value === "" ? null : Number($("speaker").value) }; }
function query(fields) { return new URLSearchParams(Object.entries(fields).filter(([, value]) => value !== null && value !== "")); }

function busy(on) {
  app.hint.hidden = on || app.player.clips.length > 0;
  app.busy = on;
  $("choose").disabled = on;
  $("record").disabled = on && !app.recording;
  $("again").disabled = on || !app.takes.length || app.takes.length >= MOST_BODIES;
}

// ---- what the server says, one message after the other
class Coming {
  /** `beside`: leave the bodies that are there; the sound is theirs. */
  constructor(label, { live = false, beside = false } = {}) { Object.assign(this, { label, live, beside, index: -1 }); }

  take(message) { return this[message.kind](message); }

  async begun(message) {
    const { player } = app, { id, seconds, words, peaks, onsets } = message;
    this.seconds = seconds;
    if (this.beside) { player.pause(); player.seek(0); player.total = seconds; return; }
    app.takes = [];
    showFiles();
    if (!this.live) player.show({ words, peaks, onsets, total: seconds, sound: await fetchSound(id) });
  }
  block(message) {
    const { player } = app;
    if (this.index < 0) {
      this.index = player.clips.length;
      player.add({ ...message, label: this.label, color: app.settings.colors[this.index] });
      if (this.live) player.state.live = true;
      else if (!this.beside) player.start();
    } else player.append(this.index, message);
    if (!this.live) say(`Moving: ${player.clips[this.index].seconds.toFixed(1)} of ${this.seconds.toFixed(1)} s are ready.`);
  }
  async done(message) {
    const { player } = app;
    player.note(this.index, message);
    app.takes.push({ id: message.id, label: this.label, formats: message.formats });
    if (this.live) {
      player.setSound(await fetchSound(message.id));
      Object.assign(player, { peaks: message.peaks, peakSeconds: null, onsets: message.onsets });
      player.state.live = false;
      player.seek(0);
    }
    player.total = 0;
    player.touch();
    showFiles();
    say(this.live ? "That was you. Play it with its sound, or take the files." : "All of it is ready.");
  }
  failed(message) { throw new Error(message.error); }
}

async function fetchSound(id) {
  const answer = await fetch(`takes/${id}/speech.wav`);
  if (!answer.ok) throw new Error(await problem(answer));
  if (app.sound) URL.revokeObjectURL(app.sound);
  app.sound = URL.createObjectURL(await answer.blob());
  return app.sound;
}
async function problem(answer) {
  try { const { error, detail } = await answer.json(); return error || JSON.stringify(detail); } catch { return `The server answered ${answer.status}.`; }
}

/** Read a streamed answer, one JSON message a line. */
async function follow(answer, coming) {
  if (!answer.ok) throw new Error(await problem(answer));
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) await coming.take(JSON.parse(line));
  }
}

async function attempt(work) {
  busy(true);
  try { await work(); } catch (error) { app.player.state.live = false; say(error.message, true); app.errors.push(error.message); }
  busy(false);
}

// ---- a file
function send(file) {
  return attempt(async () => {
    if (file.size > app.settings.upload_bytes) throw new Error(`${file.name}: got ${(file.size / 1e6).toFixed(1)} MB, wanted ${app.settings.upload_bytes / 1e6} MB at most.`);
    say(`Sending ${file.name}.`);
    const given = settings(), coming = new Coming(`seed ${given.seed}`);
    await follow(await fetch(`takes?${query({ ...given, name: file.name, said: $("said").value.trim() })}`, { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" } }), coming);
  });
}
function another() {
  return attempt(async () => {
    $("seed").value = Number($("seed").value) + 1;
    const given = settings(), coming = new Coming(`seed ${given.seed}`, { beside: true });
    say("Another take, beside the first.");
    await follow(await fetch(`takes/${app.takes[0].id}/again?${query(given)}`, { method: "POST" }), coming);
  });
}

// ---- the microphone
async function record() {
  if (app.recording) { app.recording.stop(); return; }
  await attempt(async () => {
    if (!navigator.mediaDevices) throw new Error("A browser gives the microphone to pages of localhost or https only.");
    const stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: false } });
    const context = new AudioContext();
    await context.audioWorklet.addModule("recorder.js");
    const source = context.createMediaStreamSource(stream), node = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
    const given = settings(), coming = new Coming(`seed ${given.seed}`, { live: true }), peaks = [];
    app.player.show({ peaks, peakSeconds: 2048 / context.sampleRate });
    const socket = new WebSocket(new URL("live", location.href).href.replace(/^http/, "ws"));
    const ended = talk(socket, coming);
    await new Promise((go, fail) => { socket.onopen = go; socket.addEventListener("close", () => fail(new Error("The server doesn't answer."))); });
    socket.send(JSON.stringify({ ...given, rate: context.sampleRate, name: "recording" }));
    node.port.onmessage = ({ data }) => {
      if (socket.readyState !== WebSocket.OPEN || !app.recording) return;
      socket.send(data.buffer);
      peaks.push(Math.min(1, 1.4 * data.reduce((most, v) => Math.max(most, Math.abs(v)), 0)));
      app.player.total = peaks.length * 2048 / context.sampleRate;
      app.player.touch();
      say(`Listening: ${app.player.total.toFixed(1)} s. The body follows ${app.settings.live_delay_s.toFixed(1)} s behind your voice.`);
      if (app.player.total > app.settings.longest_s) app.recording.stop();
    };
    const close = () => { stream.getTracks().forEach(track => track.stop()); context.close(); recordButton(false); };
    app.recording = { stop() { app.recording = null; close(); socket.send("end"); say("The last of it is moving."); } };
    recordButton(true);
    source.connect(node);
    try { await ended; } finally { if (app.recording) { app.recording = null; close(); } }
  });
}
function talk(socket, coming) {
  return new Promise((go, fail) => {
    let work = Promise.resolve();
    socket.onmessage = ({ data }) => { work = work.then(() => coming.take(JSON.parse(data))); work.catch(fail); };
    socket.addEventListener("close", () => work.then(() => coming.index < 0 || !app.takes.length ? fail(new Error("The connection ended before the motion was whole.")) : go(), fail));
  });
}
function recordButton(on) {
  $("record").textContent = on ? "Stop" : "Record";
  $("record").setAttribute("aria-pressed", on);
  $("record").disabled = false;
}

// ---- files to take home
function showFiles() {
  $("files").replaceChildren(...app.takes.map(take => {
    const row = document.createElement("div"), name = Object.assign(document.createElement("span"), { textContent: take.label });
    row.append(name, ...take.formats.map(kind => Object.assign(document.createElement("a"), { textContent: kind, href: `takes/${take.id}/motion.${kind}`, download: "" })));
    return row;
  }));
}

async function main() {
  app.settings = await (await fetch("settings.json")).json();
  for (const number of app.settings.speakers) $("speaker").append(Object.assign(document.createElement("option"), { value: number, textContent: `speaker ${number}` }));
  $("kept").textContent = `On this machine only. The file you send is deleted once it is decoded; takes are dropped after ${Math.round(app.settings.keep_s / 60)} minutes without use, or when the server ends.`;
  app.player = new Player({ body: app.settings.body });
  window.omniges = app.player.state;
  app.hint = Object.assign(document.createElement("p"), { id: "hint", textContent: "Drop a voice here" });
  app.player.stage.append(app.hint);
  $("record").onclick = record;
  $("choose").onclick = () => $("file").click();
  $("again").onclick = another;
  $("file").onchange = () => { const [file] = $("file").files; $("file").value = ""; if (file) send(file); };
  addEventListener("dragover", e => { e.preventDefault(); document.body.classList.add("over"); });
  addEventListener("dragleave", e => { if (!e.relatedTarget) document.body.classList.remove("over"); });
  addEventListener("drop", e => {
    e.preventDefault();
    document.body.classList.remove("over");
    const [file] = e.dataTransfer.files;
    if (file && !app.busy) send(file);
  });
}
main().catch(error => say(error.message, true));
