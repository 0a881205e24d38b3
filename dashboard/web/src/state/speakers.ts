/** The people on mixed tracks: who they are, and which segments are theirs. */

import type { Role, Speaker, SpeakersTold, Track, TrackSpeaker } from '../api/types';
import type { CallState, ScreenSegment } from './call';

type Speakers = CallState['speakers'];

export function byTrack(told: readonly TrackSpeaker[]): Speakers {
  const tracks: Record<string, Speaker[]> = {};
  for (const { track_id, ...speaker } of told) {
    tracks[track_id] = [...(tracks[track_id] ?? []), speaker];
  }
  return tracks;
}

/** The segment in the role of its speaker; as it is where nobody has told the track's speakers apart. */
export function inRole(segment: ScreenSegment, speakers: Speakers): ScreenSegment {
  const known = speakers[segment.track_id]?.find(({ speaker }) => speaker === segment.speaker);
  if (!known || !isPlaced(segment) || known.role === segment.role) return segment;
  return { ...segment, role: known.role };
}

export function isMixed(
  { tracks, speakers }: Pick<CallState, 'tracks' | 'speakers'>,
  trackId: string,
): boolean {
  return tracks[trackId]?.mixed ?? speakers[trackId] !== undefined;
}

/** Doors that do not know who of the parties is the agent, and what they go by. */
const GUESSING: ReadonlyMap<string, string> = new Map([
  ['siprec', 'Guessed from the addresses.'],
  ['file', 'Taken from the channels.'],
]);

export const guessedFrom = (door: string): string => GUESSING.get(door) ?? '';

/** Somebody on a track of their own. */
export interface Party {
  trackId: string;
  legId: string;
  /** What its door calls the track. */
  label: string;
  speaker: Speaker;
}

/** The parties of a call whose roles its door could only guess. */
export function partiesOf({
  call,
  tracks,
  speakers,
}: Pick<CallState, 'call' | 'tracks' | 'speakers'>): Party[] {
  if (!GUESSING.has(call.door)) return [];
  return Object.values(tracks)
    .filter(({ mixed }) => mixed !== true)
    .map((track) => ({
      trackId: track.id,
      legId: track.leg_id,
      label: track.label,
      speaker: speakers[track.id]?.[0] ?? ownSpeaker(track),
    }));
}

const ownSpeaker = ({ speaker, role }: Track): Speaker => ({ speaker, role, source: 'guess' });

/** Whether somebody has told whose words these are; before, a mixed track's segment is nobody's in particular. */
export const isPlaced = ({ speakers_revision = 0 }: ScreenSegment) => speakers_revision > 0;

/** A segment that is told again comes without what was told of its speakers since. */
export function keepingSpeakers(known: ScreenSegment | undefined, segment: ScreenSegment): ScreenSegment {
  return known && (known.speakers_revision ?? 0) > (segment.speakers_revision ?? 0) ? known : segment;
}

/** Of two tellings the higher revision counts, in whatever order they come. */
export function putSpeakers(
  state: CallState,
  { track_id, revision, speakers: told, segments }: SpeakersTold,
): CallState {
  const track = state.tracks[track_id];
  const late = track !== undefined && (track.speakers_revision ?? 0) > revision;
  const speakers = late ? state.speakers : { ...state.speakers, [track_id]: told };
  const changes = new Map(segments.map((change) => [change.segment_id, change]));
  return {
    ...state,
    speakers,
    tracks:
      !track || late
        ? state.tracks
        : { ...state.tracks, [track_id]: { ...track, speakers_revision: revision } },
    segments: state.segments.map((segment) => {
      if (segment.track_id !== track_id) return segment;
      const change = changes.get(segment.segment_id);
      return inRole(change ? placedBy(segment, change, revision) : segment, speakers);
    }),
  };
}

/** What a person says of a speaker. */
export interface RoleChange {
  trackId: string;
  speaker: string;
  role: Role;
}

export function putRole(state: CallState, { trackId, speaker, role }: RoleChange): CallState {
  const track = state.tracks[trackId];
  const own = track && !isMixed(state, trackId);
  const known = state.speakers[trackId] ?? (own ? [ownSpeaker(track)] : undefined);
  if (!known) return state;
  const speakers = {
    ...state.speakers,
    [trackId]: known.map((one) =>
      one.speaker === speaker ? { speaker, role, source: 'person' as const } : one,
    ),
  };
  if (!own)
    return { ...state, speakers, segments: state.segments.map((segment) => inRole(segment, speakers)) };
  return {
    ...state,
    speakers,
    tracks: { ...state.tracks, [trackId]: { ...track, role } },
    segments: state.segments.map((segment) =>
      segment.track_id === trackId ? { ...segment, role } : segment,
    ),
  };
}

export const isGuess = ({ role, source }: Speaker) => source === 'guess' && role !== 'unknown';

/** The two that would change places: an agent and a customer, else two of different roles; null if that is unclear. */
export function sidesOf(speakers: readonly Speaker[]): [Speaker, Speaker] | null {
  const sides = speakers.length > 2 ? speakers.filter(({ role }) => SIDES.has(role)) : speakers;
  const [one, other] = sides;
  return one && other && sides.length === 2 && one.role !== other.role ? [one, other] : null;
}

const SIDES: ReadonlySet<Role> = new Set(['agent', 'customer']);

function placedBy(
  segment: ScreenSegment,
  { speaker, role, words }: SpeakersTold['segments'][number],
  revision: number,
): ScreenSegment {
  if ((segment.speakers_revision ?? 0) > revision) return segment;
  return {
    ...segment,
    speaker,
    role,
    speakers_revision: revision,
    ...(segment.words && {
      words: segment.words.map(({ speaker: _before, ...word }, at) => {
        const said = words?.[at];
        return said ? { ...word, speaker: said } : word;
      }),
    }),
  };
}
