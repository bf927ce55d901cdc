import type { AuditEvent } from '@flotilla/shared';

import type { View } from '../view.ts';

export const auditView: View<AuditEvent> = {
  plural: 'audit events',
  name: (event) => String(event.id),
  columns: [
    { head: 'ID', cell: (event) => String(event.id) },
    { head: 'AT', cell: (event) => event.at },
    { head: 'PRINCIPAL', cell: (event) => event.principal },
    { head: 'ACTION', cell: (event) => event.action },
    {
      head: 'ENTITY',
      cell: (event) => (event.entity_id === null ? event.entity : `${event.entity} ${event.entity_id}`),
    },
    {
      head: 'DETAILS',
      cell: (event) => (Object.keys(event.details).length === 0 ? '-' : JSON.stringify(event.details)),
    },
    { head: 'SEQ', cell: (event) => (event.seq === null ? 'unsealed' : String(event.seq)), wide: true },
    { head: 'REQUEST', cell: (event) => event.request_id ?? '-', wide: true },
    { head: 'HASH', cell: (event) => event.hash ?? '-', wide: true },
  ],
};
