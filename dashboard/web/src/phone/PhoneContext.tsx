import { notifications } from '@mantine/notifications';
import { useQueryClient } from '@tanstack/react-query';
import {
  createContext,
  type ReactNode,
  useContext,
  useEffect,
  useEffectEvent,
  useMemo,
  useState,
  useSyncExternalStore,
} from 'react';
import { useLocation } from 'wouter';
import { askForNotifications, callForAttention } from './attention';
import { callerName, type PhoneStatus } from './phone';
import { type PhoneView, Softphone } from './softphone';

interface PhoneTools {
  softphone: Softphone;
  setStatus: (status: PhoneStatus) => void;
  /** Takes the call that rings and shows its page. */
  answer: () => void;
  reject: () => void;
}

const PhoneContext = createContext<PhoneTools | null>(null);

export function usePhone(): PhoneTools & { view: PhoneView } {
  const tools = useContext(PhoneContext);
  if (!tools) throw new Error('usePhone needs a PhoneProvider');
  const { softphone } = tools;
  const view = useSyncExternalStore(softphone.subscribe, softphone.view);
  return { ...tools, view };
}

/** Owns the phone, above the routes: a call goes on while one looks at other pages. */
export function PhoneProvider({ children }: { children: ReactNode }) {
  const queryClient = useQueryClient();
  const [, navigate] = useLocation();
  const [softphone] = useState(
    () =>
      new Softphone({
        onRefused: (message) =>
          notifications.show({ color: 'red', title: 'Phone', message: sentence(message) }),
        onTold: (message) => notifications.show({ title: 'Phone', message: sentence(message) }),
        onSessionEnded: () => void queryClient.invalidateQueries({ queryKey: ['me'] }),
      }),
  );

  useEffect(() => {
    softphone.open();
    return () => softphone.close();
  }, [softphone]);

  const tools = useMemo<PhoneTools>(
    () => ({
      softphone,
      setStatus: (status) => {
        if (status === 'online') askForNotifications();
        void softphone.setStatus(status);
      },
      answer: () => {
        const call_id = softphone.view().phone?.offer?.call_id;
        if (call_id === undefined) return;
        void softphone.do({ do: 'answer', call_id }).then((taken) => {
          if (taken) navigate(`/calls/${call_id}`);
        });
      },
      reject: () => {
        const call_id = softphone.view().phone?.offer?.call_id;
        if (call_id !== undefined) void softphone.do({ do: 'reject', call_id });
      },
    }),
    [softphone, navigate],
  );
  return (
    <PhoneContext value={tools}>
      <Attention softphone={softphone} />
      {children}
    </PhoneContext>
  );
}

const sentence = (words: string) => words.charAt(0).toUpperCase() + words.slice(1);

/** Rings as long as a call does. */
function Attention({ softphone }: { softphone: Softphone }) {
  const offer = useSyncExternalStore(softphone.subscribe, () => softphone.view().phone?.offer ?? null);
  const begin = useEffectEvent(() => {
    if (!offer) return undefined;
    const detail = [offer.by ? `From ${offer.by}` : null, offer.queue].filter(Boolean).join(' · ');
    return callForAttention(callerName(offer), detail);
  });
  const ringing = offer && `${offer.call_id} ${offer.ringing_since}`;
  // biome-ignore lint/correctness/useExhaustiveDependencies: it begins anew with each call that rings
  useEffect(() => begin(), [ringing]);
  return null;
}
