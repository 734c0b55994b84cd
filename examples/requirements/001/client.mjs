// A client of `a3cp serve` over a socket, for browsers and Node (22, or 20 with --experimental-websocket).
//
// It comes back after a broken line and goes on where it was: what was not acknowledged is sent again, and the service
// says nothing twice. docs/sockets.md has the frames.

const COME_BACK = new Set([1006, 1012, 1013, 4008, 4429]);
const AGAIN_MS = [0, 200, 1000, 5000];
const PING_MS = 20_000;
const SILENCE_MS = 45_000; // A line that is silent for longer is lost, though nobody has told: every ping is answered.

export class SessionSocket {
  #url;
  #socket;
  #session;
  #position;
  #isReady = false; // once the socket that stands has said session_created
  #ackId = 0;
  #waiting = new Map(); // by ackId: the frame, and whom to tell once the log has it
  #failures = 0;
  #subscribes = false;
  #over; // why the socket does not come back, once that is so

  // `onFrame` is called with each frame of the service, `onClose` with the code once the socket does not come back.
  constructor(url, { onFrame = () => {}, onClose = () => {} } = {}) {
    this.#url = url;
    this.onFrame = onFrame;
    this.onClose = onClose;
    this.#connect();
  }

  // Says something in the session; the promise holds the acknowledgement, once the log has it.
  say(command, payload) {
    return this.#send({ command, payload, timestamp: Date.now() });
  }

  // Asks for something else: touch, pause, resume, note, end, subscribe.
  ask(type, payload) {
    if (type === "subscribe") this.#subscribes = true;
    return this.#send({ type, payload });
  }

  close() {
    this.#socket.close(1000);
  }

  #send(frame) {
    if (this.#over) return Promise.reject(this.#over);
    const ackId = ++this.#ackId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(ackId, { frame: { ...frame, ackId }, resolve, reject });
      if (this.#isReady) this.#transmit(ackId); // Else it waits its turn behind the others.
    });
  }

  #transmit(ackId) {
    const { frame } = this.#waiting.get(ackId);
    this.#socket.send(JSON.stringify({ sessionId: this.#session.sessionId, ...frame }));
  }

  #connect() {
    const url = new URL(this.#url);
    if (this.#session) {
      url.searchParams.set("session_id", this.#session.sessionId);
      url.searchParams.set("resume_token", this.#session.resumeToken);
      url.searchParams.set("after", this.#position);
    }
    if (this.#subscribes) url.searchParams.set("subscribe", "1");
    const socket = (this.#socket = new WebSocket(url, ["a3cp.v1"]));
    let isOver = false, heardMs = Date.now();
    const over = (code, reason) => {
      clearInterval(pings);
      if (!isOver) this.#closed(code, reason);
      isOver = true;
    };
    const pings = setInterval(() => {
      if (Date.now() - heardMs > SILENCE_MS) {
        over(1006);
        socket.close();
      } else if (this.#isReady) socket.send('{"type": "ping"}');
    }, PING_MS);
    socket.onmessage = ({ data }) => {
      heardMs = Date.now();
      if (!isOver) this.#take(JSON.parse(data));
    };
    socket.onclose = ({ code, reason }) => over(code, reason);
    socket.onerror = () => setTimeout(() => over(1006), 500); // A close follows, but not in Node 20.
  }

  #take(frame) {
    const { type, payload, ackId } = frame;
    if (type === "session_created") {
      this.#session = payload;
      this.#isReady = true;
      this.#position = payload.position;
      this.#failures = 0;
      for (const waiting of this.#waiting.keys()) this.#transmit(waiting);
    } else if (type === "ack") {
      this.#settle(payload.ackId, "resolve", payload);
    } else if (type === "error" && ackId !== undefined) {
      if (frame.code !== "broker_unavailable") this.#settle(ackId, "reject", new Error(payload));
    } else if (payload?.position && (payload.session_id ?? payload.sessionId) === this.#session.sessionId) {
      this.#position = payload.position;
    }
    this.onFrame(frame);
  }

  #settle(ackId, how, result) {
    this.#waiting.get(ackId)?.[how](result);
    this.#waiting.delete(ackId);
  }

  #closed(code, reason) {
    this.#isReady = false;
    if (!COME_BACK.has(code)) {
      this.#over = new Error(reason || `closed with ${code}`);
      for (const { reject } of this.#waiting.values()) reject(this.#over);
      this.#waiting.clear();
      this.onClose(code);
      return;
    }
    const again = AGAIN_MS[Math.min(this.#failures++, AGAIN_MS.length - 1)];
    setTimeout(() => this.#connect(), again * (1 + Math.random()));
  }
}
