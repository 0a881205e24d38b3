import { ActionIcon, Checkbox, Menu } from '@mantine/core';
import { IconArrowBackUp, IconCalendarDue, IconDots, IconX } from '@tabler/icons-react';
import type { ActionItemStatus, Insight } from '../../api/types';
import { dueDate } from '../../format';
import type { ActionItem } from '../../state/insights';
import { PRIORITY_MARKS, ROLE_MARKS } from '../marks';
import classes from './ActionItems.module.css';
import { EvidenceButton } from './EvidenceButton';
import { useEvidence } from './evidence';

interface ActionItemRowProps {
  insight: Insight;
  item: ActionItem;
  onStatus: (status: ActionItemStatus) => void;
}

export function ActionItemRow({ insight, item, onStatus }: ActionItemRowProps) {
  const { handlers } = useEvidence(insight.evidence);
  const { text, owner, assignee, priority, due_date, status } = item;
  const OwnerIcon = owner && ROLE_MARKS[owner].icon;
  const { icon: PriorityIcon, word: priorityWord, tone } = PRIORITY_MARKS[priority];
  const dismissed = status === 'dismissed';
  return (
    <li
      className={classes.item}
      data-testid="action-item"
      data-status={status}
      data-insight-id={insight.insight_id}
      {...handlers}
    >
      <Checkbox
        className={classes.check}
        size="sm"
        label={<span dir="auto">{text}</span>}
        checked={status === 'done'}
        disabled={dismissed}
        onChange={(event) => onStatus(event.currentTarget.checked ? 'done' : 'open')}
      />
      <Menu width={150}>
        <Menu.Target>
          <ActionIcon size="sm" className={classes.menu} aria-label={`More for: ${text}`}>
            <IconDots size={16} />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          {dismissed ? (
            <Menu.Item leftSection={<IconArrowBackUp size={15} />} onClick={() => onStatus('open')}>
              Restore
            </Menu.Item>
          ) : (
            <Menu.Item leftSection={<IconX size={15} />} onClick={() => onStatus('dismissed')}>
              Dismiss
            </Menu.Item>
          )}
        </Menu.Dropdown>
      </Menu>
      <div className={classes.facts}>
        {dismissed && <span>Dismissed</span>}
        {(OwnerIcon || assignee) && (
          <span>
            {OwnerIcon && <OwnerIcon size={14} stroke={1.8} aria-hidden />}
            {assignee ?? (owner && ROLE_MARKS[owner].word)}
          </span>
        )}
        {due_date && (
          <span>
            <IconCalendarDue size={14} stroke={1.8} aria-hidden />
            {dueDate(due_date)}
          </span>
        )}
        <span style={{ color: `var(--hl-${tone})` }}>
          <PriorityIcon size={14} stroke={1.8} aria-hidden />
          {priorityWord}
          <span className="visually-hidden"> priority</span>
        </span>
        <EvidenceButton segmentIds={insight.evidence} />
      </div>
    </li>
  );
}
