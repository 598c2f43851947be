/*
 * ICMP by hand, which takes a raw socket:
 *
 *   icmp echo ADDRESS MS                       asks a host whether it is there; status 0 if it answers within MS
 *   icmp forge AS TO FROM PORT THERE PORT N    tells TO, in the name of AS, N times each of what may be said of the
 *                                              datagrams that FROM:PORT sends to THERE:PORT; takes about three seconds
 */
#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What a packet of a session looks like from outside: the bytes of somebody who has not seen one. */
enum { QUOTED = 64, PAUSE_US = 3000000 };

/* Unreachable: net, host, port, fragmentation needed, by policy; time exceeded; a bad parameter. */
static const uint8_t KINDS[][2] = {{3, 0}, {3, 1}, {3, 3}, {3, 4}, {3, 13}, {11, 0}, {12, 0}};
enum { KIND_COUNT = sizeof KINDS / sizeof KINDS[0] };

static uint16_t checksum(const void *data, size_t length) {
  const uint8_t *bytes = data;
  uint32_t sum = 0;
  for (size_t at = 0; at + 1 < length; at += 2) sum += (uint32_t)(bytes[at] << 8 | bytes[at + 1]);
  if (length % 2 != 0) sum += (uint32_t)bytes[length - 1] << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return htons((uint16_t)~sum);
}

static int echo(const char *address, int limit_ms) {
  int sock = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(address)};
  struct icmphdr question = {.type = ICMP_ECHO, .un.echo.id = htons((uint16_t)getpid())};
  question.checksum = checksum(&question, sizeof question);
  if (sock < 0 || sendto(sock, &question, sizeof question, 0, (struct sockaddr *)&to, sizeof to) < 0) {
    perror("echo");
    return 2;
  }
  struct pollfd ready = {.fd = sock, .events = POLLIN};
  while (poll(&ready, 1, limit_ms) > 0) {
    uint8_t packet[1500];
    struct sockaddr_in from;
    socklen_t from_length = sizeof from;
    ssize_t length = recvfrom(sock, packet, sizeof packet, 0, (struct sockaddr *)&from, &from_length);
    size_t header = (size_t)(packet[0] & 15) * 4;
    if (length < (ssize_t)(header + sizeof(struct icmphdr))) continue;
    struct icmphdr answer;
    memcpy(&answer, packet + header, sizeof answer);
    if (answer.type == ICMP_ECHOREPLY && answer.un.echo.id == question.un.echo.id &&
        from.sin_addr.s_addr == to.sin_addr.s_addr) {
      return 0;
    }
  }
  return 1;
}

static int forge(char **words) {
  int sock = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
  int count = atoi(words[6]);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(words[1])};
  struct {
    struct iphdr ip;
    struct icmphdr icmp;
    struct iphdr quoted_ip;
    struct udphdr quoted_udp;
    uint8_t quoted[QUOTED];
  } __attribute__((packed)) packet;
  memset(&packet, 0, sizeof packet);
  packet.ip.version = 4;
  packet.ip.ihl = 5;
  packet.ip.ttl = 64;
  packet.ip.protocol = IPPROTO_ICMP;
  packet.ip.saddr = inet_addr(words[0]);
  packet.ip.daddr = to.sin_addr.s_addr;
  packet.quoted_ip.version = 4;
  packet.quoted_ip.ihl = 5;
  packet.quoted_ip.ttl = 60;
  packet.quoted_ip.protocol = IPPROTO_UDP;
  packet.quoted_ip.tot_len = htons(sizeof packet.quoted_ip + sizeof packet.quoted_udp + QUOTED);
  packet.quoted_ip.saddr = inet_addr(words[2]);
  packet.quoted_ip.daddr = inet_addr(words[4]);
  packet.quoted_ip.check = checksum(&packet.quoted_ip, sizeof packet.quoted_ip);
  packet.quoted_udp.source = htons((uint16_t)atoi(words[3]));
  packet.quoted_udp.dest = htons((uint16_t)atoi(words[5]));
  packet.quoted_udp.len = htons(sizeof packet.quoted_udp + QUOTED);
  /* Version 1, sealed; the rest is guessed anew each time. */
  for (int round = 0; round < count; round += 1) {
    for (int kind = 0; kind < KIND_COUNT; kind += 1) {
      packet.quoted[0] = 0x81;
      for (int at = 1; at < QUOTED; at += 1) packet.quoted[at] = (uint8_t)(round * 31 + kind * 7 + at * 13);
      memset(&packet.icmp, 0, sizeof packet.icmp);
      packet.icmp.type = KINDS[kind][0];
      packet.icmp.code = KINDS[kind][1];
      /* The least that a link may carry. */
      if (packet.icmp.type == 3 && packet.icmp.code == 4) packet.icmp.un.frag.mtu = htons(68);
      packet.icmp.checksum = checksum(&packet.icmp, sizeof packet - sizeof packet.ip);
      if (sendto(sock, &packet, sizeof packet, 0, (struct sockaddr *)&to, sizeof to) < 0) {
        perror("forge");
        return 2;
      }
    }
    usleep((useconds_t)(PAUSE_US / count));
  }
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 4 && strcmp(argv[1], "echo") == 0) return echo(argv[2], atoi(argv[3]));
  if (argc == 9 && strcmp(argv[1], "forge") == 0) return forge(argv + 2);
  fprintf(stderr, "icmp echo ADDRESS MS | icmp forge AS TO FROM PORT THERE PORT N\n");
  return 2;
}
