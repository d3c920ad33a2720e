// An HTTP endpoint of our own, on a free port of this machine: what a subscriber has.
// @ts-check
import { once } from 'node:events';
import { createServer } from 'node:http';

/** @typedef {{ path: string, headers: import('node:http').IncomingHttpHeaders, body: string }} Delivery */

/** How long a delivery may take: the server is not slow, but the machine may be. */
const PATIENCE_MS = 20_000;

export class Receiver {
  /** @type {Delivery[]} */
  #got = [];
  #server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request.setEncoding('utf8')) body += chunk;
    this.#got.push({ path: request.url ?? '', headers: request.headers, body });
    response.writeHead(200).end();
    this.#server.emit('delivery');
  });

  static async start() {
    const receiver = new Receiver();
    receiver.#server.listen(0, '127.0.0.1');
    await once(receiver.#server, 'listening');
    return receiver;
  }

  get url() {
    const address = /** @type {import('node:net').AddressInfo} */ (this.#server.address());
    return `http://127.0.0.1:${address.port}`;
  }

  /**
   * What arrived at a path, once each: at least `count`, or what there is when patience ends.
   * @param {string} path
   * @param {number} count
   */
  async deliveries(path, count) {
    const patience = AbortSignal.timeout(PATIENCE_MS);
    while (this.#at(path).length < count && !patience.aborted) {
      await once(this.#server, 'delivery', { signal: patience }).catch(() => {});
    }
    return this.#at(path);
  }

  /** @param {string} path */
  #at(path) {
    const here = this.#got.filter((delivery) => delivery.path === path);
    // At least once: the id tells what came again.
    return [...new Map(here.map((delivery) => [delivery.headers['webhook-id'], delivery])).values()];
  }

  async stop() {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}
