import type { api } from '@flotilla/shared';

import { deleteAgent } from '../agents/delete.ts';
import { drainAgent } from '../agents/drain.ts';
import { heartbeat } from '../agents/heartbeat.ts';
import { patchAgent } from '../agents/patch.ts';
import { getAgent, listAgents } from '../agents/queries.ts';
import { registerAgent } from '../agents/register.ts';
import { resumeAgent } from '../agents/resume.ts';
import { explainIdle } from '../agents/why-idle.ts';
import { type Handlers, Repeated } from '../http/context.ts';

export const agentHandlers: Handlers<typeof api.agents> = {
  register: async ({ deps, principal, input }) => {
    const { created, registration } = await registerAgent(deps, principal, input);
    return created ? registration : new Repeated(registration);
  },
  heartbeat: ({ deps, principal, input }) => heartbeat(deps, principal, input),
  list: ({ deps, principal, input }) => listAgents(deps, principal, input),
  get: ({ deps, principal, input }) => getAgent(deps, principal, input.params.id),
  patch: ({ deps, principal, input, if_match }) => patchAgent(deps, principal, { ...input, if_match }),
  drain: ({ deps, principal, input }) => drainAgent(deps, principal, input),
  resume: ({ deps, principal, input }) => resumeAgent(deps, principal, input),
  whyIdle: ({ deps, principal, input }) => explainIdle(deps, principal, input.params.id),
  delete: ({ deps, principal, input }) => deleteAgent(deps, principal, input),
};
