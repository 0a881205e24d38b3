import {
  IconMicrophone,
  IconMicrophoneOff,
  IconPhoneOff,
  IconPhoneX,
  IconPlayerPause,
  IconPlayerPlay,
  IconPlayerRecord,
  IconPlayerRecordFilled,
  IconPlugConnectedX,
  IconTransfer,
} from '@tabler/icons-react';
import { useEffect, useRef } from 'react';
import { Link } from 'wouter';
import { usePhone } from '../../phone/PhoneContext';
import { callerName, isConsulted, mayHangUp, type PhoneCall } from '../../phone/phone';
import { isTyping } from '../../phone/shortcuts';
import { speaks } from '../../phone/softphone';
import { Chip } from '../Chip';
import { stageMark } from '../marks';
import { LevelMeter } from '../mic/LevelMeter';
import { RoleAvatar } from '../RoleAvatar';
import classes from './ActiveCall.module.css';
import { CallButton } from './CallButton';
import { HistoryButton } from './HistoryButton';
import { Keypad } from './Keypad';
import { MediaState } from './MediaState';
import { NetworkQuality } from './NetworkQuality';
import { MODE_MARKS } from './phoneMarks';
import { Since } from './Since';
import { TransferDialog } from './TransferDialog';
import { TransferStrip } from './TransferStrip';
import type { Panel } from './usePhoneKeys';

interface ActiveCallProps {
  call: PhoneCall;
  panel: Panel | null;
  setPanel: (panel: Panel | null) => void;
}

/** The call that this phone is in: who, how it stands, and all that can be done with it. */
export function ActiveCall({ call, panel, setPanel }: ActiveCallProps) {
  const root = useRef<HTMLElement>(null);

  // Who has just answered goes on from here; who was typing elsewhere goes on there.
  useEffect(() => {
    const at = document.activeElement;
    const inPhone = root.current?.parentElement?.contains(at) ?? false;
    if ((at === document.body || inPhone) && !isTyping(at)) root.current?.focus({ preventScroll: true });
  }, []);

  // The strip of a transfer takes the focus with it when it goes.
  const strip = call.transfer !== null;
  // biome-ignore lint/correctness/useExhaustiveDependencies: when it comes or goes
  useEffect(() => {
    if (document.activeElement === document.body) root.current?.focus({ preventScroll: true });
  }, [strip]);

  return (
    <section
      ref={root}
      className={classes.frame}
      aria-label="Your call"
      tabIndex={-1}
      data-testid="phone-call"
      data-call-id={call.call_id}
      data-part={call.part}
      data-stage={call.stage}
      data-held={call.held}
    >
      <TransferStrip call={call} />
      <div className={classes.root}>
        <CallSummary call={call} />
        <Controls call={call} panel={panel} setPanel={setPanel} />
        <Line call={call} />
      </div>
    </section>
  );
}

function CallSummary({ call }: { call: PhoneCall }) {
  const { part, mode, caller, keyed } = call;
  const stage = stageMark(call.stage);
  const supervising = part === 'supervisor' ? MODE_MARKS[mode ?? 'listen'] : null;
  return (
    <div className={classes.who}>
      <span className={classes.avatar}>
        <RoleAvatar role={part === 'supervisor' ? 'supervisor' : 'customer'} size={38} />
      </span>
      <div className={classes.names}>
        <p className={classes.first}>
          <Link
            href={`/calls/${call.call_id}`}
            className={`${classes.number} numeric`}
            data-testid="phone-caller"
          >
            {callerName(call)}
          </Link>
          <span className={classes.timer}>
            <span className="visually-hidden">in the call for </span>
            <Since at={call.joined_at} testId="phone-timer" />
          </span>
        </p>
        <div className={classes.facts}>
          {call.queue && <span className={classes.queue}>{call.queue}</span>}
          {part === 'agent' && <HistoryButton call={call} />}
          {supervising ? (
            <>
              <Chip icon={supervising.icon} tone="supervisor" testId="phone-mode">
                {supervising.doing}
              </Chip>
              <span>{supervising.note}</span>
            </>
          ) : (
            !['talking', 'waiting'].includes(call.stage) && (
              <Chip icon={stage.icon} tone={stage.tone} testId="phone-stage">
                {stage.word}
              </Chip>
            )
          )}
          {part === 'agent' && <Heard call={call} />}
          {caller === 'reconnecting' && (
            <Chip icon={IconPlugConnectedX} tone="warn" testId="phone-caller-state">
              Caller is reconnecting
            </Chip>
          )}
          {caller === 'gone' && (
            <Chip icon={IconPhoneX} tone="bad" testId="phone-caller-state">
              Caller is gone
            </Chip>
          )}
          {/* That it goes on is on the button that pauses it. */}
          {call.recording === 'paused' && (
            <Chip icon={IconPlayerRecord} tone="warn" testId="phone-recording-state">
              Recording paused
            </Chip>
          )}
          {keyed !== '' && (
            <span className={`${classes.keyed} numeric`} data-testid="phone-keyed">
              keyed <strong>{keyed}</strong>
            </span>
          )}
        </div>
      </div>
    </div>
  );
}

/** Supervisors whom the agent hears. Those who only listen are not shown. */
function Heard({ call }: { call: PhoneCall }) {
  return call.parties.map(({ leg_id, name, mode }) => {
    if (mode !== 'whisper' && mode !== 'barge') return null;
    return (
      <Chip key={leg_id} icon={MODE_MARKS[mode].icon} tone="supervisor" testId="phone-supervisor">
        {name ?? 'A supervisor'} {mode === 'whisper' ? 'whispers to you' : 'is in the call'}
      </Chip>
    );
  });
}

function Controls({ call, panel, setPanel }: ActiveCallProps) {
  const { view, softphone } = usePhone();
  const { muted, pending, connection } = view;
  const { call_id, held, recording } = call;
  const away = connection !== 'live';
  const ending = pending.has('hang_up') || pending.has('leave');
  const consulted = view.phone !== null && isConsulted(view.phone);
  const agent = call.part === 'agent' && !consulted;
  return (
    <div className={classes.controls} role="toolbar" aria-label="Call controls">
      {speaks(call) && (
        <CallButton
          icon={muted ? IconMicrophoneOff : IconMicrophone}
          word={muted ? 'Unmute' : 'Mute'}
          testId="phone-mute"
          shortcut="mute"
          tone={muted ? 'on' : 'plain'}
          aria-pressed={muted}
          onClick={() => void softphone.mute(!muted)}
        />
      )}
      {agent && (
        <>
          <CallButton
            icon={held ? IconPlayerPlay : IconPlayerPause}
            word={held ? 'Resume' : 'Hold'}
            testId="phone-hold"
            shortcut="hold"
            tone={held ? 'on' : 'plain'}
            aria-pressed={held}
            disabled={away || pending.has('hold') || call.transfer !== null}
            onClick={() => void softphone.do({ do: 'hold', call_id, on: !held })}
          />
          <Keypad
            call={call}
            opened={panel === 'keypad'}
            onChange={(opened) => setPanel(opened ? 'keypad' : null)}
            disabled={away || held}
          />
          <CallButton
            icon={IconTransfer}
            word="Transfer"
            testId="phone-transfer"
            shortcut="transfer"
            aria-haspopup="dialog"
            disabled={away || call.transfer !== null}
            onClick={() => setPanel('transfer')}
          />
          <TransferDialog call={call} opened={panel === 'transfer'} onClose={() => setPanel(null)} />
        </>
      )}
      {recording !== 'off' && !consulted && (
        <CallButton
          icon={recording === 'on' ? IconPlayerRecordFilled : IconPlayerRecord}
          word={recording === 'on' ? 'Pause recording' : 'Resume recording'}
          testId="phone-recording"
          shortcut="recording"
          tone={recording === 'paused' ? 'on' : 'live'}
          disabled={away || pending.has('recording')}
          onClick={() => void softphone.do({ do: 'recording', call_id, on: recording === 'paused' })}
        />
      )}
      <CallButton
        icon={IconPhoneOff}
        word={agent ? 'Hang up' : 'Leave'}
        testId="phone-hangup"
        shortcut="hangUp"
        tone="bad"
        disabled={away || !view.phone || !mayHangUp(view.phone) || ending}
        onClick={() => void softphone.hangUp()}
      />
    </div>
  );
}

function whoIsHeard({ part, transfer }: PhoneCall): string {
  if (part === 'supervisor') return 'Call';
  return transfer?.state === 'talking' ? 'Colleague' : 'Caller';
}

function Line({ call }: { call: PhoneCall }) {
  const { view, softphone } = usePhone();
  return (
    <div className={classes.line}>
      <MediaState call={call} />
      {call.here && (
        <>
          {speaks(call) && (
            <span className={classes.meter} data-testid="phone-level-mine" title="How you are heard">
              <span className={classes.whose}>{view.muted ? 'Muted' : 'You'}</span>
              <LevelMeter level={softphone.audio.mine} />
            </span>
          )}
          <span className={classes.meter} data-testid="phone-level-theirs" title="What you hear">
            <span className={classes.whose}>{whoIsHeard(call)}</span>
            <LevelMeter level={softphone.audio.theirs} />
          </span>
          <NetworkQuality call={call} />
        </>
      )}
    </div>
  );
}
