/** What a run shows: lines, and how far it is (one line that changes, or plain lines in a log). */

export interface Screen {
  line(text: string): void;
  progress(done: number, total: number): void;
}

const WIDTH = 25;
const EVERY = 10;

export function createScreen(out: NodeJS.WriteStream): Screen {
  let open = false;
  const clear = () => {
    if (open) out.write('\r\x1b[K');
    open = false;
  };
  return {
    line(text) {
      clear();
      out.write(`${text}\n`);
    },
    progress(done, total) {
      if (out.isTTY) {
        clear();
        const full = Math.round((done / total) * WIDTH);
        out.write(`  ${'█'.repeat(full)}${'░'.repeat(WIDTH - full)} ${done} of ${total}`);
        open = true;
      } else if (done % EVERY === 0 && done < total) {
        out.write(`  ${done} of ${total} …\n`);
      }
    },
  };
}
