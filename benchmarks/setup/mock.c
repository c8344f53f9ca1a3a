// A mock of an OpenAI chat-completions upstream. cc -O2 -o mock mock.c ; ./mock BURST_PORT PACED_PORT PACE_US [EVENTS [SECONDS]]
// BURST_PORT: a stream's events are written at once, four to a write(). PACED_PORT: one event each PACE_US.
// A stream has EVENTS events (34): numbered tokens, the usage, [DONE]; paced ones end SECONDS after the last one began, if sooner.
// Prints a line when it listens.
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#define MAXFD 32768
#define BUF 16384
#define MAXEV 8192
#define GROUP 4
typedef struct { char *buf; int len; int paced; int evt; int off; int active; int wantout; int count; } conn;
static conn C[MAXFD]; static int ep;
static char json_resp[4096]; static int json_len;
static char *ev[MAXEV]; static int evlen[MAXEV], NEV = 34;
static const char *SSEH = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";
static int active[MAXFD], nactive; static double seconds, now, latest;
static void build(void) {
  const char *txt = "The quick brown fox jumps over the lazy dog while the gateway quietly counts every token it forwards, "
    "so that the invoice at the end of the month is exact and nobody has to argue about it later on.";
  char body[2048];
  int n = snprintf(body, sizeof body, "{\"id\":\"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT\",\"object\":\"chat.completion\",\"created\":1741569952,"
    "\"model\":\"mock-1\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"%s\",\"refusal\":null},"
    "\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":42,\"completion_tokens\":32,\"total_tokens\":74,"
    "\"prompt_tokens_details\":{\"cached_tokens\":0}},\"service_tier\":\"default\",\"system_fingerprint\":\"fp_mock\"}", txt);
  json_len = snprintf(json_resp, sizeof json_resp, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", n, body);
  for (int i = 0; i < NEV; i++) {
    char d[900]; int m;
    if (i < NEV - 2) m = snprintf(d, sizeof d, "data: {\"id\":\"chatcmpl-123\",\"object\":\"chat.completion.chunk\",\"created\":1694268190,\"model\":\"mock-1\","
      "\"choices\":[{\"index\":0,\"delta\":{%s\"content\":\" token%d\"},\"logprobs\":null,\"finish_reason\":%s}]}\n\n", i ? "" : "\"role\":\"assistant\",", i, i == NEV - 3 ? "\"stop\"" : "null");
    else if (i == NEV - 2) m = snprintf(d, sizeof d, "data: {\"id\":\"chatcmpl-123\",\"object\":\"chat.completion.chunk\",\"created\":1694268190,\"model\":\"mock-1\","
      "\"choices\":[],\"usage\":{\"prompt_tokens\":42,\"completion_tokens\":%d,\"total_tokens\":%d}}\n\n", NEV - 2, NEV + 40);
    else m = snprintf(d, sizeof d, "data: [DONE]\n\n");
    ev[i] = malloc(1024);
    evlen[i] = snprintf(ev[i], 1024, "%x\r\n%s\r\n%s", m, d, i == NEV - 1 ? "0\r\n\r\n" : "");
  }
}
static void drop(int fd) {
  if (C[fd].active) for (int i = 0; i < nactive; i++) if (active[i] == fd) { active[i] = active[--nactive]; break; }
  free(C[fd].buf); memset(&C[fd], 0, sizeof(conn)); close(fd);
}
static void arm(int fd, int out) {
  if (C[fd].wantout == out) return;
  C[fd].wantout = out;
  struct epoll_event e = { .events = EPOLLIN | (out ? EPOLLOUT : 0), .data.fd = fd };
  epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e);
}
static double clock_s(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }
// the usage of a stream that was cut short: as many tokens as it had
static int usage(char *to, int size, int count) {
  char d[300];
  int m = snprintf(d, sizeof d, "data: {\"id\":\"chatcmpl-123\",\"object\":\"chat.completion.chunk\",\"created\":1694268190,\"model\":\"mock-1\","
    "\"choices\":[],\"usage\":{\"prompt_tokens\":42,\"completion_tokens\":%d,\"total_tokens\":%d}}\n\n", count, count + 42);
  return snprintf(to, size, "%x\r\n%s\r\n", m, d);
}
// send events; burst: all of them, paced: one. returns 1 when the stream is complete, -1 when the peer is gone.
static int pump(int fd) {
  conn *c = &C[fd];
  while (c->evt < NEV) {
    if (!c->paced && c->off == 0 && c->evt % GROUP == 0) {          // burst: GROUP events per write()
      int e = c->evt + GROUP < NEV ? c->evt + GROUP : NEV, m = 0; char g[8192];
      for (int i = c->evt; i < e; i++) { memcpy(g + m, ev[i], evlen[i]); m += evlen[i]; }
      ssize_t k = send(fd, g, m, MSG_NOSIGNAL);
      if (k < 0) { if (errno == EAGAIN) { arm(fd, 1); return 0; } return -1; }
      while (c->evt < e && k >= evlen[c->evt]) k -= evlen[c->evt++];
      if (c->evt < e) c->off = k;
      continue;
    }
    if (c->paced && seconds && !c->off && c->evt < NEV - 2 && now - latest > seconds) { c->count = c->evt; c->evt = NEV - 2; }
    char cut[512]; const char *e = ev[c->evt]; int len = evlen[c->evt];
    if (c->count && c->evt == NEV - 2) { len = usage(cut, sizeof cut, c->count); e = cut; }
    ssize_t n = send(fd, e + c->off, len - c->off, MSG_NOSIGNAL);
    if (n < 0) { if (errno == EAGAIN) { arm(fd, 1); return 0; } return -1; }
    c->off += n;
    if (c->off < len) { arm(fd, 1); return 0; }
    c->evt++; c->off = 0;
    if (c->paced && c->evt < NEV) { arm(fd, 0); return 0; }
  }
  arm(fd, 0); c->active = 0; return 1;
}
// handle complete requests in the buffer; 0 ok, -1 drop
static int serve(int fd) {
  conn *c = &C[fd];
  while (c->len > 0 && !c->active) {
    c->buf[c->len] = 0;
    char *h = memmem(c->buf, c->len, "\r\n\r\n", 4);
    if (!h) return 0;
    int hl = h - c->buf + 4, bl = 0; *h = 0;
    char *p = strcasestr(c->buf, "\r\ncontent-length:");
    if (p) bl = atoi(p + 17);
    else if (strcasestr(c->buf, "\r\ntransfer-encoding: chunked")) {
      char *e = memmem(c->buf + hl, c->len - hl, "0\r\n\r\n", 5);
      if (!e) { *h = '\r'; return 0; }
      bl = e + 5 - (c->buf + hl);
    }
    *h = '\r';
    if (hl + bl > c->len) return hl + bl >= BUF ? -1 : 0;
    int stream = bl && (memmem(c->buf + hl, bl, "\"stream\":true", 13) || memmem(c->buf + hl, bl, "\"stream\": true", 14));
    memmove(c->buf, c->buf + hl + bl, c->len - hl - bl); c->len -= hl + bl;
    if (!stream) { if (send(fd, json_resp, json_len, MSG_NOSIGNAL) != json_len) return -1; }
    else {
      if (send(fd, SSEH, strlen(SSEH), MSG_NOSIGNAL) < 0) return -1;
      c->evt = 0; c->off = 0; c->active = 1; c->count = 0;
      if (c->paced) { active[nactive++] = fd; latest = now; }
      else if (pump(fd) < 0) return -1;
    }
  }
  return 0;
}
static int listener(int port) {
  int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1; setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  if (bind(s, (void *)&a, sizeof a) || listen(s, 4096)) { perror("bind"); exit(1); }
  struct epoll_event e = { .events = EPOLLIN, .data.fd = s }; epoll_ctl(ep, EPOLL_CTL_ADD, s, &e); return s;
}
int main(int argc, char **argv) {
  if (argc < 4) return 2;
  if (argc > 4) NEV = atoi(argv[4]);
  if (argc > 5) seconds = atof(argv[5]);
  if (NEV < 3 || NEV > MAXEV) return 2;
  signal(SIGPIPE, SIG_IGN); build(); ep = epoll_create1(0);
  int s1 = listener(atoi(argv[1])), s2 = listener(atoi(argv[2])), us = atoi(argv[3]);
  int tf = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  struct itimerspec it = { { us / 1000000, us % 1000000 * 1000 }, { us / 1000000, us % 1000000 * 1000 } };
  timerfd_settime(tf, 0, &it, 0);
  struct epoll_event te = { .events = EPOLLIN, .data.fd = tf }; epoll_ctl(ep, EPOLL_CTL_ADD, tf, &te);
  puts("ready"); fflush(stdout);
  struct epoll_event evs[512];
  for (;;) {
    int n = epoll_wait(ep, evs, 512, -1);
    now = clock_s();
    for (int i = 0; i < n; i++) {
      int fd = evs[i].data.fd;
      if (fd == s1 || fd == s2) {
        int f, one = 1;
        while ((f = accept4(fd, 0, 0, SOCK_NONBLOCK)) >= 0) {
          if (f >= MAXFD) { close(f); continue; }
          setsockopt(f, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
          memset(&C[f], 0, sizeof(conn)); C[f].buf = malloc(BUF + 1); C[f].paced = fd == s2;
          struct epoll_event e = { .events = EPOLLIN, .data.fd = f }; epoll_ctl(ep, EPOLL_CTL_ADD, f, &e);
        }
        continue;
      }
      if (fd == tf) {
        unsigned long long x; if (read(tf, &x, 8) < 0) {}
        for (int k = nactive - 1; k >= 0; k--) {
          int f = active[k], r = C[f].wantout ? 0 : pump(f);
          if (r < 0) { drop(f); continue; }
          if (r == 1) { active[k] = active[--nactive]; if (serve(f) < 0) drop(f); }
        }
        continue;
      }
      if (!C[fd].buf) continue;
      if (evs[i].events & EPOLLOUT) {
        int r = pump(fd);
        if (r < 0) { drop(fd); continue; }
        if (r == 1) {
          if (C[fd].paced) for (int k = 0; k < nactive; k++) if (active[k] == fd) { active[k] = active[--nactive]; break; }
          if (serve(fd) < 0) { drop(fd); continue; }
        }
      }
      if (evs[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        ssize_t r = recv(fd, C[fd].buf + C[fd].len, BUF - C[fd].len, 0);
        if (r == 0 || (r < 0 && errno != EAGAIN)) { drop(fd); continue; }
        if (r > 0) { C[fd].len += r; if (serve(fd) < 0) drop(fd); }
      }
    }
  }
}
