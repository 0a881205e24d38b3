import { useQuery } from '@tanstack/react-query';
import { lazy, Suspense } from 'react';
import { Route, Switch, useLocation } from 'wouter';
import { api, ProblemError } from './api/client';
import { ErrorBoundary } from './components/ErrorBoundary';
import { PageLoader } from './components/PageLoader';
import { Problem } from './components/Problem';
import { Shell } from './components/shell/Shell';
import { MicProvider } from './mic/MicContext';
import { CallPage } from './pages/CallPage';
import { CallsPage } from './pages/CallsPage';
import { LoginHelpPage } from './pages/LoginHelpPage';
import { NotFoundPage } from './pages/NotFoundPage';
import { PhoneProvider } from './phone/PhoneContext';
import { againUnless } from './state/retry';

// Not everybody comes here: they are fetched when somebody does.
const CallbacksPage = lazy(() => import('./pages/CallbacksPage'));
const ImportPage = lazy(() => import('./pages/ImportPage'));
const QueuesPage = lazy(() => import('./pages/QueuesPage'));
const VocabularyPage = lazy(() => import('./pages/VocabularyPage'));

export function App() {
  const [path] = useLocation();
  const me = useQuery({ queryKey: ['me'], queryFn: api.me, refetchInterval: againUnless() });
  const refused = me.error instanceof ProblemError && [401, 403].includes(me.error.status);

  if (refused) return <LoginHelpPage />;
  if (!me.data) {
    if (me.error)
      return <Problem title="The server does not answer" error={me.error} onRetry={() => me.refetch()} />;
    return <PageLoader />;
  }
  return (
    <MicProvider speaker={me.data.name}>
      <Switch>
        <Route path="/login-help" component={LoginHelpPage} />
        <Route>
          <PhoneProvider>
            <Shell me={me.data}>
              {/* A page that fails leaves the shell, and with it a conversation on the phone. */}
              <ErrorBoundary key={path}>
                <Suspense fallback={<PageLoader />}>
                  <Switch>
                    <Route path="/">
                      <CallsPage me={me.data} />
                    </Route>
                    <Route path="/calls/:id">{({ id }) => <CallPage key={id} callId={id} />}</Route>
                    <Route path="/callbacks" component={CallbacksPage} />
                    <Route path="/vocabulary">
                      <VocabularyPage me={me.data} />
                    </Route>
                    {me.data.role !== 'agent' && <Route path="/import" component={ImportPage} />}
                    {me.data.role !== 'agent' && (
                      <Route path="/queues">
                        <QueuesPage me={me.data} />
                      </Route>
                    )}
                    <Route component={NotFoundPage} />
                  </Switch>
                </Suspense>
              </ErrorBoundary>
            </Shell>
          </PhoneProvider>
        </Route>
      </Switch>
    </MicProvider>
  );
}
