import {
  createContext,
  type ReactNode,
  useCallback,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useState,
} from 'react';
import { useLocation } from 'wouter';
import { type Capture, startCapture } from './capture';
import { CaptureError, type CaptureProblem } from './microphone';
import { Uplink } from './uplink';

export type MicState =
  | { phase: 'idle' }
  | { phase: 'asking' }
  | { phase: 'connecting' }
  | { phase: 'recording' | 'reconnecting' | 'stopping'; callId: string; since: number; lostMs: number }
  | { phase: 'failed'; problem: CaptureProblem | 'server'; message: string };

interface Mic {
  state: MicState;
  start: () => void;
  stop: () => void;
  dismiss: () => void;
  level: () => number;
}

const MicContext = createContext<Mic | null>(null);

export function useMic(): Mic {
  const mic = useContext(MicContext);
  if (!mic) throw new Error('useMic needs a MicProvider');
  return mic;
}

interface Session {
  capture: Capture;
  uplink: Uplink;
}

/** Owns the recording, above the routes: it goes on while one looks at other pages. */
export function MicProvider({ speaker, children }: { speaker: string; children: ReactNode }) {
  const [state, setState] = useState<MicState>({ phase: 'idle' });
  const [, navigate] = useLocation();
  const session = useRef<Session | null>(null);

  const end = useCallback(async (after: MicState) => {
    const ending = session.current;
    session.current = null;
    await ending?.capture.stop();
    await ending?.uplink.stop();
    setState(after);
  }, []);

  const start = useCallback(async () => {
    setState({ phase: 'asking' });
    const early: ArrayBuffer[] = [];
    let uplink: Uplink | null = null;
    try {
      const capture = await startCapture(
        (pcm) => (uplink ? uplink.send(pcm) : early.push(pcm)),
        () => void end({ phase: 'failed', problem: 'unplugged', message: '' }),
      );
      setState({ phase: 'connecting' });
      const since = Date.now();
      uplink = new Uplink({
        callId: crypto.randomUUID(),
        agentId: speaker,
        title: `Microphone of ${speaker}`,
        sampleRateHz: capture.sampleRateHz,
        onStarted: (callId) => {
          setState((before) => {
            const lostMs = 'lostMs' in before ? before.lostMs : 0;
            return { phase: 'recording', callId, since, lostMs };
          });
          if (session.current && !started) navigate(`/calls/${callId}`);
          started = true;
        },
        onReconnecting: () =>
          setState((before) => ('callId' in before ? { ...before, phase: 'reconnecting' } : before)),
        onLost: (lostMs) => setState((before) => ('lostMs' in before ? { ...before, lostMs } : before)),
        onFailed: (message) => void end({ phase: 'failed', problem: 'server', message }),
      });
      let started = false;
      session.current = { capture, uplink };
      for (const pcm of early) uplink.send(pcm);
      uplink.open();
    } catch (error) {
      const problem = error instanceof CaptureError ? error.problem : 'unsupported';
      setState({ phase: 'failed', problem, message: '' });
    }
  }, [speaker, end, navigate]);

  const stop = useCallback(() => {
    setState((before) => ('callId' in before ? { ...before, phase: 'stopping' } : before));
    void end({ phase: 'idle' });
  }, [end]);

  useEffect(() => () => void end({ phase: 'idle' }), [end]);

  const recording = 'callId' in state;
  useEffect(() => {
    if (!recording) return;
    const warn = (event: BeforeUnloadEvent) => event.preventDefault();
    window.addEventListener('beforeunload', warn);
    return () => window.removeEventListener('beforeunload', warn);
  }, [recording]);

  const mic = useMemo<Mic>(
    () => ({
      state,
      start: () => void start(),
      stop,
      dismiss: () => setState({ phase: 'idle' }),
      level: () => session.current?.capture.level() ?? 0,
    }),
    [state, start, stop],
  );
  return <MicContext value={mic}>{children}</MicContext>;
}
