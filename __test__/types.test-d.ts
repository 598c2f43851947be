import type { Duplex } from 'node:stream';
import type {
  AnySttError,
  AuthenticationError,
  Batch,
  BreakerOptions,
  CircuitInfo,
  CloseInfo,
  ConnectOptions,
  DatagramDrop,
  EndpointOptions,
  EndpointStats,
  FrameHandler,
  LogTarget,
  MigrateOptions,
  PathChangeEvent,
  PathChangeReason,
  PathMeasure,
  PeerAddress,
  ReconnectingOptions,
  ResourceWarningEvent,
  RetryCode,
  RetryOptions,
  RunContext,
  SettledInfo,
  SocketAddress,
  StreamGap,
  StreamOptions,
  StreamProgress,
  SttDatagrams,
  SttErrorCode,
  SttErrorCodeName,
  SttListener,
  SttReceiveStream,
  SttRecovery,
  SttSendStream,
  SttSession,
  SttStream,
} from '@seigr/stt';
import {
  CircuitOpenError,
  type ConnectionTimeoutError,
  generateSeed,
  isSttError,
  logTo,
  openMetrics,
  ReconnectingSession,
  type SessionClosedError,
  SttEndpoint,
  type SttError,
  toDuplex,
} from '@seigr/stt';
import { describe, expectTypeOf, test } from 'vitest';

describe('errors', () => {
  test('codeName tells the union apart', () => {
    const name = (error: AnySttError): string => {
      if (error.codeName === 'SESSION_CLOSED') {
        expectTypeOf(error).toEqualTypeOf<SessionClosedError>();
        expectTypeOf(error.reason).toEqualTypeOf<
          'graceful' | 'timeout' | 'error' | 'auth_failure'
        >();
      }
      if (error.code === 0x0103) expectTypeOf(error).toEqualTypeOf<AuthenticationError>();
      return error.codeName;
    };
    expectTypeOf(name).returns.toBeString();
  });

  test('the guard narrows to one class, or to any', () => {
    const error: unknown = undefined;
    if (isSttError(error, 'CONNECTION_TIMEOUT')) {
      expectTypeOf(error).toEqualTypeOf<ConnectionTimeoutError>();
      expectTypeOf(error.code).toEqualTypeOf<0x0101>();
    }
    if (isSttError(error)) {
      expectTypeOf(error).toEqualTypeOf<AnySttError>();
      expectTypeOf(error.recovery).toEqualTypeOf<SttRecovery>();
      expectTypeOf(error.recoverable).toBeBoolean();
    }
    // @ts-expect-error: no such error
    isSttError(error, 'NO_SUCH_ERROR');
  });

  test('every class is an SttError and an Error', () => {
    expectTypeOf<AnySttError>().toExtend<SttError>();
    expectTypeOf<SttError>().toExtend<Error>();
    expectTypeOf<AnySttError['code']>().toEqualTypeOf<SttErrorCode>();
    expectTypeOf<AnySttError['codeName']>().toEqualTypeOf<SttErrorCodeName>();
    expectTypeOf<typeof SessionClosedError.code>().toEqualTypeOf<0x0201>();
  });
});

describe('options', () => {
  test('sharedSeed and peerNodeId are required', () => {
    expectTypeOf(generateSeed()).toEqualTypeOf<Uint8Array>();
    expectTypeOf<{ sharedSeed: string }>().toExtend<EndpointOptions>();
    expectTypeOf<{ sharedSeed: [string, Uint8Array] }>().toExtend<EndpointOptions>();
    expectTypeOf<{
      sharedSeed: { passphrase: string; salt: string };
    }>().toExtend<EndpointOptions>();
    expectTypeOf<EndpointOptions['maxMemory']>().toEqualTypeOf<number | undefined>();
    expectTypeOf<EndpointStats['memoryUsed']>().toEqualTypeOf<number>();
    expectTypeOf<ResourceWarningEvent['resource']>().toEqualTypeOf<
      'socketSendBuffer' | 'socketRecvBuffer' | 'socketBusyPoll' | 'engineLag' | 'memory'
    >();
    expectTypeOf<{ port: number }>().not.toExtend<EndpointOptions>();
    expectTypeOf<{ peerNodeId: string }>().toExtend<ConnectOptions>();
    expectTypeOf<{ timeout: number }>().not.toExtend<ConnectOptions>();
  });
});

describe('endpoint, session, stream', () => {
  test('have the names of the contract', () => {
    expectTypeOf(SttEndpoint.create).returns.resolves.toEqualTypeOf<SttEndpoint>();
    expectTypeOf<SttEndpoint['connect']>().returns.resolves.toEqualTypeOf<SttSession>();
    expectTypeOf<SttEndpoint['listen']>().returns.toEqualTypeOf<SttListener>();
    expectTypeOf<SttListener>().toExtend<AsyncIterable<SttSession>>();
    expectTypeOf<SttSession['closed']>().resolves.toEqualTypeOf<CloseInfo>();
    expectTypeOf<SttSession['settled']>().resolves.toEqualTypeOf<SettledInfo>();
    expectTypeOf<SttSession['close']>().returns.resolves.toEqualTypeOf<CloseInfo>();
    expectTypeOf<SttSession>().toExtend<AsyncDisposable>();
    expectTypeOf<SttStream>().toExtend<AsyncIterable<Uint8Array>>();
    expectTypeOf<SttStream['batches']>().returns.toExtend<AsyncIterable<Batch>>();
    expectTypeOf(toDuplex).returns.toEqualTypeOf<Duplex>();
  });

  test('a unidirectional stream has one half', () => {
    expectTypeOf<
      SttSession['createUnidirectionalStream']
    >().returns.resolves.toEqualTypeOf<SttSendStream>();
    expectTypeOf<SttSession['incomingUnidirectionalStreams']>().toEqualTypeOf<
      AsyncIterable<SttReceiveStream>
    >();
    expectTypeOf<SttSendStream>().not.toHaveProperty('batches');
    expectTypeOf<SttReceiveStream>().not.toHaveProperty('write');
    expectTypeOf<SttStream>().toExtend<SttSendStream & SttReceiveStream>();
  });

  test('chunks may be lent where they are handed on one by one, and messages never are', () => {
    const check = (stream: SttStream): void => {
      stream.batches({ lend: true });
      stream.values({ lend: true });
      // @ts-expect-error: a message is the reader's to keep
      stream.messages({ lend: true });
      // @ts-expect-error: so are the bytes of a whole stream
      void stream.bytes({ lend: true });
    };
    expectTypeOf(check).toBeFunction();
  });

  test('a batch tells of the gap before it', () => {
    expectTypeOf<Batch['gap']>().toEqualTypeOf<StreamGap | undefined>();
    expectTypeOf<Batch[number]>().toEqualTypeOf<Uint8Array>();
    expectTypeOf<StreamGap>().toEqualTypeOf<{ readonly offset: number; readonly length: number }>();
    expectTypeOf<SttReceiveStream['deadline']>().toEqualTypeOf<number | undefined>();
    expectTypeOf<{ deadline: number }>().toExtend<StreamOptions>();
  });

  test('datagrams and frames are bytes', () => {
    expectTypeOf<SttSession['datagrams']>().toEqualTypeOf<SttDatagrams>();
    expectTypeOf<SttDatagrams>().toExtend<AsyncIterable<Uint8Array>>();
    expectTypeOf<SttDatagrams['maxSize']>().toBeNumber();
    expectTypeOf<SttDatagrams['trySend']>().returns.toBeBoolean();
    expectTypeOf<SttDatagrams['send']>().returns.resolves.toBeVoid();
    expectTypeOf<SttDatagrams['batches']>().returns.toExtend<
      AsyncIterable<readonly Uint8Array[]>
    >();
    expectTypeOf<SttSession['sendFrame']>().parameter(0).toBeNumber();
    expectTypeOf<SttSession['sendFrame']>().returns.resolves.toBeVoid();
    expectTypeOf<SttSession['onFrame']>().parameter(1).toEqualTypeOf<FrameHandler>();
    expectTypeOf<SttSession['onFrame']>().returns.toEqualTypeOf<() => void>();
    expectTypeOf<EndpointOptions['datagramRecvDrop']>().toEqualTypeOf<DatagramDrop | undefined>();
  });

  test('a session moves to an address, an endpoint to a socket', () => {
    expectTypeOf<SttSession['migrate']>().parameter(0).toEqualTypeOf<MigrateOptions>();
    expectTypeOf<SttSession['migrate']>().returns.resolves.toBeVoid();
    expectTypeOf<MigrateOptions['remoteAddress']>().toEqualTypeOf<PeerAddress | undefined>();
    expectTypeOf<SttEndpoint['rebind']>().returns.resolves.toEqualTypeOf<SocketAddress>();
  });

  test('events are typed by name', () => {
    const session = {} as SttSession;
    const endpoint = {} as SttEndpoint;
    const check = (): void => {
      session.on('pathChange', (change) => {
        expectTypeOf(change).toEqualTypeOf<PathChangeEvent>();
        expectTypeOf(change.port).toBeNumber();
        expectTypeOf(change.reason).toEqualTypeOf<PathChangeReason>();
        expectTypeOf(change.measured).toEqualTypeOf<PathMeasure | undefined>();
      });
      endpoint.on('addressChange', ({ address }) => expectTypeOf(address).toBeString());
      endpoint.once('handshakeError', ({ error }) => expectTypeOf(error).toEqualTypeOf<SttError>());
      // @ts-expect-error: there is no 'error' event
      session.on('error', () => {});
    };
    expectTypeOf(check).toBeFunction();
  });
});

describe('resilience', () => {
  test('retry and breaker are off, on, or options', () => {
    expectTypeOf<ConnectOptions['retry']>().toEqualTypeOf<boolean | RetryOptions | undefined>();
    expectTypeOf<EndpointOptions['breaker']>().toEqualTypeOf<
      boolean | BreakerOptions | undefined
    >();
    expectTypeOf<'CONNECTION_TIMEOUT'>().toExtend<RetryCode>();
    expectTypeOf<'HANDSHAKE_FAILURE.TIMESTAMP_EXPIRED'>().toExtend<RetryCode>();
    expectTypeOf<'HANDSHAKE_FAILURE.5'>().not.toExtend<RetryCode>();
    expectTypeOf<{ codes: (error: SttError) => boolean }>().toExtend<RetryOptions>();
    expectTypeOf<{ codes: ['CONNECTION_REFUSED'] }>().toExtend<RetryOptions>();
    expectTypeOf<SttEndpoint['breakers']>().toEqualTypeOf<readonly CircuitInfo[]>();
    expectTypeOf<CircuitInfo['state']>().toEqualTypeOf<'closed' | 'open' | 'half-open'>();
  });

  test('an open circuit is no error of the table', () => {
    expectTypeOf<CircuitOpenError>().toExtend<Error>();
    expectTypeOf<CircuitOpenError>().not.toExtend<AnySttError>();
    expectTypeOf<CircuitOpenError['until']>().toBeNumber();
    expectTypeOf(CircuitOpenError).toBeConstructibleWith('x', { peer: 'x', retryAfter: 0 });
  });

  test('a session that is kept up gives back what a run returns', () => {
    const check = async (endpoint: SttEndpoint): Promise<void> => {
      const kept = await ReconnectingSession.connect(endpoint, 'a:1', { peerNodeId: 'any' });
      const run = kept.run('x', async (stream, context) => {
        expectTypeOf(stream).toEqualTypeOf<SttStream>();
        expectTypeOf(context).toEqualTypeOf<RunContext>();
        return 5;
      });
      expectTypeOf(run).resolves.toBeNumber();
      kept.on('reconnected', ({ session, lost }) => {
        expectTypeOf(session).toEqualTypeOf<SttSession>();
        expectTypeOf(lost[0]?.bytesAcknowledged).toEqualTypeOf<number | undefined>();
      });
      // @ts-expect-error: there is no 'error' event
      kept.on('error', () => {});
      // @ts-expect-error: without a purpose there is nothing to open again
      kept.run({ priority: 1 }, () => {});
    };
    expectTypeOf(check).toBeFunction();
    expectTypeOf<ReconnectingSession['closed']>().resolves.toEqualTypeOf<CloseInfo>();
    expectTypeOf<ReconnectingOptions>().toExtend<ConnectOptions>();
    expectTypeOf<RunContext['previous']>().toEqualTypeOf<StreamProgress | undefined>();
  });
});

describe('operators', () => {
  test('a logger is a console, a function, or one that looks like pino or winston', () => {
    expectTypeOf<Console>().toExtend<LogTarget>();
    expectTypeOf(logTo).returns.toEqualTypeOf<() => void>();
    expectTypeOf(logTo).parameter(0).toEqualTypeOf<LogTarget>();
    // @ts-expect-error: a name is no logger
    expectTypeOf(logTo).toBeCallableWith('console');
    expectTypeOf(openMetrics).parameter(0).toEqualTypeOf<SttEndpoint | readonly SttEndpoint[]>();
    expectTypeOf(openMetrics).returns.toBeString();
  });
});
