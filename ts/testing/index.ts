/**
 * For tests of what is built on STT: a network within one process whose faults are real and at your
 * command, and every error of the transport on demand. Needs no rights and no other program.
 *
 * @packageDocumentation
 */
export { type Interceptor, type LinkTarget, type Passing, TestLink, type Towards } from './link.ts';
export { assertSttError, type SttErrorFacts } from './matchers.ts';
export { SHORT_TIMINGS, TestNetwork, type TestPair, type TestPairOptions } from './network.ts';
export { type RawFrame, SeedHolder, type SeedHolderOptions } from './peer.ts';
export { type ProvokableCodeName, provoke } from './provoke.ts';
export { type BoundSocket, closedPort, silentSocket } from './sockets.ts';
