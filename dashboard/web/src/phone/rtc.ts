/** The audio connection of one call: offered, trickled, watched, and offered anew when it breaks. */

import { backoffMs } from '../state/backoff';
import type { Media } from './phone';
import type { Signalling } from './signalling';
import { Trickle } from './trickle';

const CONNECT_WITHIN_MS = 15_000;
const LOST_AFTER_MS = 5_000;
/** For so long after an answer the server's word may still be about the connection before. */
const WORD_IS_LATE_MS = 3_000;

export type LinkState = 'connecting' | 'connected' | 'lost';

export interface LinkOptions {
  callId: string;
  /** Asked at each offer: what a TURN server asks for may have a time limit. */
  iceServers: () => readonly RTCIceServer[];
  signalling: Signalling;
  onState: (state: LinkState) => void;
  onStream: (stream: MediaStream) => void;
  createPeer?: (configuration: RTCConfiguration) => RTCPeerConnection;
}

interface Try {
  peer: RTCPeerConnection;
  sender: RTCRtpSender;
  ended: AbortController;
}

export class Link {
  readonly #options: LinkOptions;
  #try: Try | null = null;
  #track: MediaStreamTrack | null = null;
  #state: LinkState | null = null;
  #closed = false;
  #failures = 0;
  /** What the server has said since the offer. */
  #told: Media | null = null;
  #answeredAt: number | null = null;
  #watchTimer: ReturnType<typeof setTimeout> | undefined;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #doubtTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  get callId(): string {
    return this.#options.callId;
  }

  open(): void {
    window.addEventListener('online', this.#atOnce);
    void this.#offer();
  }

  close(): void {
    this.#closed = true;
    window.removeEventListener('online', this.#atOnce);
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#doubtTimer);
    this.#end();
  }

  /** What is sent from now on; null: silence. */
  setTrack(track: MediaStreamTrack | null): void {
    this.#track = track;
    // It fails only where the connection has been closed meanwhile.
    this.#try?.sender.replaceTrack(track).catch(() => {});
  }

  /** What the server says of this connection. When it waits for one, or has lost it, a new one is offered. */
  heed(media: Media): void {
    if (media === this.#told) return;
    this.#told = media;
    this.#doubt();
  }

  async stats(): Promise<RTCStatsReport | null> {
    return (await this.#try?.peer.getStats().catch(() => null)) ?? null;
  }

  async #offer(): Promise<void> {
    const { callId, iceServers, signalling, onStream, createPeer = realPeer } = this.#options;
    this.#tell('connecting');
    this.#answeredAt = null;
    this.#told = null;
    const peer = createPeer({ iceServers: [...iceServers()], bundlePolicy: 'max-bundle' });
    const ended = new AbortController();
    const { sender } = peer.addTransceiver(this.#track ?? 'audio', { direction: 'sendrecv' });
    this.#try = { peer, sender, ended };
    const trickle = new Trickle(signalling, ended.signal);
    peer.onicecandidate = ({ candidate }) => trickle.add(candidate?.toJSON() ?? null);
    peer.ontrack = ({ track, streams }) => onStream(streams[0] ?? new MediaStream([track]));
    peer.onconnectionstatechange = () => this.#watch(peer);
    this.#watchTimer = setTimeout(() => this.#again(), CONNECT_WITHIN_MS);
    try {
      await peer.setLocalDescription();
      const answer = await signalling.offer(callId, peer.localDescription?.sdp ?? '', ended.signal);
      if (ended.signal.aborted) return;
      trickle.start(answer.leg_id);
      await peer.setRemoteDescription({ type: 'answer', sdp: answer.sdp });
      if (ended.signal.aborted) return;
      this.#answeredAt = performance.now();
      this.#doubt();
    } catch {
      if (!ended.signal.aborted) this.#again();
    }
  }

  #watch(peer: RTCPeerConnection): void {
    switch (peer.connectionState) {
      case 'connected':
        clearTimeout(this.#watchTimer);
        this.#failures = 0;
        this.#tell('connected');
        break;
      case 'disconnected':
        // It often comes back by itself.
        clearTimeout(this.#watchTimer);
        this.#tell('connecting');
        this.#watchTimer = setTimeout(() => this.#again(), LOST_AFTER_MS);
        break;
      case 'failed':
        this.#again();
        break;
    }
  }

  /** Leaves this connection and offers a new one, a little later each time that fails. */
  #again(): void {
    if (this.#closed) return;
    this.#end();
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#doubtTimer);
    this.#failures += 1;
    this.#tell('lost');
    this.#retryTimer = setTimeout(() => void this.#offer(), backoffMs(this.#failures));
  }

  #doubt(): void {
    clearTimeout(this.#doubtTimer);
    const wants = this.#told === 'wanted' || this.#told === 'lost';
    if (!wants || this.#answeredAt === null || this.#state === 'lost') return;
    const late = Math.max(0, this.#answeredAt + WORD_IS_LATE_MS - performance.now());
    this.#doubtTimer = setTimeout(() => this.#again(), late);
  }

  readonly #atOnce = () => {
    if (this.#state !== 'lost') return;
    clearTimeout(this.#retryTimer);
    void this.#offer();
  };

  #end(): void {
    clearTimeout(this.#watchTimer);
    const left = this.#try;
    this.#try = null;
    if (!left) return;
    left.ended.abort();
    left.peer.onicecandidate = left.peer.ontrack = left.peer.onconnectionstatechange = null;
    left.peer.close();
  }

  #tell(state: LinkState): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#options.onState(state);
  }
}

function realPeer(configuration: RTCConfiguration): RTCPeerConnection {
  return new RTCPeerConnection(configuration);
}
