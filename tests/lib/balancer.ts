import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** One address in front of several coordinators, as agents know it. */
export type Balancer = { url: string; close(): Promise<void> };

/**
 * Takes connections in turn to the upstreams; one that does not answer is skipped. What is connected stays where it is,
 * and is cut when its upstream goes.
 */
export const startBalancer = async (upstreams: readonly string[]): Promise<Balancer> => {
  const ports = upstreams.map((url) => Number(new URL(url).port));
  const sockets = new Set<Socket>();
  let turn = 0;

  const relay = (client: Socket, first: number, tried = 0): void => {
    if (tried === ports.length) return void client.resetAndDestroy();
    const upstream = connect(ports[(first + tried) % ports.length] ?? 0, '127.0.0.1');
    sockets.add(upstream);
    let connected = false;
    upstream.once('connect', () => {
      connected = true;
      client.pipe(upstream).pipe(client);
    });
    upstream.once('error', () => (connected || client.destroyed ? null : relay(client, first, tried + 1)));
    upstream.once('close', () => {
      sockets.delete(upstream);
      if (connected) client.destroy();
    });
    client.once('close', () => upstream.destroy());
  };

  const server = createServer({ noDelay: true }, (client) => {
    sockets.add(client);
    client.on('error', () => {}); // its `close` says the same
    client.once('close', () => sockets.delete(client));
    relay(client, turn++);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo; // a TCP server has one
  return {
    url: `http://127.0.0.1:${port}`,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
};
