import type { Activity } from '@flotilla/shared';

import { showWhen } from '../format.ts';
import type { View } from '../view.ts';

const isFailure = (value: unknown): value is { kind: string; message: string } =>
  typeof value === 'object' && value !== null && 'kind' in value && 'message' in value;

const describe = ({ attempt, comment_id, text, details }: Activity): string => {
  if (comment_id !== null) return text === null ? `#${comment_id} (deleted)` : `#${comment_id}: ${text}`;
  const { was, status, state, assigned_to, fields, reason, failure } = details;
  const parts = [
    attempt === null ? null : `attempt ${attempt}`,
    typeof status !== 'string' ? null : typeof was === 'string' && was !== status ? `${was} → ${status}` : status,
    typeof state === 'string' ? state : null,
    typeof assigned_to === 'string' ? `assigned to ${assigned_to}` : assigned_to === null ? 'assigned to nobody' : null,
    Array.isArray(fields) && fields.length > 0 ? `fields: ${fields.join(', ')}` : null,
    typeof reason === 'string' ? reason : null,
    isFailure(failure) ? `${failure.kind}: ${failure.message}` : null,
  ];
  return parts.filter((part) => part !== null).join('; ') || '-';
};

export const activityView: View<Activity> = {
  plural: 'entries',
  name: (entry) => entry.type,
  columns: [
    { head: 'AT', cell: (entry) => entry.at },
    { head: 'AGE', cell: (entry, now) => showWhen(entry.at, now), wide: true },
    { head: 'WHO', cell: (entry) => entry.who ?? '-' },
    { head: 'WHAT', cell: (entry) => entry.type },
    { head: 'DETAILS', cell: describe },
  ],
};
