// Runs beside the page's script: hands on the microphone's samples, in pieces of 2048.
"use strict";

class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.held = new Float32Array(2048);
    this.count = 0;
  }
  process([channels]) {
    const wave = channels[0];
    if (wave) for (const value of wave) {
      this.held[this.count++] = value;
      if (this.count === this.held.length) { this.port.postMessage(this.held.slice()); this.count = 0; }
    }
    return true;
  }
}
registerProcessor("recorder", Recorder);
