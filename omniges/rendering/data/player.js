// Bodies in motion beside each other, with cameras, parts, a time line and sound. The page of `omniges view` and the one of
// `omniges serve` share it. It needs THREE (three.min.js) and the elements of player.html; it asks the network for nothing.
"use strict";

const bytesOf = text => Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer;
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const cssColor = color => `rgb(${color.map(v => Math.round(255 * v))})`;

/** One motion, which may still grow. Blocks: turns [T, J, 4] x y z w times 32767, root [T, 3] metres, face [T, M] times 255. */
class Clip {
  constructor(info, joints, morphs) {
    Object.assign(this, { label: info.label, fps: info.fps, color: info.color, beats: [], frames: 0, shown: true });
    this.tracks = { turns: [Int16Array, 4 * joints], root: [Float32Array, 3], face: [Uint8Array, morphs] };
    for (const [name, [Kind]] of Object.entries(this.tracks)) this[name] = new Kind(0);
    this.append(info);
  }
  append(block) {
    const frames = this.frames + block.frames;
    for (const [name, [Kind, width]] of Object.entries(this.tracks)) {
      if (this[name].length < frames * width) {
        const grown = new Kind(2 * frames * width);
        grown.set(this[name].subarray(0, this.frames * width));
        this[name] = grown;
      }
      this[name].set(new Kind(bytesOf(block[name])), this.frames * width);
    }
    this.frames = frames;
    this.note(block);
  }
  /** What is known of a clip as a whole: floor, centre, beats, and a face track that replaces the present one. */
  note(facts) {
    if (facts.wholeFace) this.face.set(new Uint8Array(bytesOf(facts.wholeFace)));
    if (facts.beats) this.beats = facts.beats;
    if (facts.floor !== undefined) { this.floor = facts.floor; this.centre = facts.centre; }
    this.floorNow ??= this.floor;
    this.centreNow ??= [...(this.centre ?? [0, 0])];
  }
  get seconds() { return this.frames / this.fps; }
}

/** The geometry that all bodies share, and one three.js scene a clip. */
class Theatre {
  constructor(canvas, body) {
    this.body = body;
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: true, alpha: true });
    this.renderer.setClearColor(0x000000, 0);
    this.renderer.setScissorTest(true);
    this.skins = ["body", "face"].map(name => this.geometry(body.mesh[name]));
    this.partOf = new Array(body.parents.length).fill("");
    for (const [name, joints] of Object.entries(body.parts)) for (const j of joints) this.partOf[j] = name;
    this.scratch = [new THREE.Vector3(), new THREE.Vector3()];
  }
  geometry(mesh) {
    const geometry = new THREE.BufferGeometry(), put = (name, Kind, size, scaled) =>
      geometry.setAttribute(name, new THREE.BufferAttribute(new Kind(bytesOf(mesh[name])), size, scaled));
    put("position", Float32Array, 3); put("normal", Int8Array, 3, true); put("skinIndex", Uint8Array, 4); put("skinWeight", Uint8Array, 4, true);
    geometry.setIndex(new THREE.BufferAttribute(new Uint16Array(bytesOf(mesh.triangles)), 1));
    geometry.paint = new Uint8Array(bytesOf(mesh.color));
    if (mesh.morphs) {
      const all = new Float32Array(bytesOf(mesh.morphs)), size = 3 * mesh.vertices;
      geometry.morphAttributes.position = this.body.morphs.map((_, m) => new THREE.BufferAttribute(all.subarray(m * size, (m + 1) * size), 3));
      geometry.morphTargetsRelative = true;
    }
    return geometry;
  }
  /** A geometry in a clip's own shirt; all other attributes are shared. */
  tinted(base, color) {
    const geometry = base.clone(), shirt = this.body.shirt.map(v => 255 * v), paint = new Float32Array(base.paint.length), mix = new THREE.Color();
    for (const name of ["position", "normal", "skinIndex", "skinWeight"]) geometry.setAttribute(name, base.getAttribute(name));
    for (let i = 0; i < paint.length; i += 3) {
      const own = shirt.every((v, k) => Math.abs(base.paint[i + k] - v) < 3);
      mix.setRGB(...(own ? color : [base.paint[i] / 255, base.paint[i + 1] / 255, base.paint[i + 2] / 255]), "srgb").toArray(paint, i);
    }
    geometry.setAttribute("color", new THREE.BufferAttribute(paint, 3));
    return geometry;
  }
  add(clip) {
    const scene = new THREE.Scene(), bones = this.body.parents.map((_, j) => { const b = new THREE.Bone(); b.position.fromArray(this.body.offsets[j]); return b; });
    this.body.parents.forEach((parent, j) => (parent < 0 ? scene : bones[parent]).add(bones[j]));
    const inverse = this.body.joints.map(p => new THREE.Matrix4().makeTranslation(-p[0], -p[1], -p[2])), skeleton = new THREE.Skeleton(bones, inverse);
    const paint = new THREE.MeshStandardMaterial({ vertexColors: true, roughness: 0.82, metalness: 0 });
    const meshes = this.skins.map(base => {
      const mesh = new THREE.SkinnedMesh(this.tinted(base, clip.color), paint);
      mesh.frustumCulled = false; mesh.bind(skeleton, new THREE.Matrix4()); scene.add(mesh);
      return mesh;
    });
    const key = new THREE.DirectionalLight(0xfff4e6, 2.1), fill = new THREE.DirectionalLight(0xdfe9ff, 0.7);
    key.position.set(1.2, 2, 1.6); fill.position.set(-1.6, 0.6, 1.2);
    scene.add(new THREE.HemisphereLight(0xffffff, 0xb9bec9, 1.35), key, fill);
    const floor = new THREE.Mesh(new THREE.PlaneGeometry(12, 12).rotateX(-Math.PI / 2), floorMaterial());
    scene.add(floor);
    clip.stage = { scene, bones, face: meshes[1], floor, camera: new THREE.PerspectiveCamera(34, 1, 0.05, 40) };
  }
  drop(clip) {
    for (const piece of clip.stage.scene.children) { piece.geometry?.dispose(); piece.material?.dispose(); }
    clip.stage.bones[0].parent.remove(clip.stage.bones[0]);
  }
  /** Turn the bones and the face as they are at a time; a part that is switched off keeps its first frame. */
  pose(clip, time, frozen) {
    const J = this.body.parents.length, M = this.body.morphs.length, x = clamp(time * clip.fps, 0, clip.frames - 1), a = Math.floor(x), b = Math.min(a + 1, clip.frames - 1), s = x - a;
    const { bones, face } = clip.stage;
    for (let j = 0; j < J; j++) {
      const still = frozen.has(this.partOf[j]), i = 4 * ((still ? 0 : a) * J + j), k = 4 * ((still ? 0 : b) * J + j), q = bones[j].quaternion;
      let same = 0;
      for (let n = 0; n < 4; n++) same += clip.turns[i + n] * clip.turns[k + n];
      const at = n => (1 - s) * clip.turns[i + n] + (same < 0 ? -s : s) * clip.turns[k + n];
      q.set(at(0), at(1), at(2), at(3)).normalize();
    }
    const [f, g] = frozen.has(this.partOf[0]) ? [0, 0] : [3 * a, 3 * b];
    bones[0].position.set(...[0, 1, 2].map(n => (1 - s) * clip.root[f + n] + s * clip.root[g + n]));
    for (let m = 0; m < M; m++) face.morphTargetInfluences[m] = frozen.has("face") ? 0 : clip.face[a * M + m] / 255;
    bones[0].updateMatrixWorld(true);
  }
  /** Draw one clip into a box of the canvas (pixels of the page, from the top left). */
  draw(clip, box, look) {
    const { scene, bones, camera, floor } = clip.stage, [head, foot] = this.scratch, [cx, cz] = clip.centreNow;
    head.setFromMatrixPosition(bones[this.body.head].matrixWorld);
    const shots = { body: [[cx, clip.floorNow + 0.9, cz], 3.5], upper: [[cx, clip.floorNow + 1.2, cz], 2.2], face: [[head.x, head.y + 0.045, head.z], 0.8] };
    const [at, away] = shots[look.camera], far = away * look.near, flat = far * Math.cos(look.pitch), aspect = box.width / box.height;
    camera.position.set(at[0] + flat * Math.sin(look.yaw), at[1] + far * Math.sin(look.pitch), at[2] + flat * Math.cos(look.yaw));
    camera.lookAt(...at);
    camera.aspect = aspect;
    camera.fov = 360 / Math.PI * Math.atan(0.3 * Math.max(1, 0.6 * box.height / box.fit)); // a lone body in its row is no larger
    camera.updateProjectionMatrix();
    floor.position.set(cx, clip.floorNow, cz);
    this.body.feet.forEach((joint, n) => { foot.setFromMatrixPosition(bones[joint].matrixWorld); floor.material.uniforms.feet.value.setComponent(2 * n, foot.x - cx).setComponent(2 * n + 1, foot.z - cz); });
    const low = this.renderer.domElement.clientHeight - box.y - box.height;
    this.renderer.setViewport(box.x, low, box.width, box.height);
    this.renderer.setScissor(box.x, low, box.width, box.height);
    this.renderer.render(scene, camera);
  }
}

function floorMaterial() {
  return new THREE.ShaderMaterial({
    transparent: true, depthWrite: false, uniforms: { feet: { value: new THREE.Vector4() } },
    vertexShader: "varying vec2 q; void main() { q = position.xz; gl_Position = projectionMatrix * modelViewMatrix * vec4(position, 1.); }",
    fragmentShader: `varying vec2 q; uniform vec4 feet;
      void main() {
        vec2 g = abs(fract(2. * q) - .5), w = fwidth(2. * q);
        float grid = max(smoothstep(.5 - w.x, .5, g.x), smoothstep(.5 - w.y, .5, g.y)) * .45;
        vec2 a = q - feet.xy, b = q - feet.zw, c = q - .5 * (feet.xy + feet.zw);
        float dark = .34 * exp(-90. * dot(a, a)) + .34 * exp(-90. * dot(b, b)) + .22 * exp(-9. * dot(c, c));
        gl_FragColor = vec4(mix(vec3(.79, .81, .85), vec3(.68, .71, .76), grid) * (1. - min(dark, .7)), smoothstep(3.6, .9, length(q)));
      }`,
  });
}

/** Everything a person sees and touches. `data`: body, and at first clips, words, peaks, onsets, sound (an URL), all optional. */
class Player {
  constructor(data) {
    for (const name of ["view", "line", "sound", "play", "clock", "speed", "stage", "cameras", "parts", "bodies", "help", "caption"]) this[name] = document.getElementById(name);
    this.state = { time: 0, playing: false, waiting: false, live: false, yaw: 0, pitch: 0.07, near: 1, camera: "body", frozen: new Set(), drawn: 0, drawnTime: 0, errors: [] };
    addEventListener("error", e => this.state.errors.push(e.message));
    this.clips = []; this.words = []; this.peaks = []; this.onsets = []; this.boxes = []; this.total = 0; this.dirty = true; this.rolling = false; this.blockSeconds = 1; this.last = 0;
    if (document.createElement("canvas").getContext("webgl2")) this.theatre = new Theatre(this.view, data.body);
    else this.say("This browser has no WebGL 2, so the bodies can't be shown. The sound still plays.");
    this.body = data.body;
    this.controls();
    this.show(data);
    new ResizeObserver(() => this.touch()).observe(this.stage);
    requestAnimationFrame(now => this.tick(now));
  }
  say(text) {
    this.problem?.remove();
    if (!text) return;
    this.problem = Object.assign(document.createElement("p"), { className: "problem", textContent: text });
    this.stage.append(this.problem);
  }
  touch() { this.dirty = true; }

  // ---- what is shown
  /** Replace everything that is shown. `total`: seconds that the sound lasts, where the motion is still to come. */
  show({ clips = [], words = [], peaks = [], peakSeconds = null, onsets = [], sound = null, total = 0 }) {
    this.pause();
    for (const clip of this.clips) { if (this.theatre) this.theatre.drop(clip); clip.tag.remove(); }
    Object.assign(this, { words, peaks, peakSeconds, onsets, total, clips: [] });
    this.caption.hidden = !words.length;
    this.setSound(sound);
    clips.forEach(info => this.add(info));
    this.seek(0);
  }
  setSound(url) {
    this.hasSound = Boolean(url);
    if (url) this.sound.src = url; else this.sound.removeAttribute("src");
  }
  add(info) {
    const clip = new Clip(info, this.body.parents.length, this.body.morphs.length);
    if (this.theatre) this.theatre.add(clip);
    clip.tag = Object.assign(document.createElement("div"), { className: "label", textContent: clip.label });
    clip.tag.style.borderColor = cssColor(clip.color);
    this.stage.append(clip.tag);
    this.clips.push(clip);
    this.bodies.replaceChildren();
    this.bodies.hidden = this.clips.length < 2;
    if (!this.bodies.hidden) this.clips.forEach(one => button(this.bodies, one.label, one.shown, b => {
      if (one.shown && this.clips.filter(c => c.shown).length === 1) return;
      one.shown = !one.shown; b.setAttribute("aria-pressed", one.shown); this.touch();
    }));
    this.touch();
    return clip;
  }
  /** Seconds that can be played, and seconds that the time line spans. */
  get ready() { return this.clips.length ? Math.min(...this.clips.map(c => c.seconds)) : 0; }
  get duration() { return Math.max(this.total, this.ready); }
  /** More of a clip's motion has come. */
  append(index, block) {
    this.clips[index].append(block);
    this.blockSeconds = block.frames / block.fps;
    this.touch();
  }
  note(index, facts) { this.clips[index].note(facts); this.touch(); }

  // ---- time: the sound's own clock leads; without sound, the page's
  tick(now) {
    const passed = Math.min(now - this.last, 250) / 1000, { state } = this;
    this.last = now;
    if (state.waiting && (this.ready > state.time + 0.5 || this.ready >= this.duration)) { state.waiting = false; this.start(); }
    if (state.live) this.follow(passed);
    else if (state.playing && !state.waiting) {
      state.time = this.hasSound ? this.sound.currentTime : state.time + passed * Number(this.speed.value);
      if (this.ready < this.duration && state.time > this.ready - 0.05) { state.waiting = true; this.sound.pause(); }
      if (state.time >= this.duration || (this.hasSound && this.sound.ended)) { this.pause(); this.seek(0); }
    }
    const eased = this.ease(passed);
    if (this.dirty || eased || state.playing || state.live) this.draw();
    requestAnimationFrame(next => this.tick(next));
  }
  /** Live: blocks come in jerks, so gather a little before moving, and hurry where too much has gathered. */
  follow(passed) {
    const ahead = this.ready - this.state.time;
    this.rolling = ahead > this.blockSeconds || (this.rolling && ahead > 0);
    if (this.rolling) this.state.time = Math.min(this.ready, this.state.time + passed * (ahead > 1.5 * this.blockSeconds ? 1.25 : 1));
  }
  ease(passed) {
    let moved = false;
    for (const clip of this.clips) {
      const share = 1 - Math.exp(-3 * passed), near = (from, to) => { if (Math.abs(to - from) < 1e-3) return to; moved = true; return from + share * (to - from); };
      clip.floorNow = near(clip.floorNow, clip.floor);
      clip.centreNow = clip.centreNow.map((v, k) => near(v, clip.centre[k]));
    }
    return moved;
  }
  seek(time) {
    this.state.time = clamp(time, 0, this.ready);
    if (this.hasSound) this.sound.currentTime = this.state.time;
    this.touch();
  }
  pause() {
    Object.assign(this.state, { playing: false, waiting: false });
    this.sound.pause();
    this.play.textContent = "Play"; this.play.setAttribute("aria-label", "Play");
    this.touch();
  }
  start() {
    if (!this.clips.length) return;
    this.state.playing = true;
    this.play.textContent = "Pause"; this.play.setAttribute("aria-label", "Pause");
    this.sound.playbackRate = Number(this.speed.value);
    if (this.hasSound) this.sound.play().catch(e => { if (e.name !== "AbortError") { this.state.errors.push(e.message); this.pause(); } });
  }
  toggle() { if (this.state.playing) this.pause(); else this.start(); }

  // ---- drawing
  draw() {
    this.dirty = false;
    const shown = this.clips.filter(clip => clip.shown && clip.frames);
    this.layout(shown);
    if (this.theatre) {
      const { renderer } = this.theatre, wide = this.stage.clientWidth, high = this.stage.clientHeight, scale = Math.min(devicePixelRatio || 1, 2);
      if (renderer.getPixelRatio() !== scale) renderer.setPixelRatio(scale);
      if (this.view.clientWidth && (this.wide !== wide || this.high !== high)) { renderer.setSize(wide, high, false); this.wide = wide; this.high = high; }
      renderer.setScissor(0, 0, wide, high); renderer.setViewport(0, 0, wide, high); renderer.clear();
      shown.forEach((clip, i) => { this.theatre.pose(clip, this.state.time, this.state.frozen); this.theatre.draw(clip, this.boxes[i], this.state); });
    }
    this.drawLine();
    this.state.drawnTime = this.state.time;
    this.state.drawn++;
  }
  /** As many columns as make the bodies tallest, the last row in the middle; a label stands above its body. */
  layout(shown) {
    const wide = this.stage.clientWidth, high = this.stage.clientHeight, n = shown.length || 1, above = 26;
    const tall = columns => Math.min(wide / columns / 0.6, high / Math.ceil(n / columns) - above);
    const columns = [...Array(n).keys()].map(i => i + 1).reduce((best, c) => tall(c) > tall(best) ? c : best, 1), rows = Math.ceil(n / columns);
    this.boxes = shown.map((_, i) => {
      const row = Math.floor(i / columns), beside = Math.min(columns, n - row * columns), width = wide / beside;
      return { x: (i % columns) * width, y: row * high / rows + above, width, height: high / rows - above, fit: wide / columns };
    });
    this.clips.forEach(clip => { clip.tag.hidden = !shown.includes(clip); });
    shown.forEach((clip, i) => { clip.tag.style.left = `${this.boxes[i].x + 10}px`; clip.tag.style.top = `${this.boxes[i].y - above + 6}px`; clip.tag.style.maxWidth = `${this.boxes[i].width - 20}px`; });
  }
  /** From the top: a row of marks a body where a hand stops after a stroke, the wave with the sound's onsets, the words. */
  drawLine() {
    const { line, duration } = this, scale = devicePixelRatio || 1, w = line.width = Math.round(line.clientWidth * scale), h = line.height = Math.round(line.clientHeight * scale), g = line.getContext("2d");
    const x = t => duration ? t / duration * w : 0, top = (6 + 7 * this.clips.length) * scale, foot = h - 20 * scale, middle = (top + foot) / 2;
    g.fillStyle = "#a9bdd3";
    g.beginPath();
    this.peaks.forEach((p, i) => { const size = Math.max(scale, (foot - top) * p), left = Math.floor(x(this.peakTime(i))); g.rect(left, middle - size / 2, Math.max(1, Math.ceil(x(this.peakTime(i + 1))) - left), size); });
    g.fill();
    g.fillStyle = "#3f6593";
    this.onsets.forEach(t => { g.beginPath(); g.arc(x(t), foot - 2 * scale, 2 * scale, 0, 7); g.fill(); });
    this.clips.forEach((clip, i) => { g.fillStyle = cssColor(clip.color); clip.beats.forEach(t => g.fillRect(x(t) - scale, (4 + 7 * i) * scale, 2 * scale, 6 * scale)); });
    g.font = `${12 * scale}px system-ui, sans-serif`; g.textBaseline = "bottom";
    const spoken = word => word.start_s <= this.state.time && this.state.time < word.end_s;
    for (const word of this.words) { g.fillStyle = spoken(word) ? "#ffd97a" : "#e3e7ed"; g.fillRect(x(word.start_s), foot + scale, Math.max(scale, x(word.end_s) - x(word.start_s) - scale), h - foot); }
    g.fillStyle = "#262c38";
    let free = 0;
    for (const word of this.words) { const px = x(word.start_s); if (px >= free) { g.fillText(word.text, px + 3 * scale, h - 3 * scale); free = px + 8 * scale + g.measureText(word.text).width; } }
    this.subtitle(this.words.findIndex(spoken));
    if (this.ready < duration) { g.fillStyle = "rgba(255, 255, 255, .6)"; g.fillRect(x(this.ready), 0, w, h); }
    g.fillStyle = "#c0392b"; g.fillRect(x(this.state.time) - scale, 0, 2 * scale, h);
    this.clock.textContent = `${this.state.time.toFixed(2)} / ${duration.toFixed(2)} s`;
    line.setAttribute("aria-valuemax", duration.toFixed(2)); line.setAttribute("aria-valuenow", this.state.time.toFixed(2));
    line.setAttribute("aria-valuetext", `${this.state.time.toFixed(1)} of ${duration.toFixed(1)} seconds`);
  }
  /** The word that is spoken, between its neighbours. */
  subtitle(now) {
    const near = now < 0 ? [] : this.words.slice(Math.max(0, now - 4), now + 5).map((word, i) => Object.assign(document.createElement(i === Math.min(now, 4) ? "b" : "span"), { textContent: word.text }));
    if (this.spoken === now) return;
    this.spoken = now;
    this.caption.replaceChildren(...near.flatMap(node => [node, " "]));
  }
  peakTime(i) { return i * (this.peakSeconds ?? this.duration / this.peaks.length); }

  // ---- hands: mouse, fingers, keys
  controls() {
    this.play.onclick = () => this.toggle();
    this.speed.onchange = () => { this.sound.playbackRate = Number(this.speed.value); };
    const scrub = e => { if (e.buttons & 1) { const box = this.line.getBoundingClientRect(); this.seek((e.clientX - box.left) / box.width * this.duration); } };
    this.line.onpointerdown = e => { this.line.setPointerCapture(e.pointerId); scrub(e); };
    this.line.onpointermove = scrub;
    this.cameraHands();
    for (const name of ["body", "upper", "face"]) button(this.cameras, name, name === "body", () => this.shoot(name));
    for (const name of [...Object.keys(this.body.parts), "face"]) button(this.parts, name, true, b => {
      const on = this.state.frozen.delete(name);
      if (!on) this.state.frozen.add(name);
      b.setAttribute("aria-pressed", on); this.touch();
    });
    addEventListener("keydown", e => this.key(e));
  }
  shoot(name) {
    Object.assign(this.state, { camera: name, near: 1 });
    for (const each of this.cameras.querySelectorAll("button")) each.setAttribute("aria-pressed", each.textContent === name);
    this.touch();
  }
  zoom(by) { this.state.near = clamp(this.state.near * by, 0.3, 3); this.touch(); }
  turn(yaw, pitch) { this.state.yaw += yaw; this.state.pitch = clamp(this.state.pitch + pitch, -0.1, 1.4); this.touch(); }
  cameraHands() {
    const fingers = new Map(), { view } = this;
    let spread = 0;
    view.onpointerdown = e => { view.setPointerCapture(e.pointerId); fingers.set(e.pointerId, e); spread = 0; };
    view.onpointerup = view.onpointercancel = e => fingers.delete(e.pointerId);
    view.onpointermove = e => {
      const before = fingers.get(e.pointerId);
      if (!before) return;
      fingers.set(e.pointerId, e);
      if (fingers.size !== 2) { this.turn((before.clientX - e.clientX) * 0.008, (e.clientY - before.clientY) * 0.008); return; }
      const [a, b] = fingers.values(), now = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
      if (spread) this.zoom(spread / now);
      spread = now;
    };
    view.addEventListener("wheel", e => { e.preventDefault(); this.zoom(Math.exp(e.deltaY * 0.001)); }, { passive: false });
    view.ondblclick = () => { Object.assign(this.state, { yaw: 0, pitch: 0.07, near: 1 }); this.touch(); };
  }
  key(e) {
    const typing = ["SELECT", "INPUT", "TEXTAREA"].includes(e.target.tagName), pressing = ["BUTTON", "SUMMARY", "A"].includes(e.target.tagName) && (e.key === " " || e.key === "Enter");
    if (typing || pressing || e.ctrlKey || e.metaKey || e.altKey) return;
    const frame = this.clips.length ? 1 / this.clips[0].fps : 0, by = step => () => this.seek(this.state.time + step);
    const acts = {
      " ": () => this.toggle(), ArrowLeft: by(-0.5), ArrowRight: by(0.5), ",": by(-frame), ".": by(frame), Home: () => this.seek(0), End: () => this.seek(this.ready),
      "+": () => this.zoom(0.9), "-": () => this.zoom(1 / 0.9), a: () => this.turn(-0.15, 0), d: () => this.turn(0.15, 0), w: () => this.turn(0, 0.1), s: () => this.turn(0, -0.1),
      1: () => this.shoot("body"), 2: () => this.shoot("upper"), 3: () => this.shoot("face"), "?": () => { this.help.open = !this.help.open; },
    };
    if (acts[e.key]) { e.preventDefault(); acts[e.key](); }
  }
}

function button(parent, text, pressed, act) {
  const b = Object.assign(document.createElement("button"), { type: "button", textContent: text });
  b.setAttribute("aria-pressed", pressed);
  b.onclick = () => act(b);
  parent.append(b);
  return b;
}
