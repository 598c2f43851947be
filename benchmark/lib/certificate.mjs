/** A key and a self-signed certificate for localhost. */
export async function certificate() {
  // Large, and not to weigh on whoever measures without TLS.
  const { default: selfsigned } = await import('selfsigned');
  const { private: key, cert } = await selfsigned.generate(
    [{ name: 'commonName', value: 'localhost' }],
    { keyType: 'ec', algorithm: 'sha256' },
  );
  return { key, cert };
}

/** What a client trusts of it. */
export function trusting(cert) {
  return { ca: cert, servername: 'localhost', checkServerIdentity: () => undefined };
}
