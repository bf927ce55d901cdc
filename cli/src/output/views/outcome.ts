import type { BulkOutcome } from '@flotilla/shared';

import type { View } from '../view.ts';

export const outcomeView: View<BulkOutcome> = {
  plural: 'outcomes',
  name: (outcome) => `TASK-${outcome.id}`,
  columns: [
    { head: 'TASK', cell: (outcome) => `TASK-${outcome.id}` },
    { head: 'STATUS', cell: (outcome) => outcome.status ?? '-' },
    { head: 'REFUSED', cell: (outcome) => outcome.error?.message ?? '-' },
  ],
};
