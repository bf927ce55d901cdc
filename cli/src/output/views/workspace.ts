import type { Workspace } from '@flotilla/shared';

import { showWhen } from '../format.ts';
import type { View } from '../view.ts';

export const workspaceView: View<Workspace> = {
  plural: 'workspaces',
  name: (workspace) => workspace.slug,
  columns: [
    { head: 'WORKSPACE', cell: (workspace) => workspace.slug },
    { head: 'STATE', cell: ({ pause }) => (pause === null ? 'active' : 'paused') },
    { head: 'SINCE', cell: ({ pause }, now) => (pause === null ? '-' : showWhen(pause.since, now)) },
    { head: 'BY', cell: ({ pause }) => pause?.by ?? '-' },
    { head: 'REASON', cell: ({ pause }) => pause?.reason ?? '-' },
  ],
};
