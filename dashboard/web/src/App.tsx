import { useQuery } from '@tanstack/react-query';
import { Route, Switch } from 'wouter';
import { api, ProblemError } from './api/client';
import { PageLoader } from './components/PageLoader';
import { Problem } from './components/Problem';
import { Shell } from './components/shell/Shell';
import { MicProvider } from './mic/MicContext';
import { CallPage } from './pages/CallPage';
import { CallsPage } from './pages/CallsPage';
import { LoginHelpPage } from './pages/LoginHelpPage';
import { NotFoundPage } from './pages/NotFoundPage';
import { againUnless } from './state/retry';

export function App() {
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
          <Shell me={me.data}>
            <Switch>
              <Route path="/" component={CallsPage} />
              <Route path="/calls/:id">{({ id }) => <CallPage key={id} callId={id} />}</Route>
              <Route component={NotFoundPage} />
            </Switch>
          </Shell>
        </Route>
      </Switch>
    </MicProvider>
  );
}
