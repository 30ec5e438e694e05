import { type LinkModel, LinkSchedule } from "../../transport/link-model.ts";

/** Devices that each send over a link of their own. A message to many leaves once: the broker multiplies it. */
export class Network {
  readonly #uplinks: readonly LinkSchedule[];
  #bytes = 0;

  constructor(devices: number, link: LinkModel) {
    this.#uplinks = Array.from({ length: devices }, () => new LinkSchedule(link));
  }

  /** Sent so far, by all devices. */
  get bytes(): number {
    return this.#bytes;
  }

  /** When a message that `device` sends now arrives. */
  send(device: number, bytes: number, nowMs: number): number {
    const uplink = this.#uplinks[device];
    if (uplink === undefined) throw new RangeError(`there is no device ${device}`);
    this.#bytes += bytes;
    return uplink.send(nowMs, bytes);
  }
}
