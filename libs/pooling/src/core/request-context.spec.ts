type Room = typeof import('./request-context.js');

/** A room of its own: what is kept is kept by the process. */
async function freshRoom(): Promise<Room> {
  vi.resetModules();
  return await import('./request-context.js');
}

const CHEAP = Number.parseInt(process.versions.node, 10) >= 24;

describe('the context of a request', () => {
  it('is not kept before somebody asks for it, and what would change it just runs', async () => {
    const room = await freshRoom();
    expect(room.keepsRequests()).toBe(false);
    expect(room.inRequest({ handler: 'OrdersController.create' }, () => room.presentHandler())).toBeUndefined();
    expect(room.presentRequest()).toBeUndefined();
  });

  it('is kept for names alone where that costs next to nothing', async () => {
    const room = await freshRoom();
    room.keepRequestsIfCheap();
    expect(room.keepsRequests()).toBe(CHEAP);
  });

  it('goes along with what a function starts, and keeps what a change does not name', async () => {
    const room = await freshRoom();
    room.keepRequests();
    const transaction = {};
    const seen = await room.inRequest({ handler: 'OrdersController.create' }, () =>
      room.inRequest({ transaction }, async () => {
        await new Promise((resolve) => setTimeout(resolve, 1));
        return room.presentRequest();
      }),
    );
    expect(seen).toEqual({ handler: 'OrdersController.create', transaction });
    expect(room.presentRequest()).toBeUndefined();
  });

  it('is the outer one again where a change has taken something away', async () => {
    const room = await freshRoom();
    room.keepRequests();
    room.inRequest({ handler: 'Outer.call', transaction: {} }, () => {
      room.inRequest({ transaction: undefined }, () =>
        expect(room.presentRequest()).toEqual({ handler: 'Outer.call', transaction: undefined }),
      );
      expect(room.presentRequest()?.transaction).toEqual({});
    });
  });
});
