import { Aborts, type Abortable } from './aborts.js';

describe('aborts', () => {
  it('reach everything that watches a signal, once, and nothing that was forgotten', () => {
    const aborts = new Aborts();
    const controller = new AbortController();
    const reached: string[] = [];
    const watching = (name: string): Abortable => {
      const abortable = { aborted: (reason: unknown) => reached.push(`${name}: ${String(reason)}`) };
      aborts.watch(controller.signal, abortable);
      return abortable;
    };
    watching('one');
    const forgotten = watching('two');
    watching('three');
    aborts.forget(controller.signal, forgotten);
    aborts.forget(new AbortController().signal, forgotten);
    controller.abort('enough');
    controller.abort('again');
    expect(reached).toEqual(['one: enough', 'three: enough']);
  });
});
