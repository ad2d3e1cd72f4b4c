// Video: fragments over a WebSocket into Media Source Extensions, played at the live edge.

import { base, camera, socketTo } from "./requests.js";

export class Player {
  constructor(tile) {
    this.tile = tile;
    this.video = tile.find("video");
    this.image = tile.find("img");
    this.frames = [];
    this.pending = [];
    this.delay = 0.15;
    this.wait = 500;
    this.plays = Boolean(window.MediaSource);
    this.image.onerror = () => {
      this.image.removeAttribute("src");
      this.useImages = false; // the reason that there was no video may be gone
      this.again();
    };
  }

  start() {
    if (this.socket || this.image.src) return;
    if (!this.plays || this.useImages) return this.startImages();
    this.video.hidden = false;
    this.image.hidden = true;
    const socket = socketTo(camera(this.tile.name, "/video"));
    this.socket = socket;
    socket.onmessage = (event) => this.receive(event.data);
    socket.onclose = (event) => {
      if (this.socket !== socket) return; // it was given up, and there may be another by now
      this.socket = null;
      if (event.code === 4503) [this.useImages, this.reason] = [true, event.reason];
      this.again();
    };
  }

  again() {
    clearTimeout(this.retry);
    this.wait = Math.min(2 * this.wait, 8000);
    if (this.wanted) this.retry = setTimeout(() => this.wanted && this.start(), this.wait);
  }

  // Whether there is something to see.
  get shows() { return this.image.hidden ? this.video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA : this.image.naturalWidth > 0; }

  startImages() {
    this.tile.synchronised = false;
    this.video.hidden = true;
    this.image.hidden = false;
    this.image.src = new URL(camera(this.tile.name, "/video.mjpeg"), base);
  }

  want(wanted) {
    if (wanted === this.wanted) return;
    this.wanted = wanted;
    clearTimeout(this.retry);
    if (wanted) return this.start();
    this.socket?.close();
    this.socket = null;
    this.image.removeAttribute("src");
  }

  receive(data) {
    const size = new DataView(data).getUint32(0);
    const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, size)));
    const bytes = new Uint8Array(data, 4 + size);
    this.reason = "";
    if (head.mime) return this.begin(head, bytes);
    this.wait = 500;
    this.frames.push(head);
    if (this.frames.length > 400) this.frames.splice(0, 200);
    this.tile.setSize(...head.size);
    this.append(bytes);
    this.follow(head.time);
  }

  begin(head, init) {
    if (!MediaSource.isTypeSupported(head.mime)) {
      this.plays = false;
      this.socket?.close();
      return;
    }
    this.source = new MediaSource();
    this.buffer = null;
    this.frames = [];
    this.pending = [init];
    this.playing = false;
    this.source.onsourceopen = () => {
      URL.revokeObjectURL(this.video.src);
      this.buffer = this.source.addSourceBuffer(head.mime);
      this.buffer.onupdateend = () => this.pump();
      this.pump();
    };
    this.video.src = URL.createObjectURL(this.source);
    this.tile.synchronised = true;
    this.watchFrames();
  }

  append(bytes) {
    this.pending.push(bytes);
    this.pump();
  }

  pump() {
    if (!this.buffer || this.buffer.updating || this.source.readyState !== "open") return;
    const old = this.video.currentTime - 8;
    if (this.buffer.buffered.length && old - this.buffer.buffered.start(0) > 8) return this.buffer.remove(0, old);
    if (!this.pending.length) return;
    const all = new Blob(this.pending);
    this.pending = [];
    all.arrayBuffer().then((joined) => {
      if (this.source.readyState !== "open" || this.buffer.updating) return this.pending.unshift(joined);
      try { this.buffer.appendBuffer(joined); } catch { this.socket?.close(); }
    });
  }

  // Stay a little behind the newest frame: further behind play faster, far behind jump.
  follow(newest) {
    const video = this.video;
    if (!video.buffered.length) return;
    const times = this.frames.slice(-12).map((frame) => frame.time);
    const step = times.length > 1 ? (times.at(-1) - times[0]) / (times.length - 1) : 0.1;
    this.delay = Math.min(3, Math.max(0.12, 2.2 * step));
    const lag = newest - video.currentTime;
    if (!this.playing || lag > this.delay + 1 + step || lag < -0.5) {
      video.currentTime = Math.max(video.buffered.start(video.buffered.length - 1), newest - this.delay);
      this.playing = true;
    }
    video.playbackRate = lag > this.delay + 0.1 ? 1.1 : lag < this.delay - 0.06 ? 0.94 : 1;
    if (video.paused) video.play().catch(() => {});
  }

  watchFrames() {
    const watched = this.source;
    const next = (_, shown) => {
      if (watched !== this.source) return;
      const frame = this.frames.findLast((each) => each.time <= shown.mediaTime + 0.004);
      if (frame) this.tile.draw(frame.result, frame.size, frame.time);
      this.video.requestVideoFrameCallback(next);
    };
    if (this.video.requestVideoFrameCallback) this.video.requestVideoFrameCallback(next);
    else this.tile.synchronised = false;
  }
}
