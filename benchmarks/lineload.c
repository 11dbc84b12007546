/* lineload: closed-loop load for a line echo server on the loopback interface.
 *
 *   lineload PORT CLIENTS INFLIGHT SIZE SECONDS [DRAIN]
 *
 * Every client keeps INFLIGHT lines of SIZE bytes (newline included) in flight for SECONDS:
 * as soon as a line has come back, the next one is sent. The first fifth of the time warms
 * up and is not counted. Then nothing more is sent, and what is in flight has DRAIN seconds
 * (5 unless told, 0 for no waiting) to come back.
 *
 * Every byte that comes back is compared with what was sent. Three things end a
 * measurement as worthless, each with a line on stderr and exit status 1:
 *   - a wrong byte, or more bytes than were sent: the program stops at once;
 *   - a connection that the server ended;
 *   - a connection that still owes answers after DRAIN.
 * The last two count as "lost" in the line of JSON on stdout:
 *
 *   {"lines_per_s", "MB_per_s", "p50_us", "p99_us", "p999_us", "lost", "answered"}
 *
 * "answered" are all lines that came back, those of the warm-up and after the end included.
 * A round trip runs from when the kernel took a line's first byte to when its last byte
 * was read. Linux only (epoll). */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  READ_BYTES = 1 << 18,
  EVENTS = 256,          /* epoll events taken at a time */
  POLL_MS = 20,          /* a server that says nothing still lets the clock be read */
  STEPS = 128,           /* histogram steps per power of two: under 0.8 % wide */
  BUCKETS = 58 * STEPS   /* enough for any 64-bit number of nanoseconds */
};
static const double WARM_UP = 0.2, DRAIN_SECONDS = 5;

struct client {
  int fd;                  /* -1 when lost */
  unsigned number;
  uint64_t sent, received; /* bytes */
  uint64_t *started;       /* when line n was first sent, at n % stamps */
};

struct load {
  int port, epoll;
  unsigned clients, inflight, size;
  double seconds, drain;
  size_t window;    /* bytes that each client keeps in flight */
  size_t stamps;    /* a window that begins and ends inside a line touches one line more */
  char *pattern;    /* what is sent, again and again */
  size_t period;    /* its length */
  struct client *client;
  unsigned lost;
  uint64_t lines, histogram[BUCKETS]; /* answers, by round trip, since the last reset */
  char buffer[READ_BYTES];
};

/* ---- small things ---- */

static void die(const char *what) {
  fprintf(stderr, "lineload: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void *allocate(size_t count, size_t size) {
  void *memory = calloc(count, size);
  if (!memory) die("calloc");
  return memory;
}

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t nanoseconds(double seconds) { return (uint64_t)(seconds * 1e9); }

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/* ---- round trips: a histogram, so that no sample is ever left out ---- */

static unsigned bucket_of(uint64_t ns) {
  if (ns < STEPS) return (unsigned)ns;
  unsigned shift = 63 - (unsigned)__builtin_clzll(ns) - 7; /* 2^7 == STEPS */
  return shift * STEPS + (unsigned)(ns >> shift);
}

static double middle_of(unsigned bucket) {
  if (bucket < 2 * STEPS) return bucket;
  unsigned shift = bucket / STEPS - 1;
  return ((double)(bucket % STEPS + STEPS) + 0.5) * (double)(1ull << shift);
}

static double percentile_us(const struct load *load, double share) {
  uint64_t wanted = (uint64_t)((double)load->lines * share), seen = 0;
  for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
    seen += load->histogram[bucket];
    if (seen > wanted) return middle_of(bucket) / 1e3;
  }
  return 0; /* nothing was answered */
}

static void reset_figures(struct load *load) {
  load->lines = 0;
  memset(load->histogram, 0, sizeof load->histogram);
}

/* ---- what is sent ---- */

/* One pattern serves all clients. Its lines are numbered, and client n starts at line n:
 * lines out of order or answers to the wrong client do not match. */
static void make_pattern(struct load *load) {
  unsigned lines = load->inflight + load->clients;
  load->period = (size_t)lines * load->size;
  load->pattern = allocate(load->period, 1);
  for (unsigned line = 0; line < lines; line++) {
    char *text = load->pattern + (size_t)line * load->size;
    unsigned rest = line; /* base 26, least significant digit first: fits any SIZE */
    for (unsigned i = 0; i + 1 < load->size; i++, rest /= 26)
      text[i] = (char)('a' + (rest + i) % 26);
    text[load->size - 1] = '\n';
  }
}

static size_t pattern_offset(const struct load *load, const struct client *client, uint64_t byte) {
  return (size_t)((byte + (uint64_t)client->number * load->size) % load->period);
}

/* ---- one client ---- */

static void lose(struct load *load, struct client *client, const char *why) {
  fprintf(stderr, "connection %u lost: %s\n", client->number, why);
  close(client->fd);
  client->fd = -1;
  load->lost++;
}

static void mismatch(const struct client *client, const char *what) {
  fprintf(stderr, "MISMATCH on connection %u near byte %llu: %s\n", client->number,
          (unsigned long long)client->received, what);
  exit(1);
}

static void check_answer(const struct load *load, const struct client *client, size_t count) {
  if (client->received + count > client->sent) mismatch(client, "more bytes than were sent");
  size_t offset = pattern_offset(load, client, client->received);
  for (size_t done = 0, length; done < count; done += length, offset = 0) {
    length = smaller(count - done, load->period - offset);
    if (memcmp(load->buffer + done, load->pattern + offset, length))
      mismatch(client, "wrong bytes");
  }
}

static void note_answers(struct load *load, struct client *client, size_t count) {
  uint64_t line = client->received / load->size, now = now_ns();
  client->received += count;
  for (; line < client->received / load->size; line++) {
    load->histogram[bucket_of(now - client->started[line % load->stamps])]++;
    load->lines++;
  }
}

/* Read until the kernel has no more: the events are edge-triggered. */
static void read_answers(struct load *load, struct client *client) {
  for (;;) {
    ssize_t count = recv(client->fd, load->buffer, sizeof load->buffer, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) {
      lose(load, client, count ? strerror(errno) : "the server ended it");
      return;
    }
    check_answer(load, client, (size_t)count);
    note_answers(load, client, (size_t)count);
  }
}

static void note_started(struct load *load, struct client *client, size_t count) {
  uint64_t now = now_ns(), line = (client->sent + load->size - 1) / load->size;
  client->sent += count;
  uint64_t end = (client->sent + load->size - 1) / load->size;
  for (; line < end; line++) client->started[line % load->stamps] = now;
}

static void fill_window(struct load *load, struct client *client) {
  while (client->sent - client->received < load->window) {
    size_t offset = pattern_offset(load, client, client->sent);
    size_t room = load->window - (size_t)(client->sent - client->received);
    size_t length = smaller(room, load->period - offset);
    ssize_t count = send(client->fd, load->pattern + offset, length, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return;
    if (count < 0) {
      lose(load, client, strerror(errno));
      return;
    }
    note_started(load, client, (size_t)count);
  }
}

static void connect_client(struct load *load, unsigned number) {
  struct client *client = &load->client[number];
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)load->port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  client->number = number;
  client->started = allocate(load->stamps, sizeof *client->started);
  client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (client->fd < 0) die("socket");
  if (connect(client->fd, (struct sockaddr *)&address, sizeof address)) die("connect");
  int on = 1;
  setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (fcntl(client->fd, F_SETFL, O_NONBLOCK)) die("fcntl");
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u32 = number};
  if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, client->fd, &event)) die("epoll_ctl");
}

/* ---- all clients ---- */

static void serve_events(struct load *load, int sending) {
  struct epoll_event events[EVENTS];
  int count = epoll_wait(load->epoll, events, EVENTS, POLL_MS);
  for (int i = 0; i < count; i++) {
    struct client *client = &load->client[events[i].data.u32];
    if (client->fd >= 0) read_answers(load, client);
    if (client->fd >= 0 && sending) fill_window(load, client);
  }
}

static void send_until(struct load *load, uint64_t end) {
  while (now_ns() < end && load->lost < load->clients) serve_events(load, 1);
}

static uint64_t owed_bytes(const struct load *load) {
  uint64_t owed = 0;
  for (unsigned i = 0; i < load->clients; i++)
    if (load->client[i].fd >= 0) owed += load->client[i].sent - load->client[i].received;
  return owed;
}

static uint64_t answered_lines(const struct load *load) {
  uint64_t lines = 0;
  for (unsigned i = 0; i < load->clients; i++) lines += load->client[i].received / load->size;
  return lines;
}

static void drain(struct load *load) {
  uint64_t end = now_ns() + nanoseconds(load->drain);
  while (owed_bytes(load) && now_ns() < end) serve_events(load, 0);
  for (unsigned i = 0; i < load->clients; i++) {
    struct client *client = &load->client[i];
    if (client->fd >= 0 && client->received < client->sent)
      lose(load, client, "answers are missing");
  }
}

static void measure(struct load *load) {
  uint64_t start = now_ns();
  send_until(load, start + nanoseconds(load->seconds * WARM_UP));
  reset_figures(load);
  uint64_t warm = now_ns();
  send_until(load, start + nanoseconds(load->seconds));
  double rate = (double)load->lines / ((double)(now_ns() - warm + 1) / 1e9);
  double p50 = percentile_us(load, .5), p99 = percentile_us(load, .99);
  double p999 = percentile_us(load, .999);
  if (load->drain > 0) drain(load);
  printf("{\"lines_per_s\": %.0f, \"MB_per_s\": %.2f, \"p50_us\": %.0f, \"p99_us\": %.0f, "
         "\"p999_us\": %.0f, \"lost\": %u, \"answered\": %llu}\n",
         rate, rate * load->size / 1e6, p50, p99, p999, load->lost,
         (unsigned long long)answered_lines(load));
}

static double number(const char *text, double least, double most) {
  char *end;
  double value = strtod(text, &end);
  if (*text && !*end && value >= least && value <= most) return value;
  fprintf(stderr, "lineload: %s: a number from %g to %g was expected\n", text, least, most);
  exit(2);
}

int main(int argc, char **argv) {
  static struct load load;
  if (argc != 6 && argc != 7) {
    fprintf(stderr, "usage: lineload PORT CLIENTS INFLIGHT SIZE SECONDS [DRAIN]\n");
    return 2;
  }
  load.port = (int)number(argv[1], 1, 65535);
  load.clients = (unsigned)number(argv[2], 1, 1e5);
  load.inflight = (unsigned)number(argv[3], 1, 1e6);
  load.size = (unsigned)number(argv[4], 2, 1e6);
  load.seconds = number(argv[5], 0.01, 1e5);
  load.drain = argc == 7 ? number(argv[6], 0, 1e5) : DRAIN_SECONDS;
  load.window = (size_t)load.inflight * load.size;
  load.stamps = (size_t)load.inflight + 1;
  make_pattern(&load);
  load.client = allocate(load.clients, sizeof *load.client);
  load.epoll = epoll_create1(EPOLL_CLOEXEC);
  if (load.epoll < 0) die("epoll_create1");
  for (unsigned i = 0; i < load.clients; i++) connect_client(&load, i);
  measure(&load);
  return load.lost != 0;
}
