import { Component, type ReactNode } from 'react';
import { Problem } from './Problem';

/** The last resort: a fault in the screen's own code shows a page, not a blank. */
export class ErrorBoundary extends Component<{ children: ReactNode }, { error: Error | null }> {
  override state = { error: null };

  static getDerivedStateFromError(error: Error) {
    return { error };
  }

  override render() {
    const { error } = this.state;
    if (!error) return this.props.children;
    return (
      <Problem
        title="This page ran into a fault"
        error={error}
        retryLabel="Reload the page"
        onRetry={() => location.reload()}
      />
    );
  }
}
