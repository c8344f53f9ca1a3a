// Reads many streams at once and checks each: tokens numbered from 0 without a gap, usage, [DONE].
// cc -O2 -o reader reader.c ; ./reader PORT STREAMS TOKENS SECONDS_MAX KEY MODEL [ECHOES ECHO WORDS]
// A stream has TOKENS tokens at the most. The last ECHOES of them are asked of the model ECHO instead, which says back what it is told,
// WORDS words, one each 50 ms.
// Prints one JSON object at the end; "together" is how long all were open at once: since each had a token, until one ended.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTING_MAX 256
#define MARK "token"
#define END "data: [DONE]"
#define OK "HTTP/1.1 200"

enum { CONNECTING, HEAD, SIZE, EXTENSION, DATA, AFTER, OVER };
typedef struct {
  int fd, state, matched, ended, number, digits, next, wrong, done, status_at;
  long left;
  char status[16];
} stream;

static stream *S;
static int ep, n, tokens, opened, connecting, begun, finished, broken, wrong, refused;
static long events;
static double open_s, ended_s;  // when all were open; when the first was not any more
static char *request, *echo;
static int port;

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static char *asked(const char *key, const char *model, const char *said, const char *more) {
  char *json = NULL, *whole = NULL;
  int size = asprintf(&json, "{\"model\":\"%s\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]%s}", model, said, more);
  if (asprintf(&whole, "POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\n"
    "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", key, size, json) < 0) exit(1);
  free(json);
  return whole;
}

static void leave(stream *s) {
  if (s->state == CONNECTING) connecting--;
  if (s->wrong) wrong++;
  if (!ended_s) ended_s = now_s();
  if (strncmp(s->status, OK, sizeof OK - 1)) refused++;
  else if (!s->done || !s->next || s->next > tokens) broken++;
  else finished++;
  s->state = OVER;
  close(s->fd);
}

// One byte of the body: numbers that follow MARK must count up from 0; then END must come.
static void body(stream *s, char c) {
  static const char *mark = MARK, *end = END;
  static const int marks = sizeof MARK - 1, ends = sizeof END - 1;
  if (s->matched == marks) {
    if (c >= '0' && c <= '9') { s->number = s->number * 10 + (c - '0'); s->digits++; return; }
    if (s->digits) {  // "prompt_tokens" has none
      if (s->number != s->next) s->wrong = 1;
      if (s->next++ == 0 && ++begun == n) open_s = now_s();
      events++;
    }
    s->matched = s->number = s->digits = 0;
  }
  s->matched = c == mark[s->matched] ? s->matched + 1 : c == mark[0];
  s->ended = c == end[s->ended] ? s->ended + 1 : c == end[0];
  if (s->ended == ends) { s->done = 1; s->ended = 0; }
}

static int feed(stream *s, const char *p, ssize_t size) {
  for (ssize_t i = 0; i < size; i++) {
    char c = p[i];
    switch (s->state) {
      case HEAD:
        if (s->status_at < 15) s->status[s->status_at++] = c;
        s->matched = c == "\r\n\r\n"[s->matched] ? s->matched + 1 : c == '\r';
        if (s->matched == 4) { if (strncmp(s->status, OK, sizeof OK - 1)) return 1; s->matched = 0; s->left = 0; s->state = SIZE; }
        break;
      case SIZE:
        if (c >= '0' && c <= '9') s->left = s->left * 16 + (c - '0');
        else if (c >= 'a' && c <= 'f') s->left = s->left * 16 + (c - 'a' + 10);
        else if (c >= 'A' && c <= 'F') s->left = s->left * 16 + (c - 'A' + 10);
        else s->state = EXTENSION;
        if (s->state == SIZE) break;  // fall through
      case EXTENSION:
        if (c == '\n') { if (!s->left) return 1; s->state = DATA; }
        break;
      case DATA:
        body(s, c);
        if (!--s->left) s->state = AFTER;
        break;
      case AFTER:
        if (c == '\n') s->state = SIZE;
        break;
    }
  }
  return 0;
}

static int begin(int i) {
  stream *s = &S[i];
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (s->fd < 0) return -1;
  if (connect(s->fd, (void *)&a, sizeof a) < 0 && errno != EINPROGRESS) return -1;
  struct epoll_event e = {.events = EPOLLOUT, .data.u32 = i};
  epoll_ctl(ep, EPOLL_CTL_ADD, s->fd, &e);
  opened++, connecting++;
  return 0;
}

int main(int argc, char **argv) {
  if (argc != 7 && argc != 10) return 2;
  port = atoi(argv[1]), n = atoi(argv[2]), tokens = atoi(argv[3]);
  int echoes = argc == 10 ? atoi(argv[7]) : 0;
  double ends_s = now_s() + atof(argv[4]), began_s = now_s();
  request = asked(argv[5], argv[6], "Count.", "");
  if (echoes) {
    int words = atoi(argv[9]);
    char *said = malloc(words * 12 + 1), *at = said;
    for (int i = 0; i < words; i++) at += sprintf(at, "%stoken%d", i ? " " : "", i);
    echo = asked(argv[5], argv[8], said, ",\"echo\":{\"delay_ms\":50}");
  }
  S = calloc(n, sizeof(stream)), ep = epoll_create1(0);
  static char buffer[1 << 18];
  static struct epoll_event found[1024];
  while (finished + broken + refused < n && now_s() < ends_s) {
    while (opened < n && connecting < CONNECTING_MAX)
      if (begin(opened) < 0) { perror("connect"); return 1; }
    int count = epoll_wait(ep, found, 1024, 100);
    for (int k = 0; k < count; k++) {
      stream *s = &S[found[k].data.u32];
      if (s->state == OVER) continue;
      if (s->state == CONNECTING) {
        const char *ask = (int)found[k].data.u32 >= n - echoes ? echo : request;
        if (send(s->fd, ask, strlen(ask), MSG_NOSIGNAL) != (ssize_t)strlen(ask)) { leave(s); continue; }
        connecting--;
        s->state = HEAD;
        struct epoll_event e = {.events = EPOLLIN, .data.u32 = found[k].data.u32};
        epoll_ctl(ep, EPOLL_CTL_MOD, s->fd, &e);
        continue;
      }
      ssize_t got = recv(s->fd, buffer, sizeof buffer, 0);
      if (got < 0 && errno == EAGAIN) continue;
      if (got <= 0 || feed(s, buffer, got)) leave(s);
    }
  }
  printf("{\"streams\":%d,\"whole\":%d,\"broken\":%d,\"refused\":%d,\"wrong\":%d,\"events\":%ld,\"seconds\":%.3f,\"together\":%.3f}\n",
    n, finished, n - finished - refused, refused, wrong, events, now_s() - began_s, open_s && ended_s > open_s ? ended_s - open_s : 0);
  return 0;
}
