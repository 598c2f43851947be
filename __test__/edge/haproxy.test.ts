import { documented } from './programs.ts';
import { behind } from './proxied.ts';

behind(
  {
    name: 'haproxy',
    async configure(program, { plain, tls, certificates: { good }, a, b }) {
      const pem = program.write('edge.pem', `${good.cert}${good.key}`);
      const text = documented('haproxy', [
        ['bind :80', `bind 127.0.0.1:${plain}`],
        ['bind :443', `bind 127.0.0.1:${tls}`],
        ['/etc/haproxy/edge.example.pem', pem],
        ['127.0.0.1:7788', `127.0.0.1:${a}`],
        ['127.0.0.1:7789', `127.0.0.1:${b}`],
      ]);
      return ['-db', '-f', program.write('haproxy.cfg', `global\n    maxconn 200\n\n${text}`)];
    },
  },
  () => {},
);
