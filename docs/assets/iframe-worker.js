/* Search in pages that are opened as files, where browsers start no Worker: a frame of the page does its work. */
"use strict";

function loaded(inside, address) {
  return new Promise((done, failed) => {
    const script = inside.document.createElement("script");
    script.onload = done;
    script.onerror = () => failed(new Error(`${address} can't be loaded`));
    script.src = address;
    inside.document.body.append(script);
  });
}

class FrameWorker extends EventTarget {
  constructor(address) {
    super();
    this.frame = document.createElement("iframe");
    this.frame.hidden = true;
    document.body.append(this.frame);
    const inside = this.frame.contentWindow;
    inside.postMessage = (data) => this.told(data);
    inside.importScripts = (...addresses) =>
      addresses.reduce((before, each) => before.then(() => loaded(inside, each)), Promise.resolve());
    this.ready = loaded(inside, address);
  }

  told(data) {
    const event = new MessageEvent("message", { data: structuredClone(data) });
    this.dispatchEvent(event);
    this.onmessage?.(event);
  }

  postMessage(data) {
    const event = new MessageEvent("message", { data: structuredClone(data) });
    this.ready.then(() => this.frame.contentWindow.dispatchEvent(event));
  }

  terminate() {
    this.frame.remove();
  }
}

if (location.protocol === "file:") window.Worker = FrameWorker;
