// Everything that is measured, in the order in which it runs.
import { bulkWorkloads } from './workloads/bulk.mjs';
import { linkWorkloads } from './workloads/link.mjs';
import { messageWorkloads } from './workloads/messages.mjs';
import { roundTripWorkloads } from './workloads/round-trips.mjs';
import { rustWorkloads } from './workloads/rust.mjs';
import { sessionWorkloads } from './workloads/sessions.mjs';
import { websocketWorkloads } from './workloads/websocket.mjs';

export const WORKLOADS = [
  ...bulkWorkloads,
  ...roundTripWorkloads,
  ...messageWorkloads,
  ...sessionWorkloads,
  ...rustWorkloads,
  ...websocketWorkloads,
  ...linkWorkloads,
];
