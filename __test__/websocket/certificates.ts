import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A certificate and its key, as node:tls takes them. */
export interface Identity {
  readonly cert: string;
  readonly key: string;
}

/** Certificates as servers really have them, good and bad, made by openssl for one run of the tests. */
export interface Certificates {
  /** The authority's own, for `ca`. */
  readonly ca: string;
  /** For localhost and 127.0.0.1, valid now. */
  readonly good: Identity;
  /** The same, but over since yesterday. */
  readonly expired: Identity;
  /** Valid now, for another name. */
  readonly wrongHost: Identity;
  /** Signed by nobody else. */
  readonly selfSigned: Identity;
  /** The good one with another last byte: its signature is none. */
  readonly altered: Identity;
  /** For a client. */
  readonly client: Identity;
}

/** Makes all of them. */
export function makeCertificates(): Certificates {
  const folder = mkdtempSync(join(tmpdir(), 'stt-certificates-'));
  const openssl = (...args: string[]): void => {
    execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
  };
  const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
  const key = (name: string): void =>
    openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', name);
  const signed = (name: string, altNames: string, from: Date, to: Date): Identity => {
    key(`${name}.key`);
    openssl('req', '-new', '-key', `${name}.key`, '-subj', `/CN=${name}`, '-out', `${name}.csr`);
    writeFileSync(join(folder, `${name}.ext`), `subjectAltName=${altNames}\n`);
    openssl(
      ...['ca', '-batch', '-config', 'ca.cnf', '-in', `${name}.csr`, '-out', `${name}.pem`],
      ...['-extfile', `${name}.ext`, '-startdate', stamp(from), '-enddate', stamp(to), '-notext'],
    );
    return { cert: read(`${name}.pem`), key: read(`${name}.key`) };
  };
  try {
    const day = 86_400_000;
    const [before, yesterday, later] = [-30, -1, 30].map(
      (days) => new Date(Date.now() + days * day),
    );
    writeFileSync(join(folder, 'index.txt'), '');
    writeFileSync(join(folder, 'serial'), '01\n');
    writeFileSync(
      join(folder, 'ca.cnf'),
      '[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\n' +
        'certificate=ca.pem\nprivate_key=ca.key\ndefault_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n',
    );
    key('ca.key');
    openssl(
      ...['req', '-x509', '-key', 'ca.key', '-subj', '/CN=Authority of the tests', '-days', '30'],
      ...['-addext', 'basicConstraints=critical,CA:TRUE', '-out', 'ca.pem'],
    );
    key('self.key');
    openssl(
      ...['req', '-x509', '-key', 'self.key', '-subj', '/CN=localhost', '-days', '30'],
      ...['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-out', 'self.pem'],
    );
    const here = 'DNS:localhost,IP:127.0.0.1';
    const good = signed('good', here, before as Date, later as Date);
    return {
      ca: read('ca.pem'),
      good,
      altered: { ...good, cert: alter(good.cert) },
      expired: signed('expired', here, before as Date, yesterday as Date),
      wrongHost: signed('elsewhere', 'DNS:elsewhere.example', before as Date, later as Date),
      selfSigned: { cert: read('self.pem'), key: read('self.key') },
      client: signed('client', 'DNS:client.example', before as Date, later as Date),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The same certificate but for the last byte of its signature. */
function alter(certificate: string): string {
  const [, body = ''] = /-----\n([^-]+)-----/.exec(certificate) ?? [];
  const bytes = Buffer.from(body, 'base64');
  const last = bytes.length - 1;
  bytes.writeUInt8(bytes.readUInt8(last) ^ 1, last);
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

/** A date as openssl takes it: YYYYMMDDHHMMSSZ. */
function stamp(date: Date): string {
  return `${date.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`;
}
