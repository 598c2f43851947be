import { describe, expect, test } from 'vitest';
import { formatAddress, parseAddress, resolveHost } from '../../ts/address.ts';

describe('addresses', () => {
  test.each([
    ['192.168.1.7:7788', '192.168.1.7', 7788],
    ['example.org:1', 'example.org', 1],
    ['[::1]:65535', '::1', 65_535],
    ['[fe80::1%eth0]:7788', 'fe80::1%eth0', 7788],
    ['stt://host:7788', 'host', 7788],
    ['stt://[::1]:7788/', '::1', 7788],
  ])('%s is a host and a port', (text, host, port) => {
    expect(parseAddress(text)).toEqual({ host, port });
  });

  test('objects are taken as they are, and as endpoint.address gives them', () => {
    const address = { address: '::1', port: 5, family: 'IPv6' } as const;
    expect(parseAddress(address)).toEqual({ host: '::1', port: 5 });
    expect(parseAddress({ address: '[::1]', port: 5 })).toEqual({ host: '::1', port: 5 });
  });

  test.each([
    '',
    'host',
    'host:',
    ':7788',
    'host:0',
    'host:65536',
    'host:7788x',
    '::1:7788',
    '[host]:7788',
    '[::1]',
    'http://host:1',
    'a b:1',
    '1.2.3:4',
    '999.1.1.1:4',
    'user@host:1',
    { address: '', port: 1 },
    { address: 'host', port: 0 },
    { address: 'host', port: 1.5 },
    { address: 'host' },
    { port: 1 },
    null,
    7,
  ])('%j is refused with the option named', (input) => {
    expect(() => parseAddress(input as never)).toThrowError(
      expect.objectContaining({ name: 'SttOptionError', option: 'address' }),
    );
  });

  test('IPv6 stands in brackets for people', () => {
    expect(formatAddress({ address: '::1', port: 5 })).toBe('[::1]:5');
    expect(formatAddress({ address: '1.2.3.4', port: 5 })).toBe('1.2.3.4:5');
  });

  test('a name without an address is 0x0104 with the resolver as cause', async () => {
    const lookup = resolveHost({ host: 'no-such-host.invalid', port: 5 }, 0);
    await expect(lookup).rejects.toMatchObject({
      code: 0x0104,
      message: expect.stringContaining('no-such-host.invalid'),
      context: { peer: 'no-such-host.invalid:5' },
      cause: { syscall: 'getaddrinfo' },
    });
  });

  test('an address of the other IP version is 0x0104 before anything is sent', async () => {
    await expect(resolveHost({ host: '::1', port: 5 }, 4)).rejects.toMatchObject({ code: 0x0104 });
    expect(await resolveHost({ host: '::1', port: 5 }, 0)).toMatchObject({ family: 'IPv6' });
  });
});
