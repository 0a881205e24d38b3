import { describe, expect, it } from 'vitest';
import {
  byKind,
  labelOfScore,
  readActionItem,
  readComplaint,
  readIntent,
  readSentiment,
  readTopics,
  sourceName,
} from '../src/state/insights';
import { insight } from './fixtures/call';

it('a score is called what the analyser calls it', () => {
  expect([-0.22, -0.21, 0, 0.34, 0.35].map(labelOfScore)).toEqual([
    'negative',
    'neutral',
    'neutral',
    'neutral',
    'positive',
  ]);
});

describe('bodies', () => {
  it('of sentiment take a party as an object, a score or a label', () => {
    const per_role = {
      customer: { label: 'negative', score: -0.8 },
      agent: 0.4,
      supervisor: 'mixed',
      robot: 1,
    };
    expect(readSentiment({ label: 'mixed', score: -3, per_role })).toEqual({
      label: 'mixed',
      score: -1,
      perRole: [
        { role: 'customer', label: 'negative', score: -0.8 },
        { role: 'agent', label: 'positive', score: 0.4 },
        { role: 'supervisor', label: 'mixed', score: 0 },
      ],
    });
  });

  it('that say nothing usable are read as nothing', () => {
    expect(readSentiment({ score: 'high' })).toBeNull();
    expect(readIntent({ label: ' ' })).toBeNull();
    expect(readComplaint({ is_complaint: 'maybe' })).toBeNull();
  });

  it('of action items have safe values for what is missing or odd', () => {
    expect(readActionItem({ text: 'Call back', owner: 'dog', priority: 9, due_date: null })).toEqual({
      text: 'Call back',
      owner: null,
      assignee: null,
      priority: 'medium',
      due_date: null,
      status: 'open',
    });
  });

  it('of topics take words and named objects', () => {
    expect(readTopics({ topics: ['billing', { name: 'refund' }, 7, ''] })).toEqual(['billing', 'refund']);
  });
});

it('kinds the screen was not taught are kept apart', () => {
  const all = [
    insight('a', 'churn_risk', 1, {}),
    insight('b', 'intent', 1, {}),
    insight('c', 'action_item', 1, {}),
  ];
  const sorted = byKind(Object.fromEntries(all.map((one) => [one.insight_id, one])));
  expect(sorted.others.map((one) => one.kind)).toEqual(['churn_risk']);
  expect(sorted.intent?.insight_id).toBe('b');
  expect(sorted.actionItems).toHaveLength(1);
});

it('sources have short names', () => {
  expect(sourceName('builtin')).toBe('Built-in');
  expect(sourceName('llm:org/some-model:7b')).toBe('some-model:7b');
});
