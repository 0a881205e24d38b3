/** The HTTP side of a call's audio: an offer is answered, candidates follow as they are found. */

import { request } from '../api/client';

export interface Answer {
  leg_id: string;
  sdp: string;
}

export interface Signalling {
  offer: (callId: string, sdp: string, signal: AbortSignal) => Promise<Answer>;
  /** Null at the end: there are no more candidates. */
  trickle: (legId: string, candidates: (RTCIceCandidateInit | null)[], signal: AbortSignal) => Promise<void>;
}

const json = (method: string, body: unknown, signal: AbortSignal): RequestInit => ({
  method,
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify(body),
  signal,
});

export const serverSignalling: Signalling = {
  offer: (callId, sdp, signal) =>
    request<Answer>('/webrtc/offer', json('POST', { type: 'offer', sdp, call_id: callId }, signal)),
  trickle: async (legId, candidates, signal) => {
    const path = `/webrtc/${encodeURIComponent(legId)}`;
    const found = candidates.filter((candidate) => candidate !== null);
    if (found.length > 0) {
      await request<void>(path, json('PATCH', { candidates: found }, signal));
    }
    if (found.length < candidates.length) {
      await request<void>(path, json('PATCH', { candidate: null }, signal));
    }
  },
};
