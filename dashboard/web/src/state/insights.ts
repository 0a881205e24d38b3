/** Reads insight bodies, which a language model may have written: whatever is missing or odd becomes a safe value. */

import type { ActionItemStatus, Insight, InsightBody, Role, SentimentLabel, Severity } from '../api/types';

export interface Sentiment {
  label: SentimentLabel;
  score: number;
  perRole: { role: Role; label: SentimentLabel; score: number }[];
}

export interface Complaint {
  is_complaint: boolean;
  severity: Severity | null;
  category: string | null;
  reason: string | null;
}

export interface ActionItem {
  text: string;
  owner: 'agent' | 'customer' | 'supervisor' | null;
  assignee: string | null;
  priority: 'low' | 'medium' | 'high';
  due_date: string | null;
  status: ActionItemStatus;
}

const SENTIMENT_LABELS = ['positive', 'neutral', 'negative', 'mixed'] as const;
const SEVERITIES = ['low', 'medium', 'high', 'critical'] as const;
const ROLES = ['customer', 'agent', 'supervisor'] as const;

export function readSummary(body: InsightBody): string | null {
  return textOf(body.text);
}

export function readIntent(body: InsightBody): { label: string; confidence: number | null } | null {
  const label = textOf(body.label);
  return label === null ? null : { label, confidence: numberOf(body.confidence, 0, 1) };
}

export function readSentiment(body: InsightBody): Sentiment | null {
  const overall = scoreOf(body);
  if (overall === null) return null;
  const perRole = isBody(body.per_role) ? body.per_role : {};
  return {
    ...overall,
    perRole: ROLES.flatMap((role) => {
      const score = scoreOf(perRole[role]);
      return score === null ? [] : [{ role, ...score }];
    }),
  };
}

/** A party's sentiment: an object with a label and a score, or the score alone. */
function scoreOf(value: unknown): { label: SentimentLabel; score: number } | null {
  const score = numberOf(isBody(value) ? value.score : value, -1, 1);
  const label = isBody(value) ? oneOf(value.label, SENTIMENT_LABELS) : oneOf(value, SENTIMENT_LABELS);
  if (score === null && label === null) return null;
  return { label: label ?? labelOfScore(score ?? 0), score: score ?? SCORE_OF_LABEL[label ?? 'neutral'] };
}

const SCORE_OF_LABEL: Record<SentimentLabel, number> = {
  positive: 0.6,
  neutral: 0,
  negative: -0.6,
  mixed: 0,
};
/** From where a score is called so by the analyser, too. */
const POSITIVE_FROM = 0.35;
const NEGATIVE_FROM = -0.22;

export function labelOfScore(score: number): SentimentLabel {
  if (score >= POSITIVE_FROM) return 'positive';
  return score <= NEGATIVE_FROM ? 'negative' : 'neutral';
}

export function readComplaint(body: InsightBody): Complaint | null {
  if (typeof body.is_complaint !== 'boolean') return null;
  return {
    is_complaint: body.is_complaint,
    severity: oneOf(body.severity, SEVERITIES),
    category: textOf(body.category),
    reason: textOf(body.reason),
  };
}

export function readActionItem(body: InsightBody): ActionItem {
  return {
    text: textOf(body.text) ?? 'Action without words',
    owner: oneOf(body.owner, ROLES),
    assignee: textOf(body.assignee),
    priority: oneOf(body.priority, ['low', 'medium', 'high'] as const) ?? 'medium',
    due_date: textOf(body.due_date),
    status: oneOf(body.status, ['open', 'done', 'dismissed'] as const) ?? 'open',
  };
}

export function readTopics(body: InsightBody): string[] {
  const topics = Array.isArray(body.topics) ? body.topics : [body.topic ?? body.text];
  return topics.flatMap((topic) => textOf(isBody(topic) ? (topic.name ?? topic.label) : topic) ?? []);
}

const KNOWN_KINDS = new Set(['summary', 'intent', 'sentiment', 'complaint', 'action_item', 'key_topic']);

export interface InsightsByKind {
  summary: Insight | null;
  intent: Insight | null;
  sentiment: Insight | null;
  complaint: Insight | null;
  actionItems: Insight[];
  topics: Insight[];
  others: Insight[];
}

export function byKind(insights: Readonly<Record<string, Insight>>): InsightsByKind {
  const all = Object.values(insights);
  const ofKind = (kind: string) => all.filter((insight) => insight.kind === kind);
  const latest = (kind: string) =>
    ofKind(kind).reduce<Insight | null>(
      (newest, insight) => (newest && newest.revision > insight.revision ? newest : insight),
      null,
    );
  return {
    summary: latest('summary'),
    intent: latest('intent'),
    sentiment: latest('sentiment'),
    complaint: latest('complaint'),
    actionItems: ofKind('action_item'),
    topics: ofKind('key_topic'),
    others: all.filter((insight) => !KNOWN_KINDS.has(insight.kind)),
  };
}

/** 'Built-in', or the model's name without its path. */
export function sourceName(source: string): string {
  if (!source.startsWith('llm:')) return source === 'builtin' ? 'Built-in' : source;
  const model = source.slice('llm:'.length);
  return model.split('/').at(-1) || 'Language model';
}

function isBody(value: unknown): value is InsightBody {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' && value.trim() !== '' ? value.trim() : null;
}

function numberOf(value: unknown, least: number, most: number): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? Math.min(most, Math.max(least, value)) : null;
}

function oneOf<T extends string>(value: unknown, allowed: readonly T[]): T | null {
  return allowed.find((one) => one === value) ?? null;
}
